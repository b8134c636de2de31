// Package idempotency is what a first use, a retry and a misuse of an Idempotency-Key mean
// (draft-ietf-httpapi-idempotency-key-header).
//
// A use of a key is claimed in a [Store] that all replicas share, before anything is done. The claim fixes a
// plan, opaque here, from which the same answer can be made again. Whoever holds the lease does the work and
// finishes it with the answer; the others wait for that. A holder that dies is followed by one that works by the
// same plan. What the store gets to see is named by keyed digests and sealed: no key, body, plan or answer is in
// it in the clear, and what it gives back is opened only under the use that it was sealed for.
package idempotency

import (
	"context"
	"crypto/hmac"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// How long things take.
const (
	// Lease is how long a holder may work before another attempt takes over.
	Lease = 15 * time.Second
	// Wait is how long an attempt waits for the holder's answer.
	Wait = 10 * time.Second

	work    = 10 * time.Second // for one run: it ends well inside its lease
	tidying = time.Second      // to give a lease back
)

// How often a waiting attempt looks, at first and at most seldom.
const (
	pollFirst = 20 * time.Millisecond
	pollLast  = 250 * time.Millisecond
)

// Errors of [Guard.Do] that the caller is to blame for. Any other says that the store cannot be asked, or holds
// what it should not: nothing can be said of the key now.
var (
	ErrReused     = errors.New("the key was used for another request")
	ErrInProgress = errors.New("the first request of this key is still being answered")
)

// Use is one request with a key.
type Use struct {
	Route string // keys of two routes have nothing to do with each other
	Key   string // as [ParseKey] returns it
	Body  []byte // what the request asks for: another body under one key is a misuse
	Plan  []byte // what is fixed if this is the first use
}

// Answer is what a client was told, or is.
type Answer struct {
	Status      int    `json:"status"`
	ContentType string `json:"content_type"`
	Body        []byte `json:"body"`
}

// isKept reports whether an answer stands for the life of its key. What may be better in a moment does not.
func (a *Answer) isKept() bool { return a.Status != 429 && a.Status < 500 }

// Guard sees to it that a use of a key is answered once. It is safe for concurrent use.
type Guard struct {
	store   Store
	seals   *sealer
	ttl     time.Duration
	waiting chan struct{} // holds a token of each attempt that waits for another one's answer
}

// maxWaiting is how many attempts wait at a time. Each holds the body of its request.
const maxWaiting = 1000

// New returns a guard over a store. The secret is one that all replicas share, of 32 bytes; entries made under
// another one are not found. Answers are kept for ttl from the first use on.
func New(store Store, secret []byte, ttl time.Duration) (*Guard, error) {
	seals, err := newSealer(secret)
	if err != nil {
		return nil, err
	}
	return &Guard{store: store, seals: seals, ttl: ttl, waiting: make(chan struct{}, maxWaiting)}, nil
}

// Do answers a use: by run, which gets the plan of the first use, or as an earlier one was answered, and then
// replayed is true. Of all uses of a key one at a time runs. An answer of status 429 or 5xx is given and not kept.
func (g *Guard) Do(ctx context.Context, u Use, run func(ctx context.Context, plan []byte) Answer) (a Answer, replayed bool, err error) {
	e := g.seals.entry(u)
	claim := Claim{Digest: e.digest, Plan: e.seal(sealedPlan, u.Plan), Owner: uuid.NewString(), Lease: Lease, TTL: g.ttl}
	giveUp := time.NewTimer(Wait)
	defer giveUp.Stop()
	waits, lost := false, false
	for poll := pollFirst; ; poll = min(2*poll, pollLast) {
		held, err := g.store.Claim(ctx, e.name, claim)
		if err != nil {
			g.release(ctx, e.name, claim.Owner) // the claim may have been heard all the same
			return Answer{}, false, fmt.Errorf("claim the key: %w", err)
		}
		switch {
		case !hmac.Equal(held.Digest, e.digest):
			return Answer{}, false, e.reused(held)
		case held.Answer != nil:
			a, err := e.openAnswer(held.Answer)
			return a, err == nil, err
		case held.Owned:
			a, err := g.work(ctx, e, claim.Owner, held.Plan, run)
			if !errors.Is(err, ErrLost) || lost {
				return a, false, err
			}
			// Another attempt took over, or the store forgot: what is kept there counts, not what was made here.
			lost = true
			claim.Plan = held.Plan // what was done was done by it
			giveUp.Reset(Wait)
			continue
		}
		if !waits {
			select {
			case g.waiting <- struct{}{}:
				waits = true
				defer func() { <-g.waiting }()
			default:
				return Answer{}, false, ErrInProgress
			}
		}
		select {
		case <-time.After(poll):
		case <-giveUp.C:
			return Answer{}, false, ErrInProgress
		case <-ctx.Done():
			return Answer{}, false, ctx.Err()
		}
	}
}

// work runs by a plan, and keeps the answer before anyone is told of it.
func (g *Guard) work(ctx context.Context, e entry, owner string, sealed []byte, run func(context.Context, []byte) Answer) (Answer, error) {
	finished := false
	defer func() { // after a panic, too
		if !finished {
			g.release(ctx, e.name, owner)
		}
	}()
	plan, err := e.open(sealedPlan, sealed)
	if err != nil {
		return Answer{}, err
	}
	working, cancel := context.WithTimeout(ctx, work)
	defer cancel()
	a := run(working, plan)
	if !a.isKept() {
		return a, nil
	}
	// A client that has gone away will come back with the same key.
	if err := g.store.Finish(context.WithoutCancel(ctx), e.name, owner, e.sealAnswer(a)); err != nil {
		return Answer{}, fmt.Errorf("keep the answer: %w", err)
	}
	finished = true
	return a, nil
}

// release gives a lease back as well as it can: without that it ends by itself.
func (g *Guard) release(ctx context.Context, name, owner string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidying)
	defer cancel()
	_ = g.store.Release(ctx, name, owner)
}
