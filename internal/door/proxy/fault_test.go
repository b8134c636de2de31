package proxy

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// secrets are what a log must not hold.
var secrets = []string{reader, "X-Secret: a-secret", "Cookie: a-secret"}

// checkLog fails if the log of a door holds what a client or an upstream sent.
func (d *door) checkLog(t *testing.T) {
	t.Helper()
	for _, secret := range []string{"a-secret", "a.reader.token", "a-query"} {
		if log := d.log.String(); strings.Contains(log, secret) {
			t.Errorf("%s is in the log: %s", secret, log)
		}
	}
}

func TestUpstreamUnreachable(t *testing.T) {
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = nobody.Close()
	for _, c := range []struct{ name, answer string }{
		{"refuses the connection", "-"},
		{"closes without an answer", ""},
		{"closes in the head", "HTTP/1.1 200 OK\r\nX-A: a-secret\r\n"},
		{"answers garbage", "SSH-2.0-a-secret\r\n\r\n"},
		{"answers a header that is none", "HTTP/1.1 200 OK\r\na-secret\r\n\r\n"},
		{"answers two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc"},
		{"switches protocols unasked", "HTTP/1.1 101 Switching Protocols\r\n\r\na-secret"},
		{"switches to another protocol unasked", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\na-secret"},
	} {
		for _, grpc := range []bool{false, true} {
			t.Run(fmt.Sprint(c.name, ", gRPC ", grpc), func(t *testing.T) {
				address := nobody.Addr().String()
				if c.answer != "-" {
					address = listen(t, func(conn net.Conn, _ int) bool {
						_, _ = io.WriteString(conn, c.answer)
						return false
					}).address
				}
				d := open(t, Options{}, map[string]string{"default": "http://" + address})
				headers := append([]string{"X-Request-ID: id-1"}, secrets...)
				if grpc {
					headers = append(headers, "Content-Type: application/grpc")
				}
				answer, body := d.ask(t, "GET /v1/proxy/a?a-query", headers...)
				want := `{"type":"about:blank","title":"Bad Gateway","status":502,"detail":"Upstream unreachable","code":"upstream_unreachable","error":"Upstream unreachable","request_id":"id-1"}`
				if !grpc && (answer.StatusCode != 502 || body != want || answer.Header.Get("Content-Type") != "application/problem+json" || answer.Header.Get("Cache-Control") != "no-store" || answer.Header.Get("X-Request-Id") != "id-1") {
					t.Errorf("answered %d, %v, %s", answer.StatusCode, answer.Header, body)
				}
				if grpc && (answer.StatusCode != 200 || answer.Header.Get("Grpc-Status") != "14" || answer.Header.Get("Grpc-Message") != "Upstream unreachable" || body != "") {
					t.Errorf("a gRPC client is answered %d, %v, %s", answer.StatusCode, answer.Header, body)
				}
				d.checkLog(t)
				if log := d.log.String(); !strings.Contains(log, "request_id=id-1") || !strings.Contains(log, "upstream=default") || !strings.Contains(log, "code=upstream_unreachable") {
					t.Errorf("logged %s", log)
				}
			})
		}
	}
}

func TestUpstreamTimeout(t *testing.T) {
	for _, c := range []struct {
		name, request string
		reads         bool
	}{
		{"no answer", "GET /v1/proxy/docs/a HTTP/1.1\r\nHost: h\r\n\r\n", true},
		{"no answer to a body", "POST /v1/proxy/docs/a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab", true},
		{"a body that the upstream does not read", "POST /v1/proxy/docs/a HTTP/1.1\r\nHost: h\r\nContent-Length: 67108864\r\n\r\n", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = l.Close() }()
			closed := make(chan error, 1)
			go func() {
				conn, err := l.Accept()
				if err != nil {
					closed <- err
					return
				}
				defer func() { _ = conn.Close() }()
				if c.reads {
					_, err = io.Copy(io.Discard, conn)
				} else {
					<-t.Context().Done()
				}
				closed <- err
			}()
			d := open(t, Options{Timeout: 100 * time.Millisecond}, map[string]string{"default": "http://" + l.Addr().String()})
			conn := d.connect(t)
			_, _ = io.WriteString(conn, c.request)
			if !c.reads {
				go func() { _, _ = io.Copy(conn, io.LimitReader(zeros{}, 67108864)) }()
			}
			answer, body := readAnswer(t, bufio.NewReader(conn), "GET")
			want := `{"type":"about:blank","title":"Gateway Timeout","status":504,"detail":"Upstream timed out","code":"upstream_timeout","error":"Upstream timed out","request_id":"new-id"}`
			if answer.StatusCode != 504 || body != want {
				t.Errorf("answered %d, %s", answer.StatusCode, body)
			}
			if c.reads {
				<-closed // the upstream is told
			}
		})
	}
}

// TestTimeoutEndsWithTheHead has an upstream that begins its answer, and one whose client is slow to send, take
// longer than the timeout.
func TestTimeoutEndsWithTheHead(t *testing.T) {
	next := make(chan struct{})
	silent := listen(t, func(conn net.Conn, _ int) bool {
		_, _ = io.Copy(io.Discard, conn)
		return false
	})
	slow := listen(t, func(conn net.Conn, _ int) bool {
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
		<-next
		return always("ok")(conn, 0)
	})
	d := open(t, Options{Timeout: 500 * time.Millisecond}, map[string]string{"default": "http://" + slow.address, "users-service": "http://" + silent.address})

	answering, sending := d.connect(t), d.connect(t)
	_, _ = io.WriteString(answering, "GET /v1/proxy/docs/a HTTP/1.1\r\nHost: h\r\n\r\n")
	answer, err := http.ReadResponse(bufio.NewReader(answering), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(sending, "POST /v1/proxy/docs/a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\na")
	// When the second of these has been given up, the others have been under way for longer than that.
	for range 2 {
		if answer, _ := d.ask(t, "GET /v1/proxy/api/users/1", reader); answer.StatusCode != 504 {
			t.Errorf("answered %d", answer.StatusCode)
		}
	}
	close(next)
	if body, err := io.ReadAll(answer.Body); err != nil || string(body) != "ok" {
		t.Errorf("the client reads %q, %v", body, err)
	}
	_, _ = io.WriteString(sending, "b")
	if answer, body := readAnswer(t, bufio.NewReader(sending), "POST"); answer.StatusCode != 200 || body != "ok" {
		t.Errorf("the slow client is answered %d, %q", answer.StatusCode, body)
	}
}

// zeros is an endless body.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestPatience(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(p *patience)
		want bool
	}{
		{"nothing comes", func(*patience) { time.Sleep(time.Minute) }, true},
		{"not yet", func(*patience) { time.Sleep(29 * time.Second) }, false},
		{"the answer comes", func(p *patience) { time.Sleep(29 * time.Second); p.stop(); time.Sleep(time.Hour) }, false},
		{"the client is slow", func(p *patience) { p.pause(); time.Sleep(time.Hour); p.resume(); time.Sleep(29 * time.Second) }, false},
		{"the client was slow", func(p *patience) { p.pause(); time.Sleep(time.Hour); p.resume(); time.Sleep(time.Minute) }, true},
		{"the body moves", func(p *patience) {
			for range 100 {
				time.Sleep(20 * time.Second)
				p.pause()
				p.resume()
			}
		}, false},
		{"the client sends after the answer", func(p *patience) { p.pause(); p.stop(); p.resume(); time.Sleep(time.Hour) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ended := 0
				p := newPatience(30*time.Second, func() { ended++ })
				defer p.stop()
				c.do(p)
				synctest.Wait()
				if (ended > 0) != c.want || ended > 1 {
					t.Errorf("ended %d times", ended)
				}
			})
		})
	}
}

// TestPatienceEndsOnce has a timer go off while the client is waited for.
func TestPatienceEndsOnce(t *testing.T) {
	p := newPatience(time.Hour, func() { t.Error("the upstream is given up") })
	defer p.stop()
	p.expire() // too early
	p.pause()
	p.due = time.Now()
	p.expire()
	p.resume()
	p.expire()
}

// TestNothingIsSentTwice has an upstream that answers the first request on a connection, reads the second
// and closes.
func TestNothingIsSentTwice(t *testing.T) {
	for _, c := range []struct{ name, request string }{
		{"GET", "GET /v1/proxy/docs/a HTTP/1.1\r\nHost: h\r\n\r\n"},
		{"HEAD", "HEAD /v1/proxy/docs/a HTTP/1.1\r\nHost: h\r\n\r\n"},
		{"OPTIONS", "OPTIONS /v1/proxy/docs/a HTTP/1.1\r\nHost: h\r\n\r\n"},
		{"TRACE", "TRACE /v1/proxy/docs/a HTTP/1.1\r\nHost: h\r\n\r\n"},
		{"DELETE", "DELETE /v1/proxy/docs/a HTTP/1.1\r\nHost: h\r\n\r\n"},
		{"GET with a body", "GET /v1/proxy/docs/a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab"},
		{"POST", "POST /v1/proxy/docs/a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab"},
		{"POST without a body", "POST /v1/proxy/docs/a HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"},
		{"POST with an Idempotency-Key", "POST /v1/proxy/docs/a HTTP/1.1\r\nHost: h\r\nIdempotency-Key: k\r\nContent-Length: 2\r\n\r\nab"},
		{"POST without a body, with an Idempotency-Key", "POST /v1/proxy/docs/a HTTP/1.1\r\nHost: h\r\nIdempotency-Key: k\r\nContent-Length: 0\r\n\r\n"},
		{"DELETE with an X-Idempotency-Key", "DELETE /v1/proxy/docs/a HTTP/1.1\r\nHost: h\r\nX-Idempotency-Key: k\r\n\r\n"},
		{"PUT in chunks", "PUT /v1/proxy/docs/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"},
	} {
		for _, reset := range []bool{false, true} {
			t.Run(fmt.Sprint(c.name, ", reset ", reset), func(t *testing.T) {
				upstream := listen(t, func(conn net.Conn, n int) bool {
					if n > 1 {
						if reset {
							_ = conn.(*net.TCPConn).SetLinger(0)
						}
						return false
					}
					return always("HTTP/1.1 204 No Content\r\n\r\n")(conn, n)
				})
				d := open(t, Options{}, map[string]string{"default": "http://" + upstream.address})
				if answer, _ := d.ask(t, "GET /v1/proxy/docs/first"); answer.StatusCode != 204 {
					t.Fatalf("the first request is answered %d", answer.StatusCode)
				}
				conn := d.connect(t)
				_, _ = io.WriteString(conn, c.request)
				if answer, _ := readAnswer(t, bufio.NewReader(conn), c.request); answer.StatusCode != 502 {
					t.Errorf("answered %d", answer.StatusCode)
				}
				if requests, conns := upstream.got(); len(requests) != 2 || conns != 1 {
					t.Errorf("%d connections, requests %q", conns, requests)
				}
			})
		}
	}
}

// framed is an upstream that speaks HTTP/2 by hand: it counts requests, answers the first, and ends the others
// as told.
func framed(t *testing.T, end func(f *http2.Framer, stream uint32)) (address string, requests func() int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	count := 0
	var served sync.WaitGroup
	served.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			served.Go(func() {
				defer func() { _ = c.Close() }()
				if _, err := io.ReadFull(c, make([]byte, len(http2.ClientPreface))); err != nil {
					return
				}
				f := http2.NewFramer(c, c)
				_ = f.WriteSettings()
				for {
					frame, err := f.ReadFrame()
					if err != nil {
						return
					}
					headers, ok := frame.(*http2.HeadersFrame)
					if !ok {
						continue
					}
					mu.Lock()
					count++
					n := count
					mu.Unlock()
					if n > 1 {
						end(f, headers.StreamID)
						continue
					}
					var block bytes.Buffer
					_ = hpack.NewEncoder(&block).WriteField(hpack.HeaderField{Name: ":status", Value: "204"})
					_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: headers.StreamID, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true})
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		served.Wait()
	})
	return l.Addr().String(), func() int {
		mu.Lock()
		defer mu.Unlock()
		return count
	}
}

func TestNothingIsSentTwiceOverHTTP2(t *testing.T) {
	for _, method := range []string{"GET", "POST", "DELETE"} {
		for name, end := range map[string]func(f *http2.Framer, stream uint32){
			"refused":          func(f *http2.Framer, stream uint32) { _ = f.WriteRSTStream(stream, http2.ErrCodeRefusedStream) },
			"a protocol error": func(f *http2.Framer, stream uint32) { _ = f.WriteRSTStream(stream, http2.ErrCodeProtocol) },
			"going away":       func(f *http2.Framer, stream uint32) { _ = f.WriteGoAway(stream-2, http2.ErrCodeNo, nil) },
			"going away, badly": func(f *http2.Framer, stream uint32) {
				_ = f.WriteGoAway(stream-2, http2.ErrCodeInternal, []byte("a-secret"))
			},
		} {
			t.Run(method+" "+name, func(t *testing.T) {
				address, requests := framed(t, end)
				d := open(t, Options{}, map[string]string{"default": "h2c://" + address})
				t.Cleanup(d.handler.CloseIdleConnections)
				if answer, _ := d.ask(t, "GET /v1/proxy/docs/first"); answer.StatusCode != 204 {
					t.Fatalf("the first request is answered %d", answer.StatusCode)
				}
				if answer, _ := d.ask(t, method+" /v1/proxy/docs/a", "Idempotency-Key: k"); answer.StatusCode != 502 {
					t.Errorf("answered %d", answer.StatusCode)
				}
				if n := requests(); n != 2 {
					t.Errorf("the upstream gets %d requests", n)
				}
				d.checkLog(t)
			})
		}
	}
}

func TestClientThatGoesEndsTheCall(t *testing.T) {
	reached, closed := make(chan struct{}), make(chan struct{})
	upstream := listen(t, func(conn net.Conn, _ int) bool {
		close(reached)
		_, _ = io.Copy(io.Discard, conn)
		close(closed)
		return false
	})
	d := open(t, Options{}, map[string]string{"default": "http://" + upstream.address})
	conn := d.connect(t)
	_, _ = io.WriteString(conn, "GET /v1/proxy/docs/a HTTP/1.1\r\nHost: h\r\n\r\n")
	<-reached
	_ = conn.Close()
	<-closed
	if log := d.log.String(); strings.Contains(log, "upstream failed") {
		t.Errorf("the upstream is blamed: %s", log)
	}
}

func TestAnswerThatBreaksOffIsNotWhole(t *testing.T) {
	for _, c := range []struct{ name, answer string }{
		{"with a length", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\na-secret"},
		{"in chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\na-secret\r\n"},
		{"in bad chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\na-secret\r\na-secret\r\n"},
		{"in bad trailers", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\na-secret\r\n0\r\na-secret\r\n\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			upstream := listen(t, func(conn net.Conn, _ int) bool {
				_, _ = io.WriteString(conn, c.answer)
				return false
			})
			d := open(t, Options{}, map[string]string{"default": "http://" + upstream.address})
			conn := d.connect(t)
			_, _ = io.WriteString(conn, "GET /v1/proxy/docs/a HTTP/1.1\r\nHost: h\r\nX-Request-ID: id-1\r\n\r\n")
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			if body, err := io.ReadAll(answer.Body); err == nil || string(body) != "a-secret" {
				t.Errorf("the client reads %q, %v", body, err)
			}
			d.checkLog(t)
			if log := d.log.String(); !strings.Contains(log, "broke off") || !strings.Contains(log, "request_id=id-1") {
				t.Errorf("logged %s", log)
			}
		})
	}
}

func TestBodyThatBreaksOffIsNotTheUpstreamsFault(t *testing.T) {
	upstream := listen(t, always(okAnswer))
	d := open(t, Options{}, map[string]string{"default": "http://" + upstream.address})
	conn := d.connect(t)
	_, _ = io.WriteString(conn, "POST /v1/proxy/docs/a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\nx\r\n")
	answer, body := readAnswer(t, bufio.NewReader(conn), "POST")
	if answer.StatusCode != 400 || !strings.Contains(body, `"code":"malformed_body"`) || !answer.Close {
		t.Errorf("answered %d, %v, %s", answer.StatusCode, answer.Header, body)
	}
	if log := d.log.String(); strings.Contains(log, "upstream failed") {
		t.Errorf("the upstream is blamed: %s", log)
	}
}

func TestOnlyUpstreamsAreDialled(t *testing.T) {
	upstream := listen(t, always(okAnswer))
	d := open(t, Options{}, map[string]string{"default": "http://" + upstream.address})
	for _, transport := range []*http.Transport{d.handler.transport.http1, d.handler.transport.secure, d.handler.transport.cleared} {
		if transport.Proxy != nil {
			t.Error("the environment has a say in where requests go")
		}
		if transport.MaxConnsPerHost != defaultMaxConns || transport.MaxIdleConns == 0 || transport.MaxIdleConnsPerHost == 0 || transport.IdleConnTimeout == 0 {
			t.Errorf("connections are not bounded: %+v", transport)
		}
	}
	d.ask(t, "GET /v1/proxy/docs/a", "X-Forwarded-Host: other", "X-Original-Host: other")
	requests, _ := upstream.got()
	if got := header(requests[0], "host"); len(got) != 1 || got[0] != upstream.address {
		t.Errorf("host: %q", got)
	}
}

// TestConnectionsAreBounded has one connection taken by a call that lasts.
func TestConnectionsAreBounded(t *testing.T) {
	reached, done := make(chan struct{}, 2), make(chan struct{})
	upstream := listen(t, func(conn net.Conn, n int) bool {
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
		reached <- struct{}{}
		<-done
		return always("ok")(conn, n)
	})
	d := open(t, Options{Timeout: 500 * time.Millisecond, MaxConns: 1}, map[string]string{"default": "http://" + upstream.address})
	first := d.connect(t)
	_, _ = io.WriteString(first, "GET /v1/proxy/docs/a HTTP/1.1\r\nHost: h\r\n\r\n")
	<-reached
	if answer, _ := d.ask(t, "GET /v1/proxy/docs/b"); answer.StatusCode != 504 {
		t.Errorf("answered %d", answer.StatusCode)
	}
	close(done)
	if _, conns := upstream.got(); conns != 1 {
		t.Errorf("%d connections", conns)
	}
}
