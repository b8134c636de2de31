package remotekeys

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/passgate/passgate/internal/httpfault"
	"github.com/passgate/passgate/internal/keyset"
	"github.com/passgate/passgate/internal/strict"
)

const (
	maxBody      = 512 << 10 // bytes of an answer that are read: a set of 100 keys, each with its certificates
	maxHeader    = 64 << 10  // bytes
	maxRedirects = 3
)

// NewClient returns a client for key sets: bounded in connections, in the size of headers, and in the time that it
// takes to connect. It asks no proxy.
func NewClient() *http.Client {
	return &http.Client{Transport: &http.Transport{
		// A transport connects on after its request has given up. Without a limit such attempts would use up the
		// connections.
		DialContext:            (&net.Dialer{Timeout: maxFetch}).DialContext,
		TLSHandshakeTimeout:    maxFetch,
		MaxConnsPerHost:        4,
		IdleConnTimeout:        10 * time.Second, // for the second request of discovery; the next fetch is minutes away
		MaxResponseHeaderBytes: maxHeader,
	}}
}

// answer is what a fetch brought.
type answer struct {
	keys    *keyset.Set
	count   int     // of the keys
	dropped []error // why other keys of the set are not used
}

// fetch fetches the set, by way of the metadata where these say where it is. Its errors hold neither what the server
// wrote nor the query and the user of a URL.
func (s *Set) fetch(ctx context.Context) (answer, error) {
	u, err := url.Parse(s.o.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return answer{}, errors.New("its URL is none of http or https") // err would say the URL
	}
	if s.o.Discovery {
		if u, err = s.discover(ctx, u); err != nil {
			return answer{}, err
		}
	}
	text, err := s.get(ctx, u)
	if err != nil {
		return answer{}, err
	}
	keys, dropped, err := keyset.ParseRemote(text)
	if err != nil {
		return answer{}, fmt.Errorf("the answer of %s: %w", place(u), err)
	}
	read := len(keys)
	keys = slices.DeleteFunc(keys, func(k *keyset.Key) bool { return !slices.Contains(s.o.Algorithms, k.Algorithm) })
	if len(keys) == 0 {
		return answer{dropped: dropped}, fmt.Errorf("the answer of %s has no usable key: %d cannot be used, %d are for other algorithms", place(u), len(dropped), read)
	}
	set, err := keyset.NewSet(keys...)
	if err != nil {
		return answer{}, fmt.Errorf("the answer of %s: %w", place(u), err)
	}
	return answer{keys: set, count: len(keys), dropped: dropped}, nil
}

// discover returns where the metadata say that the key set is. Only the host that the configuration names is
// believed to keep the issuer's keys: whoever can write the metadata could else make this process ask any other.
func (s *Set) discover(ctx context.Context, u *url.URL) (*url.URL, error) {
	text, err := s.get(ctx, u)
	if err != nil {
		return nil, err
	}
	metadata, err := strict.ParseObject(text)
	if err != nil {
		return nil, fmt.Errorf("the metadata of %s: %w; discovery_url names them whole, as https://…/.well-known/openid-configuration", place(u), err)
	}
	issuer, err := metadata.Required("issuer")
	if err != nil {
		return nil, fmt.Errorf("the metadata of %s: %w", place(u), err)
	}
	if issuer != s.o.Issuer { // OpenID Connect Discovery 1.0 §4.3
		return nil, fmt.Errorf("the metadata of %s are those of the issuer %.100q, not of %q", place(u), issuer, s.o.Issuer)
	}
	uri, err := metadata.Required("jwks_uri")
	if err != nil {
		return nil, fmt.Errorf("the metadata of %s: %w", place(u), err)
	}
	keys, err := url.Parse(uri)
	if err != nil || keys.User != nil || !sameOrigin(keys, u) {
		return nil, fmt.Errorf("the metadata of %s: jwks_uri is not at %s://%s: write it as jwks_url, in place of discovery_url, if it is right", place(u), u.Scheme, u.Host)
	}
	return keys, nil
}

// get returns the body of an answer with the status 200.
func (s *Set) get(ctx context.Context, u *url.URL) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("GET %s: not a request", place(u)) // err would say the URL
	}
	r.Header.Set("Accept", "application/jwk-set+json, application/json")
	r.Header.Set("Accept-Encoding", "identity") // and so nothing is unpacked here either
	answer, err := s.client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", place(u), plain(err))
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: status %d", place(u), answer.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxBody+1))
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", place(u), plain(err))
	}
	if len(body) > maxBody {
		return nil, fmt.Errorf("GET %s: the answer has more than %d bytes", place(u), maxBody)
	}
	return body, nil
}

var (
	errRedirects = fmt.Errorf("more than %d redirects", maxRedirects)
	errElsewhere = errors.New("a redirect to another scheme, host or port")
)

func checkRedirect(r *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return errRedirects
	}
	if !sameOrigin(r.URL, via[0].URL) {
		return errElsewhere
	}
	return nil
}

// sameOrigin reports whether two URLs have the same scheme, host and port.
func sameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}

func port(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	return map[string]string{"http": "80", "https": "443"}[u.Scheme]
}

// place returns host and path of a URL. Its query and its user may be secrets.
func place(u *url.URL) string { return fmt.Sprintf("%.200s", u.Host+u.EscapedPath()) }

// plain returns why a request failed, without the URL and what the server wrote.
func plain(err error) error {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no whole answer within %s", maxFetch)
	case errors.Is(err, errRedirects):
		return errRedirects
	case errors.Is(err, errElsewhere):
		return errElsewhere
	}
	return httpfault.Plain(err)
}
