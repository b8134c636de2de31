package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// What could be framed or routed in two ways reaches the upstream of the proxy as one request or not at all. The
// bytes are sent as they are, to passgate as it is served; a request that was smuggled would be for /smuggled.
func TestProxyOneRequestOrNone(t *testing.T) {
	a := startAccounts(t, "")
	ann := a.spilled.newPerson()
	token := a.session(t, must(t, 201)(a.post(signUpPath, ann.signUp()))).Token
	const smuggled = "GET /v1/proxy/smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
	head := func(line string, more ...string) string {
		return strings.Join(append([]string{line, "Host: h", "Authorization: Bearer " + token}, more...), "\r\n") + "\r\n\r\n"
	}
	for _, test := range []struct {
		name, bytes string
		target      string // as the upstream sees it, "" for not at all
	}{
		{"an ordinary one", head("GET /v1/proxy/a?b HTTP/1.1"), "/a?b"},
		{"a length beside chunks", head("POST /v1/proxy/a HTTP/1.1", "Content-Length: 5", "Transfer-Encoding: chunked") + "0\r\n\r\n" + smuggled, ""},
		{"chunks beside a length", head("POST /v1/proxy/a HTTP/1.1", "Transfer-Encoding: chunked", "Content-Length: 5") + "0\r\n\r\n" + smuggled, ""},
		{"a doubled length", head("POST /v1/proxy/a HTTP/1.1", "Content-Length: 0", "Content-Length: 43") + smuggled, ""},
		{"an equal length, doubled", head("POST /v1/proxy/a HTTP/1.1", "Content-Length: 2", "Content-Length: 2") + "ok", ""},
		{"a list of lengths", head("POST /v1/proxy/a HTTP/1.1", "Content-Length: 2, 2") + "ok", ""},
		{"a signed length", head("POST /v1/proxy/a HTTP/1.1", "Content-Length: +2") + "ok", ""},
		{"another coding", head("POST /v1/proxy/a HTTP/1.1", "Transfer-Encoding: gzip, chunked") + "0\r\n\r\n", ""},
		{"chunks in odd letters", head("POST /v1/proxy/a HTTP/1.1", "Transfer-Encoding: \x0bchunked") + "0\r\n\r\n" + smuggled, ""},
		{"a folded header", head("GET /v1/proxy/a HTTP/1.1", "X-A: b", " c: d"), ""},
		{"a blank before the colon", head("POST /v1/proxy/a HTTP/1.1", "Content-Length : 43") + smuggled, ""},
		{"a bare line feed", "GET /v1/proxy/a HTTP/1.1\nHost: h\nAuthorization: Bearer " + token + "\n\n", ""},
		{"a bare carriage return", head("GET /v1/proxy/a HTTP/1.1", "X-A: b\rContent-Length: 43"), ""},
		{"Connection that names the passport", head("GET /v1/proxy/a HTTP/1.1", "Connection: X-Passport, X-User-ID, keep-alive"), "/a"},
		{"CONNECT", head("CONNECT " + a.upstream.addr + " HTTP/1.1"), ""},
		{"CONNECT to a path", head("CONNECT /v1/proxy/a HTTP/1.1"), ""},
		{"absolute form", head("GET http://" + a.upstream.addr + "/v1/proxy/a HTTP/1.1"), ""},
		{"an encoded slash behind dots", head("GET /v1/proxy/a/..%2fadmin HTTP/1.1"), ""},
		{"dots", head("GET /v1/proxy/a/../admin HTTP/1.1"), ""},
		{"dots out of the prefix", head("GET /v1/proxy/../admin HTTP/1.1"), ""},
		{"dots into the prefix", head("GET /x/../v1/proxy/a HTTP/1.1"), ""},
		{"dots with a parameter", head("GET /v1/proxy/..;/admin HTTP/1.1"), ""},
		{"the account API behind the prefix", head("POST /v1/proxy/v1/auth/login HTTP/1.1", "Content-Length: 0"), ""},
		{"h2c", head("GET /v1/proxy/a HTTP/1.1", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"), "/a"},
	} {
		t.Run(test.name, func(t *testing.T) {
			statuses := exchange(t, a.http, test.bytes)
			got := a.upstream.take()
			if test.target == "" {
				if len(got) != 0 {
					t.Fatalf("answered %v, and %d requests reached the upstream, one for %s", statuses, len(got), got[0].target)
				}
				if len(statuses) != 1 || statuses[0] < 400 {
					t.Errorf("answered %v, want one refusal", statuses)
				}
				return
			}
			if len(got) != 1 || got[0].target != test.target || len(statuses) != 1 || statuses[0] != 200 {
				t.Fatalf("answered %v, and %d requests reached the upstream", statuses, len(got))
			}
			for name, want := range map[string]int{"x-passport": 1, "x-user-id": 1, "upgrade": 0, "http2-settings": 0, "x-forwarded-for": 1} {
				if values := got[0].values(name); len(values) != want {
					t.Errorf("%s arrived as %q, want %d", name, values, want)
				}
			}
		})
	}
	if n := a.metric(t, "passgate_framing_refused_total"); n < 10 {
		t.Errorf("%v connections are counted as refused", n)
	}
}

// exchange writes bytes to a connection and returns the statuses of all answers until it ends or nothing more comes.
func exchange(t *testing.T, addr, bytes string) []int {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// A last request, whose answer is known, ends the exchange wherever the connection is kept.
	const last = "GET /v1/auth/login HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
	conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, bytes+last); err != nil {
		t.Fatal(err)
	}
	var statuses []int
	for r := bufio.NewReader(conn); ; {
		answer, err := http.ReadResponse(r, nil)
		if err != nil {
			return statuses
		}
		if _, err := io.Copy(io.Discard, answer.Body); err != nil {
			return statuses
		}
		if answer.StatusCode == http.StatusMethodNotAllowed {
			return statuses
		}
		statuses = append(statuses, answer.StatusCode)
	}
}

func TestProxyTellsOfAnUpstreamThatIsGone(t *testing.T) {
	gone := freeAddr(t)
	a := newAccounts(t, "", programs.passgate)
	replaceIn(t, a.config, a.upstream.addr, gone)
	a.start(t)
	ann := a.spilled.newPerson()
	token := a.session(t, must(t, 201)(a.post(signUpPath, ann.signUp()))).Token
	get(t, a.http, "/v1/proxy/a", "Authorization: Bearer "+token).mustDeny(t, "no upstream", 502, "upstream_unreachable")
	if n := a.metric(t, fmt.Sprintf("passgate_upstream_faults_total{code=%q,upstream=%q}", "upstream_unreachable", "default")); n != 1 {
		t.Errorf("%v faults are counted, want 1", n)
	}
}
