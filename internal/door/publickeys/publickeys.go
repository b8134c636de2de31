// Package publickeys is the door for those who verify what passgate signs: the keys for it, as a JWKS (RFC 7517 §5).
package publickeys

import (
	"net/http"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/door/headers"
	"github.com/passgate/passgate/internal/keyset"
	"github.com/passgate/passgate/internal/problem"
)

// cacheControl is shorter than any key lives, and long enough that a crowd of verifiers is no load.
const cacheControl = "public, max-age=60"

var methodNotAllowed = problem.Problem{Status: http.StatusMethodNotAllowed, Code: "method_not_allowed", Text: "Method not allowed"}

// New returns a handler that shows these keys, asked for anew each time, to GET and HEAD. Where it stands is for the
// server to say. A key that has no public half is not shown. newID returns a request id, where the caller brought none.
func New(shown func() []*keyset.Key, newID func() string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			p := methodNotAllowed
			if p.RequestID = authz.RequestID(headers.Lines(r.Header)); p.RequestID == "" {
				p.RequestID = newID()
			}
			lines, body := p.Answer(false)
			for _, h := range lines {
				w.Header().Set(h.Name, h.Value)
			}
			w.WriteHeader(p.Status)
			_, _ = w.Write([]byte(body)) // the client may be gone
			return
		}
		w.Header().Set("Cache-Control", cacheControl)
		w.Header().Set("Content-Type", "application/jwk-set+json")
		_, _ = w.Write(keyset.PublicJWKS(shown()...))
	})
}
