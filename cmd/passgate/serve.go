package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"github.com/passgate/passgate/internal/config"
	"github.com/passgate/passgate/internal/door/extauthz"
	"github.com/passgate/passgate/internal/door/ops"
)

type serveCommand struct {
	configFlag
}

func (c *serveCommand) Run(ctx context.Context, p *program) error {
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

// serve runs every server until ctx ends, and then drains: it says that it goes, answers on for as long as
// its callers need to notice, and finishes what is in flight.
func serve(ctx context.Context, cfg *config.Config, log *slog.Logger, logMetrics prometheus.Collector, now func() time.Time) error {
	v, _ := buildVersion()
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), ops.BuildInfo(v), logMetrics)
	check := extauthz.NewGRPC(extauthz.GRPCOptions{
		Decider:    newRecorder(cfg, log, registry).Door("extauthz", newEngine(cfg, cfg.Issuers, now)),
		Log:        log,
		Registerer: registry,
		Reflection: cfg.GRPC.Reflection,
	})
	readiness := &ops.Readiness{}
	readiness.ConfigurationLoaded(cfg.File, now())

	grpcListener, err := listenGRPC(cfg.Listen.GRPC)
	if err != nil {
		return err
	}
	defer grpcListener.Close()
	opsListener, err := net.Listen("tcp", cfg.Listen.Ops)
	if err != nil {
		return err
	}
	defer opsListener.Close()
	var debugListener net.Listener
	if cfg.Listen.Debug != "" {
		if debugListener, err = net.Listen("tcp", cfg.Listen.Debug); err != nil {
			return err
		}
		defer debugListener.Close()
	}

	// The operations servers stay until the last call was answered: draining shows there.
	stopped, stop := context.WithCancel(context.Background())
	defer stop()
	g, ending := errgroup.WithContext(ctx)
	g.Go(func() error { return check.Serve(grpcListener) })
	g.Go(func() error {
		return serveHTTP(stopped, ops.NewServer(ops.Handler(readiness, registry), log), opsListener, time.Second)
	})
	if debugListener != nil {
		log.Info("serving profiles", "debug", debugListener.Addr().String())
		g.Go(func() error { return serveHTTP(stopped, ops.NewDebugServer(log), debugListener, 0) })
	}
	g.Go(func() error {
		defer stop()
		<-ending.Done()
		readiness.Drain()
		check.Drain()
		if ctx.Err() != nil { // asked to go, not driven by a server's failure
			log.Info("draining", "wait", cfg.Drain.Wait.String(), "timeout", cfg.Drain.Timeout.String())
			time.Sleep(cfg.Drain.Wait)
		}
		timeout, cancel := context.WithTimeout(context.Background(), cfg.Drain.Timeout)
		defer cancel()
		check.Stop(timeout)
		return nil
	})
	log.Info("serving", "grpc", grpcListener.Addr().String(), "ops", opsListener.Addr().String())
	err = g.Wait()
	log.Info("stopped")
	return err
}
