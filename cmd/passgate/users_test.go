package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/passgate/passgate/internal/account"
	"github.com/passgate/passgate/internal/store/sqlstore"
)

// accountsConfig returns a configuration with these accounts in its database.
func accountsConfig(t *testing.T, accounts ...account.Account) string {
	t.Helper()
	config := tempFile(t, "passgate.yaml", cliConfig+"accounts: {issuer: accounts}\n")
	store, err := sqlstore.Open("sqlite:" + filepath.Join(filepath.Dir(config), "passgate.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	for _, a := range accounts {
		if _, err := store.Create(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	return config
}

func ann() account.Account {
	return account.Account{
		ID: "user_1", Email: "ann@example.com", PasswordHash: "$2a$10$not-a-hash", Name: "Ann\x1b[2J", Subscription: "free",
		Roles: []string{"user"}, Created: time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC),
	}
}

func TestUsersShow(t *testing.T) {
	config := accountsConfig(t, ann())
	o := newCLI().run(t, "users", "show", "--config", config, "ANN@example.com").must(t, exitOK)
	var got userView
	if err := json.Unmarshal([]byte(o.stdout), &got); err != nil || got.UserID != "user_1" || got.Created != "2030-01-01T12:00:00Z" || len(got.Roles) != 1 || got.Permissions == nil {
		t.Errorf("%+v (%v)", got, err)
	}
	if strings.Contains(o.stdout, "$2a$") || strings.Contains(o.stdout, "\x1b") {
		t.Errorf("a hash or a control character is shown: %q", o.stdout)
	}
	newCLI().run(t, "users", "show", "--config", config, "bob@example.com").must(t, exitNo).mustComplain(t, "passgate: no account has this address")
	newCLI().run(t, "users", "show", "--config", config, "bob").must(t, exitUsage).mustComplain(t, "want an address such as")
}

func TestUsersList(t *testing.T) {
	var all []account.Account
	for i := range usersPage + 3 {
		a := ann()
		a.ID, a.Email = fmt.Sprintf("user_%04d", i), fmt.Sprintf("user-%04d@example.com", i)
		all = append(all, a)
	}
	config := accountsConfig(t, all...)
	lines := strings.Split(strings.TrimSpace(newCLI().run(t, "users", "list", "--config", config).must(t, exitOK).stdout), "\n")
	if len(lines) != len(all) || !strings.HasPrefix(lines[0], "user-0000@example.com ") || !strings.Contains(lines[len(lines)-1], "user_0502  free          roles [user]  permissions []") {
		t.Errorf("%d lines, the first %q and the last %q", len(lines), lines[0], lines[len(lines)-1])
	}
	lines = strings.Split(strings.TrimSpace(newCLI().run(t, "users", "list", "--json", "--config", config).must(t, exitOK).stdout), "\n")
	if len(lines) != len(all) || !json.Valid([]byte(lines[7])) {
		t.Errorf("%d lines, one of them %q", len(lines), lines[7])
	}
}

func TestUsersGrantAndRevoke(t *testing.T) {
	config := accountsConfig(t, ann())
	change := func(code int, args ...string) outcome {
		t.Helper()
		return newCLI().run(t, append([]string{"users", args[0], "--config", config}, args[1:]...)...).must(t, code)
	}
	change(exitOK, "grant", "ann@example.com", "--role", "admin", "--role", "user", "--permission", "orders:read", "--subscription", "pro").
		mustHold(t, `"subscription": "pro"`, `"user",`, `"admin"`, `"orders:read"`)
	change(exitNo, "revoke", "ann@example.com", "--role", "admn").mustComplain(t, `passgate: it has no role "admn"; it has ["user" "admin"]`)
	change(exitNo, "grant", "ann@example.com", "--permission", "a,b").mustComplain(t, `"a,b" is no role, permission or subscription`)
	change(exitNo, "grant", "bob@example.com", "--role", "admin").mustComplain(t, "no account has this address")
	change(exitUsage, "grant", "ann@example.com").mustComplain(t, "nothing to grant")
	change(exitUsage, "revoke", "ann@example.com").mustComplain(t, "nothing to revoke")
	o := change(exitOK, "revoke", "ann@example.com", "--role", "admin", "--permission", "orders:read")
	if strings.Contains(o.stdout, "admin") || strings.Contains(o.stdout, "orders") || !strings.Contains(o.stdout, `"pro"`) {
		t.Errorf("after it the account is %s", o.stdout)
	}
}

func TestUsersNeedAccounts(t *testing.T) {
	config := tempFile(t, "passgate.yaml", cliConfig)
	newCLI().run(t, "users", "list", "--config", config).must(t, exitUsage).mustComplain(t, "has no accounts; add accounts: {issuer: NAME}")
	config = tempFile(t, "passgate.yaml", cliConfig+"accounts: {issuer: accounts}\n")
	newCLI().run(t, "users", "list", "--config", config).must(t, exitUsage).mustComplain(t, "passgate.db does not exist; passgate serve makes it")
	if _, err := os.Stat(filepath.Join(filepath.Dir(config), "passgate.db")); err == nil {
		t.Error("a database was made")
	}
}
