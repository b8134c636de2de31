package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/config"
	"github.com/passgate/passgate/internal/keyset"
)

// The kinds of credential as a client sends them, and the want of one.
const (
	noCredential          = "no credential"
	aJWT                  = "a JWT"
	anOpaqueToken         = "an opaque token"
	anAPIKeyHeader        = "an API key in its header"
	anAPIKeyAuthorization = "an API key in Authorization"
)

// kindsOf returns the kinds of credential on a request. It reads them for itself, as what the engine makes of them
// is what the table shows.
func kindsOf(lines []authz.Header) []string {
	var kinds []string
	for _, h := range lines {
		value := strings.TrimSpace(h.Value)
		scheme, rest, _ := strings.Cut(value, " ")
		switch name := strings.ToLower(h.Name); {
		case value == "":
		case name == "x-api-key":
			kinds = append(kinds, anAPIKeyHeader)
		case name != "authorization":
		case strings.EqualFold(scheme, "ApiKey"):
			kinds = append(kinds, anAPIKeyAuthorization)
		case strings.EqualFold(scheme, "Bearer") && strings.Count(rest, ".") == 2:
			kinds = append(kinds, aJWT)
		case strings.EqualFold(scheme, "Bearer"):
			kinds = append(kinds, anOpaqueToken)
		default:
			kinds = append(kinds, "another scheme")
		}
	}
	if kinds == nil {
		return []string{noCredential}
	}
	return kinds
}

// codesOf are all outcomes of the contract that a request can have in the table, by what it carries. Two are missing:
// no_service, which one door alone can say (TestDecisionsWithoutAService), and unavailable, which takes a server that
// gives no answer. Opaque tokens have one in the table. JWTs do where keys cannot be had, which a file does not say
// (TestDecisionsUnderAFault). API keys are looked up in memory: there is nothing that could be down.
var codesOf = map[string][]string{
	noCredential:          {"ok", "ambiguous_path", "ambiguous_host", "multiple_credentials", "missing_credentials", "forbidden"},
	aJWT:                  ofCredential,
	anOpaqueToken:         append([]string{"unavailable"}, ofCredential...),
	anAPIKeyHeader:        ofCredential,
	anAPIKeyAuthorization: ofCredential,
}

var ofCredential = []string{"ok", "ambiguous_path", "ambiguous_host", "multiple_credentials", "token_expired", "invalid_token", "insufficient_permissions", "forbidden"}

func TestDecisionTableIsComplete(t *testing.T) {
	cfg, file := loadTable(t)
	engine, mint, err := newTestEngine(cfg, file, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(file.Tests); n < 600 {
		t.Errorf("%d tests, want 600", n)
	}
	names := map[string]bool{}
	type outcome struct{ kind, code string }
	seen := map[outcome]bool{}
	type grant struct{ kind, source string }
	granted := map[grant]bool{}
	type level struct {
		kind   string
		access authz.Access
	}
	levels := map[level]bool{}
	for _, test := range file.Tests {
		if names[test.Name] {
			t.Errorf("line %d: %q names a test already", test.Line, test.Name)
		}
		if test.Expect.Code == "" {
			t.Errorf("line %d: %q states no code", test.Line, test.Name)
		}
		names[test.Name] = true
		r, err := test.Request.Authz(mint)
		if err != nil {
			t.Fatal(err)
		}
		d := engine.Decide(t.Context(), r)
		for _, kind := range kindsOf(r.Headers) {
			seen[outcome{kind, test.Expect.Code}] = true
			if d.Rule.Route != "" {
				levels[level{kind, d.Rule.Access}] = true
			}
			if d.Allowed() && d.Identity != nil {
				granted[grant{kind, d.Identity.Source}] = true
			}
		}
	}
	for kind, codes := range codesOf {
		for _, code := range codes {
			if !seen[outcome{kind, code}] {
				t.Errorf("no test of %s has the code %s", kind, code)
			}
		}
		for _, access := range []authz.Access{authz.AccessAuthenticated, authz.AccessOptional, authz.AccessPublic, authz.AccessDeny} {
			if !levels[level{kind, access}] {
				t.Errorf("no test of %s is of a route whose access is %s", kind, access)
			}
		}
	}
	want := []grant{{anAPIKeyHeader, config.APIKeysSource}, {anAPIKeyAuthorization, config.APIKeysSource}}
	for _, server := range cfg.Introspection {
		want = append(want, grant{anOpaqueToken, server.Name})
	}
	var algorithms []keyset.Algorithm
	for _, issuer := range cfg.Issuers {
		want = append(want, grant{aJWT, issuer.Name})
		algorithms = append(algorithms, issuer.Algorithms...)
	}
	for _, g := range want {
		if !granted[g] {
			t.Errorf("no test has %s of %s that is good", g.kind, g.source)
		}
		delete(granted, g)
	}
	for g := range granted {
		t.Errorf("%s was taken for one of %s", g.kind, g.source)
	}
	if all := keyset.Algorithms(); !slices.Equal(algorithms, all) {
		t.Errorf("the issuers sign with %v, want %v", algorithms, all)
	}
}

// TestCodesOfTheTableAreAllThereAre makes sure that no outcome of the contract was forgotten above.
func TestCodesOfTheTableAreAllThereAre(t *testing.T) {
	elsewhere := []string{"no_service"}
	for code := range texts {
		listed := slices.Contains(elsewhere, code)
		for _, codes := range codesOf {
			listed = listed || slices.Contains(codes, code)
		}
		if !listed {
			t.Errorf("%s is the code of nothing in the table", code)
		}
	}
}
