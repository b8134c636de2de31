package redisstore

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"syscall"
)

// What a reply may have. An entry is far smaller, and so is what a server says of itself.
const (
	maxReply    = 1 << 20 // bytes
	maxElements = 1 << 10 // of one list
	maxLists    = 1 << 8
)

var errBounds = errors.New("redis answered with more than it may")

// guarded returns a dialer whose connections keep replies within bounds. The client makes room for as much as a
// reply announces, and goes as deep as its lists do: a garbled one would end the process.
func guarded(dial func(ctx context.Context, network, addr string) (net.Conn, error)) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &guardedConn{Conn: c}, nil
	}
}

type guardedConn struct {
	net.Conn
	guard
}

// Read implements [net.Conn]. After an error the connection is of no use.
func (c *guardedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if out := c.see(p[:n]); out != nil {
		return 0, out
	}
	return n, err
}

// Write implements [net.Conn]. What is read after it is a new reply.
func (c *guardedConn) Write(p []byte) (int, error) {
	c.size, c.lists = 0, 0
	return c.Conn.Write(p)
}

// SyscallConn implements [syscall.Conn]. The client looks there whether the other side hung up, before it uses a
// connection again. Under TLS what lies there may be something else than a hang-up; then the client takes
// another connection.
func (c *guardedConn) SyscallConn() (syscall.RawConn, error) {
	under := c.Conn
	if secured, ok := under.(interface{ NetConn() net.Conn }); ok {
		under = secured.NetConn()
	}
	if raw, ok := under.(syscall.Conn); ok {
		return raw.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// guard follows the replies on one connection from header to header (RESP2 and RESP3). Its zero value is at the
// beginning of one.
type guard struct {
	size, lists int    // of this reply so far
	line        []byte // of a header so far
	skip        int    // bytes of a string that are still to come
}

// see looks at what has come. After an error the guard is of no use.
func (g *guard) see(p []byte) error {
	if g.size += len(p); g.size > maxReply {
		return errBounds
	}
	for len(p) > 0 {
		if n := min(g.skip, len(p)); n > 0 {
			g.skip -= n
			p = p[n:]
			continue
		}
		b := p[0]
		p = p[1:]
		if b != '\n' {
			g.line = append(g.line, b)
			continue
		}
		if err := g.header(string(g.line)); err != nil {
			return err
		}
		g.line = g.line[:0]
	}
	return nil
}

// header looks at a line. A string or a list announces its length.
func (g *guard) header(line string) error {
	line = strings.TrimSuffix(line, "\r")
	if line == "" {
		return nil // no header; the client will not have it
	}
	isString, isList := strings.IndexByte("$=!", line[0]) >= 0, strings.IndexByte("*%~>|", line[0]) >= 0
	if !isString && !isList {
		return nil
	}
	n, err := strconv.Atoi(line[1:])
	if err != nil {
		return errBounds
	}
	switch {
	case isString && n >= 0:
		g.skip = n + len("\r\n")
	case isList:
		g.lists++
	}
	if isString && n > maxReply || isList && n > maxElements || g.lists > maxLists {
		return errBounds
	}
	return nil
}
