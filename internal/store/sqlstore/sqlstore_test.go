package sqlstore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/passgate/passgate/internal/account"
	"github.com/passgate/passgate/internal/account/storetest"
)

// childFile names the database on which the test binary, started again by a test, is another process.
const childFile = "PASSGATE_TEST_SQLSTORE"

func TestMain(m *testing.M) {
	if file := os.Getenv(childFile); file != "" {
		if err := child(file, os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// openNow opens a database and prepares it at once.
func openNow(ctx context.Context, url string) (*Store, error) {
	s, err := Open(url)
	if err != nil {
		return nil, err
	}
	if err := s.Ping(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func open(t *testing.T, file string) *Store {
	t.Helper()
	s, err := openNow(t.Context(), "sqlite:"+file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func newFile(t *testing.T) string { return filepath.Join(t.TempDir(), "accounts.db") }

func number(i int) account.Account {
	return account.Account{ID: fmt.Sprint("user_", i), Email: fmt.Sprintf("%d@example.com", i), Created: time.UnixMilli(0).UTC()}
}

func TestContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) account.Store { return open(t, newFile(t)) })
}

func TestKeepsWhatItHolds(t *testing.T) {
	file := newFile(t)
	for i := range 3 {
		s, err := openNow(t.Context(), "sqlite:"+file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Create(t.Context(), number(i)); err != nil {
			t.Fatal(err)
		}
		if all, err := s.List(t.Context(), "", 100); err != nil || len(all) != i+1 {
			t.Errorf("opened for the %d. time: %d accounts, %v", i+1, len(all), err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRefusesURL(t *testing.T) {
	t.Chdir(t.TempDir()) // where one that is not refused leaves its file
	for _, url := range []string{"", "accounts.db", "sqlite:", "sqlite::memory:", "SQLITE:accounts.db", "postgres://ada:hunter2@db/accounts"} {
		s, err := openNow(t.Context(), url)
		if err == nil {
			s.Close()
			t.Errorf("Open(%q) did", url)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error tells a password: %v", err)
		}
	}
}

func TestOpenSaysWhichFile(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text.db")
	if err := os.WriteFile(text, []byte(strings.Repeat("no database\n", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{filepath.Join(dir, "no such folder", "accounts.db"), text, dir} {
		s, err := openNow(t.Context(), "sqlite:"+file)
		if err == nil {
			s.Close()
			t.Errorf("Open of %s did", file)
		} else if strings.Count(err.Error(), file) != 1 {
			t.Errorf("the error does not name %s, once: %v", file, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := openNow(ctx, "sqlite:"+newFile(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("Open, cancelled = %v", err)
	}
}

func TestComesBackWhenTheFileCanBeMade(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "volume")
	s, err := Open("sqlite:" + filepath.Join(folder, "accounts.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Create(t.Context(), number(0)); err == nil || !strings.Contains(err.Error(), folder) {
		t.Fatalf("without the folder: %v", err)
	}
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create(t.Context(), number(0)); err != nil {
		t.Errorf("with the folder: %v", err)
	}
}

func TestFilesOfAnyName(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	names := []string{"plain.db", "with blank.db", "q?mode=memory", "50%.db", "%3F.db", "hash#.db", "é.db", "a&b=c;.db", "file:x.db", filepath.Join(dir, "absolute?.db"), "../" + filepath.Base(dir) + "/up.db"}
	for i, name := range names {
		if _, err := open(t, name).Create(t.Context(), number(i)); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(name); err != nil || info.Size() == 0 {
			t.Errorf("after Open of %q: %v", name, err)
		}
		if all, err := open(t, name).List(t.Context(), "", 10); err != nil || len(all) != 1 {
			t.Errorf("%q is shared by %d accounts, %v", name, len(all), err)
		}
	}
}

func TestOthersCannotReadTheFile(t *testing.T) {
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "accounts.db"))
	if _, err := s.Create(t.Context(), number(0)); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, f.Name())
		if info, err := f.Info(); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s has mode %v, %v", f.Name(), info.Mode(), err)
		}
	}
	if want := []string{"accounts.db", "accounts.db-shm", "accounts.db-wal"}; !slices.Equal(names, want) {
		t.Errorf("the files are %q, want %q", names, want)
	}
}

// setting returns the value of a setting of one connection.
func setting(t *testing.T, s *Store, name string) string {
	t.Helper()
	var value string
	if err := s.db.QueryRow("PRAGMA " + name).Scan(&value); err != nil {
		t.Fatal(err)
	}
	return value
}

func TestSettings(t *testing.T) {
	s := open(t, newFile(t))
	for name, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "5000"} {
		if got := setting(t, s, name); got != want {
			t.Errorf("%s = %s, want %s", name, got, want)
		}
	}
}

func TestPing(t *testing.T) {
	s, err := openNow(t.Context(), "sqlite:"+newFile(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("Ping of an empty store: %v", err)
	}
	if _, err := s.db.Exec("ALTER TABLE accounts RENAME TO elsewhere"); err != nil {
		t.Fatal(err)
	}
	if err := s.Ping(t.Context()); err == nil {
		t.Error("Ping found a table that there is not")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Ping(t.Context()); err == nil {
		t.Error("Ping of a closed store did")
	}
}

func TestCommandsAreCounted(t *testing.T) {
	s := open(t, newFile(t))
	a := number(0)
	for _, call := range []struct {
		name string
		do   func() error
	}{
		{"Create", func() error { _, err := s.Create(t.Context(), a); return err }},
		{"ByID", func() error { _, err := s.ByID(t.Context(), a.ID); return err }},
		{"ByEmail", func() error { _, err := s.ByEmail(t.Context(), a.Email); return err }},
		{"List", func() error { _, err := s.List(t.Context(), "", 1); return err }},
		{"Update", func() error {
			_, err := s.Update(t.Context(), a.Email, func(a account.Account) (account.Account, error) { return a, nil })
			return err
		}},
		{"Ping", func() error { return s.Ping(t.Context()) }},
	} {
		before := s.Commands()
		if err := call.do(); err != nil || (s.Commands() == before) != (call.name == "Ping") {
			t.Errorf("%s: %v, counted %d", call.name, err, s.Commands()-before)
		}
	}
}

func TestErrorsTellNoValue(t *testing.T) {
	const address, hash, role = "secret-address@example.com", "$2a$10$secret-hash", "secret-role"
	a := account.Account{ID: "user_secret", Email: address, PasswordHash: hash, Name: "secret-name", Roles: []string{role}}
	for _, fault := range []struct {
		name  string
		bring func(t *testing.T, s *Store)
	}{
		{"closed", func(t *testing.T, s *Store) { s.db.Close() }},
		{"no table", execs("DROP TABLE accounts")},
		{"no column", execs("ALTER TABLE accounts DROP COLUMN subscription")},
		{"row refused", execs("CREATE TRIGGER no BEFORE INSERT ON accounts BEGIN SELECT RAISE(ABORT, 'no'); END",
			"CREATE TRIGGER never BEFORE UPDATE ON accounts BEGIN SELECT RAISE(ABORT, 'no'); END")},
		{"address unique twice over", execs("CREATE UNIQUE INDEX again ON accounts (lower(email))")},
		{"list is no JSON", execs("UPDATE accounts SET roles = email || password_hash")},
		{"list of lists", execs("UPDATE accounts SET permissions = '[[\"' || email || '\"]]'")},
		{"time is no number", execs("UPDATE accounts SET created = password_hash")},
		{"value is gone", execs("CREATE TABLE a AS SELECT * FROM accounts", "DROP TABLE accounts", "ALTER TABLE a RENAME TO accounts", "UPDATE accounts SET password_hash = NULL")},
		{"read only", execs("PRAGMA query_only = on")},
	} {
		t.Run(fault.name, func(t *testing.T) {
			s := open(t, newFile(t))
			if _, err := s.Create(t.Context(), a); err != nil {
				t.Fatal(err)
			}
			s.db.SetMaxOpenConns(1)
			fault.bring(t, s)
			failed := 0
			check := func(call string, err error) {
				if err == nil {
					return
				}
				failed++
				for _, value := range []string{"secret", address, hash, role} {
					if strings.Contains(strings.ToLower(err.Error()), value) {
						t.Errorf("%s tells %q: %v", call, value, err)
					}
				}
				t.Logf("%s: %v", call, err)
			}
			_, err := s.Create(t.Context(), a)
			check("Create", err)
			upper := a
			upper.ID, upper.Email = "user_secret_2", "Secret-address@example.com"
			_, err = s.Create(t.Context(), upper)
			check("Create of another", err)
			_, err = s.ByEmail(t.Context(), address)
			check("ByEmail", err)
			_, err = s.ByID(t.Context(), a.ID)
			check("ByID", err)
			_, err = s.List(t.Context(), "", 10)
			check("List", err)
			_, err = s.Update(t.Context(), address, func(a account.Account) (account.Account, error) { return a, nil })
			check("Update", err)
			bad := a
			bad.Roles = []string{role + "\xff"}
			_, err = s.Create(t.Context(), bad)
			check("Create with a role that is no text", err)
			check("Ping", s.Ping(t.Context()))
			if failed < 2 {
				t.Errorf("%d calls failed: the fault has shown nothing", failed)
			}
		})
	}
}

func execs(commands ...string) func(*testing.T, *Store) {
	return func(t *testing.T, s *Store) {
		t.Helper()
		for _, c := range commands {
			if _, err := s.db.Exec(c); err != nil {
				t.Fatalf("%s: %v", c, err)
			}
		}
	}
}

// A writer that does not end keeps another waiting for as long as that one's context lasts, and readers not at all.
func TestWriterInTheWay(t *testing.T) {
	file := newFile(t)
	s, writer := open(t, file), open(t, file)
	if _, err := s.Create(t.Context(), number(0)); err != nil {
		t.Fatal(err)
	}
	tx, err := writer.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := s.Create(ctx, number(1)); err == nil {
		t.Error("Create wrote beside another writer")
	}
	if _, err := s.ByID(t.Context(), number(0).ID); err != nil {
		t.Errorf("ByID: %v", err)
	}
	var group sync.WaitGroup
	group.Go(func() {
		if _, err := s.Create(t.Context(), number(2)); err != nil {
			t.Errorf("Create after the other writer: %v", err)
		}
	})
	if err := tx.Rollback(); err != nil {
		t.Error(err)
	}
	group.Wait()
	if all, err := s.List(t.Context(), "", 10); err != nil || len(all) != 2 {
		t.Errorf("%d accounts, %v; want 2", len(all), err)
	}
}

func TestMigrationsGoBack(t *testing.T) {
	s := open(t, newFile(t))
	sources, err := filepath.Glob("migrations/*.sql")
	if err != nil || len(sources) == 0 {
		t.Fatalf("%q, %v", sources, err)
	}
	for _, source := range sources {
		text, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		_, down, found := strings.Cut(string(text), "-- +goose Down\n")
		if !found {
			t.Errorf("%s has no way back", source)
		}
		execs(down)(t, s)
	}
	var left int
	if err := s.db.QueryRow("SELECT count(*) FROM sqlite_schema WHERE name LIKE 'accounts%'").Scan(&left); err != nil || left != 0 {
		t.Errorf("%d tables and indexes are left, %v", left, err)
	}
}

// child is what another process does to a database.
func child(file string, args []string) error {
	ctx := context.Background()
	s, err := openNow(ctx, "sqlite:"+file)
	if err != nil {
		return err
	}
	if args[0] == "create for ever" {
		for i := 0; ; i++ {
			a, err := s.Create(ctx, number(i))
			if err != nil {
				return err
			}
			fmt.Println(a.ID)
		}
	}
	a, err := s.Create(ctx, number(0))
	if err != nil {
		return err
	}
	for i := range 10 {
		_, err := s.Update(ctx, a.Email, func(a account.Account) (account.Account, error) {
			a.Permissions = append(a.Permissions, fmt.Sprint(args[0], " ", i))
			return a, nil
		})
		if err != nil {
			return err
		}
	}
	return s.Close()
}

func startChild(t *testing.T, file string, arg string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, arg)
	cmd.Env = append(os.Environ(), childFile+"="+file)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	return cmd, bufio.NewScanner(out)
}

func TestWhatWasSaidToBeStoredOutlivesTheProcess(t *testing.T) {
	file := newFile(t)
	cmd, out := startChild(t, file, "create for ever")
	var told []string
	for len(told) < 50 && out.Scan() {
		told = append(told, out.Text())
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for out.Scan() { // what it had still said
		told = append(told, out.Text())
	}
	if err := cmd.Wait(); len(told) < 50 {
		t.Fatalf("it ended too early: %v", err)
	}
	s := open(t, file)
	for _, id := range told {
		if _, err := s.ByID(t.Context(), id); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	var state string
	if err := s.db.QueryRow("PRAGMA integrity_check").Scan(&state); err != nil || state != "ok" {
		t.Errorf("integrity_check: %s, %v", state, err)
	}
}

func TestManyOpenANewFile(t *testing.T) {
	file := newFile(t)
	stores, errs := make([]*Store, 8), make([]error, 8)
	var group sync.WaitGroup
	for i := range stores {
		group.Go(func() { stores[i], errs[i] = openNow(t.Context(), "sqlite:"+file) })
	}
	group.Wait()
	for i, s := range stores {
		if errs[i] != nil {
			t.Errorf("number %d: %v", i, errs[i])
			continue
		}
		if err := s.Ping(t.Context()); err != nil {
			t.Errorf("number %d: %v", i, err)
		}
		s.Close()
	}
}

// Several processes make one database at a time, want one account to be there, and all change it.
func TestManyProcesses(t *testing.T) {
	file := newFile(t)
	children := make([]*exec.Cmd, 4)
	for i := range children {
		children[i], _ = startChild(t, file, fmt.Sprint("child ", i))
	}
	for i, cmd := range children {
		if err := cmd.Wait(); err != nil {
			t.Errorf("child %d: %v", i, err)
		}
	}
	a, err := open(t, file).ByID(t.Context(), number(0).ID)
	if err != nil {
		t.Fatal(err)
	}
	permissions := slices.Compact(slices.Sorted(slices.Values(a.Permissions)))
	if want := 10 * len(children); len(permissions) != want || len(a.Permissions) != want {
		t.Errorf("%d permissions, %d of them different; want %d", len(a.Permissions), len(permissions), want)
	}
}
