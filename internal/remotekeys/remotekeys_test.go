package remotekeys

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/keyset"
	"github.com/passgate/passgate/internal/verifier/jwtauth"
)

var _ jwtauth.KeySet = (*Set)(nil)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// private returns a key pair that is the same for the same name.
func private(id string) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(fmt.Appendf(nil, "%32.32s", "test-key-"+id))
}

// jwks returns the set of Ed25519 keys with these IDs.
func jwks(ids ...string) string {
	keys := []map[string]string{}
	for _, id := range ids {
		x := base64.RawURLEncoding.EncodeToString(private(id).Public().(ed25519.PublicKey))
		keys = append(keys, map[string]string{"kty": "OKP", "crv": "Ed25519", "kid": id, "x": x})
	}
	text, _ := json.Marshal(map[string]any{"keys": keys})
	return string(text)
}

// server is an http.RoundTripper that answers from memory and keeps when it was asked. Time in a synctest bubble
// passes only where all are waiting, so that these moments are exact.
type server struct {
	mu    sync.Mutex
	asked []time.Time
	reply func(r *http.Request) (*http.Response, error)
}

func (s *server) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	s.asked = append(s.asked, time.Now())
	reply := s.reply
	s.mu.Unlock()
	return reply(r)
}

// set changes what the server answers.
func (s *server) set(reply func(r *http.Request) (*http.Response, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reply = reply
}

func (s *server) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.asked)
}

// since returns when the server was asked, in time since start.
func (s *server) since(start time.Time) []time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []time.Duration
	for _, t := range s.asked {
		list = append(list, t.Sub(start))
	}
	return list
}

func says(status int, body string) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
	}
}

// after has the server take a time for its answer, unless the request ends before.
func after(d time.Duration, reply func(*http.Request) (*http.Response, error)) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) {
		select {
		case <-time.After(d):
			return reply(r)
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
}

var down = says(http.StatusInternalServerError, "no")

// newSet returns a set that asks srv.
func newSet(srv *server, change ...func(*Options)) *Set {
	o := Options{
		Name: "partner", URL: "https://idp.partner.example/jwks", Algorithms: []keyset.Algorithm{keyset.EdDSA},
		Client: &http.Client{Transport: srv},
	}
	for _, f := range change {
		f(&o)
	}
	return New(o)
}

// wantKey asks for a key that the set must have.
func wantKey(t *testing.T, s *Set, id string) {
	t.Helper()
	key, err := s.Key(t.Context(), id, true, keyset.EdDSA)
	if err != nil || key.ID != id {
		t.Errorf("key %s: got %v, %v", id, key, err)
		return
	}
	if err := key.Verify("x", ed25519.Sign(private(id), []byte("x"))); err != nil {
		t.Errorf("key %s: %v", id, err)
	}
}

// wantNoKey asks for a key that the set must say that there is none of: 401.
func wantNoKey(t *testing.T, s *Set, id string) {
	t.Helper()
	if key, err := s.Key(t.Context(), id, true, keyset.EdDSA); !errors.Is(err, keyset.ErrNoKey) || key != nil {
		t.Errorf("key %s: got %v, %v, want none", id, key, err)
	}
}

// wantUnknown asks for a key that the set must not be able to tell of: 503.
func wantUnknown(t *testing.T, s *Set, id string) error {
	t.Helper()
	key, err := s.Key(t.Context(), id, true, keyset.EdDSA)
	if err == nil || errors.Is(err, keyset.ErrNoKey) || errors.Is(err, authz.ErrCredentialInvalid) || key != nil {
		t.Errorf("key %s: got %v, %v, want an error that it cannot be told", id, key, err)
	}
	return err
}

func TestKnownKeyCostsNothing(t *testing.T) {
	srv := &server{reply: says(200, jwks("a"))}
	s := newSet(srv)
	if err := s.Fetch(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.mu.Lock() // whoever needed it would hang
	defer s.mu.Unlock()
	ctx := t.Context()
	if n := testing.AllocsPerRun(100, func() {
		if _, err := s.Key(ctx, "a", true, keyset.EdDSA); err != nil {
			t.Fatal(err)
		}
	}); n != 0 || srv.count() != 1 {
		t.Errorf("%v allocations, %d fetches", n, srv.count())
	}
}

func TestFirstTokenHasTheSetFetched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &server{reply: says(200, jwks("a"))}
		s := newSet(srv)
		if state := s.State(); state != (State{}) || srv.count() != 0 {
			t.Errorf("a new set has %+v, %d fetches", state, srv.count())
		}
		wantKey(t, s, "a")
		if state := s.State(); state.Keys != 1 || state.Fetched.IsZero() || state.Err != nil || srv.count() != 1 {
			t.Errorf("then %+v, %d fetches", state, srv.count())
		}
	})
}

// TestUnknownKey is a server that rotates: what a token names first is fetched for it, and what is gone is gone.
func TestUnknownKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &server{reply: says(200, jwks("a", "b"))}
		s := newSet(srv)
		wantKey(t, s, "a")
		srv.set(says(200, jwks("b", "c")))
		wantNoKey(t, s, "c") // the interval is not over
		time.Sleep(interval - time.Nanosecond)
		wantNoKey(t, s, "c")
		if srv.count() != 1 {
			t.Errorf("%d fetches within the interval", srv.count())
		}
		time.Sleep(time.Nanosecond)
		wantKey(t, s, "c")
		wantKey(t, s, "b")
		wantNoKey(t, s, "a") // the set is replaced whole
		if srv.count() != 2 {
			t.Errorf("%d fetches", srv.count())
		}
	})
}

// TestKeyOfAnotherAlgorithm: that the ID is known does not make a key serve another algorithm.
func TestKeyOfAnotherAlgorithm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSet(&server{reply: says(200, jwks("a"))})
		wantKey(t, s, "a")
		for _, a := range []keyset.Algorithm{keyset.HS256, keyset.RS256, "none", ""} {
			if key, err := s.Key(t.Context(), "a", true, a); !errors.Is(err, keyset.ErrNoKey) || key != nil {
				t.Errorf("%s: got %v, %v", a, key, err)
			}
		}
	})
}

func TestFailedFetchOfAnUnknownKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &server{reply: says(200, jwks("a"))}
		s := newSet(srv)
		wantKey(t, s, "a")
		srv.set(down)
		for range 3 {
			time.Sleep(interval)
			wantNoKey(t, s, "c") // fetched in vain
			wantNoKey(t, s, "c") // the fetch that failed counts
			wantKey(t, s, "a")
		}
		if srv.count() != 4 {
			t.Errorf("%d fetches", srv.count())
		}
	})
}

func TestSlowFetch(t *testing.T) {
	for name, start := range map[string]string{"no set yet": "", "an unknown key": "a"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := &server{reply: says(200, jwks("a"))}
				s := newSet(srv)
				if start != "" {
					wantKey(t, s, start)
					time.Sleep(interval)
				}
				srv.set(after(time.Second, says(200, jwks("a", "b"))))
				began, asked := time.Now(), srv.count()
				waited := func(ctx context.Context, want time.Duration) {
					t.Helper()
					from := time.Now()
					if _, err := s.Key(ctx, "b", true, keyset.EdDSA); err == nil || errors.Is(err, keyset.ErrNoKey) {
						t.Errorf("got %v", err)
					}
					if got := time.Since(from); got != want {
						t.Errorf("waited %s, want %s", got, want)
					}
				}
				waited(t.Context(), maxWait)
				for deadline, want := range map[time.Duration]time.Duration{
					time.Second: maxWait, maxWait + margin: maxWait, 50 * time.Millisecond: 40 * time.Millisecond, margin: 0, 0: 0,
				} {
					ctx, cancel := context.WithTimeout(t.Context(), deadline)
					waited(ctx, want)
					cancel()
				}
				// One who gives up at once fails nobody else.
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				waited(ctx, 0)
				time.Sleep(time.Until(began.Add(time.Second - maxWait/2)))
				wantKey(t, s, "b")
				if srv.count() != asked+1 {
					t.Errorf("%d fetches", srv.count()-asked)
				}
			})
		})
	}
}

// TestManyWaitForOneFetch: whoever gives up, the rest have their key by the same fetch.
func TestManyWaitForOneFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &server{reply: after(50*time.Millisecond, says(200, jwks("a")))}
		s := newSet(srv)
		first, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := s.Key(first, "a", true, keyset.EdDSA); err == nil || errors.Is(err, keyset.ErrNoKey) {
				t.Errorf("the one who gave up: %v", err)
			}
		})
		synctest.Wait()
		for range 1000 {
			wg.Go(func() { wantKey(t, s, "a") })
		}
		wg.Go(func() {
			if err := s.Fetch(t.Context()); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			if err := s.Fetch(first); !errors.Is(err, context.Canceled) {
				t.Errorf("the fetch of the one who gave up: %v", err)
			}
		})
		synctest.Wait()
		cancel()
		wg.Wait()
		if srv.count() != 1 {
			t.Errorf("%d fetches", srv.count())
		}
	})
}

// TestFetchThatEndsBeforeItIsJoined: a key that comes while a token is being judged is found, though no fetch is
// under way any more.
func TestFetchThatEndsBeforeItIsJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &server{reply: says(200, jwks("a"))}
		var s *Set
		var armed atomic.Bool
		s = newSet(srv, func(o *Options) {
			o.Now = func() time.Time { // asked once the set has been loaded, and by the fetch too
				if armed.CompareAndSwap(true, false) {
					if err := s.Fetch(t.Context()); err != nil {
						t.Error(err)
					}
				}
				return time.Unix(1_800_000_000, 0)
			}
		})
		wantKey(t, s, "a")
		srv.set(says(200, jwks("a", "b")))
		armed.Store(true)
		wantKey(t, s, "b")
		if srv.count() != 2 {
			t.Errorf("%d fetches", srv.count())
		}
	})
}

func TestAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &server{reply: says(200, jwks("a"))}
		s := newSet(srv, func(o *Options) { o.MaxAge = time.Hour })
		wantKey(t, s, "a")
		fetched := s.State().Fetched
		srv.set(down)
		time.Sleep(time.Hour)
		wantKey(t, s, "a")
		time.Sleep(time.Nanosecond)
		if err := wantUnknown(t, s, "a"); err == nil || err.Error() != "the key set of partner cannot be had: GET idp.partner.example/jwks: status 500" {
			t.Errorf("it says %v", err)
		}
		if state := s.State(); state.Keys != 0 || state.Fetched != fetched || state.Err == nil {
			t.Errorf("then %+v", state)
		}
		wantUnknown(t, s, "a")
		if srv.count() != 2 {
			t.Errorf("%d fetches", srv.count())
		}
		srv.set(says(200, jwks("a")))
		wantUnknown(t, s, "a") // the interval is not over
		time.Sleep(interval)
		wantKey(t, s, "a")
	})
}

// TestAgeByEitherClock: neither a wall clock that is set back nor one of the process that stood still prolongs the use
// of a set.
func TestAgeByEitherClock(t *testing.T) {
	for name, test := range map[string]struct {
		wall, process time.Duration // by which they go on
		usable        bool
	}{
		"an hour by both":                       {time.Hour, time.Hour, true},
		"more by the wall clock":                {time.Hour + 1, 0, false},
		"more by the process's":                 {0, time.Hour + 1, false},
		"more by the process's, the other back": {-1000 * time.Hour, time.Hour + 1, false},
		"the wall clock set back a little":      {-time.Hour, time.Minute, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				wall := time.Unix(1_800_000_000, 0)
				srv := &server{reply: says(200, jwks("a"))}
				s := newSet(srv, func(o *Options) {
					o.MaxAge, o.Now = time.Hour, func() time.Time { return wall }
				})
				wantKey(t, s, "a")
				srv.set(down)
				wall = wall.Add(test.wall)
				time.Sleep(test.process)
				if test.usable {
					wantKey(t, s, "a")
				} else {
					wantUnknown(t, s, "a")
				}
			})
		})
	}
}

func TestErrorsBeforeAnyFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSet(&server{reply: after(time.Hour, down)})
		if err := wantUnknown(t, s, "a"); err.Error() != "the key set of partner cannot be had in time: it is being fetched" {
			t.Errorf("it says %v", err)
		}
		time.Sleep(maxFetch)
		if err := s.unavailable(); err.Error() != "the key set of partner cannot be had: GET idp.partner.example/jwks: no whole answer within 5s" {
			t.Errorf("it says %v", err)
		}
	})
	if err := New(Options{Name: "partner"}).unavailable(); err.Error() != "the key set of partner cannot be had: it was not fetched yet" {
		t.Errorf("it says %v", err)
	}
}

func TestZeroOptionsAcceptNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{})
		wantUnknown(t, s, "a")
		wantUnknown(t, s, "")
		if err := s.Fetch(t.Context()); err == nil || s.State().Err == nil {
			t.Errorf("fetched: %v", err)
		}
		// Keys of algorithms that nobody asked for are no keys.
		wantUnknown(t, newSet(&server{reply: says(200, jwks("a"))}, func(o *Options) { o.Algorithms = nil }), "a")
	})
}

func TestPanicIsAFailedFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &server{reply: says(200, jwks("a"))}
		var told []error
		s := newSet(srv, func(o *Options) { o.Fetched = func(err error) { told = append(told, err) } })
		wantKey(t, s, "a")
		srv.set(func(*http.Request) (*http.Response, error) { panic("test") })
		if err := s.Fetch(t.Context()); err == nil {
			t.Error("fetched")
		}
		wantKey(t, s, "a")
		if len(told) != 2 || told[0] != nil || told[1] == nil {
			t.Errorf("told %v", told)
		}
	})
}

func TestLogSaysChangesOnly(t *testing.T) {
	var log strings.Builder
	srv := &server{reply: down}
	s := newSet(srv, func(o *Options) {
		o.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}}))
	})
	oneBad := strings.Replace(jwks("a", "b"), `"kid":"b"`, `"kid":"b","use":"enc"`, 1)
	allBad := strings.Replace(jwks("a"), `"kid":"a"`, `"kid":"a","d":"test-secret-not-for-production"`, 1)
	const (
		failed   = "level=WARN msg=\"the key set cannot be fetched\" issuer=partner cause=\"GET idp.partner.example/jwks: status 500\" last_set_usable="
		again    = "level=INFO msg=\"the key set is fetched again\" issuer=partner\n"
		unused   = "level=WARN msg=\"keys of a fetched set are not used\" issuer=partner dropped=1 reasons=\"keys[1]: use is \\\"enc\\\": only keys for signatures, sig, are accepted\"\n"
		noneLeft = "level=WARN msg=\"the key set cannot be fetched\" issuer=partner cause=\"the answer of idp.partner.example/jwks has no usable key: 1 cannot be used, 0 are for other algorithms\" last_set_usable=true\n"
	)
	for i, step := range []struct {
		reply func(*http.Request) (*http.Response, error)
		want  string
	}{
		{down, failed + "false\n"},
		{down, ""},
		{says(200, jwks("a")), again},
		{says(200, jwks("a")), ""},
		{says(200, oneBad), unused},
		{says(200, oneBad), ""},
		{down, failed + "true\n"},
		{says(200, oneBad), again}, // the same keys as before
		{says(200, jwks("a")), ""},
		{says(200, oneBad), unused},
		{says(200, allBad), noneLeft},
		{says(200, allBad), ""},
		{says(200, jwks()), strings.Replace(noneLeft, "1 cannot", "0 cannot", 1)},
		{says(200, jwks("b")), again},
	} {
		log.Reset()
		srv.set(step.reply)
		_ = s.Fetch(t.Context())
		got := log.String()
		if i == 10 { // the reason of the bad key comes first
			reason, rest, _ := strings.Cut(got, "\n")
			if !strings.Contains(reason, "private key") || strings.Contains(reason, "test-secret") {
				t.Errorf("step %d: logged %s", i, reason)
			}
			got = rest
		}
		if got != step.want {
			t.Errorf("step %d: logged\n%s, want\n%s", i, got, step.want)
		}
	}
}

func TestLogIsShort(t *testing.T) {
	var dropped []error
	for i := range 100 {
		dropped = append(dropped, fmt.Errorf("keys[%d]: bad", i))
	}
	if got := summary(dropped); got != "keys[0]: bad; keys[1]: bad; keys[2]: bad; keys[3]: bad; keys[4]: bad; and 95 more" {
		t.Error(got)
	}
	if got := summary(nil); got != "" {
		t.Error(got)
	}
}

func BenchmarkKey(b *testing.B) {
	s := newSet(&server{reply: says(200, jwks("a", "b"))})
	if err := s.Fetch(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if key, err := s.Key(b.Context(), "b", true, keyset.EdDSA); err != nil || key.ID != "b" {
			b.Fatalf("got %v, %v", key, err)
		}
	}
}
