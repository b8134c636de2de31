// Package redisstore keeps the entries of Idempotency-Keys in Redis 5 or later, where all replicas find them.
//
// Each call is one script, so one atomic step, on one key. Leases are judged by Redis's clock: those of replicas
// may differ. Redis is trusted to be there or not, and with nothing else. What it answers is taken apart with
// care, and whatever is not understood is an error. It may be gone at any time, from the start on: a call then
// ends with an error, in time, and the first one after it is back works. A Redis that evicts keys forgets
// entries before their time.
package redisstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/passgate/passgate/internal/idempotency"
)

// prefix stands before each key. An entry of another layout has another version in it.
const prefix = "passgate:idem:v1:"

// callTimeout bounds a call as a whole: it may dial, log in, and send its script after it found that Redis does
// not know it yet, each with its own time-out.
const callTimeout = time.Second

var errReply = errors.New("redis answered something else than was asked for")

// Store is an [idempotency.Store] over Redis. It is safe for concurrent use. Make one with [Open].
type Store struct {
	client   redis.UniversalClient
	password string        // is kept out of errors
	timeout  time.Duration // of a call as a whole
	breaker  breaker
	commands atomic.Int64
}

var _ idempotency.Store = (*Store)(nil)

// Claim implements [idempotency.Store].
func (s *Store) Claim(ctx context.Context, key string, c idempotency.Claim) (idempotency.Entry, error) {
	reply, err := s.run(ctx, "claim", claimScript, key, c.Digest, c.Plan, c.Owner, milliseconds(c.Lease), max(milliseconds(c.TTL), 1))
	if err != nil {
		return idempotency.Entry{}, err
	}
	e, ok := entryOf(reply)
	// Whoever owns works: that must be without a doubt.
	if !ok || e.Owned && (e.Answer != nil || !bytes.Equal(e.Digest, c.Digest)) {
		return idempotency.Entry{}, fmt.Errorf("claim: %w", errReply)
	}
	return e, nil
}

// Finish implements [idempotency.Store].
func (s *Store) Finish(ctx context.Context, key, owner string, answer []byte) error {
	reply, err := s.run(ctx, "finish", finishScript, key, owner, answer)
	switch {
	case err != nil:
		return err
	case reply == int64(1):
		return nil
	case reply == int64(0):
		return idempotency.ErrLost
	}
	return fmt.Errorf("finish: %w", errReply)
}

// Release implements [idempotency.Store].
func (s *Store) Release(ctx context.Context, key, owner string) error {
	reply, err := s.run(ctx, "release", releaseScript, key, owner)
	if err == nil && reply != int64(1) {
		return fmt.Errorf("release: %w", errReply)
	}
	return err
}

// Ping implements [idempotency.Store].
func (s *Store) Ping(ctx context.Context) error {
	return s.call(ctx, "ping", func(ctx context.Context) error {
		reply, err := s.client.Ping(ctx).Result()
		if err == nil && reply != "PONG" {
			return errReply
		}
		return err
	})
}

// Commands returns how many times Redis was asked so far, pings aside, so that it can be seen that something never
// asks.
func (s *Store) Commands() int64 { return s.commands.Load() }

// Close ends every connection. Calls that are under way fail.
func (s *Store) Close() error { return s.client.Close() }

// run runs a script on the entry of a key and returns what it returns.
func (s *Store) run(ctx context.Context, doing string, script *redis.Script, key string, args ...any) (any, error) {
	var reply any
	err := s.call(ctx, doing, func(ctx context.Context) (err error) {
		s.commands.Add(1)
		reply, err = script.Run(ctx, s.client, []string{prefix + key}, args...).Result()
		return err
	})
	return reply, err
}

// call asks Redis if it may be there, for a bounded time.
func (s *Store) call(ctx context.Context, doing string, ask func(context.Context) error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	probe, err := s.breaker.enter()
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	o := abandoned // also by a panic
	defer func() { s.breaker.leave(probe, o) }()
	bounded, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	if err = ask(bounded); err == nil {
		o = answered
		return nil
	}
	o = judge(ctx, err)
	return &fault{text: fmt.Sprintf("%s: %s", doing, s.tell(err)), err: err}
}

// judge returns what an error says of Redis. A caller's deadline counts as a failure: it is as long as the caller
// would wait for Redis.
func judge(ctx context.Context, err error) outcome {
	var said redis.Error
	switch {
	case errors.As(err, &said):
		return answered
	case errors.Is(ctx.Err(), context.Canceled), errors.Is(err, redis.ErrPoolTimeout):
		return abandoned // nobody has asked Redis
	}
	return failed
}

// fault is an error of the client, told with care.
type fault struct {
	text string
	err  error
}

// Error implements error. Its text holds no secret.
func (f *fault) Error() string { return f.text }

// Unwrap returns the client's error, whose own text may quote what Redis answered.
func (f *fault) Unwrap() error { return f.err }

// tell returns the text of an error up to where it quotes something: a server that does not know a command repeats
// it, and may so repeat the password that came with it.
func (s *Store) tell(err error) string {
	text, quotes := err.Error(), "\"`"
	if s.password != "" {
		text = strings.ReplaceAll(text, s.password, "…")
	}
	var said redis.Error
	if errors.As(err, &said) {
		quotes += "'"
	}
	if i := strings.IndexAny(text, quotes); i >= 0 {
		text = text[:i] + "…"
	}
	return text[:min(len(text), 200)]
}

// entryOf takes what [claimScript] returns apart.
func entryOf(reply any) (e idempotency.Entry, ok bool) {
	values, _ := reply.([]any)
	if len(values) != 4 {
		return idempotency.Entry{}, false
	}
	owned, isInt := values[0].(int64)
	digest, hasDigest := values[1].(string)
	plan, hasPlan := values[2].(string)
	answer, hasAnswer := values[3].(string)
	if !isInt || owned != 0 && owned != 1 || !hasDigest || !hasPlan || !hasAnswer && values[3] != nil {
		return idempotency.Entry{}, false
	}
	e = idempotency.Entry{Digest: []byte(digest), Plan: []byte(plan), Owned: owned == 1}
	if hasAnswer {
		e.Answer = []byte(answer)
	}
	return e, true
}

// milliseconds rounds up: nothing is shorter than it was asked for.
func milliseconds(d time.Duration) int64 { return int64((d + time.Millisecond - 1) / time.Millisecond) }
