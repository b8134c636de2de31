package e2e

import (
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/door/httpauthz"
)

// httpServiceFile is envoy/http_service.yaml, with its time-outs stretched like those of [shippedFile].
func httpServiceFile(t *testing.T) *envoyFile {
	t.Helper()
	b, err := os.ReadFile("../../envoy/http_service.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return (&envoyFile{t, string(b)}).
		replace("timeout: 0.25s #", "timeout: 10s #").
		replace("max_interval: 0.12s", "max_interval: 5s").
		replace("{address: 127.0.0.1, port_value: 9192}", "{address: 127.0.0.1, port_value: 9191}")
}

// carelessHTTPServiceFile is testdata/careless.yaml with an http_service, and with these lines more: of the
// filter, and of its authorization_response.
func carelessHTTPServiceFile(t *testing.T, filter, response string) *envoyFile {
	t.Helper()
	f := carelessFile(t).
		replace("grpc_service:\n                        timeout: 5s # a busy machine must not look like a denial\n                        envoy_grpc: {cluster_name: passgate}",
			"http_service:\n                        server_uri: {uri: \"http://passgate\", cluster: passgate, timeout: 5s}\n                        path_prefix: /envoy/authz\n"+
				"                        authorization_response: {"+response+"}").
		replace("      typed_extension_protocol_options:\n        envoy.extensions.upstreams.http.v3.HttpProtocolOptions:\n"+
			"          \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions\n          explicit_http_config:\n            http2_protocol_options: {}\n", "")
	if filter != "" {
		f.extAuthz(filter)
	}
	return f
}

// What http_service.yaml sets of the filter, for an Envoy that is careless in all else.
const (
	showAliases = "allowed_headers: {patterns: [{exact: content-type}, {safe_regex: {regex: 'x[^a-z0-9].*'}}]}"
	setIdentity = "allowed_upstream_headers: {patterns: [{prefix: x-user-}, {prefix: x-passport}, {exact: x-proxy-state}]}"
	tellDenials = "allowed_client_headers: {patterns: [{exact: content-type}, {exact: cache-control}, {exact: retry-after}, {exact: grpc-status}]}"
)

// httpServices are the configurations that a promise has to hold with.
var httpServices = []struct {
	name string
	file func(*testing.T) *envoyFile
}{
	{"shipped", httpServiceFile},
	{"careless", func(t *testing.T) *envoyFile { return carelessHTTPServiceFile(t, showAliases, setIdentity) }},
	{"careless with raw headers", func(t *testing.T) *envoyFile {
		return carelessHTTPServiceFile(t, showAliases, setIdentity+", "+tellDenials).rawHeaders()
	}},
}

// httpStack is Envoy with passgate's HTTP door beside it and a recording upstream behind it.
type httpStack struct {
	*envoy
	passgate *configured
	upstream *upstream
}

func startHTTPStack(t *testing.T, f *envoyFile, routes string) *httpStack {
	t.Helper()
	needPrograms(t)
	nobody := newKeyServer(t) // who is never started
	s := &httpStack{upstream: startUpstream(t)}
	s.passgate = startConfigured(t, remoteIssuersAnd(routes, remoteIssuer("partner", partner, fmt.Sprintf("jwks_url: %q", nobody.url("/jwks")))), nil)
	s.envoy = s.passgate.behindHTTP(t, f, s.upstream.addr)
	return s
}

// judged returns the line of the decision log about what the upstream got.
func (s *httpStack) judged(t *testing.T, request *received) map[string]any {
	t.Helper()
	ids := request.values("x-request-id")
	if len(ids) != 1 {
		t.Fatalf("the upstream got the request ids %q", ids)
	}
	line := s.passgate.logLine(t, ids[0])
	if n := len(logLines(t, s.passgate.log(), ids[0])); n != 1 || line["door"] != "httpauthz" {
		t.Errorf("%s %s: judged %d times, by %v", request.method, request.target, n, line["door"])
	}
	return line
}

// credential returns the header lines of a client at a door of [doors].
func (s *httpStack) credential(t *testing.T, door string) []string {
	if strings.Contains(door, "without") || door == "public" {
		return nil
	}
	return []string{userToken(t)}
}

func userToken(t *testing.T) string { return bearer(t, user("read", "write")) }

func TestHTTPServiceForgedHeaderNeverReachesUpstream(t *testing.T) {
	for _, e := range httpServices {
		t.Run(e.name, func(t *testing.T) {
			s := startHTTPStack(t, e.file(t), policy)
			for _, door := range doors {
				credential := s.credential(t, door.name)
				for _, name := range spoofs() {
					what := door.name + ", " + name
					answer := get(t, s.addr, door.path, append(slices.Clip(credential), name+": evil", name+": evil")...)
					mustStopSpoof(t, what, e.name == "shipped" && hasUnderscore(name), answer, s.upstream, door.principal)
				}
				fields := []line{{":path", door.path}, {"x-user-id", "evil"}, {"x-user~id", "evil"}, {"x-passport", "evil"}, {"x.proxy.state", "evil"}}
				for _, c := range credential {
					_, token, _ := strings.Cut(c, ": ")
					fields = append(fields, line{"authorization", token})
				}
				what := door.name + " over HTTP/2"
				if answer := sendHTTP2(t, s.addr, fields, nil); answer.status != 200 {
					t.Fatalf("%s: status %d, want 200: %s", what, answer.status, answer.body)
				}
				mustBeOurs(t, what, s.upstream.one(t, what), door.principal)
			}
		})
	}
}

// What the comments of http_service.yaml say of its settings, seen where one is missing.
func TestHTTPServiceSettingsMatter(t *testing.T) {
	forged := []string{userToken(t), "X-User-ID: evil", "X_User_ID: evil", "X.User.ID: evil", "X-User~ID: evil", "X-Original-URL: evil", "X-User-Email: evil"}
	for _, test := range []struct {
		name, filter, response string
		reach                  []string // what a client forged, and the upstream gets
		userID                 []string
	}{
		{"all set", showAliases, setIdentity, nil, []string{"user-1"}},
		{"aliases are not shown", "", setIdentity, []string{"x-user~id", "x-user-email"}, []string{"user-1"}},
		{"identity is not set", showAliases, "", []string{"x-user-id"}, []string{"evil"}},
		{"identity is appended", showAliases, "allowed_upstream_headers_to_append: {patterns: [{prefix: x-user-}]}", []string{"x-user-id"}, []string{"evil", "user-1"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := startHTTPStack(t, carelessHTTPServiceFile(t, test.filter, test.response), policy)
			if answer := get(t, s.addr, "/private/page", forged...); answer.status != 200 {
				t.Fatalf("status %d: %s", answer.status, answer.body)
			}
			request := s.upstream.one(t, test.name)
			var reached []string
			for _, h := range request.headers {
				if h.value == "evil" {
					reached = append(reached, strings.ToLower(h.name))
				}
			}
			slices.Sort(reached)
			slices.Sort(test.reach)
			if got := request.values("x-user-id"); !slices.Equal(got, test.userID) || !slices.Equal(reached, test.reach) {
				t.Errorf("X-User-ID %q, and of the forged ones %q; want %q and %q", got, reached, test.userID, test.reach)
			}
		})
	}
}

func TestHTTPServiceDenialReachesTheClient(t *testing.T) {
	const invalid = `Bearer realm="passgate", error="invalid_token"`
	userToken, expiredToken := userToken(t), bearer(t, with(user("read"), jwt.MapClaims{"exp": time.Now().Add(-time.Hour).Unix()}))
	tests := []struct {
		name, request string
		headers       []string
		status        int
		code          string
		challenge     string // WWW-Authenticate begins with it
	}{
		{"no credential", "GET /private/page HTTP/1.1", nil, 401, "missing_credentials", `Bearer realm="passgate"`},
		{"POST without a credential", "POST /private/page HTTP/1.1", []string{"Content-Length: 0"}, 401, "missing_credentials", `Bearer realm="passgate"`},
		{"OPTIONS without a credential", "OPTIONS /private/page HTTP/1.1", nil, 401, "missing_credentials", `Bearer realm="passgate"`},
		{"expired token", "GET /private/page HTTP/1.1", []string{expiredToken}, 401, "token_expired", invalid},
		{"bad token", "GET /optional/page HTTP/1.1", []string{"Authorization: Bearer a.b.c"}, 401, "invalid_token", invalid},
		{"two credentials", "GET /private/page HTTP/1.1", []string{userToken, userToken}, 400, "multiple_credentials", ""},
		{"permission missing", "DELETE /api/users/1 HTTP/1.1", []string{userToken}, 403, "insufficient_permissions", `Bearer realm="passgate", error="insufficient_scope"`},
		{"no route", "GET /elsewhere HTTP/1.1", []string{userToken}, 403, "forbidden", ""},
		{"method override", "POST /api/users/1 HTTP/1.1", []string{userToken, "X-HTTP-Method-Override: GET", "Content-Length: 0"}, 403, "forbidden", ""},
		{"ambiguous path", "GET /private;x/page HTTP/1.1", []string{userToken}, 400, "ambiguous_path", ""},
		{"ambiguous host", "GET /private/page HTTP/1.1", []string{userToken, "Host: a.example.com,b.example.com"}, 400, "ambiguous_host", ""},
	}
	for _, e := range httpServices {
		t.Run(e.name, func(t *testing.T) {
			s := startHTTPStack(t, e.file(t), policy)
			for _, test := range tests {
				answer := send(t, s.addr, test.request, test.headers...)
				s.upstream.untouched(t, test.name)
				answer.mustDeny(t, test.name, test.status, test.code)
				if got := answer.header.Values("WWW-Authenticate"); test.challenge == "" && got != nil || test.challenge != "" && (len(got) != 1 || !strings.HasPrefix(got[0], test.challenge)) {
					t.Errorf("%s: WWW-Authenticate %q, want %q", test.name, got, test.challenge)
				}
				if got := answer.header.Values("Cache-Control"); !slices.Equal(got, []string{"no-store"}) {
					t.Errorf("%s: Cache-Control %q", test.name, got)
				}
				p, _ := answer.problem()
				if id := answer.header.Get("X-Request-Id"); e.name == "shipped" && p.RequestID != id {
					t.Errorf("%s: request_id %q, want %q", test.name, p.RequestID, id)
				}
				for name := range answer.header {
					if spoof.MatchString(name) || strings.HasPrefix(name, "X-Envoy-Auth") {
						t.Errorf("%s: the client got %s", test.name, name)
					}
				}
			}
			answer := send(t, s.addr, "HEAD /private/page HTTP/1.1")
			s.upstream.untouched(t, "HEAD")
			if answer.status != 401 || answer.body != "" || !strings.HasPrefix(answer.header.Get("WWW-Authenticate"), "Bearer") {
				t.Errorf("HEAD: %d, %v, %q", answer.status, answer.header, answer.body)
			}
		})
	}
}

// Envoy takes a 5xx for no answer, and what is no answer for a refusal.
func TestHTTPServiceFaultIsARefusal(t *testing.T) {
	for _, e := range httpServices {
		t.Run(e.name, func(t *testing.T) {
			want := 403 // Envoy's default
			if e.name == "shipped" {
				want = 503
			}
			s := startHTTPStack(t, e.file(t), policy)
			must := func(what string, answer response) {
				t.Helper()
				if answer.status != want || answer.body != "" || answer.header.Get("Location") != "" {
					t.Errorf("%s: status %d, body %q; want Envoy's %d", what, answer.status, answer.body, want)
				}
				s.upstream.untouched(t, what)
			}
			must("no keys", get(t, s.addr, "/private/page", newSigningKey(t).bearer(t, partner)))
			if answer := get(t, s.addr, "/private/page", userToken(t)); answer.status != 200 {
				t.Errorf("another issuer: status %d", answer.status)
			}
			s.upstream.one(t, "another issuer")
			s.passgate.kill(t)
			must("the door is closed", get(t, s.addr, "/public/page"))
			must("the door is closed, a good token", get(t, s.addr, "/private/page", userToken(t)))
		})
	}
}

// deciderFunc is a decider of one function.
type deciderFunc func(*authz.Request) authz.Decision

// Decide implements [authz.Decider].
func (f deciderFunc) Decide(_ context.Context, r *authz.Request) authz.Decision { return f(r) }

// The binary cannot be made to panic: this is its door, with another decider behind.
func TestHTTPServicePanicIsARefusal(t *testing.T) {
	needPrograms(t)
	for _, e := range httpServices {
		t.Run(e.name, func(t *testing.T) {
			u := startUpstream(t)
			server := httptest.NewServer(httpauthz.New(httpauthz.Options{Log: slog.New(slog.DiscardHandler), Decider: deciderFunc(func(r *authz.Request) authz.Decision {
				if strings.HasPrefix(r.Path, "/panic") {
					panic("a fault of this test")
				}
				return authz.Decision{Reason: authz.ReasonForbidden}
			})}))
			t.Cleanup(server.Close)
			envoy := startEnvoy(t, e.file(t), u.addr, server.Listener.Addr().String())
			want := 403 // Envoy's default
			if e.name == "shipped" {
				want = 503
			}
			for range 3 {
				if answer := get(t, envoy.addr, "/panic/now"); answer.status != want || answer.body != "" {
					t.Errorf("a panic: status %d, body %q; want Envoy's %d", answer.status, answer.body, want)
				}
				get(t, envoy.addr, "/public/page").mustDeny(t, "after a panic", 403, "forbidden")
			}
			u.untouched(t, "a panic")
		})
	}
}

// A prefix that is not passgate's denies everything.
func TestHTTPServiceWrongPrefixIsARefusal(t *testing.T) {
	for prefix, code := range map[string]string{"/envoy/authz/": "ambiguous_path", "/envoy": "not_found", "/": "not_found", "/envoy/authz/..": "ambiguous_path"} {
		t.Run(prefix, func(t *testing.T) {
			s := startHTTPStack(t, httpServiceFile(t).replace("path_prefix: /envoy/authz\n", "path_prefix: "+prefix+"\n"), policy)
			for _, request := range []string{"GET /public/page", "OPTIONS /public/page", "HEAD /public/page"} {
				answer := send(t, s.addr, request+" HTTP/1.1", userToken(t))
				s.upstream.untouched(t, request)
				if answer.status != 400 && answer.status != 404 {
					t.Errorf("%s: status %d", request, answer.status)
				}
				if !strings.HasPrefix(request, "HEAD") {
					answer.mustDeny(t, request, answer.status, code)
				}
			}
		})
	}
}

// everything is let through whose path and host have one reading.
const everything = "default_access: public\n"

// The path that was judged is the one that the upstream gets, to the byte, and nothing is ever redirected.
func TestHTTPServicePathIsJudgedAsItIsSent(t *testing.T) {
	for _, e := range httpServices {
		t.Run(e.name, func(t *testing.T) {
			s := startHTTPStack(t, e.file(t), everything)
			for _, path := range slices.Concat(ambiguous, plain) {
				for _, version := range []string{"HTTP/1", "HTTP/2"} {
					what := version + " " + path
					var answer response
					if version == "HTTP/1" {
						answer = get(t, s.addr, path)
					} else {
						answer = sendHTTP2(t, s.addr, []line{{":path", path}}, nil)
					}
					sent := s.upstream.take()
					switch {
					case answer.status == 200:
						if len(sent) != 1 {
							t.Fatalf("%s: sent %d times", what, len(sent))
						}
						if path, _, _ := strings.Cut(sent[0].target, "?"); s.judged(t, sent[0])["path"] != path {
							t.Errorf("%s: judged as %q, and sent as %q", what, s.judged(t, sent[0])["path"], sent[0].target)
						}
						if e.name != "shipped" && slices.Contains(ambiguous, path) {
							t.Errorf("%s: allowed, and the upstream got %q", what, sent[0].target)
						}
					case len(sent) != 0:
						t.Errorf("%s: status %d, and the upstream got %q", what, answer.status, sent[0].target)
					case !answer.reset && answer.status != 400 && answer.status != 404:
						t.Errorf("%s: status %d", what, answer.status)
					case slices.Contains(plain, path) && !strings.Contains(path, "!"):
						t.Errorf("%s: status %d, %q", what, answer.status, answer.body)
					}
				}
			}
		})
	}
}

// Envoy shows an http_service "!" for a byte that is not UTF-8; the upstream would get the byte.
func TestHTTPServiceRawByteInHTTP2PathIsRefused(t *testing.T) {
	for _, e := range httpServices {
		t.Run(e.name, func(t *testing.T) {
			s := startHTTPStack(t, e.file(t), everything)
			for _, path := range []string{"/a\xE9b", "/\xff", "/a\xE9?x", "/public/..\xc0\xafprivate", "/\xed\xa0\x80"} {
				what := fmt.Sprintf("%q", path)
				answer := sendHTTP2(t, s.addr, []line{{":path", path}}, nil)
				if !answer.reset && answer.status != 400 {
					t.Errorf("%s: status %d", what, answer.status)
				}
				s.upstream.untouched(t, what)
			}
		})
	}
}

func TestHTTPServiceMethodAndBodyGoOnAsTheyAre(t *testing.T) {
	for _, e := range httpServices {
		t.Run(e.name, func(t *testing.T) {
			s := startHTTPStack(t, e.file(t), policy)
			for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"} {
				headers := []string{userToken(t), "Content-Type: text/plain"}
				if method == "POST" || method == "PUT" {
					headers = append(headers, "Content-Length: 5\r\nHost: api.example.com\r\n\r\nhello")
				}
				answer := send(t, s.addr, method+" /private/page?q=%2f HTTP/1.1", headers...)
				if answer.status != 200 {
					t.Errorf("%s: status %d, %q", method, answer.status, answer.body)
					continue
				}
				request := s.upstream.one(t, method)
				if request.method != method || request.target != "/private/page?q=%2f" {
					t.Errorf("%s: the upstream got %s %s", method, request.method, request.target)
				}
				mustBeOurs(t, method, request, true)
				if asked := s.judged(t, request); asked["method"] != method || asked["path"] != "/private/page" {
					t.Errorf("%s: judged as %v %v", method, asked["method"], asked["path"])
				}
			}
		})
	}
}

func TestHTTPServiceGRPCClientGetsAGRPCStatus(t *testing.T) {
	_, token, _ := strings.Cut(userToken(t), ": ")
	for _, e := range httpServices {
		t.Run(e.name, func(t *testing.T) {
			s := startHTTPStack(t, e.file(t), policy)
			for _, test := range []struct{ name, path, authorization, status, message string }{
				{"no credential", "/private/Call", "", "16", "Missing credentials"},
				{"bad token", "/private/Call", "Bearer a.b.c", "16", "Invalid or expired token"},
				{"no route", "/elsewhere/Call", token, "7", "Forbidden"},
				{"ambiguous path", "/private;x/Call", token, "3", "Ambiguous request path"},
				{"two credentials", "/private/Call", token + ", " + token, "3", "More than one credential"},
			} {
				for _, contentType := range []string{"application/grpc", "application/grpc+proto"} {
					fields := []line{{":method", "POST"}, {":path", test.path}, {"content-type", contentType}, {"te", "trailers"}}
					if test.authorization != "" {
						fields = append(fields, line{"authorization", test.authorization})
					}
					answer := sendHTTP2(t, s.addr, fields, nil)
					s.upstream.untouched(t, test.name)
					status, message, kind := answer.header.Get("Grpc-Status"), answer.header.Get("Grpc-Message"), answer.header.Values("Content-Type")
					if answer.status != 200 || status != test.status || message != test.message || answer.body != "" || !slices.Equal(kind, []string{"application/grpc"}) {
						t.Errorf("%s, %s: HTTP %d %q, grpc-status %q, grpc-message %q; want 200, %q, %q",
							test.name, contentType, answer.status, kind, status, message, test.status, test.message)
					}
				}
			}
			for _, contentType := range []string{"application/grpc-web", "Application/gRPC", "application/grpc;charset=utf-8"} {
				answer := sendHTTP2(t, s.addr, []line{{":method", "POST"}, {":path", "/private/Call"}, {"content-type", contentType}}, nil)
				answer.mustDeny(t, contentType, 401, "missing_credentials")
			}
		})
	}
}
