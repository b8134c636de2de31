package main

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/claims"
	"github.com/passgate/passgate/internal/config"
	"github.com/passgate/passgate/internal/keyset"
	"github.com/passgate/passgate/internal/verifier/apikey"
	"github.com/passgate/passgate/internal/verifier/jwtauth"
)

// sources are who vouches for callers beside the API keys of the configuration. They are given to an engine apart:
// the keys of an init message and of a policy test stand in for the configured ones.
type sources struct {
	issuers []config.Issuer
	keys    map[string]jwtauth.KeySet // by the name of an issuer, in place of those in issuers
	ring    *keyset.Ring              // the keys of the directory; nil: there is none
	opaque  authz.Verifier            // nil: there is no introspection server
}

// newEngine joins the parts that a configuration asks for.
func newEngine(c *config.Config, s sources, now func() time.Time) *authz.Engine {
	o := authz.Options{
		Policy:    c.Policy,
		Verifiers: map[authz.Kind]authz.Verifier{authz.KindJWT: newJWTVerifier(c, s)},
		Stamper:   c.Stamper,
		Now:       now,
		NewID:     newID,
	}
	if s.opaque != nil {
		o.Verifiers[authz.KindOpaque] = s.opaque
	}
	if c.APIKeys != nil {
		o.Verifiers[authz.KindAPIKey] = newAPIKeyVerifier(c)
		o.APIKeyHeader = c.APIKeys.Header
	}
	return authz.New(o)
}

// newID returns an id that no other request or token has.
func newID() string { return uuid.Must(uuid.NewV7()).String() }

func newJWTVerifier(c *config.Config, s sources) *jwtauth.Verifier {
	o := jwtauth.Options{Directory: c.Directory(), MaxBytes: int(c.Limits.Token)}
	for _, i := range s.issuers {
		var keys jwtauth.KeySet = i.Keys
		if other := s.keys[i.Name]; other != nil {
			keys = other
		}
		o.Issuers = append(o.Issuers, jwtauth.Issuer{
			Name:       i.Name,
			Issuer:     i.Issuer,
			Algorithms: i.Algorithms,
			Keys:       keys,
			Audiences:  i.Audiences,
			Leeway:     i.Leeway,
			ClockSkew:  i.ClockSkew,
			UserPrefix: i.UserPrefix,
			Claims:     claims.Names(i.Claims),
		})
	}
	return jwtauth.New(o)
}

func newAPIKeyVerifier(c *config.Config) *apikey.Verifier {
	o := apikey.Options{Source: config.APIKeysSource, UserPrefix: c.APIKeys.UserPrefix, Directory: c.Directory()}
	for _, k := range c.APIKeys.Keys {
		o.Entries = append(o.Entries, apikey.Entry(k))
	}
	v, err := apikey.New(o)
	if err != nil {
		panic(fmt.Sprintf("the configuration was accepted with its API keys: %v", err))
	}
	return v
}
