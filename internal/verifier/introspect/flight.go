package introspect

import (
	"context"
	"fmt"
	"runtime/debug"
	"strings"
	"time"
)

// flight is a question to a server that is under way. All who ask the same meanwhile wait for it.
type flight struct {
	done   chan struct{} // closed once the rest is set
	answer *answer
	err    error // the token could not be judged
}

// minMargin is how long before a request's deadline it stops waiting, at least: its answer has a way to go.
const minMargin = 5 * time.Millisecond

// deadline returns until when a request with this context waits.
func (s *server) deadline(ctx context.Context) time.Time {
	now := time.Now()
	end := now.Add(s.Timeout)
	if d, ok := ctx.Deadline(); ok {
		if d = d.Add(-max(minMargin, d.Sub(now)/10)); d.Before(end) {
			end = d
		}
	}
	return end
}

// ask returns what the server says of a token, once it does. An error says that it did not, or not in time; it blames
// no token. A request that gives up leaves the question to those who wait on.
func (v *Verifier) ask(ctx context.Context, s *server, k key, token string, now time.Time) (*answer, error) {
	deadline := s.deadline(ctx)
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	if ctx.Err() == nil { // else nobody would wait
		f := v.join(s, k, token, now)
		select {
		case <-f.done:
			if before(time.Now(), deadline) { // not so after a pause of the process, which makes an answer old
				return f.answer, f.err
			}
		case <-ctx.Done():
		}
	}
	v.asked(s.Name, ResultLate)
	err := ctx.Err()
	if err == nil {
		err = context.DeadlineExceeded
	}
	return nil, fmt.Errorf("introspection server %s: no answer while the request could wait: %w", s.Name, err)
}

// join returns the flight that asks about a token, and starts it if there is none.
func (v *Verifier) join(s *server, k key, token string, now time.Time) *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.flights[k]
	if f != nil {
		return f
	}
	f = &flight{done: make(chan struct{})}
	if f.answer = v.cached(k, now); f.answer != nil { // one has landed since the cache was looked at
		close(f.done)
		return f
	}
	s.flights[k] = f
	// The flight may outlast the request, whose strings end with it.
	go v.fly(s, f, k, strings.Clone(token), now)
	return f
}

// fly asks the server, when it is this flight's turn, and tells those who wait.
func (v *Verifier) fly(s *server, f *flight, k key, token string, asked time.Time) {
	turn := time.NewTimer(s.Timeout / 2)
	defer turn.Stop()
	select {
	case s.slots <- struct{}{}:
	case <-turn.C:
		f.err = fmt.Errorf("introspection server %s: all of its %d calls are taken", s.Name, s.MaxCalls)
		v.asked(s.Name, ResultBusy)
		v.land(s, f, k)
		return
	}
	// Each call has its own whole Timeout: were it less for one that waited, a server that hangs would be called
	// more often than MaxCalls times in one.
	ctx, cancel := context.WithTimeout(context.Background(), s.Timeout)
	defer cancel()
	f.answer, f.err = v.call(ctx, s, token, asked)
	v.asked(s.Name, result(f))
	v.land(s, f, k)
	s.leave(ctx, f.err == nil)
}

func result(f *flight) string {
	switch {
	case f.err != nil:
		return ResultFailed
	case f.answer.refused != nil:
		return ResultInactive
	}
	return ResultActive
}

// call asks the server once. What it returns is an answer of this moment, or an error.
func (v *Verifier) call(ctx context.Context, s *server, token string, asked time.Time) (a *answer, err error) {
	defer func() { // nobody else would: this is a goroutine of its own
		if p := recover(); p != nil {
			a, err = nil, fmt.Errorf("introspection server %s: panic: %v\n%s", s.Name, p, debug.Stack())
		}
	}()
	body, err := s.Ask.Ask(ctx, token)
	if deadline, _ := ctx.Deadline(); err == nil && !before(time.Now(), deadline) {
		err = context.DeadlineExceeded // an answer about the past
	}
	if err == nil {
		a, err = v.read(s, body, token, asked)
	}
	if err != nil {
		return nil, fmt.Errorf("introspection server %s: %w", s.Name, err)
	}
	return a, nil
}

// land ends a flight. Its answer is kept first, so that who finds no flight any more finds the answer.
func (v *Verifier) land(s *server, f *flight, k key) {
	if f.err == nil && before(v.now(), f.answer.end) {
		v.cache.Set(k, f.answer)
	}
	s.mu.Lock()
	delete(s.flights, k)
	s.mu.Unlock()
	close(f.done)
}

// leave makes room for the next call. After a failure that is when ctx, the call's, ends, or when another call has
// brought an answer: a server that fails at once is not asked more often for that, MaxCalls times in a Timeout, and
// one that fails on some tokens alone is asked about the others.
func (s *server) leave(ctx context.Context, ok bool) {
	s.mu.Lock()
	answered := s.answered
	if ok {
		close(answered)
		s.answered = make(chan struct{})
	}
	s.mu.Unlock()
	if !ok {
		select {
		case <-answered:
		case <-ctx.Done():
		}
	}
	<-s.slots
}
