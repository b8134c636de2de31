package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/passgate/passgate/internal/config"
	"github.com/passgate/passgate/internal/metric"
)

// reload is how a server follows its configuration.
type reload struct {
	load    func() (*config.Config, error)
	hangUps <-chan os.Signal // each asks for a reload at once
}

const (
	lookEvery  = 250 * time.Millisecond // at the files
	retryEvery = 2 * time.Second        // what was refused, until it can be used
	primeTime  = 2 * time.Second        // for the keys of issuers that are new
	settleTime = 10 * time.Second       // in which files that change are to stand for a look
	loadTries  = 10                     // while files change as they are read
)

// follow reloads the configuration whenever a file that it was read from holds something else, until ctx ends. It is
// swapped in whole; one that cannot be used changes nothing.
func (s *servers) follow(ctx context.Context, r *reload) {
	m := newReloadMetrics(s.registry)
	m.loaded(s.now())
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	refused, retry := "", time.Time{}
	files := settler{seen: s.inUse.Load().cfg.Read}
	for {
		asked, changed := false, false
		select {
		case <-ctx.Done():
			return
		case <-r.hangUps:
			asked = true
		case <-tick.C:
			changed = files.look(files.seen.Again(), time.Now())
		}
		if files.unsettled(time.Now()) > settleTime && refused != errUnsettled.Error() {
			refused = errUnsettled.Error()
			s.refuse(m, errUnsettled)
		}
		if retries := refused != "" && files.settling == nil && time.Now().After(retry); !asked && !changed && !retries {
			continue
		}
		if err := s.reloadSafely(ctx, r); err != nil {
			// What it names may be mended without a change of the files that are known.
			retry, files = time.Now().Add(retryEvery), settler{seen: files.seen.Again()}
			// What was said is not said again by every retry.
			if text := err.Error(); text != refused || asked || changed {
				refused = text
				s.refuse(m, err)
			}
			continue
		}
		refused, files = "", settler{seen: s.inUse.Load().cfg.Read}
		m.loaded(s.now())
	}
}

// settler tells when files have changed: one may be in the middle of being written, so a change counts once it has
// stood from one look to the next.
type settler struct {
	seen     config.Snapshot
	settling config.Snapshot // what the last look has found; nil: what was seen
	since    time.Time       // the first look that found something else
}

// look takes what the files hold now, and reports whether they have changed.
func (s *settler) look(now config.Snapshot, at time.Time) (changed bool) {
	switch {
	case now.Equal(s.seen):
		s.settling = nil
	case now.Equal(s.settling):
		return true
	default:
		if s.settling == nil {
			s.since = at
		}
		s.settling = now
	}
	return false
}

// unsettled returns how long the files have been changing.
func (s *settler) unsettled(at time.Time) time.Duration {
	if s.settling == nil {
		return 0
	}
	return at.Sub(s.since)
}

var errUnsettled = errors.New("its files change all the time, and are not read in the middle of a change")

// refuse tells that the configuration as it stands is not in use.
func (s *servers) refuse(m *reloadMetrics, why error) {
	m.refused()
	s.readiness.ConfigurationRefused(why)
	s.log.Error("configuration refused: nothing of it is in use, and the one before goes on", "faults", strings.Split(why.Error(), "\n"))
}

// reloadSafely is reload, for which a panic is a configuration that cannot be used.
func (s *servers) reloadSafely(ctx context.Context, r *reload) (err error) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("reload panicked", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = errors.New("a fault of the program, see the log")
		}
	}()
	return s.reload(ctx, r)
}

// reload reads the configuration and puts it in the place of the one in use.
func (s *servers) reload(ctx context.Context, r *reload) error {
	cfg, err := r.read(ctx)
	if err != nil {
		return err
	}
	if fields := needRestart(s.first, cfg); len(fields) > 0 {
		return fmt.Errorf("%s: %s cannot change while passgate runs: restart it, or take the change back", cfg.File, strings.Join(fields, ", "))
	}
	old := s.inUse.Load()
	next, err := s.newGeneration(cfg)
	if err != nil {
		s.outside.keep(old.cfg)
		return err
	}
	s.outside.primeFor(ctx, primeTime)
	s.inUse.Store(next)
	s.outside.keep(cfg)
	old.close()
	s.log.follow(cfg)
	s.readiness.ConfigurationLoaded(cfg.File, s.now())
	s.log.Info("configuration reloaded", summary(cfg)...)
	for _, w := range cfg.Warnings {
		if !slices.ContainsFunc(old.cfg.Warnings, func(before *config.Warning) bool { return before.Error() == w.Error() }) {
			s.log.Warn("unwise configuration", "warning", w.Error())
		}
	}
	return nil
}

// read returns the configuration as it stands: one in whose middle a file changed is read again.
func (r *reload) read(ctx context.Context) (*config.Config, error) {
	for range loadTries {
		cfg, err := r.load()
		if err != nil || !cfg.Read.Changed() {
			return cfg, err
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return nil, errors.New("its files change all the time")
}

// needRestart returns the settings that another configuration has and that a process takes at its start alone: its
// addresses, and its stores.
func needRestart(running, next *config.Config) []string {
	var fields []string
	differ := func(field string, is bool) {
		if is {
			fields = append(fields, field)
		}
	}
	differ("listen.grpc", running.Listen.GRPC != next.Listen.GRPC)
	differ("listen.ops", running.Listen.Ops != next.Listen.Ops)
	differ("listen.debug", running.Listen.Debug != next.Listen.Debug)
	differ("listen.authz_http", running.Listen.AuthzHTTP != next.Listen.AuthzHTTP)
	serves := running.ServesHTTP()
	differ("listen.http", serves && running.Listen.HTTP != next.Listen.HTTP)
	differ("listen.http (nothing was served there at the start)", !serves && next.ServesHTTP())
	differ("limits.headers", running.Limits.Headers != next.Limits.Headers)
	differ("grpc.reflection", running.GRPC.Reflection != next.GRPC.Reflection)
	switch before, after := running.Accounts, next.Accounts; {
	case before == nil || after == nil:
		differ("accounts", before != after)
	default:
		differ("accounts.database", before.Database != after.Database)
		differ("redis", running.Redis != next.Redis)
	}
	return fields
}

// reloadMetrics tell how reloads went.
type reloadMetrics struct {
	total     *prometheus.CounterVec
	succeeded prometheus.Gauge
	since     prometheus.Gauge
}

func newReloadMetrics(r prometheus.Registerer) *reloadMetrics {
	m := &reloadMetrics{
		total: metric.Of(r, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "passgate_config_loads_total", Help: "Configurations read, that of the start among them, by whether they are used.",
		}, []string{"result"})),
		succeeded: metric.Of(r, prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "passgate_config_last_load_successful", Help: "Whether the configuration as it stands is in use: 0 where it was refused.",
		})),
		since: metric.Of(r, prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "passgate_config_loaded_timestamp_seconds", Help: "When the configuration in use was loaded.",
		})),
	}
	m.total.WithLabelValues("refused")
	return m
}

func (m *reloadMetrics) loaded(at time.Time) {
	m.total.WithLabelValues("used").Inc()
	m.succeeded.Set(1)
	m.since.Set(float64(at.UnixNano()) / 1e9)
}

func (m *reloadMetrics) refused() {
	m.total.WithLabelValues("refused").Inc()
	m.succeeded.Set(0)
}
