// Package ops is the door for those who run passgate: liveness, readiness, metrics and, on a listener of
// their own, profiles.
package ops

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	writeTimeout   = 30 * time.Second
	metricsTimeout = 10 * time.Second
	metricsAtOnce  = 4 // gathering costs what decisions need
)

// Handler serves /livez, /readyz and /metrics to GET and HEAD, and nothing else.
func Handler(r *Readiness, g prometheus.Gatherer) http.Handler {
	return &handler{r, promhttp.HandlerFor(g, promhttp.HandlerOpts{
		MaxRequestsInFlight: metricsAtOnce,
		Timeout:             metricsTimeout,
	})}
}

type handler struct {
	readiness *Readiness
	metrics   http.Handler
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var serve http.HandlerFunc
	switch r.URL.Path {
	case "/livez":
		serve = livez
	case "/readyz":
		serve = h.readyz
	case "/metrics":
		serve = h.metrics.ServeHTTP
	default:
		http.NotFound(w, r)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	serve(w, r)
}

// livez says that the process answers. It looks at nothing else, as the remedy for it is a restart.
func livez(w http.ResponseWriter, _ *http.Request) {
	text(w, http.StatusOK, "ok\n")
}

func (h *handler) readyz(w http.ResponseWriter, r *http.Request) {
	why := h.readiness.Unready()
	status, body := http.StatusOK, "ok"
	if why != "" {
		status, body = http.StatusServiceUnavailable, why
	}
	if r.URL.Query().Has("verbose") {
		body = h.readiness.verbose()
	}
	text(w, status, body+"\n")
}

func text(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body) // the client may be gone
}

// DebugHandler serves the profiles of net/http/pprof under /debug/pprof/. They show the inside of the
// process, so it belongs on loopback.
func DebugHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

// NewServer returns a server of [Handler], bounded in time and size.
func NewServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}

// NewDebugServer returns a server of [DebugHandler]. A profile takes as long as it was asked to, so writing
// has no limit.
func NewDebugServer(log *slog.Logger) *http.Server {
	s := NewServer(DebugHandler(), log)
	s.WriteTimeout = 0
	return s
}

// BuildInfo returns the metric that tells which build runs.
func BuildInfo(version string) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name:        "passgate_build_info",
		Help:        "Always 1; the labels tell the version of passgate and of Go.",
		ConstLabels: prometheus.Labels{"version": version, "go_version": runtime.Version()},
	}, func() float64 { return 1 })
}
