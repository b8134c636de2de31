package proxy

import (
	"net/http"
	"net/url"
	"strings"
)

// Prefix begins the target of every request to the proxy. The upstream's path follows, with its slash.
const Prefix = root + "/"

const root = "/v1/proxy"

// Owns reports whether a raw request target (http.Request.RequestURI) is for a [Handler] to answer. It is
// asked before anything cleans the path. Absolute-form targets of the proxy are its own too: it refuses
// them.
func Owns(target string) bool {
	path, _, _ := strings.Cut(target, "?")
	if _, rest, ok := strings.Cut(path, "://"); ok && path[0] != '/' {
		slash := strings.IndexByte(rest, '/')
		if slash < 0 {
			return false
		}
		path = rest[slash:]
	}
	return path == root || strings.HasPrefix(path, Prefix)
}

// target is where a request goes at its upstream.
type target struct {
	path  string // raw, as the client wrote it
	query string // what follows the first ?, as it is sent on
	asked bool   // there was a ?, maybe with nothing behind it
}

// parseTarget takes a raw request target apart. Why, if not empty, says what is wrong with it.
func parseTarget(method, raw string) (t target, why string) {
	path, query, asked := strings.Cut(raw, "?")
	switch {
	case method == http.MethodConnect:
		return t, "the method CONNECT asks for a tunnel"
	case path == root:
		path = Prefix
	case !strings.HasPrefix(path, Prefix):
		return t, "the target is not a path that begins with " + Prefix
	}
	t = target{path: path[len(root):], asked: asked}
	for i := range len(query) {
		if c := query[i]; c <= ' ' || c == 0x7f {
			return t, "the query holds a blank or a control byte"
		}
	}
	// Not all servers split a request line at the blank of ASCII alone, and to some a fragment begins at #.
	t.query = escapeBytes(query, func(c byte) bool { return c >= 0x80 || c == '#' })
	return t, ""
}

// url returns a path that was judged and its query, below a base.
func (t *target) url(base *url.URL) *url.URL {
	raw := strings.TrimSuffix(base.EscapedPath(), "/") + escapeBytes(t.path, foreign)
	// What a policy lets through has no bad escapes; one that came through is not sent in another spelling.
	path, err := url.PathUnescape(raw)
	u := &url.URL{Scheme: base.Scheme, Host: base.Host, Path: path, RawPath: raw, RawQuery: t.query, ForceQuery: t.asked}
	if err != nil || u.EscapedPath() != raw {
		panic("proxy: a path that was judged cannot be sent")
	}
	return u
}

// foreign reports whether c is a byte that stands in no path of a URI (RFC 3986 §3.3) and that Go would not
// send as it is.
func foreign(c byte) bool {
	return c <= ' ' || c >= 0x7f || strings.IndexByte("\"<>\\^`{|}#?", c) >= 0
}

// escapeBytes percent-encodes the bytes that are chosen.
func escapeBytes(s string, chosen func(c byte) bool) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; chosen(c) {
			const hex = "0123456789ABCDEF"
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
