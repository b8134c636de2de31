package extauthz

import (
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/problem"
)

// requestFrom reads what Envoy says of a request. Missing parts stay empty, which no policy allows.
//
// Envoy sends the headers in one of two encodings: in headers, where repeats are joined and bytes that are
// not UTF-8 are replaced, or with encode_raw_headers in header_map, as they came. Both are read, as lines
// of one list, so that a credential in both counts as two.
func requestFrom(in *authv3.CheckRequest) *authz.Request {
	attributes := in.GetAttributes()
	http := attributes.GetRequest().GetHttp()
	lines := http.GetHeaderMap().GetHeaders()
	r := &authz.Request{
		Method:  http.GetMethod(),
		Host:    http.GetHost(),
		Headers: make([]authz.Header, 0, len(http.GetHeaders())+len(lines)),
		Context: attributes.GetContextExtensions(),
	}
	r.Path, _, _ = strings.Cut(http.GetPath(), "?")
	path := pathWitness{path: http.GetPath()}
	for name, value := range http.GetHeaders() {
		if !path.see(name, value, false) {
			r.Headers = append(r.Headers, authz.Header{Name: name, Value: value})
		}
	}
	for _, line := range lines {
		if value := rawValue(line); !path.see(line.GetKey(), value, true) {
			r.Headers = append(r.Headers, authz.Header{Name: line.GetKey(), Value: value})
		}
	}
	r.HeadersFiltered = !path.shown
	// Over HTTP/1 Envoy refuses bytes that are not UTF-8 itself.
	r.Malformed = path.malformed(r.Path, strings.HasPrefix(http.GetProtocol(), "HTTP/1."))
	return r
}

// pathWitness compares path, in which Envoy writes "!" for a byte that is not UTF-8, with the :path among
// the headers.
type pathWitness struct {
	path               string
	shown, raw, differ bool // :path was there; it was in header_map, as it came; it was not path
}

// see takes a header and reports whether it is a pseudo-header of HTTP/2, which is none to anyone behind
// Envoy.
func (w *pathWitness) see(name, value string, raw bool) bool {
	if !strings.HasPrefix(name, ":") {
		return false
	}
	if name == ":path" {
		w.shown = true
		w.raw = w.raw || raw
		w.differ = w.differ || value != w.path
	}
	return true
}

// malformed returns why a path cannot be judged by what was shown of it, or "".
func (w *pathWitness) malformed(path string, http1 bool) string {
	switch {
	case w.differ:
		return "Envoy's path is not the :path that the upstream would get: it has bytes that are not UTF-8"
	case !w.raw && !http1 && strings.Contains(path, "!"):
		return "the path has a !, which Envoy also writes for a byte that is not UTF-8; with encode_raw_headers: true it shows which"
	}
	return ""
}

func rawValue(line *corev3.HeaderValue) string {
	if raw := line.GetRawValue(); len(raw) > 0 {
		return string(raw)
	}
	return line.GetValue()
}

// isGRPC reports whether Envoy will turn a denial of this request into a gRPC status.
func isGRPC(r *authz.Request) bool {
	var contentTypes []string
	for i := range r.Headers {
		if strings.EqualFold(r.Headers[i].Name, "content-type") {
			contentTypes = append(contentTypes, r.Headers[i].Value)
		}
	}
	return problem.IsGRPC(contentTypes)
}
