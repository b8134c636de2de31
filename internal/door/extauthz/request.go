package extauthz

import (
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/passgate/passgate/internal/authz"
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
		Method:          http.GetMethod(),
		Host:            http.GetHost(),
		Headers:         make([]authz.Header, 0, len(http.GetHeaders())+len(lines)),
		HeadersFiltered: true,
		Require:         authz.SplitPermissions(attributes.GetContextExtensions()[authz.RequiredPermission]),
	}
	r.Path, _, _ = strings.Cut(http.GetPath(), "?")
	// Without encode_raw_headers a byte that is not UTF-8 is "!" in path and :path alike, and reaches the
	// upstream as it is. Over HTTP/1 Envoy refuses such bytes itself.
	if len(lines) == 0 && strings.Contains(r.Path, "!") && !strings.HasPrefix(http.GetProtocol(), "HTTP/1.") {
		r.Malformed = "the path has a !, which Envoy also writes for a byte that is not UTF-8; with encode_raw_headers: true it shows which"
	}
	for name, value := range http.GetHeaders() {
		addHeader(r, name, value, http.GetPath())
	}
	for _, line := range lines {
		addHeader(r, line.GetKey(), rawValue(line), http.GetPath())
	}
	return r
}

// addHeader adds a header line. The pseudo-headers of HTTP/2 are not headers to anyone behind Envoy; the
// path among them tells whether path was shown to us as it is.
func addHeader(r *authz.Request, name, value, path string) {
	if !strings.HasPrefix(name, ":") {
		r.Headers = append(r.Headers, authz.Header{Name: name, Value: value})
		return
	}
	if name == ":path" {
		r.HeadersFiltered = false
		if value != path {
			r.Malformed = "Envoy's path is not the :path that the upstream would get: it has bytes that are not UTF-8"
		}
	}
}

func rawValue(line *corev3.HeaderValue) string {
	if raw := line.GetRawValue(); len(raw) > 0 {
		return string(raw)
	}
	return line.GetValue()
}

// isGRPC reports whether Envoy will turn a denial of this request into a gRPC status. It compares as Envoy
// does, which minds the case.
func isGRPC(r *authz.Request) bool {
	for i := range r.Headers {
		if strings.EqualFold(r.Headers[i].Name, "content-type") {
			v := r.Headers[i].Value
			return v == "application/grpc" || strings.HasPrefix(v, "application/grpc+")
		}
	}
	return false
}
