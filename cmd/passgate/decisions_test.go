package main

import (
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/config"
	"github.com/passgate/passgate/internal/keyset"
	"github.com/passgate/passgate/internal/policytest"
	"github.com/passgate/passgate/internal/verifier/jwtauth"
)

// runTable runs tests on the engine and through every door, and reports each difference from what is
// expected, and of one door from another.
func runTable(t *testing.T, engine *authz.Engine, mint policytest.Minter, tests []policytest.Test) {
	t.Helper()
	calls := make([]call, len(tests))
	for i, test := range tests {
		calls[i] = callOf(t, test.Request, mint)
		if result := test.Run(t.Context(), engine, mint); len(result.Failures) > 0 {
			t.Errorf("engine: %s", result)
		}
	}
	runDoors(t, doors(t, engine), tests, calls)
}

// runDoors puts the calls to every door. The calls are those of the tests, one for each.
func runDoors(t *testing.T, doors []door, tests []policytest.Test, calls []call) {
	t.Helper()
	first := doors[0].ask(t, calls)
	for n, door := range doors {
		answers := first
		if n > 0 {
			answers = door.ask(t, calls)
		}
		for i, test := range tests {
			if expect, differs := door.knownDifference(calls[i]); differs {
				for _, failure := range answers[i].Compare(expect) {
					t.Errorf("%s: %s (line %d): %s", door.name, test.Name, test.Line, failure)
				}
				continue
			}
			for _, failure := range answers[i].differences(door, test.Expect, &first[i]) {
				t.Errorf("%s: %s (line %d): %s", door.name, test.Name, test.Line, failure)
			}
		}
	}
}

// knownDifference returns what a door answers to a call that it cannot judge as the others do.
func (d door) knownDifference(c call) (expect policytest.Expect, differs bool) {
	if d.name != doorHTTPAuthz || cannotBeSent(c) || !strings.Contains(c.path, "!") {
		return policytest.Expect{}, false
	}
	// Envoy writes it for a byte that is not UTF-8, too.
	return policytest.Expect{Status: 400, Code: "ambiguous_path"}, true
}

// differences returns a line for each way in which an answer differs from what is expected, or from the first
// door's answer.
func (a *answer) differences(d door, expect policytest.Expect, first *answer) []string {
	if !d.showsHeaders {
		expect.Headers = nil
	}
	if d.name == "proxy" { // it is for the proxy, and goes no further (RFC 9110 §11.7.1)
		expect.Headers = maps.Clone(expect.Headers)
		delete(expect.Headers, "Proxy-Authorization")
	}
	differences := a.Compare(expect)
	differ := func(format string, args ...any) { differences = append(differences, fmt.Sprintf(format, args...)) }
	if a.Status != 200 {
		if got := codeOf(a.text); got != a.Code {
			differ("text %q is that of %s, not of %s", a.text, got, a.Code)
		}
		if a.text != first.text {
			differ("text %q, but the first door says %q", a.text, first.text)
		}
		if a.told != "" && a.told != first.told {
			differ("tells %q, but the first door %q", a.told, first.told)
		}
		for _, part := range challenges[a.Code] {
			if a.told != "" && !strings.Contains(a.told, part) {
				differ("tells %q, without %q", a.told, part)
			}
		}
		return differences
	}
	if a.service == "" || a.service != first.service {
		differ("service %q, but the first door says %q", a.service, first.service)
	}
	if !reflect.DeepEqual(a.user, first.user) {
		differ("principal %+v, but the first door says %+v", a.user, first.user)
	}
	if d.showsHeaders {
		return append(differences, a.misstated()...)
	}
	return differences
}

// challenges are what a client is told by the contract of each refusal, among other things (RFC 6750 §3).
var challenges = map[string][]string{
	"ambiguous_path":           {"WWW-Authenticate: \n", "Retry-After: \n"},
	"ambiguous_host":           {"WWW-Authenticate: \n", "Retry-After: \n"},
	"multiple_credentials":     {"Retry-After: \n"},
	"missing_credentials":      {"WWW-Authenticate: Bearer realm=\"passgate\"\n", "Retry-After: \n"},
	"token_expired":            {"WWW-Authenticate: Bearer realm=\"passgate\", error=\"invalid_token\"", "Retry-After: \n"},
	"invalid_token":            {"WWW-Authenticate: Bearer realm=\"passgate\", error=\"invalid_token\"", "Retry-After: \n"},
	"insufficient_permissions": {"WWW-Authenticate: Bearer realm=\"passgate\", error=\"insufficient_scope\"", "Retry-After: \n"},
	"forbidden":                {"WWW-Authenticate: \n", "Retry-After: \n"},
	"unavailable":              {"WWW-Authenticate: \n", "Retry-After: 1\n"},
}

// misstated returns a line for each identity header that, decoded, does not say who the principal is.
func (a *answer) misstated() []string {
	var principal user
	if a.user != nil {
		principal = *a.user
	}
	got := map[string]string{}
	for _, h := range a.Headers {
		name := strings.ToLower(h.Name)
		if _, repeated := got[name]; repeated && strings.HasPrefix(name, "x-user-") {
			return []string{h.Name + " is there twice"}
		}
		got[name] = h.Value
	}
	var differences []string
	differ := func(name, want string) {
		if decoded, err := url.PathUnescape(got[name]); err != nil || decoded != want {
			differences = append(differences, fmt.Sprintf("%s: %q is not the principal's %q", name, got[name], want))
		}
	}
	differ("x-user-id", principal.UserID)
	differ("x-user-role", principal.Role)
	differ("x-user-permissions", strings.Join(principal.Permissions, ","))
	if n := len(principal.Permissions); n > 0 && strings.Count(got["x-user-permissions"], ",") != n-1 {
		differences = append(differences, fmt.Sprintf("x-user-permissions: %q is not a list of %d", got["x-user-permissions"], n))
	}
	if (got["x-passport"] != "") != (a.user != nil) {
		differences = append(differences, fmt.Sprintf("x-passport: %q beside the principal %+v", got["x-passport"], a.user))
	}
	return differences
}

const decisions = "testdata/decisions/"

func loadTable(t *testing.T) (*config.Config, *policytest.File) {
	t.Helper()
	cfg, err := config.Load(decisions+"passgate.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	tests, err := policytest.Load(decisions + "tests.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return patient(cfg), tests
}

// patient gives introspection servers more time than passgate does: the machine may be busy, and late answers are
// shown elsewhere.
func patient(cfg *config.Config) *config.Config {
	for i := range cfg.Introspection {
		cfg.Introspection[i].Timeout = patience
	}
	return cfg
}

// configOf returns the configuration of a file with this content.
func configOf(t *testing.T, content string) *config.Config {
	t.Helper()
	file := filepath.Join(t.TempDir(), "passgate.yaml")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	return patient(cfg)
}

func TestDecisionTable(t *testing.T) {
	cfg, file := loadTable(t)
	engine, mint, err := newTestEngine(cfg, file, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	runTable(t, engine, mint, file.Tests)
}

// The rest are decisions that a file cannot state: they take another clock, a key, a fault, or a request that
// a file would fill in.

var noon = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

func atNoon() time.Time { return noon }

// request returns a test of a GET by a token, given as claims or as it is.
func request(name, path string, token any, status int, code string) policytest.Test {
	return policytest.Test{
		Name:    name,
		Request: policytest.Request{Path: path, Token: token},
		Expect:  policytest.Expect{Status: status, Code: code},
	}
}

func TestDecisionsOnTokensOfManyMakes(t *testing.T) {
	cfg, _ := loadTable(t)
	signer, err := keyset.GenerateSigner(keyset.HS256, "")
	if err != nil {
		t.Fatal(err)
	}
	other, err := keyset.GenerateSigner(keyset.HS256, "")
	if err != nil {
		t.Fatal(err)
	}
	issuers := slices.Clone(cfg.Issuers)
	if issuers[0].Keys, err = keyset.NewSet(signer.Key()); err != nil {
		t.Fatal(err)
	}
	engine := newEngine(cfg, sources{issuers: issuers}, atNoon)
	sign := func(s *keyset.Signer, claims map[string]any) string {
		t.Helper()
		token, err := jwtauth.Mint(s, claims)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	claims := func(change map[string]any) map[string]any {
		c := map[string]any{"iss": issuers[0].Issuer, "sub": "ann", "exp": noon.Unix() + 60}
		maps.Copy(c, change)
		maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
		return c
	}
	token := func(change map[string]any) string { return sign(signer, claims(change)) }
	good := token(nil)
	authorization := func(name, value string, status int, code string) policytest.Test {
		test := request(name, "/api/me", nil, status, code)
		test.Request.Headers = map[string]any{"Authorization": value}
		return test
	}
	parts := strings.Split(good, ".")

	runTable(t, engine, nil, []policytest.Test{
		request("a good token", "/api/me", good, 200, "ok"),
		request("a token without exp", "/api/me", token(map[string]any{"exp": nil}), 401, "invalid_token"),
		request("a token without iss", "/api/me", token(map[string]any{"iss": nil}), 401, "invalid_token"),
		request("a token without sub", "/api/me", token(map[string]any{"sub": nil}), 401, "invalid_token"),
		request("an expiry beyond every number", "/api/me", token(map[string]any{"exp": jsontext.Value("1e400")}), 401, "invalid_token"),
		request("an expiry of minus zero", "/api/me", token(map[string]any{"exp": jsontext.Value("-0")}), 401, "token_expired"),
		request("an expiry with an exponent", "/api/me", token(map[string]any{"exp": jsontext.Value("4.1024448e9")}), 200, "ok"),
		request("another key of the issuer's algorithm", "/api/me", sign(other, claims(nil)), 401, "invalid_token"),
		request("another key and an expiry that is past", "/api/me", sign(other, claims(map[string]any{"exp": 1})), 401, "invalid_token"),
		request("a key of one issuer for the tokens of another", "/api/me", token(map[string]any{"iss": "devices", "serial": "1"}), 401, "invalid_token"),
		request("a signature cut short", "/api/me", good[:len(good)-4], 401, "invalid_token"),
		request("no signature", "/api/me", parts[0]+"."+parts[1]+".", 401, "invalid_token"),
		request("claims of another token", "/api/me", parts[0]+"."+strings.Split(token(map[string]any{"sub": "root"}), ".")[1]+"."+parts[2], 401, "invalid_token"),
		request("padding at the end", "/api/me", good+"=", 401, "invalid_token"),
		request("two tokens", "/api/me", good+","+good, 400, "multiple_credentials"),
		request("a token of more than 8 KiB", "/api/me", token(map[string]any{"pad": strings.Repeat("x", 8<<10)}), 401, "invalid_token"),
		request("an identity that does not fit", "/api/me", token(map[string]any{"sub": strings.Repeat("ü", 2200)}), 403, "forbidden"),
		request("an identity that just fits", "/api/me", token(map[string]any{"sub": strings.Repeat("x", 5000)}), 200, "ok"),
		authorization("the scheme in small letters", "bearer "+good, 200, "ok"),
		authorization("the scheme in capitals", "BEARER "+good, 200, "ok"),
		authorization("two blanks after the scheme", "Bearer  "+good, 401, "invalid_token"),
		authorization("a good token without its scheme", good, 401, "invalid_token"),
		authorization("a good token under another scheme", "Token "+good, 401, "invalid_token"),
		authorization("a good token as an API key", "ApiKey "+good, 401, "invalid_token"),
		authorization("a good token in quotes", `Bearer "`+good+`"`, 401, "invalid_token"),
		authorization("a good token and an empty header", "Bearer "+good+",", 400, "multiple_credentials"),
	})
}

func TestDecisionsOnRequestsThatLackAPart(t *testing.T) {
	cfg, _ := loadTable(t)
	engine, _, err := newTestEngine(cfg, &policytest.File{}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	runDoors(t, doors(t, engine), []policytest.Test{
		request("no host", "", nil, 400, "ambiguous_host"),
		request("no path", "", nil, 400, "ambiguous_path"),
		request("no method", "", nil, 400, "ambiguous_path"),
	}, []call{
		{method: "GET", path: "/docs/intro"},
		{method: "GET", host: "localhost"},
		{path: "/docs/intro", host: "localhost"},
	})
}
