package proxy

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/textproto"
	"strings"
	"sync"
	"time"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/identity"
)

// forOneHop are headers that end at the next server, whether Connection names them or not (RFC 9110 §7.6.1),
// and those of the framing.
var forOneHop = []string{
	"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer",
	"Transfer-Encoding", "Upgrade",
}

// spoofs knows the names that could be taken for an identity header.
var spoofs = identity.New(nil, nil)

// cleanAnswer removes from the headers of an answer what speaks in the name of passgate, and what is for
// one hop.
func cleanAnswer(h http.Header, named []string) {
	names := authz.Request{Headers: make([]authz.Header, 0, len(h))}
	for name := range h {
		names.Headers = append(names.Headers, authz.Header{Name: name})
	}
	removeHeaders(h, spoofs.Spoofed(identity.Names(), &names))
	removeHeaders(h, forOneHop)
	removeHeaders(h, named)
}

// cleanTrailer is [cleanAnswer] for trailers, in which the framing has no place either.
func cleanTrailer(h http.Header, named []string) {
	cleanAnswer(h, named)
	h.Del("Content-Length")
}

// connectionOptions returns what the Connection headers list.
func connectionOptions(h http.Header) []string {
	var names []string
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			if name = textproto.TrimString(name); name != "" {
				names = append(names, name)
			}
		}
	}
	return names
}

// maxHeardBytes bounds what an [answerConn] keeps of the heads of the answers to one request.
const maxHeardBytes = 2 * maxAnswerHeadBytes

var errAnswerTooLong = errors.New("the head of the upstream's answer is too long")

// answerConn is a connection that speaks HTTP/1.1 to an upstream, and keeps the head of an answer as it came.
// Go's transport forgets what Connection names beside close, and what was meant for one hop would reach the
// client. It is safe for concurrent use.
type answerConn struct {
	net.Conn

	mu        sync.Mutex
	listening bool
	heard     []byte // what came since the request was given to the connection, up to maxHeardBytes
}

// listen forgets what was heard and begins anew, as before a request.
func (c *answerConn) listen() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listening = true
	c.heard = c.heard[:0]
}

// stopListening is for when the head is there, as the body is none of our business.
func (c *answerConn) stopListening() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listening = false
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
	return n, err
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

// answerBody is the body of an answer on its way to the client. Closed, it cleans the trailers, which are
// there by then; where it ends too early, it says so in the log.
type answerBody struct {
	io.ReadCloser
	answer   *http.Response
	exchange *exchange
	log      *slog.Logger
}

func (b *answerBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF && b.exchange.client.Err() == nil {
		b.log.LogAttrs(context.Background(), slog.LevelWarn, "the upstream's answer broke off", append(b.exchange.attributes(), slog.String("error", cause(err)))...)
	}
	return n, err
}

func (b *answerBody) Close() error {
	err := b.ReadCloser.Close()
	cleanTrailer(b.answer.Trailer, b.exchange.named)
	return err
}
