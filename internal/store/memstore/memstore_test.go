package memstore

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/passgate/passgate/internal/account"
	accounttest "github.com/passgate/passgate/internal/account/storetest"
	"github.com/passgate/passgate/internal/idempotency"
	"github.com/passgate/passgate/internal/idempotency/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a clock that is set by hand.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Unix(1_700_000_000, 0)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func TestContract(t *testing.T) {
	c := newClock()
	storetest.Run(t, func(*testing.T) idempotency.Store { return New(c.Now) }, c.advance)
}

func TestAccountsContract(t *testing.T) {
	accounttest.Run(t, func(*testing.T) account.Store { return NewAccounts() })
}

func claim(t *testing.T, s *Store, key string, ttl time.Duration) error {
	t.Helper()
	_, err := s.Claim(t.Context(), key, idempotency.Claim{Owner: "owner", Lease: time.Minute, TTL: ttl})
	return err
}

func TestFull(t *testing.T) {
	c := newClock()
	s := New(c.Now)
	s.Max = 3
	for i, ttl := range []time.Duration{time.Hour, time.Minute, time.Hour} {
		if err := claim(t, s, fmt.Sprint(i), ttl); err != nil {
			t.Fatalf("claim %d: %v", i, err)
		}
	}
	if err := claim(t, s, "one too many", time.Hour); !errors.Is(err, errFull) || errors.Is(err, idempotency.ErrLost) {
		t.Errorf("a claim of a full store: %v, want %v", err, errFull)
	}
	if err := claim(t, s, "0", time.Hour); err != nil {
		t.Errorf("a claim of what a full store holds: %v", err)
	}
	if err := s.Finish(t.Context(), "0", "owner", []byte("answer")); err != nil {
		t.Errorf("Finish in a full store: %v", err)
	}
	if err := s.Finish(t.Context(), "1", "owner", []byte("answer")); err != nil {
		t.Fatal(err)
	}
	// Nobody works on the one that ends first any more.
	if err := claim(t, s, "makes room", time.Hour); err != nil {
		t.Errorf("a claim where one is finished: %v", err)
	}
	if err := s.Finish(t.Context(), "1", "owner", []byte("answer")); !errors.Is(err, idempotency.ErrLost) {
		t.Errorf("what made room is still there: %v", err)
	}
	if err := claim(t, s, "0", time.Hour); err != nil {
		t.Errorf("another one made room too: %v", err)
	}
	c.advance(time.Hour)
	if err := claim(t, s, "new", time.Hour); err != nil {
		t.Errorf("a claim after all ran out: %v", err)
	}
	if n := len(s.entries); n != 1 {
		t.Errorf("%d entries are held, want the new one", n)
	}
}

// Nothing but claims drops what has run out, a few entries at a time.
func TestWhatHasRunOutIsDropped(t *testing.T) {
	c := newClock()
	s := New(c.Now)
	const n = 1000
	for i := range n {
		if err := claim(t, s, fmt.Sprint(i), time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	c.advance(time.Minute)
	for i := range n {
		if err := claim(t, s, fmt.Sprint("later ", i), time.Minute); err != nil {
			t.Fatal(err)
		}
		if dropped := n + i + 1 - len(s.entries); dropped > 2*(i+1) {
			t.Fatalf("claim %d and those before it dropped %d entries", i, dropped)
		}
	}
	if len(s.entries) != n || len(s.byEnd) != n {
		t.Errorf("%d entries are held, %d in the heap; want the later %d", len(s.entries), len(s.byEnd), n)
	}
}

// An entry that takes the place of one that has run out does not go when that one is dropped.
func TestNewInThePlaceOfOld(t *testing.T) {
	c := newClock()
	s := New(c.Now)
	const n = 10
	for i := range n {
		if err := claim(t, s, fmt.Sprint(i), time.Duration(1+i)*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	c.advance(n * time.Second)
	for i := range n {
		if err := claim(t, s, fmt.Sprint(n-1-i), time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.entries) != n || len(s.byEnd) != n {
		t.Errorf("%d entries are held, %d in the heap; want %d", len(s.entries), len(s.byEnd), n)
	}
	for key := range s.entries {
		if err := s.Finish(t.Context(), key, "owner", nil); err != nil {
			t.Errorf("Finish of %s: %v", key, err)
		}
	}
}

// The entries of a minute are held, a thousand a second.
func BenchmarkClaimFinish(b *testing.B) {
	now := newClock()
	s := New(now.Now)
	answer := []byte(strings.Repeat("a", 800))
	c := idempotency.Claim{Digest: []byte("digest"), Plan: []byte("plan"), Owner: "owner", Lease: time.Minute, TTL: time.Minute}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		now.advance(time.Millisecond)
		key := fmt.Sprint(i)
		if e, err := s.Claim(b.Context(), key, c); err != nil || !e.Owned {
			b.Fatalf("Claim: owned %t, %v", e.Owned, err)
		}
		if err := s.Finish(b.Context(), key, "owner", answer); err != nil {
			b.Fatal(err)
		}
	}
}
