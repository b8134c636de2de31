package remotekeys

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"strings"
	"time"
)

const (
	interval  = 5 * time.Second // between the starts of fetches that tokens cause
	maxFetch  = 5 * time.Second // of a whole fetch, both requests of discovery included
	leastWait = time.Second     // between the starts of any two fetches by Run
	startWait = 8 * time.Second // the longest between two fetches by Run while there is no usable set
)

// flight is one fetch, which all who need it wait for.
type flight struct {
	done chan struct{} // closed when what it brought can be seen
	err  error         // of the fetch; read it after done
}

// join returns the flight that is under way, or starts one unless the last was started less than spacing ago: then it
// returns nil.
func (s *Set) join(spacing time.Duration) *flight {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.flight != nil {
		return s.flight
	}
	if time.Since(s.started) < spacing {
		return nil
	}
	f := &flight{done: make(chan struct{})}
	s.flight, s.started = f, time.Now()
	go s.fly(f)
	return f
}

// wait reports whether the flight ended while its caller could wait.
func (f *flight) wait(ctx context.Context) bool {
	patience := maxWait
	if deadline, ok := ctx.Deadline(); ok {
		patience = min(patience, time.Until(deadline)-margin)
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-f.done:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

// Fetch fetches the set once, now, or waits for the fetch that is under way. Its error says why the fetch failed, or
// is that of ctx, whose end ends the wait and not the fetch.
func (s *Set) Fetch(ctx context.Context) error {
	f := s.join(0)
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return fmt.Errorf("wait for the key set of %s: %w", s.o.Name, ctx.Err())
	}
}

// Run fetches the set at once, and keeps it fresh until ctx ends.
func (s *Set) Run(ctx context.Context) {
	defer s.client.CloseIdleConnections()
	for ctx.Err() == nil {
		s.mu.Lock()
		wait := time.Until(s.next)
		s.mu.Unlock()
		if wait <= 0 {
			_ = s.Fetch(ctx) // fly tells of its error
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C: // a token may have had the set fetched meanwhile, so that next is later now
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// fly fetches. Its context is its own, so that nobody who gives up fails the others.
func (s *Set) fly(f *flight) {
	ctx, cancel := context.WithTimeout(context.Background(), maxFetch)
	defer cancel()
	fetched, began := s.o.Now(), time.Now()
	a, err := s.fetchSafely(ctx)
	if err == nil {
		s.current.Store(&snapshot{keys: a.keys, count: a.count, fetched: fetched, began: began})
	}
	s.tell(a.dropped, err)
	s.o.Fetched(err)

	s.mu.Lock()
	defer s.mu.Unlock()
	s.err, f.err, s.flight = err, err, nil
	s.failures++
	if err == nil {
		s.failures = 0
	}
	s.next = s.started.Add(max(leastWait, s.pause()))
	close(f.done)
}

// fetchSafely makes a panic, which would end the process, a fetch that failed.
func (s *Set) fetchSafely(ctx context.Context) (a answer, err error) {
	defer func() {
		if p := recover(); p != nil {
			s.o.Log.Error("fetching a key set panicked", "issuer", s.o.Name, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = errors.New("the fetch panicked")
		}
	}()
	return s.fetch(ctx)
}

// pause returns how long after the start of the last fetch Run starts another.
func (s *Set) pause() time.Duration {
	c := s.usable()
	if c == nil {
		return doubled(time.Second, s.failures-1, startWait)
	}
	left := s.o.MaxAge - c.age(s.o.Now()) // a set that has become too old is fetched like one that never was
	if s.failures > 0 {
		return min(left, doubled(5*time.Second, s.failures-1, s.o.Refresh))
	}
	// The jitter parts the instances that were started together.
	return min(left, s.o.Refresh-rand.N(s.o.Refresh/10+1))
}

// doubled returns d, doubled so many times, or most if that is less.
func doubled(d time.Duration, times int, most time.Duration) time.Duration {
	for ; times > 0 && d < most; times-- {
		d *= 2
	}
	return min(d, most)
}

// told is what was logged last.
type told struct {
	failure string // "" after a success
	dropped string // "" after a set of which no key was dropped
}

// tell logs what is new about a fetch. Only flights call it, of which there is one at a time.
func (s *Set) tell(dropped []error, err error) {
	log := s.o.Log.With("issuer", s.o.Name)
	if reasons := summary(dropped); reasons != s.told.dropped && (err == nil || reasons != "") {
		s.told.dropped = reasons
		if reasons != "" {
			log.Warn("keys of a fetched set are not used", "dropped", len(dropped), "reasons", reasons)
		}
	}
	switch {
	case err == nil && s.told.failure != "":
		s.told.failure = ""
		log.Info("the key set is fetched again")
	case err != nil && s.told.failure != err.Error():
		s.told.failure = err.Error()
		log.Warn("the key set cannot be fetched", "cause", s.told.failure, "last_set_usable", s.usable() != nil)
	}
}

// summary returns the first reasons, enough to see what is wrong with the set.
func summary(dropped []error) string {
	const most = 5
	var text []string
	for _, err := range dropped[:min(most, len(dropped))] {
		text = append(text, err.Error())
	}
	if more := len(dropped) - most; more > 0 {
		text = append(text, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(text, "; ")
}
