package e2e

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// secret is the HS256 key of this run's tokens.
var secret = rand.Text() + rand.Text()

const issuer = "https://auth.example.com"

// policy is what most tests run on; there is a route of each access level, and the rest is denied.
const policy = `
routes:
  - {name: public, path: "/public/**", access: public}
  - {name: optional, path: "/optional/**", access: optional}
  - {name: private, path: "/private/**"}
  - {name: users-read, methods: [GET], path: "/api/users/{id}", service: users-service, permissions: [read]}
  - {name: users-delete, methods: [DELETE], path: "/api/users/{id}", service: users-service, permissions: [delete]}
default_access: deny
`

// passgate is a running passgate.
type passgate struct {
	*process
	config    string // the name of its file
	grpc, ops string // addresses; grpc may be unix:///path
}

// startPassgate runs passgate with these routes on free ports and returns when it is ready.
func startPassgate(t *testing.T, routes string) *passgate {
	t.Helper()
	p := newPassgate(t, freeAddr(t), routes)
	p.start(t)
	return p
}

// newPassgate prepares a passgate that listens on an address, to be started.
func newPassgate(t *testing.T, grpc, routes string) *passgate {
	t.Helper()
	p := &passgate{grpc: grpc, ops: freeAddr(t)}
	p.config = write(t, "passgate.yaml", fmt.Sprintf(`
listen: {grpc: %q, ops: %q}
issuers:
  - name: accounts
    issuer: %s
    algorithms: [HS256]
    secret_file: %s
    audiences: any
drain: {wait: 2s, timeout: 10s}
%s`, p.grpc, p.ops, issuer, write(t, "secret", secret), routes))
	return p
}

// start runs it, for the first time or again.
func (p *passgate) start(t *testing.T) {
	t.Helper()
	p.process = startProcess(t, "passgate", programs.passgate, "serve", "--config", p.config)
	waitFor(t, "passgate to be ready", func() bool {
		p.mustRun(t)
		return p.ready()
	})
}

func (p *passgate) ready() bool {
	status, _, err := fetch("http://" + p.ops + "/readyz")
	return err == nil && status == http.StatusOK
}

// logLine waits for the line of the decision log about a request.
func (p *passgate) logLine(t *testing.T, requestID string) map[string]any {
	t.Helper()
	return waitForLine(t, p.log(), requestID)
}

// log is the file with the decision log.
func (p *passgate) log() string { return p.err }

// stack is a client's whole way: Envoy, passgate beside it, a recording upstream behind it.
type stack struct {
	*envoy
	passgate *passgate
	upstream *upstream
}

func startStack(t *testing.T, f *envoyFile, routes string) *stack {
	t.Helper()
	s := &stack{passgate: startPassgate(t, routes), upstream: startUpstream(t)}
	s.envoy = startEnvoy(t, f, s.upstream.addr, s.passgate.grpc)
	return s
}

// envoys are the configurations that a promise has to hold with.
var envoys = []struct {
	name string
	file func(*testing.T) *envoyFile
}{
	{"shipped", shippedFile},
	{"careless", carelessFile},
	{"careless with raw headers", func(t *testing.T) *envoyFile { return carelessFile(t).rawHeaders() }},
}

// user is the principal of most tests, as a token's claims.
func user(permissions ...string) jwt.MapClaims {
	return jwt.MapClaims{
		"iss": issuer, "sub": "user-1", "exp": time.Now().Add(time.Hour).Unix(),
		"roles": []string{"user"}, "permissions": append([]string{}, permissions...),
		"email": "user@example.com", "subscription": "free", "country": "IN", "platform": "android",
	}
}

// with returns claims with some of them replaced.
func with(claims, other jwt.MapClaims) jwt.MapClaims {
	claims = maps.Clone(claims)
	maps.Copy(claims, other)
	return claims
}

// bearer returns the Authorization line of a token with these claims.
func bearer(t *testing.T, claims jwt.MapClaims) string {
	t.Helper()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return "Authorization: Bearer " + token
}

// decodePassport returns the content of an X-Passport.
func decodePassport(t *testing.T, value string) map[string]any {
	t.Helper()
	b, err := base64.StdEncoding.Strict().DecodeString(value)
	if err != nil {
		t.Fatalf("X-Passport %q: %v", value, err)
	}
	var passport map[string]any
	if err := json.Unmarshal(b, &passport); err != nil {
		t.Fatalf("X-Passport %q: %v", b, err)
	}
	return passport
}

// socket returns a unix socket address for passgate. It does not use the test's directory, whose name may be
// longer than a socket's can be.
func socket(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pg-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return "unix://" + filepath.Join(dir, "authz.sock")
}

// requestID returns the X-Request-ID that Envoy told the client.
func (r response) requestID(t *testing.T) string {
	t.Helper()
	id := r.header.Get("X-Request-Id")
	if id == "" || strings.ContainsAny(id, " ,") {
		t.Fatalf("X-Request-Id %q in the answer, want one id", id)
	}
	return id
}
