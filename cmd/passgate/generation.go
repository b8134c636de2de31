package main

import (
	"net/http"
	"slices"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/config"
	"github.com/passgate/passgate/internal/door/httpauthz"
	"github.com/passgate/passgate/internal/door/proxy"
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
		if v.web.own, err = s.withPublicKeys(cfg, v.web.own); err != nil {
			return nil, err
		}
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

// withPublicKeys serves the keys that verify passports and the tokens of accounts (RFC 7517 §5), and leaves all else
// to others, which may be nil.
func (s *servers) withPublicKeys(cfg *config.Config, others http.Handler) (http.Handler, error) {
	passports := []*keyset.Key{}
	if cfg.Passport != nil {
		passports = append([]*keyset.Key{cfg.Passport.Signer.Key()}, cfg.Passport.Also...)
	}
	shown := func() []*keyset.Key { return passports }
	if cfg.Keys != nil {
		ring, err := newRing(cfg, s.now)
		if err != nil {
			return nil, err
		}
		shown = func() []*keyset.Key { return slices.Concat(passports, ring.Public()) }
	}
	if others == nil {
		others = http.NotFoundHandler()
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.EscapedPath() != config.KeysPath:
			others.ServeHTTP(w, r)
			return
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		// Shorter than any key lives, and long enough that a crowd of verifiers is no load.
		w.Header().Set("Cache-Control", "public, max-age=60")
		w.Header().Set("Content-Type", "application/jwk-set+json")
		_, _ = w.Write(keyset.PublicJWKS(shown()...)) // the client may be gone
	}), nil
}
