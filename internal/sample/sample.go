// Package sample is the upstream of the demo, the tests and compose.yaml: a service that answers every
// request with what it was sent, so that one sees what Envoy and passgate let through. It is not for production.
package sample

import (
	"context"
	"encoding/base64"
	"net/http"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/passgate/passgate/passport"
)

// Seen is the answer of [Handler].
type Seen struct {
	Method  string   `json:"method"`
	URI     string   `json:"uri"` // the request target, byte for byte
	Host    string   `json:"host"`
	Headers []string `json:"headers"` // "Name: value", every line, sorted
	// Passport is the content of X-Passport, absent without one that holds JSON.
	Passport jsontext.Value `json:"passport,omitzero"`
	// Verified says that the passport's signature was verified here.
	Verified bool `json:"passport_verified,omitzero"`
}

// Handler answers 200 with a [Seen] as JSON.
func Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		// The answer holds the credentials of the request: nothing on the way may keep it.
		w.Header().Set("Cache-Control", "no-store")
		body, err := json.Marshal(see(r), jsontext.WithIndent("  "), jsontext.AllowInvalidUTF8(true))
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Write(append(body, '\n'))
	})
}

// VerifyingHandler is [Handler] as a service has it that trusts no network: a request whose passport is not signed by a
// key behind the URL is refused. It fetches the keys until ctx ends. A request without a passport, as on a public
// route, is anybody's.
func VerifyingHandler(ctx context.Context, jwksURL string) (http.Handler, error) {
	v, err := passport.NewVerifier(ctx, passport.Options{JWKSURL: jwksURL, Optional: true})
	if err != nil {
		return nil, err
	}
	return v.Middleware(Handler()), nil
}

func see(r *http.Request) Seen {
	_, verified := passport.FromContext(r.Context())
	seen := Seen{Verified: verified, Method: r.Method, URI: r.RequestURI, Host: r.Host, Headers: []string{}}
	for name, values := range r.Header {
		for _, value := range values {
			seen.Headers = append(seen.Headers, name+": "+value)
		}
	}
	slices.Sort(seen.Headers)
	text, err := base64.StdEncoding.DecodeString(r.Header.Get(passport.Header))
	if v := jsontext.Value(text); err == nil && v.IsValid() {
		seen.Passport = v
	}
	return seen
}
