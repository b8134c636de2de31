package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

func TestDenialTellsTheClientWhatTheContractSays(t *testing.T) {
	const invalid = `Bearer realm="passgate", error="invalid_token"`
	tests := []struct {
		name, request string
		headers       []string
		status        int
		code, text    string
		challenge     string // WWW-Authenticate begins with it
	}{
		{
			name: "no credential", request: "GET /private/page HTTP/1.1",
			status: 401, code: "missing_credentials", text: "Missing credentials", challenge: `Bearer realm="passgate"`,
		},
		{
			name: "expired token", request: "GET /private/page HTTP/1.1",
			headers: []string{bearer(t, with(user(), jwt.MapClaims{"exp": time.Now().Add(-time.Minute).Unix()}))},
			status:  401, code: "token_expired", text: "Token expired", challenge: invalid,
		},
		{
			name: "foreign issuer", request: "GET /private/page HTTP/1.1",
			headers: []string{bearer(t, with(user(), jwt.MapClaims{"iss": "https://evil.example.com"}))},
			status:  401, code: "invalid_token", text: "Invalid or expired token", challenge: invalid,
		},
		{
			name: "other scheme", request: "GET /private/page HTTP/1.1", headers: []string{"Authorization: Basic dXNlcjpwYXNz"},
			status: 401, code: "invalid_token", text: "Invalid or expired token", challenge: invalid,
		},
		{
			name: "bad token on an optional route", request: "GET /optional/page HTTP/1.1", headers: []string{"Authorization: Bearer a.b.c"},
			status: 401, code: "invalid_token", text: "Invalid or expired token", challenge: invalid,
		},
		{
			name: "permission missing", request: "DELETE /api/users/1 HTTP/1.1", headers: []string{bearer(t, user("read", "write"))},
			status: 403, code: "insufficient_permissions", text: "Insufficient permissions: required [delete], have [read, write]",
			challenge: `Bearer realm="passgate", error="insufficient_scope"`,
		},
		{
			name: "no route", request: "GET /elsewhere HTTP/1.1", headers: []string{bearer(t, user("read"))},
			status: 403, code: "forbidden", text: "Forbidden",
		},
		{
			name: "two Authorization headers", request: "GET /private/page HTTP/1.1",
			headers: []string{bearer(t, user("read")), bearer(t, user("read", "delete"))},
			status:  400, code: "multiple_credentials", text: "More than one credential",
		},
		{
			name: "ambiguous path", request: "GET /private;x/page HTTP/1.1", headers: []string{bearer(t, user("read"))},
			status: 400, code: "ambiguous_path", text: "Ambiguous request path",
		},
		{
			name: "ambiguous host", request: "GET /private/page HTTP/1.1", headers: []string{bearer(t, user("read")), "Host: a.example.com,b.example.com"},
			status: 400, code: "ambiguous_host", text: "Ambiguous request host",
		},
	}
	for _, e := range envoys {
		t.Run(e.name, func(t *testing.T) {
			s := startStack(t, e.file(t), policy)
			for _, test := range tests {
				t.Run(test.name, func(t *testing.T) {
					answer := send(t, s.addr, test.request, test.headers...)
					s.upstream.untouched(t, test.name)
					answer.mustDeny(t, test.name, test.status, test.code)
					body, err := answer.problem()
					if err != nil {
						t.Fatal(err)
					}
					if body.Error != test.text || body.Detail == "" || body.Type == "" || body.Title != http.StatusText(test.status) {
						t.Errorf("body %+v, want error %q, a detail, a type and the title of %d", body, test.text, test.status)
					}
					if body.RequestID == "" {
						t.Error("body has no request_id")
					}
					challenges := answer.header.Values("WWW-Authenticate")
					if test.challenge == "" && len(challenges) > 0 || test.challenge != "" && (len(challenges) != 1 || !strings.HasPrefix(challenges[0], test.challenge)) {
						t.Errorf("WWW-Authenticate %q, want one that begins with %q", challenges, test.challenge)
					}
					if test.code == "missing_credentials" && strings.Contains(challenges[0], "error") {
						t.Errorf("WWW-Authenticate %q names an error where no credential was given (RFC 6750 §3.1)", challenges[0])
					}
					for name := range answer.header {
						if spoof.MatchString(name) {
							t.Errorf("the client got the identity header %s", name)
						}
					}
				})
			}
		})
	}
}

func TestTwoAuthorizationHeadersAreRefusedOverHTTP2Too(t *testing.T) {
	for _, e := range envoys {
		t.Run(e.name, func(t *testing.T) {
			s := startStack(t, e.file(t), policy)
			_, token, _ := strings.Cut(bearer(t, user("read")), ": ")
			answer := sendHTTP2(t, s.addr, []line{{":path", "/private/page"}, {"authorization", token}, {"authorization", token}}, nil)
			answer.mustDeny(t, "two authorization fields", 400, "multiple_credentials")
			s.upstream.untouched(t, "two authorization fields")
		})
	}
}

func TestRequestIDIsTheOneThatTheClientIsTold(t *testing.T) {
	t.Run("made by Envoy", func(t *testing.T) {
		s := startStack(t, shippedFile(t), policy)
		answer := get(t, s.addr, "/private/page", "X-Request-ID: from-the-client")
		body, err := answer.problem()
		if err != nil {
			t.Fatal(err)
		}
		id := answer.requestID(t)
		if body.RequestID != id || id == "from-the-client" {
			t.Errorf("request_id %q, header %q; want the same, and not the client's", body.RequestID, id)
		}
		if got := s.envoy.logLine(t, id)["code"]; got != "missing_credentials" {
			t.Errorf("Envoy's access log has code %v for it, want missing_credentials", got)
		}
		if got := s.passgate.logLine(t, id)["code"]; got != "missing_credentials" {
			t.Errorf("the decision log has code %v for it, want missing_credentials", got)
		}
	})
	preserving := map[string]func(*testing.T) *envoyFile{
		"shipped with preserve_external_request_id": func(t *testing.T) *envoyFile {
			const anchor = "                always_set_request_id_in_response: true\n"
			return shippedFile(t).replace(anchor, anchor+"                preserve_external_request_id: true\n")
		},
		"careless": carelessFile,
	}
	for name, file := range preserving {
		t.Run("kept from the client, "+name, func(t *testing.T) {
			s := startStack(t, file(t), policy)
			body, err := get(t, s.addr, "/private/page", "X-Request-ID: from-the-client").problem()
			if err != nil {
				t.Fatal(err)
			}
			if body.RequestID != "from-the-client" {
				t.Errorf("request_id %q, want the client's", body.RequestID)
			}
		})
	}
}

// A gRPC client reads a status from trailers, not an HTTP status; Envoy makes it from the denial.
func TestGRPCClientGetsAGRPCStatus(t *testing.T) {
	_, token, _ := strings.Cut(bearer(t, user("read")), ": ")
	tests := []struct {
		name, path, authorization string
		status, message           string
	}{
		{"no credential", "/private/Call", "", "16", "Missing credentials"},
		{"bad token", "/private/Call", "Bearer a.b.c", "16", "Invalid or expired token"},
		{"no route", "/elsewhere/Call", token, "7", "Forbidden"},
		{"ambiguous path", "/private;x/Call", token, "3", "Ambiguous request path"},
		{"two credentials", "/private/Call", token + ", " + token, "3", "More than one credential"},
	}
	for _, e := range envoys {
		t.Run(e.name, func(t *testing.T) {
			s := startStack(t, e.file(t), policy)
			for _, test := range tests {
				for _, contentType := range []string{"application/grpc", "application/grpc+proto"} {
					fields := []line{{":method", "POST"}, {":path", test.path}, {"content-type", contentType}, {"te", "trailers"}}
					if test.authorization != "" {
						fields = append(fields, line{"authorization", test.authorization})
					}
					answer := sendHTTP2(t, s.addr, fields, nil)
					s.upstream.untouched(t, test.name)
					status, message := answer.header.Get("Grpc-Status"), answer.header.Get("Grpc-Message")
					if answer.status != 200 || status != test.status || message != test.message {
						t.Errorf("%s, %s: HTTP %d, grpc-status %q, grpc-message %q; want 200, %q, %q",
							test.name, contentType, answer.status, status, message, test.status, test.message)
					}
				}
			}
			// Envoy does not take these for gRPC, so their denial is an HTTP one.
			for _, contentType := range []string{"application/grpc-web", "Application/gRPC", "application/grpc;charset=utf-8"} {
				answer := sendHTTP2(t, s.addr, []line{{":method", "POST"}, {":path", "/private/Call"}, {"content-type", contentType}}, nil)
				answer.mustDeny(t, contentType, 401, "missing_credentials")
			}
		})
	}
}

func TestAccessLogTellsTheDecision(t *testing.T) {
	s := startStack(t, shippedFile(t), policy)
	for _, test := range []struct {
		name, path  string
		headers     []string
		user, route any
		code        string
	}{
		{"allowed", "/api/users/1", []string{bearer(t, user("read"))}, "user-1", "users-read", "ok"},
		{"allowed without a principal", "/public/page", nil, nil, "public", "ok"},
		{"permission missing", "/api/users/1", []string{bearer(t, user("write"))}, "user-1", "users-read", "insufficient_permissions"},
		{"no credential", "/private/page", nil, nil, "private", "missing_credentials"},
		{"ambiguous path", "/a;b", nil, nil, nil, "ambiguous_path"},
	} {
		t.Run(test.name, func(t *testing.T) {
			line := s.envoy.logLine(t, get(t, s.addr, test.path+"?token=query", test.headers...).requestID(t))
			for key, want := range map[string]any{"user_id": test.user, "route": test.route, "code": test.code, "path": test.path} {
				if got := line[key]; got != want && !(want == nil && got == "") {
					t.Errorf("%s %v, want %v", key, got, want)
				}
			}
		})
	}
}
