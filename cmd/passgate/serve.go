package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"golang.org/x/sync/errgroup"

	"github.com/passgate/passgate/internal/audit"
	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/config"
	"github.com/passgate/passgate/internal/door/extauthz"
	"github.com/passgate/passgate/internal/door/ops"
	"github.com/passgate/passgate/internal/door/proxy"
)

type serveCommand struct {
	configFlag
}

// Help is what its help says beside its flags.
func (c *serveCommand) Help() string {
	return "Without a file, PASSGATE_JWT_SECRET, PASSGATE_DATABASE (sqlite:FILE), PASSGATE_REDIS and PASSGATE_UPSTREAM (URLs) of the environment are read; none is needed."
}

func (c *serveCommand) Run(ctx context.Context, p *program) error {
	// With one processor in Go's sense, no decision would be made while a password is hashed.
	if runtime.GOMAXPROCS(0) < 2 {
		runtime.GOMAXPROCS(2)
	}
	cfg, err := c.load(p, func() (*config.Config, error) { return defaultWithKey(p) })
	if err != nil {
		return err
	}
	log, sink, closeLog := p.newLog(cfg)
	defer closeLog()
	log.Info("configuration loaded", "file", cfg.File, "issuers", len(cfg.Issuers), "routes", len(cfg.Routes), "default_access", cfg.DefaultAccess.String())
	for _, w := range cfg.Warnings {
		log.Warn("unwise configuration", "warning", w.Error())
	}
	return serve(ctx, cfg, log, sink.Collector(), p.now)
}

// defaultWithKey returns the embedded configuration for a run without a file, after making the key that it
// needs if the environment brings none.
func defaultWithKey(p *program) (*config.Config, error) {
	if secret, _ := p.lookupEnv("PASSGATE_JWT_SECRET"); secret == "" {
		switch err := config.GenerateKey(config.KeyFile); {
		case err == nil:
			fmt.Fprintf(p.stderr, "passgate: made the key %s: tokens are signed and verified with it\n", config.KeyFile)
		case !errors.Is(err, fs.ErrExist):
			return nil, err
		}
	}
	return p.defaultConfig()
}

// accountsHealth is the health service that tells whether accounts can be had.
const accountsHealth = "passgate.accounts"

// servers are all that one process serves.
type servers struct {
	cfg       *config.Config
	log       *slog.Logger
	now       func() time.Time
	registry  *prometheus.Registry
	recorder  *audit.Recorder
	engine    *authz.Engine
	readiness ops.Readiness
	check     *extauthz.GRPC
	accounts  *accounts  // nil: not served
	web       *webServer // nil: there is nothing to serve
	refused   prometheus.Counter
}

// newServers builds them. The caller closes them.
func newServers(cfg *config.Config, log *slog.Logger, logMetrics prometheus.Collector, now func() time.Time) (*servers, error) {
	v, _ := buildVersion()
	s := &servers{cfg: cfg, log: log, now: now, registry: prometheus.NewRegistry()}
	s.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), ops.BuildInfo(v), logMetrics)
	s.recorder = newRecorder(cfg, log, s.registry)
	s.engine = newEngine(cfg, cfg.Issuers, now)
	s.check = extauthz.NewGRPC(extauthz.GRPCOptions{
		Decider:    s.recorder.Door("extauthz", s.engine),
		Log:        log,
		Registerer: s.registry,
		Reflection: cfg.GRPC.Reflection,
	})
	s.readiness.ConfigurationLoaded(cfg.File, now())
	var api, proxied http.Handler
	if cfg.Accounts != nil {
		var err error
		if s.accounts, err = openAccounts(cfg, now, s.registry); err != nil {
			return nil, err
		}
		if api, err = newAccountAPI(cfg, s.accounts, now, log, s.recorder, s.registry); err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	if cfg.Proxy != nil {
		proxied = proxy.New(proxy.Options{
			Decider:        s.recorder.Door("proxy", s.engine),
			Upstreams:      cfg.Proxy.Upstreams,
			Timeout:        cfg.Proxy.Timeout,
			TrustedProxies: cfg.TrustedProxy,
			Log:            log,
			Registerer:     s.registry,
		})
	}
	if cfg.ServesHTTP() {
		s.refused = promauto.With(s.registry).NewCounter(prometheus.CounterOpts{
			Name: "passgate_framing_refused_total",
			Help: "Connections to listen.http that ended as a request could be framed in two ways.",
		})
		s.web = newWebServer(api, proxied, int(cfg.Limits.Headers), log)
	}
	return s, nil
}

func (s *servers) close() error {
	if s.accounts == nil {
		return nil
	}
	return s.accounts.close()
}

// serve runs every server until ctx ends, and then drains: it says that it goes, answers on for as long as
// its callers need to notice, and finishes what is in flight.
func serve(ctx context.Context, cfg *config.Config, log *slog.Logger, logMetrics prometheus.Collector, now func() time.Time) (err error) {
	s, err := newServers(cfg, log, logMetrics, now)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	l, err := s.listen()
	if err != nil {
		return err
	}
	defer l.close()

	// The operations servers stay until the last call was answered: draining shows there.
	stopped, stop := context.WithCancel(context.Background())
	defer stop()
	g, ending := errgroup.WithContext(ctx)
	g.Go(func() error { return s.check.Serve(l.grpc) })
	g.Go(func() error {
		return serveHTTP(stopped, ops.NewServer(ops.Handler(&s.readiness, s.registry), log), l.ops, time.Second)
	})
	if l.debug != nil {
		g.Go(func() error { return serveHTTP(stopped, ops.NewDebugServer(log), l.debug, 0) })
	}
	drained := make(chan struct{}) // closed when drain.wait is over
	var web sync.WaitGroup
	if s.web != nil {
		web.Add(1)
		g.Go(func() error {
			defer web.Done()
			return s.web.serveUntil(drained, l.http, cfg.Drain.Timeout)
		})
	}
	if s.accounts != nil {
		g.Go(func() error { s.watchStores(ending); return nil })
	}
	g.Go(func() error {
		defer stop()
		<-ending.Done()
		s.readiness.Drain()
		s.check.Drain()
		if ctx.Err() != nil { // asked to go, not driven by a server's failure
			log.Info("draining", "wait", cfg.Drain.Wait.String(), "timeout", cfg.Drain.Timeout.String())
			time.Sleep(cfg.Drain.Wait)
		}
		close(drained)
		timeout, cancel := context.WithTimeout(context.Background(), cfg.Drain.Timeout)
		defer cancel()
		s.check.Stop(timeout)
		web.Wait()
		return nil
	})
	log.Info("serving", l.addresses()...)
	err = g.Wait()
	log.Info("stopped")
	return err
}

// watchStores tells readiness and health of the stores of accounts, until ctx ends.
func (s *servers) watchStores(ctx context.Context) {
	down := map[string]bool{}
	watch(ctx, s.accounts.dependencies(), s.log, func(name string, err error) {
		s.readiness.Dependency(name, err)
		delete(down, name)
		if err != nil {
			down[name] = true
		}
		s.check.SetHealth(accountsHealth, len(down) == 0)
	})
}
