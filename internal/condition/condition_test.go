package condition

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/policy"
)

func input() *policy.Input {
	return &policy.Input{
		Method: "GET", Host: "api.example.com", Path: "/api/orders/ann/7",
		Headers: []authz.Header{
			{Name: "X-Tenant", Value: "blue"}, {Name: "x-tag", Value: "a"}, {Name: "X-Tag", Value: "b"},
			{Name: "Authorization", Value: "Bearer not-shown"}, {Name: "Cookie", Value: "not-shown"}, {Name: "Proxy-Authorization", Value: "not-shown"},
		},
		Context:    map[string]string{"tier": "gold"},
		Parameters: []policy.Parameter{{Name: "user", Value: "ann"}, {Name: "id", Value: "7"}},
		Principal: &authz.Principal{
			UserID: "ann", Issuer: "https://auth.example.com", Roles: []string{"member"}, Permissions: []string{"read"},
			Claims: []byte(`{"sub":"ann","level":3,"big":9007199254740993,"half":0.5,"huge":1e300,"active":true,"nothing":null,"org":{"ids":[1,2]},"tags":["x"]}`),
		},
	}
}

func mustCompile(t testing.TB, text string) policy.Condition {
	t.Helper()
	c, err := Compile(text, []string{"user", "id"})
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return c
}

func TestHolds(t *testing.T) {
	tests := []struct {
		when string
		want bool
	}{
		{`path.user == principal.user_id || 'admin' in principal.roles`, true},
		{`path.user == "bob"`, false},
		{`path.id == '7' && path.user.startsWith('an')`, true},
		{`request.method == 'GET' && request.host == 'api.example.com' && request.path == '/api/orders/ann/7'`, true},
		{`request.headers['x-tenant'] == 'blue'`, true},
		{`request.headers['x-tag'] == 'a,b'`, true},
		{`'X-Tenant' in request.headers`, false},
		{`'authorization' in request.headers || 'cookie' in request.headers || 'proxy-authorization' in request.headers`, false},
		{`principal.issuer == 'https://auth.example.com' && 'read' in principal.permissions`, true},
		{`principal.claims.level >= 3 && principal.claims.level < 3.5`, true},
		{`principal.claims.big == 9007199254740993`, true},
		{`principal.claims.big == 9007199254740992`, false},
		{`principal.claims.half == 0.5 && principal.claims.huge > 1e299`, true},
		{`principal.claims.active == true && principal.claims.nothing == null`, true},
		{`principal.claims.org.ids.exists(i, i == 2) && principal.claims.tags == ['x']`, true},
		{`has(principal.claims.missing)`, false},
		{`context.tier == 'gold'`, true},
		{`request.path.matches('^/api/[a-z]+/')`, true},
		{`size(principal.roles) == 1 && principal.roles.all(r, r != 'admin')`, true},
	}
	for _, tt := range tests {
		t.Run(tt.when, func(t *testing.T) {
			got, _, err := mustCompile(t, tt.when).Holds(t.Context(), input())
			if err != nil || got != tt.want {
				t.Errorf("got %t, %v; want %t", got, err, tt.want)
			}
		})
	}
}

func TestWithoutAPrincipalItsFieldsAreEmpty(t *testing.T) {
	in := input()
	in.Principal, in.Context = nil, nil
	for _, when := range []string{
		`principal.user_id == '' && principal.issuer == ''`,
		`size(principal.roles) == 0 && size(principal.permissions) == 0`,
		`size(principal.claims) == 0 && size(context) == 0`,
	} {
		if ok, _, err := mustCompile(t, when).Holds(t.Context(), in); !ok || err != nil {
			t.Errorf("%s: %t, %v", when, ok, err)
		}
	}
}

func TestWhatCannotBeEvaluatedIsAnError(t *testing.T) {
	for when, want := range map[string]string{
		`request.headers['x-missing'] == 'a'`:                  "no such key: x-missing",
		`context.missing == 'a'`:                               "no such key: missing",
		`principal.claims.missing == 1`:                        "no such key: missing",
		`principal.claims.level + principal.claims.half > 1.0`: "a value is of another type than the expression takes; principal.claims has [\"active\": bool \"big\": int",
		`principal.claims.level.startsWith('3')`:               "a value is of another type than the expression takes; principal.claims has [\"active\": bool \"big\": int",
		`int(path.user) > 0`:                                   "",
		`1 / (size(principal.roles) - 1) > 0`:                  "division by zero",
	} {
		t.Run(when, func(t *testing.T) {
			ok, _, err := mustCompile(t, when).Holds(t.Context(), input())
			if ok || err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %t, %v; want an error with %q", ok, err, want)
			}
		})
	}
}

// What would take long ends at a bound, whatever a token holds.
func TestCostIsBounded(t *testing.T) {
	in := input()
	in.Principal.Roles = slices.Repeat([]string{"a-role-of-some-length"}, 1000)
	if ok, _, err := mustCompile(t, `principal.roles.exists(r, r == 'admin') || true`).Holds(t.Context(), in); !ok || err != nil {
		t.Errorf("searching a thousand roles: %t, %v", ok, err)
	}
	for _, when := range []string{
		`principal.roles.exists(a, principal.roles.exists(b, a == b + 'x'))`,
		`principal.roles.all(a, principal.roles.all(b, principal.roles.all(c, a == c)))`,
		`principal.roles.map(r, request.path.matches('(a+)+$')).size() > 0 && principal.roles.map(a, principal.roles.map(b, a + b)).size() > 0`,
	} {
		ok, _, err := mustCompile(t, when).Holds(t.Context(), in)
		if ok || err == nil || !strings.Contains(err.Error(), "costs more than an evaluation may") {
			t.Errorf("%s: %t, %v; want the cost limit", when, ok, err)
		}
	}
}

// A match costs by its text and its pattern.
func TestMatchesAreBounded(t *testing.T) {
	in := input()
	in.Principal.Roles = make([]string, 1000)
	in.Path = "/" + strings.Repeat("1", 8<<10-1)
	for when, want := range map[string]string{
		`request.path.matches('^/[0-9]*$')`:                           "",
		`matches(request.path, '^/[0-9]*$')`:                          "",
		`request.path.matches('a{1,10}b|1$')`:                         "",
		`request.path.matches('a{1,20}b')`:                            "a text is too long for matches",
		`principal.roles.all(r, request.path.matches('a{1,10}b|1$'))`: "it costs more than an evaluation may",
		`principal.claims.level.matches('3')`:                         "a value is of another type",
	} {
		ok, _, err := mustCompile(t, when).Holds(t.Context(), in)
		if ok != (want == "") || want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %t, %v; want %q", when, ok, err, want)
		}
	}
}

// The lines of one header are joined once: each by itself, a megabyte of them would cost gigabytes.
func TestRepeatedHeadersAreJoinedInOneGo(t *testing.T) {
	in := input()
	for range 20_000 {
		in.Headers = append(in.Headers, authz.Header{Name: "X-Many", Value: ""})
	}
	c := mustCompile(t, `request.headers['x-many'].size() == 19999`)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	ok, _, err := c.Holds(t.Context(), in)
	runtime.ReadMemStats(&after)
	if !ok || err != nil {
		t.Errorf("%t, %v", ok, err)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 10<<20 {
		t.Errorf("%d bytes", grown)
	}
}

func TestEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	in := input()
	in.Principal.Roles = make([]string, 1000)
	if ok, _, err := mustCompile(t, `principal.roles.all(r, r == '')`).Holds(ctx, in); ok || err == nil {
		t.Errorf("got %t, %v after the context ended", ok, err)
	}
}

func TestCompileRefuses(t *testing.T) {
	tests := []struct {
		name, when   string
		line, column int
		text         string // part of the message
	}{
		{"syntax", `path.user ==`, 1, 13, "something is missing here"},
		{"a word too much", `path.user == 'a' path.id`, 1, 18, "'path' is not expected here"},
		{"a character of no meaning", `path.user == 'a' ; true`, 1, 18, "';' is not expected here"},
		{"a quote without its end", `path.user == 'a`, 1, 14, "a quote that opens here is not closed"},
		{"on the second line", "path.user == 'a' &&\n  path.usr == 'b'", 2, 3, "no such parameter; it has user, id"},
		{"unknown field of the request", `request.query == ''`, 1, 1, "request has no such field; it has method, host, path and headers"},
		{"unknown field of the principal", `'a' in principal.groups`, 1, 8, "it has user_id, issuer, roles, permissions and claims"},
		{"unknown name", `user == 'a'`, 1, 1, `"user" is not known here; there are request, path, principal and context`},
		{"unknown function", `request.path.beginsWith('/')`, 1, 24, `"beginsWith"`},
		{"types that do not go together", `path.user == 7`, 1, 11, "== cannot be applied to (string, int)"},
		{"not a bool", `path.user`, 1, 1, "is of type string, not bool"},
		{"of any type", `principal.claims.active`, 1, 1, "is of type dyn, not bool; compare it"},
		{"regular expression", `path.user.matches('(')`, 1, 19, "this is no regular expression: missing closing ): `(`"},
		{"regular expression that is no text", `path.user.matches(path.id)`, 1, 23, "the pattern of matches is a text in quotes"},
		{"regular expression in parts", `matches(path.user, 'a' + 'b')`, 1, 24, "the pattern of matches is a text in quotes"},
		{"regular expression of many steps", `path.user.matches('([0-9]{1,255}x){2}')`, 1, 19, "the pattern has 1026 instructions: 1000 at most"},
		{"regular expression of the library", `.matches(path.user, 'a')`, 1, 9, `"matches" is not known here`},
		{"match of no text", `7.matches('a')`, 1, 10, "matches cannot be applied to (int, string)"},
		{"too long", `'` + strings.Repeat("a", maxCharacters) + `' == ''`, 1, 1, "size"},
		{"too deep", strings.Repeat("(", 200) + "true" + strings.Repeat(")", 200), 1, 1, "recursion"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Compile(tt.when, []string{"user", "id"})
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("compiled: %v", err)
			}
			if e.Line != tt.line || e.Column != tt.column || !strings.Contains(e.Text, tt.text) || strings.Contains(e.Text, "\n") {
				t.Errorf("%d:%d: %s; want %d:%d: …%s…", e.Line, e.Column, e.Text, tt.line, tt.column, tt.text)
			}
		})
	}
	if _, err := Compile(`path.a == 'b'`, nil); err == nil || !strings.Contains(err.Error(), "has no parameters") {
		t.Errorf("a parameter of a path without any: %v", err)
	}
}

func TestFaultsSayWhatToWriteInstead(t *testing.T) {
	for when, want := range map[string]string{
		`true & false`:                      "'&' is not expected here; write &&",
		`true and false`:                    "'and' is not expected here; write &&",
		`true OR false`:                     "'OR' is not expected here; write ||",
		`not (true)`:                        `"not" is not known here; there are request, path, principal and context; write !`,
		`request.method = 'GET'`:            "'=' is not expected here; write ==",
		`request.method == GET`:             `"GET" is not known here; there are request, path, principal and context; a text stands in quotes`,
		`request.path =~ '^/a'`:             "'=~' is not expected here; write text.matches('expression')",
		`(request.method == 'GET'`:          "')' is missing here",
		`request.method == "GET`:            "a quote that opens here is not closed",
		`principal.roles.contains('admin')`: "contains cannot be applied to list(string).(string); a list is searched as in 'admin' in principal.roles",
		`principal.roles == 'admin'`:        "== cannot be applied to (list(string), string); a list is searched as in 'admin' in principal.roles",
	} {
		if _, err := Compile(when, nil); err == nil || err.Error() != want {
			t.Errorf("%s: %v\nwant %s", when, err, want)
		}
	}
}

// The library quotes values in its errors; what reaches the log is what was compared, by name, and never a value of a
// header or a claim.
func TestErrorsShowNoValue(t *testing.T) {
	in := input()
	in.Headers = []authz.Header{{Name: "X-Key", Value: "hidden("}}
	in.Principal.Claims = []byte(`{"text":"hidden(","number":123454321,"list":[1],"map":{}}`)
	for _, when := range []string{
		`principal.claims[request.headers['x-key']] == 1`,
		`principal.claims.map[principal.claims.text] == 1`,
		`request.headers[principal.claims.text] == ''`,
		`timestamp(principal.claims.text) > timestamp('2020-01-01T00:00:00Z')`,
		`timestamp('2020-01-01T00:00:00Z').getHours(principal.claims.text) == 1`,
		`duration(principal.claims.text) > duration('1s')`,
		`int(principal.claims.text) > 1`,
		`principal.claims.list[principal.claims.number] == 1`,
		`principal.claims.number * principal.claims.number * principal.claims.number > 1`,
		`timestamp(principal.claims.number * 10000000000) > timestamp('2020-01-01T00:00:00Z')`,
		`string(principal.claims.map) == ''`,
	} {
		_, compared, err := mustCompile(t, when).Holds(t.Context(), in)
		if err == nil {
			t.Errorf("%s: no error", when)
			continue
		}
		if text := compared + err.Error(); strings.Contains(text, "hidden") || strings.Contains(text, "12345") || strings.Contains(text, "it fails on a value") {
			t.Errorf("%s: %s", when, text)
		}
	}
}

func TestWhatIsShownIsBounded(t *testing.T) {
	in := input()
	in.Principal.Roles = slices.Repeat([]string{"é"}, 1000)
	_, compared, err := mustCompile(t, `'admin' in principal.roles`).Holds(t.Context(), in)
	if err != nil || len(compared) > maxShown+len("…") || !utf8.ValidString(compared) {
		t.Errorf("%d bytes, %v", len(compared), err)
	}
}

func TestTypesAreNoVariables(t *testing.T) {
	_, compared, err := mustCompile(t, `type(principal.claims.sub) == int`).Holds(t.Context(), input())
	if err != nil || !strings.HasPrefix(compared, "principal.claims has [") {
		t.Errorf("%s, %v", compared, err)
	}
}

func TestWhatIsComparedIsToldWithoutSecrets(t *testing.T) {
	in := input()
	in.Explain = true
	when := `path.user == principal.user_id && 'member' in principal.roles && request.headers['x-tenant'] != principal.claims.sub && context.tier != ''`
	ok, compared, err := mustCompile(t, when).Holds(t.Context(), in)
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	want := `context has ["tier"], path.user is "ann", principal.claims has ["active": bool "big": int "half": double "huge": double "level": int "nothing": null "org": map "sub": string "tags": list], ` +
		`principal.roles is ["member"], principal.user_id is "ann", request.headers has ["x-tag" "x-tenant"]`
	if compared != want {
		t.Errorf("got  %s\nwant %s", compared, want)
	}
	in.Explain = false
	if _, compared, _ := mustCompile(t, when).Holds(t.Context(), in); compared != "" {
		t.Errorf("told although it holds and nobody asked: %s", compared)
	}
	if _, compared, _ := mustCompile(t, `path.user == 'bob'`).Holds(t.Context(), in); compared != `path.user is "ann"` {
		t.Errorf("of a condition that does not hold: %s", compared)
	}
}

func BenchmarkHolds(b *testing.B) {
	c := mustCompile(b, `path.user == principal.user_id || 'admin' in principal.roles`)
	in := input()
	b.ReportAllocs()
	for b.Loop() {
		if ok, _, err := c.Holds(b.Context(), in); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}

// BenchmarkCostLimit times the longest evaluation that the bound lets through.
func BenchmarkCostLimit(b *testing.B) {
	c := mustCompile(b, `principal.roles.exists(a, principal.roles.exists(b, a == b + 'x'))`)
	in := input()
	in.Principal.Roles = make([]string, 1000)
	for b.Loop() {
		if _, _, err := c.Holds(b.Context(), in); err == nil {
			b.Fatal("it ended within the bound")
		}
	}
}

// BenchmarkWorstMatch is the longest that one call can take.
func BenchmarkWorstMatch(b *testing.B) {
	c := mustCompile(b, `request.path.matches('[0-9]{1,100}x')`)
	in := input()
	in.Path = "/" + strings.Repeat("1", maxSteps/210)
	for b.Loop() {
		if ok, _, err := c.Holds(b.Context(), in); ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}

// A header that holds API keys is hidden as Authorization is.
func TestConditionsDoNotSeeTheirCredentialHeaders(t *testing.T) {
	for text, want := range map[string]bool{
		"'x-api-key' in request.headers":     false,
		"'x-other' in request.headers":       true,
		"'authorization' in request.headers": false,
	} {
		c, err := Compile(text, nil, "X-API-Key")
		if err != nil {
			t.Fatal(err)
		}
		got, shown, err := c.Holds(t.Context(), &policy.Input{Headers: []authz.Header{
			{Name: "x-aPI-key", Value: "test-secret"}, {Name: "X-Other", Value: "a"}, {Name: "Authorization", Value: "test-secret"},
		}})
		if err != nil || got != want || strings.Contains(strings.ToLower(shown), "api") || strings.Contains(shown, "secret") {
			t.Errorf("%s: %t, %v; shown: %s", text, got, err, shown)
		}
	}
	if found := Unwise("'x-api-key' in request.headers", false, nil, "X-API-Key"); len(found) != 1 {
		t.Errorf("%d warnings, want one", len(found))
	}
}
