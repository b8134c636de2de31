package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/passgate/passgate/internal/keydir"
	"github.com/passgate/passgate/internal/keyset"
)

const remoteIssuer = `
issuers:
  - {name: partner, issuer: "https://idp.partner.example", algorithms: [RS256, ES256], audiences: [api], jwks_url: "https://idp.partner.example/jwks"}
`

const opaqueServer = `
introspection:
  - {name: idp, url: "https://idp.example/introspect", client_id: passgate, client_secret: test-secret-not-for-production, audiences: [api]}
`

// emptyDigest is the SHA-256 of nothing, which is the digest of no key.
const emptyDigest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// loadFiles writes files into a folder, makes a key directory in it, and loads its passgate.yaml.
func loadFiles(t *testing.T, files map[string]string) (*Config, string, error) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := keydir.New(filepath.Join(dir, "keys"), keyset.EdDSA, time.Now(), time.Now()); err != nil {
		t.Fatal(err)
	}
	c, err := Load(filepath.Join(dir, "passgate.yaml"), nil)
	return c, dir, err
}

func TestSourcesAreRead(t *testing.T) {
	c, dir, err := loadFiles(t, map[string]string{
		"passgate.yaml": remoteIssuer + `
  - {name: accounts, issuer: "https://auth.example.com", algorithms: [EdDSA], audiences: any, user_prefix: "acc:"}
keys: {dir: keys}
accounts: {issuer: accounts}
api_keys: {file: api-keys.yaml, user_prefix: "key:"}
` + opaqueServer[:len(opaqueServer)-2] + `, user_prefix: "idp:", token_prefix: "idp_"}
routes: [{path: "/**", credentials: [partner, accounts, idp, api_keys]}]
`,
		"api-keys.yaml": "keys:\n- {name: ci, sha256: " + emptyDigest + ", user_id: 7, roles: [admin], permissions: [read], expires: 2030-01-02T03:04:05+01:00, disabled: true}\n",
	})
	if err != nil {
		t.Fatal(err)
	}
	if r := c.Issuers[0].Remote; r == nil || *r != (Remote{URL: "https://idp.partner.example/jwks", Refresh: 5 * time.Minute, MaxAge: 24 * time.Hour}) {
		t.Errorf("remote keys: %+v", r)
	}
	if len(c.Keys.Ring) != 1 || c.Keys.Issuer != "accounts" || len(c.Keys.Seal) != 32 {
		t.Errorf("keys: %+v", c.Keys)
	}
	k := c.APIKeys.Keys[0]
	if k.Name != "ci" || fmt.Sprintf("%x", k.SHA256) != emptyDigest || k.UserID != "7" || !k.Disabled || k.Expires.Unix() != 1893549845 || c.APIKeys.Header != "X-API-Key" {
		t.Errorf("API key: %+v", k)
	}
	i := c.Introspection[0]
	if i.Timeout != 100*time.Millisecond || i.Cache != 30*time.Second || i.MaxCalls != 64 || string(i.ClientSecret) != "test-secret-not-for-production" {
		t.Errorf("introspection: %+v", i)
	}
	if got := strings.Join(c.Directory().Prefixes, " "); got != "acc: idp: key:" {
		t.Errorf("prefixes: %q", got)
	}
	for _, name := range []string{"passgate.yaml", "api-keys.yaml", "keys"} {
		if _, ok := c.Read[filepath.Join(dir, name)]; !ok {
			t.Errorf("%s is not among what was read: %v", name, c.Read)
		}
	}
	shown, err := c.Show()
	if err != nil || strings.Contains(string(shown), "test-secret") {
		t.Errorf("shown: %s, %v", shown, err)
	}
}

func TestSourcesAreRefused(t *testing.T) {
	keys := func(entry string) map[string]string {
		return map[string]string{"passgate.yaml": "api_keys: {file: k.yaml}\n", "k.yaml": "keys:\n- " + entry + "\n- {name: other, sha256: " + emptyDigest + ", user_id: u}\n"}
	}
	one := func(text string) map[string]string { return map[string]string{"passgate.yaml": text} }
	replace := func(text, old, new string) map[string]string {
		if !strings.Contains(text, old) {
			t.Fatalf("%q is not in %q", old, text)
		}
		return one(strings.Replace(text, old, new, 1))
	}
	for name, test := range map[string]struct {
		files map[string]string
		want  string
	}{
		"a symmetric algorithm with fetched keys": {replace(remoteIssuer, "[RS256, ES256]", "[RS256, HS256]"), "issuers[0].algorithms[1]: a key that is fetched is no secret"},
		"fetched keys without audiences":          {replace(remoteIssuer, "audiences: [api], ", ""), "issuers[0].audiences: is missing"},
		"another scheme for fetched keys":         {replace(remoteIssuer, "https://idp.partner.example/jwks", "file:///jwks"), "issuers[0].jwks_url: want a URL"},
		"a password in the URL":                   {replace(remoteIssuer, "https://idp.partner.example/jwks", "https://a:b@idp.partner.example/jwks"), "issuers[0].jwks_url: want a URL"},
		"two sources of keys":                     {replace(remoteIssuer, "jwks_url", `discovery_url: "https://idp.partner.example/x", jwks_url`), "an issuer has one source of keys"},
		"kid beside fetched keys":                 {replace(remoteIssuer, "jwks_url", `kid: a, jwks_url`), "issuers[0].kid: stands beside jwks_url"},
		"fetched too often":                       {replace(remoteIssuer, "jwks_url", `jwks_refresh: 1s, jwks_url`), "issuers[0].jwks_refresh: want a duration"},
		"kept for too long":                       {replace(remoteIssuer, "jwks_url", `jwks_max_age: 1000h, jwks_url`), "issuers[0].jwks_max_age: want a duration"},
		"a name that is that of the API keys":     {replace(remoteIssuer, "name: partner", "name: api_keys"), "issuers[0].name: is the name of the API keys"},

		"introspection without a secret":        {replace(opaqueServer, ", client_secret: test-secret-not-for-production", ""), "introspection[0].client_secret_file: is missing"},
		"introspection past Envoy's time":       {replace(opaqueServer, "name: idp", "name: idp, timeout: 1s"), "introspection[0].timeout: want a duration"},
		"a prefix that no token has":            {replace(opaqueServer, "name: idp", `name: idp, token_prefix: "a b"`), "introspection[0].token_prefix: holds a character"},
		"a name that an issuer has":             {one(remoteIssuer + strings.Replace(opaqueServer, "name: idp", "name: partner, user_prefix: a", 1)), "introspection[0].name: issuers[0] has this name"},
		"two sources without a prefix":          {one(remoteIssuer + opaqueServer), `introspection[0].user_prefix: is missing; issuers[0] has none`},
		"API keys as a second without a prefix": {map[string]string{"passgate.yaml": remoteIssuer + "api_keys: {file: k.yaml}\n", "k.yaml": "keys: []\n"}, `api_keys.user_prefix: is missing; issuers[0] has none, and one source of users at most may do without: write one such as "key:"`},
		"a prefix that begins another's":        {one(remoteIssuer[:len(remoteIssuer)-2] + `, user_prefix: "a:"}` + strings.Replace(opaqueServer, "name: idp", `name: idp, user_prefix: "a:b"`, 1)), "introspection[0].user_prefix: one of this and issuers[0].user_prefix begins with the other"},

		"API keys without a file":                             {one("api_keys: {header: X-Key}\n"), "api_keys.file: is missing"},
		"a file of API keys that is gone":                     {one("api_keys: {file: k.yaml}\n"), "api_keys.file: cannot read the file"},
		"Authorization as the header":                         {map[string]string{"passgate.yaml": "api_keys: {file: k.yaml, header: authorization}\n", "k.yaml": "keys: []\n"}, "api_keys.header: \"authorization\" has a meaning of its own"},
		"an identity header as the header":                    {map[string]string{"passgate.yaml": "api_keys: {file: k.yaml, header: X-User-Key}\n", "k.yaml": "keys: []\n"}, "has a meaning of its own"},
		"a header that is none":                               {map[string]string{"passgate.yaml": "api_keys: {file: k.yaml, header: \"x key\"}\n", "k.yaml": "keys: []\n"}, "api_keys.header: want letters, digits and dashes"},
		"a key in place of its digest":                        {keys("{name: a, sha256: pgk_0000, user_id: u}"), "k.yaml:2:21: keys[0].sha256: want the 64 hexadecimal digits"},
		"a key in place of a field":                           {keys("{name: a, pgk_secret: x, sha256: " + strings.Repeat("ab", 32) + ", user_id: u}"), "keys: a key stands where none belongs"},
		"a digest cut short":                                  {keys("{name: a, sha256: abcd, user_id: u}"), "keys[0].sha256: want the 64"},
		"one digest twice":                                    {keys("{name: a, sha256: " + strings.ToUpper(emptyDigest) + ", user_id: u}"), "keys[1].sha256: keys[0] has this sha256"},
		"one name twice":                                      {keys("{name: other, sha256: " + strings.Repeat("ab", 32) + ", user_id: u}"), "keys[1].name: keys[0] has this name"},
		"an entry for nobody":                                 {keys("{name: a, sha256: " + strings.Repeat("ab", 32) + "}"), "keys[0].user_id: is missing"},
		"an expiry that is none":                              {keys("{name: a, sha256: " + strings.Repeat("ab", 32) + ", user_id: u, expires: tomorrow}"), "keys[0].expires: want a time"},
		"an unknown field of an entry":                        {keys("{name: a, sha256: " + strings.Repeat("ab", 32) + ", user_id: u, role: x}"), "keys[0].role"},
		"a user of another source":                            {map[string]string{"passgate.yaml": remoteIssuer[:len(remoteIssuer)-2] + `, user_prefix: "a:"}` + "\napi_keys: {file: k.yaml}\n", "k.yaml": "keys: [{name: a, sha256: " + emptyDigest + ", user_id: \"a:root\"}]\n"}, `keys[0].user_id: begins with "a:"`},
		"a route that takes unknown ones":                     {one(remoteIssuer + "routes: [{path: /, credentials: [api_keys]}]\n"), "routes[0].credentials[0]: no API keys are taken here; write api_keys"},
		"keys of nobody":                                      {one("keys: {dir: keys}\n"), "keys.issuer: is missing"},
		"keys of an issuer that is unknown":                   {one("keys: {dir: keys, issuer: x}\n"), "keys.issuer: no issuer has this name"},
		"a key directory that is gone":                        {one(remoteIssuer + "keys: {dir: gone, issuer: partner}\n"), "gone: "},
		"a key for another algorithm":                         {one(remoteIssuer + "keys: {dir: keys, issuer: partner}\n"), "issuers[0].algorithms: lacks EdDSA"},
		"a secret for another algorithm than the directory's": {one("issuers: [{name: a, issuer: a, algorithms: [EdDSA], audiences: any, secret: this-is-no-secret-it-only-has-to-be-long-enough}]\nkeys: {dir: keys, issuer: a}\n"), "issuers[0].algorithms: lacks HS256, which secret is for"},
		"a passport without a key":                            {one("passport: {signing_key_file: passport.key}\n"), "passport.signing_key_file: cannot read the file"},
		"a passport's key that is a secret":                   {map[string]string{"passgate.yaml": "passport: {signing_key_file: p.key}\n", "p.key": "this-is-no-secret-it-only-has-to-be-long-enough"}, "passport.signing_key_file: neither a private key in PEM"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := loadFiles(t, test.files)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v\nwant %q in it", err, test.want)
			}
		})
	}
}

func TestSourcesAreWarnedOf(t *testing.T) {
	c, _, err := loadFiles(t, map[string]string{"passgate.yaml": `
listen: {authz_http: "0.0.0.0:9192"}
issuers:
  - {name: partner, issuer: "https://idp.partner.example", algorithms: [RS256], audiences: any, jwks_url: "http://idp.partner.example/jwks"}
api_keys: {file: api-keys.yaml, user_prefix: "key:"}
introspection:
  - {name: idp, url: "http://idp.example/introspect", client_id: x, client_secret: test-secret-not-for-production, user_prefix: "idp:"}
  - {name: other, url: "http://127.0.0.1/introspect", client_id: x, client_secret: test-secret-not-for-production, user_prefix: "other:", token_prefix: "o_", audiences: [api]}
routes: [{path: "/**"}]
`, "api-keys.yaml": "keys: []\n"})
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, w := range c.Warnings {
		fmt.Fprintln(&all, w)
	}
	for _, want := range []string{
		"listen.authz_http: other machines can reach it", "issuers[0].jwks_url: is asked without TLS", "issuers[0].audiences: any",
		"introspection[0].url: is asked without TLS", "introspection[0].audiences: any", "introspection[0].client_secret: whoever reads this file",
		"introspection[1].token_prefix: its tokens could go to introspection[0], too", "api_keys.file: holds no key",
	} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("no warning %q in\n%s", want, all.String())
		}
	}
	if strings.Contains(all.String(), "introspection[1].url") {
		t.Errorf("loopback is warned of:\n%s", all.String())
	}
}

// A ConfigMap is swapped by a link, a file by a rename; both are seen, and so is what is written in place.
func TestSnapshotSeesEveryChange(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, dir string){
		"written in place": func(t *testing.T, dir string) {
			put(t, filepath.Join(dir, "a", "f.jwk"), "new")
		},
		"renamed over": func(t *testing.T, dir string) {
			put(t, filepath.Join(dir, "new"), "new")
			if err := os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "a", "f.jwk")); err != nil {
				t.Fatal(err)
			}
		},
		"a link that leads elsewhere": func(t *testing.T, dir string) {
			if err := os.Mkdir(filepath.Join(dir, "b"), 0o700); err != nil {
				t.Fatal(err)
			}
			put(t, filepath.Join(dir, "b", "f.jwk"), "new")
			if err := os.Symlink("b", filepath.Join(dir, "next")); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(filepath.Join(dir, "next"), filepath.Join(dir, "data")); err != nil {
				t.Fatal(err)
			}
		},
		"gone": func(t *testing.T, dir string) {
			if err := os.Remove(filepath.Join(dir, "a", "f.jwk")); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.Mkdir(filepath.Join(dir, "a"), 0o700); err != nil {
				t.Fatal(err)
			}
			put(t, filepath.Join(dir, "a", "f.jwk"), "old")
			if err := os.Symlink("a", filepath.Join(dir, "data")); err != nil {
				t.Fatal(err)
			}
			for _, path := range []string{filepath.Join(dir, "data", "f.jwk"), filepath.Join(dir, "data")} { // a file, and a directory
				s := Snapshot{path: digestOf(path)}
				put(t, filepath.Join(dir, "a", "log"), fmt.Sprint(path)) // which is no key
				if s.Changed() {
					t.Fatal("changed before anything was")
				}
				defer func() {
					if !s.Changed() {
						t.Errorf("%s: nothing was seen", path)
					}
				}()
			}
			change(t, dir)
		})
	}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// The query of a URL may be a secret, and a key directory that others may write is as good as open.
func TestShowMasksQueriesAndCheckWarnsOfOpenDirectories(t *testing.T) {
	dir := t.TempDir()
	if _, err := keydir.New(filepath.Join(dir, "keys"), keyset.EdDSA, time.Now(), time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "keys"), 0o777); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(dir, "passgate.yaml"), `
issuers:
  - {name: a, issuer: a, algorithms: [EdDSA], audiences: any}
  - {name: b, issuer: b, algorithms: [ES256], audiences: [api], user_prefix: "b:", jwks_url: "https://idp.example/jwks?key=test-secret"}
keys: {dir: keys, issuer: a}
introspection: [{name: idp, url: "https://idp.example/i?key=test-secret", client_id: x, client_secret: test-secret, user_prefix: "i:"}]
`)
	c, err := Load(filepath.Join(dir, "passgate.yaml"), nil)
	if err != nil {
		t.Fatal(err)
	}
	shown, err := c.Show()
	if err != nil || strings.Contains(string(shown), "test-secret") || strings.Count(string(shown), "?redacted") != 2 {
		t.Errorf("shown: %s, %v", shown, err)
	}
	if c.Issuers[1].Remote.URL != "https://idp.example/jwks?key=test-secret" || c.Introspection[0].URL != "https://idp.example/i?key=test-secret" {
		t.Errorf("the URLs in use are masked: %+v %+v", c.Issuers[1].Remote, c.Introspection[0])
	}
	var all strings.Builder
	for _, w := range c.Warnings {
		fmt.Fprintln(&all, w)
	}
	if !strings.Contains(all.String(), "keys.dir: others may write to the directory") {
		t.Errorf("warnings:\n%s", all.String())
	}
}
