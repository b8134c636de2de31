package e2e

import (
	"database/sql"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

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
