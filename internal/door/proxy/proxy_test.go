package proxy

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/door/doortest"
	"github.com/passgate/passgate/internal/framing"
	"github.com/passgate/passgate/internal/policy"
)

var routes = policy.Options{Default: authz.AccessAuthenticated, Own: []string{"/v1/auth/login"}, Routes: []policy.Route{
	{Name: "docs", Path: "/docs/**", Access: authz.AccessPublic},
	{Name: "users", Path: "/api/users/{id}", Service: "users-service", Permissions: []string{"read"}},
	{Name: "delete", Methods: []string{"DELETE"}, Path: "/api/orders/{id}", Permissions: []string{"delete"}},
	{Name: "strip", Path: "/strip", StripCredentials: true},
	{Name: "closed", Path: "/closed", Access: authz.AccessDeny},
}}

var denyAll = policy.Options{Default: authz.AccessDeny}

const reader = "Authorization: Bearer a.reader.token"

// door is a handler behind a real server with the framing guard, as in production.
type door struct {
	address string
	handler *Handler
	log     *doortest.Log
}

// open serves a handler until the test ends. Without a decider it asks an engine with the test routes.
func open(t testing.TB, o Options, upstreams map[string]string) *door {
	t.Helper()
	d := &door{log: &doortest.Log{}}
	o.Log = slog.New(slog.NewTextHandler(d.log, nil))
	if o.Decider == nil {
		o.Decider = doortest.Engine(t, routes, "x-user-agent")
	}
	o.Upstreams = map[string]*url.URL{}
	for name, address := range upstreams {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		o.Upstreams[name] = u
	}
	d.handler = New(o)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d.address = l.Addr().String()
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !Owns(r.RequestURI) {
				w.WriteHeader(http.StatusTeapot)
				return
			}
			d.handler.ServeHTTP(w, r)
		}),
		ConnContext: framing.ConnContext,
		Protocols:   &protocols,
		ErrorLog:    slog.NewLogLogger(slog.NewTextHandler(d.log, nil), slog.LevelError),
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(framing.NewListener(l, framing.Options{})) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
		d.handler.CloseIdleConnections()
	})
	return d
}

// raw is an upstream that records what reaches it, byte for byte.
type raw struct {
	address string

	mu       sync.Mutex
	conns    int
	requests []string // head and body of each as they came
	broken   []string // what came and is no request
}

// listen runs an upstream until the test ends; answer writes what it sends back for the n-th request of its
// life, from 1, and reports whether the connection stays open.
func listen(t testing.TB, answer func(c net.Conn, n int) bool) *raw {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := &raw{address: l.Addr().String()}
	var served sync.WaitGroup
	served.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			u.mu.Lock()
			u.conns++
			u.mu.Unlock()
			stop := context.AfterFunc(t.Context(), func() { _ = c.Close() })
			served.Go(func() {
				defer stop()
				defer func() { _ = c.Close() }()
				u.serve(c, answer)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		served.Wait()
	})
	return u
}

func (u *raw) serve(c net.Conn, answer func(c net.Conn, n int) bool) {
	var seen bytes.Buffer
	r := bufio.NewReader(io.TeeReader(c, &seen))
	for {
		request, err := http.ReadRequest(r)
		if err == nil {
			_, err = io.Copy(io.Discard, request.Body)
		}
		whole := seen.Next(seen.Len() - r.Buffered())
		u.mu.Lock()
		if err != nil {
			if len(whole) > 0 {
				u.broken = append(u.broken, string(whole))
			}
			u.mu.Unlock()
			return
		}
		u.requests = append(u.requests, string(whole))
		n := len(u.requests)
		u.mu.Unlock()
		if !answer(c, n) {
			return
		}
	}
}

// got returns the requests so far, and the number of connections.
func (u *raw) got() (requests []string, conns int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append(slices.Clone(u.requests), u.broken...), u.conns
}

// always is an upstream that gives one answer to everything.
func always(answer string) func(net.Conn, int) bool {
	return func(c net.Conn, _ int) bool {
		_, err := io.WriteString(c, answer)
		return err == nil
	}
}

const okAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// connect opens a connection to a door for raw bytes. It gives up after 20 s.
func (d *door) connect(t testing.TB) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", d.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

// ask sends the lines of one request without a body, and returns the answer and its body.
func (d *door) ask(t testing.TB, requestLine string, headers ...string) (*http.Response, string) {
	t.Helper()
	c := d.connect(t)
	lines := append([]string{requestLine + " HTTP/1.1", "Host: api.example.com"}, headers...)
	if _, err := io.WriteString(c, strings.Join(lines, "\r\n")+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	return readAnswer(t, bufio.NewReader(c), requestLine)
}

func readAnswer(t testing.TB, r *bufio.Reader, requestLine string) (*http.Response, string) {
	t.Helper()
	method, _, _ := strings.Cut(requestLine, " ")
	answer, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(body)
}

// lines returns the request line and the headers of a recorded request, sorted, names in lower case.
func lines(request string) (requestLine string, headers []string) {
	head, _, _ := strings.Cut(request, "\r\n\r\n")
	all := strings.Split(head, "\r\n")
	for _, line := range all[1:] {
		name, value, _ := strings.Cut(line, ":")
		headers = append(headers, strings.ToLower(name)+":"+value)
	}
	slices.Sort(headers)
	return all[0], headers
}

func header(request, name string) []string {
	var values []string
	_, all := lines(request)
	for _, line := range all {
		if value, ok := strings.CutPrefix(line, name+": "); ok {
			values = append(values, value)
		}
	}
	return values
}

func TestUpstreamGetsRequest(t *testing.T) {
	upstream := listen(t, always(okAnswer))
	d := open(t, Options{}, map[string]string{"default": "http://" + upstream.address})
	answer, body := d.ask(t, "GET /v1/proxy/api/things/1?x=y", reader, "Accept: text/plain", "X-Request-ID: id-1",
		"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate: a=b", "baggage: c=d", "Cookie: a=b")
	if answer.StatusCode != 200 || body != "ok" {
		t.Fatalf("answered %d, %q", answer.StatusCode, body)
	}
	requests, _ := upstream.got()
	if len(requests) != 1 {
		t.Fatalf("the upstream gets %q", requests)
	}
	requestLine, headers := lines(requests[0])
	if requestLine != "GET /api/things/1?x=y HTTP/1.1" {
		t.Errorf("request line %q", requestLine)
	}
	want := []string{
		"accept: text/plain",
		"authorization: Bearer a.reader.token",
		"baggage: c=d",
		"cookie: a=b",
		"host: " + upstream.address,
		"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"tracestate: a=b",
		"x-forwarded-for: 127.0.0.1",
		"x-forwarded-host: api.example.com",
		"x-forwarded-proto: http",
		"x-passport: " + header(requests[0], "x-passport")[0],
		"x-proxy-state: Ojo=",
		"x-request-id: id-1",
		"x-user-id: ann",
		"x-user-permissions: read",
		"x-user-role: member",
	}
	if !slices.Equal(headers, want) {
		t.Errorf("headers\n%s\nwant\n%s", strings.Join(headers, "\n"), strings.Join(want, "\n"))
	}
}

func TestUpstreamIsChosenByService(t *testing.T) {
	users, others := listen(t, always(okAnswer)), listen(t, always(okAnswer))
	d := open(t, Options{}, map[string]string{"default": "http://" + others.address + "/base/", "users-service": "http://" + users.address})
	for _, c := range []struct {
		path, want string
		upstream   *raw
	}{
		{"/api/users/1", "/api/users/1", users},
		{"/api/things/1", "/base/api/things/1", others},
		{"/", "/base/", others},
	} {
		before, _ := c.upstream.got()
		if answer, _ := d.ask(t, "GET /v1/proxy"+c.path, reader); answer.StatusCode != 200 {
			t.Errorf("%s is answered %d", c.path, answer.StatusCode)
		}
		requests, _ := c.upstream.got()
		if len(requests) != len(before)+1 || !strings.HasPrefix(requests[len(before)], "GET "+c.want+" HTTP/1.1\r\n") {
			t.Errorf("for %s the upstream gets %q", c.path, requests)
		}
	}
}

func TestNoServiceIsCalled(t *testing.T) {
	upstream := listen(t, always(okAnswer))
	only := open(t, Options{}, map[string]string{"users-service": "http://" + upstream.address})
	both := open(t, Options{}, map[string]string{"default": "http://" + upstream.address})
	for _, c := range []struct {
		name string
		door *door
		path string
	}{
		{"the route names no service", only, "/api/things/1"},
		{"passgate serves the path itself", only, "/v1/auth/login"},
		{"passgate serves the path itself, beside a default", both, "/v1/auth/login"},
	} {
		t.Run(c.name, func(t *testing.T) {
			answer, body := c.door.ask(t, "GET /v1/proxy"+c.path, reader)
			if answer.StatusCode != 404 || !strings.Contains(body, `"code":"no_service"`) || !strings.Contains(body, `"request_id":"new-id"`) {
				t.Errorf("answered %d, %s", answer.StatusCode, body)
			}
		})
	}
	if _, conns := upstream.got(); conns != 0 {
		t.Errorf("%d connections to the upstream", conns)
	}
}

func TestDenialIsNotForwarded(t *testing.T) {
	upstream := listen(t, always(okAnswer))
	d := open(t, Options{}, map[string]string{"default": "http://" + upstream.address, "users-service": "http://" + upstream.address})
	for _, c := range []struct {
		name, requestLine string
		headers           []string
		status            int
		code, challenge   string
		grpc              string
	}{
		{"no credential", "GET /v1/proxy/a", nil, 401, "missing_credentials", `Bearer realm="passgate"`, "16"},
		{"bad token", "GET /v1/proxy/a", []string{"Authorization: Bearer x"}, 401, "invalid_token", `Bearer realm="passgate", error="invalid_token", error_description="Invalid or expired token"`, "16"},
		{"expired token", "GET /v1/proxy/a", []string{"Authorization: Bearer an.expired.token"}, 401, "token_expired", `Bearer realm="passgate", error="invalid_token", error_description="Token expired"`, "16"},
		{"two credentials", "GET /v1/proxy/a", []string{reader, reader}, 400, "multiple_credentials", "", "3"},
		{"missing permission", "DELETE /v1/proxy/api/orders/1", []string{reader}, 403, "insufficient_permissions", `Bearer realm="passgate", error="insufficient_scope", error_description="Insufficient permissions"`, "7"},
		{"closed route", "GET /v1/proxy/closed", []string{reader}, 403, "forbidden", "", "7"},
		{"no keys", "GET /v1/proxy/a", []string{"Authorization: Bearer no.keys.here"}, 503, "unavailable", "", "14"},
		{"served by passgate itself", "GET /v1/proxy/v1/auth/login", nil, 404, "no_service", "", "12"},
		{"ambiguous path", "GET /v1/proxy/a//b", []string{reader}, 400, "ambiguous_path", "", "3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			answer, body := d.ask(t, c.requestLine, append(c.headers, "X-Request-ID: id-1")...)
			var p struct {
				Type, Title, Detail, Code, Error string
				RequestID                        string `json:"request_id"`
				Status                           int
			}
			if err := json.Unmarshal([]byte(body), &p); err != nil {
				t.Fatalf("%q: %v", body, err)
			}
			if answer.StatusCode != c.status || p.Status != c.status || p.Code != c.code || p.RequestID != "id-1" || p.Error == "" || p.Detail != p.Error {
				t.Errorf("answered %d, %s", answer.StatusCode, body)
			}
			for name, want := range map[string]string{
				"Content-Type": "application/problem+json", "Cache-Control": "no-store", "X-Request-ID": "id-1", "WWW-Authenticate": c.challenge,
			} {
				if got := answer.Header.Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			if got := answer.Header.Get("Retry-After"); (got != "") != (c.status == 503) {
				t.Errorf("Retry-After: %q", got)
			}
			answer, body = d.ask(t, c.requestLine, append(c.headers, "Content-Type: application/grpc+proto")...)
			if answer.StatusCode != 200 || body != "" || answer.Header.Get("Grpc-Status") != c.grpc || answer.Header.Get("Grpc-Message") != p.Error ||
				answer.Header.Get("Content-Type") != "application/grpc" {
				t.Errorf("a gRPC client is answered %d, %v, %q", answer.StatusCode, answer.Header, body)
			}
		})
	}
	if _, conns := upstream.got(); conns != 0 {
		t.Errorf("%d connections to the upstream", conns)
	}
}

func TestGRPCMessageIsOneLine(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"Forbidden", "Forbidden"},
		{"100% ä\r\n\x00", "100%25 %C3%A4%0D%0A%00"},
		{strings.Repeat("a", 2000), strings.Repeat("a", maxMessageBytes) + "%E2%80%A6"},
	} {
		if got := grpcMessage(c.text); got != c.want {
			t.Errorf("%q becomes %q", c.text, got)
		}
	}
}

func TestClientCannotSpeakForPassgate(t *testing.T) {
	upstream := listen(t, always(okAnswer))
	d := open(t, Options{}, map[string]string{"default": "http://" + upstream.address})
	forged := []string{
		"X-User-ID: root", "x-user-id: root", "X_User_ID: root", "X.User.ID: root", "X-User_ID: root", "X-User~ID: root", "x-USER-id: root",
		"X-User-Role: admin", "X_USER_ROLE: admin", "X-User-Permissions: delete", "X-User-Extra: x",
		"X-Passport: forged", "X_Passport: forged", "X-Passport-Signature: forged", "X-Passport|Signature: forged", "X-Passports: forged",
		"X-Proxy-State: forged", "X_Proxy-State: forged",
		"X-HTTP-Method-Override: DELETE", "X_HTTP_Method: DELETE", "X-Original-URL: /admin", "X-Rewrite-URL: /admin",
		"Content_Length: 5", "Transfer_Encoding: chunked",
	}
	ours := []string{"x-user-id: ann", "x-user-role: member", "x-user-permissions: read", "x-proxy-state: Ojo="}
	for _, c := range []struct {
		name, path string
		headers    []string
		want       []string
	}{
		{"with a principal", "/a", []string{reader}, ours},
		{"with a principal, all of ours named in Connection", "/a", []string{reader, "Connection: X-User-ID, x-user-role, X-User-Permissions, X-Passport, X-Proxy-State, X-Request-ID"}, ours},
		{"with a principal, ours named beside close", "/a", []string{reader, "Connection: close, X-User-ID"}, ours},
		{"without one", "/docs/a", nil, nil},
		{"without one, named in Connection", "/docs/a", []string{"Connection: X-User-ID"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			before, _ := upstream.got()
			if answer, body := d.ask(t, "GET /v1/proxy"+c.path, append(slices.Clone(c.headers), append(forged, "X-User-Agent: grpc-web")...)...); answer.StatusCode != 200 {
				t.Fatalf("answered %d, %s", answer.StatusCode, body)
			}
			requests, _ := upstream.got()
			request := requests[len(before)]
			for _, want := range c.want {
				if name, value, _ := strings.Cut(want, ": "); !slices.Equal(header(request, name), []string{value}) {
					t.Errorf("%s: the upstream gets %q", name, header(request, name))
				}
			}
			if got := header(request, "x-request-id"); !slices.Equal(got, []string{"new-id"}) {
				t.Errorf("x-request-id: the upstream gets %q", got)
			}
			if got := header(request, "x-user-agent"); !slices.Equal(got, []string{"grpc-web"}) {
				t.Errorf("x-user-agent: the upstream gets %q", got)
			}
			for _, word := range []string{"root", "admin", "forged", "DELETE", "X-User-Extra", "Content_", "Transfer_", "ontent-Length"} {
				if strings.Contains(request, word) {
					t.Errorf("%s reaches the upstream:\n%s", word, request)
				}
			}
		})
	}
}

func TestCredentialIsStripped(t *testing.T) {
	upstream := listen(t, always(okAnswer))
	d := open(t, Options{}, map[string]string{"default": "http://" + upstream.address})
	d.ask(t, "GET /v1/proxy/strip", reader)
	requests, _ := upstream.got()
	if got := header(requests[0], "authorization"); got != nil {
		t.Errorf("authorization: the upstream gets %q", got)
	}
}

func TestHeadersForOneHopStay(t *testing.T) {
	upstream := listen(t, always(okAnswer))
	d := open(t, Options{}, map[string]string{"default": "http://" + upstream.address})
	d.ask(t, "GET /v1/proxy/docs/a", "Connection: keep-alive, X-Hop, HTTP2-Settings, Upgrade", "X-Hop: hop", "Keep-Alive: timeout=hop", "Proxy-Connection: hop",
		"Proxy-Authorization: hop", "TE: hop, trailers", "Upgrade: h2c", "HTTP2-Settings: hop", "Trailer: X-User-ID", "Expect: 100-continue")
	requests, _ := upstream.got()
	_, headers := lines(requests[0])
	want := []string{"host: " + upstream.address, "te: trailers", "x-forwarded-for: 127.0.0.1", "x-forwarded-host: api.example.com", "x-forwarded-proto: http", "x-request-id: new-id"}
	if !slices.Equal(headers, want) {
		t.Errorf("the upstream gets\n%s", strings.Join(headers, "\n"))
	}
}

func TestRequestTrailersAreDropped(t *testing.T) {
	upstream := listen(t, always(okAnswer))
	d := open(t, Options{}, map[string]string{"default": "http://" + upstream.address})
	c := d.connect(t)
	_, _ = io.WriteString(c, "POST /v1/proxy/docs/a HTTP/1.1\r\nHost: h\r\nTrailer: X-User-ID, X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n"+
		"4\r\nabcd\r\n0\r\nX-User-ID: forged\r\nX-Sum: forged\r\nX-Passport: forged\r\n\r\n")
	if answer, _ := readAnswer(t, bufio.NewReader(c), "POST"); answer.StatusCode != 200 {
		t.Fatalf("answered %d", answer.StatusCode)
	}
	requests, _ := upstream.got()
	if !strings.HasSuffix(requests[0], "\r\n\r\n4\r\nabcd\r\n0\r\n\r\n") || strings.Contains(requests[0], "X-Sum") {
		t.Errorf("the upstream gets %q", requests[0])
	}
}

func TestBodyIsFramedAsItCame(t *testing.T) {
	upstream := listen(t, always("HTTP/1.1 204 No Content\r\n\r\n"))
	d := open(t, Options{}, map[string]string{"default": "http://" + upstream.address})
	for _, c := range []struct{ method, framing, body, want string }{
		{"GET", "", "", ""},
		{"HEAD", "", "", ""},
		{"OPTIONS", "", "", ""},
		{"DELETE", "", "", ""},
		{"TRACE", "", "", ""},
		{"QUERY", "", "", ""},
		{"POST", "Content-Length: 0\r\n", "", "content-length: 0"},
		{"PUT", "", "", "content-length: 0"},
		{"PATCH", "Content-Length: 0\r\n", "", "content-length: 0"},
		{"GET", "Content-Length: 3\r\n", "abc", "content-length: 3"},
		{"POST", "Content-Length: 3\r\n", "abc", "content-length: 3"},
		{"POST", "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n", "transfer-encoding: chunked"},
		{"GET", "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n", "transfer-encoding: chunked"},
		{"POST", "Transfer-Encoding: chunked\r\n", "0\r\n\r\n", "transfer-encoding: chunked"},
	} {
		t.Run(fmt.Sprint(c.method, " ", c.framing), func(t *testing.T) {
			before, _ := upstream.got()
			conn := d.connect(t)
			_, _ = io.WriteString(conn, c.method+" /v1/proxy/docs/a HTTP/1.1\r\nHost: h\r\nIdempotency-Key: k\r\n"+c.framing+"\r\n"+c.body)
			if answer, _ := readAnswer(t, bufio.NewReader(conn), c.method); answer.StatusCode != 204 {
				t.Errorf("answered %d", answer.StatusCode)
			}
			requests, _ := upstream.got()
			if len(requests) != len(before)+1 {
				t.Fatalf("the upstream gets %q", requests)
			}
			request := requests[len(before)]
			_, headers := lines(request)
			_, body, _ := strings.Cut(request, "\r\n\r\n")
			framing := slices.DeleteFunc(headers, func(h string) bool {
				return !strings.HasPrefix(h, "content-length") && !strings.HasPrefix(h, "transfer-encoding")
			})
			if strings.Join(framing, ", ") != c.want || body != c.body {
				t.Errorf("the upstream gets %q", request)
			}
		})
	}
}

// deciderFunc is a decider by hand.
type deciderFunc func(ctx context.Context, r *authz.Request) authz.Decision

func (f deciderFunc) Decide(ctx context.Context, r *authz.Request) authz.Decision { return f(ctx, r) }

func TestEngineIsAskedAboutWhatUpstreamGets(t *testing.T) {
	upstream := listen(t, always(okAnswer))
	var asked *authz.Request
	engine := doortest.Engine(t, routes, "x-user-agent")
	d := open(t, Options{Decider: deciderFunc(func(ctx context.Context, r *authz.Request) authz.Decision {
		asked = r
		return engine.Decide(ctx, r)
	})}, map[string]string{"users-service": "http://" + upstream.address})
	d.ask(t, "GET /v1/proxy/api/users/%41?x=%2f&y=/../", reader, "X-A: 1", "x-a: 2")
	slices.SortFunc(asked.Headers, func(a, b authz.Header) int { return strings.Compare(a.Name+a.Value, b.Name+b.Value) })
	want := []authz.Header{{Name: "Authorization", Value: "Bearer a.reader.token"}, {Name: "X-A", Value: "1"}, {Name: "X-A", Value: "2"}}
	if asked.Method != "GET" || asked.Host != "api.example.com" || asked.Path != "/api/users/%41" || asked.Reaches == nil || asked.Reaches("") || !asked.Reaches("users-service") || asked.Reaches(authz.OwnService) || asked.Malformed != "" || asked.HeadersFiltered || !slices.Equal(asked.Headers, want) {
		t.Errorf("the engine is asked about %+v", asked)
	}
	requests, _ := upstream.got()
	if requestLine, _ := lines(requests[0]); requestLine != "GET /api/users/%41?x=%2f&y=/../ HTTP/1.1" {
		t.Errorf("the upstream gets %q", requestLine)
	}
}

func TestPanicIsOne503(t *testing.T) {
	upstream := listen(t, always(okAnswer))
	engine := doortest.Engine(t, routes, "x-user-agent")
	d := open(t, Options{Decider: deciderFunc(func(ctx context.Context, r *authz.Request) authz.Decision {
		if r.Path == "/docs/panic" {
			panic("a fault")
		}
		return engine.Decide(ctx, r)
	})}, map[string]string{"default": "http://" + upstream.address})
	answer, body := d.ask(t, "GET /v1/proxy/docs/panic")
	if answer.StatusCode != 503 || !strings.Contains(body, `"code":"unavailable"`) {
		t.Errorf("answered %d, %s", answer.StatusCode, body)
	}
	if log := d.log.String(); !strings.Contains(log, "a fault") || !strings.Contains(log, "proxy_test.go") {
		t.Errorf("logged %s", log)
	}
	if answer, _ := d.ask(t, "GET /v1/proxy/docs/a"); answer.StatusCode != 200 {
		t.Errorf("the next request is answered %d", answer.StatusCode)
	}
}

func TestPanicInAnAnswerEndsIt(t *testing.T) {
	h := &Handler{log: slog.New(slog.DiscardHandler)}
	defer func() {
		if p := recover(); p != http.ErrAbortHandler {
			t.Errorf("the server sees %v", p)
		}
	}()
	a := h.newAnswer(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
	_, _ = a.Write([]byte("half"))
	h.recover(a, httptest.NewRequest("GET", "/", nil), "", "a fault")
}

func TestNewRefusesFaultsOfTheProgram(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	u := map[string]*url.URL{"default": {Scheme: "http", Host: "h"}}
	for name, o := range map[string]Options{
		"no decider":   {Upstreams: u, Log: log},
		"no upstreams": {Decider: doortest.Engine(t, routes, "x-user-agent"), Log: log},
		"no log":       {Decider: doortest.Engine(t, routes, "x-user-agent"), Upstreams: u},
		"a scheme":     {Decider: doortest.Engine(t, routes, "x-user-agent"), Upstreams: map[string]*url.URL{"default": {Scheme: "ftp", Host: "h"}}, Log: log},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("New takes it")
				}
			}()
			New(o)
		})
	}
}
