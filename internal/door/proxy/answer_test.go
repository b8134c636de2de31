package proxy

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// forgedAnswer are headers of an answer that are not the upstream's to send.
const forgedAnswer = "X-User-ID: forged\r\nx-user-role: forged\r\nX_User_ID: forged\r\nX.User-Permissions: forged\r\n" +
	"X-Passport: forged\r\nX-Passport-Signature: forged\r\nX_PASSPORT: forged\r\nX-Proxy-State: forged\r\nX-User-Extra: forged\r\n"

func TestAnswerDoesNotSpeakForPassgate(t *testing.T) {
	for _, c := range []struct{ name, answer string }{
		{"in headers", "HTTP/1.1 200 OK\r\n" + forgedAnswer + "X-Other: kept\r\nContent-Length: 2\r\n\r\nok"},
		{"in a redirect", "HTTP/1.1 302 Found\r\nLocation: http://other/\r\n" + forgedAnswer + "X-Other: kept\r\nContent-Length: 2\r\n\r\nok"},
		{"in an interim answer", "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nX-Hop: forged\r\nConnection: X-Hop\r\n" + forgedAnswer + "\r\nHTTP/1.1 200 OK\r\nX-Other: kept\r\nContent-Length: 2\r\n\r\nok"},
		{"in an interim answer with close", "HTTP/1.1 103 Early Hints\r\nX-Hop: forged\r\nConnection: close, X-Hop\r\n\r\nHTTP/1.1 200 OK\r\nX-Other: kept\r\nContent-Length: 2\r\n\r\nok"},
		{"in trailers that are announced", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Other: kept\r\nTrailer: X-User-ID, X-Sum, X_Passport\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\nX_Passport: forged\r\nX-User-ID: forged\r\n\r\n"},
		{"in trailers that are not announced", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Other: kept\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n" + forgedAnswer + "Connection: forged\r\nContent-Length: 9\r\n\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			upstream := listen(t, always(c.answer))
			d := open(t, Options{}, map[string]string{"default": "http://" + upstream.address})
			conn := d.connect(t)
			_, _ = io.WriteString(conn, "GET /v1/proxy/docs/a HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nConnection: close, TE\r\n\r\n")
			all, err := io.ReadAll(conn)
			if err != nil {
				t.Fatal(err)
			}
			got := string(all)
			if strings.Contains(got, "forged") || strings.Contains(strings.ToLower(got), "x-user-id") || strings.Contains(got, "Content-Length: 9") {
				t.Errorf("the client gets\n%s", got)
			}
			for _, want := range []string{"X-Other: kept", "ok"} {
				if !strings.Contains(got, want) {
					t.Errorf("the client misses %q in\n%s", want, got)
				}
			}
			for in, out := range map[string]string{"X-Sum: 1": "X-Sum: 1", "Link:": "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK", "Location": "HTTP/1.1 302 Found\r\n"} {
				if strings.Contains(c.answer, in) && !strings.Contains(got, out) {
					t.Errorf("the client misses %q in\n%s", out, got)
				}
			}
		})
	}
}

// hopAnswers name X-Hop as for one hop, in each way that the client must not see it.
var hopAnswers = []struct{ name, answer string }{
	{"alone", "HTTP/1.1 200 OK\r\nConnection: X-Hop\r\nX-Hop: secret\r\nContent-Length: 2\r\n\r\nok"},
	{"before close", "HTTP/1.1 200 OK\r\nConnection: X-Hop, close\r\nX-Hop: secret\r\nContent-Length: 2\r\n\r\nok"},
	{"behind close", "HTTP/1.1 200 OK\r\nX-Hop: secret\r\nConnection: close,x-hop\r\nContent-Length: 2\r\n\r\nok"},
	{"on another line than close", "HTTP/1.1 200 OK\r\nConnection: close\r\nX-Hop: secret\r\nconnection: X-HOP\r\n\r\nok"},
	{"folded", "HTTP/1.1 200 OK\r\nConnection: close,\r\n X-Hop\r\nX-Hop: secret\r\n\r\nok"},
	{"with bare LFs", "HTTP/1.1 200 OK\nConnection: close, X-Hop\nX-Hop: secret\n\nok"},
	{"behind an interim answer", "HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\nHTTP/1.1 200 OK\r\nConnection: close, X-Hop\r\nX-Hop: secret\r\n\r\nok"},
	{"by HTTP/1.0", "HTTP/1.0 200 OK\r\nConnection: close, X-Hop\r\nX-Hop: secret\r\n\r\nok"},
	{"in trailers", "HTTP/1.1 200 OK\r\nConnection: close, X-Hop\r\nTransfer-Encoding: chunked\r\nTrailer: X-Hop\r\n\r\n2\r\nok\r\n0\r\nX-Hop: secret\r\n\r\n"},
	{"beside much else", "HTTP/1.1 200 OK\r\nX-Long: " + strings.Repeat("a", 20<<10) + "\r\nConnection: close, X-Hop\r\nX-Hop: secret\r\n\r\nok"},
	{"as a list of all that is for one hop", "HTTP/1.1 200 OK\r\nConnection: close, X-Hop\r\nX-Hop: secret\r\nKeep-Alive: secret\r\nProxy-Authenticate: secret\r\nProxy-Connection: secret\r\nUpgrade: secret\r\nTE: secret\r\n\r\nok"},
}

func TestAnswerForOneHopStays(t *testing.T) {
	for _, c := range hopAnswers {
		t.Run(c.name, func(t *testing.T) {
			// The first answer leaves the connection open, so that the second is heard on one that was used.
			upstream := listen(t, func(conn net.Conn, n int) bool {
				if n == 1 {
					return always("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok")(conn, n)
				}
				_, _ = io.WriteString(conn, c.answer)
				return !strings.Contains(c.answer, "lose") && !strings.Contains(c.answer, "HTTP/1.0")
			})
			d := open(t, Options{}, map[string]string{"default": "http://" + upstream.address})
			d.ask(t, "GET /v1/proxy/docs/a")
			conn := d.connect(t)
			_, _ = io.WriteString(conn, "GET /v1/proxy/docs/a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
			all, err := io.ReadAll(conn)
			if got := string(all); err != nil || strings.Contains(got, "secret") || !strings.Contains(got, "HTTP/1.1 200 OK") || !strings.Contains(got, "ok") {
				t.Errorf("the client gets, %v,\n%.2000s", err, got)
			}
			if requests, conns := upstream.got(); len(requests) != 2 || conns != 1 {
				t.Errorf("%d requests over %d connections", len(requests), conns)
			}
		})
	}
}

// TestAnswerForOneHopStaysOverTLS is for upstreams whose HTTP/1.1 answers are read through TLS.
func TestAnswerForOneHopStaysOverTLS(t *testing.T) {
	certified := httptest.NewUnstartedServer(nil)
	certified.StartTLS()
	defer certified.Close()
	roots := x509.NewCertPool()
	roots.AddCert(certified.Certificate())
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: certified.TLS.Certificates})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nConnection: close, X-Hop\r\nX-Hop: secret\r\nX-Other: kept\r\n\r\nok")
			}
			_ = c.Close()
		}
	}()
	d := open(t, Options{TLS: &tls.Config{RootCAs: roots, ServerName: "example.com"}}, map[string]string{"default": "https://" + l.Addr().String()})
	answer, body := d.ask(t, "GET /v1/proxy/docs/a")
	if answer.StatusCode != 200 || body != "ok" || answer.Header.Get("X-Hop") != "" || answer.Header.Get("X-Other") != "kept" {
		t.Errorf("answered %d, %v, %q", answer.StatusCode, answer.Header, body)
	}
}

func TestUpstreamIsKnownByItsCertificate(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the upstream is called") }))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	d := open(t, Options{}, map[string]string{"default": server.URL})
	if answer, body := d.ask(t, "GET /v1/proxy/docs/a"); answer.StatusCode != 502 || !strings.Contains(body, "upstream_unreachable") {
		t.Errorf("answered %d, %s", answer.StatusCode, body)
	}
	if !strings.Contains(d.log.String(), "certificate") {
		t.Errorf("logged %s", d.log.String())
	}
}

func TestAnswerHeadIsBounded(t *testing.T) {
	for _, c := range []struct{ name, answer string }{
		{"a head without end", "HTTP/1.1 200 OK\r\nConnection: close\r\nX-Long: " + strings.Repeat("a", maxAnswerHeadBytes+8<<10) + "\r\n\r\n"},
		{"interim answers without end", strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n", maxInterim+1) + okAnswer},
		{"long interim answers before an answer that closes", strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: "+strings.Repeat("a", maxAnswerHeadBytes-1<<10)+"\r\n\r\n", 3) + "HTTP/1.1 200 OK\r\nConnection: close, X-Hop\r\nX-Hop: secret\r\n\r\nok"},
	} {
		t.Run(c.name, func(t *testing.T) {
			upstream := listen(t, func(conn net.Conn, n int) bool {
				_, _ = io.WriteString(conn, c.answer)
				return false
			})
			d := open(t, Options{}, map[string]string{"default": "http://" + upstream.address})
			conn := d.connect(t)
			_, _ = io.WriteString(conn, "GET /v1/proxy/docs/a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
			all, err := io.ReadAll(conn)
			got := string(all)
			if err != nil || strings.Contains(got, "secret") || strings.Contains(got, "HTTP/1.1 200 OK") || !strings.Contains(got, "HTTP/1.1 502 Bad Gateway") {
				t.Errorf("the client gets, %v,\n%.2000s", err, got)
			}
		})
	}
}

func TestRedirectIsPassedOn(t *testing.T) {
	other := listen(t, always(okAnswer))
	for _, status := range []int{301, 302, 303, 307, 308} {
		upstream := listen(t, always(fmt.Sprintf("HTTP/1.1 %d Elsewhere\r\nLocation: http://%s/b\r\nContent-Length: 0\r\n\r\n", status, other.address)))
		d := open(t, Options{}, map[string]string{"default": "http://" + upstream.address})
		answer, _ := d.ask(t, "GET /v1/proxy/docs/a")
		if answer.StatusCode != status || answer.Header.Get("Location") != "http://"+other.address+"/b" {
			t.Errorf("answered %d, %v", answer.StatusCode, answer.Header)
		}
	}
	if requests, _ := other.got(); requests != nil {
		t.Errorf("followed: %q", requests)
	}
}

func TestAnswerIsPassedOn(t *testing.T) {
	upstream := listen(t, always("HTTP/1.1 418 I'm a teapot\r\nContent-Type: text/x\r\nContent-Encoding: gzip\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\nX-Request-ID: its\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x00"))
	d := open(t, Options{}, map[string]string{"default": "http://" + upstream.address})
	answer, body := d.ask(t, "GET /v1/proxy/docs/a")
	if answer.StatusCode != 418 || body != "\x1f\x8b\x00" || !slices.Equal(answer.Header["Set-Cookie"], []string{"a=b", "c=d"}) ||
		answer.Header.Get("Content-Type") != "text/x" || answer.Header.Get("Content-Encoding") != "gzip" || answer.Header.Get("X-Request-Id") != "new-id" {
		t.Errorf("answered %d, %v, %q", answer.StatusCode, answer.Header, body)
	}
}

func TestTypeOfAnswerIsNotGuessed(t *testing.T) {
	upstream := listen(t, always("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>"))
	d := open(t, Options{}, map[string]string{"default": "http://" + upstream.address})
	if answer, body := d.ask(t, "GET /v1/proxy/docs/a"); body != "<html>" || answer.Header["Content-Type"] != nil {
		t.Errorf("answered %v, %q", answer.Header, body)
	}
}

func TestAliasesOverHTTP2(t *testing.T) {
	header := http.Header{"X-User-Id": {"forged"}, "X_user_role": {"forged"}, "X-Passport": {"forged"}, "X-Other": {"kept"}}
	cleanAnswer(header, nil)
	if len(header) != 1 {
		t.Errorf("left: %v", header)
	}
}
