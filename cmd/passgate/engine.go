package main

import (
	"time"

	"github.com/google/uuid"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/claims"
	"github.com/passgate/passgate/internal/config"
	"github.com/passgate/passgate/internal/verifier/jwtauth"
)

// newEngine joins the parts that a configuration asks for. The issuers are given apart: the keys of an
// init message and of a policy test stand in for the configured ones.
func newEngine(c *config.Config, issuers []config.Issuer, now func() time.Time) *authz.Engine {
	return authz.New(authz.Options{
		Policy:    c.Policy,
		Verifiers: map[authz.Kind]authz.Verifier{authz.KindJWT: newJWTVerifier(c, issuers)},
		Stamper:   c.Stamper,
		Now:       now,
		NewID:     newID,
	})
}

// newID returns an id that no other request or token has.
func newID() string { return uuid.Must(uuid.NewV7()).String() }

func newJWTVerifier(c *config.Config, issuers []config.Issuer) *jwtauth.Verifier {
	o := jwtauth.Options{Directory: c.Directory(), MaxBytes: int(c.Limits.Token)}
	for _, i := range issuers {
		o.Issuers = append(o.Issuers, jwtauth.Issuer{
			Name:       i.Name,
			Issuer:     i.Issuer,
			Algorithms: i.Algorithms,
			Keys:       i.Keys,
			Audiences:  i.Audiences,
			Leeway:     i.Leeway,
			ClockSkew:  i.ClockSkew,
			UserPrefix: i.UserPrefix,
			Claims:     claims.Names(i.Claims),
		})
	}
	return jwtauth.New(o)
}
