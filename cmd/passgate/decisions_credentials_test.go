package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/passgate/passgate/internal/config"
	"github.com/passgate/passgate/internal/policytest"
	"github.com/passgate/passgate/internal/verifier/apikey"
	"github.com/passgate/passgate/passport"
)

// credential is one as a client presents it.
type credential struct {
	kind    string
	token   any
	headers map[string]any
}

func bearer(kind string, token any) credential { return credential{kind: kind, token: token} }

// apiKeys returns the ways in which a client presents an API key.
func apiKeys(key string) []credential {
	return []credential{
		{kind: anAPIKeyHeader, headers: map[string]any{"X-API-Key": key}},
		{kind: anAPIKeyAuthorization, headers: map[string]any{"Authorization": "ApiKey " + key}},
	}
}

// request returns a test of a GET with the credential.
func (c credential) request(name, path string, status int, code string) policytest.Test {
	test := request(name+", "+c.kind, path, c.token, status, code)
	test.Request.Headers = maps.Clone(c.headers)
	return test
}

// addKey adds an API key to a configuration and returns it.
func addKey(cfg *config.Config, entry config.APIKey) string {
	key := string(apikey.Generate())
	entry.Name, entry.SHA256 = fmt.Sprintf("added-%d", len(cfg.APIKeys.Keys)), apikey.Digest(key)
	cfg.APIKeys.Keys = append(cfg.APIKeys.Keys, entry)
	return key
}

func TestDecisionsAtTheEdgesOfTime(t *testing.T) {
	cfg, _ := loadTable(t)
	file := &policytest.File{Tokens: map[string]any{}}
	var tests []policytest.Test

	jwts := map[string]map[string]any{
		"accounts": {"sub": "ann"},
		"partner":  {"iss": "https://idp.partner.example", "sub": "ann", "uid": "ann", "aud": "api"},
		"edge":     {"iss": "https://edge.example.net", "sub": "ann", "aud": "edge"},
		"device":   {"iss": "devices", "sub": "ann", "serial": "1"},
	}
	opaque := map[string]map[string]any{
		"idp":    {"sub": "ann", "aud": "api"},
		"legacy": {"username": "ann"},
		"legx":   {"sub": "ann"},
	}
	// Only where a route names legx are its tokens shown to it.
	paths := map[string]string{"legx": "/annex"}

	edge := func(source, claim string, seconds, status int, code string) {
		name, at := fmt.Sprintf("%s %s %+d s", source, claim, seconds), noon.Unix()+int64(seconds)
		if claims, ok := jwts[source]; ok {
			claims = maps.Clone(claims)
			claims[claim] = at
			tests = append(tests, request(name, "/api/me", claims, status, code))
			return
		}
		said := maps.Clone(opaque[source])
		said[claim] = at
		path, prefix := "/api/me", ""
		if p, ok := paths[source]; ok {
			path = p
		}
		for _, server := range cfg.Introspection {
			if server.Name == source {
				prefix = server.TokenPrefix
			}
		}
		token := fmt.Sprintf("%s%s_%d", prefix, claim, at)
		file.Tokens[token] = said
		tests = append(tests, request(name, path, token, status, code))
	}
	edges := func(source string, leeway, skew time.Duration) {
		late, early := int(leeway.Seconds()), int(skew.Seconds())
		edge(source, "exp", 1-late, 200, "ok")
		edge(source, "exp", -late, 401, "token_expired")
		edge(source, "exp", -late-1, 401, "token_expired")
		for _, claim := range []string{"nbf", "iat"} {
			edge(source, claim, 0, 200, "ok")
			edge(source, claim, early, 200, "ok")
			edge(source, claim, early+1, 401, "invalid_token")
		}
	}
	for _, issuer := range cfg.Issuers {
		edges(issuer.Name, issuer.Leeway, issuer.ClockSkew)
	}
	for _, server := range cfg.Introspection {
		edges(server.Name, 0, server.ClockSkew)
	}
	for _, key := range []struct {
		name    string
		expires time.Time
		status  int
		code    string
	}{
		{"a second to go", noon.Add(time.Second), 200, "ok"},
		{"a nanosecond to go", noon.Add(1), 200, "ok"},
		{"a second to go elsewhere on earth", noon.Add(time.Second).In(time.FixedZone("", 5*3600+1800)), 200, "ok"},
		{"this moment", noon, 401, "token_expired"},
		{"this moment elsewhere on earth", noon.In(time.FixedZone("", -8*3600)), 401, "token_expired"},
		{"a nanosecond ago", noon.Add(-1), 401, "token_expired"},
		{"a second ago", noon.Add(-time.Second), 401, "token_expired"},
	} {
		for _, c := range apiKeys(addKey(cfg, config.APIKey{UserID: "ci", Expires: key.expires})) {
			tests = append(tests, c.request("expires "+key.name, "/api/me", key.status, key.code))
		}
	}
	engine, mint, err := newTestEngine(cfg, file, atNoon)
	if err != nil {
		t.Fatal(err)
	}
	runTable(t, engine, mint, tests)
}

// What a server has said of a token is remembered, and its expiry is looked at all the same.
func TestDecisionsOnAnswersThatAreRemembered(t *testing.T) {
	cfg, _ := loadTable(t)
	file := &policytest.File{Tokens: map[string]any{
		"idp_short": map[string]any{"sub": "ann", "aud": "api", "exp": noon.Unix() + 2},
		"idp_long":  map[string]any{"sub": "ann", "aud": "api"},
	}}
	now := noon
	engine, mint, err := newTestEngine(cfg, file, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	runTable(t, engine, mint, []policytest.Test{
		request("before its end", "/api/me", "idp_short", 200, "ok"),
		request("without an end", "/api/me", "idp_long", 200, "ok"),
	})
	file.Tokens["idp_long"] = policytest.Unavailable
	now = noon.Add(time.Second)
	runTable(t, engine, mint, []policytest.Test{
		request("in its last second", "/api/me", "idp_short", 200, "ok"),
		request("remembered", "/api/me", "idp_long", 200, "ok"),
	})
	now = noon.Add(2 * time.Second)
	runTable(t, engine, mint, []policytest.Test{
		request("at its end", "/api/me", "idp_short", 401, "token_expired"),
		request("remembered still", "/api/me", "idp_long", 200, "ok"),
	})
	now = noon.Add(cfg.Introspection[0].Cache)
	runTable(t, engine, mint, []policytest.Test{
		request("no longer remembered, and no answer", "/api/me", "idp_long", 503, "unavailable"),
	})
}

func TestDecisionsOnCredentialsInEachOthersPlace(t *testing.T) {
	cfg, file := loadTable(t)
	key := addKey(cfg, config.APIKey{UserID: "ci"})
	engine, mint, err := newTestEngine(cfg, file, atNoon)
	if err != nil {
		t.Fatal(err)
	}
	token, err := mint(map[string]any{"sub": "ann"})
	if err != nil {
		t.Fatal(err)
	}
	with := func(name string, headers map[string]any, status int, code string) policytest.Test {
		return credential{kind: "as it stands", headers: headers}.request(name, "/api/me", status, code)
	}
	tests := []policytest.Test{
		with("a good JWT in the API key header", map[string]any{"X-API-Key": token}, 401, "invalid_token"),
		with("a good JWT with its scheme in the API key header", map[string]any{"X-API-Key": "Bearer " + token}, 401, "invalid_token"),
		with("a good JWT as an API key", map[string]any{"Authorization": "ApiKey " + token}, 401, "invalid_token"),
		with("a good JWT after a server's prefix", map[string]any{"Authorization": "Bearer idp_" + token}, 401, "invalid_token"),
		with("a good key as a token", map[string]any{"Authorization": "Bearer " + key}, 401, "invalid_token"),
		with("a good key after a server's prefix", map[string]any{"Authorization": "Bearer idp_" + key}, 401, "invalid_token"),
		with("a good key and a comma", map[string]any{"X-API-Key": key + ","}, 400, "multiple_credentials"),
		with("a good key and a good JWT", map[string]any{"X-API-Key": key, "Authorization": "Bearer " + token}, 400, "multiple_credentials"),
	}
	for _, c := range apiKeys(key) {
		tests = append(tests, c.request("a good key", "/api/me", 200, "ok"))
	}
	for _, c := range apiKeys(strings.Repeat("k", 9<<10)) {
		tests = append(tests, c.request("a key of 9 KiB", "/api/me", 401, "invalid_token"))
	}
	long := func(n int) string {
		token := "idp_" + strings.Repeat("t", n-len("idp_"))
		file.Tokens[token] = map[string]any{"sub": "ann", "aud": "api"}
		return token
	}
	tests = append(tests,
		request("an opaque token of 8 KiB", "/api/me", long(8<<10), 200, "ok"),
		request("an opaque token of more than 8 KiB", "/api/me", long(8<<10+1), 401, "invalid_token"))
	runTable(t, engine, mint, tests)
}

func TestDecisionsOnIdentitiesThatDoNotFit(t *testing.T) {
	cfg, _ := loadTable(t)
	large, fits := strings.Repeat("ü", 2200), strings.Repeat("x", 5000)
	file := &policytest.File{Tokens: map[string]any{
		"idp_large": map[string]any{"sub": large, "aud": "api"},
		"idp_fits":  map[string]any{"sub": fits, "aud": "api"},
	}}
	tests := []policytest.Test{
		request("too large, a JWT", "/api/me", map[string]any{"sub": large}, 403, "forbidden"),
		request("too large, an opaque token", "/api/me", "idp_large", 403, "forbidden"),
		request("just fits, an opaque token", "/api/me", "idp_fits", 200, "ok"),
	}
	for _, c := range apiKeys(addKey(cfg, config.APIKey{UserID: large})) {
		tests = append(tests, c.request("too large", "/api/me", 403, "forbidden"))
	}
	for _, c := range apiKeys(addKey(cfg, config.APIKey{UserID: fits})) {
		tests = append(tests, c.request("just fits", "/api/me", 200, "ok"))
	}
	engine, mint, err := newTestEngine(cfg, file, atNoon)
	if err != nil {
		t.Fatal(err)
	}
	runTable(t, engine, mint, tests)
}

func TestPassportOfADecision(t *testing.T) {
	cfg, _ := loadTable(t)
	claims := map[string]any{"sub": "ann", "email": "ann@example.com", "subscription": "free", "country": "IN", "platform": "android"}
	said := maps.Clone(claims)
	said["aud"] = "api"
	key := addKey(cfg, config.APIKey{UserID: "ann"})
	engine, mint, err := newTestEngine(cfg, &policytest.File{Tokens: map[string]any{"idp_ann": said}}, atNoon)
	if err != nil {
		t.Fatal(err)
	}
	full := passport.Passport{UserID: "ann", Email: "ann@example.com", Subscription: "free", Country: "IN", Platform: "android", TokenStatus: "valid", IssuedAt: noon.Unix()}
	ofServer := full
	ofServer.UserID = "idp:ann"
	ofKey := passport.Passport{UserID: "key:ann", TokenStatus: "valid", IssuedAt: noon.Unix()}

	var tests []policytest.Test
	says := func(c credential, want passport.Passport) {
		test := c.request("a passport says who and when", "/api/me", 200, "ok")
		if test.Request.Headers == nil {
			test.Request.Headers = map[string]any{}
		}
		test.Request.Headers["X-Passport"] = "forged"
		test.Expect.Headers = map[string]string{"X-Passport": want.Encode()}
		tests = append(tests, test)
	}
	says(bearer(aJWT, claims), full)
	says(bearer(anOpaqueToken, "idp_ann"), ofServer)
	for _, c := range apiKeys(key) {
		says(c, ofKey)
	}
	runTable(t, engine, mint, tests)
}

// What is said of a decision, step by step and in the log, never holds the credential.
func TestReasonsOfDecisionsHoldNoCredential(t *testing.T) {
	cfg, file := loadTable(t)
	key := addKey(cfg, config.APIKey{UserID: "ci", Expires: noon})
	engine, _, err := newTestEngine(cfg, file, atNoon)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range append(apiKeys(key), bearer(anOpaqueToken, "idp_expired"), bearer(aJWT, "eyJhbGciOiJub25lIn0.e30.secret")) {
		test := c.request("a bad credential", "/api/me", 401, "")
		secret := key
		if text, ok := c.token.(string); ok {
			secret = text
		}
		result := test.Run(t.Context(), engine, nil)
		shown, err := json.Marshal([]any{result.Failures, result.Trace, result.Cause})
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(shown), secret) || len(result.Failures) > 0 {
			t.Errorf("%s: %s", test.Name, shown)
		}
	}
}
