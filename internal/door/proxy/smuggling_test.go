package proxy

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

// exchangeRaw sends bytes to a door and returns the status of each answer, up to the end of the connection
// or to as many as there are expected.
func (d *door) exchangeRaw(t *testing.T, bytes string, expected int) []int {
	t.Helper()
	c := d.connect(t)
	if _, err := io.WriteString(c, bytes); err != nil {
		t.Fatal(err)
	}
	var all []int
	r := bufio.NewReader(c)
	for len(all) < expected {
		answer, err := http.ReadResponse(r, nil)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			t.Fatalf("after %v: %v", all, err)
		}
		all = append(all, answer.StatusCode)
		if _, err := io.Copy(io.Discard, answer.Body); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// TestOneRequestOrNone sends what servers are known to read in different ways. Each reaches the upstream as
// exactly one well-formed request, or not at all.
func TestOneRequestOrNone(t *testing.T) {
	const smuggled = "GET /v1/proxy/admin HTTP/1.1\r\nHost: h\r\n\r\n"
	for _, c := range []struct {
		name, bytes string
		status      int
		reaches     string // the request line at the upstream; "": none
	}{
		{"a length beside chunks", "POST /v1/proxy/docs/a HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + smuggled, 400, ""},
		{"chunks beside a length", "POST /v1/proxy/docs/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 41\r\n\r\n0\r\n\r\n" + smuggled, 400, ""},
		{"two lengths", "POST /v1/proxy/docs/a HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nContent-Length: 41\r\n\r\n" + smuggled, 400, ""},
		{"two equal lengths", "POST /v1/proxy/docs/a HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na", 400, ""},
		{"a list of lengths", "POST /v1/proxy/docs/a HTTP/1.1\r\nHost: h\r\nContent-Length: 1, 1\r\n\r\na", 400, ""},
		{"two codings", "POST /v1/proxy/docs/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", 400, ""},
		{"an unknown coding", "POST /v1/proxy/docs/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400, ""},
		{"a folded header", "GET /v1/proxy/docs/a HTTP/1.1\r\nHost: h\r\nX-A: b\r\n X-User-ID: root\r\n\r\n", 400, ""},
		{"a folded length", "POST /v1/proxy/docs/a HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n 41\r\n\r\n" + smuggled, 400, ""},
		{"a bare LF", "GET /v1/proxy/docs/a HTTP/1.1\r\nHost: h\r\nX-A: b\nX-User-ID: root\r\n\r\n", 400, ""},
		{"a bare CR", "GET /v1/proxy/docs/a HTTP/1.1\r\nHost: h\r\nX-A: b\rX-User-ID: root\r\n\r\n", 400, ""},
		{"a blank before the colon", "POST /v1/proxy/docs/a HTTP/1.1\r\nHost: h\r\nContent-Length : 41\r\n\r\n" + smuggled, 400, ""},
		{"NUL in a header", "GET /v1/proxy/docs/a HTTP/1.1\r\nHost: h\r\nX-A: b\x00\r\n\r\n", 400, ""},
		{"NUL in the path", "GET /v1/proxy/docs/\x00a HTTP/1.1\r\nHost: h\r\n\r\n", 400, ""},
		{"encoded NUL in the path", "GET /v1/proxy/docs/%00a HTTP/1.1\r\nHost: h\r\n\r\n", 400, ""},
		{"a chunk extension", "POST /v1/proxy/docs/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1;a\nb\r\nc\r\n0\r\n\r\n", 400, ""},
		{"a bad chunk size", "POST /v1/proxy/docs/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\nc\r\n0\r\n\r\n", 400, ""},
		{"two hosts", "GET /v1/proxy/docs/a HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n", 400, ""},
		{"no host", "GET /v1/proxy/docs/a HTTP/1.1\r\n\r\n", 400, ""},
		{"a host that is a list", "GET /v1/proxy/docs/a HTTP/1.1\r\nHost: h,i\r\n\r\n", 400, ""},
		{"a host with credentials", "GET /v1/proxy/docs/a HTTP/1.1\r\nHost: a@h\r\n\r\n", 400, ""},
		{"CONNECT", "CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: 127.0.0.1:22\r\n\r\n", http.StatusTeapot, ""},
		{"CONNECT to a path of the proxy", "CONNECT /v1/proxy/docs/a HTTP/1.1\r\nHost: h\r\n\r\n", 400, ""},
		{"absolute form", "GET http://other/v1/proxy/docs/a HTTP/1.1\r\nHost: h\r\n\r\n", 400, ""},
		{"absolute form behind the prefix", "GET /v1/proxy/http://other/docs HTTP/1.1\r\nHost: h\r\n\r\n", 400, ""},
		{"an asterisk", "GET * HTTP/1.1\r\nHost: h\r\n\r\n", http.StatusTeapot, ""},
		{"dots", "GET /v1/proxy/docs/../admin HTTP/1.1\r\nHost: h\r\n\r\n", 400, ""},
		{"dots behind the prefix", "GET /v1/proxy/../admin HTTP/1.1\r\nHost: h\r\n\r\n", 400, ""},
		{"encoded dots", "GET /v1/proxy/docs/%2e%2e/admin HTTP/1.1\r\nHost: h\r\n\r\n", 400, ""},
		{"half encoded dots", "GET /v1/proxy/docs/.%2e/admin HTTP/1.1\r\nHost: h\r\n\r\n", 400, ""},
		{"dots with an encoded slash", "GET /v1/proxy/docs/..%2fadmin HTTP/1.1\r\nHost: h\r\n\r\n", 400, ""},
		{"dots with a parameter", "GET /v1/proxy/docs/..;/admin HTTP/1.1\r\nHost: h\r\n\r\n", 400, ""},
		{"a backslash", "GET /v1/proxy/docs/..\\admin HTTP/1.1\r\nHost: h\r\n\r\n", 400, ""},
		{"double encoding", "GET /v1/proxy/docs/%252e%252e/admin HTTP/1.1\r\nHost: h\r\n\r\n", 400, ""},
		{"two slashes", "GET /v1/proxy//docs/a HTTP/1.1\r\nHost: h\r\n\r\n", 400, ""},
		{"a fragment", "GET /v1/proxy/docs/a#/../admin HTTP/1.1\r\nHost: h\r\n\r\n", 400, ""},
		{"a fragment in the query", "GET /v1/proxy/docs/a?b#/../c HTTP/1.1\r\nHost: h\r\n\r\n", 200, "GET /docs/a?b%23/../c HTTP/1.1"},
		{"an encoded prefix", "GET /v1%2fproxy/docs/a HTTP/1.1\r\nHost: h\r\n\r\n", http.StatusTeapot, ""},
		{"two slashes before the prefix", "GET //v1/proxy/docs/a HTTP/1.1\r\nHost: h\r\n\r\n", http.StatusTeapot, ""},
		{"dots before the prefix", "GET /x/../v1/proxy/docs/a HTTP/1.1\r\nHost: h\r\n\r\n", http.StatusTeapot, ""},
		{"dots in the query", "GET /v1/proxy/docs/a?b=/../;c=%2e HTTP/1.1\r\nHost: h\r\n\r\n", 200, "GET /docs/a?b=/../;c=%2e HTTP/1.1"},
		{"another Connection header", "GET /v1/proxy/docs/a HTTP/1.1\r\nHost: h\r\nConnection: X-Passport\r\n\r\n", 200, "GET /docs/a HTTP/1.1"},
		{"a body that looks like a request", "POST /v1/proxy/docs/a HTTP/1.1\r\nHost: h\r\nContent-Length: 41\r\n\r\n" + smuggled, 200, "POST /docs/a HTTP/1.1"},
		{"an upgrade that is not offered", "GET /v1/proxy/docs/a HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n", 200, "GET /docs/a HTTP/1.1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			upstream := listen(t, always(okAnswer))
			d := open(t, Options{}, map[string]string{"default": "http://" + upstream.address})
			if got := d.exchangeRaw(t, c.bytes, 1); len(got) != 1 || got[0] != c.status {
				t.Errorf("answered %v, want %d", got, c.status)
			}
			requests, _ := upstream.got()
			whole := 0
			for _, request := range requests {
				// A body that breaks off on its way leaves half a request, which the upstream cannot take for one.
				if r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(request))); err == nil {
					if _, err := io.Copy(io.Discard, r.Body); err == nil {
						whole++
					}
				}
			}
			if c.reaches == "" && whole != 0 {
				t.Errorf("the upstream gets %q", requests)
			}
			if c.reaches != "" && (len(requests) != 1 || whole != 1 || !strings.HasPrefix(requests[0], c.reaches+"\r\n")) {
				t.Errorf("the upstream gets %q", requests)
			}
		})
	}
}
