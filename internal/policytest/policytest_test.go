package policytest

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/yamlstrict"
)

// parts are an engine's parts: whoever has a token is its subject and may read, /closed is closed, and one
// header is set, one removed and one both.
type parts struct{}

func (parts) Match(r *authz.Request) (authz.Rule, authz.Reason, string) {
	r.Trace.Add("route", "matched", "some route")
	rule := authz.Rule{Permissions: []string{"read"}}
	if r.Path == "/closed" {
		rule.Access = authz.AccessDeny
	}
	return rule, authz.ReasonGranted, ""
}

func (parts) Verify(_ context.Context, c authz.Credential, _ time.Time) (*authz.Identity, error) {
	return &authz.Identity{Principal: authz.Principal{Source: "test", UserID: c.Value, Permissions: []string{"read"}}}, nil
}

func (parts) Stamp(id *authz.Identity, _ time.Time) (*authz.Stamp, error) {
	return &authz.Stamp{Set: []authz.Header{{Name: "X-User-ID", Value: id.UserID}, {Name: "X-Both", Value: "x"}}}, nil
}

func (parts) Spoofed(dst []string, _ *authz.Request) []string {
	return append(dst, "x-forged", "x-both")
}

func newEngine() *authz.Engine {
	return authz.New(authz.Options{
		Policy:    parts{},
		Verifiers: map[authz.Kind]authz.Verifier{authz.KindOpaque: parts{}},
		Stamper:   parts{},
		Now:       time.Now,
		NewID:     func() string { return "id" },
	})
}

// mint makes a token that is the sub alone.
func mint(claims map[string]any) (string, error) {
	sub, ok := claims["sub"].(string)
	if !ok {
		return "", errors.New("no sub")
	}
	return sub, nil
}

func write(t *testing.T, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tests.yaml")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func load(t *testing.T, content string) []Test {
	t.Helper()
	tests, err := Load(write(t, content))
	if err != nil {
		t.Fatal(err)
	}
	return tests.Tests
}

func TestRun(t *testing.T) {
	for _, test := range []struct {
		name, request, expect string
		want                  []string // parts of the failures; none: passes
	}{
		{name: "status alone is compared", request: `{path: /}`, expect: `{status: 401}`},
		{name: "code is compared", request: `{path: /}`, expect: `{status: 401, code: missing_credentials}`},
		{name: "claims are signed", request: `{path: /, token: {sub: ann}}`, expect: `{status: 200, code: ok, headers: {X-User-ID: ann}}`},
		{name: "a string is sent as it is", request: `{path: /, token: ann}`, expect: `{status: 200, headers: {x-user-id: ann}}`},
		{name: "an empty token is a credential", request: `{path: /, token: ""}`, expect: `{status: 401, code: invalid_token}`},
		{name: "what is set replaces the client's", request: `{path: /, token: ann, headers: {x-user-id: [root, admin]}}`, expect: `{status: 200, headers: {X-User-ID: ann}}`},
		{name: "what is removed is gone in any case", request: `{path: /, token: ann, headers: {X-FORGED: a}}`, expect: `{status: 200, headers: {X-Forged: ""}}`},
		{name: "what is set and removed is gone, as in Envoy", request: `{path: /, token: ann, headers: {X-Both: a}}`, expect: `{status: 200, headers: {X-Both: ""}}`},
		{name: "repeats are joined", request: `{path: /, token: ann, headers: {Accept: [a, b]}}`, expect: `{status: 200, headers: {Accept: "a, b"}}`},
		{name: "repeats are repeats", request: `{path: /, headers: {Authorization: [Bearer a, Bearer b]}}`, expect: `{status: 400, code: multiple_credentials}`},
		{name: "the context adds permissions", request: `{path: /, token: ann, context: {required_permission: "read, write"}}`, expect: `{status: 403, code: insufficient_permissions}`},
		{name: "the query is cut", request: `{path: "/closed?a=b"}`, expect: `{status: 403, code: forbidden}`},

		{name: "another status", request: `{path: /}`, expect: `{status: 200}`, want: []string{"status: got 401, want 200"}},
		{name: "another code", request: `{path: /}`, expect: `{status: 401, code: invalid_token}`, want: []string{"code: got missing_credentials, want invalid_token"}},
		{name: "a header of another value", request: `{path: /, token: ann}`, expect: `{status: 200, headers: {X-User-ID: root}}`, want: []string{`headers.X-User-ID: got "ann", want "root"`}},
		{name: "a header that should be absent", request: `{path: /, token: ann}`, expect: `{status: 200, headers: {X-User-ID: ""}}`, want: []string{`headers.X-User-ID: got "ann", want ""`}},
		{name: "a header that is absent", request: `{path: /, token: ann}`, expect: `{status: 200, headers: {X-Other: x}}`, want: []string{`headers.X-Other: got "", want "x"`}},
		{name: "headers of a refusal", request: `{path: /}`, expect: `{status: 401, headers: {X-User-ID: ann}}`, want: []string{`headers.X-User-ID: got "", want "ann"`}},
		{name: "all differences at once", request: `{path: /closed}`, expect: `{status: 200, code: ok, headers: {X-User-ID: ann}}`, want: []string{"status:", "code:", "headers.X-User-ID:"}},
		{name: "claims that cannot be signed", request: `{path: /, token: {roles: [a]}}`, expect: `{status: 401}`, want: []string{"token: no sub"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			tests := load(t, "tests: [{name: a, request: "+test.request+", expect: "+test.expect+"}]\n")
			got := tests[0].Run(t.Context(), newEngine(), mint).Failures
			if !slices.EqualFunc(got, test.want, strings.Contains) {
				t.Errorf("failures %q, want %q", got, test.want)
			}
		})
	}
}

func TestRequestIsFilledIn(t *testing.T) {
	r, err := Request{Path: "/a?b"}.Authz(mint)
	if err != nil {
		t.Fatal(err)
	}
	if want := (&authz.Request{Method: "GET", Host: "localhost", Path: "/a"}); !reflect.DeepEqual(r, want) {
		t.Errorf("got %+v, want %+v", r, want)
	}
	r, err = Request{Method: "PUT", Host: "a.example:80", Path: "/", Headers: map[string]any{"b": []any{"2", "3"}, "a": "1"}, Token: "t"}.Authz(mint)
	if err != nil {
		t.Fatal(err)
	}
	headers := []authz.Header{{Name: "a", Value: "1"}, {Name: "b", Value: "2"}, {Name: "b", Value: "3"}, {Name: "Authorization", Value: "Bearer t"}}
	if want := (&authz.Request{Method: "PUT", Host: "a.example:80", Path: "/", Headers: headers}); !reflect.DeepEqual(r, want) {
		t.Errorf("got %+v, want %+v", r, want)
	}
}

func TestFailureShowsDifferenceAndTrace(t *testing.T) {
	tests := load(t, "# comment\ntests:\n  - name: a reader may read\n    request: {path: /closed}\n    expect: {status: 200}\n")
	got := tests[0].Run(t.Context(), newEngine(), mint).String()
	for _, want := range []string{
		"FAIL a reader may read (line 3)\n",
		"  status: got 403, want 200\n",
		"    route        matched       some route\n",
		"    access       refused       no route matches, and the default access is deny\n",
		"    cause: no route matches, and the default access is deny\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
}

func TestFaultsOfAFileNameLineAndColumn(t *testing.T) {
	for _, test := range []struct{ name, content, want string }{
		{"empty file", "", ":1:1: the file is empty; want a mapping, such as {tests: …}"},
		{"not YAML", "tests: [\n", ":1:8: this bracket is never closed"},
		{"no tests", "tests: []\n", ":1:8: tests: "},
		{"unknown key", "tests:\n- {name: a, request: {path: /, query: b}, expect: {status: 200}}\n", ":2:32: tests[0].request.query: unknown key"},
		{"unknown expectation", "tests:\n- {name: a, request: {path: /}, expect: {status: 200, body: x}}\n", ":2:55: tests[0].expect.body: unknown key"},
		{"no name", "tests:\n- {request: {path: /}, expect: {status: 200}}\n", ":2:3: tests[0].name: is missing"},
		{"no path", "tests:\n- {name: a, request: {method: GET}, expect: {status: 200}}\n", ":2:22: tests[0].request.path: is missing"},
		{"no status", "tests:\n- {name: a, request: {path: /}, expect: {code: ok}}\n", ":2:41: tests[0].expect.status: is missing"},
		{"status as a word", "tests:\n- {name: a, request: {path: /}, expect: {status: ok}}\n", ":2:50: tests[0].expect.status: want a whole number"},
		{"header that is a number", "tests:\n- name: a\n  request: {path: /, headers: {X-A: 5}}\n  expect: {status: 200}\n", `:3:31: tests[0].request.headers: "X-A": want a string`},
		{"header that is null", "tests:\n- name: a\n  request: {path: /, headers: {X-A: }}\n  expect: {status: 200}\n", `:3:31: tests[0].request.headers: "X-A": want a string`},
		{"header with a list in a list", "tests:\n- name: a\n  request: {path: /, headers: {X-A: [[b]]}}\n  expect: {status: 200}\n", `:3:31: tests[0].request.headers: "X-A": want a string`},
		{"header given twice", "tests:\n- name: a\n  request: {path: /, headers: {X-A: b, X-A: c}}\n  expect: {status: 200}\n", ":3:40: tests[0].request.headers.X-A: stands here again"},
		{"context that is a list", "tests:\n- name: a\n  request: {path: /, context: {required_permission: [read]}}\n  expect: {status: 200}\n", ":3:53: tests[0].request.context.required_permission: want text"},
		{"token that is a number", "tests:\n- name: a\n  request: {path: /, token: 5}\n  expect: {status: 200}\n", ":3:29: tests[0].request.token: want claims or a string"},
		{"token that is a list", "tests:\n- name: a\n  request: {path: /, token: [a]}\n  expect: {status: 200}\n", ":3:29: tests[0].request.token: want claims or a string"},
		{"code that is misspelt", "tests:\n- {name: a, request: {path: /}, expect: {status: 403, code: insufficient_permission}}\n", ":2:61: tests[0].expect.code: no decision has this code; did you mean insufficient_permissions?"},
		{"code of no decision", "tests:\n- {name: a, request: {path: /}, expect: {status: 403, code: teapot}}\n", ":2:61: tests[0].expect.code: no decision has this code; the codes are ambiguous_host, ambiguous_path, forbidden, insufficient_permissions, invalid_token, missing_credentials, multiple_credentials, no_service, ok, token_expired, unavailable"},
		{"expiry as a duration", "tests:\n- name: a\n  request: {path: /, token: {sub: ann, exp: 1h}}\n  expect: {status: 200}\n", ":3:45: tests[0].request.token.exp: want seconds since 1970, such as 4102444800; left out, exp is an hour ahead"},
		{"times as durations", "tests:\n- name: a\n  request: {path: /, token: {sub: ann, iat: 5m, nbf: -1h30m}}\n  expect: {status: 200}\n", ":3:45: tests[0].request.token.iat: want seconds since 1970, such as 4102444800"},
		{"absent header that the request has not", "tests:\n- {name: a, request: {path: /}, expect: {status: 200, headers: {X-UserID: \"\"}}}\n", ":2:75: tests[0].expect.headers.X-UserID: the request has no such header, so this proves nothing; did you mean X-User-ID?"},
		{"absent header of another name", "tests:\n- {name: a, request: {path: /, headers: {A: b}}, expect: {status: 200, headers: {B: \"\", a: \"\"}}}\n", ":2:85: tests[0].expect.headers.B: the request has no such header, so this proves nothing"},
		{"context that nearly requires a permission", "tests:\n- name: a\n  request: {path: /, context: {required_permissions: read}}\n  expect: {status: 200}\n", ":3:54: tests[0].request.context.required_permissions: asks for no permission; did you mean required_permission?"},
		{"context in another case", "tests:\n- name: a\n  request: {path: /, context: {Required_Permission: read}}\n  expect: {status: 200}\n", ":3:53: tests[0].request.context.Required_Permission: asks for no permission; did you mean required_permission?"},
		{"expected header that is a number", "tests:\n- name: a\n  request: {path: /}\n  expect: {status: 200, headers: {X-User-ID: 5}}\n", ":4:46: tests[0].expect.headers.X-User-ID: want text"},
		{"expected header that is a list", "tests:\n- name: a\n  request: {path: /}\n  expect: {status: 200, headers: {X-User-ID: [a]}}\n", ":4:46: tests[0].expect.headers.X-User-ID: want text"},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := write(t, test.content)
			tests, err := Load(file)
			if faults := (yamlstrict.Faults)(nil); !errors.As(err, &faults) || tests != nil {
				t.Fatalf("Load: %v, %v", tests, err)
			}
			if got := err.Error(); !strings.HasPrefix(got, file+":") || !strings.Contains(got, test.want) {
				t.Errorf("got %q, want it to hold %q", got, test.want)
			}
		})
	}
}

func TestWhatATestMayHold(t *testing.T) {
	for _, test := range []struct{ name, request, expect string }{
		{"any context", `{path: /, context: {tenant: a, required: x, required_version: "2", required_permission: read}}`, `{status: 401}`},
		{"claims of the wrong type, on purpose", `{path: /, token: {sub: ann, exp: "4102444800", nbf: true, iat: "0"}}`, `{status: 401}`},
		{"durations in other claims", `{path: /, token: {sub: ann, ttl: 1h, deep: {exp: 1h}}}`, `{status: 401}`},
		{"the code of an allow", `{path: /}`, `{status: 200, code: ok}`},
		{"no code", `{path: /}`, `{status: 200, code: ""}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := Load(write(t, "tests: [{name: a, request: "+test.request+", expect: "+test.expect+"}]\n")); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAllFaultsAreReportedAtOnce(t *testing.T) {
	_, err := Load(write(t, "tests:\n- {name: a, request: {path: /, token: 5, headers: {A: 1}}, expect: {status: 200}}\n- {name: b, request: {path: /, token: []}, expect: {status: 200}}\n"))
	var faults yamlstrict.Faults
	if !errors.As(err, &faults) || len(faults) != 3 {
		t.Errorf("got %v, want three faults", err)
	}
}

func TestFaultsOfTheReaderAndItsOwnStandTogether(t *testing.T) {
	file := write(t, "tests:\n- name: a\n  request: {path: /, token: 5}\n  expect: {status: 200}\n- name: b\n  request: {path: /, headers: {A: b, A: 1}}\n  expect: {status: ok}\n")
	want := file + `:3:29: tests[0].request.token: want claims or a string; quote the value
` + file + `:6:38: tests[1].request.headers.A: stands here again, after line 6; take one of them out
` + file + `:7:20: tests[1].expect.status: want a whole number`
	if _, err := Load(file); err == nil || err.Error() != want {
		t.Errorf("Load = %v\nwant %s", err, want)
	}
}

func TestMissingFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "absent.yaml")
	if _, err := Load(file); !errors.Is(err, os.ErrNotExist) || !strings.HasPrefix(err.Error(), file+": ") {
		t.Errorf("got %v", err)
	}
}

func TestJUnit(t *testing.T) {
	tests := load(t, `tests:
  - {name: passes, request: {path: /, token: ann}, expect: {status: 200}}
  - {name: "fails <&\"'\u0001]]> ü", request: {path: /}, expect: {status: 200, code: ok}}
  - {name: fails too, request: {path: /closed}, expect: {status: 200}}
`)
	suite := Suite{File: "a&b.yaml"}
	for _, test := range tests {
		suite.Results = append(suite.Results, test.Run(t.Context(), newEngine(), mint))
	}
	var out bytes.Buffer
	if err := WriteJUnit(&out, []Suite{suite, {File: "empty.yaml"}}); err != nil {
		t.Fatal(err)
	}
	wellFormed(t, out.Bytes())
	var got struct {
		XMLName xml.Name     `xml:"testsuites"`
		Suites  []junitSuite `xml:"testsuite"`
	}
	if err := xml.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Suites) != 2 || got.Suites[0].Name != "a&b.yaml" || got.Suites[0].Tests != 3 || got.Suites[0].Failures != 2 || got.Suites[1].Tests != 0 {
		t.Fatalf("suites: %+v", got.Suites)
	}
	cases := got.Suites[0].Cases
	if len(cases) != 3 || cases[0].Failure != nil || cases[0].Name != "passes" || cases[0].Class != "a&b.yaml" {
		t.Fatalf("cases: %+v", cases)
	}
	failure := cases[1].Failure
	if failure == nil || failure.Message != "status: got 401, want 200; code: got missing_credentials, want ok" || !strings.Contains(failure.Text, "credential") {
		t.Errorf("failure: %+v", failure)
	}
	if name := cases[1].Name; !strings.HasPrefix(name, `fails <&"'`) || !strings.HasSuffix(name, "]]> ü") {
		t.Errorf("name: %q", name)
	}
}

// wellFormed reads a document to its end.
func wellFormed(t *testing.T, document []byte) {
	t.Helper()
	if !bytes.HasPrefix(document, []byte(xml.Header)) || !bytes.HasSuffix(document, []byte(">\n")) {
		t.Errorf("the document begins or ends oddly:\n%s", document)
	}
	d := xml.NewDecoder(bytes.NewReader(document))
	for {
		if _, err := d.Token(); err == io.EOF {
			return
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
	}
}

func TestSuiteCountsFailures(t *testing.T) {
	s := Suite{Results: []Result{{}, {Failures: []string{"a", "b"}}, {}, {Failures: []string{"c"}}}}
	if n := s.Failed(); n != 2 {
		t.Errorf("got %d", n)
	}
}
