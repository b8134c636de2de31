package introspect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/passgate/passgate/internal/httpfault"
)

// HTTPOptions say where a server is and how passgate proves itself to it.
type HTTPOptions struct {
	URL                    string       // http or https; what is no host in it counts as secret
	ClientID, ClientSecret string       // sent by client_secret_basic (RFC 6749 §2.3.1); no ClientID: nothing is sent
	Client                 *http.Client // nil: one of [NewClient]
}

// HTTP asks a real server (RFC 7662 §2.1). One question is one request: it follows no redirect and tries nothing
// twice. It is safe for concurrent use, and does not print its secrets.
type HTTP struct {
	url           string
	host          string
	authorization string
	client        *http.Client
}

var _ Asker = (*HTTP)(nil)

// NewHTTP returns an asker of the server. It panics if the URL is none of http or https, which is a fault of the
// program: that of a configuration was judged with it.
func NewHTTP(o HTTPOptions) *HTTP {
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		panic("introspect: the URL of a server is not an absolute one of http or https")
	}
	if o.Client == nil {
		o.Client = NewClient()
	}
	client := *o.Client
	// A redirect would show the token to whom the answer names.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	h := &HTTP{url: o.URL, host: u.Host, client: &client}
	if o.ClientID != "" {
		request := http.Request{Header: make(http.Header)}
		request.SetBasicAuth(url.QueryEscape(o.ClientID), url.QueryEscape(o.ClientSecret))
		h.authorization = request.Header.Get("Authorization")
	}
	return h
}

// The bounds of a client: of its connections to one server, and of what answers may bring before their body.
const (
	maxConns     = 128
	maxHeadBytes = 16 << 10
	connectTime  = 2 * time.Second
	idleTime     = 30 * time.Second
)

// NewClient returns a client that is good for any number of servers: its connections are bounded, stay open for the
// next call, and go where the configuration says, whatever the environment does. Each call has a connection of its
// own, so that one that hangs takes no other with it.
func NewClient() *http.Client {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &http.Client{Transport: &http.Transport{
		Proxy:                  nil,
		Protocols:              &protocols,
		DialContext:            (&net.Dialer{Timeout: connectTime}).DialContext,
		TLSHandshakeTimeout:    connectTime,
		DisableCompression:     true,
		MaxConnsPerHost:        maxConns,
		MaxIdleConns:           2 * maxConns,
		MaxIdleConnsPerHost:    maxConns,
		IdleConnTimeout:        idleTime,
		MaxResponseHeaderBytes: maxHeadBytes,
	}}
}

// String returns the host that is asked, and nothing that is secret.
func (h *HTTP) String() string { return "introspection at " + h.host }

// GoString is String, for %#v.
func (h *HTTP) GoString() string { return h.String() }

// Ask implements [Asker]. Its errors hold no part of the question and of the answer.
func (h *HTTP) Ask(ctx context.Context, token string) ([]byte, error) {
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url, strings.NewReader(form))
	if err != nil {
		return nil, errors.New("the request cannot be made")
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "passgate")
	if h.authorization != "" {
		request.Header.Set("Authorization", h.authorization)
	}
	response, err := h.client.Do(request)
	if err != nil {
		return nil, httpfault.Plain(err)
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusUnauthorized: // RFC 7662 §2.3
		return nil, errors.New("it refuses the client credentials of passgate itself: status 401")
	default:
		return nil, fmt.Errorf("status %d", response.StatusCode)
	}
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes+1))
	if err != nil {
		return nil, httpfault.Plain(err)
	}
	if len(answer) > maxAnswerBytes {
		return nil, fmt.Errorf("the answer is longer than %d bytes", maxAnswerBytes)
	}
	return answer, nil
}
