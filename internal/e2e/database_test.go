package e2e

import (
	"bufio"
	"database/sql"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	_ "modernc.org/sqlite"
)

// Somebody holds the database and does not let go: signups are refused in time and leave nothing, decisions do
// not notice, and all is well again afterwards without a restart.
func TestDatabaseInTrouble(t *testing.T) {
	a := startWithRedis(t)
	ann := a.spilled.newPerson()
	token := a.session(t, must(t, 201)(a.post(signUpPath, ann.signUp(), ann.keyed()))).Token

	db, err := sql.Open("sqlite", "file:"+filepath.Join(a.dir, "accounts.db")+"?_txlock=exclusive")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	bob, eve := a.spilled.newPerson(), a.spilled.newPerson()
	keyed := must(t, 503)(a.post(signUpPath, bob.signUp(), bob.keyed()))
	for _, answer := range []response{keyed, must(t, 503)(a.post(signUpPath, eve.signUp()))} {
		answer.mustDeny(t, "signup", 503, "unavailable")
		if answer.header.Get("Retry-After") == "" {
			t.Error("503 without Retry-After")
		}
	}
	// Who only reads is not in the way of who writes.
	a.session(t, must(t, 200)(a.post(logInPath, ann.logIn())))
	a.decides(t, token)
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}

	again := must(t, 201)(a.post(signUpPath, bob.signUp(), bob.keyed()))
	a.session(t, again)
	a.session(t, must(t, 201)(a.post(signUpPath, eve.signUp())))
	if users := a.users(t); len(users) != 3 {
		t.Errorf("there are the accounts %v, want 3", users)
	}
}

// Whoever is being answered when passgate is told to go is answered.
func TestProxyFinishesWhatIsInFlight(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	var calls atomic.Int32
	addr := serveConns(t, func(conn net.Conn) {
		if _, err := conn.Read(make([]byte, 64<<10)); err != nil {
			return
		}
		calls.Add(1)
		close(arrived)
		<-release
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
	})
	a := newAccounts(t, "", programs.passgate)
	replaceIn(t, a.config, a.upstream.addr, addr)
	a.start(t)
	ann := a.spilled.newPerson()
	token := a.session(t, must(t, 201)(a.post(signUpPath, ann.signUp()))).Token
	answered := make(chan response)
	go func() { answered <- get(t, a.http, "/v1/proxy/slow", "Authorization: Bearer "+token) }()
	<-arrived
	a.signal(t, syscall.SIGTERM)
	waitFor(t, "passgate to take no new connection", func() bool {
		conn, err := net.Dial("tcp", a.http)
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	// Whoever operates it still sees it go.
	if status, body, err := fetch("http://" + a.ops + "/readyz"); err != nil || status != 503 || !strings.Contains(body, "draining") {
		t.Errorf("while it drains, readyz says %d %q (%v)", status, body, err)
	}
	close(release)
	if answer := <-answered; answer.status != 200 || answer.body != "done" {
		t.Errorf("what was in flight is answered %d %q", answer.status, answer.body)
	}
	<-a.gone
	if code := a.cmd.ProcessState.ExitCode(); code != 0 || calls.Load() != 1 {
		t.Errorf("exit status %d after %d calls", code, calls.Load())
	}
}

// replaceIn puts new in the place of old in a file.
func replaceIn(t *testing.T, file, old, new string) {
	t.Helper()
	f := &envoyFile{t: t}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	f.text = string(text)
	if err := os.WriteFile(file, []byte(f.replace(old, new).text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A WebSocket is in flight for as long as it is open.
func TestProxyLetsAWebSocketFinish(t *testing.T) {
	addr := serveConns(t, func(conn net.Conn) {
		r := bufio.NewReader(conn)
		if _, ok := readRequest(r); !ok {
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		_, _ = io.Copy(conn, r) // echo
	})
	a := newAccounts(t, "", programs.passgate)
	replaceIn(t, a.config, a.upstream.addr, addr)
	a.start(t)
	ann := a.spilled.newPerson()
	token := a.session(t, must(t, 201)(a.post(signUpPath, ann.signUp()))).Token
	conn, err := net.DialTimeout("tcp", a.http, patience)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	_, _ = io.WriteString(conn, "GET /v1/proxy/ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nAuthorization: Bearer "+token+"\r\n\r\n")
	r := bufio.NewReader(conn)
	if answer, err := http.ReadResponse(r, nil); err != nil || answer.StatusCode != 101 {
		t.Fatalf("the handshake: %+v, %v", answer, err)
	}
	a.signal(t, syscall.SIGTERM)
	waitFor(t, "passgate to take no new connection", func() bool {
		other, err := net.Dial("tcp", a.http)
		if err == nil {
			other.Close()
		}
		return err != nil
	})
	echo := make([]byte, 5)
	if _, err := io.WriteString(conn, "\x81\x03abc"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, echo); err != nil || string(echo) != "\x81\x03abc" {
		t.Errorf("after SIGTERM the WebSocket says %q, %v", echo, err)
	}
	conn.Close()
	<-a.gone
	if code := a.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

// The folder of the database is not there yet, as a volume that is mounted late: passgate starts, says so, and
// serves accounts as soon as it is.
func TestDatabaseThatIsNotThereAtTheStart(t *testing.T) {
	a := newAccounts(t, "", programs.passgate)
	replaceIn(t, a.config, "sqlite:accounts.db", "sqlite:volume/accounts.db")
	a.start(t)
	ann := a.spilled.newPerson()
	must(t, 503)(a.post(signUpPath, ann.signUp())).mustDeny(t, "without a database", 503, "unavailable")
	if status := checkStatus(t, checkClient(t, a.grpc), "/api/1", ""); status != 16 {
		t.Errorf("Check answers with the code %d, want UNAUTHENTICATED", status)
	}
	waitFor(t, "readiness to say so", func() bool {
		status, body, err := fetch("http://" + a.ops + "/readyz?verbose")
		return err == nil && status == 200 && strings.Contains(body, "[!]sql cannot be reached")
	})
	if err := os.Mkdir(filepath.Join(a.dir, "volume"), 0o700); err != nil {
		t.Fatal(err)
	}
	a.session(t, must(t, 201)(a.post(signUpPath, ann.signUp())))
}
