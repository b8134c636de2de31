package main

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/config"
	"github.com/passgate/passgate/internal/door/jsonlines"
	"github.com/passgate/passgate/internal/keyset"
)

type gatewayCommand struct {
	configFlag
}

func (c *gatewayCommand) Run(ctx context.Context, p *program) error {
	cfg, err := c.load(p, func() (*config.Config, error) { return config.Gateway(), nil })
	if err != nil {
		return err
	}
	ctx, stop := untilHangUp(ctx)
	defer stop()
	log := p.newLog(cfg)
	defer log.close()
	o := newOutside(p.now, log.Logger, nil)
	o.fresh = true
	defer o.close()
	from, err := o.sources(cfg)
	if err != nil {
		return err
	}
	o.primeFor(ctx, fetchPatience)
	recorder := newRecorder(cfg, log.Logger, nil)
	server := jsonlines.New(jsonlines.Options{
		Decider: recorder.Door("jsonlines", newEngine(cfg, from, p.now)),
		Init: func(key string) authz.Decider {
			return recorder.Door("jsonlines", engineWithKey(cfg, from, key, p.now))
		},
		Log: log.Logger,
	})
	// A read from standard input does not end with the context: the answer to a signal is to stop reading.
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, p.stdin, p.stdout) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return nil
	}
}

// engineWithKey returns an engine in which the key of an init message is the first issuer's only one. A key
// that cannot be read leaves that issuer without any, so that it takes no token.
func engineWithKey(cfg *config.Config, from sources, material string, now func() time.Time) *authz.Engine {
	issuers := slices.Clone(from.issuers)
	if len(issuers) == 0 {
		issuers = config.Gateway().Issuers
	}
	keys := initKeys(material)
	set, err := keyset.NewSet(keys...)
	if err != nil {
		keys, set = nil, &keyset.Set{}
	}
	issuers[0].Keys, issuers[0].Algorithms = set, nil
	for _, k := range keys {
		issuers[0].Algorithms = append(issuers[0].Algorithms, k.Algorithm)
	}
	from.issuers, from.keys = issuers, maps.Clone(from.keys)
	delete(from.keys, issuers[0].Name)
	return newEngine(cfg, from, now)
}

// initKeys reads jwt_public_key: PEM, a JWK or a JWKS is asymmetric, any other text an HS256 secret. What
// looks like a public key is never taken as a secret, which everyone would know.
func initKeys(material string) []*keyset.Key {
	if material == "" {
		return nil
	}
	if !keyset.LooksPublic([]byte(material)) {
		return []*keyset.Key{keyset.Secret([]byte(material))}
	}
	keys, err := keyset.Parse([]byte(material))
	if err != nil {
		return nil
	}
	for _, k := range keys {
		if k.Algorithm == keyset.HS256 {
			return nil
		}
	}
	return keys
}
