package e2e

import (
	"bufio"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// line is a header or a trailer, byte for byte.
type line struct{ name, value string }

// received is a request as it reached an upstream.
type received struct {
	method, target string // byte for byte
	headers        []line
	trailers       []line // of HTTP/2
}

// values returns the values of all lines of a header; its name is in lower case.
func (r *received) values(name string) []string {
	var values []string
	for _, h := range r.headers {
		if strings.ToLower(h.name) == name {
			values = append(values, h.value)
		}
	}
	return values
}

// recorder keeps what reached an upstream.
type recorder struct {
	mu       sync.Mutex
	requests []*received
}

func (r *recorder) record(request *received) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = append(r.requests, request)
}

// take returns what was recorded since the last call. A request is recorded before it is answered, so what a
// client has an answer to is here.
func (r *recorder) take() []*received {
	r.mu.Lock()
	defer r.mu.Unlock()
	requests := r.requests
	r.requests = nil
	return requests
}

// untouched fails the test if anything has reached the upstream.
func (r *recorder) untouched(t *testing.T, what string) {
	t.Helper()
	for _, request := range r.take() {
		t.Errorf("%s: reached the upstream as %s %q with %q", what, request.method, request.target, request.headers)
	}
}

// one returns the only request that has reached the upstream.
func (r *recorder) one(t *testing.T, what string) *received {
	t.Helper()
	requests := r.take()
	if len(requests) != 1 {
		t.Fatalf("%s: %d requests reached the upstream, want 1", what, len(requests))
	}
	return requests[0]
}

// upstream is an HTTP/1.1 server on a raw socket that records what it gets and answers 200, or 101 where it is
// asked to upgrade.
type upstream struct {
	recorder
	addr string
}

func startUpstream(t *testing.T) *upstream {
	t.Helper()
	u := &upstream{}
	u.addr = serveConns(t, u.serve)
	return u
}

// serveConns accepts connections until the test ends, and closes them then. It returns the address.
func serveConns(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l := listen(t)
	var (
		mu    sync.Mutex
		conns []net.Conn
		work  sync.WaitGroup
	)
	work.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()
			work.Go(func() {
				defer conn.Close()
				serve(conn)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, conn := range conns {
			conn.Close()
		}
		mu.Unlock()
		work.Wait()
	})
	return l.Addr().String()
}

// serve answers the requests of one connection. A connection that breaks the protocol is dropped.
func (u *upstream) serve(conn net.Conn) {
	r := bufio.NewReader(conn)
	for {
		request, ok := readRequest(r)
		if !ok {
			return
		}
		answer := "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
		if request.values("upgrade") != nil {
			answer = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
		}
		u.record(request)
		if _, err := io.WriteString(conn, answer); err != nil {
			return
		}
	}
}

// readRequest reads one request and skips its body, which must have a length.
func readRequest(r *bufio.Reader) (*received, bool) {
	first, err := r.ReadString('\n')
	if err != nil {
		return nil, false
	}
	request := &received{}
	request.method, request.target, _ = strings.Cut(strings.TrimSuffix(first, "\r\n"), " ")
	request.target = strings.TrimSuffix(request.target, " HTTP/1.1")
	for {
		text, err := r.ReadString('\n')
		if err != nil {
			return nil, false
		}
		text = strings.TrimSuffix(text, "\r\n")
		if text == "" {
			break
		}
		name, value, _ := strings.Cut(text, ":")
		request.headers = append(request.headers, line{name, strings.Trim(value, " \t")})
	}
	for _, length := range request.values("content-length") {
		n, err := strconv.ParseInt(length, 10, 64)
		if err != nil {
			return nil, false
		}
		if _, err := io.CopyN(io.Discard, r, n); err != nil {
			return nil, false
		}
	}
	return request, true
}
