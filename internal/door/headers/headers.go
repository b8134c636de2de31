// Package headers turns the headers of net/http into those of the engine, for every door that is an HTTP handler.
package headers

import (
	"net/http"

	"github.com/passgate/passgate/internal/authz"
)

// Lines returns all lines of a header, repeats kept. Host is left out: HTTP/2 may bring one beside its :authority,
// which is what is judged.
func Lines(h http.Header) []authz.Header {
	lines := make([]authz.Header, 0, len(h))
	for name, values := range h {
		if name == "Host" {
			continue
		}
		for _, value := range values {
			lines = append(lines, authz.Header{Name: name, Value: value})
		}
	}
	return lines
}
