package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	cliSecret      = "test-secret-not-for-production-00001"
	cliOtherSecret = "test-secret-not-for-production-00002"
)

// cliConfig is the configuration of most tests here, without a listen section.
const cliConfig = `
issuers:
  - name: accounts
    issuer: https://auth.example.com
    algorithms: [HS256]
    secret: ${SECRET}
    audiences: any
  - name: partner
    issuer: https://idp.partner.example
    algorithms: [HS256]
    secret: ${OTHER_SECRET}
    audiences: [api]
    user_prefix: "partner:"
default_access: deny
routes:
  - {name: docs, path: "/docs/**", access: public}
  - {name: users-read, methods: [GET], path: "/api/users/{id}", hosts: [localhost, api.example.com], service: users-service, permissions: [read]}
  - {name: users-delete, methods: [DELETE], path: "/api/users/{id}", service: users-service, permissions: [delete]}
  - {name: home, path: "/", access: optional}
`

// cli runs command lines in this process, with a world of the test's own.
type cli struct {
	stdin string
	env   map[string]string
	now   time.Time
}

// outcome is what a user sees of a command.
type outcome struct {
	code           int
	stdout, stderr string
}

func newCLI() *cli {
	return &cli{
		env: map[string]string{"SECRET": cliSecret, "OTHER_SECRET": cliOtherSecret},
		now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
}

func (c *cli) program(stdout, stderr *syncBuffer) *program {
	return &program{
		stdin: strings.NewReader(c.stdin), stdout: stdout, stderr: stderr,
		lookupEnv: func(name string) (string, bool) { value, ok := c.env[name]; return value, ok },
		now:       func() time.Time { return c.now },
	}
}

// run executes one command line. None may print a key.
func (c *cli) run(t *testing.T, args ...string) outcome {
	t.Helper()
	return c.runContext(t.Context(), t, args...)
}

func (c *cli) runContext(ctx context.Context, t *testing.T, args ...string) outcome {
	t.Helper()
	var stdout, stderr syncBuffer
	code := c.program(&stdout, &stderr).run(ctx, args)
	o := outcome{code, stdout.String(), stderr.String()}
	o.mustNotHold(t, cliSecret)
	o.mustNotHold(t, cliOtherSecret)
	return o
}

// must ends the test unless the command ended with this code.
func (o outcome) must(t *testing.T, code int) outcome {
	t.Helper()
	if o.code != code {
		t.Fatalf("exit status %d, want %d\nstdout: %s\nstderr: %s", o.code, code, o.stdout, o.stderr)
	}
	return o
}

// mustNotHold reports a secret that was printed.
func (o outcome) mustNotHold(t *testing.T, secret string) {
	t.Helper()
	if strings.Contains(o.stdout+o.stderr, secret) {
		t.Errorf("%q was printed\nstdout: %s\nstderr: %s", secret, o.stdout, o.stderr)
	}
}

// mustHold reports texts that are missing from standard output.
func (o outcome) mustHold(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(o.stdout, text) {
			t.Errorf("standard output has no %q:\n%s", text, o.stdout)
		}
	}
}

// mustComplain reports a standard error that is not these lines, each given by a part of it, with nothing
// on standard output.
func (o outcome) mustComplain(t *testing.T, lines ...string) {
	t.Helper()
	got := strings.Split(strings.TrimSuffix(o.stderr, "\n"), "\n")
	if len(got) != len(lines) {
		t.Fatalf("standard error has %d lines, want %d:\n%s", len(got), len(lines), o.stderr)
	}
	for i, want := range lines {
		if !strings.Contains(got[i], want) {
			t.Errorf("line %d of standard error is %q, want %q in it", i+1, got[i], want)
		}
	}
	if o.stdout != "" {
		t.Errorf("a mistake left on standard output: %s", o.stdout)
	}
}

// mustFail reports a last line of standard error that is not a message with this text.
func (o outcome) mustFail(t *testing.T, want string) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(o.stderr), "\n")
	if last := lines[len(lines)-1]; !strings.HasPrefix(last, "passgate: ") || !strings.Contains(last, want) {
		t.Errorf("the last line is %q, want %q in it", last, want)
	}
}

// mint returns a token of the issuer accounts of a configuration file.
func (c *cli) mint(t *testing.T, config string, args ...string) string {
	t.Helper()
	args = append([]string{"token", "mint", "--config", config, "--issuer", "accounts", "--sub", "ann"}, args...)
	return strings.TrimSpace(c.run(t, args...).must(t, exitOK).stdout)
}

// tempFile puts a file into a folder of its own and returns its name.
func tempFile(t *testing.T, name, content string) string {
	t.Helper()
	name = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// occupy listens on a loopback port for as long as the test runs, and returns its address.
func occupy(t *testing.T, address string) string {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		if address == "127.0.0.1:0" {
			t.Fatal(err)
		}
		return address // another process was faster: it is occupied
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// patience bounds what is waited for. It is far above what anything takes: the machine may be busy.
const patience = 20 * time.Second

// eventually polls until cond holds, and ends the test if it does not in time.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !cond(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v in vain for: %s", patience, what)
		}
	}
}

// syncBuffer is a buffer that is read while a command still writes to it.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
