package e2e

import (
	"fmt"
	"testing"
)

// open lets every request through whose path and host have one reading, so that nothing else refuses.
const open = "routes: [{name: all, path: \"/**\", access: public}]\ndefault_access: public\n"

// ambiguous are paths that servers read in different ways, and that an Envoy at its defaults lets pass.
var ambiguous = []string{
	"/a/../b", "/a/./b", "/a/..", "/a/.", "/..", "/.", "/./a", "/../a",
	"/a/%2e%2e/b", "/a/%2E%2E/b", "/a/.%2e/b", "/a/%2e/b", "/a/%2eb", "/a%2e",
	"//", "//a", "/a//b", "/a//", "///a",
	`/a\b`, `/\a`, `/a\..\b`, `/a/..\b`,
	"/a;x", "/a;x/b", "/a/;/b", "/a/..;/b", "/a/..;x/b", "/a/.;/b", "/;a", "/a;",
	"/a%2fb", "/a%2Fb", "/a%5cb", "/a%5Cb", "/%2f", "/a/..%2fb", "/a/%2e%2e%2fb",
	"/a%3bx", "/a%3Bx", "/a/..%3b/b",
	"/a%252fb", "/a%252e%252e/b", "/a%2541", "/a%25%32%66", "/a%%32%66",
	"/a%", "/a%2", "/a%zz", "/a%2g", "/%", "/a%u002f",
	"/a%00b", "/a%0ab", "/a%0d%0ab", "/a%09b", "/a%1fb", "/a%7fb",
	"/a%c0%afb", "/a%c0%ae%c0%ae/b", "/a%e9b", "/a%E9b", "/a%ff", "/a%ed%a0%80", "/a%f4%90%80%80",
}

// refusedByEnvoy are forms that Envoy refuses itself, whatever its settings.
var refusedByEnvoy = []string{"/a#b", "/#", "/a\x01b", "/a\x00b", "/a\x7fb", "/a b c", "/a\tb", "a/b", "", "*"}

// plain are paths with one reading, the odd ones too; how they arrive depends on Envoy's settings.
var plain = []string{
	"/", "/a", "/a/b/", "/A", "/a.b", "/.a", "/a..", "/...", "/..a/b", "/a%20b", "/%20", "/a+b", "/a:b@c", "/a,b=c&d", "/a!$'()*", "/~a", "/-_",
	"/%C3%A9", "/%e2%82%ac", "/a%23b", "/a%3fb", "/a%25", "/a%41", "/a%2D%7e", "/a|b", "/a{b}", "/a\"b", "/a<b>", "/a^b`", "/a[b]",
	"/a?x=../..", "/a?x=//&y=%2f;%00%zz\\", "/a?", "/?a=/../b",
}

func TestCarelessEnvoyAmbiguousPathIsRefusedByPassgate(t *testing.T) {
	for _, e := range envoys[1:] {
		t.Run(e.name, func(t *testing.T) {
			s := startStack(t, e.file(t), open)
			for _, path := range ambiguous {
				answer := get(t, s.addr, path)
				answer.mustDeny(t, path, 400, "ambiguous_path")
				s.upstream.untouched(t, path)
			}
			for _, path := range ambiguous {
				answer := sendHTTP2(t, s.addr, []line{{":path", path}}, nil)
				answer.mustDeny(t, "HTTP/2 "+path, 400, "ambiguous_path")
				s.upstream.untouched(t, "HTTP/2 "+path)
			}
		})
	}
}

// A byte that is not UTF-8 is an exclamation mark in what Envoy shows of the path, and the byte to the upstream,
// which may read more into it: 0xC0 0xAF is a slash to a decoder that takes overlong forms. HTTP/1 has no such
// paths.
func TestRawByteInHTTP2PathIsRefused(t *testing.T) {
	for _, e := range envoys {
		t.Run(e.name, func(t *testing.T) {
			s := startStack(t, e.file(t), open)
			for _, path := range []string{"/a\xE9b", "/\xff", "/a\xE9?x", "/public/..\xc0\xafprivate", "/\xed\xa0\x80"} {
				what := fmt.Sprintf("%q", path)
				answer := sendHTTP2(t, s.addr, []line{{":path", path}}, nil)
				if !answer.reset {
					answer.mustDeny(t, what, 400, "ambiguous_path")
				}
				s.upstream.untouched(t, what)
			}
		})
	}
}

func TestPathThatEnvoyRefusesNeverReachesUpstream(t *testing.T) {
	for _, e := range envoys {
		t.Run(e.name, func(t *testing.T) {
			s := startStack(t, e.file(t), open)
			for _, path := range refusedByEnvoy {
				what := fmt.Sprintf("%q", path)
				if answer := get(t, s.addr, path); answer.status != 400 && answer.status != 404 {
					t.Errorf("%s: status %d, want Envoy's 400 or 404", what, answer.status)
				}
				s.upstream.untouched(t, what)
			}
		})
	}
}

func TestCarelessEnvoyPlainPathArrivesAsSent(t *testing.T) {
	for _, e := range envoys[1:] {
		t.Run(e.name, func(t *testing.T) {
			s := startStack(t, e.file(t), open)
			for _, path := range plain {
				answer := get(t, s.addr, path)
				if answer.status != 200 {
					t.Errorf("%s: status %d, want 200: %s", path, answer.status, answer.body)
					continue
				}
				if got := s.upstream.one(t, path).target; got != path {
					t.Errorf("%s: the upstream got %q", path, got)
				}
			}
		})
	}
}

// resolved are paths that the shipped file has Envoy resolve before anyone looks, and what they become.
var resolved = map[string]string{
	"/a/../b": "/b", "/a/./b": "/a/b", "/a/..": "/", "/a/.": "/a/", "/a/b/..": "/a/", "/a/../../b": "/b", "/..": "/", "/./a": "/a",
	"/a/%2e%2e/b": "/b", "/a/%2E%2e/b": "/b", "/a/.%2e/b": "/b", "/a/%2e/b": "/a/b",
	"//a": "/a", "/a//b": "/a/b", "/a///b//": "/a/b/",
	`/a\b`: "/a/b", `/a\..\b`: "/b", `/a/..\b`: "/b", `/\a`: "/a",
	"/a/..;/b": "/b", "/a/..;x/b": "/b",
	"/%41": "/A", "/a%2Db": "/a-b", "/%7ea": "/~a", "/a%2eb": "/a.b",
	"/public/../private": "/private", "/public/%2e%2e/private?x=../y": "/private?x=../y",
}

func TestShippedEnvoyDecidesOnThePathThatUpstreamGets(t *testing.T) {
	s := startStack(t, shippedFile(t), open)
	for path, want := range resolved {
		if got := s.mustAgree(t, path); got != want {
			t.Errorf("%s: the upstream got %q, want %q", path, got, want)
		}
	}
	for _, path := range plain {
		s.mustAgree(t, path)
	}
}

// mustAgree fails the test unless a request is let through and the decision was about the path that the
// upstream got, byte for byte. It returns the target that the upstream got.
func (s *stack) mustAgree(t *testing.T, path string) string {
	t.Helper()
	answer := get(t, s.addr, path)
	if answer.status != 200 {
		t.Errorf("%s: status %d, want 200: %s", path, answer.status, answer.body)
		return ""
	}
	target := s.upstream.one(t, path).target
	decided, _ := s.passgate.logLine(t, answer.requestID(t))["path"].(string)
	if arrived := withoutQuery(target); decided != arrived {
		t.Errorf("%s: the decision was on %q, the upstream got %q", path, decided, arrived)
	}
	return target
}

func withoutQuery(target string) string {
	for i := range target {
		if target[i] == '?' {
			return target[:i]
		}
	}
	return target
}

func TestShippedEnvoyRefusesEncodedSlashesItself(t *testing.T) {
	s := startStack(t, shippedFile(t), open)
	for _, path := range []string{"/a%2fb", "/a%2Fb", "/a%5cb", "/a%00b", "/a/..%2fb", "/a/%2e%2e%5cb"} {
		answer := get(t, s.addr, path)
		if answer.status != 400 || answer.body != "" {
			t.Errorf("%s: status %d %q, want Envoy's 400, which is empty", path, answer.status, answer.body)
		}
		s.upstream.untouched(t, path)
	}
}

func TestShippedEnvoyOtherAmbiguousPathIsRefusedByPassgate(t *testing.T) {
	s := startStack(t, shippedFile(t), open)
	for _, path := range []string{
		"/a;x", "/a;x/b", "/a/;/b", "/;a", "/a;", "/a/%2e%2e;/b", "/a/%2e;/b",
		"/a%3bx", "/a%3Bx", "/a/..%3b/b",
		"/a%252fb", "/a%252e%252e/b", "/a%2541", "/a%25%32%66",
		"/a%", "/a%2", "/a%zz", "/a%2g", "/%", "/a%u002f",
		"/a%0ab", "/a%0d%0ab", "/a%09b", "/a%1fb", "/a%7fb",
		"/a%c0%afb", "/a%c0%ae%c0%ae/b", "/a%e9b", "/a%E9b", "/a%ff", "/a%ed%a0%80",
	} {
		for _, sent := range []struct {
			protocol string
			answer   response
		}{
			{"HTTP/1.1", get(t, s.addr, path)},
			{"HTTP/2", sendHTTP2(t, s.addr, []line{{":path", path}}, nil)},
		} {
			sent.answer.mustDeny(t, sent.protocol+" "+path, 400, "ambiguous_path")
			s.upstream.untouched(t, sent.protocol+" "+path)
		}
	}
}

// Whatever a form becomes on its way, it never opens a route that the plain path would not.
func TestNoFormOfAPathOpensADeniedRoute(t *testing.T) {
	for _, e := range envoys {
		t.Run(e.name, func(t *testing.T) {
			s := startStack(t, e.file(t), policy)
			for _, path := range []string{
				"/public/../private/page", "/public/./../private/page", "/public/%2e%2e/private/page", "/public/.%2e/private/page",
				"/public/..;/private/page", "/public/..;x=y/private/page", "/public/%2e%2e;/private/page", "/public/..%3b/private/page",
				"/public/..%2fprivate/page", "/public%2f..%2fprivate/page", "/public/..%252fprivate/page", "/public/%252e%252e/private/page",
				`/public/..\private/page`, `/public\..\private\page`, "/public/..%5cprivate/page", "/public/..%c0%afprivate/page",
				"/public/%c0%ae%c0%ae/private/page", "/public/..%u002fprivate/page", "//private/page",
				"/./private/page", "/public/%00/../private/page", "/private;/page", "/private/page;x", "/private/page%3b",
				"/api/users/1/", "/API/users/1", "/api//users/1", "/api/users/1/..", "/api/users/", "/api/users",
			} {
				for _, answer := range []response{get(t, s.addr, path), sendHTTP2(t, s.addr, []line{{":path", path}}, nil)} {
					if !answer.reset && answer.status != 400 && answer.status != 401 && answer.status != 403 {
						t.Errorf("%s: status %d, want 400, 401 or 403", path, answer.status)
					}
					s.upstream.untouched(t, path)
				}
			}
		})
	}
}

func TestOtherMethodSlashOrCaseIsNotTheRoute(t *testing.T) {
	for _, e := range envoys {
		t.Run(e.name, func(t *testing.T) {
			s := startStack(t, e.file(t), policy)
			credential := bearer(t, user("read", "write", "delete"))
			for _, request := range []string{
				"DELETE /api/users/1/ HTTP/1.1", "DELETE /API/users/1 HTTP/1.1", "PATCH /api/users/1 HTTP/1.1", "GET /api/users/1/ HTTP/1.1",
				"GET /Api/users/1 HTTP/1.1", "PUT /api/users/1 HTTP/1.1", "POST /api/users/1 HTTP/1.1", "OPTIONS /api/users/1 HTTP/1.1",
				"GET /api/users/1/orders HTTP/1.1", "GET /api/users HTTP/1.1", "GET /api/users/ HTTP/1.1",
			} {
				send(t, s.addr, request, credential, "Content-Length: 0").mustDeny(t, request, 403, "forbidden")
				s.upstream.untouched(t, request)
			}
			for _, request := range []string{"DELETE /api/users/1 HTTP/1.1", "GET /api/users/1 HTTP/1.1", "HEAD /api/users/1 HTTP/1.1"} {
				if answer := send(t, s.addr, request, credential); answer.status != 200 {
					t.Errorf("%s: status %d, want 200: %s", request, answer.status, answer.body)
				}
				s.upstream.one(t, request)
			}
		})
	}
}
