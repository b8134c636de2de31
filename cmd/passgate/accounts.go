package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/passgate/passgate/internal/account"
	"github.com/passgate/passgate/internal/audit"
	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/config"
	"github.com/passgate/passgate/internal/door/accountapi"
	"github.com/passgate/passgate/internal/idempotency"
	"github.com/passgate/passgate/internal/metric"
	"github.com/passgate/passgate/internal/policy"
	"github.com/passgate/passgate/internal/store/memstore"
	"github.com/passgate/passgate/internal/store/redisstore"
	"github.com/passgate/passgate/internal/store/sqlstore"
	"github.com/passgate/passgate/internal/verifier/jwtauth"
)

// accounts are what the account API stands on.
type accounts struct {
	sql   *sqlstore.Store
	redis *redisstore.Store // nil without Redis
	keys  idempotency.Store

	hashes *prometheus.CounterVec
	hasher *account.Hasher // of the configuration in use: one pool, however often that is reloaded
	of     account.HasherOptions
}

// openAccounts opens the stores. None of them need answer yet.
func openAccounts(cfg *config.Config, now func() time.Time, registry prometheus.Registerer) (*accounts, error) {
	sql, err := sqlstore.Open(cfg.Accounts.Database)
	if err != nil {
		return nil, err
	}
	redis, err := openRedis(cfg)
	if err != nil {
		return nil, errors.Join(err, sql.Close())
	}
	a := &accounts{sql: sql, redis: redis, keys: memstore.New(now)}
	a.hashes = metric.Of(registry, prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "passgate_password_hashes_total", Help: "Passwords hashed, and compared with a hash.",
	}, []string{"operation"}))
	commands := map[string]func() int64{"sql": sql.Commands}
	if redis != nil {
		a.keys = redis
		commands["redis"] = redis.Commands
	}
	for store, count := range commands {
		registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "passgate_store_commands_total", Help: "Commands that accounts sent to a store. Decisions send none.",
			ConstLabels: prometheus.Labels{"store": store},
		}, func() float64 { return float64(count()) }))
	}
	return a, nil
}

// openRedis returns the Redis of the configuration, nil if there is none. It does not connect.
func openRedis(cfg *config.Config) (*redisstore.Store, error) {
	if cfg.Redis == "" {
		return nil, nil
	}
	redis, err := redisstore.Open(string(cfg.Redis))
	if err != nil {
		return nil, usagef("%s: redis: %v", cfg.File, err)
	}
	return redis, nil
}

func (a *accounts) close() error {
	if a.redis != nil {
		return errors.Join(a.redis.Close(), a.sql.Close())
	}
	return a.sql.Close()
}

// dependencies returns what accounts need and decisions do not.
func (a *accounts) dependencies() map[string]func(context.Context) error {
	needs := map[string]func(context.Context) error{"sql": a.sql.Ping}
	if a.redis != nil {
		needs["redis"] = a.redis.Ping
	}
	return needs
}

// hasherFor returns the hasher that a configuration asks for, the one in use if it is that.
func (a *accounts) hasherFor(c *config.Accounts) (*account.Hasher, error) {
	if a.hasher != nil && a.of.Cost == c.BcryptCost && a.of.Queue == c.HashQueue {
		return a.hasher, nil
	}
	o := account.HasherOptions{Cost: c.BcryptCost, Queue: c.HashQueue, Worked: func(operation string) { a.hashes.WithLabelValues(operation).Inc() }}
	hasher, err := account.NewHasher(o)
	if err == nil {
		a.hasher, a.of = hasher, o
	}
	return hasher, err
}

// newAccountAPI joins the door of accounts with what is behind it.
func (s *servers) newAccountAPI(cfg *config.Config, from sources, recorder *audit.Recorder) (*accountapi.Handler, error) {
	c, a := cfg.Accounts, s.accounts
	signers, err := signersOf(cfg, c.Issuer, from.ring, s.now)
	if err != nil {
		return nil, err
	}
	seal, err := sealOf(cfg)
	if err != nil {
		return nil, err
	}
	guard, err := idempotency.New(faulty.keys(a.keys), seal, cfg.Idempotency.TTL)
	if err != nil {
		return nil, err
	}
	hasher, err := a.hasherFor(c)
	if err != nil {
		return nil, err
	}
	service := account.New(account.Options{
		Store:        faulty.accounts(a.sql),
		Hasher:       hasher,
		Minter:       minter{signers},
		Now:          s.now,
		Issuer:       c.Issuer.Issuer,
		Audience:     first(c.Issuer.Audiences),
		UserPrefix:   c.Issuer.UserPrefix,
		TokenTTL:     c.TokenTTL,
		Passwords:    account.PasswordRules{MinLength: c.Password.MinLength, RefuseCommon: c.Password.RefuseCommon},
		Role:         c.DefaultRole,
		Subscription: c.DefaultSubscription,
	})
	return accountapi.New(accountapi.Options{
		Accounts:   service,
		Guard:      guard,
		Decider:    recorder.Door(accountsDoor, newAccountEngine(cfg, from, s.now)),
		UserPrefix: c.Issuer.UserPrefix,
		MaxBody:    int64(cfg.Limits.Body),
		NewID:      newID,
		Log:        s.log.Logger,
		Registerer: s.registry,
	}), nil
}

// sealOf returns a secret that every replica with the configuration has: it seals what is kept under an Idempotency-Key.
func sealOf(cfg *config.Config) ([]byte, error) {
	issuer := cfg.Accounts.Issuer
	if cfg.Keys != nil && cfg.Keys.Issuer == issuer.Name {
		return cfg.Keys.Seal, nil
	}
	signer, err := issuer.MintKey.Signer()
	if err != nil {
		return nil, err
	}
	return signer.Derive("passgate idempotency")
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// minter signs the tokens of accounts.
type minter struct{ signers signers }

var _ account.Minter = minter{}

// KeyID implements [account.Minter]. Where no key may sign now it is one that Mint does not know.
func (m minter) KeyID() string {
	signer, err := m.signers.Signer()
	if err != nil {
		return ""
	}
	return signer.KeyID()
}

// Mint implements [account.Minter].
func (m minter) Mint(keyID string, c account.Claims) (string, error) {
	signer, err := m.signers.SignerOf(keyID)
	if err != nil {
		return "", err
	}
	return jwtauth.MintAs(signer, keyID, c)
}

// accountsDoor is the door of the account API in logs and metrics.
const accountsDoor = "accounts"

// accountPolicy returns what the account API asks of its own callers.
func accountPolicy(cfg *config.Config) *policy.Policy {
	p, err := policy.New(policy.Options{
		Routes:  []policy.Route{{Name: account.MePath, Path: account.MePath, Service: authz.OwnService, Sources: []string{cfg.Accounts.Issuer.Name}}},
		Default: authz.AccessDeny,
	})
	if err != nil {
		panic(fmt.Sprintf("the policy of accounts: %v", err))
	}
	return p
}

// newAccountEngine returns an engine that asks one thing of every request: a token of the issuer of accounts.
func newAccountEngine(cfg *config.Config, from sources, now func() time.Time) *authz.Engine {
	return authz.New(authz.Options{
		Policy:    accountPolicy(cfg),
		Verifiers: map[authz.Kind]authz.Verifier{authz.KindJWT: newJWTVerifier(cfg, from)},
		Stamper:   cfg.Stamper,
		Now:       now,
		NewID:     newID,
	})
}
