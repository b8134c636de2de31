package e2e

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// spoof matches what a client may not send: identity headers in any spelling that some server reads as one of
// them, and headers that claim another request line (contract §5).
var spoof = regexp.MustCompile(`(?i)^(x[^a-z0-9](user[^a-z0-9].*|passport.*|proxy[^a-z0-9]state.*)|x-(http-method(-override)?|method-override|original-url|rewrite-url))$`)

// spoofs are header names to forge.
func spoofs() []string {
	names := []string{
		"X-User-ID", "x-user-id", "X-User-Role", "X-User-Permissions", "X-Passport", "X-Passport-Signature", "X-Proxy-State",
		"x-user-anything", "X-User-", "x-passport-foo", "X-Passports", "X-PassportFoo", "x-proxy-state-foo", "X-Proxy-StateFoo",
		"X_User_ID", "X_USER_ID", "X-User_ID", "x_user-id", "X-Passport_Signature", "x_proxy_state",
		"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X-Original-URL", "X-Rewrite-URL",
	}
	// All characters of a header name (RFC 9110 §5.6.2) that are neither letter nor digit; CGI-style servers
	// fold them, and Envoy lets them through.
	for _, c := range "!#$%&'*+.^`|~" {
		names = append(names, fmt.Sprintf("X-User%cID", c), fmt.Sprintf("X%cUser%cRole", c, c), fmt.Sprintf("x%cpassport", c), fmt.Sprintf("X-Proxy%cState", c))
	}
	return names
}

func hasUnderscore(name string) bool { return strings.Contains(name, "_") }

// doors are the kinds of route, with and without a credential.
var doors = []struct {
	name, path string
	principal  bool
}{
	{"public", "/public/page", false},
	{"public with a credential", "/public/page", false},
	{"optional without a credential", "/optional/page", false},
	{"optional with a credential", "/optional/page", true},
	{"authenticated", "/private/page", true},
}

func (s *stack) credential(t *testing.T, door string) []string {
	if strings.Contains(door, "without") || door == "public" {
		return nil
	}
	return []string{bearer(t, user("read", "write"))}
}

// mustBeOurs fails the test unless the identity headers of a request are passgate's alone: each once for a
// principal, none without.
func mustBeOurs(t *testing.T, what string, request *received, principal bool) {
	t.Helper()
	got := map[string][]string{}
	for _, h := range request.headers {
		if strings.Contains(h.value, "evil") {
			t.Errorf("%s: %s: %s reached the upstream", what, h.name, h.value)
		}
		if spoof.MatchString(h.name) {
			got[strings.ToLower(h.name)] = append(got[strings.ToLower(h.name)], h.value)
		}
	}
	want := map[string]string{}
	if principal {
		want = map[string]string{
			"x-user-id": "user-1", "x-user-role": "user", "x-user-permissions": "read,write",
			"x-proxy-state": "ZnJlZTpJTjphbmRyb2lk", // free:IN:android
			"x-passport":    "",                     // looked at below
		}
	}
	for name, values := range got {
		value, ours := want[name]
		switch {
		case !ours:
			t.Errorf("%s: the upstream got %s %q", what, name, values)
		case len(values) != 1 || name != "x-passport" && values[0] != value:
			t.Errorf("%s: the upstream got %s %q, want %q once", what, name, values, value)
		case name == "x-passport":
			mustBePassport(t, what, values[0])
		}
	}
	for name := range want {
		if got[name] == nil {
			t.Errorf("%s: the upstream got no %s", what, name)
		}
	}
}

func mustBePassport(t *testing.T, what, value string) {
	t.Helper()
	passport := decodePassport(t, value)
	for key, want := range map[string]string{
		"user_id": "user-1", "email": "user@example.com", "subscription": "free", "country": "IN", "platform": "android", "token_status": "valid",
	} {
		if passport[key] != want {
			t.Errorf("%s: passport says %s %q, want %q", what, key, passport[key], want)
		}
	}
	made, _ := passport["issued_at"].(float64)
	if age := time.Since(time.Unix(int64(made), 0)); age < -time.Minute || age > time.Minute {
		t.Errorf("%s: passport was made %v ago", what, age)
	}
}

func TestForgedHeaderNeverReachesUpstream(t *testing.T) {
	for _, e := range envoys {
		t.Run(e.name, func(t *testing.T) {
			s := startStack(t, e.file(t), policy)
			for _, door := range doors {
				credential := s.credential(t, door.name)
				for _, name := range spoofs() {
					what := door.name + ", " + name
					answer := get(t, s.addr, door.path, append(credential, name+": evil")...)
					mustStopSpoof(t, what, e.name == "shipped" && hasUnderscore(name), answer, s.upstream, door.principal)
				}
			}
		})
	}
}

// mustStopSpoof fails the test if a request with a forged header was not refused by Envoy, where it refuses such names,
// or else did not reach the upstream with ours in its place.
func mustStopSpoof(t *testing.T, what string, refused bool, answer response, u *upstream, principal bool) {
	t.Helper()
	if refused {
		if answer.status != 400 {
			t.Errorf("%s: status %d, want Envoy's 400", what, answer.status)
		}
		u.untouched(t, what)
		return
	}
	if answer.status != 200 {
		t.Fatalf("%s: status %d, want 200: %s", what, answer.status, answer.body)
	}
	mustBeOurs(t, what, u.one(t, what), principal)
}

func TestForgedHeaderNeverReachesUpstreamOverHTTP2(t *testing.T) {
	for _, e := range envoys {
		t.Run(e.name, func(t *testing.T) {
			s := startStack(t, e.file(t), policy)
			for _, door := range doors {
				fields := []line{{":path", door.path}}
				for _, credential := range s.credential(t, door.name) {
					fields = append(fields, line{"authorization", strings.TrimPrefix(credential, "Authorization: ")})
				}
				for _, name := range spoofs() {
					what := door.name + ", " + name
					name = strings.ToLower(name)
					answer := sendHTTP2(t, s.addr, append(fields, line{name, "evil"}, line{name, "evil2"}), nil)
					if e.name == "shipped" && hasUnderscore(name) {
						if !answer.reset {
							t.Errorf("%s: status %d, want Envoy to reset the stream", what, answer.status)
						}
						s.upstream.untouched(t, what)
						continue
					}
					if answer.status != 200 {
						t.Fatalf("%s: status %d (reset %t), want 200: %s", what, answer.status, answer.reset, answer.body)
					}
					mustBeOurs(t, what, s.upstream.one(t, what), door.principal)
				}
			}
		})
	}
}

func TestForgedHeadersTogetherAndTwiceNeverReachUpstream(t *testing.T) {
	for _, e := range envoys {
		t.Run(e.name, func(t *testing.T) {
			s := startStack(t, e.file(t), policy)
			var forged []string
			for _, name := range spoofs() {
				if e.name == "shipped" && hasUnderscore(name) || len(forged) > 70 {
					continue // 100 headers are the most that Envoy takes
				}
				forged = append(forged, name+": evil", strings.ToLower(name)+": evil2")
			}
			for _, door := range doors {
				answer := get(t, s.addr, door.path, append(s.credential(t, door.name), forged...)...)
				if answer.status != 200 {
					t.Fatalf("%s: status %d, want 200: %s", door.name, answer.status, answer.body)
				}
				mustBeOurs(t, door.name, s.upstream.one(t, door.name), door.principal)
			}
		})
	}
}

// A server that obeys Connection would strip our headers, or let the client's through as its own.
func TestHeaderNamedInConnectionIsSetAllTheSame(t *testing.T) {
	for _, e := range envoys {
		t.Run(e.name, func(t *testing.T) {
			s := startStack(t, e.file(t), policy)
			for _, door := range doors {
				for _, connection := range []string{
					"Connection: X-User-ID, X-Passport, X-User-Role, X-User-Permissions, X-Proxy-State",
					"Connection: close, x-user-id, x-passport",
					"Connection: keep-alive, X-HTTP-Method-Override, X-User.ID",
				} {
					what := door.name + ", " + connection
					forged := []string{connection, "X-User-ID: evil", "X-Passport: evil", "X-HTTP-Method-Override: evil", "X-User.ID: evil"}
					answer := get(t, s.addr, door.path, append(s.credential(t, door.name), forged...)...)
					if answer.status != 200 {
						t.Fatalf("%s: status %d, want 200: %s", what, answer.status, answer.body)
					}
					mustBeOurs(t, what, s.upstream.one(t, what), door.principal)
				}
			}
		})
	}
}

func TestOtherHeadersReachUpstreamAsSent(t *testing.T) {
	kept := []line{{"accept", "*/*"}, {"x-userid", "1"}, {"x-users", "2"}, {"x-pass", "3"}, {"x-proxy", "4"}, {"user-id", "5"}, {"x-custom", "b"}, {"x-custom", "a"}}
	for _, e := range envoys {
		t.Run(e.name, func(t *testing.T) {
			s := startStack(t, e.file(t), policy)
			credential := bearer(t, user("read", "write"))
			var sent []string
			for _, h := range kept {
				sent = append(sent, h.name+": "+h.value)
			}
			get(t, s.addr, "/private/page", append(sent, credential)...)
			request := s.upstream.one(t, "request")
			for _, h := range append(kept, line{"authorization", strings.TrimPrefix(credential, "Authorization: ")}) {
				if !slices.Contains(request.values(h.name), h.value) {
					t.Errorf("the upstream got %s %q, want %q among them", h.name, request.values(h.name), h.value)
				}
			}
		})
	}
}

// An Envoy with allowed_headers hides the rest from passgate, which has to name unseen what must not pass.
func TestAliasesHiddenFromPassgateNeverReachUpstream(t *testing.T) {
	var forged []string
	for _, parts := range [][]string{
		{"x", "user", "id"}, {"x", "user", "role"}, {"x", "user", "permissions"},
		{"x", "passport"}, {"x", "passport", "signature"}, {"x", "proxy", "state"},
	} {
		aliases := parts[:1]
		for _, part := range parts[1:] {
			var longer []string
			for _, alias := range aliases {
				longer = append(longer, alias+"-"+part, alias+"_"+part, alias+"."+part)
			}
			aliases = longer
		}
		forged = append(forged, aliases...)
	}
	const all = 5*9 + 3
	if len(forged) != all {
		t.Fatalf("%d aliases, want %d", len(forged), all)
	}
	for i, name := range forged {
		forged[i] = name + ": evil"
	}
	for _, encoding := range []string{"encode_raw_headers: false", "encode_raw_headers: true"} {
		t.Run(encoding, func(t *testing.T) {
			s := startStack(t, carelessFile(t).extAuthz(encoding).extAuthz("allowed_headers: {patterns: [{exact: authorization}]}"), policy)
			for _, door := range doors {
				headers := append(s.credential(t, door.name), forged...)
				answer := get(t, s.addr, door.path, headers...)
				if answer.status != 200 {
					t.Fatalf("%s: status %d, want 200: %s", door.name, answer.status, answer.body)
				}
				mustBeOurs(t, door.name, s.upstream.one(t, door.name), door.principal)
			}
		})
	}
}

// A route that switches ext_authz off has nobody but Envoy to take them away.
func TestForgedHeaderNeverReachesUpstreamOnADisabledRoute(t *testing.T) {
	const anchor = "                        - match: {prefix: /}\n"
	s := startStack(t, shippedFile(t).replace(anchor, `                        - match: {path: /login}
                          route: {cluster: upstream}
                          typed_per_filter_config:
                            envoy.filters.http.ext_authz:
                              "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute
                              disabled: true
`+anchor), policy)
	for _, name := range spoofs() {
		answer := get(t, s.addr, "/login", name+": evil")
		if hasUnderscore(name) || strings.HasPrefix(name, "X-HTTP-") || strings.HasPrefix(name, "X-Method-") || strings.HasSuffix(name, "-URL") {
			s.upstream.take()
			continue // refused by Envoy; or an override of a decision that nobody takes
		}
		if answer.status != 200 {
			t.Fatalf("%s: status %d, want 200: %s", name, answer.status, answer.body)
		}
		mustBeOurs(t, name, s.upstream.one(t, name), false)
	}
}

// ext_authz never sees trailers: the shipped file takes them out.
func TestForgedTrailerNeverReachesUpstream(t *testing.T) {
	p := startPassgate(t, policy)
	u := startHTTP2Upstream(t)
	e := startEnvoy(t, shippedFile(t).http2Upstream(), u.addr, p.grpc)
	answer := sendHTTP2(t, e.addr,
		[]line{{":method", "POST"}, {":path", "/public/page"}, {"trailer", "x-user-id, x-checksum"}},
		[]line{{"x-user-id", "evil"}, {"x.user.id", "evil"}, {"x-passport", "evil"}, {"x-passport-foo", "evil"}, {"x-proxy~state", "evil"}, {"x-checksum", "kept"}})
	if answer.status != 200 {
		t.Fatalf("status %d (reset %t), want 200", answer.status, answer.reset)
	}
	request := u.one(t, "request")
	if want := []line{{"x-checksum", "kept"}}; !slices.Equal(request.trailers, want) {
		t.Errorf("the upstream got trailers %q, want %q", request.trailers, want)
	}
}
