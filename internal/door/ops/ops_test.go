package ops

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

var loadedAt = time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600))

func ready() *Readiness {
	r := new(Readiness)
	r.ConfigurationLoaded("passgate.yaml", loadedAt)
	return r
}

func draining() *Readiness {
	r := ready()
	r.Drain()
	return r
}

func get(h http.Handler, method, target string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, target, nil))
	return w
}

func TestHandler(t *testing.T) {
	for _, test := range []struct {
		name, method, target string
		readiness            *Readiness
		status               int
		body                 string
	}{
		{"alive", "GET", "/livez", ready(), 200, "ok\n"},
		{"alive before a configuration", "GET", "/livez", new(Readiness), 200, "ok\n"},
		{"alive while draining", "GET", "/livez", draining(), 200, "ok\n"},
		{"ready", "GET", "/readyz", ready(), 200, "ok\n"},
		{"not ready before a configuration", "GET", "/readyz", new(Readiness), 503, "no configuration is loaded\n"},
		{"not ready while draining", "GET", "/readyz", draining(), 503, "draining\n"},
		{"HEAD is served", "HEAD", "/readyz", draining(), 503, "draining\n"}, // the server cuts the body
		{"verbose, ready", "GET", "/readyz?verbose", ready(), 200,
			"[+]shutdown ok\n[+]configuration ok: passgate.yaml loaded at 2026-01-02T02:04:05Z\nreadyz check passed\n"},
		{"verbose, draining", "GET", "/readyz?verbose=1", draining(), 503,
			"[-]shutdown failed: draining\n[+]configuration ok: passgate.yaml loaded at 2026-01-02T02:04:05Z\nreadyz check failed\n"},
		{"verbose, before a configuration", "GET", "/readyz?verbose", new(Readiness), 503,
			"[+]shutdown ok\n[-]configuration failed: no configuration is loaded\nreadyz check failed\n"},
		{"other methods are refused", "POST", "/readyz", ready(), 405, "Method Not Allowed\n"},
		{"other methods are refused on metrics", "DELETE", "/metrics", ready(), 405, "Method Not Allowed\n"},
		{"other paths are not found", "GET", "/", ready(), 404, "404 page not found\n"},
		{"a trailing slash is another path", "GET", "/livez/", ready(), 404, "404 page not found\n"},
		{"profiles are not served here", "GET", "/debug/pprof/", ready(), 404, "404 page not found\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := get(Handler(test.readiness, prometheus.NewRegistry()), test.method, test.target)
			if w.Code != test.status || w.Body.String() != test.body {
				t.Errorf("answered %d %q, want %d %q", w.Code, w.Body, test.status, test.body)
			}
			if allow := w.Header().Get("Allow"); (allow == "GET, HEAD") != (test.status == 405) {
				t.Errorf("Allow = %q with status %d", allow, w.Code)
			}
		})
	}
}

// A path that is not clean is sent to the clean one, which is always one of this server.
func TestRedirectsStayHere(t *testing.T) {
	h := Handler(ready(), prometheus.NewRegistry())
	for target, want := range map[string]string{
		"//livez":                      "/livez",
		"/x/../readyz?verbose":         "/readyz?verbose",
		"//other.example/x":            "/other.example/x",
		"/x/..//other.example/..":      "/",
		"/x//..//%5Cother.example":     "/%255Cother.example",
		"/x/..//%2Fother.example":      "/%252Fother.example",
		"http://other.example//readyz": "/readyz",
	} {
		w := get(h, "GET", target)
		if got := w.Header().Get("Location"); w.Code != http.StatusTemporaryRedirect || got != want {
			t.Errorf("%s answered %d to %q, want %q", target, w.Code, got, want)
		}
	}
}

func TestReloadIsShown(t *testing.T) {
	r := ready()
	r.ConfigurationLoaded("other.yaml", loadedAt.Add(time.Hour))
	w := get(Handler(r, prometheus.NewRegistry()), "GET", "/readyz?verbose")
	if !strings.Contains(w.Body.String(), "other.yaml loaded at 2026-01-02T03:04:05Z") {
		t.Errorf("answered %q", w.Body)
	}
}

// What decisions do without is told to those who ask for more, and makes nothing unready.
func TestDependenciesAreShownAndAskedForByNobody(t *testing.T) {
	r := ready()
	h := Handler(r, prometheus.NewRegistry())
	r.Dependency("sql", nil)
	r.Dependency("redis", errors.New("connection refused"))
	w := get(h, "GET", "/readyz?verbose")
	if w.Code != 200 || !strings.Contains(w.Body.String(), "\n[!]redis cannot be reached, which is no matter of readiness: connection refused\n[+]sql ok\nreadyz check passed\n") {
		t.Errorf("answered %d %q", w.Code, w.Body)
	}
	if w := get(h, "GET", "/readyz"); w.Code != 200 || w.Body.String() != "ok\n" {
		t.Errorf("answered %d %q", w.Code, w.Body)
	}
	r.Dependency("redis", nil)
	if w := get(h, "GET", "/readyz?verbose"); !strings.Contains(w.Body.String(), "[+]redis ok") {
		t.Errorf("answered %q", w.Body)
	}
}

func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(BuildInfo("1.2.3"))
	w := get(Handler(ready(), registry), "GET", "/metrics")
	want := `passgate_build_info{go_version="` + runtime.Version() + `",version="1.2.3"} 1`
	if w.Code != 200 || !strings.Contains(w.Body.String(), want) {
		t.Errorf("answered %d %q, want %q in it", w.Code, w.Body, want)
	}
}

func TestProfiles(t *testing.T) {
	h := NewDebugServer(slog.New(slog.DiscardHandler)).Handler
	for target, want := range map[string]int{
		"/debug/pprof/":                  200,
		"/debug/pprof/goroutine?debug=1": 200,
		"/debug/pprof/cmdline":           200,
		"/debug/pprof/unknown":           404,
		"/":                              404,
	} {
		if w := get(h, "GET", target); w.Code != want {
			t.Errorf("%s answered %d, want %d", target, w.Code, want)
		}
	}
}

// A server over a real connection: HEAD has no body, and a header past the limit is refused.
func TestServer(t *testing.T) {
	server := httptest.NewUnstartedServer(nil)
	server.Config = NewServer(Handler(ready(), prometheus.NewRegistry()), slog.New(slog.DiscardHandler))
	server.Start()
	defer server.Close()
	response, err := http.Head(server.URL + "/livez")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	response.Body.Close()
	if err != nil || response.StatusCode != 200 || len(body) != 0 {
		t.Errorf("HEAD answered %d %q, %v", response.StatusCode, body, err)
	}

	request, err := http.NewRequest("GET", server.URL+"/livez", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Large", strings.Repeat("x", 24<<10))
	response, err = http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a large header answered %d", response.StatusCode)
	}
}

func TestNoTimeoutIsForgotten(t *testing.T) {
	s := NewServer(http.NotFoundHandler(), slog.New(slog.DiscardHandler))
	if s.ReadHeaderTimeout <= 0 || s.ReadTimeout <= 0 || s.WriteTimeout <= metricsTimeout || s.IdleTimeout <= 0 || s.MaxHeaderBytes <= 0 {
		t.Errorf("a limit is missing: %+v", s)
	}
	if d := NewDebugServer(slog.New(slog.DiscardHandler)); d.ReadHeaderTimeout <= 0 || d.WriteTimeout != 0 {
		t.Errorf("a profile would be cut off: %+v", d)
	}
}
