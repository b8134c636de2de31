package main

import (
	"context"
	"errors"
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
	"github.com/passgate/passgate/passport"
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
			for _, failure := range answers[i].differences(door, test.Expect, &first[i]) {
				t.Errorf("%s: %s (line %d): %s", door.name, test.Name, test.Line, failure)
			}
		}
	}
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

func loadTable(t *testing.T) (*config.Config, []policytest.Test) {
	t.Helper()
	cfg, err := config.Load(decisions+"passgate.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	tests, err := policytest.Load(decisions + "tests.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return cfg, tests
}

func TestDecisionTable(t *testing.T) {
	cfg, tests := loadTable(t)
	engine, mint, err := newTestEngine(cfg, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	runTable(t, engine, mint, tests)
}

func TestDecisionTableIsComplete(t *testing.T) {
	cfg, tests := loadTable(t)
	if len(tests) < 150 {
		t.Errorf("%d tests, want 150", len(tests))
	}
	names, seen, allowed := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, test := range tests {
		if names[test.Name] {
			t.Errorf("line %d: %q names a test already", test.Line, test.Name)
		}
		if test.Expect.Code == "" {
			t.Errorf("line %d: %q states no code", test.Line, test.Name)
		}
		names[test.Name], seen[test.Expect.Code] = true, true
		claims, _ := test.Request.Token.(map[string]any)
		if iss, _ := claims["iss"].(string); test.Expect.Status == 200 {
			allowed[iss] = true
		}
	}
	want := maps.Clone(texts)
	delete(want, "no_service")  // one door alone can say it
	delete(want, "unavailable") // takes a fault
	want["ok"] = ""
	for code := range want {
		if !seen[code] {
			t.Errorf("no test has the code %s", code)
		}
	}
	var algorithms []keyset.Algorithm
	for _, issuer := range cfg.Issuers {
		if !allowed[issuer.Issuer] {
			t.Errorf("no test has a good token of %s", issuer.Name)
		}
		algorithms = append(algorithms, issuer.Algorithms...)
	}
	if all := keyset.Algorithms(); !slices.Equal(algorithms, all) {
		t.Errorf("the issuers sign with %v, want %v", algorithms, all)
	}
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

func TestDecisionsAtTheEdgesOfTime(t *testing.T) {
	cfg, _ := loadTable(t)
	engine, mint, err := newTestEngine(cfg, atNoon)
	if err != nil {
		t.Fatal(err)
	}
	claims := map[string]map[string]any{
		"accounts": {"sub": "ann"},
		"partner":  {"iss": "https://idp.partner.example", "sub": "ann", "uid": "ann", "aud": "api"},
		"edge":     {"iss": "https://edge.example.net", "sub": "ann", "aud": "edge"},
		"device":   {"iss": "devices", "sub": "ann", "serial": "1"},
	}
	var tests []policytest.Test
	edge := func(issuer, claim string, seconds, status int, code string) {
		c := maps.Clone(claims[issuer])
		c[claim] = noon.Unix() + int64(seconds)
		tests = append(tests, request(fmt.Sprintf("%s %s %+d s", issuer, claim, seconds), "/api/me", c, status, code))
	}
	for _, issuer := range cfg.Issuers {
		leeway, skew := int(issuer.Leeway.Seconds()), int(issuer.ClockSkew.Seconds())
		edge(issuer.Name, "exp", 1-leeway, 200, "ok")
		edge(issuer.Name, "exp", -leeway, 401, "token_expired")
		edge(issuer.Name, "exp", -leeway-1, 401, "token_expired")
		for _, claim := range []string{"nbf", "iat"} {
			edge(issuer.Name, claim, 0, 200, "ok")
			edge(issuer.Name, claim, skew, 200, "ok")
			edge(issuer.Name, claim, skew+1, 401, "invalid_token")
		}
	}
	runTable(t, engine, mint, tests)
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
	engine := newEngine(cfg, issuers, atNoon)
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

func TestPassportOfADecision(t *testing.T) {
	cfg, _ := loadTable(t)
	engine, mint, err := newTestEngine(cfg, atNoon)
	if err != nil {
		t.Fatal(err)
	}
	want := passport.Passport{UserID: "ann", Email: "ann@example.com", Subscription: "free", Country: "IN", Platform: "android", TokenStatus: "valid", IssuedAt: noon.Unix()}
	test := request("a passport says who and when", "/api/me", map[string]any{"sub": "ann", "email": "ann@example.com", "subscription": "free", "country": "IN", "platform": "android"}, 200, "ok")
	test.Request.Headers = map[string]any{"X-Passport": "forged"}
	test.Expect.Headers = map[string]string{"X-Passport": want.Encode()}
	runTable(t, engine, mint, []policytest.Test{test})
}

func TestDecisionsOnRequestsThatLackAPart(t *testing.T) {
	cfg, _ := loadTable(t)
	engine, _, err := newTestEngine(cfg, time.Now)
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

// doorsThat returns the doors that have to name a service, or those that do not.
func doorsThat(nameServices bool, all []door) []door {
	return slices.DeleteFunc(all, func(d door) bool { return (d.name == "JSON lines") != nameServices })
}

func TestDecisionsWithoutAService(t *testing.T) {
	for _, test := range []struct {
		access     string
		token      any
		want       int // of doors that need no service
		code       string
		wantNaming int // of those that do
		codeNaming string
	}{
		{"public", nil, 200, "ok", 404, "no_service"},
		{"authenticated", map[string]any{"sub": "ann"}, 200, "ok", 404, "no_service"},
		{"authenticated", nil, 401, "missing_credentials", 401, "missing_credentials"},
		{"authenticated", "invalid_jwt", 401, "invalid_token", 401, "invalid_token"},
		{"deny", map[string]any{"sub": "ann"}, 403, "forbidden", 403, "forbidden"},
	} {
		t.Run(test.access+" "+test.code, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "passgate.yaml")
			policy := "issuers: [{name: a, issuer: a, algorithms: [HS256], secret: this-is-no-secret-it-only-has-to-be-long-enough}]\n" +
				"default_access: " + test.access + "\nroutes: [{path: /bare, access: " + test.access + "}]\n"
			if err := os.WriteFile(file, []byte(policy), 0o600); err != nil {
				t.Fatal(err)
			}
			cfg, err := config.Load(file, nil)
			if err != nil {
				t.Fatal(err)
			}
			engine, mint, err := newTestEngine(cfg, time.Now)
			if err != nil {
				t.Fatal(err)
			}
			for _, path := range []string{"/bare", "/no-route"} {
				one := request(path, path, test.token, test.want, test.code)
				calls := []call{callOf(t, one.Request, mint)}
				for _, naming := range []bool{false, true} {
					if naming {
						one = request(path, path, test.token, test.wantNaming, test.codeNaming)
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

// brokenVerifier cannot judge a credential, or panics over it.
type brokenVerifier struct{ panics bool }

func (v brokenVerifier) Verify(context.Context, authz.Credential, time.Time) (*authz.Identity, error) {
	if v.panics {
		panic("verifier")
	}
	return nil, errors.New("the key set cannot be read")
}

// stampless refuses to be asked: nothing may be granted.
type stampless struct{ t *testing.T }

func (s stampless) Stamp(*authz.Identity, time.Time) (*authz.Stamp, error) {
	s.t.Error("an identity was stamped")
	return nil, errors.New("not granted")
}

func (s stampless) Spoofed(dst []string, _ *authz.Request) []string { return dst }

func TestDecisionsUnderAFault(t *testing.T) {
	cfg, _ := loadTable(t)
	for _, panics := range []bool{false, true} {
		engine := authz.New(authz.Options{
			Policy:    cfg.Policy,
			Verifiers: map[authz.Kind]authz.Verifier{authz.KindJWT: brokenVerifier{panics}},
			Stamper:   stampless{t},
			Now:       time.Now,
			NewID:     func() string { return "id" },
		})
		runTable(t, engine, nil, []policytest.Test{
			request("a credential that cannot be judged", "/api/me", "a.b.c", 503, "unavailable"),
			request("an optional credential that cannot be judged", "/", "a.b.c", 503, "unavailable"),
			request("no credential", "/api/me", nil, 401, "missing_credentials"),
		})
	}
}
