package proxy

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/textproto"
	"strings"

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
