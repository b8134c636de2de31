package passport

import (
	"errors"
	"fmt"
	"net/http"
)

// Middleware passes on the requests that carry one passport with its signature, which [FromContext] then finds, and
// answers all others itself: 503 with Retry-After for [ErrKeys], else 401.
func (v *Verifier) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, err := v.admit(r.Context(), r.Header[Header], r.Header[SignatureHeader])
		switch {
		case errors.Is(err, ErrKeys):
			w.Header().Set("Retry-After", "1")
			refuse(w, http.StatusServiceUnavailable)
		case err != nil:
			// What the caller can do is to come through passgate, with a credential (RFC 9110 §15.5.2).
			w.Header().Set("WWW-Authenticate", `Bearer realm="passgate"`)
			refuse(w, http.StatusUnauthorized)
		default:
			next.ServeHTTP(w, r.WithContext(ctx))
		}
	})
}

// refuse writes a refusal (RFC 9457) that says no more than its status: who forges learns nothing.
func refuse(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"type":"about:blank","title":%q,"status":%d}`+"\n", http.StatusText(status), status)
}
