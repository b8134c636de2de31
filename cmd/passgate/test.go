package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/config"
	"github.com/passgate/passgate/internal/keyset"
	"github.com/passgate/passgate/internal/policytest"
	"github.com/passgate/passgate/internal/terminal"
	"github.com/passgate/passgate/internal/verifier/apikey"
	"github.com/passgate/passgate/internal/verifier/introspect"
	"github.com/passgate/passgate/internal/verifier/jwtauth"
)

type testCommand struct {
	configFlag
	File  []string `arg:"" help:"Tests: tests: [{name, request: {method, host, path, headers, context, token, api_key}, expect: {status, code, headers}}], and tokens: {TOKEN: {sub, scope, …} | unavailable} for opaque ones."`
	JUnit string   `name:"junit" placeholder:"FILE" help:"Also write the results as JUnit XML."`
}

func (c *testCommand) Run(ctx context.Context, p *program) error {
	cfg, err := c.loadOrDefault(p)
	if err != nil {
		return err
	}
	var suites []policytest.Suite
	passed, failed := 0, 0
	for _, file := range c.File {
		tests, err := policytest.Load(file)
		if err != nil {
			return err
		}
		engine, mint, err := newTestEngine(cfg, tests, p.now)
		if err != nil {
			return err
		}
		suite := policytest.Suite{File: file}
		for _, t := range tests.Tests {
			result := t.Run(ctx, engine, mint)
			suite.Results = append(suite.Results, result)
			if len(result.Failures) > 0 {
				fmt.Fprint(p.stdout, terminal.Text(fmt.Sprintf("%s: %s", file, result)))
			}
		}
		suites = append(suites, suite)
		failed += suite.Failed()
		passed += len(tests.Tests) - suite.Failed()
	}
	fmt.Fprintf(p.stdout, "%d passed, %d failed\n", passed, failed)
	if c.JUnit != "" {
		if err := writeJUnit(c.JUnit, suites); err != nil {
			return err
		}
	}
	if failed > 0 {
		return errNo
	}
	return nil
}

func writeJUnit(file string, suites []policytest.Suite) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := policytest.WriteJUnit(f, suites); err != nil {
		return err
	}
	return f.Close()
}

// newTestEngine returns an engine that asks nobody outside: its issuers' keys are replaced by fresh ones, and for
// introspection servers the file answers. With it comes what signs with those keys. Each issuer signs with the first
// of its algorithms.
func newTestEngine(cfg *config.Config, file *policytest.File, now func() time.Time) (*authz.Engine, policytest.Minter, error) {
	issuers := slices.Clone(cfg.Issuers)
	signers := map[string]*keyset.Signer{} // by iss
	for i := range issuers {
		issuer := &issuers[i]
		signer, err := keyset.GenerateSigner(issuer.Algorithms[0], "")
		if err != nil {
			return nil, nil, err
		}
		if issuer.Keys, err = keyset.NewSet(signer.Key()); err != nil {
			return nil, nil, err
		}
		signers[issuer.Issuer] = signer
	}
	cfg, err := withStandInKeys(cfg, file)
	if err != nil {
		return nil, nil, err
	}
	from := sources{issuers: issuers}
	if len(cfg.Introspection) > 0 {
		unhurried := *cfg // the file answers at once, however busy the machine is
		unhurried.Introspection = slices.Clone(cfg.Introspection)
		for i := range unhurried.Introspection {
			unhurried.Introspection[i].Timeout = time.Minute
		}
		from.opaque = newIntrospection(&unhurried, now, func(config.Introspection) introspect.Asker { return fileAsker{file} }, nil)
	}
	engine := newEngine(cfg, from, now)
	mint := func(claims map[string]any) (string, error) {
		claims = withDefaults(claims, issuers, now())
		iss, _ := claims["iss"].(string)
		signer := signers[iss]
		if signer == nil && len(issuers) > 0 {
			signer = signers[issuers[0].Issuer] // a token of an unknown issuer has to be signed by someone
		}
		if signer == nil {
			return "", usagef("the configuration has no issuer that could sign claims")
		}
		return jwtauth.Mint(signer, claims)
	}
	return engine, mint, nil
}

// withStandInKeys returns a configuration in which every API key has another one beside it, which the tests that name
// it send.
func withStandInKeys(cfg *config.Config, file *policytest.File) (*config.Config, error) {
	keys := map[string]string{} // by name
	if cfg.APIKeys != nil {
		more := *cfg.APIKeys
		for _, k := range cfg.APIKeys.Keys {
			key := string(apikey.Generate())
			keys[k.Name] = key
			k.Name, k.SHA256 = k.Name+" of a test", apikey.Digest(key)
			more.Keys = append(slices.Clip(more.Keys), k)
		}
		changed := *cfg
		changed.APIKeys = &more
		cfg = &changed
	}
	return cfg, file.UseAPIKeys(func(name string) (string, bool) { key, ok := keys[name]; return key, ok })
}

// fileAsker answers as a policy test file says.
type fileAsker struct{ file *policytest.File }

// Ask implements [introspect.Asker].
func (a fileAsker) Ask(_ context.Context, token string) ([]byte, error) { return a.file.Answer(token) }

// withDefaults returns claims with what a test need not write.
func withDefaults(claims map[string]any, issuers []config.Issuer, now time.Time) map[string]any {
	all := map[string]any{"exp": now.Add(time.Hour).Unix()}
	if len(issuers) > 0 {
		all["iss"] = issuers[0].Issuer
	}
	maps.Copy(all, claims)
	return all
}
