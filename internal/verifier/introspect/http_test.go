package introspect

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/passgate/passgate/internal/authz"
)

const (
	testID     = "client:1/ü"
	testSecret = "test-secret-not-for-production %+&=:ü"
)

// secrets are what no error may hold, in no form.
func secrets() []string {
	form := url.QueryEscape(testID) + ":" + url.QueryEscape(testSecret)
	return []string{
		testToken, "test-token", testSecret, url.QueryEscape(testSecret), "test-secret", "url-secret", "body-secret",
		base64.StdEncoding.EncodeToString([]byte(form)), "Basic",
	}
}

func expectNoSecret(t *testing.T, text string) {
	t.Helper()
	for _, s := range secrets() {
		if strings.Contains(text, s) {
			t.Errorf("%q holds the secret %q", text, s)
		}
	}
}

// serve runs a server until the test ends.
func serve(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s
}

// askerOf returns an asker of a server whose URL has secrets, too.
func askerOf(t *testing.T, address string) *HTTP {
	t.Helper()
	client := NewClient()
	t.Cleanup(client.CloseIdleConnections)
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.User, u.Path, u.RawQuery = url.UserPassword("user", "url-secret"), "/introspect", "key=url-secret"
	return NewHTTP(HTTPOptions{URL: u.String(), ClientID: testID, ClientSecret: testSecret, Client: client})
}

func TestTheQuestion(t *testing.T) {
	var got []string
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		user, password, _ := r.BasicAuth()
		id, _ := url.QueryUnescape(user)
		secret, _ := url.QueryUnescape(password)
		got = []string{r.Method, r.URL.String(), r.Header.Get("Content-Type"), r.Header.Get("Accept"), string(body), id, secret, user, r.Header.Get("Accept-Encoding")}
		_, _ = io.WriteString(w, active(""))
	})
	answer, err := askerOf(t, s.URL).Ask(t.Context(), "a+b/c=&d=e")
	if err != nil || string(answer) != active("") {
		t.Errorf("got %s, %v", answer, err)
	}
	want := []string{
		"POST", "/introspect?key=url-secret", "application/x-www-form-urlencoded", "application/json",
		"token=a%2Bb%2Fc%3D%26d%3De&token_type_hint=access_token", testID, testSecret, "client%3A1%2F%C3%BC", "",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestNoClientIDSendsNoCredentials(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if h, ok := r.Header["Authorization"]; ok {
			t.Errorf("got %q", h)
		}
		_, _ = io.WriteString(w, active(""))
	})
	client := NewClient()
	defer client.CloseIdleConnections()
	if _, err := NewHTTP(HTTPOptions{URL: s.URL, Client: client}).Ask(t.Context(), testToken); err != nil {
		t.Error(err)
	}
}

// None of these is an answer, and none of the errors tells what was sent or what came back.
func TestBadAnswersOfHTTP(t *testing.T) {
	var elsewhere atomic.Int64
	target := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		elsewhere.Add(1)
		_, _ = io.WriteString(w, active(""))
	})
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", target.URL+"/?token="+r.FormValue("token"))
			w.WriteHeader(code)
			if code != http.StatusNoContent && code != http.StatusNotModified {
				_, _ = io.WriteString(w, `{"active":true,"sub":"ann","x":"body-secret"}`)
			}
		}
	}
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"201":             {status(201), "status 201"},
		"203":             {status(203), "status 203"},
		"204":             {status(204), "status 204"},
		"206":             {status(206), "status 206"},
		"301":             {status(301), "status 301"},
		"302":             {status(302), "status 302"},
		"303":             {status(303), "status 303"},
		"304":             {status(304), "status 304"},
		"307":             {status(307), "status 307"},
		"308":             {status(308), "status 308"},
		"400":             {status(400), "status 400"},
		"401":             {status(401), "client credentials of passgate itself"},
		"403":             {status(403), "status 403"},
		"404":             {status(404), "status 404"},
		"429":             {status(429), "status 429"},
		"500":             {status(500), "status 500"},
		"503":             {status(503), "status 503"},
		"a byte too much": {func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, padded(maxAnswerBytes+1)) }, "longer than"},
		"a huge length": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "99999999999999")
			_, _ = io.WriteString(w, strings.Repeat(" ", 100_000))
		}, "longer than"},
		"endless": {func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, strings.Repeat("body-secret ", 1000)); err != nil {
					return
				}
			}
		}, "longer than"},
		"cut short": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, active(""))
		}, "cut short"},
		"a head too long": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Long", strings.Repeat("body-secret", 2000))
		}, "not of the protocol"},
		"aborted": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "cut short"},
	} {
		t.Run(name, func(t *testing.T) {
			var calls atomic.Int64
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				calls.Add(1)
				test.handler(w, r)
			})
			h := askerOf(t, s.URL)
			for range 2 {
				answer, err := h.Ask(t.Context(), testToken)
				if answer != nil || err == nil || !strings.Contains(err.Error(), test.want) {
					t.Fatalf("got %.100q, %v; want an error with %q", answer, err, test.want)
				}
				if errors.Is(err, authz.ErrCredentialInvalid) || errors.Is(err, &authz.ExpiredError{}) {
					t.Errorf("%v blames the token", err)
				}
				expectNoSecret(t, fmt.Sprintf("%v %+v %#v", err, err, err))
			}
			if calls.Load() != 2 {
				t.Errorf("%d requests for two questions", calls.Load())
			}
		})
	}
	if elsewhere.Load() != 0 {
		t.Errorf("a redirect was followed %d times", elsewhere.Load())
	}
}

// listen runs a server of raw bytes on a free port until the test ends; it is given the head of each request.
func listen(t *testing.T, answer func(conn net.Conn, head string)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				r := bufio.NewReader(conn)
				for {
					request, err := http.ReadRequest(r)
					if err != nil {
						return
					}
					body, _ := io.ReadAll(request.Body)
					answer(conn, fmt.Sprintf("%s %s HTTP/1.1\r\nAuthorization: %s\r\n\r\n%s", request.Method, request.RequestURI, request.Header.Get("Authorization"), body))
				}
			}()
		}
	}()
	return "http://" + l.Addr().String()
}

// These say again what they were told, where a client's own errors quote it.
func TestAnEchoReachesNoError(t *testing.T) {
	for name, answer := range map[string]func(head string) string{
		"in place of an answer": func(head string) string { return head },
		"as the status":         func(head string) string { return "HTTP/1.1 " + head },
		"as the status text":    func(head string) string { return "HTTP/1.1 500 " + strings.ReplaceAll(head, "\r\n", " ") + "\r\n\r\n" },
		"as a header":           func(head string) string { return "HTTP/1.1 200 OK\r\n" + head },
		"as a header's value":   func(head string) string { return "HTTP/1.1 200 OK\r\nX: \x00" + head },
		"as the length":         func(head string) string { return "HTTP/1.1 200 OK\r\nContent-Length: " + head },
		"as the encoding":       func(head string) string { return "HTTP/1.1 200 OK\r\nTransfer-Encoding: " + head },
		"as a chunk's length":   func(head string) string { return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + head },
		"as a trailer":          func(head string) string { return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + head },
		"as a place to go":      func(head string) string { return "HTTP/1.1 302 Found\r\nLocation: :" + head },
		"as another protocol":   func(head string) string { return "HTTP/1.1 101 Switching Protocols\r\nUpgrade: " + head },
		"as a version of HTTP":  func(head string) string { return "HTTP/" + head },
		"as ever more of a head": func(head string) string {
			return "HTTP/1.1 200 OK\r\nX: " + strings.Repeat(strings.ReplaceAll(head, "\r\n", " "), 500)
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := askerOf(t, listen(t, func(conn net.Conn, head string) {
				_, _ = io.WriteString(conn, answer(head))
				_ = conn.Close()
			}))
			got, err := h.Ask(t.Context(), testToken)
			if err == nil {
				t.Fatalf("got the answer %q", got)
			}
			expectNoSecret(t, fmt.Sprintf("%v %+v %#v", err, err, err))
		})
	}
}

// A connection that was kept is closed as soon as the next question is there. To ask once more would be a retry.
func TestAKeptConnectionThatCloses(t *testing.T) {
	var requests atomic.Int64
	h := askerOf(t, listen(t, func(conn net.Conn, _ string) {
		if requests.Add(1) == 1 {
			_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(active("")), active(""))
			return
		}
		_ = conn.Close()
	}))
	if _, err := h.Ask(t.Context(), testToken); err != nil {
		t.Fatal(err)
	}
	if answer, err := h.Ask(t.Context(), testToken); err == nil {
		t.Errorf("got %q", answer)
	}
	if requests.Load() != 2 {
		t.Errorf("%d requests for two questions", requests.Load())
	}
}

func TestServersThatCannotBeReached(t *testing.T) {
	gone := httptest.NewServer(nil)
	gone.Close()
	unknown := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the token was shown") }))
	unknown.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	unknown.StartTLS()
	defer unknown.Close()
	plain := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the token was shown") })
	for name, test := range map[string]struct{ address, want string }{
		"gone":                   {gone.URL, "connection refused"},
		"an unknown certificate": {unknown.URL, "certificate"},
		"no TLS":                 {strings.Replace(plain.URL, "http", "https", 1), ""},
	} {
		t.Run(name, func(t *testing.T) {
			answer, err := askerOf(t, test.address).Ask(t.Context(), testToken)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %q, %v; want an error with %q", answer, err, test.want)
			}
			expectNoSecret(t, fmt.Sprint(err))
		})
	}
}

// The whole way, with servers that never come to an end: what counts is the deadline.
func TestSlowServersAreUnavailable(t *testing.T) {
	drip := func(text string) func(conn net.Conn, _ string) {
		return func(conn net.Conn, _ string) {
			for {
				for i := range text {
					if _, err := io.WriteString(conn, text[i:i+1]); err != nil {
						return
					}
					time.Sleep(time.Millisecond) // a server that is slow, not a test that waits
				}
			}
		}
	}
	for name, answer := range map[string]func(conn net.Conn, head string){
		"silent":               func(conn net.Conn, _ string) { _, _ = conn.Read(make([]byte, 1)) },
		"a byte at a time":     drip("HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + strings.Repeat(" ", 9999)),
		"an endless head":      drip("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 9999)),
		"early hints for ever": drip("HTTP/1.1 103 Early Hints\r\n\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			s := idp(askerOf(t, listen(t, answer)))
			v := newVerifier(s)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			id, err := v.Verify(ctx, opaque(testToken), now)
			if got := verdict(t, id, err); got != unavailable || ctx.Err() != nil {
				t.Errorf("got %s (%v), and the context says %v", got, err, ctx.Err())
			}
			expectNoSecret(t, err.Error())
		})
	}
}

// The whole way, at once: one request at the server, on one connection.
func TestParallelFirstUsesAreOneRequest(t *testing.T) {
	var requests atomic.Int64
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		if r.FormValue("token") != testToken {
			w.WriteHeader(500)
		}
		_, _ = io.WriteString(w, active(""))
	})
	s := idp(askerOf(t, server.URL))
	s.Timeout = time.Minute
	if got := together(t, newVerifier(s), 1000, sameToken); got[good] != 1000 || requests.Load() != 1 {
		t.Errorf("got %v after %d requests", got, requests.Load())
	}
}

func TestConnectionsAreKept(t *testing.T) {
	var connections atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, active("")) }))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	h := askerOf(t, server.URL)
	for range 20 {
		if _, err := h.Ask(t.Context(), testToken); err != nil {
			t.Fatal(err)
		}
	}
	if connections.Load() != 1 {
		t.Errorf("%d connections for 20 questions", connections.Load())
	}
}

func TestClientIsBounded(t *testing.T) {
	transport := NewClient().Transport.(*http.Transport)
	if transport.Proxy != nil {
		t.Error("the environment has a say in where tokens go")
	}
	if transport.MaxConnsPerHost < defaultMaxCalls || transport.MaxIdleConns == 0 || transport.IdleConnTimeout == 0 || transport.MaxResponseHeaderBytes == 0 || transport.TLSHandshakeTimeout == 0 {
		t.Errorf("connections are not bounded: %+v", transport)
	}
}

func TestHTTPDoesNotPrintItsSecrets(t *testing.T) {
	h := askerOf(t, "https://idp.partner.example")
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("asker", "h", h)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("asker", "h", h)
	expectNoSecret(t, fmt.Sprintf("%v %+v %#v %s %q", h, h, h, h, h)+log.String())
}

func TestNewHTTPRefuses(t *testing.T) {
	for _, address := range []string{"", "idp", "/introspect", "ftp://idp.partner.example/url-secret", "http://", "https:///url-secret", "http://a b?url-secret", "%zz"} {
		t.Run(address, func(t *testing.T) {
			defer func() {
				text, _ := recover().(string)
				if !strings.HasPrefix(text, "introspect: ") {
					t.Errorf("panic with %q", text)
				}
				expectNoSecret(t, text)
			}()
			NewHTTP(HTTPOptions{URL: address})
		})
	}
}

// Through the verifier too, no error says more than it may.
func TestErrorsHoldNoSecret(t *testing.T) {
	for name, body := range map[string]string{
		"inactive":    `{"active":false,"x":"body-secret"}`,
		"nobody":      `{"active":true,"x":"body-secret"}`,
		"a bad claim": `{"active":true,"sub":["body-secret"]}`,
		"no JSON":     `body-secret`,
		"a foreigner": `{"active":true,"sub":"other:body-secret"}`,
		"two names":   `{"active":true,"body-secret":1,"body-secret":2}`,
		"expired":     active(`,"exp":1,"x":"body-secret"`),
		"audience":    active(`,"aud":"body-secret"`),
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := idp(says(body))
				s.Audiences, s.UserPrefix = []string{"api"}, ""
				v := newVerifier(s)
				for _, c := range []authz.Credential{opaque(testToken), opaque(testToken, "accounts"), opaque(strings.Repeat(testToken, 999))} {
					id, err := v.Verify(t.Context(), c, now)
					if err == nil {
						t.Fatalf("got %+v", id)
					}
					expectNoSecret(t, fmt.Sprintf("%v %+v", err, err))
				}
			})
		})
	}
}

// An asker has a client of its own if it is given none, and takes an answer up to its very length.
func TestAnAnswerOfFullLength(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat(" ", maxAnswerBytes))
	}))
	defer server.Close()
	h := NewHTTP(HTTPOptions{URL: server.URL})
	defer h.client.CloseIdleConnections()
	if text, err := h.Ask(t.Context(), testToken); err != nil || len(text) != maxAnswerBytes {
		t.Errorf("%d bytes, %v", len(text), err)
	}
}

func TestAServerMayHaveNoSkew(t *testing.T) {
	s := idp(says(active("")))
	s.ClockSkew = 0
	New(Options{Servers: []Server{s}})
}
