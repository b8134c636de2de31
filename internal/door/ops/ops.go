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

// Handler serves /livez, /readyz and /metrics to GET and HEAD. A path that is not clean is redirected to the
// clean one.
func Handler(r *Readiness, g prometheus.Gatherer) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", livez)
	mux.HandleFunc("GET /readyz", r.readyz)
	mux.Handle("GET /metrics", promhttp.HandlerFor(g, promhttp.HandlerOpts{
		MaxRequestsInFlight: metricsAtOnce,
		Timeout:             metricsTimeout,
	}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		mux.ServeHTTP(w, r)
	})
}

// livez says that the process answers. It looks at nothing else, as the remedy for it is a restart.
func livez(w http.ResponseWriter, _ *http.Request) {
	text(w, http.StatusOK, "ok\n")
}

func (r *Readiness) readyz(w http.ResponseWriter, request *http.Request) {
	status, body := http.StatusOK, "ok"
	if why := r.unready(); why != "" {
		status, body = http.StatusServiceUnavailable, why
	}
	if request.URL.Query().Has("verbose") {
		body = r.verbose()
	}
	text(w, status, body+"\n")
}

func text(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body) // the client may be gone
}

// debugHandler serves the profiles of net/http/pprof under /debug/pprof/. They show the inside of the
// process, so it belongs on loopback.
func debugHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

// NewServer returns a server of h, bounded in time and size.
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

// NewDebugServer returns a server of the profiles of net/http/pprof. One takes as long as it was asked to,
// so writing has no limit.
func NewDebugServer(log *slog.Logger) *http.Server {
	s := NewServer(debugHandler(), log)
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
