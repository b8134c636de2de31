package framing

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// scripted is a connection that yields given bytes, in pieces of 1 to 16 bytes.
type scripted struct {
	net.Conn
	rest   []byte
	pieces uint64
}

func (s *scripted) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		return 0, io.EOF
	}
	s.pieces = s.pieces>>4 | s.pieces<<60
	n := copy(p, s.rest[:min(len(s.rest), 1+int(s.pieces%16))])
	s.rest = s.rest[n:]
	return n, nil
}

// serve runs Go's server behind a guard and returns its address. It ends with the test.
func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Handler: handler, ConnContext: ConnContext, Protocols: &protocols}
	done := make(chan error, 1)
	go func() { done <- server.Serve(NewListener(l, Options{})) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

// statuses returns the status of every answer on a connection, up to its end.
func statuses(t *testing.T, c net.Conn) []int {
	t.Helper()
	var all []int
	r := bufio.NewReader(c)
	for {
		answer, err := http.ReadResponse(r, nil)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return all
		}
		if err != nil {
			t.Fatalf("after %v: %v", all, err)
		}
		all = append(all, answer.StatusCode)
		if _, err := io.Copy(io.Discard, answer.Body); err != nil {
			t.Fatal(err)
		}
	}
}

// TestServerAnswersRefusals sends every attack with a sound request before it, all in one piece.
func TestServerAnswersRefusals(t *testing.T) {
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/first" {
			// The head of a request with a bad body is good.
			if _, err := io.Copy(io.Discard, r.Body); err == nil {
				t.Errorf("a handler sees %s %s whole", r.Method, r.URL)
			}
			w.WriteHeader(http.StatusBadRequest)
			return
		}
	})
	for _, c := range refused {
		if strings.Contains(c.name, "limit") && !strings.Contains(c.name, "trailers") {
			continue // the limit of a head is another here
		}
		t.Run(c.name, func(t *testing.T) {
			conn := dial(t, address)
			attack := c.bytes
			// The handler sees the sound request of these, so that is left to the one in front.
			attack = strings.TrimPrefix(attack, "GET /a HTTP/1.1\r\n"+host)
			if _, err := io.WriteString(conn, "GET /first HTTP/1.1\r\n"+host+attack); err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(statuses(t, conn)); got != "[200 400]" {
				t.Errorf("answered %s, want 200 for the first request and 400", got)
			}
		})
	}
}

// TestRefusalReachesClient sends far more than the server ever reads.
func TestRefusalReachesClient(t *testing.T) {
	address := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("a handler is called") })
	conn := dial(t, address)
	if _, err := io.WriteString(conn, "GET /a HTTP/1.1\nHost: h\n\n"+strings.Repeat("x", 64<<10)); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(statuses(t, conn)); got != "[400]" {
		t.Errorf("answered %s", got)
	}
}

func TestBodyIsRefusedOnTheWay(t *testing.T) {
	read := make(chan error, 1)
	address := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if string(body) != "abcd" {
			t.Errorf("the handler reads %q", body)
		}
		read <- err
	})
	conn := dial(t, address)
	if _, err := io.WriteString(conn, chunkedHead+"4\r\nabcd\r\n4;x\r\nefgh\r\n0\r\n\r\nGET /b HTTP/1.1\r\n"+host); err != nil {
		t.Fatal(err)
	}
	if err := <-read; err == nil {
		t.Error("the handler takes the body for whole")
	}
	if got := statuses(t, conn); len(got) != 1 {
		t.Errorf("answered %v, want one answer", got)
	}
}

// TestFirstRequestIsNotCutShort has a broken request wait behind one that is still served.
func TestFirstRequestIsNotCutShort(t *testing.T) {
	served := make(chan struct{})
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-served:
		case <-r.Context().Done():
			t.Error("the request in front is given up")
		}
	})
	conn := dial(t, address)
	if _, err := io.WriteString(conn, "GET /a HTTP/1.1\r\n"+host+"\x00"); err != nil {
		t.Fatal(err)
	}
	close(served)
	if got := fmt.Sprint(statuses(t, conn)); got != "[200 400]" {
		t.Errorf("answered %s", got)
	}
}

// zeros is an endless body.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestLargeBodiesStream(t *testing.T) {
	const size = 64 << 20
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprint(w, n, err)
	})
	for _, chunked := range []bool{false, true} {
		t.Run(fmt.Sprint("chunked ", chunked), func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/", io.LimitReader(zeros{}, size))
			if err != nil {
				t.Fatal(err)
			}
			if !chunked {
				r.ContentLength = size
			}
			var transport http.Transport
			defer transport.CloseIdleConnections()
			for range 2 { // the second on the same connection
				r.Body = io.NopCloser(io.LimitReader(zeros{}, size))
				answer, err := transport.RoundTrip(r)
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(answer.Body)
				if want := fmt.Sprint(size, nil); err != nil || string(body) != want {
					t.Errorf("the handler reads %s, %v, want %s", body, err, want)
				}
				_ = answer.Body.Close()
			}
		})
	}
}

func TestHTTP2PassesUntouched(t *testing.T) {
	address := serve(t, func(w http.ResponseWriter, r *http.Request) { _, _ = fmt.Fprint(w, r.Proto) })
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: &protocols}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	for range 3 {
		answer, err := client.Get("http://" + address + "/")
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if string(body) != "HTTP/2.0" {
			t.Errorf("served as %s", body)
		}
	}
}

func TestReleaseEndsTheGuard(t *testing.T) {
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		Release(r.Context())
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = c.Close() }()
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\n\r\n")
		_, _ = io.Copy(c, rw)
	})
	conn := dial(t, address)
	if _, err := io.WriteString(conn, "GET /a HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: echo\r\n"+host); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	if answer, err := http.ReadResponse(r, nil); err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(answer, err)
	}
	frame := "\x81\x05\x00\n\r\n\n \x00\xff"
	if _, err := io.WriteString(conn, frame); err != nil {
		t.Fatal(err)
	}
	echo := make([]byte, len(frame))
	if _, err := io.ReadFull(r, echo); err != nil || string(echo) != frame {
		t.Errorf("%q comes back, %v, want %q", echo, err, frame)
	}
}

func TestReleaseWithoutGuardDoesNothing(t *testing.T) {
	ctx := ConnContext(context.Background(), &net.TCPConn{})
	Release(ctx)
	if ctx != context.Background() {
		t.Error("a connection without a guard leaves something in the context")
	}
}

func TestReleaseDoesNotForgive(t *testing.T) {
	c := newConn(&scripted{rest: []byte("\x00GET /a HTTP/1.1\r\n" + host)}, Options{MaxHeaderBytes: testHeadBytes})
	buf := make([]byte, 1)
	_, _ = c.Read(buf)
	Release(ConnContext(context.Background(), c))
	rest, err := io.ReadAll(c)
	if got := string(buf) + string(rest); got != poison || !errors.Is(err, ErrRefused) {
		t.Errorf("%q, %v is read of a refused connection", got, err)
	}
}
