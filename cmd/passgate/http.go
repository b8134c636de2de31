package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"github.com/passgate/passgate/internal/door/proxy"
	"github.com/passgate/passgate/internal/framing"
)

// Bounds of the server of accounts and the proxy. Bodies of the proxy may stream for as long as they like.
const (
	headTime      = 10 * time.Second
	idleTime      = 2 * time.Minute
	envoyIdleTime = 70 * time.Minute // longer than Envoy's hour, so that a connection ends at its side
	accountAnswer = 45 * time.Second // of an account call, with all its waiting; its body has a time of its own
	maxStreams    = 250              // of one HTTP/2 connection
)

// webServer serves what passgate answers itself, and the proxy.
type webServer struct {
	http.Server
	proxied sync.WaitGroup // requests of the proxy, also after one has become a WebSocket
}

// webHandlers are what a [webServer] serves. Either may be nil.
type webHandlers struct {
	own     http.Handler // the account API and public keys, or ext_authz over HTTP
	proxied http.Handler
}

// newWebServer returns a server of the handlers that are current when a request comes. Which one that is for is told
// by the request target as it came: nothing cleans a path before it is judged.
func newWebServer(current func() webHandlers, maxHead int, log *slog.Logger) *webServer {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	s := &webServer{}
	s.Server = http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, to := http.NewResponseController(w), current()
			if to.proxied != nil && proxy.Owns(r.RequestURI) {
				_ = c.SetWriteDeadline(time.Time{}) // that of an earlier call on the connection would cut a stream
				s.proxied.Add(1)
				defer s.proxied.Done()
				to.proxied.ServeHTTP(w, r)
				return
			}
			_ = c.SetWriteDeadline(time.Now().Add(accountAnswer))
			if to.own == nil {
				to.own = http.NotFoundHandler()
			}
			to.own.ServeHTTP(w, r)
		}),
		Protocols:         &protocols,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		ReadHeaderTimeout: headTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHead,
		ConnContext:       framing.ConnContext,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug), // what clients do wrong
	}
	return s
}

// serveUntil serves until drained is closed, and then gives what is in flight a grace period.
func (s *webServer) serveUntil(drained <-chan struct{}, l net.Listener, grace func() time.Duration) error {
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	select {
	case err := <-served:
		return err
	case <-drained:
	}
	timeout, cancel := context.WithTimeout(context.Background(), grace())
	defer cancel()
	if err := s.Shutdown(timeout); err != nil {
		return s.Close()
	}
	// Shutdown does not wait for connections that have become WebSockets.
	finished := make(chan struct{})
	go func() {
		s.proxied.Wait()
		close(finished)
	}()
	select {
	case <-finished:
	case <-timeout.Done():
	}
	return nil
}

// headSlack is what Go's server reads of a head beyond its limit, and more: it answers one that is too long by 431.
const headSlack = 8 << 10

// listenHTTP listens for a [webServer]: what could be framed in two ways does not reach it.
func listenHTTP(address string, maxHead int, refused func()) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	return framing.NewListener(newBoundedListener(l, maxConns()), framing.Options{MaxHeaderBytes: maxHead + headSlack, Refused: refused}), nil
}

// maxConns returns how many clients may be connected at a time: as many as use up a quarter of the file descriptors
// that the process may have. A WebSocket takes another one to its upstream; Envoy's calls, the stores and all else
// have what is left.
func maxConns() int {
	const atLeast, atMost = 64, 1 << 20
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return atLeast
	}
	return int(min(max(limit.Cur/4, atLeast), atMost))
}

// boundedListener closes connections beyond a number at once, and so keeps no client waiting in the dark.
type boundedListener struct {
	net.Listener
	open chan struct{} // holds a token of each connection
}

func newBoundedListener(l net.Listener, most int) *boundedListener {
	return &boundedListener{l, make(chan struct{}, most)}
}

// Accept implements [net.Listener].
func (l *boundedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.open <- struct{}{}:
			return &boundedConn{TCPConn: c.(*net.TCPConn), closed: sync.OnceFunc(func() { <-l.open })}, nil
		default:
			c.Close()
		}
	}
}

// boundedConn makes room for another one when it is closed.
type boundedConn struct {
	*net.TCPConn
	closed func()
}

// Close implements [net.Conn].
func (c *boundedConn) Close() error {
	defer c.closed()
	return c.TCPConn.Close()
}
