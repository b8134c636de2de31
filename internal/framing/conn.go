package framing

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// poison is what the server reads in place of the first byte at fault and all that follow. With NUL in it,
// it is no part of any head, chunk or trailer. It is whole, as Go's server reads four bytes of a next
// request before it cares to answer it, and takes an error for the end of the request that it is at.
const poison = "\x00\x00\r\n\r\n"

// How long, and for how much, a refused client is listened to after the server has closed the connection:
// closing with unread bytes resets it, and a reset can overtake the 400.
const (
	lingerTime  = 500 * time.Millisecond
	lingerBytes = 256 << 10
)

// conn is one guarded connection. Reading is for one goroutine at a time, as Go's server does it.
type conn struct {
	net.Conn
	parser   parser
	onRefuse func()      // may be nil
	poisoned int         // bytes of poison that were read
	refused  atomic.Bool // the client broke the framing
	released atomic.Bool // nothing is judged any more
	closing  atomic.Bool // Close was called
}

func newConn(c net.Conn, o Options) *conn {
	return &conn{Conn: c, parser: newParser(o.MaxHeaderBytes), onRefuse: o.Refused}
}

// Read implements [net.Conn].
func (c *conn) Read(p []byte) (int, error) {
	if c.refused.Load() {
		return c.readPoison(p)
	}
	n, err := c.Conn.Read(p)
	if c.released.Load() {
		return n, err
	}
	good, ok := c.parser.feed(p[:n])
	if ok {
		return n, err
	}
	c.refused.Store(true)
	if c.onRefuse != nil {
		c.onRefuse()
	}
	if good > 0 {
		return good, nil
	}
	return c.readPoison(p)
}

func (c *conn) readPoison(p []byte) (int, error) {
	n := copy(p, poison[c.poisoned:])
	c.poisoned += n
	if n == 0 && len(p) > 0 {
		return 0, ErrRefused
	}
	return n, nil
}

// farewell is how long a client may go on once the other end of its WebSocket has ended.
const farewell = 10 * time.Second

// CloseWrite ends the answer while the client may still send.
func (c *conn) CloseWrite() error {
	if c.released.Load() {
		_ = c.SetReadDeadline(time.Now().Add(farewell))
	}
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Close implements [net.Conn]. A refused client is given a moment to read why; a second call ends that.
func (c *conn) Close() error {
	if !c.closing.Swap(true) && c.refused.Load() && c.CloseWrite() == nil {
		_ = c.SetReadDeadline(time.Now().Add(lingerTime))
		_, _ = io.CopyN(io.Discard, c.Conn, lingerBytes)
	}
	return c.Conn.Close()
}
