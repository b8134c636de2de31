// Package framing stands in front of Go's HTTP/1 server and lets through only requests that end in one
// place, whoever reads them.
//
// Where two servers in a row disagree about where a request ends, the rest of it is a second request that
// only one of them has seen, and that nobody has judged (request smuggling). Go's own parser repairs some
// of the forms that servers disagree about: a bare LF as the end of a line, a header folded over two
// lines, equal lengths stated twice, a length beside a chunked body. The guard refuses them all:
//
//   - a head is lines that end in CRLF, with no other control byte, the first of them "METHOD TARGET
//     HTTP/1.1" (or HTTP/1.0) in three parts, the others "Name: value" with nothing before the colon that
//     is not part of the name, and none of them folded (RFC 9112 §2.2, §3, §5);
//   - Content-Length is there once or not at all, and is digits (§6.3);
//   - Transfer-Encoding is there once or not at all, is "chunked", and stands neither beside a length nor
//     in HTTP/1.0 (§6.1);
//   - a chunk begins with its size in hex digits, without an extension, and ends where it says; trailers
//     are short, and state no length (§7.1).
//
// The guard reads along and keeps nothing: what it lets through reaches the server as it came, while it
// arrives, whatever its size. At the first byte that is at fault the server is handed bytes that it always
// answers with its own 400, and nothing more of that connection. A connection that begins with the preface
// of HTTP/2 has another framing, and passes untouched.
package framing

import (
	"context"
	"errors"
	"net"
)

// Options make a guard. The zero value has the limits said below.
type Options struct {
	// MaxHeaderBytes bounds the head of a request, its request line included; 0: 64 KiB. Go's server has a
	// limit of its own, its MaxHeaderBytes and 4 KiB, which it answers with 431: a limit above that leaves
	// the answer to it.
	MaxHeaderBytes int
	// Refused is told of each connection whose client broke the framing; nil: nobody is.
	Refused func()
}

// defaultMaxHeaderBytes is the limit of a head where none is set.
const defaultMaxHeaderBytes = 64 << 10

// ErrRefused is what reading from a connection returns once its client has broken the framing.
var ErrRefused = errors.New("framing: the request can be framed in more than one way")

// NewListener returns a listener whose connections are guarded. It is for connections without TLS.
func NewListener(l net.Listener, o Options) net.Listener {
	if o.MaxHeaderBytes <= 0 {
		o.MaxHeaderBytes = defaultMaxHeaderBytes
	}
	return &listener{Listener: l, options: o}
}

type listener struct {
	net.Listener
	options Options
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return newConn(c, l.options), nil
}

type connKey struct{}

// ConnContext makes [Release] work on the contexts of requests. It is meant as http.Server's ConnContext.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	if guarded, ok := c.(*conn); ok {
		return context.WithValue(ctx, connKey{}, guarded)
	}
	return ctx
}

// Release lets everything through that the client sends from now on: it is to be called with the context of
// a request, after its body was read and before its 101 (Switching Protocols) is written. It reports false for
// a connection that was refused already, as what the client sent is lost. Without a guard it does nothing.
func Release(ctx context.Context) bool {
	guarded, ok := ctx.Value(connKey{}).(*conn)
	if !ok {
		return true
	}
	guarded.released.Store(true)
	return !guarded.refused.Load()
}
