package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/passgate/passgate/internal/config"
	"github.com/passgate/passgate/internal/keyset"
)

// rewrite changes a file as an editor does that writes a new one and renames it.
func rewrite(t *testing.T, path, text string) {
	t.Helper()
	next := path + ".new"
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, path); err != nil {
		t.Fatal(err)
	}
}

// codeFor returns the status code that Check answers a GET with.
func codeFor(t *testing.T, conn *grpc.ClientConn, path, token string) codes.Code {
	t.Helper()
	return codes.Code(check(t, conn, path, token).GetStatus().GetCode())
}

// metric returns the value of a metric as it is written, "" if it is not there.
func (s *server) metric(t *testing.T, series string) string {
	t.Helper()
	_, page := httpGet(t, "http://"+s.ops+"/metrics")
	for line := range strings.Lines(page) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

const shutRoutes = `routes:
  - {path: "/**", access: deny}
`

func TestReloadSwapsTheConfiguration(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	s := startServer(t, newCLI(), anyPorts)
	reader := s.mint(t, s.config, "--claim", `permissions=["read"]`)
	conn := dial(t, s.grpc)
	if code := codeFor(t, conn, "/api/users/1", reader); code != codes.OK {
		t.Fatalf("a reader was answered %v", code)
	}
	open := cliConfig + anyPorts
	shut := open[:strings.Index(open, "routes:")] + shutRoutes + anyPorts

	for range 3 {
		rewrite(t, s.config, shut)
		eventually(t, "the routes to be shut", func() bool { return codeFor(t, conn, "/api/users/1", reader) == codes.PermissionDenied })
		rewrite(t, s.config, open)
		eventually(t, "the routes to be open", func() bool { return codeFor(t, conn, "/api/users/1", reader) == codes.OK })
	}
	eventually(t, "the count of loads", func() bool { return s.metric(t, `passgate_config_loads_total{result="used"}`) == "7" })
	if n := len(s.logs(t, "configuration reloaded")); n != 6 {
		t.Errorf("%d reloads in the log, want 6", n)
	}
	conn.Close()
	if code := s.end(); code != exitOK {
		t.Errorf("exit status %d\n%s", code, s.stderr)
	}
}

// A configuration that is refused changes nothing, says so, and is used as soon as it is mended.
func TestReloadRefusesWhole(t *testing.T) {
	good := cliConfig + anyPorts
	for name, test := range map[string]struct{ text, want string }{
		"a fault":               {good + "nonsense: 1\n", "nonsense"},
		"not YAML":              {"{", "passgate.yaml"},
		"empty":                 {"", "empty"},
		"another address":       {strings.Replace(good, `ops: "127.0.0.1:0"`, `ops: "127.0.0.1:1"`, 1), "listen.ops cannot change"},
		"accounts of a sudden":  {good + "accounts: {issuer: accounts}\n", "accounts cannot change"},
		"a secret that is weak": {strings.Replace(good, "${SECRET}", "short", 1), "shorter than 32 bytes"},
		"reflection turned off": {good + "grpc: {reflection: false}\n", "grpc.reflection cannot change"},
	} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, newCLI(), anyPorts)
			reader := s.mint(t, s.config, "--claim", `permissions=["read"]`)
			conn := dial(t, s.grpc)
			rewrite(t, s.config, test.text)
			s.waitForLog(t, refusedMessage)
			if code := codeFor(t, conn, "/api/users/1", reader); code != codes.OK {
				t.Errorf("a reader was answered %v", code)
			}
			if status, page := httpGet(t, "http://"+s.ops+"/readyz?verbose"); status != 200 || !strings.Contains(page, "[!]the configuration as it stands is not in use: ") || !strings.Contains(page, test.want) {
				t.Errorf("/readyz?verbose answered %d %s, want %q in it", status, page, test.want)
			}
			if value := s.metric(t, "passgate_config_last_load_successful"); value != "0" {
				t.Errorf("last_load_successful is %q", value)
			}
			if n := s.metric(t, `passgate_config_loads_total{result="refused"}`); n != "1" {
				t.Errorf("refused is %q", n)
			}
			rewrite(t, s.config, strings.Replace(good, `path: "/docs/**"`, `path: "/papers/**"`, 1))
			eventually(t, "the mended one", func() bool { return codeFor(t, conn, "/papers/a", "") == codes.OK })
			eventually(t, "success", func() bool { return s.metric(t, "passgate_config_last_load_successful") == "1" })
			if _, page := httpGet(t, "http://"+s.ops+"/readyz?verbose"); strings.Contains(page, "not in use") {
				t.Errorf("the refusal still shows:\n%s", page)
			}
			conn.Close()
			if code := s.end(); code != exitOK {
				t.Errorf("exit status %d", code)
			}
			s.mustNotHoldSecrets(t)
		})
	}
}

func (s *server) mustNotHoldSecrets(t *testing.T) {
	t.Helper()
	for _, secret := range []string{cliSecret, cliOtherSecret} {
		if strings.Contains(s.stderr.String(), secret) {
			t.Error("a secret is in the log")
		}
	}
}

// Every file that the configuration names is watched as it is.
func TestReloadFollowsSecretsKeysAndAPIKeys(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"jwt.secret": cliSecret + "\n", "api-keys.yaml": "keys: []\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := newCLI()
	made := c.run(t, "apikey", "new", "--name", "ci", "--user-id", "ci", "--permission", "read").must(t, exitOK).stdout
	key, entry, _ := strings.Cut(made, "\n")
	c.run(t, "keys", "new", "--dir", filepath.Join(dir, "keys"), "--alg", "HS256").must(t, exitOK)
	s := startServerWith(t, c, `
issuers:
  - {name: plain, issuer: plain, algorithms: [HS256], secret_file: "`+dir+`/jwt.secret", audiences: any}
  - {name: accounts, issuer: accounts, algorithms: [HS256, EdDSA], audiences: any, user_prefix: "acc:"}
keys: {dir: "`+dir+`/keys", issuer: accounts}
api_keys: {file: "`+dir+`/api-keys.yaml", user_prefix: "key:"}
routes: [{path: /, permissions: [read]}]
listen: {grpc: "127.0.0.1:0", ops: "127.0.0.1:0", http: "127.0.0.1:0"}
drain: {wait: 0s}
`)
	conn := dial(t, s.grpc)
	operator := *c // with a clock of its own
	mint := func(issuer string) string {
		return strings.TrimSpace(operator.run(t, "token", "mint", "--config", s.config, "--issuer", issuer, "--sub", "ann", "--claim", `permissions=["read"]`).must(t, exitOK).stdout)
	}
	// The API key is let in as soon as it stands in its file, and no longer once it is gone.
	withKey := func() codes.Code {
		return codes.Code(checkWith(t, conn, "/", map[string]string{"x-api-key": key}).GetStatus().GetCode())
	}
	if code := withKey(); code != codes.Unauthenticated {
		t.Fatalf("an unknown API key was answered %v", code)
	}
	rewrite(t, filepath.Join(dir, "api-keys.yaml"), "keys:\n"+entry)
	eventually(t, "the API key", func() bool { return withKey() == codes.OK })
	rewrite(t, filepath.Join(dir, "api-keys.yaml"), "keys: []\n")
	eventually(t, "the API key to be gone", func() bool { return withKey() == codes.Unauthenticated })

	// The secret is another one.
	before := mint("plain")
	if code := codeFor(t, conn, "/", before); code != codes.OK {
		t.Fatalf("a good token was answered %v", code)
	}
	rewrite(t, filepath.Join(dir, "jwt.secret"), cliOtherSecret)
	eventually(t, "the old secret to be gone", func() bool { return codeFor(t, conn, "/", before) == codes.Unauthenticated })
	if code := codeFor(t, conn, "/", mint("plain")); code != codes.OK {
		t.Errorf("a token of the new secret was answered %v", code)
	}

	// A key more in the directory verifies, and the others go on.
	old := mint("accounts")
	if code := codeFor(t, conn, "/", old); code != codes.OK {
		t.Fatalf("a token of the directory was answered %v", code)
	}
	operator.now = operator.now.Add(30 * time.Second)
	operator.run(t, "keys", "rotate", "--dir", filepath.Join(dir, "keys"), "--alg", "EdDSA", "--sign-after", "0s").must(t, exitOK)
	next := mint("accounts")
	if next == old || strings.Split(next, ".")[0] == strings.Split(old, ".")[0] {
		t.Fatal("the new key does not sign")
	}
	eventually(t, "the new key", func() bool { return codeFor(t, conn, "/", next) == codes.OK })
	if code := codeFor(t, conn, "/", old); code != codes.OK {
		t.Errorf("a token of the old key was answered %v", code)
	}
	conn.Close()
	if code := s.end(); code != exitOK {
		t.Errorf("exit status %d\n%s", code, s.stderr)
	}
	for _, secret := range []string{key, cliSecret, cliOtherSecret} {
		if strings.Contains(s.stderr.String(), secret) {
			t.Errorf("%q is in the log", secret)
		}
	}
}

// A hang-up reloads at once, and ends nothing; a ConfigMap is swapped by its link.
func TestReloadFollowsLinksAndHangUps(t *testing.T) {
	dir := t.TempDir()
	text := cliConfig + anyPorts
	for name, text := range map[string]string{"1": text, "2": strings.Replace(text, "/docs/**", "/papers/**", 1)} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, "passgate.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	link := func(to string) {
		t.Helper()
		if err := os.Symlink(to, filepath.Join(dir, "..next")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..next"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	link("1")
	if err := os.Symlink("..data/passgate.yaml", filepath.Join(dir, "passgate.yaml")); err != nil {
		t.Fatal(err)
	}
	s := startServerOf(t, newCLI(), filepath.Join(dir, "passgate.yaml"))
	conn := dial(t, s.grpc)
	if code := codeFor(t, conn, "/docs/a", ""); code != codes.OK {
		t.Fatalf("a public path was answered %v", code)
	}
	link("2")
	eventually(t, "the swapped link", func() bool { return codeFor(t, conn, "/papers/a", "") == codes.OK })
	loads := s.metric(t, `passgate_config_loads_total{result="used"}`)
	hangUp(t)
	eventually(t, "a reload by a hang-up", func() bool { return s.metric(t, `passgate_config_loads_total{result="used"}`) != loads })
	if code := codeFor(t, conn, "/papers/a", ""); code != codes.OK {
		t.Errorf("after a hang-up a public path was answered %v", code)
	}
	conn.Close()
	if code := s.end(); code != exitOK {
		t.Errorf("exit status %d", code)
	}
}

// A reload that keeps an issuer keeps the keys that were fetched for it, and asks for none.
func TestReloadKeepsFetchedKeys(t *testing.T) {
	signer, err := keyset.GenerateSigner(keyset.EdDSA, "k1")
	if err != nil {
		t.Fatal(err)
	}
	var fetches atomic.Int64
	var down atomic.Bool
	idp := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fetches.Add(1)
		if down.Load() {
			http.Error(w, "down", http.StatusInternalServerError)
			return
		}
		w.Write(keyset.PublicJWKS(signer.Key()))
	}))
	defer idp.Close()
	text := `
issuers: [{name: partner, issuer: "https://idp.partner.example", algorithms: [EdDSA], audiences: any, jwks_url: "` + idp.URL + `"}]
routes: [{path: /}]
` + anyPorts
	s := startServerWith(t, newCLI(), text)
	conn := dial(t, s.grpc)
	token := mintWith(t, signer, map[string]any{"iss": "https://idp.partner.example", "sub": "ann", "exp": s.now.Add(time.Hour).Unix()})
	eventually(t, "the keys", func() bool { return codeFor(t, conn, "/", token) == codes.OK })
	down.Store(true)
	asked := fetches.Load()
	for i := range 5 {
		rewrite(t, s.config, fmt.Sprintf("%sroles: {r%d: [read]}\n", text, i))
		eventually(t, "a reload", func() bool { return len(s.logs(t, "configuration reloaded")) == i+1 })
		if code := codeFor(t, conn, "/", token); code != codes.OK {
			t.Errorf("after reload %d a token was answered %v", i, code)
		}
	}
	if n := fetches.Load(); n != asked {
		t.Errorf("%d fetches by five reloads, want none", n-asked)
	}
	// Nobody has asked since, and so nobody knows that the server is down.
	if _, page := httpGet(t, "http://"+s.ops+"/readyz?verbose"); !strings.Contains(page, "[+]keys of partner ok") {
		t.Errorf("/readyz?verbose:\n%s", page)
	}
	conn.Close()
	s.end()
}

// One version of the configuration judges a request, whatever is swapped meanwhile: a route's permission and the
// role that grants it change together, so that a mixture of two versions would refuse or allow wrongly.
func TestReloadUnderLoadJudgesByOneVersion(t *testing.T) {
	version := func(n int) string {
		return fmt.Sprintf(`
issuers: [{name: accounts, issuer: accounts, algorithms: [HS256], secret: "${SECRET}", audiences: any}]
roles: {member: [v%d]}
routes:
  - {path: /in, permissions: [v%d]}
  - {path: /out, permissions: [w%d]}
log: {decisions: none}
`, n, n, n) + anyPorts
	}
	s := startServerWith(t, newCLI(), version(0))
	token := s.mint(t, s.config, "--claim", `roles=["member"]`)
	done := make(chan struct{})
	var callers sync.WaitGroup
	var good, wrong atomic.Int64
	for range 4 {
		conn := dial(t, s.grpc)
		callers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				in, out := codeFor(t, conn, "/in", token), codeFor(t, conn, "/out", token)
				if in != codes.OK || out != codes.PermissionDenied {
					wrong.Add(1)
				}
				good.Add(2)
			}
		})
	}
	const reloads = 20
	for n := 1; n <= reloads; n++ {
		rewrite(t, s.config, version(n))
		eventually(t, "a reload", func() bool { return len(s.logs(t, "configuration reloaded")) == n })
	}
	close(done)
	callers.Wait()
	if wrong.Load() > 0 || good.Load() == 0 {
		t.Errorf("%d of %d decisions were wrong", wrong.Load(), good.Load())
	}
	t.Logf("%d decisions under %d reloads", good.Load(), reloads)
	s.end()
}

func TestNeedRestart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "passgate.yaml")
	load := func(more string) *config.Config {
		t.Helper()
		rewrite(t, file, cliConfig+more)
		c, err := config.Load(file, newCLI().program(nil, nil).lookupEnv)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	running := load("accounts: {issuer: accounts}\n")
	for more, want := range map[string]string{
		"accounts: {issuer: accounts, token_ttl: 1h, bcrypt_cost: 11}\n":                        "",
		"accounts: {issuer: accounts}\nproxy: {upstreams: {default: \"http://127.0.0.1:1\"}}\n": "",
		"accounts: {issuer: accounts}\ndrain: {wait: 1s}\nlog: {level: debug}\n":                "",
		"": "accounts",
		"accounts: {issuer: accounts, database: \"sqlite:other.db\"}\n":                    "accounts.database",
		"accounts: {issuer: accounts}\nredis: \"redis://127.0.0.1:1\"\n":                   "redis",
		"accounts: {issuer: accounts}\nlisten: {http: \"127.0.0.1:1\"}\n":                  "listen.http",
		"accounts: {issuer: accounts}\nlisten: {grpc: \"127.0.0.1:1\"}\n":                  "listen.grpc",
		"accounts: {issuer: accounts}\nlisten: {debug: \"127.0.0.1:1\"}\n":                 "listen.debug",
		"accounts: {issuer: accounts}\nlisten: {authz_http: \"127.0.0.1:1\"}\n":            "listen.authz_http",
		"accounts: {issuer: accounts}\nlimits: {headers: 32KiB}\n":                         "limits.headers",
		"accounts: {issuer: accounts}\ngrpc: {reflection: false}\nlisten: {ops: \":1\"}\n": "listen.ops, grpc.reflection",
	} {
		if got := strings.Join(needRestart(running, load(more)), ", "); got != want {
			t.Errorf("%q: got %q, want %q", more, got, want)
		}
	}
	if got := needRestart(load(""), load("proxy: {upstreams: {default: \"http://127.0.0.1:1\"}}\n")); len(got) != 1 {
		t.Errorf("something to serve where there was nothing: %q", got)
	}
}

// A configuration file that is gone for a moment is a refusal, and never the embedded default, which would let in whom
// it does not.
func TestReloadNeverFallsBackToTheDefault(t *testing.T) {
	t.Chdir(t.TempDir())
	c := newCLI()
	c.env["PASSGATE_JWT_SECRET"] = cliSecret
	if err := os.WriteFile("passgate.yaml", []byte(cliConfig+anyPorts), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startServerArgs(t, c, "passgate.yaml", "serve")
	conn := dial(t, s.grpc)
	if err := os.Rename("passgate.yaml", "elsewhere.yaml"); err != nil {
		t.Fatal(err)
	}
	refused := s.waitForLog(t, refusedMessage)
	if text := fmt.Sprint(refused["faults"]); !strings.Contains(text, "passgate.yaml: cannot read the file") {
		t.Errorf("refused for %s", text)
	}
	hangUp(t)
	eventually(t, "a second refusal", func() bool { return len(s.logs(t, refusedMessage)) == 2 })
	if code := codeFor(t, conn, "/admin", ""); code != codes.PermissionDenied {
		t.Errorf("a path without a route was answered %v", code)
	}
	if err := os.Rename("elsewhere.yaml", "passgate.yaml"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "its return", func() bool { return s.metric(t, "passgate_config_last_load_successful") == "1" })
	conn.Close()
	if code := s.end(); code != exitOK {
		t.Errorf("exit status %d", code)
	}
}

const refusedMessage = "configuration refused: nothing of it is in use, and the one before goes on"

// The embedded default cannot do without its key, and goes on with the one that it had.
func TestReloadOfTheDefaultWithoutItsKey(t *testing.T) {
	t.Chdir(t.TempDir())
	c := newCLI()
	if err := config.GenerateKey(config.KeyFile); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Default(c.program(nil, nil).lookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	s, err := newServers(cfg, c.program(new(syncBuffer), new(syncBuffer)).newLog(cfg), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	}()
	if err := os.Remove(config.KeyFile); err != nil {
		t.Fatal(err)
	}
	before := s.inUse.Load()
	r := &reload{load: func() (*config.Config, error) { return config.Default(c.program(nil, nil).lookupEnv) }}
	if err := s.reloadSafely(t.Context(), r); err == nil || !strings.Contains(err.Error(), "no key to sign") {
		t.Errorf("got %v", err)
	}
	if s.inUse.Load() != before {
		t.Error("it is in use")
	}
	broken := &reload{load: func() (*config.Config, error) { panic("a fault of the program") }}
	if err := s.reloadSafely(t.Context(), broken); err == nil {
		t.Error("a panic was taken for a configuration")
	}
}

// What is refused is said again when it changes, and not by every look at it.
func TestReloadTellsOfEveryChange(t *testing.T) {
	s := startServer(t, newCLI(), anyPorts)
	for n := 1; n <= 3; n++ {
		rewrite(t, s.config, cliConfig+anyPorts+"limits: {headers: 32KiB}\n"+strings.Repeat("# another change\n", n))
		eventually(t, "a refusal", func() bool { return len(s.logs(t, refusedMessage)) == n })
	}
	if n := s.metric(t, `passgate_config_loads_total{result="refused"}`); n != "3" {
		t.Errorf("%s refusals are counted, want 3", n)
	}
	s.end()
}

// A file that becomes a pipe is not waited for, and one that was a pipe for a moment is followed again.
func TestReloadDoesNotWaitForPipes(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte(cliSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	c := newCLI()
	s := startServerWith(t, c, `
issuers: [{name: accounts, issuer: accounts, algorithms: [HS256], secret_file: "`+secret+`", audiences: any}]
routes: [{path: /}]
`+anyPorts)
	conn, token := dial(t, s.grpc), s.mint(t, s.config)
	if err := os.Remove(secret); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(secret, 0o600); err != nil {
		t.Fatal(err)
	}
	s.waitForLog(t, refusedMessage)
	rewrite(t, secret, cliOtherSecret)
	eventually(t, "the file to be one again", func() bool { return codeFor(t, conn, "/", token) == codes.Unauthenticated })
	conn.Close()
	if code := s.end(); code != exitOK {
		t.Errorf("exit status %d", code)
	}
}

// A change of how often keys are fetched forgets none, though their server is down; a change of where forgets all.
func TestReloadInheritsFetchedKeys(t *testing.T) {
	signer, err := keyset.GenerateSigner(keyset.EdDSA, "k1")
	if err != nil {
		t.Fatal(err)
	}
	var down atomic.Bool
	idp := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if down.Load() {
			http.Error(w, "down", http.StatusInternalServerError)
			return
		}
		w.Write(keyset.PublicJWKS(signer.Key()))
	}))
	defer idp.Close()
	text := func(path, more string) string {
		return `
issuers: [{name: partner, issuer: "https://idp.partner.example", algorithms: [EdDSA], audiences: any, jwks_url: "` + idp.URL + path + `"` + more + `}]
routes: [{path: /}]
` + anyPorts
	}
	s := startServerWith(t, newCLI(), text("/keys", ""))
	conn := dial(t, s.grpc)
	token := mintWith(t, signer, map[string]any{"iss": "https://idp.partner.example", "sub": "ann", "exp": s.now.Add(time.Hour).Unix()})
	eventually(t, "the keys", func() bool { return codeFor(t, conn, "/", token) == codes.OK })
	down.Store(true)
	rewrite(t, s.config, text("/keys", ", jwks_refresh: 7m"))
	eventually(t, "a reload", func() bool { return len(s.logs(t, "configuration reloaded")) == 1 })
	if code := codeFor(t, conn, "/", token); code != codes.OK {
		t.Errorf("a token of a key that is known was answered %v", code)
	}
	rewrite(t, s.config, text("/others", ", jwks_refresh: 7m"))
	eventually(t, "keys from elsewhere to be asked for", func() bool { return codeFor(t, conn, "/", token) == codes.Unavailable })
	conn.Close()
	s.end()
}

// A file that is written in place is read when it is whole, and not before: a policy that is cut off may let in whom the
// whole one does not.
func TestAChangeCountsOnceItHasStood(t *testing.T) {
	a, b, c := config.Snapshot{"f": {1}}, config.Snapshot{"f": {2}}, config.Snapshot{"f": {3}}
	for name, test := range map[string]struct {
		looks []config.Snapshot
		want  string // of each look: - nothing, ~ in the middle of a change, ! changed
	}{
		"nothing":                  {[]config.Snapshot{a, a, a}, "---"},
		"one write":                {[]config.Snapshot{b, b}, "~!"},
		"several":                  {[]config.Snapshot{b, c, c}, "~~!"},
		"one that is taken back":   {[]config.Snapshot{b, a, a}, "~--"},
		"taken back, and again":    {[]config.Snapshot{b, a, b, b}, "~-~!"},
		"one that is never at end": {[]config.Snapshot{b, c, b, c, b, c}, "~~~~~~"},
	} {
		s := settler{seen: a}
		got, at := "", time.Unix(0, 0)
		for _, look := range test.looks {
			at = at.Add(time.Second)
			switch changed := s.look(look, at); {
			case changed:
				got += "!"
			case s.unsettled(at) > 0 || s.settling != nil:
				got += "~"
			default:
				got += "-"
			}
		}
		if got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
		if test.want == "~~~~~~" && s.unsettled(at) != 5*time.Second {
			t.Errorf("unsettled for %v", s.unsettled(at))
		}
	}
}
