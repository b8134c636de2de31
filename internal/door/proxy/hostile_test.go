package proxy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/door/doortest"
)

// An answer with a status that is none is the upstream's fault, and no panic.
func TestStatusThatIsNone(t *testing.T) {
	for _, status := range []string{"000", "099", "0", "-1", "+20", "1000"} {
		upstream := listen(t, always("HTTP/1.1 "+status+" X\r\nContent-Length: 2\r\n\r\nok"))
		d := open(t, Options{}, map[string]string{"default": "http://" + upstream.address})
		if answer, body := d.ask(t, "GET /v1/proxy/docs/a"); answer.StatusCode != 502 || !strings.Contains(body, "upstream_unreachable") {
			t.Errorf("%s: answered %d %q", status, answer.StatusCode, body)
		}
		if log := d.log.String(); strings.Contains(log, "panicked") {
			t.Errorf("%s: logged %s", status, log)
		}
	}
}

// A body behind the answer to a HEAD does not become the answer to the next request.
func TestBodyBehindHeadIsNobodysAnswer(t *testing.T) {
	const forged = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
	upstream := listen(t, func(c net.Conn, n int) bool {
		_, err := io.WriteString(c, fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(forged), forged))
		return err == nil
	})
	d := open(t, Options{}, map[string]string{"default": "http://" + upstream.address})
	for range 20 {
		if answer, _ := d.ask(t, "HEAD /v1/proxy/docs/a"); answer.StatusCode != 200 {
			t.Fatalf("answered %d", answer.StatusCode)
		}
		if _, body := d.ask(t, "GET /v1/proxy/docs/a"); body == "forged" {
			t.Fatal("the body of a HEAD was the answer to a GET")
		}
	}
}

// What comes behind an answer is nobody's answer. (What comes so late that the connection has been asked again cannot
// be told from an answer, by anybody.)
func TestBytesBehindAnAnswerAreNobodysAnswer(t *testing.T) {
	const forged = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
	for name, answer := range map[string]string{
		"behind a length":   okAnswer + forged,
		"behind no body":    "HTTP/1.1 204 No Content\r\n\r\n" + forged,
		"behind an interim": "HTTP/1.1 103 Early Hints\r\n\r\n" + okAnswer + forged,
		"behind a 304":      "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n" + forged,
	} {
		t.Run(name, func(t *testing.T) {
			upstream := listen(t, always(answer))
			d := open(t, Options{}, map[string]string{"default": "http://" + upstream.address})
			var all sync.WaitGroup
			for range 8 {
				all.Go(func() {
					for range 50 {
						answer, body := d.ask(t, "GET /v1/proxy/docs/a")
						if body == "forged" || answer.StatusCode == 200 && body != "ok" {
							t.Errorf("answered %d %q", answer.StatusCode, body)
						}
					}
				})
			}
			all.Wait()
		})
	}
}

// An ordinary answer of any length comes through whole, and its connection is used again.
func TestAnswersAreCountedRightly(t *testing.T) {
	for _, length := range []int{0, 1, 4095, 4096, 4097, 100_000, 3 << 20} {
		body := strings.Repeat("b", length)
		upstream := listen(t, always(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", length, body)))
		d := open(t, Options{}, map[string]string{"default": "http://" + upstream.address})
		for range 3 {
			if answer, got := d.ask(t, "GET /v1/proxy/docs/a"); answer.StatusCode != 200 || got != body {
				t.Fatalf("of %d bytes: answered %d with %d", length, answer.StatusCode, len(got))
			}
		}
		if _, connections := upstream.got(); connections != 1 {
			t.Errorf("of %d bytes: %d connections, want one", length, connections)
		}
	}
}

// HTTP/2 has no upgrades: an upstream that says so is not believed.
func TestInterim101OverHTTP2(t *testing.T) {
	address, _ := framed(t, func(f *http2.Framer, stream uint32) {
		var block bytes.Buffer
		_ = hpack.NewEncoder(&block).WriteField(hpack.HeaderField{Name: ":status", Value: "101"})
		_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block.Bytes(), EndHeaders: true})
	})
	d := open(t, Options{}, map[string]string{"default": "h2c://" + address})
	for i := range 3 { // the first is answered in any case
		if answer, _ := d.ask(t, "GET /v1/proxy/docs/a"); answer.StatusCode != []int{204, 502, 502}[i] {
			t.Errorf("request %d is answered %d", i+1, answer.StatusCode)
		}
	}
}

func TestHTTP10HasNoInterimAnswers(t *testing.T) {
	upstream := listen(t, always("HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n"+okAnswer))
	d := open(t, Options{}, map[string]string{"default": "http://" + upstream.address})
	c := d.connect(t)
	_, _ = io.WriteString(c, "GET /v1/proxy/docs/a HTTP/1.0\r\nHost: h\r\n\r\n")
	all, err := io.ReadAll(c)
	if err != nil || strings.Contains(string(all), "103") || !strings.HasPrefix(string(all), "HTTP/1.0 200 OK\r\n") {
		t.Errorf("answered %q, %v", all, err)
	}
}

// What HTTP/2 brings as host beside its :authority is nobody's host.
func TestHostHeaderOfHTTP2IsNotShownToTheEngine(t *testing.T) {
	upstream := listen(t, always(okAnswer))
	engine := doortest.Engine(t, routes, "x-user-agent")
	var asked *authz.Request
	d := open(t, Options{Decider: deciderFunc(func(ctx context.Context, r *authz.Request) authz.Decision {
		asked = r
		return engine.Decide(ctx, r)
	})}, map[string]string{"default": "http://" + upstream.address})
	d.askFramed(t, hpack.HeaderField{Name: ":method", Value: "GET"}, hpack.HeaderField{Name: ":scheme", Value: "http"},
		hpack.HeaderField{Name: ":authority", Value: "judged.example"}, hpack.HeaderField{Name: ":path", Value: "/v1/proxy/docs/a"},
		hpack.HeaderField{Name: "host", Value: "other.example"})
	if asked == nil || asked.Host != "judged.example" {
		t.Fatalf("the engine is asked about %+v", asked)
	}
	for _, h := range asked.Headers {
		if strings.EqualFold(h.Name, "host") {
			t.Errorf("the engine is shown %v", h)
		}
	}
	requests, _ := upstream.got()
	if hosts := header(requests[0], "host"); len(hosts) != 1 || hosts[0] != strings.TrimPrefix("http://"+upstream.address, "http://") {
		t.Errorf("the upstream gets the hosts %q", hosts)
	}
}

// Frames that come before the 101 would be lost, and what the guard says in their place would reach the upstream.
func TestFramesBeforeTheHandshakeEndIt(t *testing.T) {
	upstream := listen(t, func(c net.Conn, n int) bool {
		_, err := io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		return err == nil
	})
	d := open(t, Options{}, map[string]string{"default": "http://" + upstream.address})
	c := d.connect(t)
	_, _ = io.WriteString(c, "GET /v1/proxy/docs/ws HTTP/1.1\r\nHost: h\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"+askWebSocket+"\r\n\x81\x05hello")
	_, _ = io.ReadAll(c) // whatever it is told, if it is told anything
	requests, _ := upstream.got()
	for _, r := range requests {
		if strings.Contains(r, "\x00") || strings.Contains(r, "hello") {
			t.Errorf("the upstream gets %q", r)
		}
	}
}

// A client that has gone ends its WebSocket, also where the upstream does nothing about it.
func TestWebSocketOfAClientThatIsGoneEnds(t *testing.T) {
	ended := make(chan struct{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		buffer := make([]byte, 64<<10)
		if _, err := c.Read(buffer); err != nil {
			return
		}
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		_, _ = c.Read(buffer) // the client's end
		// The upstream keeps its side open. That the other end has closed its own shows when something is sent.
		for {
			if _, err := io.WriteString(c, "x"); err != nil {
				close(ended)
				return
			}
		}
	}()
	d := open(t, Options{}, map[string]string{"default": "http://" + l.Addr().String()})
	c, _, answer := d.handshake(t, askWebSocket)
	if answer.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("answered %d", answer.StatusCode)
	}
	c.Close()
	<-ended
}
