package main

import (
	"testing"
	"time"

	"github.com/passgate/passgate/internal/config"
	"github.com/passgate/passgate/internal/policytest"
)

// Decisions under other configurations than that of the table.

const oneIssuer = "issuers: [{name: a, issuer: a, algorithms: [HS256], secret: this-is-no-secret-it-only-has-to-be-long-enough}]\n"

// tokens are what the servers of these configurations say.
var tokens = map[string]any{
	"any":       map[string]any{"sub": "ann"},
	"a_ann":     map[string]any{"sub": "ann"},
	"a_foreign": map[string]any{"sub": "key:ann"},
	"a_issuer":  map[string]any{"sub": "jwt:ann"},
	"down":      policytest.Unavailable,
}

// runUnder runs tests under a configuration.
func runUnder(t *testing.T, cfg *config.Config, tests []policytest.Test) {
	t.Helper()
	engine, mint, err := newTestEngine(cfg, &policytest.File{Tokens: tokens}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	runTable(t, engine, mint, tests)
}

// expecting adds headers to what a test expects at the upstream.
func expecting(test policytest.Test, headers map[string]string) policytest.Test {
	test.Expect.Headers = headers
	return test
}

func TestDecisionsWhereJWTsAloneAreTaken(t *testing.T) {
	cfg := configOf(t, oneIssuer+"routes: [{path: /me, service: s}, {path: /docs, access: public, service: s}, {path: /, access: optional, service: s}]\n")
	key := credential{kind: anAPIKeyHeader, headers: map[string]any{"X-API-Key": "abc"}}
	scheme := credential{kind: anAPIKeyAuthorization, headers: map[string]any{"Authorization": "ApiKey abc"}}
	beside := credential{kind: aJWT, token: map[string]any{"sub": "ann"}, headers: map[string]any{"X-API-Key": []any{"abc", "def"}}}
	runUnder(t, cfg, []policytest.Test{
		key.request("the API key header is no credential", "/me", 401, "missing_credentials"),
		expecting(key.request("the API key header is an ordinary one on an optional route", "/", 200, "ok"), map[string]string{"X-User-ID": "", "X-API-Key": "abc"}),
		expecting(key.request("the API key header is an ordinary one on a public route", "/docs", 200, "ok"), map[string]string{"X-API-Key": "abc"}),
		beside.request("the API key header is an ordinary one beside a token, and may be repeated", "/me", 200, "ok"),
		scheme.request("the scheme of API keys is refused", "/me", 401, "invalid_token"),
		scheme.request("the scheme of API keys is refused on an optional route", "/", 401, "invalid_token"),
		expecting(scheme.request("an API key does not reach the upstream even so", "/docs", 200, "ok"), map[string]string{"Authorization": ""}),
		request("an opaque token is refused", "/me", "any", 401, "invalid_token"),
		request("an opaque token is refused on an optional route", "/", "any", 401, "invalid_token"),
		request("a JWT", "/me", map[string]any{"sub": "key:ann"}, 200, "ok"),
	})
}

func TestDecisionsWhereTheAPIKeyHeaderHasAnotherName(t *testing.T) {
	cfg, _ := loadTable(t)
	cfg.APIKeys.Header = "X-Machine"
	key := addKey(cfg, config.APIKey{UserID: "ci"})
	in := func(name string) credential {
		return credential{kind: "in " + name, headers: map[string]any{name: key}}
	}
	both := credential{kind: "in both", headers: map[string]any{"X-Machine": key, "X-API-Key": "abc"}}
	runUnder(t, cfg, []policytest.Test{
		expecting(in("X-Machine").request("an API key", "/api/me", 200, "ok"), map[string]string{"X-User-ID": "key:ci", "X-Machine": ""}),
		expecting(in("x-mACHINE").request("an API key", "/api/me", 200, "ok"), map[string]string{"X-User-ID": "key:ci", "X-Machine": ""}),
		expecting(in("X-Machine").request("an API key on a public route", "/docs/a", 200, "ok"), map[string]string{"X-Machine": ""}),
		in("X-API-Key").request("an API key", "/api/me", 401, "missing_credentials"),
		expecting(both.request("the usual header is an ordinary one", "/api/me", 200, "ok"), map[string]string{"X-Machine": "", "X-API-Key": "abc"}),
	})
}

const twoServers = `
introspection:
  - {name: one, url: https://one.example.com/introspect, client_id: x, client_secret: this-is-no-secret, audiences: any, user_prefix: "one:"}
  - {name: two, url: https://two.example.com/introspect, client_id: x, client_secret: this-is-no-secret, audiences: any, user_prefix: "two:"}
routes:
  - {path: /one, service: s, credentials: [one]}
  - {path: /two, service: s, credentials: [two]}
  - {path: /one-and-a, service: s, credentials: [one, a]}
  - {path: /both, service: s, credentials: [one, two]}
  - {path: /any, service: s}
  - {path: /, access: optional, service: s}
`

func TestDecisionsWhereRoutesAloneBindTokens(t *testing.T) {
	cfg := configOf(t, oneIssuer+twoServers)
	runUnder(t, cfg, []policytest.Test{
		expecting(request("a route of one server", "/one", "any", 200, "ok"), map[string]string{"X-User-ID": "one:ann"}),
		expecting(request("a route of the other", "/two", "any", 200, "ok"), map[string]string{"X-User-ID": "two:ann"}),
		expecting(request("a route of one server and an issuer", "/one-and-a", "any", 200, "ok"), map[string]string{"X-User-ID": "one:ann"}),
		expecting(request("a JWT on a route of one server and an issuer", "/one-and-a", map[string]any{"sub": "ann"}, 200, "ok"), map[string]string{"X-User-ID": "ann"}),
		request("a JWT on a route of one server", "/one", map[string]any{"sub": "ann"}, 401, "invalid_token"),
		request("a route of both", "/both", "any", 401, "invalid_token"),
		request("a route of anybody", "/any", "any", 401, "invalid_token"),
		request("an optional route of anybody", "/", "any", 401, "invalid_token"),
		request("no answer on a route of one server", "/one", "down", 503, "unavailable"),
		request("no answer is asked for on a route of both", "/both", "down", 401, "invalid_token"),
		request("no answer is asked for on a route of anybody", "/any", "down", 401, "invalid_token"),
	})
}

// The one source without a prefix may be a server.
func TestDecisionsWhereAServerHasNoUserPrefix(t *testing.T) {
	cfg := configOf(t, `
issuers: [{name: a, issuer: a, algorithms: [HS256], secret: this-is-no-secret-it-only-has-to-be-long-enough, user_prefix: "jwt:"}]
introspection: [{name: one, url: https://one.example.com/introspect, token_prefix: a_, client_id: x, client_secret: this-is-no-secret, audiences: any}]
routes: [{path: /me, service: s}]
`)
	table, _ := loadTable(t)
	cfg.APIKeys = table.APIKeys
	key := addKey(cfg, config.APIKey{UserID: "ann"})
	tests := []policytest.Test{
		expecting(request("a server's user", "/me", "a_ann", 200, "ok"), map[string]string{"X-User-ID": "ann"}),
		request("a server's user who begins as one of API keys", "/me", "a_foreign", 401, "invalid_token"),
		request("a server's user who begins as one of an issuer", "/me", "a_issuer", 401, "invalid_token"),
		expecting(request("an issuer's user", "/me", map[string]any{"sub": "ann"}, 200, "ok"), map[string]string{"X-User-ID": "jwt:ann"}),
	}
	for _, c := range apiKeys(key) {
		tests = append(tests, expecting(c.request("an API key's user", "/me", 200, "ok"), map[string]string{"X-User-ID": "key:ann"}))
	}
	runUnder(t, cfg, tests)
}

// doorsThat returns the doors that have to name a service, or those that do not.
func doorsThat(nameServices bool, all []door) []door {
	var some []door
	for _, d := range all {
		if (d.name == "JSON lines") == nameServices {
			some = append(some, d)
		}
	}
	return some
}

func TestDecisionsWithoutAService(t *testing.T) {
	type test struct {
		access     string
		with       credential
		want       int // of doors that need no service
		code       string
		wantNaming int // of those that do
		codeNaming string
	}
	tests := []test{
		{"public", credential{kind: noCredential}, 200, "ok", 404, "no_service"},
		{"optional", credential{kind: noCredential}, 200, "ok", 404, "no_service"},
		{"authenticated", credential{kind: noCredential}, 401, "missing_credentials", 401, "missing_credentials"},
		{"authenticated", bearer(aJWT, map[string]any{"sub": "ann"}), 200, "ok", 404, "no_service"},
		{"authenticated", bearer(aJWT, "a.b.c"), 401, "invalid_token", 401, "invalid_token"},
		{"authenticated", bearer(anOpaqueToken, "idp_plain"), 200, "ok", 404, "no_service"},
		{"authenticated", bearer(anOpaqueToken, "idp_x"), 401, "invalid_token", 401, "invalid_token"},
		{"authenticated", bearer(anOpaqueToken, "idp_down"), 503, "unavailable", 503, "unavailable"},
		{"deny", bearer(aJWT, map[string]any{"sub": "ann"}), 403, "forbidden", 403, "forbidden"},
	}
	cfg, file := loadTable(t)
	for _, c := range apiKeys(addKey(cfg, config.APIKey{UserID: "ci"})) {
		tests = append(tests, test{"authenticated", c, 200, "ok", 404, "no_service"})
	}
	for _, c := range apiKeys("pgk_x") {
		tests = append(tests, test{"authenticated", c, 401, "invalid_token", 401, "invalid_token"})
	}
	for _, test := range tests {
		t.Run(test.access+" "+test.with.kind+" "+test.code, func(t *testing.T) {
			byDefault := test.access
			if byDefault == "optional" { // a route may be, what no route names may not
				byDefault = "public"
			}
			cfg := *cfg
			cfg.Policy = configOf(t, oneIssuer+"default_access: "+byDefault+"\nroutes: [{path: /bare, access: "+test.access+"}]\n").Policy
			engine, mint, err := newTestEngine(&cfg, file, time.Now)
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range []string{"/bare", "/no-route"} {
				one := test.with.request(path, path, test.want, test.code)
				calls := []call{callOf(t, one.Request, mint)}
				for _, naming := range []bool{false, true} {
					if naming {
						one = test.with.request(path, path, test.wantNaming, test.codeNaming)
					}
					for _, d := range doorsThat(naming, doors(t, engine)) {
						a := d.ask(t, calls)[0]
						if failures := a.Compare(one.Expect); len(failures) > 0 || a.service != "" {
							t.Errorf("%s: %s: %q, service %q", d.name, path, failures, a.service)
						}
					}
				}
			}
		})
	}
}
