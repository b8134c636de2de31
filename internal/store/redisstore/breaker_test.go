package redisstore

import (
	"sync"
	"testing"
	"time"
)

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

// call makes a call of a known outcome and reports whether it was made.
func (b *breaker) call(o outcome) bool {
	probe, err := b.enter()
	if err != nil {
		return false
	}
	b.leave(probe, o)
	return true
}

// opened returns a breaker that has just opened.
func opened(t *testing.T) (*breaker, *clock) {
	t.Helper()
	c := newClock()
	b := &breaker{now: c.Now}
	for i := range mostFailures {
		if !b.call(failed) {
			t.Fatalf("open after %d failures, want %d", i, mostFailures)
		}
	}
	if b.call(answered) {
		t.Fatalf("a call was made after %d failures", mostFailures)
	}
	return b, c
}

func TestBreakerCountsFailuresInARow(t *testing.T) {
	b := &breaker{now: newClock().Now}
	for range 3 * mostFailures {
		for _, o := range []outcome{failed, failed, abandoned, failed, failed, answered} {
			if !b.call(o) {
				t.Fatal("open, though there was an answer between the failures")
			}
		}
	}
	for range 3 * mostFailures {
		if !b.call(abandoned) {
			t.Fatal("open, because callers gave up")
		}
	}
}

func TestBreakerProbes(t *testing.T) {
	b, c := opened(t)
	c.advance(pause - 1)
	if b.call(answered) {
		t.Fatal("a call was made before the pause was over")
	}
	c.advance(1)
	probe, err := b.enter()
	if err != nil || !probe {
		t.Fatalf("enter = %t, %v; want a probe", probe, err)
	}
	if b.call(answered) {
		t.Error("a second call was made beside the probe")
	}
	b.leave(probe, failed)
	if b.call(answered) {
		t.Error("a call was made right after the probe failed")
	}
	c.advance(pause)
	if !b.call(answered) {
		t.Fatal("no second probe")
	}
	for range mostFailures {
		if !b.call(failed) {
			t.Fatal("the probe's answer did not close it, or left failures behind")
		}
	}
}

func TestBreakerProbesAgainWhenTheCallerGaveUp(t *testing.T) {
	b, c := opened(t)
	c.advance(pause)
	for range 3 {
		if !b.call(abandoned) {
			t.Fatal("no probe after one that told nothing")
		}
	}
	for range 2 {
		if !b.call(answered) {
			t.Error("the probe's answer did not close it")
		}
	}
}

// Calls that were under way when the breaker opened end later.
func TestBreakerHearsLateCalls(t *testing.T) {
	b, c := opened(t)
	c.advance(pause / 2)
	b.leave(false, failed)
	c.advance(pause / 2)
	probe, err := b.enter()
	if err != nil {
		t.Fatal("a late failure lengthened the pause")
	}
	b.leave(false, failed)
	if b.call(answered) {
		t.Error("a late failure ended the probe")
	}
	b.leave(false, answered)
	if !b.call(answered) {
		t.Error("a late answer did not close it")
	}
	b.leave(probe, failed)
	if !b.call(answered) {
		t.Error("the probe's failure alone opened it again")
	}
}
