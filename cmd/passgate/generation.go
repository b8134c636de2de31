package main

import (
	"net/http"
	"slices"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/config"
	"github.com/passgate/passgate/internal/door/httpauthz"
	"github.com/passgate/passgate/internal/door/proxy"
	"github.com/passgate/passgate/internal/door/publickeys"
	"github.com/passgate/passgate/internal/keyset"
)

// generation is one configuration in use, whole: what every door asks, and what the HTTP servers serve. A request takes
// the generation once, so that no other one has a say in it.
type generation struct {
	cfg       *config.Config
	check     authz.Decider
	authzHTTP http.Handler // nil: not served
	web       webHandlers
	close     func() // gives up what the generation alone has; requests under way go on
}

// newGeneration builds a generation. It takes nothing away from the one in use.
func (s *servers) newGeneration(cfg *config.Config) (*generation, error) {
	from, err := s.outside.sources(cfg)
	if err != nil {
		return nil, err
	}
	engine := newEngine(cfg, from, s.now)
	recorder := newRecorder(cfg, s.log.Logger, s.registry)
	v := &generation{cfg: cfg, check: recorder.Door("extauthz", engine), close: func() {}}
	if cfg.Listen.AuthzHTTP != "" {
		v.authzHTTP = httpauthz.New(httpauthz.Options{Decider: recorder.Door("httpauthz", engine), Log: s.log.Logger})
	}
	if cfg.Accounts != nil {
		if v.web.own, err = s.newAccountAPI(cfg, from, recorder); err != nil {
			return nil, err
		}
	}
	if cfg.ServesKeys() {
		v.web.own = withPublicKeys(cfg.Passport.All(), from.ring, v.web.own)
	}
	if cfg.Proxy != nil {
		p := proxy.New(proxy.Options{
			Decider:        recorder.Door("proxy", engine),
			Upstreams:      cfg.Proxy.Upstreams,
			Timeout:        cfg.Proxy.Timeout,
			TrustedProxies: cfg.TrustedProxy,
			Log:            s.log.Logger,
			Registerer:     s.registry,
		})
		v.web.proxied, v.close = p, p.CloseIdleConnections
	}
	return v, nil
}

// withPublicKeys shows the keys that verify passports and the tokens of accounts, and leaves all other paths to others,
// which may be nil.
func withPublicKeys(passports []*keyset.Key, ring *keyset.Ring, others http.Handler) http.Handler {
	if others == nil {
		others = http.NotFoundHandler()
	}
	keys := publickeys.New(func() []*keyset.Key {
		if ring == nil {
			return passports
		}
		return slices.Concat(passports, ring.Public())
	}, newID)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.EscapedPath() == config.KeysPath {
			keys.ServeHTTP(w, r)
			return
		}
		others.ServeHTTP(w, r)
	})
}
