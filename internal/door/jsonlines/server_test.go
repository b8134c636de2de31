package jsonlines

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/passgate/passgate/internal/authz"
)

// The credentials that the tests' engine knows. The placeholders of the exercise are not JWTs, so they are
// opaque tokens here; which of them is good is what the exercise says of it.
var (
	admin  = authz.Principal{Source: "accounts", UserID: "user123", Roles: []string{"admin"}, Permissions: []string{"read", "write"}}
	reader = authz.Principal{Source: "accounts", UserID: "user456", Permissions: []string{"read"}}
	nobody = authz.Principal{Source: "accounts", UserID: "ü,%\n", Roles: []string{"a", "b"}}

	principals = map[string]authz.Principal{
		"eyJhbGciOiJIUzI1NiIs...": admin,
		"user_token...":           reader,
		"nobody":                  nobody,
	}
)

type verifier struct{ accepted int }

func (v *verifier) Verify(_ context.Context, c authz.Credential, _ time.Time) (*authz.Identity, error) {
	if c.Value == "expired_token..." {
		return nil, &authz.ExpiredError{}
	}
	if c.Value == "panic" {
		panic("verifier")
	}
	p, ok := principals[c.Value]
	if !ok {
		return nil, authz.ErrCredentialInvalid
	}
	v.accepted++
	return &authz.Identity{Principal: p}, nil
}

// policy knows /api/NAME…, served by NAME-service, and one route of each other kind.
type policy struct{}

func (policy) Match(r *authz.Request) (authz.Rule, authz.Reason, string) {
	if strings.Contains(r.Path, "?") || !strings.HasPrefix(r.Path, "/") {
		return authz.Rule{}, authz.ReasonPathAmbiguous, "path"
	}
	if r.Host == "" {
		return authz.Rule{}, authz.ReasonHostAmbiguous, "host"
	}
	switch {
	case strings.HasPrefix(r.Path, "/api/"):
		name, _, _ := strings.Cut(r.Path[len("/api/"):], "/")
		return authz.Rule{Service: name + "-service"}, authz.ReasonGranted, ""
	case r.Path == "/public":
		return authz.Rule{Service: "docs", Access: authz.AccessPublic}, authz.ReasonGranted, ""
	case r.Path == "/host":
		return authz.Rule{Service: r.Host, Access: authz.AccessPublic}, authz.ReasonGranted, ""
	case r.Path == "/method":
		return authz.Rule{Service: r.Method, Access: authz.AccessPublic}, authz.ReasonGranted, ""
	}
	return authz.Rule{}, authz.ReasonGranted, ""
}

type stamper struct{}

func (stamper) Stamp(*authz.Identity, time.Time) (*authz.Stamp, error) { return &authz.Stamp{}, nil }
func (stamper) Spoofed(dst []string, _ *authz.Request) []string        { return dst }

func newEngine(v authz.Verifier) *authz.Engine {
	return authz.New(authz.Options{
		Policy:    policy{},
		Verifiers: map[authz.Kind]authz.Verifier{authz.KindOpaque: v, authz.KindJWT: v},
		Stamper:   stamper{},
		Now:       time.Now,
		NewID:     func() string { return "id" },
	})
}

// decider is an [authz.Decider] of one function.
type decider func(context.Context, *authz.Request) authz.Decision

func (d decider) Decide(ctx context.Context, r *authz.Request) authz.Decision { return d(ctx, r) }

func newServer(log io.Writer) *Server {
	engine := newEngine(&verifier{})
	return New(Options{
		Decider: engine,
		Init:    func(string) authz.Decider { return engine },
		Log:     slog.New(slog.NewJSONHandler(log, nil)),
	})
}

// serve returns what a new server answers to in.
func serve(t testing.TB, in string) string {
	t.Helper()
	var out bytes.Buffer
	if err := newServer(io.Discard).Serve(t.Context(), strings.NewReader(in), &out); err != nil {
		t.Fatalf("Serve: %v", err)
	}
	return out.String()
}

func lines(s ...string) string { return strings.Join(s, "\n") + "\n" }

// The messages of the exercise, under the names that it gives them and in its order. Where it leaves an
// answer out, the answer is what follows from its prose.
func TestExercise(t *testing.T) {
	for _, test := range []struct{ name, in, want string }{
		{
			name: "Request with valid JWT",
			in:   `{"type": "api_request", "msg_id": 1, "method": "GET", "path": "/api/users/123", "headers": {"Authorization": "Bearer eyJhbGciOiJIUzI1NiIs..."}}`,
			want: `{"type": "api_response", "in_reply_to": 1, "status": 200, "service": "users-service", "user_context": {"user_id": "user123", "role": "admin", "permissions": ["read", "write"]}}`,
		},
		{
			name: "Request with expired token",
			in:   `{"type": "api_request", "msg_id": 2, "method": "GET", "path": "/api/users/123", "headers": {"Authorization": "Bearer expired_token..."}}`,
			want: `{"type": "api_response", "in_reply_to": 2, "status": 401, "error": "Token expired"}`,
		},
		{
			name: "Request without permission",
			in:   `{"type": "api_request", "msg_id": 3, "method": "DELETE", "path": "/api/users/123", "headers": {"Authorization": "Bearer user_token..."}, "required_permission": "delete"}`,
			want: `{"type": "api_response", "in_reply_to": 3, "status": 403, "error": "Insufficient permissions: required [delete], have [read]"}`,
		},
		{
			name: "Valid JWT passes through gateway",
			in: lines(
				`{"src":"client","dest":"gateway","body":{"type":"init","msg_id":1,"jwt_public_key":"public_key_here"}}`,
				`{"src":"client","dest":"gateway","body":{"type":"api_request","msg_id":2,"method":"GET","path":"/api/users/123","headers":{"Authorization":"Bearer valid_jwt_here"}}}`),
			want: `{"src": "gateway", "dest": "client", "body": {"type": "init_ok", "in_reply_to": 1}}` + "\n" +
				// valid_jwt_here is no JWT.
				`{"src": "gateway", "dest": "client", "body": {"type": "api_response", "in_reply_to": 2, "status": 401, "error": "Invalid or expired token"}}`,
		},
		{
			name: "Invalid JWT returns 401",
			in: `{
"src": "client",
"dest": "gateway",
"body": {
"type": "api_request",
"msg_id": 1,
"method": "GET",
"path": "/api/users/123",
"headers": {
"Authorization": "Bearer invalid_jwt"
}
}
}`,
			want: `{"src": "gateway", "dest": "client", "body": {"type": "api_response", "in_reply_to": 1, "status": 401, "error": "Invalid or expired token"}}`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := serve(t, test.in); got != test.want+"\n" {
				t.Errorf("answered\n%swant\n%s", got, test.want)
			}
		})
	}
}

func TestAnswers(t *testing.T) {
	const bearer = `"headers": {"Authorization": "Bearer user_token..."}`
	request := func(fields string) string {
		return `{"type": "api_request", "method": "GET", "path": "/api/users/1", ` + fields + `}`
	}
	const (
		ok      = `{"type": "api_response", "status": 200, "service": "users-service", "user_context": {"user_id": "user456", "role": "", "permissions": ["read"]}}`
		missing = `{"type": "api_response", "status": 401, "error": "Missing credentials"}`
		double  = `{"type": "api_response", "status": 400, "error": "More than one credential"}`
	)
	fault := func(text string) string { return `{"type": "error", "text": "` + text + `"}` }
	for _, test := range []struct{ name, in, want string }{
		{"bare body in, bare body out", request(bearer), ok},
		{"src and dest are swapped, whatever they are", `{"dest": ["g"], "src": 7, "body": {"type": "init"}}`, `{"src": ["g"], "dest": 7, "body": {"type": "init_ok"}}`},
		{"src alone becomes dest", `{"src": "c", "body": {"type": "init"}}`, `{"dest": "c", "body": {"type": "init_ok"}}`},
		{"msg_id goes back as it came, on one line", "{\"type\": \"init\", \"msg_id\": {\"a\":\n[1.50, \"\\u0041\"]}}", `{"type": "init_ok", "in_reply_to": {"a": [1.50, "\u0041"]}}`},
		{"msg_id null is a msg_id", `{"type": "init", "msg_id": null}`, `{"type": "init_ok", "in_reply_to": null}`},
		{"unknown fields are ignored", `{"type": "init", "body": 1, "x": {}}`, `{"type": "init_ok"}`},
		{"type is case-exact", `{"Type": "init"}`, fault(`\"type\" is missing`)},

		{"values are not encoded", `{"type": "api_request", "method": "GET", "path": "/api/users/1", "headers": {"Authorization": "Bearer nobody"}}`,
			`{"type": "api_response", "status": 200, "service": "users-service", "user_context": {"user_id": "ü,%\n", "role": "a,b", "permissions": []}}`},
		{"no user_context without a principal", `{"type": "api_request", "method": "GET", "path": "/public"}`, `{"type": "api_response", "status": 200, "service": "docs"}`},
		{"a route without a service is 404", `{"type": "api_request", "method": "GET", "path": "/other", ` + bearer + `}`, `{"type": "api_response", "status": 404, "error": "No service for path"}`},
		{"the query is cut at the first question mark", `{"type": "api_request", "method": "GET", "path": "/public?a=?/api", "msg_id": 1}`, `{"type": "api_response", "in_reply_to": 1, "status": 200, "service": "docs"}`},
		{"an ambiguous path is refused", `{"type": "api_request", "method": "GET", "path": ""}`, `{"type": "api_response", "status": 400, "error": "Ambiguous request path"}`},
		{"the method is passed on as it is", `{"type": "api_request", "method": "get", "path": "/method"}`, `{"type": "api_response", "status": 200, "service": "get"}`},
		{"host absent is localhost", `{"type": "api_request", "method": "GET", "path": "/host"}`, `{"type": "api_response", "status": 200, "service": "localhost"}`},
		{"host null is localhost", `{"type": "api_request", "method": "GET", "path": "/host", "host": null}`, `{"type": "api_response", "status": 200, "service": "localhost"}`},
		{"host is passed on", `{"type": "api_request", "method": "GET", "path": "/host", "host": "A.example:1"}`, `{"type": "api_response", "status": 200, "service": "A.example:1"}`},
		{"an empty host is not absent", `{"type": "api_request", "method": "GET", "path": "/host", "host": ""}`, `{"type": "api_response", "status": 400, "error": "Ambiguous request host"}`},

		{"no headers", request(`"msg_id": 1`), strings.Replace(missing, `"status"`, `"in_reply_to": 1, "status"`, 1)},
		{"headers null", request(`"headers": null`), missing},
		{"a header name in another case", request(`"headers": {"aUTHORIZATION": "Bearer user_token..."}`), ok},
		{"a header as a list of one", request(`"headers": {"Authorization": ["Bearer user_token..."]}`), ok},
		{"a header as an empty list", request(`"headers": {"Authorization": []}`), missing},
		{"a list of two is a repeat", request(`"headers": {"Authorization": ["Bearer user_token...", "Bearer user_token..."]}`), double},
		{"names that differ in case are repeats", request(`"headers": {"Authorization": "Bearer user_token...", "authorization": "Bearer user_token..."}`), double},

		{"a permission that is held", request(bearer + `, "required_permission": "read"`), ok},
		{"a list of permissions, blanks and empty ones aside", request(bearer + `, "required_permission": " read ,, write"`), `{"type": "api_response", "status": 403, "error": "Insufficient permissions: required [read, write], have [read]"}`},
		{"a permission on a public route asks for a principal", `{"type": "api_request", "method": "GET", "path": "/public", "required_permission": "read"}`, missing},
		{"permission null asks for none", request(bearer + `, "required_permission": null`), ok},

		{"a permission of another type is not ignored", request(bearer + `, "required_permission": ["delete"]`), fault(`\"required_permission\" is not a string`)},
		{"method missing", `{"type": "api_request", "path": "/public"}`, fault(`\"method\" is missing`)},
		{"method of another type", `{"type": "api_request", "method": 1, "path": "/public"}`, fault(`\"method\" is not a string`)},
		{"path missing", `{"type": "api_request", "method": "GET"}`, fault(`\"path\" is missing`)},
		{"path null", `{"type": "api_request", "method": "GET", "path": null}`, fault(`\"path\" is not a string`)},
		{"host of another type", request(`"host": 1`), fault(`\"host\" is not a string`)},
		{"headers of another type", request(`"headers": [["Authorization", "x"]]`), fault(`\"headers\" is not a JSON object`)},
		{"a header of another type", request(`"headers": {"x": 1}`), fault(`\"headers\": \"x\" is neither a string nor an array of strings`)},
		{"a header null", request(`"headers": {"x": null}`), fault(`\"headers\": \"x\" is neither a string nor an array of strings`)},
		{"a list that holds another type", request(`"headers": {"x": ["a", ["b"]]}`), fault(`\"headers\": \"x\" is neither a string nor an array of strings`)},
		{"type unknown", `{"src": "c", "dest": "g", "body": {"type": "echo", "msg_id": 9}}`, `{"src": "g", "dest": "c", "body": {"type": "error", "in_reply_to": 9, "text": "the type is neither init nor api_request"}}`},
		{"type of another type", `{"type": 1, "msg_id": "m"}`, `{"type": "error", "in_reply_to": "m", "text": "\"type\" is not a string"}`},
		{"body missing", `{"src": "c", "dest": "g"}`, `{"src": "g", "dest": "c", "body": {"type": "error", "text": "\"body\" is missing"}}`},
		{"body no object", `{"src": "c", "body": "b"}`, `{"dest": "c", "body": {"type": "error", "text": "\"body\" is not a JSON object"}}`},
		{"an empty object", `{}`, fault(`\"type\" is missing`)},
		{"an array", `[{"type": "init"}]`, fault("the message is not a JSON object")},
		{"a number", `12`, fault("the message is not a JSON object")},
		{"a repeated name", `{"type": "init", "msg_id": 1, "msg_id": 2}`, fault("malformed JSON: an object names a field twice")},
		{"a repeated name deep inside", `{"type": "init", "x": [{"a": 1, "\u0061": 2}]}`, fault("malformed JSON: an object names a field twice")},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := serve(t, test.in); got != test.want+"\n" {
				t.Errorf("answered\n%swant\n%s", got, test.want)
			}
		})
	}
}

func TestInitKey(t *testing.T) {
	for _, test := range []struct {
		name, field string
		want        []string
	}{
		{"absent changes nothing", ``, nil},
		{"null changes nothing", `, "jwt_public_key": null`, nil},
		{"a string as it is", `, "jwt_public_key": "a\u0062\n"`, []string{"ab\n"}},
		{"a JWK as its text", `, "jwt_public_key": {"kty": "OKP"}`, []string{`{"kty": "OKP"}`}},
		{"an empty string is no secret", `, "jwt_public_key": ""`, []string{""}},
		{"a number is no secret", `, "jwt_public_key": 1`, []string{""}},
		{"an array is no secret", `, "jwt_public_key": ["k"]`, []string{""}},
		{"false is no secret", `, "jwt_public_key": false`, []string{""}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var keys []string
			s := newServer(io.Discard)
			s.init = func(key string) authz.Decider {
				keys = append(keys, key)
				return s.decider
			}
			var out bytes.Buffer
			if err := s.Serve(t.Context(), strings.NewReader(`{"type": "init", "msg_id": 1`+test.field+`}`), &out); err != nil {
				t.Fatal(err)
			}
			if got, want := out.String(), `{"type": "init_ok", "in_reply_to": 1}`+"\n"; got != want {
				t.Errorf("answered %swant %s", got, want)
			}
			if fmt.Sprintf("%q", keys) != fmt.Sprintf("%q", test.want) {
				t.Errorf("Init was given %q, want %q", keys, test.want)
			}
		})
	}
}

// A key that cannot be taken must not leave the former one in use.
func TestInitThatFailsLeavesNothingThatGrants(t *testing.T) {
	for name, init := range map[string]func(string) authz.Decider{
		"nil":   func(string) authz.Decider { return nil },
		"panic": func(string) authz.Decider { panic("init") },
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(io.Discard)
			s.init = init
			var out bytes.Buffer
			in := `{"type": "init", "jwt_public_key": "k"} {"type": "api_request", "method": "GET", "path": "/public"}`
			if err := s.Serve(t.Context(), strings.NewReader(in), &out); err != nil {
				t.Fatal(err)
			}
			want := lines(`{"type": "init_ok"}`, `{"type": "api_response", "status": 503, "error": "Authorization temporarily unavailable"}`)
			if got := out.String(); got != want {
				t.Errorf("answered\n%swant\n%s", got, want)
			}
		})
	}
}

func TestInitReplacesTheDecider(t *testing.T) {
	s := newServer(io.Discard)
	s.decider = decider(func(context.Context, *authz.Request) authz.Decision {
		return authz.Decision{Reason: authz.ReasonForbidden}
	})
	var out bytes.Buffer
	request := `{"type": "api_request", "method": "GET", "path": "/public"}`
	if err := s.Serve(t.Context(), strings.NewReader(lines(request, `{"type": "init", "jwt_public_key": "k"}`, request)), &out); err != nil {
		t.Fatal(err)
	}
	want := lines(`{"type": "api_response", "status": 403, "error": "Forbidden"}`, `{"type": "init_ok"}`, `{"type": "api_response", "status": 200, "service": "docs"}`)
	if got := out.String(); got != want {
		t.Errorf("answered\n%swant\n%s", got, want)
	}
}

func TestPanicIs503AndTheStreamGoesOn(t *testing.T) {
	var log, out bytes.Buffer
	s := newServer(&log)
	engine := s.decider
	s.decider = decider(func(ctx context.Context, r *authz.Request) authz.Decision {
		if r.Method == "PANIC" {
			panic("decider")
		}
		return engine.Decide(ctx, r)
	})
	in := lines(`{"src": "c", "body": {"type": "api_request", "msg_id": 1, "method": "PANIC", "path": "/"}}`, `{"type": "init"}`)
	if err := s.Serve(t.Context(), strings.NewReader(in), &out); err != nil {
		t.Fatal(err)
	}
	want := lines(`{"dest": "c", "body": {"type": "api_response", "in_reply_to": 1, "status": 503, "error": "Authorization temporarily unavailable"}}`, `{"type": "init_ok"}`)
	if got := out.String(); got != want {
		t.Errorf("answered\n%swant\n%s", got, want)
	}
	if !strings.Contains(log.String(), `"panic":"decider"`) || !strings.Contains(log.String(), "server_test.go") {
		t.Errorf("the log has no panic with its stack: %s", log.String())
	}
}

func TestZeroDecisionIsRefused(t *testing.T) {
	s := newServer(io.Discard)
	s.decider = decider(func(context.Context, *authz.Request) authz.Decision {
		return authz.Decision{Reason: authz.ReasonGranted, Rule: authz.Rule{Service: "s"}, Identity: &authz.Identity{Principal: admin}}
	})
	var out bytes.Buffer
	if err := s.Serve(t.Context(), strings.NewReader(`{"type": "api_request", "method": "GET", "path": "/"}`), &out); err != nil {
		t.Fatal(err)
	}
	if want := `{"type": "api_response", "status": 503, "error": "Authorization temporarily unavailable"}` + "\n"; out.String() != want {
		t.Errorf("answered %swant %s", out.String(), want)
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

func TestServeReturnsTheErrorOfAStream(t *testing.T) {
	broken := errors.New("broken stream")
	if err := newServer(io.Discard).Serve(t.Context(), strings.NewReader("1 "), failingWriter{broken}); !errors.Is(err, broken) {
		t.Errorf("a failed write: Serve = %v", err)
	}
	in := io.MultiReader(strings.NewReader(`{"type":`), errReader{broken})
	if err := newServer(io.Discard).Serve(t.Context(), in, io.Discard); !errors.Is(err, broken) {
		t.Errorf("a failed read: Serve = %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := newServer(io.Discard).Serve(ctx, strings.NewReader("1 "), io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("an ended context: Serve = %v", err)
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }
