package extauthz

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/door/doortest"
	"github.com/passgate/passgate/internal/policy"
	"github.com/passgate/passgate/internal/problem"
)

var routes = policy.Options{Default: authz.AccessDeny, Routes: []policy.Route{
	{Name: "docs", Path: "/docs/**", Access: authz.AccessPublic},
	{Name: "read", Methods: []string{"GET"}, Path: "/api/users/{id}", Service: "users-service", Permissions: []string{"read"}},
	{Name: "delete", Methods: []string{"DELETE"}, Path: "/api/users/{id}", Permissions: []string{"delete"}},
	{Name: "strip", Path: "/strip", StripCredentials: true},
}}

func newServer(t testing.TB, d authz.Decider) (*Server, *bytes.Buffer) {
	var log bytes.Buffer
	return New(d, slog.New(slog.NewJSONHandler(&log, nil))), &log
}

// encoding is one of the two ways in which Envoy tells the headers.
type encoding struct {
	name string
	set  func(http *authv3.AttributeContext_HttpRequest, lines []authz.Header)
}

var encodings = []encoding{
	{"headers", func(http *authv3.AttributeContext_HttpRequest, lines []authz.Header) {
		http.Headers = map[string]string{}
		for _, l := range lines {
			name := strings.ToLower(l.Name)
			if earlier, repeat := http.Headers[name]; repeat {
				http.Headers[name] = earlier + "," + l.Value
			} else {
				http.Headers[name] = l.Value
			}
		}
	}},
	{"header_map", func(http *authv3.AttributeContext_HttpRequest, lines []authz.Header) {
		http.HeaderMap = &corev3.HeaderMap{}
		for _, l := range lines {
			http.HeaderMap.Headers = append(http.HeaderMap.Headers, &corev3.HeaderValue{Key: strings.ToLower(l.Name), RawValue: []byte(l.Value)})
		}
	}},
}

// hiddenPath is header_map where allowed_headers keeps :path to itself.
var hiddenPath = encoding{"header_map without :path", func(http *authv3.AttributeContext_HttpRequest, lines []authz.Header) {
	encodings[1].set(http, slices.DeleteFunc(slices.Clone(lines), func(h authz.Header) bool { return strings.HasPrefix(h.Name, ":") }))
	http.HeaderMap.Headers = append(http.HeaderMap.Headers, &corev3.HeaderValue{Key: "accept", RawValue: []byte("*/*")})
}}

// checkRequest is what Envoy sends for a request with these header lines, "Name: value".
func checkRequest(e encoding, method, path string, headers ...string) *authv3.CheckRequest {
	http := &authv3.AttributeContext_HttpRequest{Method: method, Host: "localhost", Path: path}
	lines := []authz.Header{{Name: ":path", Value: path}, {Name: ":method", Value: method}, {Name: ":authority", Value: "localhost"}}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		lines = append(lines, authz.Header{Name: name, Value: value})
	}
	e.set(http, lines)
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{Http: http}}}
}

const reader = "Authorization: Bearer a.reader.token"

func check(t testing.TB, s *Server, in *authv3.CheckRequest) *authv3.CheckResponse {
	t.Helper()
	out, err := s.Check(t.Context(), in)
	if err != nil || out == nil {
		t.Fatalf("Check = %v, %v", out, err)
	}
	return out
}

func TestCheckGrants(t *testing.T) {
	s, _ := newServer(t, doortest.Engine(t, routes))
	for _, e := range encodings {
		t.Run(e.name, func(t *testing.T) {
			out := check(t, s, checkRequest(e, "GET", "/api/users/1?q=%2f", reader, "X-User-ID: root", "X_User_ID: root", "X-Request-ID: id-1"))
			ok := out.GetOkResponse()
			if out.GetStatus().GetCode() != 0 || ok == nil {
				t.Fatalf("not allowed: %v", out)
			}
			got := map[string]string{}
			for _, h := range ok.GetHeaders() {
				got[h.GetHeader().GetKey()] = h.GetHeader().GetValue()
				//lint:ignore SA1019 Envoy 1.40 looks at the legacy field alone, so that it is unset is the point.
				if h.GetAppendAction() != corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD || h.GetAppend() != nil || len(h.GetHeader().GetRawValue()) > 0 {
					t.Errorf("%v is not an overwrite by value", h)
				}
			}
			for name, want := range map[string]string{"X-User-ID": "ann", "X-User-Role": "member", "X-User-Permissions": "read", "X-Proxy-State": "Ojo="} {
				if got[name] != want {
					t.Errorf("%s = %q, want %q", name, got[name], want)
				}
			}
			if want := []string{"X-Passport-Signature", "x_user_id"}; !slices.Equal(ok.GetHeadersToRemove(), want) {
				t.Errorf("removed %q, want %q", ok.GetHeadersToRemove(), want)
			}
			fields := out.GetDynamicMetadata().GetFields()["passgate"].GetStructValue().AsMap()
			want := map[string]any{
				"user_id": "ann", "roles": []any{"member"}, "permissions": []any{"read"}, "issuer": "https://auth.example.com",
				"route": "read", "service": "users-service", "code": "ok", "request_id": "id-1",
			}
			if fmt.Sprint(fields) != fmt.Sprint(want) {
				t.Errorf("metadata = %v, want %v", fields, want)
			}
		})
	}
}

func TestCheckWithoutPrincipalRemovesAllIdentity(t *testing.T) {
	s, _ := newServer(t, doortest.Engine(t, routes))
	for _, e := range encodings {
		out := check(t, s, checkRequest(e, "GET", "/docs/a", "X-Passport: forged", "x.user.role: root"))
		ok := out.GetOkResponse()
		if ok == nil || len(ok.GetHeaders()) != 0 {
			t.Fatalf("%s: %v", e.name, out)
		}
		for _, name := range []string{"X-User-ID", "X-User-Role", "X-User-Permissions", "X-Passport", "X-Proxy-State", "X-Passport-Signature", "x.user.role"} {
			if !slices.Contains(ok.GetHeadersToRemove(), name) {
				t.Errorf("%s: %s is not removed", e.name, name)
			}
		}
	}
}

func TestCheckStripsCredentials(t *testing.T) {
	s, _ := newServer(t, doortest.Engine(t, routes))
	ok := check(t, s, checkRequest(encodings[0], "GET", "/strip", reader)).GetOkResponse()
	if !slices.Contains(ok.GetHeadersToRemove(), "authorization") {
		t.Errorf("removed %q, want authorization among them", ok.GetHeadersToRemove())
	}
}

func TestCheckDenies(t *testing.T) {
	s, _ := newServer(t, doortest.Engine(t, routes))
	tests := []struct {
		name         string
		method, path string
		headers      []string
		code         codes.Code
		status       int
		word         string
	}{
		{"no credential", "GET", "/api/users/1", nil, codes.Unauthenticated, 401, "missing_credentials"},
		{"bad token", "GET", "/api/users/1", []string{"Authorization: Bearer a.bad.token"}, codes.Unauthenticated, 401, "invalid_token"},
		{"expired token", "GET", "/api/users/1", []string{"Authorization: Bearer an.expired.token"}, codes.Unauthenticated, 401, "token_expired"},
		{"two credentials", "GET", "/api/users/1", []string{reader, reader}, codes.InvalidArgument, 400, "multiple_credentials"},
		{"permission missing", "DELETE", "/api/users/1", []string{reader}, codes.PermissionDenied, 403, "insufficient_permissions"},
		{"no route", "GET", "/admin", []string{reader}, codes.PermissionDenied, 403, "forbidden"},
		{"ambiguous path", "GET", "/docs/../admin", nil, codes.InvalidArgument, 400, "ambiguous_path"},
		{"key set down", "GET", "/api/users/1", []string{"Authorization: Bearer no.keys.here"}, codes.Unavailable, 503, "unavailable"},
	}
	for _, tt := range tests {
		for _, e := range encodings {
			t.Run(tt.name+" in "+e.name, func(t *testing.T) {
				in := checkRequest(e, tt.method, tt.path, append(tt.headers, "X-Request-ID: id-1")...)
				refusal := checkDenied(t, check(t, s, in), tt.code, tt.status)
				var body map[string]any
				if err := json.Unmarshal([]byte(refusal.GetBody()), &body); err != nil || body["code"] != tt.word || body["request_id"] != "id-1" {
					t.Errorf("body = %s (%v)", refusal.GetBody(), err)
				}
				headers := denialHeaders(refusal)
				if headers["Content-Type"] != problem.ContentType || headers["Cache-Control"] != "no-store" {
					t.Errorf("headers = %v", headers)
				}
				if (tt.status == 401) != strings.HasPrefix(headers["WWW-Authenticate"], "Bearer ") && tt.word != "insufficient_permissions" {
					t.Errorf("WWW-Authenticate = %q", headers["WWW-Authenticate"])
				}
				if (tt.status == 503) != (headers["Retry-After"] != "") {
					t.Errorf("Retry-After = %q", headers["Retry-After"])
				}
			})
		}
	}
}

func checkDenied(t testing.TB, out *authv3.CheckResponse, code codes.Code, status int) *authv3.DeniedHttpResponse {
	t.Helper()
	refusal := out.GetDeniedResponse()
	if out.GetStatus().GetCode() != int32(code) || refusal == nil || int(refusal.GetStatus().GetCode()) != status {
		t.Fatalf("got %v, want code %d and status %d", out, code, status)
	}
	if out.GetDynamicMetadata().GetFields()["passgate"] == nil {
		t.Error("a denial without metadata")
	}
	return refusal
}

func denialHeaders(refusal *authv3.DeniedHttpResponse) map[string]string {
	headers := map[string]string{}
	for _, h := range refusal.GetHeaders() {
		headers[h.GetHeader().GetKey()] = h.GetHeader().GetValue()
	}
	return headers
}

func TestDenialOfGRPCClientIsOneLine(t *testing.T) {
	s, _ := newServer(t, doortest.Engine(t, routes))
	tests := []struct {
		contentType, path string
		grpc              bool
		body, grpcStatus  string
	}{
		{"application/grpc", "/strip", true, "Missing credentials", ""},
		{"application/grpc+proto", "/strip", true, "Missing credentials", ""},
		{"application/grpc", "/a/../b", true, "Ambiguous request path", "3"},
		{"application/grpc-web", "/strip", false, "", ""},
		{"application/grpc;charset=utf-8", "/strip", false, "", ""},
		{"Application/gRPC", "/strip", false, "", ""},
	}
	for _, tt := range tests {
		for _, e := range encodings {
			t.Run(tt.contentType+" in "+e.name, func(t *testing.T) {
				refusal := check(t, s, checkRequest(e, "POST", tt.path, "Content-Type: "+tt.contentType)).GetDeniedResponse()
				headers := denialHeaders(refusal)
				if tt.grpc != (headers["Content-Type"] != problem.ContentType) || tt.grpc && refusal.GetBody() != tt.body || headers["grpc-status"] != tt.grpcStatus {
					t.Errorf("body %s, headers %v", refusal.GetBody(), headers)
				}
			})
		}
	}
}

// A header_map may hold texts in place of bytes.
func TestHeaderMapOfTexts(t *testing.T) {
	s, _ := newServer(t, doortest.Engine(t, routes))
	in := checkRequest(encodings[1], "GET", "/strip", reader)
	for _, h := range in.GetAttributes().GetRequest().GetHttp().GetHeaderMap().GetHeaders() {
		h.Value, h.RawValue = string(h.GetRawValue()), nil
	}
	if out := check(t, s, in); out.GetOkResponse() == nil {
		t.Errorf("denied: %v", out)
	}
}

func TestPathThatEnvoyCouldNotShow(t *testing.T) {
	s, _ := newServer(t, doortest.Engine(t, policy.Options{Default: authz.AccessPublic}))
	for _, e := range encodings {
		in := checkRequest(e, "GET", "/a\xe9b")
		in.GetAttributes().GetRequest().GetHttp().Path = "/a!b" // as Envoy writes it
		checkDenied(t, check(t, s, in), codes.InvalidArgument, 400)
	}
}

// In the headers encoding "!" may stand for any byte; over HTTP/1 Envoy itself has refused the others.
func TestExclamationMarkInPath(t *testing.T) {
	s, _ := newServer(t, doortest.Engine(t, policy.Options{Default: authz.AccessPublic}))
	tests := []struct {
		encoding encoding
		protocol string
		path     string
		want     codes.Code
	}{
		{encodings[0], "HTTP/2", "/a!b", codes.InvalidArgument},
		{encodings[0], "HTTP/3", "/a!b", codes.InvalidArgument},
		{encodings[0], "", "/a!b", codes.InvalidArgument},
		{encodings[0], "HTTP/1.1", "/a!b", codes.OK},
		{encodings[0], "HTTP/2", "/ab?c!d", codes.OK},
		{encodings[1], "HTTP/2", "/a!b", codes.OK},
		{hiddenPath, "HTTP/2", "/a!b", codes.InvalidArgument},
		{hiddenPath, "HTTP/2", "/ab", codes.OK},
	}
	for _, tt := range tests {
		t.Run(tt.protocol+tt.path+" in "+tt.encoding.name, func(t *testing.T) {
			in := checkRequest(tt.encoding, "GET", tt.path)
			in.Attributes.Request.Http.Protocol = tt.protocol
			if out := check(t, s, in); out.GetStatus().GetCode() != int32(tt.want) {
				t.Errorf("got %v, want code %d", out, tt.want)
			}
		})
	}
}

func TestFilteredHeadersAreRemovedUnseen(t *testing.T) {
	s, log := newServer(t, doortest.Engine(t, routes))
	in := checkRequest(encodings[0], "GET", "/docs/a")
	in.GetAttributes().GetRequest().GetHttp().Headers = map[string]string{"authorization": "x"}
	for range 3 {
		ok := check(t, s, in).GetOkResponse()
		for _, name := range []string{"X-User-ID", "x_user_id", "x.user_id", "x_passport", "x-original-url"} {
			if !slices.Contains(ok.GetHeadersToRemove(), name) {
				t.Errorf("%s is not removed", name)
			}
		}
	}
	if n := strings.Count(log.String(), "WARN"); n != 1 {
		t.Errorf("warned %d times, want once: %s", n, log)
	}
}

func TestContextExtensionsAddRequirements(t *testing.T) {
	s, _ := newServer(t, doortest.Engine(t, routes))
	tests := []struct {
		name, path, required string
		headers              []string
		want                 codes.Code
	}{
		{"on a public route without a credential", "/docs/a", "read", nil, codes.Unauthenticated},
		{"on a public route, held", "/docs/a", "read", []string{reader}, codes.OK},
		{"on a public route, not held", "/docs/a", "read,delete", []string{reader}, codes.PermissionDenied},
		{"beside the route's own", "/api/users/1", "delete", []string{reader}, codes.PermissionDenied},
		{"empty", "/docs/a", "", nil, codes.OK},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := checkRequest(encodings[1], "GET", tt.path, tt.headers...)
			in.Attributes.ContextExtensions = map[string]string{"required_permission": tt.required}
			if out := check(t, s, in); out.GetStatus().GetCode() != int32(tt.want) {
				t.Errorf("got %v, want code %d", out, tt.want)
			}
		})
	}
}

// doortest.DecideFunc stands in for an engine where a test needs a fault.
func TestEmptyAndFaultyCallsAreDenials(t *testing.T) {
	open := doortest.Engine(t, policy.Options{Default: authz.AccessPublic})
	panics := doortest.DecideFunc(func(context.Context, *authz.Request) authz.Decision { panic("forced") })
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancelLate := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancelLate()
	good := checkRequest(encodings[0], "GET", "/a")
	tests := []struct {
		name    string
		ctx     context.Context
		decider authz.Decider
		in      *authv3.CheckRequest
		want    codes.Code
	}{
		{"nil request", t.Context(), open, nil, codes.InvalidArgument},
		{"empty request", t.Context(), open, &authv3.CheckRequest{}, codes.InvalidArgument},
		{"nil attributes", t.Context(), open, &authv3.CheckRequest{Attributes: nil}, codes.InvalidArgument},
		{"empty attributes", t.Context(), open, &authv3.CheckRequest{Attributes: &authv3.AttributeContext{}}, codes.InvalidArgument},
		{"no HTTP request", t.Context(), open, &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{}}}, codes.InvalidArgument},
		{"panic", t.Context(), panics, good, codes.Unavailable},
		{"cancelled", cancelled, open, good, codes.Unavailable},
		{"late", late, open, good, codes.Unavailable},
		{"zero decision", t.Context(), doortest.DecideFunc(func(context.Context, *authz.Request) authz.Decision { return authz.Decision{} }), good, codes.Unavailable},
		{"granted reason without a grant", t.Context(),
			doortest.DecideFunc(func(context.Context, *authz.Request) authz.Decision {
				return authz.Decision{Reason: authz.ReasonGranted}
			}), good, codes.Unavailable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, _ := newServer(t, tt.decider)
			out, err := s.Check(tt.ctx, tt.in)
			if err != nil {
				t.Fatal(err)
			}
			if out.GetStatus().GetCode() != int32(tt.want) || out.GetDeniedResponse().GetStatus().GetCode() < 400 {
				t.Errorf("got %v, want a denial with code %d", out, tt.want)
			}
		})
	}
	// What all of them are compared with: the same request is allowed where nothing is amiss.
	s, _ := newServer(t, open)
	if out := check(t, s, good); out.GetStatus().GetCode() != 0 {
		t.Fatalf("the good request is refused: %v", out)
	}
}

func TestPanicIsLoggedWithItsStack(t *testing.T) {
	s, log := newServer(t, doortest.DecideFunc(func(context.Context, *authz.Request) authz.Decision { panic("forced") }))
	check(t, s, checkRequest(encodings[0], "GET", "/a"))
	if !strings.Contains(log.String(), "forced") || !strings.Contains(log.String(), "extauthz_test.go") {
		t.Errorf("log = %s", log)
	}
}

// A response that cannot be sent is a gRPC error, which Envoy may be told to take as an allow.
func mustMarshal(t testing.TB, out *authv3.CheckResponse) {
	t.Helper()
	if _, err := proto.Marshal(out); err != nil {
		t.Fatalf("the response cannot be sent: %v", err)
	}
}
