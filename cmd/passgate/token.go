package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/config"
	"github.com/passgate/passgate/internal/keyset"
	"github.com/passgate/passgate/internal/terminal"
	"github.com/passgate/passgate/internal/verifier/jwtauth"
)

type tokenCommand struct {
	Mint    tokenMintCommand    `cmd:"" help:"Mint a token with a configured key."`
	Inspect tokenInspectCommand `cmd:"" help:"Show a token's header and claims, and what each configured issuer says of it. Exit status 1: none accepts it."`
}

type tokenMintCommand struct {
	configFlag
	Issuer string            `required:"" placeholder:"NAME" help:"Name of the issuer in the configuration; it has a secret, or keys in keys.dir."`
	Sub    string            `required:"" placeholder:"SUBJECT" help:"The sub claim."`
	Claim  map[string]string `placeholder:"NAME=JSON" mapsep:"none" help:"Another claim, such as permissions='[\"read\"]'; may be repeated."`
	TTL    time.Duration     `name:"ttl" default:"1h" help:"Time until the token expires; a negative one, as --ttl=-1m, makes an expired token."`
}

func (c *tokenMintCommand) Run(p *program) error {
	cfg, err := c.loadOrDefault(p)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(cfg.Issuers, func(i config.Issuer) bool { return i.Name == c.Issuer })
	if i < 0 {
		return usagef("--issuer: %s names no issuer %q; it has %s", cfg.File, c.Issuer, issuerNames(cfg))
	}
	signer, err := mintSigner(cfg, cfg.Issuers[i], p.now)
	if err != nil {
		return err
	}
	token, err := c.mint(cfg.Issuers[i], signer, p.now())
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(p.stdout, token)
	return err
}

// mint signs a token that the issuer accepts.
func (c *tokenMintCommand) mint(issuer config.Issuer, signer *keyset.Signer, now time.Time) (string, error) {
	claims, err := c.claims(issuer, now)
	if err != nil {
		return "", err
	}
	return jwtauth.Mint(signer, claims)
}

// mintSigner returns what signs for an issuer: the newest key of the directory that is its own, or its secret.
func mintSigner(cfg *config.Config, issuer config.Issuer, now func() time.Time) (*keyset.Signer, error) {
	var ring *keyset.Ring
	if cfg.Keys != nil {
		var err error
		if ring, err = newRing(cfg, now); err != nil {
			return nil, err
		}
	}
	if issuer.MintKey == nil && (cfg.Keys == nil || cfg.Keys.Issuer != issuer.Name) {
		return nil, usagef("--issuer: %s has no secret here to sign with, and no keys in keys.dir: a public key cannot, and that of the embedded default is made by passgate serve", issuer.Name)
	}
	s, err := signersOf(cfg, issuer, ring, now)
	if err != nil {
		return nil, err
	}
	return s.Signer()
}

func (c *tokenMintCommand) claims(issuer config.Issuer, now time.Time) (map[string]any, error) {
	if c.Sub == "" {
		return nil, usagef("--sub: is empty; every token names its subject")
	}
	claims := map[string]any{
		"iss": issuer.Issuer,
		"sub": c.Sub,
		"iat": now.Unix(),
		"exp": now.Add(c.TTL).Unix(),
		"jti": newID(),
	}
	if len(issuer.Audiences) > 0 {
		claims["aud"] = issuer.Audiences[0]
	}
	for _, name := range slices.Sorted(maps.Keys(c.Claim)) {
		if name == "" {
			return nil, usagef("--claim: the name is missing; write NAME=JSON")
		}
		value := jsontext.Value(c.Claim[name])
		if !value.IsValid() {
			return nil, usagef("--claim %s: %q is not JSON; a string is written '\"text\"', a list '[\"read\"]'", name, c.Claim[name])
		}
		claims[name] = value
	}
	return claims, nil
}

func issuerNames(cfg *config.Config) string {
	var names []string
	for _, i := range cfg.Issuers {
		names = append(names, i.Name)
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

type tokenInspectCommand struct {
	configFlag
	Token string `arg:"" help:"The token, or - to read it from standard input, where no process list shows it."`
}

func (c *tokenInspectCommand) Run(ctx context.Context, p *program) error {
	cfg, err := c.loadOrDefault(p)
	if err != nil {
		return err
	}
	token, err := p.secretArgument(c.Token)
	if err != nil {
		return err
	}
	if err := printUnverified(p.stdout, token); err != nil {
		return err
	}
	from, err := p.commandSources(ctx, cfg)
	if err != nil {
		return err
	}
	accepted := false
	for _, issuer := range cfg.Issuers {
		verifier := newJWTVerifier(cfg, sources{issuers: []config.Issuer{issuer}, keys: from.keys})
		identity, err := verifier.Verify(ctx, authz.Credential{Kind: authz.KindJWT, Value: token}, p.now())
		if err != nil {
			fmt.Fprintf(p.stdout, "issuer %s: refused: %v\n", issuer.Name, err)
			continue
		}
		accepted = true
		fmt.Fprintf(p.stdout, "issuer %s: accepted: user %q, roles %q, permissions %q\n", issuer.Name, identity.UserID, identity.Roles, identity.Permissions)
	}
	if !accepted {
		return errNo
	}
	return nil
}

// secretArgument returns an argument, or for - what standard input holds: every user of the machine can read
// the arguments of a process.
func (p *program) secretArgument(arg string) (string, error) {
	if arg != "-" {
		return arg, nil
	}
	text, err := io.ReadAll(io.LimitReader(p.stdin, 1<<20))
	return strings.TrimSpace(string(text)), err
}

// printUnverified shows what is written in a token, before anything is known of who wrote it.
func printUnverified(w io.Writer, token string) error {
	header, claims, err := jwtauth.DecodeUnverified(token)
	if err != nil {
		_, err = fmt.Fprintln(w, "cannot be read:", err)
		return err
	}
	for _, part := range []struct {
		name string
		text jsontext.Value
	}{{"header", header}, {"claims (not verified)", claims}} {
		if err := part.text.Indent(jsontext.WithIndent("  ")); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "%s %s\n", part.name, terminal.Text(string(part.text))); err != nil {
			return err
		}
	}
	return nil
}
