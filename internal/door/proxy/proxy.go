// Package proxy is the door for clients without Envoy: a reverse proxy that asks the engine about each
// request and forwards what it allows (contract §7).
//
// It translates an HTTP request into one of the engine, and has no rules of its own about who may do what.
// What it does decide is what a later hop could use against that decision:
//
//   - The target is read raw, /v1/proxy and what follows it. The engine judges what follows, and the
//     upstream gets that and nothing else: the path byte for byte, save that bytes that no URI holds are
//     percent-encoded (RFC 3986 §3.3), and the query byte for byte, save that # and bytes that are not ASCII
//     are. /v1/proxy alone stands for the path "/". Targets in another form, CONNECT, and a query that holds
//     a blank or a control byte are refused as ambiguous.
//   - The upstream is sent its own name as Host, as a client must not choose among the sites of one
//     upstream; the client's is in X-Forwarded-Host.
//   - Headers that are for one hop go first, those that Connection names included; then what the decision
//     removes; then passgate sets its own. So no header of a client strips or replaces an identity.
//   - Trailers of a request are dropped: nobody has judged them.
//   - X-Forwarded-* and Forwarded are a proxy's to say: those of a client that is no trusted proxy are
//     replaced, and so is X-Real-IP, which says the same.
//   - Only a WebSocket is upgraded to, and only where the upstream agrees; the offer of another protocol is
//     dropped and the request goes on as an ordinary one. An upstream without TLS that speaks HTTP/2 alone
//     (h2c) cannot be upgraded either.
//   - A request is sent once or not at all, also where a connection that was kept open turns out to be dead
//     (then the answer is 502), and whatever the method.
//   - Expect: 100-continue is answered here, once the request is allowed and the upstream takes its body.
//   - What an answer says in the name of passgate is removed from its headers, its trailers and its interim
//     answers, and so is what is for one hop.
package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"runtime/debug"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/door/headers"
	"github.com/passgate/passgate/internal/metric"
	"github.com/passgate/passgate/internal/problem"
)

// Options are the parts of a [Handler]. Decider, Upstreams and Log are required.
type Options struct {
	Decider authz.Decider
	// Upstreams are base URLs by the service that they serve: http, https, or h2c for HTTP/2 without TLS, with
	// a path at most.
	Upstreams map[string]*url.URL
	// Timeout is how long an upstream may take to its answer's headers; 0: 30 s. Waiting for the client to
	// send its body does not count.
	Timeout time.Duration
	// TrustedProxies are the peers whose X-Forwarded-* and Forwarded are believed; none: nobody's.
	TrustedProxies []netip.Prefix
	TLS            *tls.Config // for https upstreams; nil: the system's authorities
	MaxConns       int         // open connections to one upstream; 0: 1024. Requests beyond wait their turn
	// ClientIdle is how long a client may pause in a body that it sends, and take nothing of an answer that is there;
	// 0: 2 min. Then the connection, or the stream of HTTP/2, is closed.
	ClientIdle time.Duration
	Log        *slog.Logger
	Registerer prometheus.Registerer // nil: faults of upstreams are counted for nobody
}

const (
	defaultTimeout    = 30 * time.Second
	defaultMaxConns   = 1024
	defaultClientIdle = 2 * time.Minute
)

// Handler answers requests to [Prefix]. It is immutable and safe for concurrent use; make one with [New].
type Handler struct {
	decider    authz.Decider
	upstreams  map[string]*upstream
	fallback   *upstream // nil: none
	timeout    time.Duration
	clientIdle time.Duration
	trusted    []netip.Prefix
	log        *slog.Logger
	faults     *prometheus.CounterVec
	proxy      *httputil.ReverseProxy
	transport  *transports
}

var _ http.Handler = (*Handler)(nil)

// New returns a handler of these parts. It panics if one is missing or an upstream has another scheme,
// which are faults of the program: those of a configuration were judged with it.
func New(o Options) *Handler {
	if o.Decider == nil || o.Log == nil || len(o.Upstreams) == 0 {
		panic("proxy: a handler needs a decider, upstreams and a log")
	}
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.MaxConns <= 0 {
		o.MaxConns = defaultMaxConns
	}
	if o.ClientIdle <= 0 {
		o.ClientIdle = defaultClientIdle
	}
	h := &Handler{
		decider:    o.Decider,
		upstreams:  make(map[string]*upstream, len(o.Upstreams)),
		timeout:    o.Timeout,
		clientIdle: o.ClientIdle,
		trusted:    slices.Clone(o.TrustedProxies),
		log:        o.Log,
		transport:  newTransports(o.Timeout, o.MaxConns, o.TLS),
		faults: metric.Of(o.Registerer, prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "passgate_upstream_faults_total",
			Help: "Requests of the proxy that were allowed and that their upstream did not answer.",
		}, []string{"upstream", "code"})),
	}
	for name, u := range o.Upstreams {
		h.upstreams[name] = h.transport.upstream(name, u)
	}
	h.fallback = h.upstreams[authz.DefaultService]
	h.proxy = h.newReverseProxy()
	return h
}

// CloseIdleConnections closes the connections to upstreams that serve no request, as when another handler
// has taken the place of this one. Requests under way go on.
func (h *Handler) CloseIdleConnections() { h.transport.closeIdle() }

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := h.newAnswer(w, r)
	id := ""
	defer func() { h.recover(a, r, id, recover()) }()

	r, answered := h.boundBody(a, r)
	defer answered()
	target, why := parseTarget(r.Method, r.RequestURI)
	d := h.decider.Decide(r.Context(), h.requestFrom(r, target.path, why))
	id = d.RequestID
	if !d.Allowed() {
		refuse(a, problem.Of(&d), isGRPC(r))
		return
	}
	h.forward(a, r, &exchange{decision: &d, upstream: h.upstreamOf(d.Rule.Service), target: target})
}

// requestFrom returns what the engine is asked. Why, if not empty, says that the target is malformed.
func (h *Handler) requestFrom(r *http.Request, path, why string) *authz.Request {
	return &authz.Request{
		Method:    r.Method,
		Host:      r.Host,
		Path:      path,
		Headers:   headers.Lines(r.Header),
		Reaches:   func(service string) bool { return h.upstreamOf(service) != nil },
		Malformed: why,
	}
}

// upstreamOf returns where requests for a service go, nil if it is nowhere.
func (h *Handler) upstreamOf(service string) *upstream {
	if service == authz.OwnService {
		return nil
	}
	if to := h.upstreams[service]; to != nil {
		return to
	}
	return h.fallback
}

// forward sends an allowed request to its upstream and passes the answer on.
func (h *Handler) forward(w http.ResponseWriter, r *http.Request, x *exchange) {
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	x.client = r.Context()
	x.cancel = cancel
	x.grpc = isGRPC(r)
	x.upgrade = isWebSocket(r) && x.upstream.upgrading != nil
	x.wait = newPatience(h.timeout, func() { cancel(errTimeout) })
	defer x.wait.stop()
	h.proxy.ServeHTTP(w, r.WithContext(context.WithValue(ctx, exchangeKey{}, x)))
}

// recover turns a panic into a 503, or ends an answer that has begun. [http.ErrAbortHandler] is how
// handlers end an answer, and goes on to the server.
func (h *Handler) recover(a *answer, r *http.Request, id string, p any) {
	if p == nil {
		return
	}
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(p)
	}
	h.log.ErrorContext(r.Context(), "the proxy panicked", "request_id", id, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	if a.begun {
		panic(http.ErrAbortHandler)
	}
	clear(a.Header()) // of the upstream's answer
	refuse(a, problem.Of(&authz.Decision{RequestID: id}), isGRPC(r))
}
