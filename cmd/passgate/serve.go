package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"github.com/passgate/passgate/internal/audit"
	"github.com/passgate/passgate/internal/config"
	"github.com/passgate/passgate/internal/door/extauthz"
	"github.com/passgate/passgate/internal/door/ops"
	"github.com/passgate/passgate/internal/logsink"
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
		err := config.GenerateKey(config.KeyFile)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
	fmt.Fprintf(p.stderr, "passgate: no %s here and no --config: running on the embedded default (passgate config show --default prints it)\n", config.DefaultFile)
	return config.Default(p.lookupEnv)
}

// logBytes is how much of the log is held while its reader is slow.
const logBytes = 4 << 20

// newLog returns a logger of JSON lines to standard error that never blocks. closeLog writes out what is
// held, for a second at most.
func (p *program) newLog(cfg *config.Config) (log *slog.Logger, sink *logsink.Writer, closeLog func()) {
	sink = logsink.New(p.stderr, logBytes)
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.Log.Level)); err != nil {
		panic(fmt.Sprintf("the configuration was accepted with the log level %q", cfg.Log.Level))
	}
	log = slog.New(slog.NewJSONHandler(sink, &slog.HandlerOptions{Level: level}))
	return log, sink, func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = sink.Close(ctx) // what could not be written cannot be told either
	}
}

func newRecorder(cfg *config.Config, log *slog.Logger, registry prometheus.Registerer) *audit.Recorder {
	return audit.New(audit.Options{Log: log, Decisions: audit.Decisions(cfg.Log.Decisions), Registerer: registry})
}

// serve runs every server until ctx ends, and then drains: it says that it goes, answers on for as long as
// its callers need to notice, and finishes what is in flight.
func serve(ctx context.Context, cfg *config.Config, log *slog.Logger, logMetrics prometheus.Collector, now func() time.Time) error {
	engine, err := newEngine(cfg, cfg.Issuers, now)
	if err != nil {
		return err
	}
	v, _ := buildVersion()
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), ops.BuildInfo(v), logMetrics)
	check := extauthz.NewGRPC(extauthz.GRPCOptions{
		Decider:    newRecorder(cfg, log, registry).Door("extauthz", engine),
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
	g, failed := errgroup.WithContext(ctx)
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
		<-failed.Done()
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

// listenGRPC listens on host:port or unix:///path. A socket file that a killed process has left behind is
// replaced; one that is in use is not.
func listenGRPC(address string) (net.Listener, error) {
	path, isUnix := strings.CutPrefix(address, "unix://")
	if !isUnix {
		return net.Listen("tcp", address)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() == fs.ModeSocket {
		c, err := net.DialTimeout("unix", path, time.Second)
		if err == nil {
			c.Close()
		}
		// Any other failure than this one, a full queue say, comes from a socket in use.
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return nil, fmt.Errorf("listen on %s: another process listens there", address)
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	// Envoy runs as another user, of the same group.
	if err := os.Chmod(path, 0o660); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// serveHTTP serves until ctx ends, and then gives requests in flight a grace period.
func serveHTTP(ctx context.Context, server *http.Server, l net.Listener, grace time.Duration) error {
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	timeout, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	// Serve returns while Shutdown still waits for requests.
	if err := server.Shutdown(timeout); err != nil {
		return server.Close()
	}
	return nil
}
