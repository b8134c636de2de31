package httpauthz

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/door/doortest"
	"github.com/passgate/passgate/internal/policy"
)

var routes = policy.Options{Default: authz.AccessDeny, Routes: []policy.Route{
	{Name: "docs", Path: "/docs/**", Access: authz.AccessPublic},
	{Name: "read", Methods: []string{"GET"}, Path: "/api/users/{id}", Permissions: []string{"read"}},
	{Name: "delete", Methods: []string{"DELETE"}, Path: "/api/users/{id}", Permissions: []string{"delete"}},
	{Name: "strip", Path: "/strip", StripCredentials: true},
}}

const reader = "Authorization: Bearer a.reader.token"

// witness passes questions on to an engine and remembers the last one.
type witness struct {
	authz.Decider
	asked *authz.Request
}

func (w *witness) Decide(ctx context.Context, r *authz.Request) authz.Decision {
	w.asked = r
	return w.Decider.Decide(ctx, r)
}

// door is a handler behind a real server.
type door struct {
	address string
	log     bytes.Buffer
}

func open(t *testing.T, decider authz.Decider) *door {
	t.Helper()
	d := &door{}
	s := httptest.NewUnstartedServer(New(Options{Decider: decider, Log: slog.New(slog.NewTextHandler(&d.log, nil))}))
	s.Config.DisableGeneralOptionsHandler = true
	s.Start()
	t.Cleanup(s.Close)
	d.address = s.Listener.Addr().String()
	return d
}

// ask sends "METHOD TARGET" and header lines as they are, and returns the answer.
func (d *door) ask(t *testing.T, requestLine string, headers ...string) (*http.Response, string) {
	t.Helper()
	c, err := net.Dial("tcp", d.address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if !slices.ContainsFunc(headers, func(h string) bool { return strings.HasPrefix(h, "Host:") }) {
		headers = append(headers, "Host: api.example.com")
	}
	_, _ = io.WriteString(c, requestLine+" HTTP/1.1\r\n"+strings.Join(headers, "\r\n")+"\r\n\r\n")
	method, _, _ := strings.Cut(requestLine, " ")
	answer, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%s: %v", requestLine, err)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatalf("%s: %v", requestLine, err)
	}
	return answer, string(body)
}

func TestAllow(t *testing.T) {
	d := open(t, doortest.Engine(t, routes))
	// The six names, those of each in other spellings, and the overrides: 5 of the latter, and of the names with
	// one dash two more spellings, of those with two eight.
	const unseen = 5 + 2 + 5*8
	for _, tt := range []struct {
		name, request string
		headers       []string
		want          map[string]string // the identity headers
		removed       []string          // among others
		lines         int               // of the removal
	}{
		{"with a principal", "GET /envoy/authz/api/users/1?x=/../y", []string{reader},
			map[string]string{"X-User-Id": "ann", "X-User-Role": "member", "X-User-Permissions": "read", "X-Proxy-State": "Ojo=", "X-Passport": ""},
			[]string{"x-passport-signature", "x_user_id", "x.user-role", "x-original-url"}, unseen + 1},
		{"with a principal, and aliases that Envoy shows", "GET /envoy/authz/api/users/1",
			[]string{reader, "X-User~ID: root", "x-USER~id: root", "X|Passport: y", "X_User_ID: root", "X-User-ID: root", "X-Accept: z"},
			map[string]string{"X-User-Id": "ann", "X-User-Role": "member", "X-User-Permissions": "read", "X-Proxy-State": "Ojo=", "X-Passport": ""},
			[]string{"x-passport-signature", "x_user_id", "x-user~id", "x|passport"}, unseen + 3},
		{"without a principal", "POST /envoy/authz/docs/a", []string{reader}, nil,
			[]string{"x-user-id", "x-user-role", "x-user-permissions", "x-passport", "x-passport-signature", "x-proxy-state"}, unseen + 6},
		{"without the credential", "GET /envoy/authz/strip", []string{reader},
			map[string]string{"X-User-Id": "ann", "X-User-Role": "member", "X-User-Permissions": "read", "X-Proxy-State": "Ojo=", "X-Passport": ""},
			[]string{"authorization"}, unseen + 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			answer, body := d.ask(t, tt.request, append(tt.headers, "X-Other: echo", "Content-Type: application/grpc")...)
			if answer.StatusCode != 200 || body != "" {
				t.Fatalf("answered %d, %q", answer.StatusCode, body)
			}
			header := answer.Header
			removed := strings.Split(header.Get("X-Envoy-Auth-Headers-To-Remove"), ",")
			for _, name := range tt.removed {
				if !slices.Contains(removed, name) {
					t.Errorf("%s is not removed", name)
				}
			}
			if len(removed) != tt.lines || len(slices.Compact(slices.Clone(removed))) != tt.lines {
				t.Errorf("%d names are removed, want %d: %q", len(removed), tt.lines, removed)
			}
			for name, want := range tt.want {
				if got := header[name]; len(got) != 1 || want != "" && got[0] != want || slices.Contains(removed, strings.ToLower(name)) {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			if header.Get("Cache-Control") != "no-store" {
				t.Errorf("Cache-Control: %q", header["Cache-Control"])
			}
			// Date and Content-Length are the server's.
			if len(header) != len(tt.want)+4 || header.Get("Date") == "" || header.Get("Content-Length") != "0" {
				t.Errorf("headers = %q", header)
			}
		})
	}
}

// What the engine is asked about are the bytes that follow the prefix, whatever they are.
func TestTargetIsReadRaw(t *testing.T) {
	for _, path := range []string{
		"/", "//", "//a", "/a//b", "/../a", "/a/..", "/./a", "/%2e%2e/a", "/a%2fb", "/a%2Fb", "/a%5cb", `/a\b`, "/a;b", "/a%00b", "/%41", "/a|b{}", "/a#b",
		"/envoy/authz/a", "/a:b@c", "/http://evil.example.com/", "/\xc3\xa9", "/\xff", "/docs/a",
	} {
		w := &witness{Decider: doortest.Engine(t, routes)}
		answer, _ := open(t, w).ask(t, "GET "+Prefix+path+"?q=%2f!&r=?", "Host: API.example.com:80")
		if w.asked == nil || w.asked.Path != path || w.asked.Malformed != "" || w.asked.Host != "API.example.com:80" || w.asked.Context != nil || !w.asked.HeadersFiltered {
			t.Errorf("%q is asked as %+v", path, w.asked)
		}
		if want := path == "/docs/a"; (answer.StatusCode == 200) != want || answer.StatusCode < 400 && !want {
			t.Errorf("%q is answered %d", path, answer.StatusCode)
		}
	}
}

func TestDenial(t *testing.T) {
	const (
		anonymous = `Bearer realm="passgate"`
		invalid   = anonymous + `, error="invalid_token", error_description="Invalid or expired token"`
		expired   = anonymous + `, error="invalid_token", error_description="Token expired"`
		scope     = anonymous + `, error="insufficient_scope", error_description="Insufficient permissions"`
	)
	d := open(t, doortest.Engine(t, routes))
	for _, tt := range []struct {
		name, request string
		headers       []string
		status        int
		code          string
		challenge     string
		grpcStatus    string
		text          string
	}{
		{"no credential", "GET /envoy/authz/strip", nil, 401, "missing_credentials", anonymous, "", "Missing credentials"},
		{"bad token", "GET /envoy/authz/strip", []string{"Authorization: Bearer x.y.z"}, 401, "invalid_token", invalid, "", "Invalid or expired token"},
		{"expired token", "GET /envoy/authz/strip", []string{"Authorization: Bearer an.expired.token"}, 401, "token_expired", expired, "", "Token expired"},
		{"another scheme", "GET /envoy/authz/strip", []string{"Authorization: Basic YTpi"}, 401, "invalid_token", invalid, "", "Invalid or expired token"},
		{"two credentials", "GET /envoy/authz/strip", []string{reader, reader}, 400, "multiple_credentials", "", "3", "More than one credential"},
		{"two credentials as Envoy joins them", "GET /envoy/authz/strip", []string{reader + ",Bearer a.reader.token"}, 400, "multiple_credentials", "", "3", "More than one credential"},
		{"missing permission", "DELETE /envoy/authz/api/users/1", []string{reader}, 403, "insufficient_permissions", scope, "", "Insufficient permissions: required [delete], have [read]"},
		{"another method", "PUT /envoy/authz/api/users/1", []string{reader}, 403, "forbidden", "", "", "Forbidden"},
		{"a method in lower case", "get /envoy/authz/api/users/1", []string{reader}, 403, "forbidden", "", "", "Forbidden"},
		{"a client that names another method", "PUT /envoy/authz/api/users/1", []string{reader, "X-HTTP-Method-Override: GET"}, 403, "forbidden", "", "", "Forbidden"},
		{"a client that names another path", "GET /envoy/authz/elsewhere", []string{reader, "X-Original-URL: /docs/a", "X-Envoy-Original-Path: /docs/a"}, 403, "forbidden", "", "", "Forbidden"},
		{"no route", "GET /envoy/authz/elsewhere", []string{reader}, 403, "forbidden", "", "", "Forbidden"},
		{"no keys", "GET /envoy/authz/strip", []string{"Authorization: Bearer no.keys.here"}, 503, "unavailable", "", "", "Authorization temporarily unavailable"},
		{"ambiguous host", "GET /envoy/authz/docs/a", []string{"Host: a,b"}, 400, "ambiguous_host", "", "3", "Ambiguous request host"},
		{"empty host", "GET /envoy/authz/docs/a", []string{"Host:"}, 400, "ambiguous_host", "", "3", "Ambiguous request host"},
		{"two slashes", "GET /envoy/authz//docs/a", nil, 400, "ambiguous_path", "", "3", "Ambiguous request path"},
		{"dot segments", "GET /envoy/authz/docs/../a", nil, 400, "ambiguous_path", "", "3", "Ambiguous request path"},
		{"dot segments that leave the prefix", "GET /envoy/authz/../../docs/a", nil, 400, "ambiguous_path", "", "3", "Ambiguous request path"},
		{"an encoded slash", "GET /envoy/authz/docs%2fa", nil, 400, "ambiguous_path", "", "3", "Ambiguous request path"},
		{"not UTF-8", "GET /envoy/authz/docs/\xff", nil, 400, "ambiguous_path", "", "3", "Ambiguous request path"},
		{"what Envoy may have made of a byte that is not UTF-8", "GET /envoy/authz/docs/..!!a", nil, 400, "ambiguous_path", "", "3", "Ambiguous request path"},
		{"absolute form", "GET http://api.example.com/envoy/authz/docs/a", nil, 400, "ambiguous_path", "", "3", "Ambiguous request path"},
		{"absolute form without a path", "GET http://api.example.com", nil, 400, "ambiguous_path", "", "3", "Ambiguous request path"},
		{"asterisk form", "OPTIONS *", nil, 400, "ambiguous_path", "", "3", "Ambiguous request path"},
		{"CONNECT", "CONNECT api.example.com:443", nil, 400, "ambiguous_path", "", "3", "Ambiguous request path"},
		{"CONNECT to a path", "CONNECT /envoy/authz/docs/a", nil, 400, "ambiguous_path", "", "3", "Ambiguous request path"},
		{"no prefix", "GET /docs/a", nil, 404, "not_found", "", "", "Not found"},
		{"the root", "GET /", nil, 404, "not_found", "", "", "Not found"},
		{"the prefix alone", "GET /envoy/authz", nil, 404, "not_found", "", "", "Not found"},
		{"the prefix and a query", "GET /envoy/authz?/docs/a", nil, 404, "not_found", "", "", "Not found"},
		{"the prefix and no slash", "GET /envoy/authzdocs/a", nil, 404, "not_found", "", "", "Not found"},
		{"the prefix glued to an asterisk", "OPTIONS /envoy/authz*", nil, 404, "not_found", "", "", "Not found"},
		{"the prefix in capitals", "GET /Envoy/authz/docs/a", nil, 404, "not_found", "", "", "Not found"},
		{"the prefix encoded", "GET /%65nvoy/authz/docs/a", nil, 404, "not_found", "", "", "Not found"},
		{"the prefix behind two slashes", "GET //envoy/authz/docs/a", nil, 404, "not_found", "", "", "Not found"},
		{"the prefix behind dots", "GET /a/../envoy/authz/docs/a", nil, 404, "not_found", "", "", "Not found"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			headers := append(tt.headers, "X-Request-ID: id-1", "X-User-ID: root", "X-Other: echo")
			answer, body := d.ask(t, tt.request, headers...)
			var p struct {
				Status      int
				Code, Error string
				RequestID   string `json:"request_id"`
			}
			if err := json.Unmarshal([]byte(body), &p); err != nil {
				t.Fatalf("answered %d, %q: %v", answer.StatusCode, body, err)
			}
			if answer.StatusCode != tt.status || p.Status != tt.status || p.Code != tt.code || p.Error != tt.text || p.RequestID != "id-1" {
				t.Errorf("answered %d, %s", answer.StatusCode, body)
			}
			mustTell(t, answer, tt.challenge, "application/problem+json", "")

			answer, body = d.ask(t, tt.request, append(headers, "Content-Type: application/grpc+proto")...)
			if answer.StatusCode != tt.status || body != tt.text {
				t.Errorf("a gRPC client is answered %d, %q", answer.StatusCode, body)
			}
			mustTell(t, answer, tt.challenge, "", tt.grpcStatus)
		})
	}
}

// mustTell fails the test unless the headers of a denial are these and no others.
func mustTell(t *testing.T, answer *http.Response, challenge, contentType, grpcStatus string) {
	t.Helper()
	retryAfter := ""
	if answer.StatusCode == 503 {
		retryAfter = "1"
	}
	want := map[string]string{
		"Cache-Control": "no-store", "Content-Type": contentType, "Www-Authenticate": challenge, "Retry-After": retryAfter, "Grpc-Status": grpcStatus,
		"Date": answer.Header.Get("Date"), "Content-Length": answer.Header.Get("Content-Length"),
	}
	for name, value := range want {
		if got := strings.Join(answer.Header[name], "|"); got != value {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
	for name := range answer.Header {
		if _, known := want[name]; !known {
			t.Errorf("the client is told %s: %q", name, answer.Header[name])
		}
	}
}

func TestMethodIsTheClients(t *testing.T) {
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get", "M-SEARCH"} {
		w := &witness{Decider: doortest.Engine(t, routes)}
		d := open(t, w)
		for path, status := range map[string]int{"/docs/a": 200, "/strip": 401} {
			answer, body := d.ask(t, method+" "+Prefix+path)
			if w.asked == nil || w.asked.Method != method || answer.StatusCode != status {
				t.Errorf("%s %s is asked as %+v and answered %d", method, path, w.asked, answer.StatusCode)
			}
			if hasBody := status != 200 && method != "HEAD"; (body != "") != hasBody {
				t.Errorf("%s %s is answered %q", method, path, body)
			}
		}
	}
}

func TestFaultIsADenial(t *testing.T) {
	for name, decide := range map[string]doortest.DecideFunc{
		"nothing":           func(context.Context, *authz.Request) authz.Decision { return authz.Decision{} },
		"an unknown reason": func(context.Context, *authz.Request) authz.Decision { return authz.Decision{Reason: 255} },
		"granted, but not by grant": func(context.Context, *authz.Request) authz.Decision {
			return authz.Decision{Reason: authz.ReasonGranted}
		},
		"headers, but no grant": func(context.Context, *authz.Request) authz.Decision {
			return authz.Decision{Reason: authz.ReasonGranted, Stamp: &authz.Stamp{Set: []authz.Header{{Name: "X-User-ID", Value: "root"}}}, Remove: []string{"a"}}
		},
		"a panic":                   func(context.Context, *authz.Request) authz.Decision { panic("a fault") },
		"a panic that ends answers": func(context.Context, *authz.Request) authz.Decision { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			d := open(t, decide)
			answer, body := d.ask(t, "GET /envoy/authz/docs/a", reader)
			if answer.StatusCode != 503 || !strings.Contains(body, `"unavailable"`) {
				t.Errorf("answered %d, %s", answer.StatusCode, body)
			}
			mustTell(t, answer, "", "application/problem+json", "")
			if strings.Contains(name, "panic") != strings.Contains(d.log.String(), "panicked") {
				t.Errorf("the log says %s", d.log.String())
			}
			if strings.Contains(d.log.String(), "reader") {
				t.Errorf("the log tells the token: %s", d.log.String())
			}
		})
	}
}

// allowed is a decision that the engine has granted, with something in it replaced.
func allowed(t *testing.T, change func(*authz.Decision)) authz.Decider {
	engine := doortest.Engine(t, routes)
	return doortest.DecideFunc(func(ctx context.Context, r *authz.Request) authz.Decision {
		d := engine.Decide(ctx, r)
		change(&d)
		return d
	})
}

func TestAllowWithoutAStampIsADenial(t *testing.T) {
	d := open(t, allowed(t, func(d *authz.Decision) { d.Stamp = nil }))
	if answer, body := d.ask(t, "GET /envoy/authz/docs/a"); answer.StatusCode != 503 {
		t.Errorf("answered %d, %s", answer.StatusCode, body)
	}
}

func TestRemovalNamesEachOnce(t *testing.T) {
	d := open(t, allowed(t, func(d *authz.Decision) { d.Remove = []string{"X-B", "x-a", "x-b", "X-A", "x-c"} }))
	answer, _ := d.ask(t, "GET /envoy/authz/docs/a")
	if got := answer.Header["X-Envoy-Auth-Headers-To-Remove"]; len(got) != 1 || got[0] != "x-a,x-b,x-c" {
		t.Errorf("removed: %q", got)
	}
	d = open(t, allowed(t, func(d *authz.Decision) { d.Remove = nil }))
	answer, _ = d.ask(t, "GET /envoy/authz/docs/a")
	if got := answer.Header["X-Envoy-Auth-Headers-To-Remove"]; answer.StatusCode != 200 || got != nil {
		t.Errorf("answered %d; removed: %q", answer.StatusCode, got)
	}
}

// A caller that has given up gets no late allow.
func TestRequestThatHasEndedIsADenial(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := httptest.NewRecorder()
	New(Options{Decider: doortest.Engine(t, routes), Log: slog.New(slog.DiscardHandler)}).
		ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "/envoy/authz/docs/a", nil))
	if w.Code != 503 {
		t.Errorf("answered %d", w.Code)
	}
}

type unreadable struct{ t *testing.T }

func (b unreadable) Read([]byte) (int, error) { b.t.Error("the body is read"); return 0, io.EOF }
func (b unreadable) Close() error             { return nil }

func TestBodyIsNotRead(t *testing.T) {
	r := httptest.NewRequest("POST", "/envoy/authz/docs/a", unreadable{t})
	w := httptest.NewRecorder()
	New(Options{Decider: doortest.Engine(t, routes), Log: slog.New(slog.DiscardHandler)}).ServeHTTP(w, r)
	if w.Code != 200 {
		t.Errorf("answered %d", w.Code)
	}
	// A body that Envoy sends along, since its filter has with_request_body, is in nobody's way.
	answer, _ := open(t, doortest.Engine(t, routes)).ask(t, "POST /envoy/authz/docs/a", "Content-Length: 5", "Host: a\r\n\r\nhello")
	if answer.StatusCode != 200 {
		t.Errorf("answered %d", answer.StatusCode)
	}
}

// HTTP/2 may bring a host beside its :authority.
func TestHostFieldIsNotShown(t *testing.T) {
	w := &witness{Decider: doortest.Engine(t, routes)}
	r := httptest.NewRequest("GET", "/envoy/authz/docs/a", nil)
	r.Host = "api.example.com"
	r.Header["Host"] = []string{"evil.example.com"}
	r.Header["X-A"] = []string{"1", "2"}
	New(Options{Decider: w, Log: slog.New(slog.DiscardHandler)}).ServeHTTP(httptest.NewRecorder(), r)
	if want := []authz.Header{{Name: "X-A", Value: "1"}, {Name: "X-A", Value: "2"}}; !slices.Equal(w.asked.Headers, want) || w.asked.Host != "api.example.com" {
		t.Errorf("asked %+v", w.asked)
	}
}

func TestMissingPrefixIsLoggedOnce(t *testing.T) {
	d := open(t, doortest.Engine(t, routes))
	for range 3 {
		d.ask(t, "GET /docs/a?token=t", reader)
	}
	if log := d.log.String(); strings.Count(log, "level=WARN") != 1 || !strings.Contains(log, "path_prefix") || strings.Contains(log, "token") {
		t.Errorf("the log says %s", log)
	}
}

func TestNewNeedsItsParts(t *testing.T) {
	for name, o := range map[string]Options{
		"nothing":    {},
		"no log":     {Decider: doortest.Engine(t, routes)},
		"no decider": {Log: slog.New(slog.DiscardHandler)},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: New did not panic", name)
				}
			}()
			New(o)
		}()
	}
}
