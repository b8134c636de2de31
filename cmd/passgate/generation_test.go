package main

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/passgate/passgate/internal/keyset"
	"github.com/passgate/passgate/passport"
)

// keysOf returns the kids that a server shows, and fails the test if it shows anything else than public keys.
func (s *server) keysOf(t *testing.T) []string {
	t.Helper()
	status, body := httpGet(t, "http://"+s.http(t)+"/.well-known/jwks.json")
	if status != 200 || strings.Contains(body, `"d"`) || strings.Contains(body, `"k"`) {
		t.Fatalf("%d %s", status, body)
	}
	keys, err := keyset.Parse([]byte(body))
	if err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	var ids []string
	for _, k := range keys {
		ids = append(ids, k.ID)
	}
	return ids
}

func (s *server) http(t *testing.T) string {
	t.Helper()
	return s.waitForLog(t, "serving")["http"].(string)
}

// A server shows the keys that sign passports and those of its directory, and signs passports with the first.
func TestServeSignsPassportsAndShowsItsKeys(t *testing.T) {
	const issuer = `
issuers: [{name: accounts, issuer: accounts, algorithms: [ALGORITHMS], secret: "${SECRET}", audiences: any}]
routes: [{path: /, access: optional}]
listen: {grpc: "127.0.0.1:0", ops: "127.0.0.1:0", http: "127.0.0.1:0"}
drain: {wait: 0s}
`
	for name, test := range map[string]struct {
		more string
		want int // keys
	}{
		"passports alone":                {"passport: {signing_key_file: FILE}\n", 1},
		"a directory alone":              {"keys: {dir: DIR, issuer: accounts}\n", 1},
		"both":                           {"passport: {signing_key_file: FILE}\nkeys: {dir: DIR, issuer: accounts}\n", 2},
		"both beside accounts":           {"passport: {signing_key_file: FILE}\nkeys: {dir: DIR}\naccounts: {issuer: accounts, database: \"sqlite:DIR/a.db\"}\n", 2},
		"passports alone beside a proxy": {"passport: {signing_key_file: FILE}\nproxy: {upstreams: {default: \"http://127.0.0.1:1\"}}\n", 1},
	} {
		t.Run(name, func(t *testing.T) {
			c, dir := newCLI(), t.TempDir()
			c.run(t, "keys", "new", "--out", filepath.Join(dir, "p.key")).must(t, exitOK)
			c.run(t, "keys", "new", "--dir", filepath.Join(dir, "keys")).must(t, exitOK)
			algorithms := "HS256"
			if strings.Contains(test.more, "keys:") {
				algorithms = "HS256, EdDSA"
			}
			s := startServerWith(t, c, strings.NewReplacer("ALGORITHMS", algorithms, "FILE", filepath.Join(dir, "p.key"), "DIR", filepath.Join(dir, "keys")).Replace(issuer+test.more))
			if ids := s.keysOf(t); len(ids) != test.want {
				t.Errorf("keys %q, want %d", ids, test.want)
			}
			for path, want := range map[string]int{"/.well-known/jwks.json/": 404, "/.well-known/": 404, "/": 404} {
				if status, body := httpGet(t, "http://"+s.http(t)+path); status != want {
					t.Errorf("%s answered %d %s", path, status, body)
				}
			}
			response, err := http.Post("http://"+s.http(t)+"/.well-known/jwks.json", "text/plain", nil)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if response.StatusCode != http.StatusMethodNotAllowed {
				t.Errorf("POST was answered %d", response.StatusCode)
			}
			answer := check(t, dial(t, s.grpc), "/", s.mint(t, s.config))
			headers := map[string]string{}
			for _, h := range answer.GetOkResponse().GetHeaders() {
				headers[h.GetHeader().GetKey()] = h.GetHeader().GetValue()
			}
			value, signature := headers[passport.Header], headers[passport.SignatureHeader]
			if signed := strings.Contains(test.more, "passport"); (signature != "") != signed || value == "" {
				t.Errorf("passport %q with the signature %q", value, signature)
			} else if signed {
				c.run(t, "passport", "verify", "--jwks-url", "http://"+s.http(t)+"/.well-known/jwks.json", value, signature).must(t, exitOK).mustHold(t, `"user_id": "ann"`)
				c.run(t, "passport", "verify", "--config", s.config, value, signature).must(t, exitOK)
			}
			if code := s.end(); code != exitOK {
				t.Errorf("exit status %d", code)
			}
		})
	}
}
