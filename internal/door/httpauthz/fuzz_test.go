package httpauthz

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/door/doortest"
	"github.com/passgate/passgate/internal/identity"
	"github.com/passgate/passgate/internal/policy"
)

// Whatever bytes are a request, 200 is what the engine granted for exactly the bytes behind the prefix, and all
// else is a denial that names nobody.
func FuzzServeHTTP(f *testing.F) {
	for _, seed := range []string{
		"GET /envoy/authz/docs/a?b HTTP/1.1\r\nHost: h\r\n" + reader + "\r\nX-User-ID: root\r\nX_User~ID: root\r\n\r\n",
		"HEAD /envoy/authz//a HTTP/1.1\r\nHost: h\r\nX-Request-ID: id-1\r\nContent-Type: application/grpc\r\n\r\n",
		"OPTIONS /envoy/authz/../a HTTP/1.1\r\nHost: a,b\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
		"CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n",
		"POST http://h/envoy/authz/a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab",
		"GET /envoy/authz/a%2fb%zz HTTP/1.1\r\nHost: h\r\nX-Passport|Signature: x\r\nX-HTTP-Method-Override: PUT\r\n\r\n",
		"GET /envoy/authz/a!\xff# HTTP/1.0\r\n" + reader + "\r\n" + reader + "\r\n\r\n",
		"GET /envoy/authzx HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer no.keys.here\r\n\r\n",
	} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	engines := map[bool]*authz.Engine{
		true:  doortest.Engine(f, policy.Options{Default: authz.AccessOptional}),
		false: doortest.Engine(f, policy.Options{Default: authz.AccessAuthenticated}),
	}
	f.Fuzz(func(t *testing.T, text string, optional bool) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
		if err != nil || len(text) > 8<<10 {
			return
		}
		var asked *authz.Request
		var decision authz.Decision
		h := New(Options{Log: doortest.PanicAtErrors(), Decider: doortest.DecideFunc(func(ctx context.Context, q *authz.Request) authz.Decision {
			if asked != nil {
				t.Fatal("the engine is asked twice")
			}
			asked, decision = q, engines[optional].Decide(ctx, q)
			if strings.HasPrefix(decision.Cause, "panic:") {
				panic(decision.Cause)
			}
			return decision
		})})
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)

		if granted := w.Code == 200; granted != decision.Allowed() || !granted && (w.Code < 400 || w.Code > 599) {
			t.Fatalf("%q is answered %d, the engine said %v", text, w.Code, decision.Allowed())
		}
		holdsAnswer(t, w)
		if asked != nil {
			holdsQuestion(t, r, asked, decision.Allowed())
		}
		if w.Code == 200 {
			holdsAllow(t, r, w.Header(), decision.Identity != nil)
		}
	})
}

// holdsQuestion states what is true of every question, about a request as it came.
func holdsQuestion(t *testing.T, r *http.Request, q *authz.Request, granted bool) {
	if q.Method != r.Method || q.Host != r.Host || q.Context != nil || !q.HeadersFiltered {
		t.Fatalf("asked %+v", q)
	}
	path, query, hasQuery := strings.Cut(r.RequestURI, "?")
	if hasQuery {
		query = "?" + query
	}
	if q.Malformed == "" && Prefix+q.Path+query != r.RequestURI || granted && (q.Malformed != "" || Prefix+q.Path != path) {
		t.Fatalf("%q is asked as %q", r.RequestURI, q.Path)
	}
	lines := 0
	for name, values := range r.Header {
		var got []string
		for _, h := range q.Headers {
			if h.Name == name {
				got = append(got, h.Value)
			}
		}
		if name == "Host" {
			values = nil
		}
		lines += len(values)
		if !slices.Equal(got, values) {
			t.Fatalf("%s: %q is asked as %q", name, values, got)
		}
	}
	if lines != len(q.Headers) {
		t.Fatalf("%d lines are asked as %d", lines, len(q.Headers))
	}
}

var names = identity.Names()

func isIdentity(name string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) })
}

// holdsAnswer states what is true of every answer.
func holdsAnswer(t *testing.T, w *httptest.ResponseRecorder) {
	for name, values := range w.Header() {
		if name == "Content-Type" && len(values) == 0 {
			continue
		}
		if len(values) != 1 || strings.ContainsFunc(values[0], func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Fatalf("%s: %q", name, values)
		}
		switch name {
		case "Cache-Control":
		case "Content-Type", "Www-Authenticate", "Retry-After", "Grpc-Status":
			if w.Code == 200 {
				t.Fatalf("an allow with %s", name)
			}
		case "X-Envoy-Auth-Headers-To-Remove":
			if w.Code != 200 {
				t.Fatalf("a denial that removes %q", values)
			}
		default:
			if w.Code != 200 || !isIdentity(name) {
				t.Fatalf("an answer of %d with %s: %q", w.Code, name, values)
			}
		}
	}
}

// holdsAllow states that each identity header is set or removed, and that no alias which Envoy showed is left.
func holdsAllow(t *testing.T, r *http.Request, header http.Header, principal bool) {
	removed := strings.Split(header.Get("X-Envoy-Auth-Headers-To-Remove"), ",")
	for _, name := range names {
		set := header.Get(name) != ""
		if set == slices.Contains(removed, strings.ToLower(name)) || set && !principal {
			t.Fatalf("%s: set %v, removed %q", name, set, removed)
		}
	}
	for name := range r.Header {
		folded := strings.Map(func(c rune) rune {
			if 'a' <= c && c <= 'z' || '0' <= c && c <= '9' {
				return c
			}
			return '-'
		}, strings.ToLower(name))
		if (strings.HasPrefix(folded, "x-user-") || strings.HasPrefix(folded, "x-passport") || strings.HasPrefix(folded, "x-proxy-state")) &&
			!isIdentity(name) && !slices.Contains(removed, strings.ToLower(name)) {
			t.Fatalf("%q reaches the upstream", name)
		}
	}
}
