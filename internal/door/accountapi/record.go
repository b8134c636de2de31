package accountapi

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// newCounter returns the counter of calls of a registerer, the one that it has if there is one.
func newCounter(r prometheus.Registerer) *prometheus.CounterVec {
	count := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "passgate_account_requests_total",
		Help: "Calls of the account API by call and code.",
	}, []string{"call", "code"})
	if r == nil {
		return count
	}
	err := r.Register(count)
	if there := (prometheus.AlreadyRegisteredError{}); errors.As(err, &there) {
		if earlier, ok := there.ExistingCollector.(*prometheus.CounterVec); ok {
			return earlier
		}
	}
	if err != nil {
		panic(err) // another metric has the name, which is a fault of the program
	}
	return count
}

// record counts a call and writes its line. Neither holds anything that a client could choose, but for an id.
func (h *Handler) record(ctx context.Context, x *exchange, a *reply, took time.Duration) {
	h.count.WithLabelValues(x.call, a.code).Inc()
	attrs := append(make([]slog.Attr, 0, 7),
		slog.String("request_id", x.id),
		slog.String("call", x.call),
		slog.Int("status", a.status),
		slog.String("code", a.code),
		slog.Bool("replayed", a.replayed),
		slog.Int64("duration_us", took.Microseconds()),
	)
	if a.userID != "" {
		attrs = append(attrs, slog.String("user_id", a.userID))
	}
	h.log.LogAttrs(ctx, slog.LevelInfo, "account", attrs...)
}
