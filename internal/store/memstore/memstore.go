// Package memstore keeps in memory what the other stores keep elsewhere: for one process that needs no other,
// and for tests. What it holds is gone with the process.
package memstore

import (
	"bytes"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/passgate/passgate/internal/idempotency"
)

// DefaultMax is how many entries a [Store] holds if nothing else is said.
const DefaultMax = 100_000

var errFull = errors.New("memory holds as many entries as it may")

// Store is an [idempotency.Store] in memory. Make one with [New].
type Store struct {
	// Max is how many entries there may be, those that ran out and were not dropped yet included. It is set
	// before the store is used. When it is reached, the entry that ends first makes room, if nobody works on it.
	Max int

	now func() time.Time

	mu      sync.Mutex
	entries map[string]*entry
	byEnd   ends // the same entries
}

var _ idempotency.Store = (*Store)(nil)

// entry is what is held under a key.
type entry struct {
	key          string
	digest, plan []byte
	answer       []byte // nil until it is finished
	owner        string
	leased       time.Time // how long, zero if the lease was released
	end          time.Time // of its life
	place        int       // in the heap of ends
}

// New returns an empty store that goes by a clock, [time.Now] in production.
func New(now func() time.Time) *Store {
	return &Store{Max: DefaultMax, now: now, entries: make(map[string]*entry)}
}

// Claim implements [idempotency.Store].
func (s *Store) Claim(ctx context.Context, key string, c idempotency.Claim) (idempotency.Entry, error) {
	if err := ctx.Err(); err != nil {
		return idempotency.Entry{}, fmt.Errorf("claim: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	s.drop(now)
	e := s.live(key, now)
	if e == nil {
		if len(s.entries) >= s.Max && !s.makeRoom(now) {
			return idempotency.Entry{}, fmt.Errorf("claim: %w: %d", errFull, s.Max)
		}
		e = s.add(key, c, now)
	}
	open := e.answer == nil && bytes.Equal(e.digest, c.Digest)
	if open && !now.Before(e.leased) {
		e.owner, e.leased = c.Owner, now.Add(c.Lease)
	}
	return idempotency.Entry{
		Digest: bytes.Clone(e.digest),
		Plan:   bytes.Clone(e.plan),
		Answer: bytes.Clone(e.answer),
		Owned:  open && e.owner == c.Owner,
	}, nil
}

// Finish implements [idempotency.Store].
func (s *Store) Finish(ctx context.Context, key, owner string, answer []byte) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("finish: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.live(key, s.now())
	switch {
	case e == nil || e.owner != owner || e.leased.IsZero():
		return idempotency.ErrLost
	case e.answer == nil:
		e.answer = append([]byte{}, answer...) // an empty one is not nil
	case !bytes.Equal(e.answer, answer):
		return idempotency.ErrLost
	}
	return nil
}

// Release implements [idempotency.Store].
func (s *Store) Release(ctx context.Context, key, owner string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("release: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.live(key, s.now()); e != nil && e.owner == owner && e.answer == nil {
		e.leased = time.Time{}
	}
	return nil
}

// Ping implements [idempotency.Store]. Memory answers always.
func (s *Store) Ping(ctx context.Context) error { return ctx.Err() }

// live returns the entry of a key, or nil.
func (s *Store) live(key string, now time.Time) *entry {
	if e := s.entries[key]; e != nil && now.Before(e.end) {
		return e
	}
	return nil
}

// add makes an entry that nobody owns yet. What is under the key has run out, if there is something.
func (s *Store) add(key string, c idempotency.Claim, now time.Time) *entry {
	if old := s.entries[key]; old != nil {
		s.remove(old)
	}
	e := &entry{key: key, digest: bytes.Clone(c.Digest), plan: bytes.Clone(c.Plan), end: now.Add(c.TTL)}
	s.entries[key] = e
	heap.Push(&s.byEnd, e)
	return e
}

// drop drops what has run out: two entries at a call, which is more than one call adds, so that no call pays for
// many; or all, where room is needed.
func (s *Store) drop(now time.Time) {
	full := len(s.entries) >= s.Max
	for n := 0; len(s.byEnd) > 0 && !now.Before(s.byEnd[0].end) && (n < 2 || full); n++ {
		s.remove(s.byEnd[0])
	}
}

// makeRoom drops the entry that ends first, so that whoever makes up keys without end switches off nobody's. It
// reports false if that one is being worked on.
func (s *Store) makeRoom(now time.Time) bool {
	if len(s.byEnd) == 0 || s.byEnd[0].answer == nil && now.Before(s.byEnd[0].leased) {
		return false
	}
	s.remove(s.byEnd[0])
	return true
}

func (s *Store) remove(e *entry) {
	heap.Remove(&s.byEnd, e.place)
	delete(s.entries, e.key)
}

// ends is a heap of entries, the one that ends first on top.
type ends []*entry

func (h ends) Len() int           { return len(h) }
func (h ends) Less(i, j int) bool { return h[i].end.Before(h[j].end) }
func (h ends) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}

// Push implements [heap.Interface].
func (h *ends) Push(x any) {
	e := x.(*entry)
	e.place = len(*h)
	*h = append(*h, e)
}

// Pop implements [heap.Interface].
func (h *ends) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return e
}
