package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	shipped "github.com/passgate/passgate/envoy"
)

// envoyFile is an Envoy configuration on its way to a test. Every change must find what it changes: a test
// that silently ran on another file would prove nothing.
type envoyFile struct {
	t    *testing.T
	text string
}

// shippedFile is envoy/envoy.yaml. Its time-outs are stretched, so that a busy machine does not look like a
// dead passgate; the tests of those time-outs take [shippedAsIs].
func shippedFile(t *testing.T) *envoyFile {
	t.Helper()
	return shippedAsIs(t).
		replace("timeout: 0.25s # of the whole decision", "timeout: 10s #").
		replace("max_interval: 0.12s", "max_interval: 5s").
		replace("- timeout: 0.25s\n", "- timeout: 5s\n")
}

func shippedAsIs(t *testing.T) *envoyFile {
	t.Helper()
	return &envoyFile{t, string(shipped.Config)}
}

// carelessFile is testdata/careless.yaml, an Envoy at its defaults.
func carelessFile(t *testing.T) *envoyFile {
	t.Helper()
	b, err := os.ReadFile("testdata/careless.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return &envoyFile{t, string(b)}
}

// rawHeaders has Envoy send headers in header_map instead of headers.
func (f *envoyFile) rawHeaders() *envoyFile {
	f.t.Helper()
	return f.extAuthz("encode_raw_headers: true")
}

// extAuthz adds a line to the settings of the ext_authz filter.
func (f *envoyFile) extAuthz(line string) *envoyFile {
	f.t.Helper()
	const anchor = "                      transport_api_version: V3\n"
	return f.replace(anchor, anchor+"                      "+line+"\n")
}

// accounts has Envoy find the account API at an address.
func (f *envoyFile) accounts(addr string) *envoyFile {
	f.t.Helper()
	return f.replace("{address: 127.0.0.1, port_value: 8080}", "{address: 127.0.0.1, port_value: "+port(addr)+"}")
}

// http2Upstream has Envoy speak HTTP/2 to the upstream, as a comment of the shipped file says.
func (f *envoyFile) http2Upstream() *envoyFile {
	f.t.Helper()
	return f.replace("\n            http_protocol_options: {}", "\n            http2_protocol_options: {}")
}

// replace puts new in the place of the only old.
func (f *envoyFile) replace(old, new string) *envoyFile {
	f.t.Helper()
	if n := strings.Count(f.text, old); n != 1 {
		f.t.Fatalf("the Envoy file holds %q %d times, want once", old, n)
	}
	f.text = strings.Replace(f.text, old, new, 1)
	return f
}

// uncomment turns the example that begins with the comment line first into configuration. It reaches as far as
// comment lines that are indented further than the first.
func (f *envoyFile) uncomment(first string) *envoyFile {
	f.t.Helper()
	lines := strings.Split(f.text, "\n")
	start := -1
	for i, l := range lines {
		if strings.TrimLeft(l, " ") == "# "+first {
			if start >= 0 {
				f.t.Fatalf("the Envoy file holds the example %q twice", first)
			}
			start = i
		}
	}
	if start < 0 {
		f.t.Fatalf("the Envoy file does not hold the example %q", first)
	}
	for i := start; i == start || strings.HasPrefix(strings.TrimLeft(lines[i], " "), "#   "); i++ {
		lines[i] = strings.Replace(lines[i], "# ", "", 1)
	}
	f.text = strings.Join(lines, "\n")
	return f
}

// envoy is a running Envoy.
type envoy struct {
	*process
	addr  string // where clients call
	admin string
}

// startEnvoy runs Envoy on a file, with its addresses replaced: those of the upstream, of passgate, and of a
// second passgate if there is one. A passgate address may be unix:///path. It returns when Envoy is ready.
func startEnvoy(t *testing.T, f *envoyFile, upstream string, passgates ...string) *envoy {
	t.Helper()
	e := &envoy{addr: freeAddr(t), admin: freeAddr(t)}
	f.replace("{address: 0.0.0.0, port_value: 10000}", "{address: 127.0.0.1, port_value: "+port(e.addr)+"}")
	f.replace("{address: 127.0.0.1, port_value: 9901}", "{address: 127.0.0.1, port_value: "+port(e.admin)+"}")
	f.replace("{address: 127.0.0.1, port_value: 8081}", "{address: 127.0.0.1, port_value: "+port(upstream)+"}")
	if path, ok := strings.CutPrefix(passgates[0], "unix://"); ok {
		f.replace("socket_address: {address: 127.0.0.1, port_value: 9191}", "pipe: {path: "+path+"}")
	} else {
		f.replace("{address: 127.0.0.1, port_value: 9191}", "{address: 127.0.0.1, port_value: "+port(passgates[0])+"}")
	}
	if len(passgates) > 1 {
		f.uncomment("- endpoint:")
		f.replace("{address: 127.0.0.1, port_value: 9192}", "{address: 127.0.0.1, port_value: "+port(passgates[1])+"}")
	}
	e.process = startProcess(t, "envoy", programs.envoy,
		"--config-path", write(t, "envoy.yaml", f.text),
		"--disable-hot-restart", // which would share memory with any other Envoy here
		"--concurrency", "2",
		"--log-level", "warning",
		"--file-flush-interval-msec", "20")
	waitFor(t, "Envoy to be ready", func() bool {
		e.mustRun(t)
		status, _, err := fetch("http://" + e.admin + "/ready")
		return err == nil && status == http.StatusOK
	})
	return e
}

// stat returns a counter or a gauge of Envoy, "" if there is none.
func (e *envoy) stat(name string) string {
	_, body, err := fetch("http://" + e.admin + "/stats?filter=^" + name + "$")
	if err != nil {
		return ""
	}
	_, value, _ := strings.Cut(strings.TrimSpace(body), ": ")
	return value
}

// waitHealthy waits until Envoy holds n replicas of passgate for healthy.
func (e *envoy) waitHealthy(t *testing.T, n int) {
	t.Helper()
	want := fmt.Sprint(n)
	waitFor(t, want+" healthy passgates", func() bool {
		e.mustRun(t)
		return e.stat("cluster.passgate.membership_healthy") == want
	})
}

// logLine waits for the line of the access log about a request.
func (e *envoy) logLine(t *testing.T, requestID string) map[string]any {
	t.Helper()
	return waitForLine(t, e.out, requestID)
}

// waitForLine waits for the first line of a JSON log whose request_id is the given one.
func waitForLine(t *testing.T, file, requestID string) map[string]any {
	t.Helper()
	var line map[string]any
	waitFor(t, "a log line with request_id "+requestID, func() bool {
		lines := logLines(t, file, requestID)
		if len(lines) > 0 {
			line = lines[0]
		}
		return len(lines) > 0
	})
	return line
}

// logLines returns the lines of a JSON log whose request_id is the given one, or all that have one for "".
func logLines(t *testing.T, file, requestID string) []map[string]any {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var found []map[string]any
	s := bufio.NewScanner(bytes.NewReader(b))
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		var line map[string]any
		if json.Unmarshal(s.Bytes(), &line) != nil {
			continue // other output, or a line half written
		}
		if id, ok := line["request_id"].(string); ok && (id == requestID || requestID == "") {
			found = append(found, line)
		}
	}
	return found
}
