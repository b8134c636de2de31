package introspect

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	"github.com/passgate/passgate/internal/authz"
)

// together verifies n credentials at once and returns the verdicts, counted.
func together(t *testing.T, v *Verifier, n int, c func(n int) authz.Credential) map[string]int {
	t.Helper()
	var mu sync.Mutex
	verdicts := make(map[string]int)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			id, err := v.Verify(t.Context(), c(i), now)
			mu.Lock()
			defer mu.Unlock()
			verdicts[verdict(t, id, err)]++
		})
	}
	group.Wait()
	return verdicts
}

func sameToken(int) authz.Credential     { return opaque(testToken) }
func uniqueToken(n int) authz.Credential { return opaque(fmt.Sprint(testToken, n)) }

// after returns a fake server that takes its time.
func after(d time.Duration, body string) *asker {
	return &asker{answer: func(ctx context.Context, _ string) ([]byte, error) {
		select {
		case <-time.After(d):
			return []byte(body), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}}
}

func TestParallelFirstUsesAreOneCall(t *testing.T) {
	for name, test := range map[string]struct {
		asker *asker
		want  string
	}{
		"good":    {after(50*time.Millisecond, active("")), good},
		"refused": {after(50*time.Millisecond, `{"active":false}`), invalid},
		"unclear": {after(50*time.Millisecond, `<html>`), unavailable},
		"hanging": {hangs(), unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := idp(test.asker)
				s.Cache, s.NegativeCache = 0, 0 // nobody is helped by the cache
				v := newVerifier(s)
				if got := together(t, v, 1000, sameToken); got[test.want] != 1000 {
					t.Errorf("got %v", got)
				}
				expectCalls(t, test.asker, 1)
				if v.kept() != 0 {
					t.Errorf("%d answers are kept that nobody may use", v.kept())
				}
			})
		})
	}
}

// Between a look at the cache and one for a flight, the flight may have landed.
func TestALandedFlightIsFound(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := says(active(""))
		v := newVerifier(idp(a))
		expect(t, v, opaque(testToken), now, good)
		f := v.join(v.servers[0], key{"idp", sha256.Sum256([]byte(testToken))}, testToken, now)
		<-f.done
		if f.err != nil || f.answer.identity.UserID != "idp:ann" {
			t.Errorf("got %+v, %v", f.answer, f.err)
		}
		expectCalls(t, a, 1)
	})
}

// The same on the scheduler's own terms: who comes after the answer finds it in the cache.
func TestParallelFirstUsesAreOneCallInRealTime(t *testing.T) {
	a := says(active(""))
	s := idp(a)
	s.Timeout = time.Minute
	v := newVerifier(s)
	for round := range 20 {
		if got := together(t, v, 1000, func(int) authz.Credential { return uniqueToken(round) }); got[good] != 1000 {
			t.Errorf("got %v", got)
		}
		expectCalls(t, a, int64(round+1))
	}
}

func TestOneTokenAtTwoServersIsTwoCalls(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := after(time.Millisecond, active("")), after(time.Millisecond, `{"active":false}`)
		other := idp(b)
		other.Name = "other"
		v := newVerifier(idp(a), other)
		got := together(t, v, 1000, func(n int) authz.Credential { return opaque(testToken, []string{"idp", "other"}[n%2]) })
		if got[good] != 500 || got[invalid] != 500 {
			t.Errorf("got %v", got)
		}
		expectCalls(t, a, 1)
		expectCalls(t, b, 1)
	})
}

func TestACallerThatGivesUpFailsNobodyElse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := after(50*time.Millisecond, active(""))
		v := newVerifier(idp(a))
		first, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		group.Go(func() {
			id, err := v.Verify(first, opaque(testToken), now)
			if got := verdict(t, id, err); got != unavailable || !errors.Is(err, context.Canceled) {
				t.Errorf("who gave up got %s (%v)", got, err)
			}
		})
		synctest.Wait() // the first has begun the call
		group.Go(func() { expect(t, v, opaque(testToken), now, good) })
		synctest.Wait()
		cancel()
		group.Wait()
		expectCalls(t, a, 1)
	})
}

// Nobody waits any more, and still the answer is there for the next.
func TestAnAnswerForNobodyIsKept(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := after(50*time.Millisecond, active(""))
		v := newVerifier(idp(a))
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		_, err := v.Verify(ctx, opaque(testToken), now)
		if err == nil || ctx.Err() != nil {
			t.Errorf("got %v while the context says %v", err, ctx.Err())
		}
		time.Sleep(40 * time.Millisecond)
		expect(t, v, opaque(testToken), now, good)
		expectCalls(t, a, 1)
	})
}

func TestARequestWaitsNoLongerThanItsDeadlineAllows(t *testing.T) {
	for name, test := range map[string]struct {
		deadline, timeout, want time.Duration // deadline 0: none
		calls                   int64
	}{
		"a tenth is left":        {200 * time.Millisecond, time.Second, 180 * time.Millisecond, 1},
		"5 ms are left":          {30 * time.Millisecond, time.Second, 25 * time.Millisecond, 1},
		"the timeout is shorter": {200 * time.Millisecond, 100 * time.Millisecond, 100 * time.Millisecond, 1},
		"no deadline":            {0, 100 * time.Millisecond, 100 * time.Millisecond, 1},
		"no timeout is 100 ms":   {0, 0, 100 * time.Millisecond, 1},
		"too late to ask":        {5 * time.Millisecond, time.Second, 0, 0},
		"past":                   {-time.Second, time.Second, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				a := hangs()
				s := idp(a)
				s.Timeout = test.timeout
				v := newVerifier(s)
				ctx := t.Context()
				if test.deadline != 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, test.deadline)
					defer cancel()
				}
				start := time.Now() // of the bubble: it moves by what is waited for, and by nothing else
				id, err := v.Verify(ctx, opaque(testToken), now)
				if got := verdict(t, id, err); got != unavailable {
					t.Errorf("got %s (%v)", got, err)
				}
				if waited := time.Since(start); waited != test.want {
					t.Errorf("waited for %s, want %s", waited, test.want)
				}
				if test.deadline > 0 && ctx.Err() != nil {
					t.Error("the answer came after the deadline")
				}
				synctest.Wait()
				expectCalls(t, a, test.calls)
			})
		})
	}
}

// Whether the answer or the end of waiting is seen first must make no difference.
func TestAnAnswerAtTheDeadlineIsTooLate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		v := newVerifier(idp(after(45*time.Millisecond, active(""))))
		for n := range 50 {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			id, err := v.Verify(ctx, uniqueToken(n), now)
			if got := verdict(t, id, err); got != unavailable {
				t.Errorf("got %s (%v)", got, err)
			}
			cancel()
		}
	})
}

func TestCallsBeyondTheMostWaitForTheirTurn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := after(40*time.Millisecond, active(""))
		s := idp(a)
		s.MaxCalls = 2
		counts := new(results)
		v := New(Options{Servers: []Server{s}, Now: func() time.Time { return now }, Asked: counts.add})
		// Two at once, two at 40 ms, and the rest are told at 50 ms that there is no room.
		if got := together(t, v, 10, uniqueToken); got[good] != 4 || got[unavailable] != 6 {
			t.Errorf("got %v", got)
		}
		expectCalls(t, a, 4)
		if diff := cmp.Diff(map[string]int{"idp active": 4, "idp busy": 6}, counts.take()); diff != "" {
			t.Error(diff)
		}
		expect(t, v, uniqueToken(99), now, good)
	})
}

func TestCallsAreNeverMoreThanTheMost(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var running, most atomic.Int64
		a := says("")
		a.answer = func(context.Context, string) ([]byte, error) {
			defer running.Add(-1)
			most.Store(max(most.Load(), running.Add(1)))
			time.Sleep(time.Millisecond)
			return []byte(active("")), nil
		}
		v := newVerifier(idp(a))
		if got := together(t, v, 1000, uniqueToken); got[good] != 1000 {
			t.Errorf("got %v", got)
		}
		if most.Load() != defaultMaxCalls {
			t.Errorf("%d calls at a time", most.Load())
		}
	})
}

// While all calls hang, the cache goes on, and so do other servers.
func TestASaturatedServerHoldsUpNobodyElse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := says(active("")), says(active(""))
		other := idp(b)
		other.Name, other.TokenPrefix = "other", "other_"
		s := idp(a)
		s.TokenPrefix, s.MaxCalls = "idp_", 3
		v := newVerifier(s, other)
		expect(t, v, opaque(testToken), now, good)
		a.set(hangs().answer)
		for n := range 3 {
			go func() { _, _ = v.Verify(t.Context(), uniqueToken(n), now) }()
		}
		synctest.Wait()
		start := time.Now()
		expect(t, v, opaque(testToken), now, good)
		expect(t, v, opaque("other_token"), now, good)
		if time.Since(start) != 0 {
			t.Error("they had to wait")
		}
		expect(t, v, uniqueToken(4), now, unavailable)
		expectCalls(t, a, 4)
	})
}

// flood verifies tokens that are used once, one each ms, for ten timeouts.
func flood(t *testing.T, v *Verifier) {
	t.Helper()
	var group sync.WaitGroup
	for n := range 1000 {
		group.Go(func() {
			id, err := v.Verify(t.Context(), uniqueToken(n), now)
			if got := verdict(t, id, err); got != unavailable {
				t.Errorf("got %s (%v)", got, err)
			}
		})
		time.Sleep(time.Millisecond)
	}
	group.Wait()
}

func TestAFailingServerIsNotFlooded(t *testing.T) {
	for name, a := range map[string]*asker{"fails at once": down(), "hangs": hangs(), "answers nonsense": says("<html>")} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := idp(a)
				s.MaxCalls = 3
				v := newVerifier(s)
				flood(t, v)
				if calls := a.calls.Load(); calls < 30 || calls > 3*11 {
					t.Errorf("%d calls in ten timeouts and a half", calls)
				}
				time.Sleep(s.Timeout)
				a.set(says(active("")).answer)
				expect(t, v, uniqueToken(0), now, good)
			})
		})
	}
}

// A server that cannot judge some tokens is asked about the others.
func TestFailuresOfSomeTokensLeaveRoomForOthers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := says("")
		a.answer = func(_ context.Context, token string) ([]byte, error) {
			if token == testToken {
				return []byte(active("")), nil
			}
			return nil, errDown
		}
		s := idp(a)
		s.MaxCalls, s.Cache = 3, 0
		v := newVerifier(s)
		for range 10 {
			start := time.Now()
			for n := range 2 {
				expect(t, v, uniqueToken(n), now, unavailable)
			}
			expect(t, v, opaque(testToken), now, good)
			synctest.Wait()
			if time.Since(start) != 0 {
				t.Fatal("somebody had to wait")
			}
		}
		expectCalls(t, a, 30)
	})
}

func TestAFailureIsForNobodyElse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := down()
		v := newVerifier(idp(a))
		if _, err := expect(t, v, opaque(testToken), now, unavailable); !errors.Is(err, errDown) {
			t.Errorf("the error does not say why: %v", err)
		}
		expectCalls(t, a, 1) // and no second try
		a.set(says(active("")).answer)
		expect(t, v, opaque(testToken), now, good)
		a.set(down().answer)
		expect(t, v, opaque(testToken), now, good)
		expect(t, v, opaque(testToken), now.Add(30*time.Second), unavailable)
		expectCalls(t, a, 3)
	})
}

func TestAPanicIsAFailureOfOneCall(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := says("")
		a.set(func(context.Context, string) ([]byte, error) { panic("a fault of a test") })
		v := newVerifier(idp(a))
		expect(t, v, opaque(testToken), now, unavailable)
		a.set(says(active("")).answer)
		expect(t, v, opaque(testToken), now, good)
	})
}

// A server whose asker does not end with its context.
func TestALateAnswerIsNotBelieved(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := says("")
		a.answer = func(context.Context, string) ([]byte, error) {
			time.Sleep(100 * time.Millisecond)
			return []byte(active("")), nil
		}
		v := newVerifier(idp(a))
		var group sync.WaitGroup
		group.Go(func() { expect(t, v, opaque(testToken), now, unavailable) })
		time.Sleep(50 * time.Millisecond)
		expect(t, v, opaque(testToken), now, unavailable) // this one would have waited for longer
		group.Wait()
		expectCalls(t, a, 1)
		if v.kept() != 0 {
			t.Error("it is kept")
		}
	})
}

// The strings of a request end with it, as a door may use their memory again.
func TestAQuestionOutlivesTheMemoryOfItsRequest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		tokens := make(chan string, 2)
		a := says("")
		a.answer = func(_ context.Context, token string) ([]byte, error) {
			time.Sleep(30 * time.Millisecond)
			tokens <- token
			return []byte(active("")), nil
		}
		s := idp(a)
		s.MaxCalls = 1
		v := newVerifier(s)
		go func() { _, _ = v.Verify(t.Context(), opaque("first"), now) }()
		synctest.Wait()
		buffer := []byte("second")
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		id, err := v.Verify(ctx, opaque(unsafe.String(&buffer[0], len(buffer))), now)
		if got := verdict(t, id, err); got != unavailable {
			t.Errorf("got %s (%v)", got, err)
		}
		copy(buffer, "xxxxxx")
		if first, second := <-tokens, <-tokens; first != "first" || second != "second" {
			t.Errorf("asked about %q and %q", first, second)
		}
	})
}

func TestAsked(t *testing.T) {
	bubble(t, func(t *testing.T) {
		counts := new(results)
		a := says(active(""))
		v := New(Options{Servers: []Server{idp(a)}, Now: func() time.Time { return now }, Asked: counts.add})
		for _, step := range []struct {
			answer func(context.Context, string) ([]byte, error)
			token  string
			want   map[string]int
		}{
			{a.answer, "a", map[string]int{"idp active": 1}},
			{a.answer, "a", map[string]int{"idp cached": 1}},
			{says(`{"active":false}`).answer, "b", map[string]int{"idp inactive": 1}},
			{says(active(`,"exp":1`)).answer, "c", map[string]int{"idp inactive": 1}},
			{says(`{}`).answer, "d", map[string]int{"idp failed": 1}},
			{hangs().answer, "d", map[string]int{"idp failed": 1, "idp late": 1}},
		} {
			a.set(step.answer)
			_, _ = v.Verify(t.Context(), opaque(step.token), now)
			synctest.Wait()
			if diff := cmp.Diff(step.want, counts.take()); diff != "" {
				t.Error(diff)
			}
		}
	})
}
