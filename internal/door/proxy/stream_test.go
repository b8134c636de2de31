package proxy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/door/doortest"
)

// serve runs an upstream by a handler, over HTTP/1 or over HTTP/2 without TLS, and returns its address.
func serve(t *testing.T, h2c bool, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	var protocols http.Protocols
	protocols.SetHTTP1(!h2c)
	protocols.SetUnencryptedHTTP2(h2c)
	server.Config.Protocols = &protocols
	server.Start()
	t.Cleanup(server.Close)
	if h2c {
		return "h2c://" + server.Listener.Addr().String()
	}
	return server.URL
}

// client returns a transport that speaks to doors over HTTP/1 or HTTP/2.
func client(t *testing.T, h2c bool) *http.Transport {
	var protocols http.Protocols
	protocols.SetHTTP1(!h2c)
	protocols.SetUnencryptedHTTP2(h2c)
	transport := &http.Transport{Protocols: &protocols}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// eachWay runs a test for a client and an upstream of each version of HTTP.
func eachWay(t *testing.T, test func(t *testing.T, clientH2, upstreamH2 bool)) {
	for _, clientH2 := range []bool{false, true} {
		for _, upstreamH2 := range []bool{false, true} {
			t.Run(fmt.Sprintf("HTTP/2 client %v upstream %v", clientH2, upstreamH2), func(t *testing.T) { test(t, clientH2, upstreamH2) })
		}
	}
}

func version(h2c bool) string {
	if h2c {
		return "HTTP/2.0"
	}
	return "HTTP/1.1"
}

func TestEachVersionOfHTTP(t *testing.T) {
	eachWay(t, func(t *testing.T, clientH2, upstreamH2 bool) {
		address := serve(t, upstreamH2, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if r.Proto != version(upstreamH2) || r.RequestURI != "/docs/%41?a;b=%zz" || string(body) != "hello" || r.Header.Get("X-User-Id") != "" || r.Trailer.Get("X-User-Id") != "" {
				t.Errorf("the upstream gets %s %s, %q, %v, %v", r.Proto, r.RequestURI, body, r.Header, r.Trailer)
			}
			w.Header().Set("Trailer", "X-Sum, X-User-Role")
			w.Header().Set("X-User-ID", "forged")
			w.WriteHeader(http.StatusAccepted)
			_, _ = io.WriteString(w, "answer")
			w.Header().Set("X-Sum", "1")
			w.Header().Set("X-User-Role", "forged")
			w.Header().Set(http.TrailerPrefix+"X-Late", "2")
			w.Header().Set(http.TrailerPrefix+"X-Passport", "forged")
		})
		d := open(t, Options{}, map[string]string{"default": address})
		for range 2 { // the second time over open connections
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+d.address+"/v1/proxy/docs/%41?a;b=%zz", io.MultiReader(strings.NewReader("hello")))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("X-User-ID", "forged")
			r.Header.Set("TE", "trailers")
			r.Trailer = http.Header{"X-User-Id": {"forged"}}
			answer, err := client(t, clientH2).RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(answer.Body)
			_ = answer.Body.Close()
			if err != nil || answer.Proto != version(clientH2) || answer.StatusCode != http.StatusAccepted || string(body) != "answer" || answer.Header.Get("X-User-Id") != "" {
				t.Errorf("answered %s %d, %v, %q, %v", answer.Proto, answer.StatusCode, answer.Header, body, err)
			}
			if got := fmt.Sprint(answer.Trailer); got != "map[X-Late:[2] X-Sum:[1]]" {
				t.Errorf("trailers %v", got)
			}
		}
	})
}

// TestGRPCShape is what a gRPC client and server say to each other, without their library.
func TestGRPCShape(t *testing.T) {
	address := serve(t, true, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Te") != "trailers" || r.Header.Get("Content-Type") != "application/grpc" {
			t.Errorf("the upstream gets %v", r.Header)
		}
		w.Header().Set("Content-Type", "application/grpc")
		if r.URL.Path == "/docs/only" {
			w.Header().Set("Grpc-Status", "5")
			return
		}
		w.WriteHeader(http.StatusOK)
		_, _ = io.Copy(w, r.Body)
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
	})
	d := open(t, Options{}, map[string]string{"default": address})
	for path, want := range map[string]string{"stream": "0", "only": "5"} {
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+d.address+"/v1/proxy/docs/"+path, strings.NewReader("\x00\x00\x00\x00\x01a"))
		r.Header.Set("Content-Type", "application/grpc")
		r.Header.Set("TE", "trailers")
		answer, err := client(t, true).RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		_ = answer.Body.Close()
		if got := answer.Trailer.Get("Grpc-Status") + answer.Header.Get("Grpc-Status"); got != want {
			t.Errorf("%s: grpc-status %q, want %q", path, got, want)
		}
	}
}

func TestHTTP2OverTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	d := open(t, Options{TLS: &tls.Config{RootCAs: roots}}, map[string]string{"default": server.URL})
	defer d.handler.CloseIdleConnections()
	for range 2 {
		if answer, body := d.ask(t, "GET /v1/proxy/docs/a"); answer.StatusCode != 200 || body != "HTTP/2.0" {
			t.Errorf("answered %d, %s", answer.StatusCode, body)
		}
	}
}

func TestEventsComeAtOnce(t *testing.T) {
	eachWay(t, func(t *testing.T, clientH2, upstreamH2 bool) {
		next := make(chan struct{})
		address := serve(t, upstreamH2, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.WriteHeader(http.StatusOK)
			for i := range 3 {
				_ = http.NewResponseController(w).Flush() // of the headers alone, at first
				select {
				case <-next:
				case <-r.Context().Done():
					return
				}
				_, _ = fmt.Fprintf(w, "data: %d\n\n", i)
			}
		})
		d := open(t, Options{}, map[string]string{"default": address})
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+d.address+"/v1/proxy/docs/events", nil)
		answer, err := client(t, clientH2).RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = answer.Body.Close() }()
		lines := bufio.NewReader(answer.Body)
		for i := range 3 {
			next <- struct{}{}
			line, err := lines.ReadString('\n')
			if want := fmt.Sprintf("data: %d\n", i); err != nil || line != want {
				t.Fatalf("%q, %v, want %q", line, err, want)
			}
			_, _ = lines.ReadString('\n')
		}
	})
}

// TestBothWaysAtOnce has the client send each line only once the one before has come back.
func TestBothWaysAtOnce(t *testing.T) {
	eachWay(t, func(t *testing.T, clientH2, upstreamH2 bool) {
		address := serve(t, upstreamH2, func(w http.ResponseWriter, r *http.Request) {
			rc := http.NewResponseController(w)
			_ = rc.EnableFullDuplex()
			w.WriteHeader(http.StatusOK)
			_ = rc.Flush()
			lines := bufio.NewReader(r.Body)
			for {
				line, err := lines.ReadString('\n')
				if err != nil {
					return
				}
				_, _ = io.WriteString(w, line)
				_ = rc.Flush()
			}
		})
		d := open(t, Options{}, map[string]string{"default": address})
		send, body := io.Pipe()
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+d.address+"/v1/proxy/docs/echo", send)
		answer, err := client(t, clientH2).RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = answer.Body.Close() }()
		lines := bufio.NewReader(answer.Body)
		for i := range 3 {
			want := fmt.Sprintf("line %d\n", i)
			_, _ = io.WriteString(body, want)
			if got, err := lines.ReadString('\n'); err != nil || got != want {
				t.Fatalf("%q, %v, want %q", got, err, want)
			}
		}
		_ = body.Close()
		if rest, err := io.ReadAll(lines); err != nil || len(rest) > 0 {
			t.Errorf("%q, %v at the end", rest, err)
		}
	})
}

// TestContinue has a client that sends its body only when told to.
func TestContinue(t *testing.T) {
	upstream := listen(t, always(okAnswer))
	d := open(t, Options{}, map[string]string{"default": "http://" + upstream.address})

	conn := d.connect(t)
	_, _ = io.WriteString(conn, "POST /v1/proxy/a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
	if answer, _ := readAnswer(t, bufio.NewReader(conn), "POST"); answer.StatusCode != 401 {
		t.Errorf("a denied client is answered %d", answer.StatusCode)
	}
	if _, conns := upstream.got(); conns != 0 {
		t.Errorf("%d connections to the upstream", conns)
	}

	conn = d.connect(t)
	_, _ = io.WriteString(conn, "POST /v1/proxy/docs/a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
	r := bufio.NewReader(conn)
	if answer, err := http.ReadResponse(r, nil); err != nil || answer.StatusCode != http.StatusContinue {
		t.Fatalf("answered %v, %v", answer, err)
	}
	_, _ = io.WriteString(conn, "ab")
	if answer, _ := readAnswer(t, r, "POST"); answer.StatusCode != 200 {
		t.Errorf("answered %d", answer.StatusCode)
	}
	if requests, _ := upstream.got(); len(requests) != 1 || header(requests[0], "expect") != nil || !strings.HasSuffix(requests[0], "\r\n\r\nab") {
		t.Errorf("the upstream gets %q", requests)
	}
}

func TestLargeBodiesStream(t *testing.T) {
	const size = 32 << 20
	eachWay(t, func(t *testing.T, clientH2, upstreamH2 bool) {
		before := heap()
		// Whoever gathers a body has all of it when its last byte arrives.
		arrived := func(where string, n int64, err error) {
			if n != size || err != nil {
				t.Errorf("%s reads %d, %v", where, n, err)
			}
			if held := heap() - before; held > size/2 {
				t.Errorf("when %s has read %d MiB, %d MiB are held", where, size>>20, held>>20)
			}
		}
		address := serve(t, upstreamH2, func(w http.ResponseWriter, r *http.Request) {
			n, err := io.CopyN(io.Discard, r.Body, size)
			arrived("the upstream", n, err)
			_, _ = io.Copy(io.Discard, r.Body)
			_, _ = io.Copy(w, io.LimitReader(zeros{}, size+1))
		})
		d := open(t, Options{}, map[string]string{"default": address})
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+d.address+"/v1/proxy/docs/a", io.LimitReader(zeros{}, size+1))
		answer, err := client(t, clientH2).RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.CopyN(io.Discard, answer.Body, size)
		arrived("the client", n, err)
		_ = answer.Body.Close()
	})
}

// heap returns how many bytes are in use.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// handshake asks for a WebSocket and returns the connection behind the answer.
func (d *door) handshake(t *testing.T, headers string) (net.Conn, *bufio.Reader, *http.Response) {
	t.Helper()
	c := d.connect(t)
	_, _ = io.WriteString(c, "GET /v1/proxy/docs/ws HTTP/1.1\r\nHost: h\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"+headers+"\r\n")
	r := bufio.NewReader(c)
	answer, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c, r, answer
}

const askWebSocket = "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"

func TestWebSocketPassesBothWays(t *testing.T) {
	certified := httptest.NewUnstartedServer(nil)
	certified.EnableHTTP2 = true // which an upgrade must not meet
	certified.StartTLS()
	defer certified.Close()
	roots := x509.NewCertPool()
	roots.AddCert(certified.Certificate())
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprint("TLS ", secure), func(t *testing.T) {
			got := make(chan http.Header, 1)
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				got <- r.Header
				c, rw, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				defer func() { _ = c.Close() }()
				// The upstream speaks first, in the same piece as its answer.
				_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: X-Hop, Upgrade\r\nUpgrade: WebSocket\r\nX-Hop: secret\r\nX-User-ID: forged\r\nSec-WebSocket-Accept: ok\r\n\r\nfirst")
				_, _ = io.Copy(c, rw)
				_, _ = io.WriteString(c, "last")
			}))
			if secure {
				server.EnableHTTP2 = true
				server.StartTLS()
			} else {
				server.Start()
			}
			defer server.Close()
			d := open(t, Options{TLS: &tls.Config{RootCAs: roots}}, map[string]string{"default": server.URL})
			conn, r, answer := d.handshake(t, askWebSocket+"X-User-ID: forged\r\n")
			if answer.StatusCode != http.StatusSwitchingProtocols || answer.Header.Get("Sec-Websocket-Accept") != "ok" || answer.Header.Get("Upgrade") != "websocket" || answer.Header.Get("Connection") != "Upgrade" {
				t.Fatalf("answered %d, %v", answer.StatusCode, answer.Header)
			}
			if answer.Header.Get("X-Hop") != "" || answer.Header.Get("X-User-Id") != "" {
				t.Errorf("the client gets %v", answer.Header)
			}
			if h := <-got; h.Get("Upgrade") != "websocket" || h.Get("Connection") != "Upgrade" || h.Get("Sec-Websocket-Key") == "" || h.Get("X-User-Id") != "" {
				t.Errorf("the upstream gets %v", h)
			}
			// Nothing that passes the framing guard as HTTP.
			frame := append([]byte("first\x81\x05\x00\n\r\n\n \x00\xff"), bytes.Repeat([]byte{0}, 64<<10)...)
			echo := make([]byte, len(frame))
			go func() { _, _ = conn.Write(frame[len("first"):]) }()
			if _, err := io.ReadFull(r, echo); err != nil || !bytes.Equal(echo, frame) {
				t.Errorf("%.40q comes back, %v, want %.40q", echo, err, frame)
			}
			_ = conn.(*net.TCPConn).CloseWrite()
			if rest, err := io.ReadAll(r); err != nil || string(rest) != "last" {
				t.Errorf("%q, %v comes last", rest, err)
			}
		})
	}
}

// TestUpgradeByMistake has upstreams that switch protocols when they were not asked, or not in the way that they
// were. The client's connection stays HTTP's, and guarded.
func TestUpgradeByMistake(t *testing.T) {
	for _, c := range []struct{ name, asked, answer string }{
		{"nothing was asked", "", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"},
		{"nothing was asked, nothing is said", "", "HTTP/1.1 101 Switching Protocols\r\n\r\n"},
		{"another protocol", askWebSocket, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"},
		{"without Connection", askWebSocket, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			upstream := listen(t, always(c.answer))
			d := open(t, Options{}, map[string]string{"default": "http://" + upstream.address})
			conn, r, answer := d.handshake(t, c.asked)
			_, _ = io.Copy(io.Discard, answer.Body)
			if answer.StatusCode != 502 || answer.Close {
				t.Errorf("answered %d, %v", answer.StatusCode, answer.Header)
			}
			_, _ = io.WriteString(conn, "GET /v1/proxy/docs/a HTTP/1.1\nHost: h\n\n")
			if answer, err := http.ReadResponse(r, nil); err != nil || answer.StatusCode != 400 {
				t.Errorf("answered %v, %v", answer, err)
			}
		})
	}
}

// TestFailedUpgradeEndsTheConnection is for faults between the end of the guard and that of HTTP.
func TestFailedUpgradeEndsTheConnection(t *testing.T) {
	d := open(t, Options{}, map[string]string{"default": "http://127.0.0.1:1"})
	x := &exchange{decision: &authz.Decision{}, upstream: d.handler.fallback, client: t.Context(), released: true}
	w := httptest.NewRecorder()
	d.handler.fail(w, httptest.NewRequestWithContext(context.WithValue(t.Context(), exchangeKey{}, x), "GET", "/", nil), io.ErrUnexpectedEOF)
	if w.Code != 502 || w.Header().Get("Connection") != "close" {
		t.Errorf("answered %d, %v", w.Code, w.Header())
	}
}

func TestWebSocketNeedsADecision(t *testing.T) {
	upstream := listen(t, always(okAnswer))
	d := open(t, Options{Decider: doortest.Engine(t, denyAll, "x-user-agent")}, map[string]string{"default": "http://" + upstream.address})
	_, _, answer := d.handshake(t, askWebSocket)
	if answer.StatusCode != 403 {
		t.Errorf("answered %d", answer.StatusCode)
	}
	if _, conns := upstream.got(); conns != 0 {
		t.Errorf("%d connections to the upstream", conns)
	}
}

func TestWebSocketThatIsDeclined(t *testing.T) {
	upstream := listen(t, always("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"))
	d := open(t, Options{}, map[string]string{"default": "http://" + upstream.address})
	conn, r, answer := d.handshake(t, askWebSocket)
	body, _ := io.ReadAll(answer.Body)
	if answer.StatusCode != 403 || string(body) != "no" {
		t.Errorf("answered %d, %q", answer.StatusCode, body)
	}
	// The connection is still HTTP's, and guarded.
	_, _ = io.WriteString(conn, "GET /v1/proxy/docs/a HTTP/1.1\nHost: h\n\n")
	if answer, err := http.ReadResponse(r, nil); err != nil || answer.StatusCode != 400 {
		t.Errorf("answered %v, %v", answer, err)
	}
}

// TestOtherUpgradesAreDropped has requests for other protocols go on as ordinary ones.
func TestOtherUpgradesAreDropped(t *testing.T) {
	for _, c := range []struct{ name, headers string }{
		{"h2c", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"},
		{"h2c, with settings that Connection does not name", "Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"},
		{"a list", "Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n"},
		{"h2c beside a WebSocket", "Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n"},
		{"h2c before a WebSocket", "Connection: Upgrade\r\nUpgrade: h2c\r\nUpgrade: websocket\r\n"},
		{"another", "Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n"},
		{"a WebSocket that Connection does not name", "Upgrade: websocket\r\n"},
		{"a WebSocket with a body", "Content-Length: 2\r\n" + askWebSocket + "\r\nab"},
	} {
		t.Run(c.name, func(t *testing.T) {
			upstream := listen(t, always(okAnswer))
			d := open(t, Options{}, map[string]string{"default": "http://" + upstream.address})
			if _, _, answer := d.handshake(t, c.headers); answer.StatusCode != 200 {
				t.Errorf("answered %d", answer.StatusCode)
			}
			requests, _ := upstream.got()
			if len(requests) != 1 || header(requests[0], "upgrade") != nil || header(requests[0], "connection") != nil || header(requests[0], "http2-settings") != nil {
				t.Errorf("the upstream gets %q", requests)
			}
		})
	}
}

// TestWebSocketIsNotOfferedToHTTP2 has an upstream that cannot be upgraded.
func TestWebSocketIsNotOfferedToHTTP2(t *testing.T) {
	address := serve(t, true, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" || r.Header.Get("Connection") != "" {
			t.Errorf("the upstream gets %v", r.Header)
		}
	})
	d := open(t, Options{}, map[string]string{"default": address})
	if _, _, answer := d.handshake(t, askWebSocket); answer.StatusCode != 200 {
		t.Errorf("answered %d", answer.StatusCode)
	}
}
