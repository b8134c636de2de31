package introspect

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
	"unsafe"
)

func TestAnswersAreKeptUntilTheirEnd(t *testing.T) {
	for name, test := range map[string]struct {
		answer, want string
		change       func(*Server)
		end          time.Duration // 0: not kept
	}{
		"active":                       {active(""), good, func(*Server) {}, 30 * time.Second},
		"active, exp later":            {active(`,"exp":1800000031`), good, func(*Server) {}, 30 * time.Second},
		"active, exp sooner":           {active(`,"exp":1800000029`), good, func(*Server) {}, 29 * time.Second},
		"active, nothing is kept":      {active(""), good, func(s *Server) { s.Cache = 0 }, 0},
		"inactive":                     {`{"active":false}`, invalid, func(*Server) {}, 5 * time.Second},
		"inactive with an exp":         {`{"active":false,"exp":1800000001}`, invalid, func(*Server) {}, 5 * time.Second},
		"inactive, nothing is kept":    {`{"active":false}`, invalid, func(s *Server) { s.NegativeCache = 0 }, 0},
		"inactive, active ones aren't": {`{"active":false}`, invalid, func(s *Server) { s.Cache = 0 }, 5 * time.Second},
		"active for nobody":            {`{"active":true}`, invalid, func(*Server) {}, 5 * time.Second},
		"active for another audience":  {active(""), invalid, func(s *Server) { s.Audiences = []string{"api"} }, 5 * time.Second},
		"active and expired":           {active(`,"exp":1`), expired, func(*Server) {}, 5 * time.Second},
		"active and not yet valid":     {active(`,"nbf":1800000061`), invalid, func(s *Server) { s.Cache = 0 }, 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				a := says(test.answer)
				s := idp(a)
				test.change(&s)
				v := newVerifier(s)
				expect(t, v, opaque(testToken), now, test.want)
				if test.end == 0 {
					expect(t, v, opaque(testToken), now, test.want)
					expectCalls(t, a, 2)
					return
				}
				expect(t, v, opaque(testToken), now.Add(test.end-1), test.want)
				expectCalls(t, a, 1)
				a.set(down().answer) // and what was known is worth nothing any more
				for _, at := range []time.Duration{test.end, test.end + 1, test.end + time.Hour, 10 * 365 * 24 * time.Hour} {
					expect(t, v, opaque(testToken), now.Add(at), unavailable)
				}
				expectCalls(t, a, 5)
			})
		})
	}
}

// The time that a call takes is part of the answer's age.
func TestAgeBeginsBeforeTheCall(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := says("")
		a.answer = func(context.Context, string) ([]byte, error) {
			time.Sleep(50 * time.Millisecond)
			return []byte(active("")), nil
		}
		v := New(Options{Servers: []Server{idp(a)}})
		asked := time.Now()
		expect(t, v, opaque(testToken), asked, good)
		expect(t, v, opaque(testToken), asked.Add(30*time.Second-1), good)
		expectCalls(t, a, 1)
		expect(t, v, opaque(testToken), asked.Add(30*time.Second), good)
		expectCalls(t, a, 2)
	})
}

// A process that was stopped, or a machine that slept, comes back to answers that are too old.
func TestAPausedProcessUsesNoStaleAnswer(t *testing.T) {
	start := time.Now()
	for name, test := range map[string]struct {
		now  time.Time
		want string
	}{
		"a second later":                   {start.Add(time.Second), good},
		"an hour later":                    {start.Add(time.Hour), invalid},
		"the monotonic clock stood still":  {shifted(start.Add(time.Hour), -time.Hour), invalid},
		"that of the wall was set back":    {shifted(start, time.Hour), invalid},
		"that of the wall is the only one": {start.Add(time.Hour).Round(0), invalid},
	} {
		t.Run(name, func(t *testing.T) {
			a := says(active(""))
			s := idp(a)
			s.Timeout = time.Minute
			v := New(Options{Servers: []Server{s}})
			expect(t, v, opaque(testToken), start, good)
			a.set(says(`{"active":false}`).answer)
			expect(t, v, opaque(testToken), test.now, test.want)
		})
	}
}

// shifted returns a time whose monotonic reading alone is moved.
func shifted(t time.Time, d time.Duration) time.Time {
	type fields struct { // of time.Time: those with a monotonic reading have it in the second
		wall uint64
		ext  int64
		loc  *time.Location
	}
	(*fields)(unsafe.Pointer(&t)).ext += int64(d)
	return t
}

func TestShifted(t *testing.T) {
	start := time.Now()
	if moved := shifted(start, time.Hour); moved.Sub(start) != time.Hour || !moved.Round(0).Equal(start.Round(0)) {
		t.Skip("time.Time is made in another way here")
	}
}

// Each server has its own word on one and the same token, and is asked for it.
func TestAnswersAreNotUsedForAnotherServer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b, c := says(`{"active":true,"sub":"ann"}`), says(`{"active":true,"sub":"bob"}`), says(`{"active":false}`)
		servers := []Server{idp(a), idp(b), idp(c)}
		servers[1].Name, servers[1].UserPrefix = "other", "other:"
		servers[2].Name = "third"
		v := newVerifier(servers...)
		for range 3 {
			if user, _ := expect(t, v, opaque(testToken, "idp"), now, good); user != "idp:ann" {
				t.Errorf("idp says %s", user)
			}
			if user, _ := expect(t, v, opaque(testToken, "accounts", "other"), now, good); user != "other:bob" {
				t.Errorf("other says %s", user)
			}
			expect(t, v, opaque(testToken, "third"), now, invalid)
			expect(t, v, opaque(testToken), now, invalid)
			expect(t, v, opaque(testToken, "idp", "other"), now, invalid)
			expect(t, v, opaque(testToken, "nobody"), now, invalid)
		}
		expectCalls(t, a, 1)
		expectCalls(t, b, 1)
		expectCalls(t, c, 1)
	})
}

func TestAnswersAreNotUsedForAnotherToken(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := says("")
		a.answer = func(_ context.Context, token string) ([]byte, error) {
			return fmt.Appendf(nil, `{"active":%t,"sub":"x"}`, token == testToken), nil
		}
		v := newVerifier(idp(a))
		expect(t, v, opaque(testToken), now, good)
		for _, other := range []string{testToken + "x", testToken[1:], strings.ToUpper(testToken), testToken + "="} {
			expect(t, v, opaque(other), now, invalid)
		}
		expect(t, v, opaque(testToken), now, good)
		expectCalls(t, a, 5)
	})
}

func TestTheCacheIsBounded(t *testing.T) {
	const limit = 100
	for name, test := range map[string]struct {
		answer string
		most   int
	}{
		"refusals":     {`{"active":false,"x":"` + strings.Repeat("x", 12<<10) + `"}`, limit},
		"short ones":   {active(""), limit},
		"long answers": {padded(maxAnswerBytes), limit / 64},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				a := says(test.answer)
				v := New(Options{Servers: []Server{idp(a)}, MaxCached: limit, Now: func() time.Time { return now }})
				for n := range 3000 {
					_, _ = v.Verify(t.Context(), opaque(fmt.Sprint(testToken, n)), now)
					if kept := v.kept(); kept > test.most {
						t.Fatalf("%d answers are kept after %d tokens", kept, n)
					}
				}
				expectCalls(t, a, 3000)
				if v.kept() < test.most*9/10 {
					t.Errorf("only %d answers are kept", v.kept())
				}
				for _, s := range v.servers {
					if len(s.flights) != 0 {
						t.Errorf("%d flights are left", len(s.flights))
					}
				}
			})
		})
	}
}

// A flood of tokens that are used once does not drive out one that is used all the time.
func TestTheHotTokenStaysCached(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := says(active(""))
		v := New(Options{Servers: []Server{idp(a)}, MaxCached: 100, Now: func() time.Time { return now }})
		for n := range 5000 {
			_, _ = v.Verify(t.Context(), opaque(testToken), now)
			_, _ = v.Verify(t.Context(), opaque(fmt.Sprint(testToken, n)), now)
		}
		if again := a.calls.Load() - 5001; again > 50 {
			t.Errorf("the hot token was asked for %d times more", again)
		}
	})
}

func BenchmarkCached(b *testing.B) {
	v := newVerifier(idp(says(active(`,"exp":1800003600,"scope":"read write","roles":["admin"]`))))
	c := opaque(testToken)
	b.ReportAllocs()
	for b.Loop() {
		id, err := v.Verify(b.Context(), c, now)
		if err != nil || id.UserID != "idp:ann" {
			b.Fatalf("got %v, %v", id, err)
		}
	}
}
