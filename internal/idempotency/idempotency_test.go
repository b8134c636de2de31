package idempotency_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/passgate/passgate/internal/idempotency"
	"github.com/passgate/passgate/internal/store/memstore"
)

const ttl = 5 * time.Minute

// spy stands before a store, remembers what it was given and fails as it is told.
type spy struct {
	idempotency.Store
	mu       sync.Mutex
	seen     []byte // every value
	claimErr error
	finish   func() error // nil: the store's own
	released []string
}

func (s *spy) Claim(ctx context.Context, key string, c idempotency.Claim) (idempotency.Entry, error) {
	s.mu.Lock()
	s.seen = slices.Concat(s.seen, []byte(key), c.Digest, c.Plan)
	err := s.claimErr
	s.mu.Unlock()
	if err != nil {
		return idempotency.Entry{}, err
	}
	return s.Store.Claim(ctx, key, c)
}

func (s *spy) Finish(ctx context.Context, key, owner string, answer []byte) error {
	s.mu.Lock()
	s.seen = append(s.seen, answer...)
	fail := s.finish
	s.mu.Unlock()
	if fail != nil {
		if err := fail(); err != nil {
			return err
		}
	}
	return s.Store.Finish(ctx, key, owner, answer)
}

func (s *spy) Release(ctx context.Context, key, owner string) error {
	s.mu.Lock()
	s.released = append(s.released, owner)
	s.mu.Unlock()
	return s.Store.Release(ctx, key, owner)
}

func newGuard(t *testing.T, store idempotency.Store) *idempotency.Guard {
	t.Helper()
	g, err := idempotency.New(store, bytes.Repeat([]byte("s"), 32), ttl)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func newSpy() *spy { return &spy{Store: memstore.New(time.Now)} }

func use(key, body string) idempotency.Use {
	return idempotency.Use{Route: "signup", Key: key, Body: []byte(body), Plan: []byte("plan of " + body)}
}

// answer returns a run that gives one answer, and counts.
func answer(status int, text string, runs *atomic.Int32) func(context.Context, []byte) idempotency.Answer {
	return func(context.Context, []byte) idempotency.Answer {
		runs.Add(1)
		return idempotency.Answer{Status: status, ContentType: "application/json", Body: []byte(text)}
	}
}

func TestFirstUseRunsAndLaterOnesAreReplayed(t *testing.T) {
	for _, status := range []int{200, 201, 401, 409, 422} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			g := newGuard(t, newSpy())
			var runs atomic.Int32
			for i := range 3 {
				a, replayed, err := g.Do(t.Context(), use("k", "body"), answer(status, "once\x00\xff", &runs))
				if err != nil {
					t.Fatal(err)
				}
				if a.Status != status || a.ContentType != "application/json" || string(a.Body) != "once\x00\xff" || replayed != (i > 0) {
					t.Errorf("use %d: %+v, replayed %t", i+1, a, replayed)
				}
			}
			if runs.Load() != 1 {
				t.Errorf("it ran %d times", runs.Load())
			}
		})
	}
}

func TestTemporaryAnswersAreNotKept(t *testing.T) {
	for _, status := range []int{429, 500, 502, 503} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			s := newSpy()
			g := newGuard(t, s)
			var runs atomic.Int32
			if a, replayed, err := g.Do(t.Context(), use("k", "body"), answer(status, "later", &runs)); err != nil || replayed || a.Status != status {
				t.Fatalf("%+v, replayed %t, %v", a, replayed, err)
			}
			// At once, and not when the lease has run out; by the first plan.
			var plan string
			again := func(_ context.Context, p []byte) idempotency.Answer {
				plan = string(p)
				return idempotency.Answer{Status: 201}
			}
			u := use("k", "body")
			u.Plan = []byte("another plan")
			if a, replayed, err := g.Do(t.Context(), u, again); err != nil || replayed || a.Status != 201 || plan != "plan of body" {
				t.Errorf("%+v, replayed %t, %v, by the plan %q", a, replayed, err, plan)
			}
		})
	}
}

func TestAnotherBodyUnderAKeyIsAMisuse(t *testing.T) {
	g := newGuard(t, newSpy())
	var runs atomic.Int32
	if _, _, err := g.Do(t.Context(), use("k", "body"), answer(201, "", &runs)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := g.Do(t.Context(), use("k", "other"), answer(201, "", &runs)); !errors.Is(err, idempotency.ErrReused) {
		t.Errorf("another body: %v", err)
	}
	other := use("k", "other")
	other.Route = "login"
	if _, replayed, err := g.Do(t.Context(), other, answer(201, "", &runs)); err != nil || replayed {
		t.Errorf("another route: replayed %t, %v", replayed, err)
	}
	if runs.Load() != 2 {
		t.Errorf("%d runs, want one for each route", runs.Load())
	}
}

func TestKeyIsForgottenAfterItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuard(t, newSpy())
		var runs atomic.Int32
		do := func() bool {
			_, replayed, err := g.Do(t.Context(), use("k", "body"), answer(201, "", &runs))
			if err != nil {
				t.Fatal(err)
			}
			return replayed
		}
		do()
		time.Sleep(ttl - time.Second)
		if !do() {
			t.Error("it is forgotten within its time")
		}
		time.Sleep(2 * time.Second)
		if do() {
			t.Error("it is replayed beyond its time")
		}
	})
}

func TestOneOfManyRunsAndTheRestGetItsAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuard(t, newSpy())
		var runs, replays atomic.Int32
		slow := func(context.Context, []byte) idempotency.Answer {
			runs.Add(1)
			time.Sleep(3 * time.Second)
			return idempotency.Answer{Status: 201, Body: []byte("the one")}
		}
		var all sync.WaitGroup
		for range 200 {
			all.Go(func() {
				a, replayed, err := g.Do(t.Context(), use("k", "body"), slow)
				if err != nil || string(a.Body) != "the one" {
					t.Errorf("%+v, %v", a, err)
				}
				if replayed {
					replays.Add(1)
				}
			})
		}
		all.Wait()
		if runs.Load() != 1 || replays.Load() != 199 {
			t.Errorf("%d runs and %d replays, want 1 and 199", runs.Load(), replays.Load())
		}
	})
}

func TestWaitingEndsAfterTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpy()
		g := newGuard(t, s)
		crash := errors.New("the process died")
		s.finish = func() error { return crash } // and nobody gave the lease back:
		s.Store = unreleased{s.Store}
		var runs atomic.Int32
		if _, _, err := g.Do(t.Context(), use("k", "body"), answer(201, "lost", &runs)); !errors.Is(err, crash) {
			t.Fatal(err)
		}
		s.finish = nil
		start := time.Now()
		if _, _, err := g.Do(t.Context(), use("k", "body"), answer(201, "", &runs)); !errors.Is(err, idempotency.ErrInProgress) {
			t.Errorf("while the lease runs: %v", err)
		}
		if waited := time.Since(start); waited != idempotency.Wait {
			t.Errorf("it waited %v, want %v", waited, idempotency.Wait)
		}
		// The lease of 15 s is over in 5 s: who waits then takes over and does not need to come back.
		var plan string
		a, replayed, err := g.Do(t.Context(), idempotency.Use{Route: "signup", Key: "k", Body: []byte("body"), Plan: []byte("new")},
			func(_ context.Context, p []byte) idempotency.Answer {
				plan = string(p)
				return idempotency.Answer{Status: 201, Body: []byte("resumed")}
			})
		if err != nil || replayed || string(a.Body) != "resumed" || plan != "plan of body" {
			t.Errorf("%+v, replayed %t, %v, by the plan %q", a, replayed, err, plan)
		}
		if since := time.Since(start); since < 5*time.Second || since > idempotency.Lease+time.Second {
			t.Errorf("taken over %v after the first wait began", since)
		}
	})
}

func TestStoreThatForgetsIsAskedAgainOnce(t *testing.T) {
	for _, test := range []struct {
		name          string
		forgets, runs int32
	}{{"once", 1, 2}, {"always", 100, 2}} {
		t.Run(test.name, func(t *testing.T) {
			s := newSpy()
			g := newGuard(t, s)
			var runs, forgotten atomic.Int32
			s.finish = func() error {
				if forgotten.Add(1) > test.forgets {
					return nil
				}
				s.Store = memstore.New(time.Now) // a restart without persistence
				return idempotency.ErrLost
			}
			_, _, err := g.Do(t.Context(), use("k", "body"), answer(201, "made", &runs))
			if (err == nil) != (test.forgets == 1) || runs.Load() != test.runs {
				t.Errorf("%d runs, %v", runs.Load(), err)
			}
		})
	}
}

// What is done again after the store forgot is done by the plan that it was done by before: another one would find
// the account of the first taken.
func TestStoreThatForgetsDoesNotChangeThePlan(t *testing.T) {
	s := newSpy()
	g := newGuard(t, s)
	var runs atomic.Int32
	if _, _, err := g.Do(t.Context(), use("k", "body"), answer(503, "busy", &runs)); err != nil {
		t.Fatal(err)
	}
	forgotten := false
	s.finish = func() error {
		if forgotten {
			return nil
		}
		forgotten = true
		s.Store = memstore.New(time.Now)
		return idempotency.ErrLost
	}
	retry := use("k", "body")
	retry.Plan = []byte("another plan")
	var plans []string
	_, _, err := g.Do(t.Context(), retry, func(_ context.Context, plan []byte) idempotency.Answer {
		plans = append(plans, string(plan))
		return idempotency.Answer{Status: 201}
	})
	if err != nil || !slices.Equal(plans, []string{"plan of body", "plan of body"}) {
		t.Errorf("it ran by %q, %v", plans, err)
	}
}

func TestCrowdThatWaitsIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuard(t, newSpy())
		release := make(chan struct{})
		var all sync.WaitGroup
		var turnedAway, answered atomic.Int32
		for range 3000 {
			all.Go(func() {
				_, _, err := g.Do(t.Context(), use("k", "body"), func(context.Context, []byte) idempotency.Answer {
					<-release
					return idempotency.Answer{Status: 201}
				})
				if errors.Is(err, idempotency.ErrInProgress) {
					turnedAway.Add(1)
				} else if err == nil {
					answered.Add(1)
				}
			})
		}
		synctest.Wait()
		if n := turnedAway.Load(); n != 1999 {
			t.Errorf("%d of 3000 were turned away at once", n)
		}
		close(release)
		all.Wait()
		if n := answered.Load(); n != 1001 {
			t.Errorf("%d were answered", n)
		}
	})
}

// unreleased loses every release, as a process does that dies.
type unreleased struct{ idempotency.Store }

func (unreleased) Release(context.Context, string, string) error { return nil }

func TestAnswerOfWhoeverTookOverCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpy()
		g := newGuard(t, s)
		// The first holder sleeps through its lease, as a paused process does.
		done := make(chan string)
		go func() {
			a, replayed, err := g.Do(t.Context(), use("k", "body"), func(context.Context, []byte) idempotency.Answer {
				time.Sleep(idempotency.Lease + 5*time.Second)
				return idempotency.Answer{Status: 201, Body: []byte("late")}
			})
			if err != nil || !replayed {
				t.Errorf("the late one: replayed %t, %v", replayed, err)
			}
			done <- string(a.Body)
		}()
		time.Sleep(idempotency.Lease + time.Second)
		var runs atomic.Int32
		a, _, err := g.Do(t.Context(), use("k", "body"), answer(201, "in time", &runs))
		if err != nil || string(a.Body) != "in time" {
			t.Errorf("the second holder: %+v, %v", a, err)
		}
		if late := <-done; late != "in time" {
			t.Errorf("the late holder was answered %q, want what is kept", late)
		}
	})
}

func TestRunEndsInsideItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGuard(t, newSpy())
		start := time.Now()
		_, _, err := g.Do(t.Context(), use("k", "body"), func(ctx context.Context, _ []byte) idempotency.Answer {
			if ctx.Err() != nil {
				t.Error("it is over before it began")
			}
			<-ctx.Done()
			return idempotency.Answer{Status: 503}
		})
		if took := time.Since(start); err != nil || took >= idempotency.Lease {
			t.Errorf("it took %v of a lease of %v (%v)", took, idempotency.Lease, err)
		}
	})
}

func TestStoreThatCannotBeAskedIsAnError(t *testing.T) {
	down := errors.New("connection refused")
	s := newSpy()
	s.claimErr = down
	g := newGuard(t, s)
	var runs atomic.Int32
	if _, _, err := g.Do(t.Context(), use("k", "body"), answer(201, "", &runs)); !errors.Is(err, down) {
		t.Errorf("claim: %v", err)
	}
	if runs.Load() != 0 {
		t.Error("it ran without a claim")
	}
	s.claimErr = nil
	s.finish = func() error { return down }
	if _, _, err := g.Do(t.Context(), use("k", "body"), answer(201, "", &runs)); !errors.Is(err, down) {
		t.Errorf("finish: %v", err)
	}
	// It may be tried again at once, by the same plan.
	s.finish = nil
	if a, replayed, err := g.Do(t.Context(), use("k", "body"), answer(201, "done", &runs)); err != nil || replayed || string(a.Body) != "done" {
		t.Errorf("after it: %+v, replayed %t, %v", a, replayed, err)
	}
}

func TestClientThatGoesAwayFindsItsAnswer(t *testing.T) {
	g := newGuard(t, newSpy())
	ctx, leave := context.WithCancel(t.Context())
	_, _, _ = g.Do(ctx, use("k", "body"), func(context.Context, []byte) idempotency.Answer {
		leave()
		return idempotency.Answer{Status: 201, Body: []byte("made")}
	})
	var runs atomic.Int32
	if a, replayed, err := g.Do(t.Context(), use("k", "body"), answer(201, "again", &runs)); err != nil || !replayed || string(a.Body) != "made" {
		t.Errorf("%+v, replayed %t, %v", a, replayed, err)
	}
}

func TestPanicGivesTheLeaseBack(t *testing.T) {
	g := newGuard(t, newSpy())
	func() {
		defer func() { _ = recover() }()
		_, _, _ = g.Do(t.Context(), use("k", "body"), func(context.Context, []byte) idempotency.Answer { panic("run") })
	}()
	var runs atomic.Int32
	if _, replayed, err := g.Do(t.Context(), use("k", "body"), answer(201, "", &runs)); err != nil || replayed || runs.Load() != 1 {
		t.Errorf("after a panic: replayed %t, %v, %d runs", replayed, err, runs.Load())
	}
}

func TestStoreSeesNothingInTheClear(t *testing.T) {
	s := newSpy()
	g := newGuard(t, s)
	u := idempotency.Use{Route: "signup", Key: "visible-key", Body: []byte("visible-body"), Plan: []byte("visible-plan")}
	_, _, err := g.Do(t.Context(), u, func(context.Context, []byte) idempotency.Answer {
		return idempotency.Answer{Status: 201, Body: []byte("visible-answer")}
	})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(s.seen), "visible") || strings.Contains(string(s.seen), "signup") || len(s.seen) == 0 {
		t.Errorf("the store was given %q", s.seen)
	}
}

// garbler gives back what was never sealed.
type garbler struct {
	idempotency.Store
	change func(*idempotency.Entry)
}

func (g garbler) Claim(ctx context.Context, key string, c idempotency.Claim) (idempotency.Entry, error) {
	e, err := g.Store.Claim(ctx, key, c)
	g.change(&e)
	return e, err
}

func TestGarbledEntryIsAnErrorAndNoAnswer(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*idempotency.Entry)
	}{
		{"an answer that nobody sealed", func(e *idempotency.Entry) { e.Answer = []byte(`{"status":201}`) }},
		{"an empty answer", func(e *idempotency.Entry) { e.Answer = []byte{} }},
		{"a plan in the place of an answer", func(e *idempotency.Entry) { e.Answer = e.Plan }},
		{"a plan that nobody sealed", func(e *idempotency.Entry) { e.Plan = []byte("user_root") }},
		{"no plan", func(e *idempotency.Entry) { e.Plan = nil }},
		{"no digest", func(e *idempotency.Entry) { e.Digest = nil }},
		{"another digest", func(e *idempotency.Entry) { e.Digest = []byte("another") }},
	} {
		t.Run(test.name, func(t *testing.T) {
			g := newGuard(t, garbler{memstore.New(time.Now), test.change})
			var runs atomic.Int32
			a, replayed, err := g.Do(t.Context(), use("k", "body"), answer(201, "", &runs))
			if err == nil || errors.Is(err, idempotency.ErrReused) || runs.Load() != 0 {
				t.Errorf("%+v, replayed %t, %v, %d runs; want an error that blames nobody", a, replayed, err, runs.Load())
			}
		})
	}
}
