package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// configured is a passgate whose whole file its test writes, and may change while it runs.
type configured struct {
	*passgate
	http string // address
	dir  string // of the file, and of those that it names
}

// newConfigured prepares one, to be started. The file comes without listen, which is put before it.
func newConfigured(t *testing.T, file string) *configured {
	t.Helper()
	c := &configured{passgate: &passgate{grpc: freeAddr(t), ops: freeAddr(t)}, http: freeAddr(t), dir: t.TempDir()}
	c.config = filepath.Join(c.dir, "passgate.yaml")
	c.configure(t, file)
	return c
}

// startConfigured runs one with these files beside its own and returns when it is ready.
func startConfigured(t *testing.T, file string, others map[string]string) *configured {
	t.Helper()
	c := newConfigured(t, file)
	for name, content := range others {
		c.put(t, name, content)
	}
	c.start(t)
	return c
}

// configure writes the file.
func (c *configured) configure(t *testing.T, file string) {
	t.Helper()
	c.put(t, "passgate.yaml", fmt.Sprintf("listen: {grpc: %q, http: %q, ops: %q, authz_http: \"127.0.0.1:0\"}\ndrain: {wait: 0s, timeout: 5s}\n%s", c.grpc, c.http, c.ops, file))
}

// put has a file hold something else, by a rename, so that nobody reads half of it.
func (c *configured) put(t *testing.T, name, content string) {
	t.Helper()
	name = filepath.Join(c.dir, name)
	if err := os.WriteFile(name+".new", []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

// loads are the configurations that were put in use, that of the start among them.
func (c *configured) loads(t *testing.T) float64 {
	t.Helper()
	return metric(t, c.ops, `passgate_config_loads_total{result="used"}`)
}

// reloaded makes a change and waits until a configuration was put in use that was read after it.
func (c *configured) reloaded(t *testing.T, change func()) {
	t.Helper()
	before := c.loads(t)
	change()
	waitFor(t, "the configuration to be reloaded", func() bool {
		c.mustRun(t)
		return c.loads(t) > before
	})
}

// command runs a command of passgate in the folder of the file, and returns its standard output.
func (c *configured) command(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command(programs.passgate, args...)
	cmd.Dir = c.dir
	out, err := cmd.Output()
	if err != nil {
		var stderr []byte
		if e, ok := err.(*exec.ExitError); ok {
			stderr = e.Stderr
		}
		t.Fatalf("passgate %s: %v\n%s", strings.Join(args, " "), err, stderr)
	}
	return string(out)
}

// behind starts Envoy on a file in front of this passgate, its account API and its keys included.
func (c *configured) behind(t *testing.T, f *envoyFile, upstream string) *envoy {
	t.Helper()
	return startEnvoy(t, f.accounts(c.http), upstream, c.grpc)
}

// beside is behind for an Envoy that knows nothing of accounts.
func (c *configured) beside(t *testing.T, f *envoyFile, upstream string) *envoy {
	t.Helper()
	return startEnvoy(t, f, upstream, c.grpc)
}

// behindHTTP is beside for an Envoy that asks over HTTP.
func (c *configured) behindHTTP(t *testing.T, f *envoyFile, upstream string) *envoy {
	t.Helper()
	return startEnvoy(t, f, upstream, c.authzHTTP(t))
}

// authzHTTP returns the address that ext_authz over HTTP is served on, as the log tells.
func (c *configured) authzHTTP(t *testing.T) string {
	t.Helper()
	log, err := os.ReadFile(c.log())
	if err != nil {
		t.Fatal(err)
	}
	for text := range strings.Lines(string(log)) {
		var line struct {
			Message string `json:"msg"`
			Address string `json:"authz_http"`
		}
		if json.Unmarshal([]byte(text), &line) == nil && line.Message == "serving" && line.Address != "" {
			return line.Address
		}
	}
	t.Fatalf("the log does not tell where ext_authz over HTTP is served:\n%s", log)
	return ""
}

// mustNotTell fails the test if a secret is in the log, the metrics or the readiness of passgate.
func (c *configured) mustNotTell(t *testing.T, secrets ...string) {
	t.Helper()
	log, err := os.ReadFile(c.log())
	if err != nil {
		t.Fatal(err)
	}
	said := map[string]string{"the log": string(log)}
	for _, path := range []string{"/metrics", "/readyz?verbose"} {
		_, body, err := fetch("http://" + c.ops + path)
		if err != nil {
			t.Fatal(err)
		}
		said[path] = body
	}
	for where, text := range said {
		if text == "" {
			t.Errorf("%s is empty", where)
		}
		for _, secret := range secrets {
			if i := strings.Index(text, secret); i >= 0 {
				t.Errorf("%s holds a secret, after …%s", where, text[max(0, i-200):i])
			}
		}
	}
}

// caller calls one address over kept connections. It may be used by many at a time.
type caller struct {
	client *http.Client
	addr   string
}

func newCaller(t *testing.T, addr string) *caller {
	t.Helper()
	transport := &http.Transport{MaxIdleConns: 0, MaxIdleConnsPerHost: 1024}
	t.Cleanup(transport.CloseIdleConnections)
	return &caller{&http.Client{Timeout: patience, Transport: transport}, addr}
}

// do sends a request without a body. The header lines are as those of [send].
func (c *caller) do(ctx context.Context, method, path string, headers ...string) (response, error) {
	r, err := http.NewRequestWithContext(ctx, method, "http://"+c.addr+path, nil)
	if err != nil {
		return response{}, err
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	answer, err := c.client.Do(r)
	if err != nil {
		return response{}, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return response{status: answer.StatusCode, header: answer.Header, body: string(body)}, err
}

// outcome sends a GET and returns its status, or why there is none.
func (c *caller) outcome(path string, headers ...string) string {
	answer, err := c.do(context.Background(), "GET", path, headers...)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(answer.status)
}
