// Package audit records decisions: one log line, one count and one duration for each, whatever door asked.
//
// A line tells who asked for what and why the answer was what it was: of headers and claims, the names that a
// refusing condition looked at. It never holds the value of a header, a token, a query or a body. A metric has no
// label that a client could choose.
package audit

import (
	"context"
	"log/slog"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/metric"
	"github.com/passgate/passgate/internal/problem"
)

// Decisions says which decisions are logged. A decision that could not be made is a fault and not a matter
// of taste: it is logged as an error under any setting.
type Decisions string

// The settings of log.decisions. The zero value is All.
const (
	All    Decisions = "all"
	Denied Decisions = "denied"
	None   Decisions = "none"
)

// Options are the parts of a [Recorder].
type Options struct {
	Log        *slog.Logger // required
	Decisions  Decisions
	Registerer prometheus.Registerer // nil: decisions are counted for nobody
}

// Recorder writes down what is decided. It is safe for concurrent use; make one with [New].
type Recorder struct {
	log       *slog.Logger
	decisions Decisions
	count     *prometheus.CounterVec
	duration  *prometheus.HistogramVec
}

// New returns a recorder. What another one with the same registerer has counted goes on.
func New(o Options) *Recorder {
	return &Recorder{
		log:       o.Log,
		decisions: o.Decisions,
		count: metric.Of(o.Registerer, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "passgate_decisions_total",
			Help: "Decisions by door, outcome and code.",
		}, []string{"door", "decision", "code"})),
		duration: metric.Of(o.Registerer, prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "passgate_decision_duration_seconds",
			Help: "Time that the engine took to decide.",
			// From a remembered token to Envoy's 200 ms, past which nobody waits for the answer.
			Buckets: []float64{10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 200e-3, 500e-3, 1},
		}, []string{"door"})),
	}
}

// Door is the [authz.Decider] of one door, whose decisions are recorded.
type Door struct {
	recorder *Recorder
	name     string
	next     authz.Decider
	allowed  prometheus.Counter
	duration prometheus.Observer
}

// Door returns a decider that leaves the decision to next and records it under the door's name, one of a
// few that the program knows.
func (r *Recorder) Door(name string, next authz.Decider) *Door {
	return &Door{
		recorder: r,
		name:     name,
		next:     next,
		allowed:  r.count.WithLabelValues(name, outcomeAllow, problem.CodeAllowed),
		duration: r.duration.WithLabelValues(name),
	}
}

const (
	outcomeAllow = "allow"
	outcomeDeny  = "deny"
)

// Decide implements [authz.Decider]. What it records is written before it returns, as the strings of a request
// end with it.
func (d *Door) Decide(ctx context.Context, r *authz.Request) authz.Decision {
	start := time.Now()
	decision := d.next.Decide(ctx, r)
	took := time.Since(start)

	d.duration.Observe(took.Seconds())
	if decision.Allowed() {
		d.allowed.Inc()
	} else {
		d.recorder.count.WithLabelValues(d.name, outcomeDeny, problem.Code(&decision)).Inc()
	}
	d.log(ctx, r, &decision, took)
	return decision
}

// How much of what a client chose is logged, in bytes.
const (
	maxMethod = 32
	maxHost   = 255
	maxPath   = 1024
	maxName   = 255     // of a service, which a route may take from the path
	maxCause  = 8 << 10 // holds the stack of a panic
)

// log writes the line of a decision, if it is wanted.
func (d *Door) log(ctx context.Context, r *authz.Request, decision *authz.Decision, took time.Duration) {
	status := problem.Status(decision)
	level := slog.LevelInfo
	if status >= 500 {
		level = slog.LevelError
	}
	if !d.recorder.wants(decision, level) || !d.recorder.log.Enabled(ctx, level) {
		return
	}
	outcome := outcomeDeny
	if decision.Allowed() {
		outcome = outcomeAllow
	}
	var principal authz.Principal
	if decision.Identity != nil {
		principal = decision.Identity.Principal
	}
	path, _, _ := strings.Cut(r.Path, "?") // a door cuts the query, which may hold a secret; this makes sure
	attrs := append(make([]slog.Attr, 0, 18),
		slog.String("request_id", decision.RequestID),
		slog.String("door", d.name),
		slog.String("decision", outcome),
		slog.Int("status", status),
		slog.String("code", problem.Code(decision)),
		slog.String("method", cut(r.Method, maxMethod)),
		slog.String("host", cut(r.Host, maxHost)),
		slog.String("path", cut(path, maxPath)),
		slog.String("route", decision.Rule.Route),
		slog.String("service", cut(decision.Rule.Service, maxName)),
		slog.String("source", principal.Source),
		slog.String("issuer", principal.Issuer),
		slog.String("user_id", principal.UserID),
		slog.Int64("duration_us", took.Microseconds()),
	)
	if !decision.Allowed() {
		// Why a request was refused, and what explain needs to repeat it.
		attrs = append(attrs, slog.String("cause", cut(decision.Cause, maxCause)))
		attrs = appendList(attrs, "roles", principal.Roles)
		attrs = appendList(attrs, "permissions", principal.Permissions)
		attrs = appendList(attrs, "context_requires", r.Required())
	}
	d.recorder.log.LogAttrs(ctx, level, "decision", attrs...)
}

func appendList(attrs []slog.Attr, name string, list []string) []slog.Attr {
	if len(list) == 0 {
		return attrs
	}
	return append(attrs, slog.Any(name, list))
}

// wants reports whether the setting asks for a decision's line.
func (r *Recorder) wants(d *authz.Decision, level slog.Level) bool {
	switch r.decisions {
	case Denied:
		return !d.Allowed()
	case None:
		return level == slog.LevelError
	}
	return true
}

// cut returns the first n bytes of s, whole characters, and marks that there were more.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
