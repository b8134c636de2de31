package main

import (
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/passgate/passgate/internal/door/proxy"
	"github.com/passgate/passgate/internal/framing"
)

// Bounds of the server of accounts and the proxy. Bodies of the proxy may stream for as long as they like.
const (
	headTime      = 10 * time.Second
	idleTime      = 2 * time.Minute
	accountAnswer = 45 * time.Second // of an account call, with all its waiting; its body has a time of its own
	maxStreams    = 250              // of one HTTP/2 connection
)

// newHTTPServer returns the server of the account API and the proxy, either of which may be nil. What each one
// serves is told by the request target as it came: nothing cleans a path before it is judged.
func newHTTPServer(accounts, proxied http.Handler, maxHead int, log *slog.Logger) *http.Server {
	if accounts == nil {
		accounts = http.NotFoundHandler()
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c := http.NewResponseController(w)
			if proxied != nil && proxy.Owns(r.RequestURI) {
				_ = c.SetWriteDeadline(time.Time{}) // that of an earlier call on the connection would cut a stream
				proxied.ServeHTTP(w, r)
				return
			}
			_ = c.SetWriteDeadline(time.Now().Add(accountAnswer))
			accounts.ServeHTTP(w, r)
		}),
		Protocols:         &protocols,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		ReadHeaderTimeout: headTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHead,
		ConnContext:       framing.ConnContext,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug), // what clients do wrong
	}
}

// listenHTTP listens for [newHTTPServer]: what could be framed in two ways does not reach it.
func listenHTTP(address string, maxHead int) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	return framing.NewListener(l, framing.Options{MaxHeaderBytes: maxHead}), nil
}
