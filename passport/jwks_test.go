package passport_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/passgate/passgate/passport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is what is behind the JWKSURL, without a network, so that a test has a clock of its own.
type server struct {
	answer atomic.Pointer[string] // nil: it cannot be reached
	asked  atomic.Int64
}

func (s *server) serve(keys ...string) {
	text := string(jwks(keys...))
	s.answer.Store(&text)
}

// RoundTrip implements [http.RoundTripper].
func (s *server) RoundTrip(r *http.Request) (*http.Response, error) {
	s.asked.Add(1)
	text := s.answer.Load()
	if text == nil {
		return nil, errors.New("connection refused")
	}
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(*text)), Request: r}, nil
}

// withServer runs a test with a verifier that fetches its keys, in a bubble of synctest.
func withServer(t *testing.T, run func(t *testing.T, s *server, v *passport.Verifier)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer synctest.Wait()
		defer cancel()
		s := new(server)
		v, err := passport.NewVerifier(ctx, passport.Options{JWKSURL: "http://passgate.example/.well-known/jwks.json", Client: &http.Client{Transport: s}})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		run(t, s, v)
	})
}

// verifyNow verifies a passport of this moment, signed with a key whose letter is its kid, too.
func verifyNow(t *testing.T, v *passport.Verifier, letter byte) error {
	t.Helper()
	p := passport.Passport{UserID: "u", TokenStatus: "valid", IssuedAt: time.Now().Unix()}
	got, err := v.Verify(t.Context(), p.Encode(), sign(letter, string(letter), p.Encode()))
	if err == nil && got != p {
		t.Errorf("Verify = %+v, want %+v", got, p)
	}
	return err
}

func TestKeysRotate(t *testing.T) {
	withServer(t, func(t *testing.T, s *server, v *passport.Verifier) {
		s.serve(jwk('a', "a"))
		if err := errors.Join(v.FetchKeys(t.Context()), verifyNow(t, v, 'a')); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		s.serve(jwk('b', "b"), jwk('a', "a"))
		before := s.asked.Load()
		if err := errors.Join(verifyNow(t, v, 'b'), verifyNow(t, v, 'a')); err != nil {
			t.Errorf("after a key was added: %v", err)
		}
		for range 100 {
			if err := verifyNow(t, v, 'x'); !errors.Is(err, passport.ErrSignature) {
				t.Errorf("a key that is not there: %v", err)
			}
		}
		if n := s.asked.Load() - before; n != 1 {
			t.Errorf("one new key and 100 unknown kids caused %d fetches", n)
		}
		s.serve(jwk('b', "b"))
		time.Sleep(time.Minute)
		if err := verifyNow(t, v, 'a'); !errors.Is(err, passport.ErrSignature) {
			t.Errorf("a minute after the key was withdrawn: %v", err)
		}
		s.answer.Store(nil)
		time.Sleep(time.Hour)
		if err := verifyNow(t, v, 'b'); err != nil {
			t.Errorf("an hour after the server was last reached: %v", err)
		}
		time.Sleep(24 * time.Hour)
		if err := verifyNow(t, v, 'b'); !errors.Is(err, passport.ErrKeys) {
			t.Errorf("a day after the server was last reached: %v", err)
		}
	})
}

func TestKeysCannotBeHadAtTheStart(t *testing.T) {
	withServer(t, func(t *testing.T, s *server, v *passport.Verifier) {
		if err := v.FetchKeys(t.Context()); !errors.Is(err, passport.ErrKeys) {
			t.Errorf("FetchKeys: %v", err)
		}
		if err := verifyNow(t, v, 'a'); !errors.Is(err, passport.ErrKeys) {
			t.Errorf("Verify: %v", err)
		}
		value := ann.Encode()
		r := serve(v.Middleware(whoami), lines{[]string{value}, []string{sign('a', "a", value)}})
		if r.StatusCode != 503 {
			t.Errorf("the middleware answers %d", r.StatusCode)
		}
		// What cannot be a signature is refused without keys.
		if r := serve(v.Middleware(whoami), lines{[]string{value}, []string{"x"}}); r.StatusCode != 401 {
			t.Errorf("the middleware answers %d to garbage", r.StatusCode)
		}
		s.serve(jwk('a', "a"))
		time.Sleep(10 * time.Second)
		if err := verifyNow(t, v, 'a'); err != nil {
			t.Errorf("10 s after the server is there: %v", err)
		}
	})
}

// A key of passgate's for tokens, of another algorithm, has no say over passports, whatever its kid.
func TestFetchedKeysOfOtherKinds(t *testing.T) {
	withServer(t, func(t *testing.T, s *server, v *passport.Verifier) {
		rsa := `{"kty":"RSA","kid":"r","n":"` + b64("\xff"+strings.Repeat("a", 254)+"\xff") + `","e":"AQAB"}`
		s.serve(rsa)
		if err := v.FetchKeys(t.Context()); !errors.Is(err, passport.ErrKeys) {
			t.Errorf("a set without a key for passports: %v", err)
		}
		s.serve(rsa, jwk('a', "a"))
		if err := v.FetchKeys(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := verifyNow(t, v, 'a'); err != nil {
			t.Error(err)
		}
		if err := verifyNow(t, v, 'r'); !errors.Is(err, passport.ErrSignature) {
			t.Errorf("the kid of an RSA key: %v", err)
		}
	})
}

func TestKeysOverHTTP(t *testing.T) {
	l := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/jwk-set+json")
		w.Write(jwks(jwk('k', "k")))
	}))
	defer l.Close()
	v := newVerifier(t, func(o *passport.Options) { o.Keys, o.JWKSURL, o.Client = nil, l.URL, l.Client() })
	if err := v.FetchKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	value := ann.Encode()
	if p, err := v.Verify(t.Context(), value, sign('k', "k", value)); err != nil || p != ann {
		t.Errorf("Verify = %+v, %v", p, err)
	}
}

func TestFetchKeysWithoutAURL(t *testing.T) {
	if err := newVerifier(t, nil).FetchKeys(t.Context()); err != nil {
		t.Errorf("fixed keys: %v", err)
	}
	if err := new(passport.Verifier).FetchKeys(t.Context()); !errors.Is(err, passport.ErrKeys) {
		t.Errorf("no keys: %v", err)
	}
}

func TestNewVerifierRefusesURL(t *testing.T) {
	for _, u := range []string{"passgate:8080/.well-known/jwks.json", "/.well-known/jwks.json", "file:///etc/keys", "ftp://passgate.example/jwks.json", "http://", "http://user:test-secret-not-for-production@[::1", "https:///jwks.json"} {
		_, err := passport.NewVerifier(t.Context(), passport.Options{JWKSURL: u})
		if err == nil || strings.Contains(err.Error(), "test-secret") {
			t.Errorf("%s: %v", u, err)
		}
	}
}
