package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"net"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"sync"
	"time"
)

// maxHeardBytes bounds what an [answerConn] keeps of the heads of the answers to one request.
const maxHeardBytes = 2 * maxAnswerHeadBytes

var errAnswerTooLong = errors.New("the head of the upstream's answer is too long")

// answerConn is a connection that speaks HTTP/1.1 to an upstream, and keeps the head of an answer as it came.
// Go's transport forgets what Connection names beside close, and what was meant for one hop would reach the
// client. It is safe for concurrent use.
//
// It also sees to it that an answer ends where its head says: what comes behind that would be the answer to
// whoever is next on the connection, since the transport hands a connection on before it looks.
type answerConn struct {
	net.Conn

	mu        sync.Mutex
	listening bool
	heard     []byte // what came since the request was given to the connection, up to maxHeardBytes
	read      int    // of heard: heads of interim answers
	left      int64  // of the answer's body; notYet before its head is there, unknown where no length is said
	spoiled   bool   // something came that belongs to no answer
}

// What is left of an answer, where that is no number.
const (
	unknown = -1
	notYet  = -2
)

var errSpoiled = errors.New("the upstream sent more than its answer")

// listen forgets what was heard and begins anew, as before a request.
func (c *answerConn) listen() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listening = true
	c.heard = c.heard[:0]
	c.read, c.left = 0, notYet
}

// stopListening is for when the head is there, as the body is none of our business.
func (c *answerConn) stopListening() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listening = false
	if c.left == notYet { // a head that ends in another way than by CRLF twice
		c.left = unknown
	}
	if cap(c.heard) > 16<<10 {
		c.heard = nil
	}
}

// Read implements [net.Conn].
func (c *answerConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.listening {
		c.heard = append(c.heard, p[:min(n, maxHeardBytes-len(c.heard))]...)
	}
	mine := c.take(n)
	if mine < n {
		c.spoiled = true
	}
	if c.spoiled && mine == 0 {
		return 0, errSpoiled
	}
	return mine, err
}

// Write implements [net.Conn].
func (c *answerConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	spoiled := c.spoiled
	c.mu.Unlock()
	if spoiled {
		return 0, errSpoiled
	}
	return c.Conn.Write(p)
}

// take returns how many of n bytes that have come belong to the answer.
func (c *answerConn) take(n int) int {
	switch {
	case c.spoiled:
		return 0
	case c.left == unknown:
		return n
	case c.left >= 0:
		mine := int(min(int64(n), c.left))
		c.left -= int64(mine)
		return mine
	}
	for {
		end := bytes.Index(c.heard[c.read:], []byte("\r\n\r\n"))
		if end < 0 {
			if len(c.heard) == maxHeardBytes {
				c.left = unknown // the transport does not take it either
			}
			return n
		}
		head := c.heard[c.read : c.read+end+len("\r\n\r\n")]
		c.read += len(head)
		var interim bool
		if c.left, interim = bodyLength(head); !interim {
			break
		}
	}
	if c.left == unknown {
		return n
	}
	body := int64(len(c.heard) - c.read) // what of it came with the head
	over := max(body-c.left, 0)
	c.left -= body - over
	return n - int(over)
}

// bodyLength returns the length of the body behind the head of an answer (RFC 9112 §6.3), unknown where it does not
// say, or where the transport is the one to judge; or that the head is that of an interim answer.
func bodyLength(head []byte) (length int64, interim bool) {
	r := textproto.NewReader(bufio.NewReader(bytes.NewReader(head)))
	line, err := r.ReadLine()
	if err != nil {
		return unknown, false
	}
	header, err := r.ReadMIMEHeader()
	_, status, _ := strings.Cut(line, " ")
	status, _, _ = strings.Cut(strings.TrimLeft(status, " "), " ")
	switch {
	case err != nil, status == "101":
		return unknown, false
	case strings.HasPrefix(status, "1"):
		return notYet, true
	case status == "204", status == "304":
		return 0, false
	case len(header["Transfer-Encoding"]) > 0, len(header["Content-Length"]) != 1:
		return unknown, false
	}
	length, err = strconv.ParseInt(header.Get("Content-Length"), 10, 64)
	if err != nil || length < 0 {
		return unknown, false
	}
	return length, false
}

// farewell is how long an upstream may go on once the client has ended its side of a WebSocket.
const farewell = 10 * time.Second

// CloseWrite ends what is sent, as one end of a WebSocket does. The other one has a moment to end as well.
func (c *answerConn) CloseWrite() error {
	_ = c.SetReadDeadline(time.Now().Add(farewell))
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// named returns what the Connection headers list in the heads that were heard, interim ones included, and
// whether the last of them was heard whole.
func (c *answerConn) named() (names []string, whole bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := textproto.NewReader(bufio.NewReader(bytes.NewReader(c.heard)))
	for {
		status, err := r.ReadLine()
		if err != nil {
			return names, false
		}
		header, err := r.ReadMIMEHeader()
		if err != nil {
			return names, false
		}
		names = append(names, connectionOptions(http.Header(header))...)
		if _, code, _ := strings.Cut(status, " "); !strings.HasPrefix(strings.TrimLeft(code, " "), "1") {
			return names, true
		}
	}
}
