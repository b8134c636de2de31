package e2e

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// signingKey is the key of an issuer whose tokens passgate verifies by a fetched set.
type signingKey struct {
	id      string
	private ed25519.PrivateKey
}

func newSigningKey(t *testing.T) *signingKey {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &signingKey{rand.Text(), private}
}

// as is the same key under another kid.
func (k *signingKey) as(id string) *signingKey { return &signingKey{id, k.private} }

// bearer returns the Authorization line of a token of an issuer for the audience api.
func (k *signingKey) bearer(t *testing.T, issuer string) string {
	t.Helper()
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, with(user("read", "write"), jwt.MapClaims{"iss": issuer, "aud": "api"}))
	token.Header["kid"] = k.id
	text, err := token.SignedString(k.private)
	if err != nil {
		t.Fatal(err)
	}
	return "Authorization: Bearer " + text
}

// keySet returns the JWKS of keys.
func keySet(keys ...*signingKey) string {
	var all []string
	for _, k := range keys {
		x := base64.RawURLEncoding.EncodeToString(k.private.Public().(ed25519.PublicKey))
		all = append(all, fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","use":"sig","alg":"EdDSA","kid":%q,"x":%q}`, k.id, x))
	}
	return `{"keys":[` + strings.Join(all, ",") + `]}`
}

// keyServer is the server of an issuer: each path has an answer, which may change, and is counted.
type keyServer struct {
	addr string

	mu      sync.Mutex
	answers map[string]http.HandlerFunc
	asked   map[string][]time.Time // by path
}

// newKeyServer prepares one, which nobody reaches yet.
func newKeyServer(t *testing.T) *keyServer {
	return &keyServer{addr: freeAddr(t), answers: map[string]http.HandlerFunc{}, asked: map[string][]time.Time{}}
}

func startKeyServer(t *testing.T) *keyServer {
	t.Helper()
	s := newKeyServer(t)
	s.start(t)
	return s
}

// start has the server answer until the test ends, or the returned function is called.
func (s *keyServer) start(t *testing.T) (stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: s}
	served := make(chan struct{})
	go func() { defer close(served); server.Serve(l) }()
	stop = func() { server.Close(); <-served }
	t.Cleanup(stop)
	return stop
}

func (s *keyServer) url(path string) string { return "http://" + s.addr + path }

// ServeHTTP implements [http.Handler].
func (s *keyServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	answer := s.answers[r.URL.Path]
	s.asked[r.URL.Path] = append(s.asked[r.URL.Path], time.Now())
	s.mu.Unlock()
	if answer == nil {
		answer = http.NotFound
	}
	answer(w, r)
}

func (s *keyServer) set(path string, answer http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[path] = answer
}

// show has the server answer with a text.
func (s *keyServer) show(path, text string) {
	s.set(path, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) })
}

// times returns how often a path was asked for.
func (s *keyServer) times(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.asked[path])
}
