package httpauthz

import (
	"net/http"
	"strings"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/door/headers"
)

// requestFrom reads the request that Envoy asks about; it is no question, and ok is false, where the target is a
// path that does not begin with [Prefix] and a slash.
func requestFrom(r *http.Request) (q *authz.Request, ok bool) {
	q = &authz.Request{
		Method:  r.Method,
		Host:    r.Host,
		Headers: headers.Lines(r.Header),
		// Envoy shows what its allowed_headers name, and never says what that is.
		HeadersFiltered: true,
	}
	raw := r.RequestURI
	if r.Method == http.MethodConnect || !strings.HasPrefix(raw, "/") {
		q.Malformed = "the target is not a path, or the method CONNECT asks for a tunnel"
		return q, true
	}
	after, ok := strings.CutPrefix(raw, Prefix)
	if !ok || !strings.HasPrefix(after, "/") {
		return q, false
	}
	q.Path, _, _ = strings.Cut(after, "?")
	if strings.Contains(q.Path, "!") {
		q.Malformed = "the path has a !, which Envoy also writes for a byte that is not UTF-8; %21 is sure to be one"
	}
	return q, true
}
