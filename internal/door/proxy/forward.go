package proxy

import (
	"context"
	"errors"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"slices"
	"strings"
	"sync"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/framing"
)

// exchange is one allowed request on its way to the upstream and back.
type exchange struct {
	decision *authz.Decision
	upstream *upstream
	target   target
	client   context.Context // ends when the client goes
	cancel   context.CancelCauseFunc
	wait     *patience
	upload   *upload // nil: the request has no body
	grpc     bool
	upgrade  bool // the client asks for a WebSocket and may have one
	released bool // the client's connection is no longer guarded

	conn    *answerConn // where the answer is read from; nil where that is HTTP/2
	interim int         // answers so far that were not the last
	named   []string    // headers that the answer's Connection names
}

type exchangeKey struct{}

func exchangeOf(ctx context.Context) *exchange {
	return ctx.Value(exchangeKey{}).(*exchange)
}

// isWebSocket reports whether a request asks for a WebSocket (RFC 6455 §4.1).
func isWebSocket(r *http.Request) bool {
	offers := r.Header["Upgrade"]
	return r.Method == http.MethodGet && r.ProtoMajor == 1 && r.ContentLength == 0 &&
		len(offers) == 1 && strings.EqualFold(offers[0], "websocket") && asksUpgrade(r.Header)
}

func asksUpgrade(h http.Header) bool {
	return slices.ContainsFunc(connectionOptions(h), func(option string) bool { return strings.EqualFold(option, "upgrade") })
}

// newReverseProxy returns the proxy for requests whose context holds an exchange.
func (h *Handler) newReverseProxy() *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Rewrite:        h.rewrite,
		Transport:      sender{},
		FlushInterval:  -1, // an event must not wait for the next one
		ModifyResponse: h.modifyAnswer,
		ErrorHandler:   h.fail,
		ErrorLog:       log.New(io.Discard, "", 0), // its texts may quote the upstream; see answerBody
		BufferPool:     &buffers{},
	}
}

// rewrite makes out the request that the upstream gets. Headers for one hop are gone from it already, and
// so is what Connection names.
func (h *Handler) rewrite(p *httputil.ProxyRequest) {
	x, out := exchangeOf(p.Out.Context()), p.Out
	out.URL = x.target.url(x.upstream.url)
	out.Host = "" // the URL's
	out.Trailer = nil
	if !x.upgrade {
		out.Header.Del("Connection")
		out.Header.Del("Upgrade")
	}
	removeHeaders(out.Header, x.decision.Remove)
	for name := range out.Header {
		switch fold(name) {
		case "expect", "http2-settings":
			delete(out.Header, name)
		case "content-length", "transfer-encoding": // in whatever spelling: the framing is ours
			delete(out.Header, name)
		}
	}
	h.setForwarded(out.Header, p.In)
	out.Header.Set("X-Request-ID", x.decision.RequestID)
	for _, s := range x.decision.Stamp.Set {
		out.Header.Set(s.Name, s.Value)
	}
	setBody(out, x)
}

// removeHeaders removes headers by name, in whatever case.
func removeHeaders(h http.Header, names []string) {
	if len(names) == 0 {
		return
	}
	// One pass over each: the client chooses how many there are of both.
	gone := make(map[string]bool, len(names))
	for _, name := range names {
		gone[strings.ToLower(name)] = true
	}
	for name := range h {
		if gone[strings.ToLower(name)] {
			delete(h, name)
		}
	}
}

// setBody makes the body one that is sent once. Go's transports send a request again if a connection that
// was kept open dies under it and they find the request harmless, which they decide by its method, an
// Idempotency-Key, and whether it has no body.
func setBody(out *http.Request, x *exchange) {
	out.GetBody = nil
	if out.Body != nil && out.Body != http.NoBody {
		x.upload = &upload{ReadCloser: out.Body, wait: x.wait}
		out.Body = x.upload
		return
	}
	// No coding, and a length that the transport does not know: it writes neither, and no byte of a body.
	out.Body = nothing{}
	out.ContentLength = 0
	out.TransferEncoding = []string{"identity"}
	switch out.Method {
	case http.MethodPost, http.MethodPut, http.MethodPatch:
		// RFC 9110 §8.6: where a body is usual, that there is none is said. The transport takes no length in
		// its usual spelling.
		out.Header["content-length"] = []string{"0"}
	}
}

// modifyAnswer takes out of an answer what is not the upstream's to say, before any of it is passed on.
func (h *Handler) modifyAnswer(answer *http.Response) error {
	x := exchangeOf(answer.Request.Context())
	defer answer.Header.Set("X-Request-ID", x.decision.RequestID) // that of the log, whatever the upstream calls it
	switch {
	case answer.StatusCode == http.StatusSwitchingProtocols:
		return modifyUpgrade(answer, x)
	case answer.StatusCode < 200:
		return errStatus
	}
	cleanAnswer(answer.Header, x.named)
	cleanTrailer(answer.Trailer, x.named)
	if len(answer.Trailer) > 0 {
		answer.Header.Del("Content-Length") // HTTP/1 has trailers behind chunks alone
	}
	answer.Body = &answerBody{ReadCloser: answer.Body, answer: answer, exchange: x, log: h.log}
	return nil
}

var (
	errUnaskedUpgrade = errors.New("the upstream switches to a protocol that it was not asked for")
	errStatus         = errors.New("the upstream's answer has a status that is none")
	errEarlyFrames    = errors.New("the client sent frames before it was told that it may")
)

// modifyUpgrade is for an answer after which the two ends speak another protocol.
func modifyUpgrade(answer *http.Response, x *exchange) error {
	if !x.upgrade || !asksUpgrade(answer.Header) || !strings.EqualFold(answer.Header.Get("Upgrade"), "websocket") {
		return errUnaskedUpgrade
	}
	cleanAnswer(answer.Header, x.named)
	answer.Header.Set("Connection", "Upgrade")
	answer.Header.Set("Upgrade", "websocket")
	if !framing.Release(answer.Request.Context()) {
		return errEarlyFrames
	}
	x.released = true
	return nil
}

// fail answers a request that was allowed but could not be served.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	x := exchangeOf(r.Context())
	if x.released {
		// What the client sends next would not be judged by the guard.
		w.Header().Set("Connection", "close")
	}
	if x.client.Err() != nil {
		panic(http.ErrAbortHandler) // nobody is there to be told
	}
	p := upstreamUnreachable
	var timeout net.Error
	if broken := x.upload.failure(); broken != nil {
		if errors.As(broken, &timeout) && timeout.Timeout() {
			panic(http.ErrAbortHandler) // the server has given the client up
		}
		p = malformedBody
		w.Header().Set("Connection", "close")
	} else if errors.Is(context.Cause(r.Context()), errTimeout) || errors.As(err, &timeout) && timeout.Timeout() {
		p = upstreamTimeout
	}
	p.RequestID = x.decision.RequestID
	if p.Code != malformedBody.Code {
		h.faults.WithLabelValues(x.upstream.name, p.Code).Inc()
		h.log.LogAttrs(r.Context(), slog.LevelWarn, "the upstream failed", append(x.attributes(), slog.String("code", p.Code), slog.String("error", cause(err)))...)
	}
	refuse(w, p, x.grpc)
}

// attributes say in a log line which exchange it is about.
func (x *exchange) attributes() []slog.Attr {
	return []slog.Attr{slog.String("request_id", x.decision.RequestID), slog.String("upstream", x.upstream.name)}
}

// cause returns the text of an error of the transport. Those that are not about the connection may quote
// what the upstream sent, which is not for the log.
func cause(err error) string {
	var operation *net.OpError
	switch {
	case errors.Is(err, errTimeout), errors.Is(err, errUnaskedUpgrade), errors.Is(err, errStatus), errors.Is(err, errEarlyFrames), errors.Is(err, errSpoiled), errors.Is(err, errAnswerTooLong), errors.Is(err, errTooManyInterim):
		return err.Error()
	case errors.As(err, &operation):
		return operation.Error()
	case isTLSError(err):
		return err.Error()
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the upstream closed the connection"
	}
	return "the connection broke, or what came over it is not HTTP"
}

// buffers are those that bodies are copied through.
type buffers struct{ pool sync.Pool }

const bufferBytes = 32 << 10

func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[bufferBytes]byte); ok {
		return p[:]
	}
	return make([]byte, bufferBytes)
}

func (b *buffers) Put(p []byte) { b.pool.Put((*[bufferBytes]byte)(p)) }
