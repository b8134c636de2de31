package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/config"
	"github.com/passgate/passgate/internal/door/extauthz"
	"github.com/passgate/passgate/internal/door/ops"
	"github.com/passgate/passgate/internal/metric"
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
	hangUps := make(chan os.Signal, 1)
	signal.Notify(hangUps, syscall.SIGHUP)
	defer signal.Stop(hangUps)
	file, err := c.file()
	if err != nil {
		return err
	}
	// What was a file at the start is one for good: the embedded default in its place, because it is missing for a
	// moment, would let in whom it does not.
	load, first := func() (*config.Config, error) { return config.Load(file, p.lookupEnv) }, defaultWithKey
	if file == "" {
		load = func() (*config.Config, error) { return config.Default(p.lookupEnv) }
	} else {
		first = func(*program) (*config.Config, error) { return load() }
	}
	cfg, err := first(p)
	if err != nil {
		return err
	}
	log := p.newLog(cfg)
	defer log.close()
	log.Info("configuration loaded", summary(cfg)...)
	for _, w := range cfg.Warnings {
		log.Warn("unwise configuration", "warning", w.Error())
	}
	if _, watched := cfg.Read[file]; !watched && file != "" {
		log.Warn("the configuration is read from a pipe: what changes is not followed, and a restart loads it", "file", file)
	}
	return serve(ctx, cfg, log, p.now, &reload{load: load, hangUps: hangUps})
}

// summary is what is said of a configuration in the log.
func summary(cfg *config.Config) []any {
	return []any{"file", cfg.File, "issuers", len(cfg.Issuers), "routes", len(cfg.Routes), "default_access", cfg.DefaultAccess.String()}
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
	first     *config.Config // that of the start, whose listeners and stores stay
	log       *processLog
	now       func() time.Time
	registry  *prometheus.Registry
	outside   *outside
	inUse     atomic.Pointer[generation]
	readiness ops.Readiness
	check     *extauthz.GRPC
	accounts  *accounts  // nil: not served
	web       *webServer // nil: there is nothing to serve
	authzHTTP *webServer // nil: not served
	refused   prometheus.Counter
}

// newServers builds them. The caller closes them.
func newServers(cfg *config.Config, log *processLog, now func() time.Time) (_ *servers, err error) {
	v, _ := buildVersion()
	s := &servers{first: cfg, log: log, now: now, registry: prometheus.NewRegistry()}
	s.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), ops.BuildInfo(v), log.sink.Collector())
	s.outside = newOutside(now, log.Logger, s.registry)
	s.outside.fresh = true
	s.registry.MustRegister(s.outside)
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if cfg.Accounts != nil {
		if s.accounts, err = openAccounts(cfg, now, s.registry); err != nil {
			return nil, err
		}
	}
	first, err := s.newGeneration(cfg)
	if err != nil {
		return nil, err
	}
	s.inUse.Store(first)
	s.readiness.ConfigurationLoaded(cfg.File, now())
	s.readiness.Watch(s.outside.states)
	s.check = extauthz.NewGRPC(extauthz.GRPCOptions{
		Decider:    s,
		Log:        log.Logger,
		Registerer: s.registry,
		Reflection: cfg.GRPC.Reflection,
	})
	s.refused = metric.Of(s.registry, prometheus.NewCounter(prometheus.CounterOpts{
		Name: "passgate_framing_refused_total",
		Help: "Connections to listen.http and listen.authz_http that ended as a request could be framed in two ways.",
	}))
	if cfg.ServesHTTP() {
		s.web = newWebServer(func() webHandlers { return s.inUse.Load().web }, int(cfg.Limits.Headers), log.Logger)
	}
	if cfg.Listen.AuthzHTTP != "" {
		s.authzHTTP = newWebServer(func() webHandlers { return webHandlers{own: s.inUse.Load().authzHTTP} }, int(cfg.Limits.Headers), log.Logger)
		s.authzHTTP.IdleTimeout = envoyIdleTime
		s.authzHTTP.DisableGeneralOptionsHandler = true // it would answer OPTIONS * by 200, which is an allow
	}
	return s, nil
}

// Decide implements [authz.Decider] for the Check door, by the configuration in use.
func (s *servers) Decide(ctx context.Context, r *authz.Request) authz.Decision {
	return s.inUse.Load().check.Decide(ctx, r)
}

func (s *servers) close() error {
	s.outside.close()
	if s.accounts == nil {
		return nil
	}
	return s.accounts.close()
}

// serve runs every server until ctx ends, and then drains: it says that it goes, answers on for as long as
// its callers need to notice, and finishes what is in flight. With a reload it follows its configuration.
func serve(ctx context.Context, cfg *config.Config, log *processLog, now func() time.Time, reload *reload) (err error) {
	s, err := newServers(cfg, log, now)
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
		return serveHTTP(stopped, ops.NewServer(ops.Handler(&s.readiness, s.registry), log.Logger), l.ops, time.Second)
	})
	if l.debug != nil {
		g.Go(func() error { return serveHTTP(stopped, ops.NewDebugServer(log.Logger), l.debug, 0) })
	}
	drained := make(chan struct{}) // closed when drain.wait is over
	var web sync.WaitGroup
	for server, listener := range map[*webServer]net.Listener{s.web: l.http, s.authzHTTP: l.authzHTTP} {
		if server == nil {
			continue
		}
		web.Add(1)
		g.Go(func() error {
			defer web.Done()
			return server.serveUntil(drained, listener, func() time.Duration { return s.inUse.Load().cfg.Drain.Timeout })
		})
	}
	if s.accounts != nil {
		g.Go(func() error { s.watchStores(ending); return nil })
	}
	if reload != nil {
		g.Go(func() error { s.follow(ending, reload); return nil })
	}
	g.Go(func() error {
		defer stop()
		<-ending.Done()
		s.readiness.Drain()
		s.check.Drain()
		drain := s.inUse.Load().cfg.Drain
		if ctx.Err() != nil { // asked to go, not driven by a server's failure
			log.Info("draining", "wait", drain.Wait.String(), "timeout", drain.Timeout.String())
			time.Sleep(drain.Wait)
		}
		close(drained)
		timeout, cancel := context.WithTimeout(context.Background(), drain.Timeout)
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
	watch(ctx, s.accounts.dependencies(), s.log.Logger, func(name string, err error) {
		s.readiness.Dependency(name, err)
		delete(down, name)
		if err != nil {
			down[name] = true
		}
		s.check.SetHealth(accountsHealth, len(down) == 0)
	})
}
