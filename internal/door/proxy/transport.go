package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"time"
)

// Bounds of what is kept for upstreams, and of what they may answer.
const (
	maxIdleConns        = 512 // over all upstreams
	maxIdlePerUpstream  = 128
	idleTime            = 90 * time.Second
	maxAnswerHeadBytes  = 256 << 10
	maxInterim          = 8         // 1xx answers to one request
	maxUnread           = 256 << 10 // of an answer over HTTP/2 that the client does not take
	pingAfter, pingTime = 15 * time.Second, 5 * time.Second
)

var errTooManyInterim = errors.New("the upstream sends too many 1xx answers")

// upstream is one configured server.
type upstream struct {
	name      string
	url       *url.URL // its scheme is http or https
	ordinary  http.RoundTripper
	upgrading http.RoundTripper // for WebSockets; nil: the upstream has none
}

// transports speak to upstreams, one for each way to begin.
type transports struct {
	http1   *http.Transport // with and without TLS
	secure  *http.Transport // TLS, HTTP/2 where the upstream has it
	cleared *http.Transport // HTTP/2 without TLS
}

func newTransports(timeout time.Duration, maxConns int, config *tls.Config) *transports {
	d := dialer{net.Dialer{Timeout: timeout}, config, timeout}
	transport := func(set ...func(*http.Protocols, bool)) *http.Transport {
		var protocols http.Protocols
		for _, s := range set {
			s(&protocols, true)
		}
		return &http.Transport{
			Proxy:                  nil, // no environment has a say in where a request goes
			Protocols:              &protocols,
			DialContext:            d.dial,
			DialTLSContext:         d.dialTLS("http/1.1"),
			DisableCompression:     true,
			MaxIdleConns:           maxIdleConns,
			MaxIdleConnsPerHost:    maxIdlePerUpstream,
			MaxConnsPerHost:        maxConns,
			IdleConnTimeout:        idleTime,
			MaxResponseHeaderBytes: maxAnswerHeadBytes,
			// A connection that many requests share is given up once it is dead.
			HTTP2: &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTime, MaxReceiveBufferPerStream: maxUnread},
		}
	}
	t := &transports{
		http1:   transport((*http.Protocols).SetHTTP1),
		secure:  transport((*http.Protocols).SetHTTP1, (*http.Protocols).SetHTTP2),
		cleared: transport((*http.Protocols).SetUnencryptedHTTP2),
	}
	t.secure.DialTLSContext = d.dialTLS("h2", "http/1.1")
	t.cleared.DialContext = d.DialContext
	return t
}

func (t *transports) closeIdle() {
	for _, one := range []*http.Transport{t.http1, t.secure, t.cleared} {
		one.CloseIdleConnections()
	}
}

// upstream returns the upstream at a configured address.
func (t *transports) upstream(name string, u *url.URL) *upstream {
	plain := *u
	switch u.Scheme {
	case "http":
		return &upstream{name, &plain, t.http1, t.http1}
	case "https":
		return &upstream{name, &plain, t.secure, t.http1}
	case "h2c":
		plain.Scheme = "http"
		return &upstream{name, &plain, t.cleared, nil}
	}
	panic("proxy: the upstream " + name + " is neither http nor https nor h2c")
}

// dialer opens connections whose answers are listened to; see [answerConn].
type dialer struct {
	net.Dialer
	config  *tls.Config
	timeout time.Duration
}

func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &answerConn{Conn: c}, nil
}

// dialTLS returns a function that opens connections over TLS for one of these protocols.
func (d *dialer) dialTLS(protocols ...string) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := d.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		config := &tls.Config{MinVersion: tls.VersionTLS12}
		if d.config != nil {
			config = d.config.Clone()
		}
		if config.ServerName == "" {
			config.ServerName, _, _ = net.SplitHostPort(address)
		}
		config.NextProtos = protocols
		ctx, cancel := context.WithTimeout(ctx, d.timeout)
		defer cancel()
		secure := tls.Client(c, config)
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = c.Close()
			return nil, err
		}
		if secure.ConnectionState().NegotiatedProtocol == "h2" {
			return secure, nil
		}
		return &answerConn{Conn: secure}, nil
	}
}

func isTLSError(err error) bool {
	var certificate *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var hostname x509.HostnameError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	return errors.As(err, &certificate) || errors.As(err, &authority) || errors.As(err, &hostname) || errors.As(err, &record) || errors.As(err, &alert)
}

// sender sends a request by the transport of its exchange, and listens to the answer's head.
type sender struct{}

func (sender) RoundTrip(r *http.Request) (*http.Response, error) {
	x := exchangeOf(r.Context())
	transport := x.upstream.ordinary
	if x.upgrade {
		transport = x.upstream.upgrading
	}
	trace := &httptrace.ClientTrace{
		GotConn: func(got httptrace.GotConnInfo) {
			if x.conn, _ = got.Conn.(*answerConn); x.conn != nil {
				x.conn.listen()
			}
		},
		// It is called before the function that passes the interim answer on, with the same headers.
		Got1xxResponse: func(status int, header textproto.MIMEHeader) error {
			if status == http.StatusSwitchingProtocols { // over HTTP/2, which has no upgrades
				x.cancel(errUnaskedUpgrade) // what is returned here is not looked at
			}
			x.interimAnswer(http.Header(header))
			return nil
		},
	}
	r = r.Clone(r.Context())
	// A body behind the answer to a HEAD would be the answer to whoever is next on the connection.
	r.Close = r.Method == http.MethodHead
	answer, err := transport.RoundTrip(r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
	x.wait.stop()
	if err != nil {
		return nil, err
	}
	if err := x.listenTo(answer); err != nil {
		_ = answer.Body.Close()
		return nil, err
	}
	return answer, nil
}

// interimAnswer takes a 1xx answer, which the client is about to get.
func (x *exchange) interimAnswer(header http.Header) {
	if x.interim++; x.interim > maxInterim {
		x.cancel(errTooManyInterim)
	}
	named := connectionOptions(header)
	if x.conn != nil {
		more, _ := x.conn.named()
		named = append(named, more...)
	}
	cleanAnswer(header, named)
}

// listenTo finds out which headers the answer's Connection names.
func (x *exchange) listenTo(answer *http.Response) error {
	if x.interim > maxInterim {
		return errTooManyInterim // the cancellation came too late to stop it
	}
	x.named = connectionOptions(answer.Header)
	if x.conn == nil {
		return nil
	}
	defer x.conn.stopListening()
	// Where Connection holds close, the transport has dropped all of it.
	if answer.Close && len(x.named) == 0 {
		var whole bool
		if x.named, whole = x.conn.named(); !whole {
			return errAnswerTooLong
		}
	}
	return nil
}
