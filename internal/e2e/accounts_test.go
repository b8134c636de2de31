package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/passgate/passgate/internal/redistest"
)

// accounts is a running passgate that serves accounts and the proxy, in front of a recording upstream.
type accounts struct {
	*process
	http, ops, grpc string // addresses
	issuer          string
	config          string // the name of its file, "" for the embedded default
	dir             string // where it runs
	environment     []string
	program         string
	upstream        *upstream
	redis           *redistest.Server // nil: keys are kept in the process
	spilled         *spilled
}

// startDefault runs passgate as one who has just installed it does: without a file, on its default ports.
func startDefault(t *testing.T) *accounts {
	t.Helper()
	a := &accounts{
		http: "127.0.0.1:8080", ops: "127.0.0.1:9090", grpc: "127.0.0.1:9191", issuer: "passgate",
		dir: t.TempDir(), program: programs.passgate, upstream: startUpstream(t), spilled: newSpilled(t),
	}
	a.environment = []string{"PASSGATE_JWT_SECRET=" + secret, "PASSGATE_UPSTREAM=http://" + a.upstream.addr}
	waitFor(t, "the default ports to be free (does a passgate or its demo run here?)", func() bool {
		for _, addr := range []string{a.http, a.ops, a.grpc} {
			l, err := net.Listen("tcp", addr)
			if err != nil {
				return false
			}
			l.Close()
		}
		return true
	})
	a.start(t)
	return a
}

// startAccounts runs passgate on free ports, with its keys in a real Redis at url unless that is "".
func startAccounts(t *testing.T, url string) *accounts {
	t.Helper()
	a := newAccounts(t, url, programs.passgate)
	a.start(t)
	return a
}

// newAccounts prepares a passgate, to be started.
func newAccounts(t *testing.T, url, program string) *accounts {
	t.Helper()
	needPrograms(t)
	a := &accounts{
		http: freeAddr(t), ops: freeAddr(t), grpc: freeAddr(t), issuer: issuer,
		dir: t.TempDir(), program: program, upstream: startUpstream(t), spilled: newSpilled(t),
	}
	a.config = filepath.Join(a.dir, "passgate.yaml")
	file := fmt.Sprintf(`
listen: {grpc: %q, http: %q, ops: %q}
issuers: [{name: accounts, issuer: %q, algorithms: [HS256], secret: "${PASSGATE_JWT_SECRET}", audiences: any}]
accounts: {issuer: accounts, database: "sqlite:accounts.db"}
proxy: {upstreams: {default: "http://%s"}}
redis: %q
default_access: authenticated
log: {level: debug}
drain: {wait: 0s, timeout: 5s}
`, a.grpc, a.http, a.ops, issuer, a.upstream.addr, url)
	if err := os.WriteFile(a.config, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	a.environment = []string{"PASSGATE_JWT_SECRET=" + secret}
	return a
}

// startWithRedis is startAccounts with a Redis of its own.
func startWithRedis(t *testing.T) *accounts {
	t.Helper()
	needPrograms(t)
	redis := redistest.Start(t)
	a := newAccounts(t, redis.URL(), programs.passgate)
	a.redis = redis
	a.spilled.watchRedis(t, redis)
	a.start(t)
	return a
}

// start runs it, for the first time or again.
func (a *accounts) start(t *testing.T) {
	t.Helper()
	args := []string{"serve"}
	if a.config != "" {
		args = append(args, "--config", a.config)
	}
	a.process = startProcessIn(t, "passgate", a.dir, a.environment, a.program, args...)
	a.spilled.watchLog(a.err)
	waitFor(t, "passgate to be ready", func() bool {
		a.mustRun(t)
		status, _, err := fetch("http://" + a.ops + "/readyz")
		return err == nil && status == http.StatusOK
	})
}

// post sends an account call to passgate itself. It may be used by many at a time.
func (a *accounts) post(path, body string, headers ...string) (response, error) {
	return postTo(a.http, path, body, headers...)
}

func postTo(addr, path, body string, headers ...string) (response, error) {
	r, err := http.NewRequest("POST", "http://"+addr+path, strings.NewReader(body))
	if err != nil {
		return response{}, err
	}
	r.Header.Set("Content-Type", "application/json")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	r.Close = true
	client := http.Client{Timeout: 60 * time.Second}
	answer, err := client.Do(r)
	if err != nil {
		return response{}, err
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	return response{status: answer.StatusCode, header: answer.Header, body: string(b)}, err
}

// must ends the test unless a call had this status, and returns the answer.
func must(t *testing.T, status int) func(response, error) response {
	return func(r response, err error) response {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		if r.status != status {
			t.Fatalf("status %d, want %d; body %s", r.status, status, r.body)
		}
		return r
	}
}

// person is somebody who signs up. All of it is looked for where it must not be.
type person struct{ email, password, key string }

// newPerson returns one whom nobody has seen before.
func (s *spilled) newPerson() person {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.people++
	p := person{
		email:    fmt.Sprintf("person-%d-%d@example.com", os.Getpid(), s.people),
		password: fmt.Sprintf("private sentence %d of %d", s.people, os.Getpid()),
		key:      fmt.Sprintf("idempotency-key-%d-%d", s.people, os.Getpid()),
	}
	s.secrets = append(s.secrets, p.email, p.password, p.key)
	return p
}

func (p person) signUp() string {
	return object(map[string]string{"email": p.email, "password": p.password, "name": "Ann", "country": "IN", "platform": "android"})
}

func (p person) logIn() string {
	return object(map[string]string{"email": p.email, "password": p.password})
}

func object(members map[string]string) string {
	b, _ := json.Marshal(members) // strings alone
	return string(b)
}

func (p person) keyed() string { return "Idempotency-Key: " + p.key }

const (
	signUpPath = "/v1/auth/signup"
	logInPath  = "/v1/auth/login"
)

// session is the body of a signup and a login.
type session struct {
	UserID    string `json:"user_id"`
	Token     string `json:"token"`
	TokenType string `json:"token_type"`
	ExpiresIn int    `json:"expires_in"`
}

// session reads the answer and notes its token as a secret.
func (a *accounts) session(t *testing.T, r response) session {
	t.Helper()
	var s session
	d := json.NewDecoder(strings.NewReader(r.body))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil || s.Token == "" {
		t.Fatalf("the body is %q (%v)", r.body, err)
	}
	a.spilled.add(s.Token)
	return s
}

// claims verifies a token as a service would that knows the secret, by another library's whole reading.
func (a *accounts) claims(t *testing.T, token string) jwt.MapClaims {
	t.Helper()
	claims := jwt.MapClaims{}
	_, err := jwt.ParseWithClaims(token, claims, func(*jwt.Token) (any, error) { return []byte(secret), nil },
		jwt.WithValidMethods([]string{"HS256"}), jwt.WithIssuer(a.issuer), jwt.WithExpirationRequired(), jwt.WithIssuedAt())
	if err != nil {
		t.Fatalf("the token: %v", err)
	}
	return claims
}

// metric returns the value of a counter or gauge, 0 if there is none.
func (a *accounts) metric(t *testing.T, name string) float64 {
	t.Helper()
	return metric(t, a.ops, name)
}

// metric returns the value of a counter or gauge at an operations port, 0 if there is none.
func metric(t *testing.T, ops, name string) float64 {
	t.Helper()
	_, body, err := fetch("http://" + ops + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile("(?m)^" + regexp.QuoteMeta(name) + " (.*)$").FindStringSubmatch(body)
	if line == nil {
		return 0
	}
	value, err := strconv.ParseFloat(line[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// hashes and compares are how often bcrypt has run.
func (a *accounts) hashes(t *testing.T) float64 {
	t.Helper()
	return a.metric(t, `passgate_password_hashes_total{operation="hash"}`)
}

func (a *accounts) compares(t *testing.T) float64 {
	t.Helper()
	return a.metric(t, `passgate_password_hashes_total{operation="compare"}`)
}

// users returns the accounts that there are, as `passgate users list` tells.
func (a *accounts) users(t *testing.T) []map[string]any {
	t.Helper()
	args := []string{"users", "list", "--json"}
	if a.config != "" {
		args = append(args, "--config", a.config)
	}
	out := a.command(t, args...)
	var all []map[string]any
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var user map[string]any
		if err := d.Decode(&user); err != nil {
			t.Fatal(err)
		}
		all = append(all, user)
	}
	return all
}

// command runs another command of passgate where this one runs, and returns its standard output.
func (a *accounts) command(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(a.program, args...)
	cmd.Dir, cmd.Env = a.dir, append(os.Environ(), a.environment...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("passgate %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return out
}
