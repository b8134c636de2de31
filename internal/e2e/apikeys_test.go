package e2e

import (
	"strings"
	"testing"
)

// newAPIKey has passgate make a key, and returns it with the entry of the file of keys.
func newAPIKey(t *testing.T, p *configured, name string, more ...string) (key, entry string) {
	t.Helper()
	key, entry, _ = strings.Cut(p.command(t, append([]string{"apikey", "new", "--name", name, "--user-id", name}, more...)...), "\n")
	if !strings.HasPrefix(key, "pgk_") || strings.Contains(entry, key) {
		t.Fatalf("passgate apikey new printed the key %q and the entry %q", key, entry)
	}
	return key, entry
}

const (
	apiKeyIssuer = "issuers:\n  - {name: accounts, issuer: " + issuer + ", algorithms: [HS256], secret_file: accounts.secret, audiences: any}\n"
	apiKeyConfig = apiKeyIssuer + "api_keys: {file: api-keys.yaml, user_prefix: \"key:\"}\nlog: {level: debug}\n" + policy
)

func TestAPIKeyIsTakenAndNeverGoesOn(t *testing.T) {
	needPrograms(t)
	type way struct {
		name string
		file func(*testing.T) *envoyFile
		to   func(*configured, *testing.T, *envoyFile, string) *envoy
	}
	var ways []way
	for _, e := range envoys {
		to := (*configured).behind
		if e.name != "shipped" {
			to = (*configured).beside // there is no cluster of accounts
		}
		ways = append(ways, way{e.name, e.file, to})
	}
	for _, e := range httpServices {
		ways = append(ways, way{"over HTTP, " + e.name, e.file, (*configured).behindHTTP})
	}
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			p := newConfigured(t, apiKeyConfig)
			key, entry := newAPIKey(t, p, "ci", "--permission", "read")
			gone, second := newAPIKey(t, p, "gone", "--role", "user")
			p.put(t, "api-keys.yaml", "keys:\n"+entry)
			p.put(t, "accounts.secret", secret)
			p.start(t)
			u := startUpstream(t)
			e := way.to(p, t, way.file(t), u.addr)

			sent := [][]string{
				{"X-API-Key: " + key}, {"x-api-key: " + key}, {"Authorization: ApiKey " + key}, {"authorization: apikey " + key},
			}
			for _, headers := range sent {
				for path, user := range map[string]string{
					"/public/page": "", "/optional/page": "key:ci", "/private/page": "key:ci", "/api/users/1": "key:ci",
				} {
					what := headers[0][:12] + " on " + path
					if answer := get(t, e.addr, path, append(headers, "X-Kept: yes")...); answer.status != 200 {
						t.Errorf("%s: status %d, %s", what, answer.status, answer.body)
						u.take()
						continue
					}
					request := u.one(t, what)
					mustNotCarry(t, what, request, key)
					if got := strings.Join(request.values("x-user-id"), "|"); got != user {
						t.Errorf("%s: X-User-ID %q, want %q", what, got, user)
					}
					if got := request.values("x-kept"); len(got) != 1 {
						t.Errorf("%s: another header is gone too", what)
					}
				}
			}
			// A public route judges no credential, and what is none of ours is no less of a secret.
			for _, headers := range [][]string{
				{"X-API-Key: " + gone}, {"X-API-Key: " + key, "X-API-Key: " + gone}, {"X-API-Key: " + key, bearer(t, user("read"))},
				{"Authorization: ApiKey " + key + ", Bearer a.b.c"}, {"Authorization: ApiKey " + gone}, {"Authorization:  ApiKey   " + gone},
			} {
				if answer := get(t, e.addr, "/public/page", headers...); answer.status != 200 {
					t.Errorf("public, %.24s: status %d", headers, answer.status)
					u.take()
					continue
				}
				mustNotCarry(t, "public", u.one(t, "public"), key, gone)
			}
			for _, test := range []struct {
				name    string
				path    string
				headers []string
				status  int
				code    string
			}{
				{"a key without an entry", "/private/page", []string{"X-API-Key: " + gone}, 401, "invalid_token"},
				{"the same, where none is needed", "/optional/page", []string{"Authorization: ApiKey " + gone}, 401, "invalid_token"},
				{"an altered key", "/private/page", []string{"X-API-Key: " + key[:len(key)-1] + "!"}, 401, "invalid_token"},
				{"a digest", "/private/page", []string{"X-API-Key: " + digestIn(t, entry)}, 401, "invalid_token"},
				{"as a bearer token", "/private/page", []string{"Authorization: Bearer " + key}, 401, "invalid_token"},
				{"two keys", "/private/page", []string{"X-API-Key: " + key, "X-API-Key: " + key}, 400, "multiple_credentials"},
				{"a key and a token", "/private/page", []string{"X-API-Key: " + key, bearer(t, user("read"))}, 400, "multiple_credentials"},
				{"in both headers", "/private/page", []string{"X-API-Key: " + key, "Authorization: ApiKey " + key}, 400, "multiple_credentials"},
				{"no key at all", "/private/page", []string{"X-API-Key: "}, 401, "missing_credentials"},
			} {
				get(t, e.addr, test.path, test.headers...).mustDeny(t, test.name, test.status, test.code)
				u.untouched(t, test.name)
			}
			send(t, e.addr, "DELETE /api/users/1 HTTP/1.1", "X-API-Key: "+key).mustDeny(t, "a permission that the key lacks", 403, "insufficient_permissions")
			u.untouched(t, "a permission that the key lacks")

			// The file changes while passgate runs.
			p.reloaded(t, func() { p.put(t, "api-keys.yaml", "keys:\n"+entry+"    disabled: true\n"+second) })
			for _, headers := range sent {
				get(t, e.addr, "/private/page", headers...).mustDeny(t, "a disabled key", 401, "invalid_token")
			}
			u.untouched(t, "a disabled key")
			if answer := get(t, e.addr, "/private/page", "X-API-Key: "+gone); answer.status != 200 {
				t.Errorf("a key that was added: status %d", answer.status)
			}
			mustNotCarry(t, "a key that was added", u.one(t, "a key that was added"), gone)
			p.reloaded(t, func() { p.put(t, "api-keys.yaml", "keys:\n"+entry) })
			if answer := get(t, e.addr, "/private/page", "X-API-Key: "+key); answer.status != 200 {
				t.Errorf("a key that is enabled again: status %d", answer.status)
			}
			get(t, e.addr, "/private/page", "X-API-Key: "+gone).mustDeny(t, "a key that was removed", 401, "invalid_token")
			p.mustNotTell(t, key, gone)
		})
	}
}

// mustNotCarry fails the test if a secret is anywhere in what an upstream got.
func mustNotCarry(t *testing.T, what string, r *received, secrets ...string) {
	t.Helper()
	for _, secret := range secrets {
		for _, h := range append([]line{{"the request line", r.target}}, r.headers...) {
			if strings.Contains(h.value, secret) || strings.Contains(h.name, secret) {
				t.Errorf("%s: the upstream got the key in %s", what, h.name)
			}
		}
	}
	if r.values("x-api-key") != nil {
		t.Errorf("%s: the upstream got X-API-Key %q", what, r.values("x-api-key"))
	}
}

// digestIn returns the digest in an entry.
func digestIn(t *testing.T, entry string) string {
	t.Helper()
	_, rest, ok := strings.Cut(entry, `sha256: "`)
	digest, _, _ := strings.Cut(rest, `"`)
	if !ok || len(digest) != 64 {
		t.Fatalf("the entry is %q", entry)
	}
	return digest
}
