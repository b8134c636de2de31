package accountapi

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/passgate/passgate/internal/metric"
)

func newCounter(r prometheus.Registerer) *prometheus.CounterVec {
	return metric.Of(r, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "passgate_account_requests_total",
		Help: "Calls of the account API by call and code.",
	}, []string{"call", "code"}))
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
