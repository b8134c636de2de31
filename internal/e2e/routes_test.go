package e2e

import (
	"testing"
)

// The example in the shipped file of an Envoy route that asks for a permission of its own.
func TestEnvoyRouteAddsARequirement(t *testing.T) {
	for _, route := range []string{"access: public", "access: optional", "permissions: [read]"} {
		t.Run("to a route with "+route, func(t *testing.T) {
			s := startStack(t, shippedFile(t).uncomment("- match: {prefix: /admin/}"), `
routes:
  - {name: admin, path: "/admin/**", `+route+`}
  - {name: public, path: "/public/**", access: public}
default_access: deny
`)
			get(t, s.addr, "/admin/page").mustDeny(t, "no credential", 401, "missing_credentials")
			get(t, s.addr, "/admin/page", bearer(t, user("read"))).mustDeny(t, "permission missing", 403, "insufficient_permissions")
			get(t, s.addr, "/admin/page", bearer(t, user("administrator", "Admin"))).mustDeny(t, "permission not exact", 403, "insufficient_permissions")
			s.upstream.untouched(t, "denied")
			if answer := get(t, s.addr, "/admin/page", bearer(t, user("read", "admin"))); answer.status != 200 {
				t.Errorf("permission held: status %d, want 200: %s", answer.status, answer.body)
			}
			if answer := get(t, s.addr, "/public/page"); answer.status != 200 {
				t.Errorf("another route: status %d, want 200: %s", answer.status, answer.body)
			}
		})
	}
}

const preflight = "OPTIONS /private/page HTTP/1.1"

func TestPreflightIsAnsweredWithoutADecision(t *testing.T) {
	s := startStack(t, shippedFile(t).replace("allow_origin_string_match: []", "allow_origin_string_match: [{exact: https://app.example.com}]"), policy)
	answer := send(t, s.addr, preflight, "Origin: https://app.example.com", "Access-Control-Request-Method: PATCH", "Access-Control-Request-Headers: authorization")
	if answer.status != 200 || answer.header.Get("Access-Control-Allow-Origin") != "https://app.example.com" {
		t.Errorf("preflight: status %d, allowed origin %q; want 200 and the page's", answer.status, answer.header.Get("Access-Control-Allow-Origin"))
	}
	s.upstream.untouched(t, "preflight")

	denied := get(t, s.addr, "/private/page", "Origin: https://app.example.com")
	denied.mustDeny(t, "request after it", 401, "missing_credentials")
	if got := denied.header.Get("Access-Control-Allow-Origin"); got != "https://app.example.com" {
		t.Errorf("the page may not read the denial: allowed origin %q", got)
	}
	// The log is in order: once the second request is in it, the first would be, too.
	s.passgate.logLine(t, denied.requestID(t))
	if n := len(logLines(t, s.passgate.log(), "")); n != 1 {
		t.Errorf("%d decisions, want one: the preflight was not to be judged", n)
	}
	if answer := get(t, s.addr, "/private/page", "Origin: https://app.example.com", bearer(t, user())); answer.status != 200 {
		t.Errorf("with a credential: status %d, want 200", answer.status)
	}
}

func TestPreflightOfAnUnnamedOriginIsDenied(t *testing.T) {
	shipped := shippedFile(t)
	named := shippedFile(t).replace("allow_origin_string_match: []", "allow_origin_string_match: [{exact: https://app.example.com}]")
	for name, file := range map[string]*envoyFile{"no origin is named": shipped, "another is named": named} {
		t.Run(name, func(t *testing.T) {
			s := startStack(t, file, policy)
			answer := send(t, s.addr, preflight, "Origin: https://evil.example.com", "Access-Control-Request-Method: GET")
			answer.mustDeny(t, "preflight", 401, "missing_credentials")
			if got := answer.header.Get("Access-Control-Allow-Origin"); got != "" {
				t.Errorf("allowed origin %q, want none", got)
			}
			s.upstream.untouched(t, "preflight")
		})
	}
}

func TestWebSocketHandshakeIsJudged(t *testing.T) {
	s := startStack(t, shippedFile(t), policy)
	handshake := []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="}

	get(t, s.addr, "/private/socket", handshake...).mustDeny(t, "no credential", 401, "missing_credentials")
	s.upstream.untouched(t, "no credential")

	answer := get(t, s.addr, "/private/socket", append(handshake, bearer(t, user("read", "write")), "X-User-ID: evil")...)
	if answer.status != 101 {
		t.Fatalf("with a credential: status %d, want 101: %s", answer.status, answer.body)
	}
	mustBeOurs(t, "handshake", s.upstream.one(t, "handshake"), true)
}

func TestUnixSocket(t *testing.T) {
	p := newPassgate(t, socket(t), policy)
	p.start(t)
	u := startUpstream(t)
	e := startEnvoy(t, shippedFile(t), u.addr, p.grpc)
	get(t, e.addr, "/private/page").mustDeny(t, "no credential", 401, "missing_credentials")
	if answer := get(t, e.addr, "/private/page", bearer(t, user("read", "write"))); answer.status != 200 {
		t.Fatalf("with a credential: status %d, want 200: %s", answer.status, answer.body)
	}
	mustBeOurs(t, "request", u.one(t, "request"), true)

	// A killed passgate leaves its socket behind; the next one takes it over, and Envoy finds it.
	p.kill(t)
	p.start(t)
	waitFor(t, "an answer by the second passgate", func() bool {
		return get(t, e.addr, "/private/page", bearer(t, user("read", "write"))).status == 200
	})
}
