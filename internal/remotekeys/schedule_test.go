package remotekeys

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/passgate/passgate/internal/keyset"
)

// running runs a set for as long as the test goes on, in a bubble.
func running(t *testing.T, s *Set) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { s.Run(ctx) })
	synctest.Wait()
	return func() { cancel(); wg.Wait() }
}

func seconds(list []time.Duration) []float64 {
	var s []float64
	for _, d := range list {
		s = append(s, d.Seconds())
	}
	return s
}

func TestRunRetriesAtTheStart(t *testing.T) {
	for name, test := range map[string]struct {
		reply func(*http.Request) (*http.Response, error)
		want  []float64 // seconds of the fetches within the first minute
	}{
		"refused at once": {down, []float64{0, 1, 3, 7, 15, 23, 31, 39, 47, 55}},
		// A fetch that takes its 5 s is followed by the next within 10 s of its start, too.
		"never answered": {after(time.Hour, down), []float64{0, 5, 10, 15, 23, 31, 39, 47, 55}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv, start := &server{reply: test.reply}, time.Now()
				s := newSet(srv)
				stop := running(t, s)
				time.Sleep(time.Minute)
				if got := seconds(srv.since(start)); !slices.Equal(got, test.want) {
					t.Errorf("fetched after %v s, want %v", got, test.want)
				}
				// It recovers alone, and no token waits for it.
				srv.set(says(200, jwks("a")))
				time.Sleep(10 * time.Second)
				if state := s.State(); state.Keys != 1 || state.Err != nil {
					t.Errorf("then %+v", state)
				}
				stop()
				time.Sleep(maxFetch)
			})
		})
	}
}

func TestRunRefreshes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, start := &server{reply: says(200, jwks("a"))}, time.Now()
		s := newSet(srv, func(o *Options) { o.Refresh = 100 * time.Second })
		stop := running(t, s)
		if srv.count() != 1 {
			t.Errorf("%d fetches at once", srv.count())
		}
		time.Sleep(time.Hour)
		stop()
		asked, jitter := srv.since(start), make(map[time.Duration]bool)
		for i := range asked[1:] {
			d := asked[i+1] - asked[i]
			jitter[d] = true
			if d < 90*time.Second || d > 100*time.Second {
				t.Errorf("%s between two fetches", d)
			}
		}
		if n := len(asked); n < 36 || n > 41 || len(jitter) < 10 {
			t.Errorf("%d fetches, %d pauses", n, len(jitter))
		}
		time.Sleep(time.Hour)
		if srv.count() != len(asked) {
			t.Error("it goes on after its end")
		}
	})
}

func TestRunRetriesWithASet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, start := &server{reply: says(200, jwks("a"))}, time.Now()
		s := newSet(srv, func(o *Options) { o.Refresh, o.MaxAge = 60*time.Second, 200*time.Second })
		stop := running(t, s)
		srv.set(down)
		time.Sleep(5 * time.Minute)
		asked := srv.since(start)
		// 5, 10, 20, 40 s, and then every minute, were it not that the set becomes too old after 200 s: from then on
		// it is as at the start, but for the waits that have grown.
		for i, want := range []time.Duration{5, 10, 20, 40, 60} {
			if got := asked[i+2] - asked[i+1]; got != want*time.Second {
				t.Errorf("%s after failure %d", got, i+1)
			}
		}
		for i, at := range asked[1:] {
			if wait := at - asked[i]; at > 210*time.Second && wait != startWait {
				t.Errorf("fetched at %s, %s after the one before", at, wait)
			}
		}
		if last := asked[len(asked)-1]; time.Since(start)-last > startWait {
			t.Errorf("the last fetch was at %s", last)
		}
		srv.set(says(200, jwks("a")))
		time.Sleep(startWait)
		if state := s.State(); state.Keys != 1 || state.Err != nil {
			t.Errorf("then %+v", state)
		}
		stop()
	})
}

// TestRunIsAtMostEverySecond: no setting makes it a loop without a pause.
func TestRunIsAtMostEverySecond(t *testing.T) {
	for _, o := range []Options{{Refresh: 1}, {MaxAge: 1}, {Refresh: -1, MaxAge: -1}} {
		synctest.Test(t, func(t *testing.T) {
			srv := &server{reply: says(200, jwks("a"))}
			s := newSet(srv, func(to *Options) { to.Refresh, to.MaxAge = o.Refresh, o.MaxAge })
			stop := running(t, s)
			time.Sleep(10*time.Second + time.Nanosecond)
			stop()
			if n := srv.count(); n > 11 {
				t.Errorf("%d fetches in 10 s", n)
			}
		})
	}
}

// TestRunRefreshesBeforeASetIsTooOld, even if it is told to wait longer.
func TestRunRefreshesBeforeASetIsTooOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, start := &server{reply: says(200, jwks("a"))}, time.Now()
		s := newSet(srv, func(o *Options) { o.Refresh, o.MaxAge = time.Hour, 30*time.Second })
		stop := running(t, s)
		time.Sleep(65 * time.Second)
		stop()
		if got, want := seconds(srv.since(start)), []float64{0, 30, 60}; !slices.Equal(got, want) {
			t.Errorf("fetched after %v s, want %v", got, want)
		}
	})
}

// TestRunGoesByTheLastFetch: one that a token caused puts off the next, so that two are never close.
func TestRunGoesByTheLastFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv, start := &server{reply: says(200, jwks("a"))}, time.Now()
		s := newSet(srv, func(o *Options) { o.Refresh = 100 * time.Second })
		stop := running(t, s)
		time.Sleep(89 * time.Second)
		wantNoKey(t, s, "x")
		time.Sleep(89 * time.Second)
		stop()
		if got, want := seconds(srv.since(start)), []float64{0, 89}; !slices.Equal(got, want) {
			t.Errorf("fetched after %v s, want %v", got, want)
		}
	})
}

// TestFlood is 10,000 tokens with random key IDs in 10 s, beside a refresh that is due all the time.
func TestFlood(t *testing.T) {
	for name, reply := range map[string]func(*http.Request) (*http.Response, error){
		"a server that answers":        says(200, jwks("a")),
		"a server that is down":        down,
		"a server that never answers":  after(time.Hour, down),
		"a server that takes a second": after(time.Second, says(200, jwks("a"))),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := &server{reply: says(200, jwks("a"))}
				s := newSet(srv, func(o *Options) { o.Refresh = 6 * time.Second })
				stop := running(t, s)
				srv.set(reply)
				begin := time.Now()
				var wg sync.WaitGroup
				for i := range 10_000 {
					wg.Go(func() {
						if key, err := s.Key(t.Context(), fmt.Sprintf("random-%d", i), true, keyset.EdDSA); err == nil {
							t.Errorf("a key for a random ID: %v", key)
						}
					})
					if i%100 == 0 {
						wantKey(t, s, "a")
					}
					time.Sleep(time.Millisecond)
				}
				wg.Wait()
				asked := srv.since(begin)
				if len(asked) > 3 {
					t.Errorf("%d fetches", len(asked))
				}
				for i := range asked[1:] {
					if d := asked[i+1] - asked[i]; d < interval {
						t.Errorf("%s between two fetches", d)
					}
				}
				stop()
				time.Sleep(maxFetch)
			})
		})
	}
}

func TestDoubled(t *testing.T) {
	for times, want := range map[int]time.Duration{-1: 1, 0: 1, 1: 2, 2: 4, 3: 8, 4: 9, 5: 9, 1 << 40: 9} {
		if got := doubled(1, times, 9); got != want {
			t.Errorf("doubled %d times: %d, want %d", times, got, want)
		}
	}
	if got := doubled(5, 0, 3); got != 3 {
		t.Errorf("more than the most: %d", got)
	}
}
