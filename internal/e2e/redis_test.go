package e2e

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/passgate/passgate/internal/redistest"
)

// inTheWay stands between passgate and Redis and does to their talk what it is told.
type inTheWay struct {
	addr string
	mode atomic.Value // of string: "", "slow", "garbled", "refused"
}

// slowness is how late a slow Redis answers.
const slowness = 2 * time.Second

func startInTheWay(t *testing.T, redis string) *inTheWay {
	t.Helper()
	w := &inTheWay{}
	w.mode.Store("")
	w.addr = serveConns(t, func(down net.Conn) {
		if w.mode.Load() == "refused" {
			return
		}
		up, err := net.DialTimeout("tcp", redis, patience)
		if err != nil {
			return
		}
		defer up.Close()
		go func() {
			defer down.Close()
			buffer := make([]byte, 64<<10)
			for {
				n, err := up.Read(buffer)
				if err != nil {
					return
				}
				answer := buffer[:n]
				switch w.mode.Load() {
				case "slow":
					time.Sleep(slowness)
				case "garbled":
					answer = []byte("\x00\xff$9999999999\r\n*-7\r\nHTTP/1.1 200 OK\r\n\r\n")
				case "refused":
					return
				}
				if _, err := down.Write(answer); err != nil {
					return
				}
			}
		}()
		_, _ = io.Copy(up, down)
	})
	return w
}

// TestRedisInTrouble has Redis fail in every way: a signup with a key is refused in time or right, one without
// works, decisions do not notice, and all is well again afterwards without a restart.
func TestRedisInTrouble(t *testing.T) {
	needPrograms(t)
	for _, trouble := range []struct {
		name       string
		begin, end func(*testing.T, *redistest.Server, *inTheWay)
	}{
		{"refused", func(t *testing.T, r *redistest.Server, w *inTheWay) { r.Stop() }, func(t *testing.T, r *redistest.Server, w *inTheWay) { r.Restart() }},
		{"hung", func(t *testing.T, r *redistest.Server, w *inTheWay) { r.Pause() }, func(t *testing.T, r *redistest.Server, w *inTheWay) { r.Resume() }},
		{"slow", func(t *testing.T, r *redistest.Server, w *inTheWay) { w.mode.Store("slow") }, func(t *testing.T, r *redistest.Server, w *inTheWay) { w.mode.Store("") }},
		{"garbled", func(t *testing.T, r *redistest.Server, w *inTheWay) { w.mode.Store("garbled") }, func(t *testing.T, r *redistest.Server, w *inTheWay) { w.mode.Store("") }},
		{"cut off", func(t *testing.T, r *redistest.Server, w *inTheWay) { w.mode.Store("refused") }, func(t *testing.T, r *redistest.Server, w *inTheWay) { w.mode.Store("") }},
		{"restarted", func(t *testing.T, r *redistest.Server, w *inTheWay) { r.Restart() }, func(t *testing.T, r *redistest.Server, w *inTheWay) {}},
	} {
		t.Run(trouble.name, func(t *testing.T) {
			t.Parallel()
			redis := redistest.Start(t)
			w := startInTheWay(t, redis.Addr)
			a := newAccounts(t, "redis://"+w.addr, programs.passgate)
			a.start(t)
			before := a.spilled.newPerson()
			token := a.session(t, must(t, 201)(a.post(signUpPath, before.signUp(), before.keyed()))).Token

			trouble.begin(t, redis, w)
			for i := range 3 {
				ann := a.spilled.newPerson()
				answer, err := a.post(signUpPath, ann.signUp(), ann.keyed())
				switch {
				case err != nil:
					t.Fatal(err)
				case answer.status == 201: // right it is then, and stays
					a.session(t, answer)
				default:
					answer.mustDeny(t, fmt.Sprintf("signup %d with a key", i+1), 503, "unavailable")
					if answer.header.Get("Retry-After") == "" {
						t.Error("503 without Retry-After")
					}
				}
			}
			unkeyed := a.spilled.newPerson()
			a.session(t, must(t, 201)(a.post(signUpPath, unkeyed.signUp())))
			a.session(t, must(t, 200)(a.post(logInPath, unkeyed.logIn())))
			a.decides(t, token)

			trouble.end(t, redis, w)
			ann := a.spilled.newPerson()
			var first response
			waitFor(t, "a signup with a key to work again", func() bool {
				var err error
				first, err = a.post(signUpPath, ann.signUp(), ann.keyed())
				if err != nil {
					t.Fatal(err)
				}
				return first.status == 201
			})
			a.session(t, first)
			again := must(t, 201)(a.post(signUpPath, ann.signUp(), ann.keyed()))
			if again.body != first.body || again.header.Get("Idempotent-Replayed") != "true" {
				t.Errorf("the answer is not replayed after the trouble: %q, was %q", again.body, first.body)
			}
		})
	}
}

// decides sends requests to every door and sees to it that none of the stores is asked about one.
func (a *accounts) decides(t *testing.T, token string) {
	t.Helper()
	commands := func() (sql, redis float64) {
		return a.metric(t, `passgate_store_commands_total{store="sql"}`), a.metric(t, `passgate_store_commands_total{store="redis"}`)
	}
	sql, redis := commands()
	a.upstream.take()
	client := checkClient(t, a.grpc)
	for i := range 50 {
		get(t, a.http, fmt.Sprintf("/v1/proxy/api/%d", i), "Authorization: Bearer "+token)
		if status := checkStatus(t, client, fmt.Sprintf("/api/%d", i), token); status != 0 {
			t.Errorf("Check %d: status code %d", i, status)
		}
		if status := checkStatus(t, client, fmt.Sprintf("/api/%d", i), token+"x"); status == 0 {
			t.Errorf("Check %d: a broken token was let through", i)
		}
	}
	if n := len(a.upstream.take()); n != 50 {
		t.Errorf("%d of 50 requests reached the upstream", n)
	}
	if sqlAfter, redisAfter := commands(); sqlAfter != sql || redisAfter != redis {
		t.Errorf("150 decisions cost %v SQL and %v Redis commands, want none", sqlAfter-sql, redisAfter-redis)
	}
	if sql == 0 || redis == 0 {
		t.Errorf("%v SQL and %v Redis commands before: the counters count nothing", sql, redis)
	}
}

// checkClient asks passgate as Envoy does.
func checkClient(t *testing.T, addr string) authv3.AuthorizationClient {
	t.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return authv3.NewAuthorizationClient(conn)
}

// checkStatus returns the status code of a decision, 0 for an allow.
func checkStatus(t *testing.T, client authv3.AuthorizationClient, path, token string) int32 {
	t.Helper()
	answer, err := client.Check(t.Context(), checkRequest(path, token))
	if err != nil {
		t.Fatal(err)
	}
	return answer.GetStatus().GetCode()
}

// checkRequest is what Envoy asks about a GET with a token.
func checkRequest(path, token string) *authv3.CheckRequest {
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{
		Http: &authv3.AttributeContext_HttpRequest{
			Method: "GET", Host: "localhost", Path: path, Protocol: "HTTP/1.1",
			Headers: map[string]string{":path": path, ":method": "GET", ":authority": "localhost", "authorization": "Bearer " + token},
		},
	}}}
}

func TestDecisionsAskNoStore(t *testing.T) {
	a := startWithRedis(t)
	ann := a.spilled.newPerson()
	a.decides(t, a.session(t, must(t, 201)(a.post(signUpPath, ann.signUp(), ann.keyed()))).Token)
}

func TestRedisThatIsDownAtTheStart(t *testing.T) {
	needPrograms(t)
	redis := redistest.Start(t)
	redis.Stop()
	a := newAccounts(t, redis.URL(), programs.passgate)
	a.start(t)
	ann := a.spilled.newPerson()
	must(t, 503)(a.post(signUpPath, ann.signUp(), ann.keyed()))
	waitFor(t, "readiness to say so", func() bool {
		status, body, err := fetch("http://" + a.ops + "/readyz?verbose")
		return err == nil && status == 200 && strings.Contains(body, "[!]redis cannot be reached") && strings.Contains(body, "[+]sql ok")
	})
	waitFor(t, "health to say so", func() bool { return a.health(t, "passgate.accounts") == healthv1.HealthCheckResponse_NOT_SERVING })
	if h := a.health(t, "envoy.service.auth.v3.Authorization"); h != healthv1.HealthCheckResponse_SERVING {
		t.Errorf("Check is %v, as if it needed Redis", h)
	}
	redis.Restart()
	waitFor(t, "a signup with a key to work", func() bool {
		answer, err := a.post(signUpPath, ann.signUp(), ann.keyed())
		if err != nil {
			t.Fatal(err)
		}
		if answer.status == 201 {
			a.session(t, answer)
		}
		return answer.status == 201
	})
	waitFor(t, "readiness to say so", func() bool {
		_, body, err := fetch("http://" + a.ops + "/readyz?verbose")
		return err == nil && strings.Contains(body, "[+]redis ok")
	})
	waitFor(t, "health to say so", func() bool { return a.health(t, "passgate.accounts") == healthv1.HealthCheckResponse_SERVING })
}

func (a *accounts) health(t *testing.T, service string) healthv1.HealthCheckResponse_ServingStatus {
	t.Helper()
	conn, err := grpc.NewClient(a.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	answer, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{Service: service})
	if err != nil { // not known yet
		return healthv1.HealthCheckResponse_SERVICE_UNKNOWN
	}
	return answer.GetStatus()
}
