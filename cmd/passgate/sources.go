package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/claims"
	"github.com/passgate/passgate/internal/config"
	"github.com/passgate/passgate/internal/keyset"
	"github.com/passgate/passgate/internal/metric"
	"github.com/passgate/passgate/internal/remotekeys"
	"github.com/passgate/passgate/internal/verifier/introspect"
	"github.com/passgate/passgate/internal/verifier/jwtauth"
)

// outside is what sources of any configuration share: connections, remote key sets, and the metrics of both. A key
// set goes on where a configuration is followed by another one with the same set, so that a reload forgets no key.
type outside struct {
	now     func() time.Time
	log     *slog.Logger
	asking  *http.Client // of introspection servers
	asked   *prometheus.CounterVec
	fetched *prometheus.CounterVec
	fresh   bool // key sets are kept fresh, and not only fetched when they are asked

	mu      sync.Mutex
	sets    map[remoteSet]*runningSet
	servers map[string]error // by name, why the last call of an introspection server failed; nil: it did not
}

var errLastCall = errors.New("the last call failed; the log says why")

// remoteSet is what makes two remote key sets the same.
type remoteSet struct {
	config.Remote
	name, issuer, algorithms string
}

type runningSet struct {
	*remotekeys.Set
	stop func()
}

// newOutside returns what a process has. The registry may be nil.
func newOutside(now func() time.Time, log *slog.Logger, registry prometheus.Registerer) *outside {
	return &outside{
		now: now, log: log, asking: introspect.NewClient(), sets: map[remoteSet]*runningSet{}, servers: map[string]error{},
		asked: metric.Of(registry, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "passgate_introspections_total",
			Help: "Opaque tokens judged, by server and by where the answer came from or what it was.",
		}, []string{"server", "result"})),
		fetched: metric.Of(registry, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "passgate_key_set_fetches_total",
			Help: "Fetches of remote key sets by issuer and outcome.",
		}, []string{"issuer", "result"})),
	}
}

// sources returns those of a configuration.
func (o *outside) sources(cfg *config.Config) (sources, error) {
	s := sources{issuers: cfg.Issuers, keys: map[string]jwtauth.KeySet{}}
	if cfg.Keys != nil {
		ring, err := newRing(cfg, o.now)
		if err != nil {
			return sources{}, err
		}
		s.ring, s.keys[cfg.Keys.Issuer] = ring, ring
	}
	for _, i := range cfg.Issuers {
		if i.Remote != nil {
			s.keys[i.Name] = o.set(i)
		}
	}
	if len(cfg.Introspection) > 0 {
		s.opaque = newIntrospection(cfg, o.now, o.ask, o.answered)
	}
	return s, nil
}

// answered counts what came of a question to an introspection server, and remembers whether it can be had.
func (o *outside) answered(server, result string) {
	o.asked.WithLabelValues(server, result).Inc()
	var err error
	switch result {
	case introspect.ResultFailed:
		err = errLastCall
	case introspect.ResultActive, introspect.ResultInactive:
	default:
		return // no call
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.servers[server] = err
}

// newRing returns the keys of the directory, and beside them those that their issuer has in the configuration.
func newRing(cfg *config.Config, now func() time.Time) (*keyset.Ring, error) {
	var also *keyset.Set
	for _, i := range cfg.Issuers {
		if i.Name == cfg.Keys.Issuer {
			also = i.Keys
		}
	}
	ring, err := keyset.NewRing(now, also, cfg.Keys.Ring...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cfg.Keys.Dir, err)
	}
	return ring, nil
}

// set returns the remote key set of an issuer, the one that runs already if it is the same.
func (o *outside) set(i config.Issuer) *remotekeys.Set {
	id := remoteSetOf(i)
	o.mu.Lock()
	defer o.mu.Unlock()
	if running := o.sets[id]; running != nil {
		return running.Set
	}
	set := remotekeys.New(remotekeys.Options{
		Name: i.Name, URL: i.Remote.URL, Discovery: i.Remote.Discovery, Issuer: i.Issuer, Algorithms: i.Algorithms,
		Refresh: i.Remote.Refresh, MaxAge: i.Remote.MaxAge, Now: o.now, Log: o.log,
		Fetched: func(err error) {
			result := "ok"
			if err != nil {
				result = "failed"
			}
			o.fetched.WithLabelValues(i.Name, result).Inc()
		},
	})
	for other, running := range o.sets {
		if other.name == id.name && other.issuer == id.issuer && other.URL == id.URL && other.Discovery == id.Discovery {
			set.Inherit(running.Set)
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	if o.fresh {
		go func() {
			defer close(ended)
			set.Run(ctx)
		}()
	} else {
		close(ended)
	}
	o.sets[id] = &runningSet{set, func() { stop(); <-ended }}
	return set
}

func remoteSetOf(i config.Issuer) remoteSet {
	return remoteSet{*i.Remote, i.Name, i.Issuer, fmt.Sprint(i.Algorithms)}
}

// keep stops the remote key sets that none of these configurations has.
func (o *outside) keep(configs ...*config.Config) {
	kept, servers := map[remoteSet]bool{}, map[string]bool{}
	for _, cfg := range configs {
		for _, i := range cfg.Introspection {
			servers[i.Name] = true
		}
		for _, i := range cfg.Issuers {
			if i.Remote != nil {
				kept[remoteSetOf(i)] = true
			}
		}
	}
	o.mu.Lock()
	maps.DeleteFunc(o.servers, func(name string, _ error) bool { return !servers[name] })
	var stopped []*runningSet
	for id, running := range o.sets {
		if !kept[id] {
			stopped = append(stopped, running)
			delete(o.sets, id)
		}
	}
	o.mu.Unlock()
	for _, s := range stopped {
		s.stop()
	}
}

// close stops all of it.
func (o *outside) close() {
	o.keep()
	o.asking.CloseIdleConnections()
}

// primeFor fetches the key sets that hold no key yet, and waits so long for them at most. What cannot be had shows in
// the decisions that need it.
func (o *outside) primeFor(ctx context.Context, patience time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var fetches sync.WaitGroup
	o.mu.Lock()
	for _, running := range o.sets {
		if running.State().Fetched.IsZero() {
			fetches.Go(func() { _ = running.Fetch(ctx) })
		}
	}
	o.mu.Unlock()
	fetches.Wait()
}

// states returns why the keys of an issuer, by "keys of NAME", cannot be had afresh; nil where they can.
func (o *outside) states() map[string]error {
	o.mu.Lock()
	defer o.mu.Unlock()
	states := map[string]error{}
	for id, running := range o.sets {
		state := running.State()
		if state.Err == nil && state.Fetched.IsZero() {
			state.Err = errors.New("they were not fetched yet")
		}
		states["keys of "+id.name] = state.Err
	}
	for name, err := range o.servers {
		states["introspection of "+name] = err
	}
	return states
}

var usableUntil = prometheus.NewDesc("passgate_key_set_usable_until_timestamp_seconds",
	"Until when the keys of an issuer that were fetched are used if no others can be had; 0: there are none.", []string{"issuer"}, nil)

// Describe implements [prometheus.Collector].
func (o *outside) Describe(descriptions chan<- *prometheus.Desc) { descriptions <- usableUntil }

// Collect implements [prometheus.Collector], for key sets, which come and go.
func (o *outside) Collect(metrics chan<- prometheus.Metric) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for id, running := range o.sets {
		until := 0.0
		if fetched := running.State().Fetched; !fetched.IsZero() {
			until = float64(fetched.Add(id.MaxAge).Unix())
		}
		metrics <- prometheus.MustNewConstMetric(usableUntil, prometheus.GaugeValue, until, id.name)
	}
}

// ask returns the way to an introspection server.
func (o *outside) ask(i config.Introspection) introspect.Asker {
	return introspect.NewHTTP(introspect.HTTPOptions{
		URL: i.URL, ClientID: i.ClientID, ClientSecret: string(i.ClientSecret), Client: o.asking,
	})
}

// newIntrospection returns the verifier of opaque tokens, who asks the servers of a configuration.
func newIntrospection(cfg *config.Config, now func() time.Time, ask func(config.Introspection) introspect.Asker, asked func(server, result string)) authz.Verifier {
	o := introspect.Options{Directory: cfg.Directory(), MaxBytes: int(cfg.Limits.Token), Now: now, Asked: asked}
	for _, i := range cfg.Introspection {
		o.Servers = append(o.Servers, introspect.Server{
			Name: i.Name, TokenPrefix: i.TokenPrefix, UserPrefix: i.UserPrefix, Audiences: i.Audiences, Claims: claims.Names(i.Claims),
			ClockSkew: i.ClockSkew, Cache: i.Cache, NegativeCache: i.NegativeCache, Timeout: i.Timeout, MaxCalls: i.MaxCalls, Ask: ask(i),
		})
	}
	return introspect.New(o)
}

// fetchPatience is how long a command waits for the keys of other servers.
const fetchPatience = 5 * time.Second

// commandSources returns the sources of a configuration for a command that decides and ends.
func (p *program) commandSources(ctx context.Context, cfg *config.Config) (sources, error) {
	o := newOutside(p.now, slog.New(slog.DiscardHandler), nil)
	s, err := o.sources(cfg)
	if err != nil {
		return sources{}, err
	}
	o.primeFor(ctx, fetchPatience)
	return s, nil
}
