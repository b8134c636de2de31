package config

import (
	"encoding/base64"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/keyset"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const testSecret = "test-secret-not-for-production-00001"

// publicKeyDER is the key of testdata/keys/rsa.pem in base64, without the lines around it.
var publicKeyDER = func() string {
	text, err := os.ReadFile("testdata/keys/rsa.pem")
	if err != nil {
		panic(err)
	}
	block, _ := pem.Decode(text)
	return base64.StdEncoding.EncodeToString(block.Bytes)
}()

// testEnv stands in for the environment.
func testEnv(name string) (string, bool) {
	value, ok := map[string]string{
		"SECRET":   testSecret,
		"AUDIENCE": "api: [x] # not YAML\nkey: value",
		"EMPTY":    "",
		"WORD":     "perhaps",
		"WEAK":     strings.Repeat("a", 40),
		"YAML":     "[semicolon]",
		"BYTES":    testSecret + "\xff",
		"BLANK":    "https://idp.partner.example ",
		"DER":      publicKeyDER,
	}[name]
	return value, ok
}

// write puts a configuration in a folder of its own and returns its name.
func write(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "passgate.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// golden compares got with a file, or rewrites it with -update.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

// holdsSecret reports whether text holds a fixture's secret, or a piece that could only be of one.
func holdsSecret(text string) bool {
	return strings.Contains(text, "for-production") || strings.Contains(text, "secret-too-short") || strings.Contains(text, "production,")
}

func TestBrokenFilesNameEveryFaultWithItsPlace(t *testing.T) {
	files, err := filepath.Glob("testdata/broken/*.yaml")
	if err != nil || len(files) < 60 {
		t.Fatalf("found %d broken files, want 60 at least (%v)", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			_, err := Load(file, testEnv)
			var faults Errors
			if !errors.As(err, &faults) {
				t.Fatalf("Load = %v, want Errors", err)
			}
			golden(t, strings.TrimSuffix(file, ".yaml")+".txt", err.Error()+"\n")
			if holdsSecret(err.Error()) {
				t.Errorf("the error shows a secret:\n%v", err)
			}
			for _, f := range faults {
				if f.Line < 1 || f.Column < 1 {
					t.Errorf("no place in %v", f)
				}
			}
			if lines := strings.Count(err.Error(), "\n") + 1; lines != len(faults) {
				t.Errorf("%d faults on %d lines", len(faults), lines)
			}
		})
	}
}

func TestGoodFileIsReadWhole(t *testing.T) {
	c, err := Load("testdata/good.yaml", testEnv)
	if err != nil {
		t.Fatal(err)
	}
	if c.Listen != (Listen{GRPC: "unix:///run/passgate/grpc.sock", HTTP: "127.0.0.1:8088", Ops: "[::1]:9090", Debug: "127.0.0.1:6060"}) {
		t.Errorf("Listen = %+v", c.Listen)
	}
	accounts, partner, devices := c.Issuers[0], c.Issuers[1], c.Issuers[2]
	if want := []string{"api", "api: [x] # not YAML\nkey: value"}; !cmp.Equal(accounts.Audiences, want) {
		t.Errorf("Audiences = %q, want %q", accounts.Audiences, want)
	}
	if accounts.Leeway != 5*time.Second || accounts.ClockSkew != 0 || partner.Leeway != 0 || partner.ClockSkew != time.Minute {
		t.Errorf("leeway and skew = %v %v, %v %v", accounts.Leeway, accounts.ClockSkew, partner.Leeway, partner.ClockSkew)
	}
	if accounts.MintKey == nil || accounts.MintKey.ID != "" || partner.MintKey != nil || devices.MintKey != nil {
		t.Errorf("keys to mint with = %v %v %v", accounts.MintKey, partner.MintKey, devices.MintKey)
	}
	if partner.Audiences != nil || partner.Claims.Roles != "groups" || partner.Claims.UserID != "sub" {
		t.Errorf("partner = %+v", partner)
	}
	for id, algorithm := range map[string]keyset.Algorithm{"ec-1": keyset.ES256, "ed-1": keyset.EdDSA} {
		if _, err := partner.Keys.Key(t.Context(), id, true, algorithm); err != nil {
			t.Error(err)
		}
	}
	if _, err := devices.Keys.Key(t.Context(), "device-1", true, keyset.RS256); err != nil {
		t.Error(err)
	}
	wantRoles := map[string][]string{"admin": {"read", "write", "delete"}, "operator": {"read", "write", "delete"}, "guest": nil}
	if diff := cmp.Diff(wantRoles, c.Roles); diff != "" {
		t.Error(diff)
	}
	if want := []string{"partner:", "device:"}; !cmp.Equal(c.Directory().Prefixes, want) {
		t.Errorf("Prefixes = %q, want %q", c.Directory().Prefixes, want)
	}
	if c.DefaultAccess != authz.AccessDeny || c.Policy == nil || c.Stamper == nil {
		t.Errorf("default access %v, policy %v, stamper %v", c.DefaultAccess, c.Policy, c.Stamper)
	}
	r := c.Routes[2]
	if !cmp.Equal(r.Sources, []string{"accounts", "partner"}) || r.Access != authz.AccessAuthenticated || !c.Routes[1].StripCredentials {
		t.Errorf("Routes = %+v", c.Routes)
	}
	if c.Log != (Log{"warn", "denied"}) || c.Limits != (Limits{16 << 10, 32 << 10, 16 << 10}) || c.Drain != (Drain{0, time.Minute}) || c.GRPC.Reflection {
		t.Errorf("%+v %+v %+v %+v", c.Log, c.Limits, c.Drain, c.GRPC)
	}
}

func TestGoodAccountsAndProxy(t *testing.T) {
	c, err := Load("testdata/good.yaml", testEnv)
	if err != nil {
		t.Fatal(err)
	}
	a := c.Accounts
	if a.Issuer.Name != "accounts" || a.Issuer.MintKey == nil || a.Database != "sqlite:testdata/data/accounts.db" || a.TokenTTL != time.Hour || a.BcryptCost != 11 ||
		a.HashQueue != 64 || a.DefaultRole != "member" || a.DefaultSubscription != "trial" || a.Password != (Password{12, false}) {
		t.Errorf("Accounts = %+v", a)
	}
	if want := "redis://:" + testSecret + "@127.0.0.1:6379/1"; string(c.Redis) != want || c.Idempotency.TTL != 4*time.Minute {
		t.Errorf("Redis = %q, Idempotency = %+v", string(c.Redis), c.Idempotency)
	}
	var upstreams []string
	for name, u := range c.Proxy.Upstreams {
		upstreams = append(upstreams, name+" "+u.String())
	}
	slices.Sort(upstreams)
	if want := []string{"default http://127.0.0.1:8081/base", "users-service h2c://users.internal:50051"}; !cmp.Equal(upstreams, want) || c.Proxy.Timeout != 10*time.Second {
		t.Errorf("Proxy = %q, %v", upstreams, c.Proxy.Timeout)
	}
	if got := fmt.Sprint(c.TrustedProxy); got != "[10.0.0.0/8 192.0.2.7/32 2001:db8::/32]" {
		t.Errorf("TrustedProxy = %s", got)
	}
}

func TestNeitherAccountsNorProxyUnlessTheFileSaysSo(t *testing.T) {
	for _, text := range []string{"log: {level: info}", "accounts:\n", "accounts: null", "proxy: {upstreams: {default: \"${EMPTY}\"}}", "proxy: {timeout: 5s}", "redis: ${EMPTY}"} {
		c, err := Load(write(t, text), testEnv)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if c.Accounts != nil || c.Proxy != nil || c.Redis != "" || c.ServesHTTP() {
			t.Errorf("%s: accounts %v, proxy %v, redis %t", text, c.Accounts, c.Proxy, c.Redis != "")
		}
	}
	c, err := Default(testEnv)
	if err != nil {
		t.Fatal(err)
	}
	if c.Accounts == nil || c.Accounts.Database != "sqlite:passgate.db" || c.Proxy != nil || c.Redis != "" {
		t.Errorf("by default accounts are %v, the proxy %v", c.Accounts, c.Proxy)
	}
}

func TestNoClaimIsWithoutAName(t *testing.T) {
	var want issuer
	want.SetDefaults()
	for _, claims := range []string{"", "null", "{}", `{user_id: "", roles: , permissions: null, scope: "${EMPTY}", email: "${EMPTY:-}", subscription: "${NONE:-}", country: ~, platform: ''}`} {
		c, err := Load(write(t, "issuers: [{name: a, issuer: b, algorithms: [HS256], secret: \"${SECRET}\", claims: "+claims+"}]\n"), testEnv)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want.Claims, c.Issuers[0].Claims); diff != "" {
			t.Errorf("claims: %s (-want +got):\n%s", claims, diff)
		}
	}
}

func TestDefaultAccessHangsOnTheRoutes(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       authz.Access
	}{
		{"no routes", "log: {level: info}", authz.AccessAuthenticated},
		{"empty routes", "routes: []", authz.AccessAuthenticated},
		{"a route", `routes: [{path: "/"}]`, authz.AccessDeny},
		{"a route, left empty", "default_access: ${EMPTY}\nroutes: [{path: \"/\"}]", authz.AccessDeny},
		{"a route, and said", "default_access: authenticated\nroutes: [{path: \"/\"}]", authz.AccessAuthenticated},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := Load(write(t, test.text), testEnv)
			if err != nil {
				t.Fatal(err)
			}
			if c.DefaultAccess != test.want {
				t.Errorf("DefaultAccess = %v, want %v", c.DefaultAccess, test.want)
			}
		})
	}
}

func TestWarningsNameTheFieldAndItsPlace(t *testing.T) {
	for _, name := range []string{"unwise", "unwise-routes", "unwise-servers", "unwise-empty", "unwise-accounts", "unwise-redis"} {
		c, err := Load("testdata/"+name+".yaml", testEnv)
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for _, w := range c.Warnings {
			fmt.Fprintln(&b, w)
		}
		golden(t, "testdata/"+name+".txt", b.String())
		if holdsSecret(b.String()) {
			t.Errorf("a warning shows a secret:\n%s", b.String())
		}
	}
}

func TestSecretFileThatOthersReachIsAWarning(t *testing.T) {
	for _, test := range []struct {
		name string
		mode fs.FileMode
		link string // name of the file that the secret's is a link to
		want string
	}{
		{"its owner's alone", 0o600, "", ""},
		{"read only", 0o400, "", ""},
		{"readable by its group", 0o640, "", ""},
		{"readable by all", 0o644, "", "5:18: issuers[0].secret_file: every user of this machine may read the file"},
		{"readable by all, linked", 0o444, "elsewhere", "5:18: issuers[0].secret_file: every user of this machine may read the file"},
		{"readable by all, as Kubernetes mounts it", 0o644, "..data/key", ""},
		{"writable by its group", 0o660, "", "5:18: issuers[0].secret_file: others may write the file"},
		{"writable by all, as Kubernetes mounts it", 0o666, "..data/key", "5:18: issuers[0].secret_file: others may write the file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := write(t, "issuers:\n  - name: a\n    issuer: b\n    algorithms: [HS256]\n    secret_file: key\n    audiences: [c]\n")
			key := filepath.Join(filepath.Dir(path), "key")
			file := key
			if test.link != "" {
				file = filepath.Join(filepath.Dir(path), test.link)
				if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.Symlink(test.link, key)); err != nil {
					t.Fatal(err)
				}
			}
			if err := errors.Join(os.WriteFile(file, []byte(testSecret), 0o600), os.Chmod(file, test.mode)); err != nil {
				t.Fatal(err)
			}
			c, err := Load(path, testEnv)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case test.want == "" && len(c.Warnings) > 0:
				t.Errorf("warnings: %v", c.Warnings)
			case test.want != "" && (len(c.Warnings) != 1 || !strings.HasPrefix(c.Warnings[0].Error(), path+":"+test.want)):
				t.Errorf("warnings: %v, want %s", c.Warnings, test.want)
			}
		})
	}
}

func TestWhatIsShippedIsWise(t *testing.T) {
	env := func(string) (string, bool) { return testSecret, true }
	check := func(c *Config, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range c.Warnings {
			if !strings.HasSuffix(w.Field, ".audiences") {
				t.Error(w)
			}
		}
	}
	check(Default(onlyVariable("PASSGATE_JWT_SECRET", testSecret)))
	check(Gateway(), nil)
	check(Load("../../examples/passgate.yaml", env))
}

func TestMissingFileIsAnErrorThatSaysSo(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "none.yaml"), testEnv)
	var faults Errors
	if !errors.As(err, &faults) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load = %v, want Errors that wrap fs.ErrNotExist", err)
	}
}

func TestRelativeNamesCountFromTheFolderAsGiven(t *testing.T) {
	// As a ConfigMap is mounted: the file is a link into a folder that is swapped, the key beside it too.
	dir := t.TempDir()
	version := filepath.Join(dir, "..2024")
	if err := os.Mkdir(version, 0o700); err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(DefaultYAML()), "secret: ${PASSGATE_JWT_SECRET:-}", "secret_file: key.txt")
	for _, err := range []error{
		os.WriteFile(filepath.Join(version, "real.yaml"), []byte(text), 0o600),
		os.WriteFile(filepath.Join(dir, "key.txt"), []byte(testSecret), 0o600),
		os.Symlink(filepath.Join("..2024", "real.yaml"), filepath.Join(dir, "passgate.yaml")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Load(filepath.Join(dir, "passgate.yaml"), testEnv); err != nil {
		t.Error(err)
	}
	if _, err := Load(filepath.Join(version, "real.yaml"), testEnv); err == nil {
		t.Error("the key was found, though it is not in the folder of the file as given")
	}
}
