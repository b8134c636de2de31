package accountapi

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/passgate/passgate/internal/account"
	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/idempotency"
)

func TestPathsAreComparedByteByByte(t *testing.T) {
	for _, path := range []string{
		"/", "/v1/auth", "/v1/auth/", "//v1/auth/signup", "/v1//auth/signup", "/v1/auth/signup/", "/v1/auth/./signup", "/v1/auth/x/../signup",
		"/v1/auth/%73ignup", "/v1/auth/signup%2f", "/v1%2Fauth/signup", "/v1/auth/Signup", "/V1/auth/signup", "/v1/auth/signup;a=b", "/v1/auth/signup%00",
		"/v1/auth/signup%20", "/v1/auth/signup%3Fx", "/v1/auth/signup%23x", "/v1/auth/logout", "/v1/auth/password", `/v1/auth\signup`, "/v1/auth/me/", "/v1/auth/%6de",
	} {
		for _, method := range []string{"POST", "GET"} {
			d := newDoor()
			w := d.do(t, call{method, path, []string{asJSON, bearer}, good})
			wants(t, w, 404, "not_found")
			if w.Header().Get("Location") != "" || len(d.requests)+d.accounts.plans > 0 {
				t.Errorf("%s %s was acted on, %v", method, path, w.Header())
			}
		}
	}
	for _, target := range []string{"/v1/auth/signup?x=/", "/v1/auth/signup?", "http://h.example/v1/auth/signup"} {
		w := newDoor().do(t, call{"POST", target, []string{asJSON}, good})
		wants(t, w, 201, "ok")
	}
}

func TestMethods(t *testing.T) {
	for _, test := range []struct {
		path, allow string
		allowed     []string
	}{
		{account.SignUpPath, "POST", []string{"POST"}},
		{account.LogInPath, "POST", []string{"POST"}},
		{account.MePath, "GET, HEAD", []string{"GET", "HEAD"}},
	} {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "post", "PROPFIND"} {
			w := newDoor().do(t, call{method, test.path, []string{asJSON, bearer}, good})
			allowed := strings.Contains(" "+strings.Join(test.allowed, " ")+" ", " "+method+" ")
			switch {
			case allowed && w.Code >= 300:
				t.Errorf("%s %s answered %d", method, test.path, w.Code)
			case !allowed && (w.Code != 405 || w.Header().Get("Allow") != test.allow):
				t.Errorf("%s %s answered %d, Allow %q", method, test.path, w.Code, w.Header().Get("Allow"))
			case !allowed && method != "HEAD" && problemOf(t, w).Code != "method_not_allowed":
				t.Errorf("%s %s answered %s", method, test.path, w.Body)
			}
		}
	}
}

func TestOrderOfRefusal(t *testing.T) {
	const notJSON, encoded, badKey = "Content-Type: text/plain", "Content-Encoding: gzip", "Idempotency-Key: "
	long := strings.Repeat("{", defaultMaxBody+1)
	for _, test := range []struct {
		name string
		call call
		code string
	}{
		{"path before method", call{"PUT", "/x", []string{notJSON, encoded, badKey}, long}, "not_found"},
		{"method before media type", call{"PUT", account.SignUpPath, []string{notJSON, encoded, badKey}, long}, "method_not_allowed"},
		{"media type before key", call{"POST", account.SignUpPath, []string{notJSON, badKey}, long}, "unsupported_media_type"},
		{"encoding before key", call{"POST", account.SignUpPath, []string{asJSON, encoded, badKey}, long}, "unsupported_media_type"},
		{"key before length", signUpCall(long, badKey), "invalid_idempotency_key"},
		{"length before form", signUpCall(long), "body_too_large"},
		{"form before fields", signUpCall(`{"email":1}{}`), "malformed_body"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newDoor().do(t, test.call)
			if got := problemOf(t, w).Code; got != test.code {
				t.Errorf("answered %s, want %s", got, test.code)
			}
		})
	}
}

// Whatever the outcome, these headers are there, and those that are for some outcomes are nowhere else.
func TestHeadersOfEveryAnswer(t *testing.T) {
	for _, o := range outcomes {
		t.Run(o.want, func(t *testing.T) {
			d := newDoor()
			if o.change != nil {
				o.change(d)
			}
			o.call.headers = append([]string{"X-Request-ID: id-1"}, o.call.headers...)
			w := d.do(t, o.call)
			want := map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Request-Id": "id-1",
				"Content-Type": "application/problem+json", "Content-Length": fmt.Sprint(w.Body.Len())}
			code := codeOf(t, w)
			switch code {
			case "ok":
				want["Content-Type"] = "application/json"
			case "method_not_allowed":
				want["Allow"] = w.Header().Get("Allow") // see TestMethods
			case "invalid_credentials", "missing_credentials":
				want["Www-Authenticate"] = `Bearer realm="passgate"`
			case "invalid_token":
				want["Www-Authenticate"] = `Bearer realm="passgate", error="invalid_token", error_description="Invalid or expired token"`
			case "token_expired":
				want["Www-Authenticate"] = `Bearer realm="passgate", error="invalid_token", error_description="Token expired"`
			case "busy", "unavailable", "request_in_progress":
				want["Retry-After"] = "1"
			}
			if diff := cmp.Diff(want, header(w.Header())); diff != "" {
				t.Errorf("headers differ (-want +got):\n%s", diff)
			}
			if code != "ok" && problemOf(t, w).RequestID != "id-1" {
				t.Errorf("body = %s", w.Body)
			}
		})
	}
}

func TestRequestID(t *testing.T) {
	for _, test := range []struct {
		name string
		sent []string
		want string
	}{
		{"the caller's", []string{"X-Request-ID: Az09-._~+/="}, "Az09-._~+/="},
		{"128 characters", []string{"X-Request-ID: " + strings.Repeat("a", 128)}, strings.Repeat("a", 128)},
		{"none", nil, "new-id-1"},
		{"empty", []string{"X-Request-ID: "}, "new-id-1"},
		{"129 characters", []string{"X-Request-ID: " + strings.Repeat("a", 129)}, "new-id-1"},
		{"an unsafe character", []string{"X-Request-ID: a\"b"}, "new-id-1"},
		{"a line break", []string{"X-Request-ID: a\r\nSet-Cookie: b"}, "new-id-1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, c := range []call{signUpCall("", test.sent...), meCall(test.sent...), {"GET", "/x", test.sent, ""}} {
				d := newDoor()
				w := d.do(t, c)
				if got := w.Header().Get("X-Request-ID"); got != test.want || problemOf(t, w).RequestID != test.want {
					t.Errorf("%s: header %q, body %s, want %q", c.target, got, w.Body, test.want)
				}
				for _, r := range d.requests {
					if got := authz.RequestID(r.Headers); got != test.want {
						t.Errorf("the engine was shown the id %q, want %q", got, test.want)
					}
				}
			}
		})
	}
}

func TestPanicIsOneProblemAndAStack(t *testing.T) {
	boom := func() { panic("boom") }
	for _, test := range []struct {
		name   string
		change func(*door)
		call   call
	}{
		{"accounts", func(d *door) {
			d.accounts.signUp = func(context.Context, account.Plan, account.SignUp) (account.Session, error) {
				boom()
				return account.Session{}, nil
			}
		}, signUpCall(good)},
		{"accounts, with a key", func(d *door) {
			d.accounts.logIn = func(context.Context, account.Plan, account.LogIn) (account.Session, error) {
				boom()
				return account.Session{}, nil
			}
		}, logInCall(good, "Idempotency-Key: k")},
		{"guard", func(d *door) {
			d.guard.do = func(context.Context, idempotency.Use, func(context.Context, []byte) idempotency.Answer) (idempotency.Answer, bool, error) {
				boom()
				return idempotency.Answer{}, false, nil
			}
		}, logInCall(good, "Idempotency-Key: k")},
		{"me", func(d *door) {
			d.accounts.account = func(context.Context, string) (account.Account, error) { boom(); return account.Account{}, nil }
		}, meCall(bearer)},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newDoor()
			test.change(d)
			wants(t, d.do(t, test.call), 503, "unavailable")
			logged := d.log.of(t, "account call panicked")
			if len(logged) != 1 || logged[0]["panic"] != "boom" || !strings.Contains(logged[0]["stack"].(string), "TestPanicIsOneProblem") || logged[0]["level"] != "ERROR" {
				t.Errorf("logged %v", logged)
			}
			if len(d.log.of(t, "account")) != 1 {
				t.Errorf("logged %s", d.log)
			}
		})
	}
}

// A guard may run the call where nobody recovers.
func TestPanicDoesNotReachTheGuard(t *testing.T) {
	d := newDoor()
	d.accounts.signUp = func(context.Context, account.Plan, account.SignUp) (account.Session, error) { panic("boom") }
	d.guard.do = func(ctx context.Context, u idempotency.Use, run func(context.Context, []byte) idempotency.Answer) (idempotency.Answer, bool, error) {
		answered := make(chan idempotency.Answer)
		go func() { answered <- run(ctx, u.Plan) }()
		return <-answered, false, nil
	}
	wants(t, d.do(t, signUpCall(good, "Idempotency-Key: k")), 503, "unavailable")
}

func TestNothingHangs(t *testing.T) {
	hang := func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}
	for _, test := range []struct {
		name   string
		change func(*door)
		call   call
	}{
		{"signup", func(d *door) {
			d.accounts.signUp = func(ctx context.Context, _ account.Plan, _ account.SignUp) (account.Session, error) {
				return account.Session{}, hang(ctx)
			}
		}, signUpCall(good)},
		{"login with a key", func(d *door) {
			d.accounts.logIn = func(ctx context.Context, _ account.Plan, _ account.LogIn) (account.Session, error) {
				return account.Session{}, hang(ctx)
			}
		}, logInCall(good, "Idempotency-Key: k")},
		{"the guard", func(d *door) {
			d.guard.do = func(ctx context.Context, _ idempotency.Use, _ func(context.Context, []byte) idempotency.Answer) (idempotency.Answer, bool, error) {
				return idempotency.Answer{}, false, hang(ctx)
			}
		}, logInCall(good, "Idempotency-Key: k")},
		{"me", func(d *door) {
			d.accounts.account = func(ctx context.Context, _ string) (account.Account, error) {
				return account.Account{}, hang(ctx)
			}
		}, meCall(bearer)},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDoor()
				test.change(d)
				wants(t, d.do(t, test.call), 503, "unavailable")
				if failed := d.log.of(t, "account call failed"); len(failed) != 1 || failed[0]["level"] != "ERROR" {
					t.Errorf("logged %s", d.log)
				}
			})
		})
	}
}

// pipes is a listener whose connections are in memory, so that the time of a test bubble rules them.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	if c, ok := <-p; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}
func (p pipes) Close() error   { close(p); return nil }
func (p pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes"} }

// dial serves one connection and returns the client's side of it.
func dial(t *testing.T, h http.Handler) net.Conn {
	t.Helper()
	listener := make(pipes, 1)
	server := &http.Server{Handler: h}
	served := make(chan error)
	go func() { served <- server.Serve(listener) }()
	client, conn := net.Pipe()
	listener <- conn
	t.Cleanup(func() {
		client.Close()
		server.Close()
		<-served
	})
	return client
}

func answerOf(t *testing.T, conn net.Conn, request string) (*http.Response, string) {
	t.Helper()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

// The rest of the body never comes, and the server has no time-outs of its own.
func TestSlowBodyEndsTheCallAndTheConnection(t *testing.T) {
	for _, request := range []string{
		"POST /v1/auth/signup HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
		"POST /v1/auth/signup HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
		"POST /v1/auth/signup HTTP/1.1\r\nHost: h\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\n{",
		"POST /nowhere HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n{",
	} {
		synctest.Test(t, func(t *testing.T) {
			conn := dial(t, newDoor())
			response, body := answerOf(t, conn, request)
			if response.StatusCode < 400 || response.StatusCode > 499 || !response.Close {
				t.Errorf("%.40q answered %d %s", request, response.StatusCode, body)
			}
			if n, err := conn.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("the connection is open: %d, %v", n, err)
			}
		})
	}
}

// The time of a call is over before its client is thought to have gone.
func TestTimeoutIsNotTakenForAClientThatHasGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor()
		d.accounts.account = func(ctx context.Context, _ string) (account.Account, error) {
			<-ctx.Done()
			return account.Account{}, ctx.Err()
		}
		response, body := answerOf(t, dial(t, d), "GET /v1/auth/me HTTP/1.1\r\nHost: h\r\n"+bearer+"\r\n\r\n")
		if failed := d.log.of(t, "account call failed"); response.StatusCode != 503 || len(failed) != 1 || failed[0]["level"] != "ERROR" {
			t.Errorf("answered %d %s, logged %s", response.StatusCode, body, d.log)
		}
	})
}

func TestKeyDoesNotProlongTheWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(func(o *Options) { o.Timeout = time.Second })
		d.accounts.signUp = func(ctx context.Context, p account.Plan, _ account.SignUp) (account.Session, error) {
			if end, ok := ctx.Deadline(); !ok || end.After(time.Now().Add(time.Second)) {
				t.Errorf("the work may last until %v", end)
			}
			return sessionOf(p), nil
		}
		wants(t, d.do(t, signUpCall(good, "Idempotency-Key: k")), 201, "ok")
	})
}

// The time for the body is over long before the guard gives up, and must not end the call.
func TestKeyedCallOutlastsTheTimeForItsBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDoor(func(o *Options) { o.Timeout = idempotency.Wait / 2 })
		d.guard.do = func(ctx context.Context, _ idempotency.Use, _ func(context.Context, []byte) idempotency.Answer) (idempotency.Answer, bool, error) {
			select {
			case <-ctx.Done():
				return idempotency.Answer{}, false, ctx.Err()
			case <-time.After(idempotency.Wait):
				return idempotency.Answer{}, false, idempotency.ErrInProgress
			}
		}
		response, body := answerOf(t, dial(t, d), fmt.Sprintf(
			"POST /v1/auth/signup HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nIdempotency-Key: k\r\nContent-Length: %d\r\n\r\n%s", len(good), good))
		if response.StatusCode != 409 || !strings.Contains(body, "request_in_progress") {
			t.Errorf("answered %d %s", response.StatusCode, body)
		}
	})
}

func TestCutBodyIsMalformed(t *testing.T) {
	d := newDoor()
	server := httptest.NewServer(d)
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// What came is a whole object by itself.
	request := fmt.Sprintf("POST /v1/auth/signup HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(good)+1, good)
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != 400 {
		t.Errorf("answered %d", response.StatusCode)
	}
	server.Close() // waits for the handler
	if len(d.accounts.signUps) > 0 {
		t.Error("a cut body was acted on")
	}
}

func TestNewPanicsWithoutAPart(t *testing.T) {
	for name, remove := range map[string]func(*Options){
		"accounts": func(o *Options) { o.Accounts = nil },
		"guard":    func(o *Options) { o.Guard = nil },
		"decider":  func(o *Options) { o.Decider = nil },
		"ids":      func(o *Options) { o.NewID = nil },
		"log":      func(o *Options) { o.Log = nil },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("a handler was made")
				}
			}()
			newDoor(remove)
		})
	}
}

// A row that another one hides would never be shown.
func TestTableIsWhole(t *testing.T) {
	d := newDoor()
	x := d.exchange(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
	for _, row := range refusals {
		got := d.problemOf(t.Context(), x, fmt.Errorf("wrapped: %w", row.err))
		if got.Code != row.problem.Code || got.Text != row.problem.Text {
			t.Errorf("%v is shown as %s", row.err, got.Code)
		}
	}
	for _, err := range []error{errors.New("anything"), account.ErrNotFound, context.DeadlineExceeded, idempotency.ErrLost} {
		if got := d.problemOf(t.Context(), x, err); got.Status != 503 || got.Code != "unavailable" {
			t.Errorf("%v is shown as %d %s", err, got.Status, got.Code)
		}
	}
	for p := range maps.Values(own) {
		if p.Status < 400 || p.Status > 599 || p.Text == "" || (p.Challenge != "") != (p.Status == 401) || p.Status == 503 && p.RetryAfter == "" {
			t.Errorf("%+v", p)
		}
	}
}
