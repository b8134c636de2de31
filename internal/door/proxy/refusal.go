package proxy

import (
	"io"
	"net/http"
	"strings"

	"github.com/passgate/passgate/internal/problem"
)

// What a client is shown where an allowed request cannot be served.
var (
	upstreamUnreachable = problem.Problem{Status: http.StatusBadGateway, Code: "upstream_unreachable", Text: "Upstream unreachable"}
	upstreamTimeout     = problem.Problem{Status: http.StatusGatewayTimeout, Code: "upstream_timeout", Text: "Upstream timed out"}
	malformedBody       = problem.Problem{Status: http.StatusBadRequest, Code: "malformed_body", Text: "Malformed request body"}
)

// refuse answers with a problem. For a gRPC client it is what Envoy makes of the same denial: 200, and the
// outcome in headers that end the answer.
func refuse(w http.ResponseWriter, p problem.Problem, grpc bool) {
	header := w.Header()
	if grpc {
		header.Set("Grpc-Status", grpcStatus(p.Status))
	}
	headers, body := p.Answer(grpc)
	for _, h := range headers {
		header.Set(h.Name, h.Value)
	}
	if p.RequestID != "" {
		header.Set("X-Request-ID", p.RequestID)
	}
	if grpc {
		header.Set("Content-Type", "application/grpc")
		header.Set("Grpc-Message", grpcMessage(p.Text))
		w.WriteHeader(http.StatusOK)
		return
	}
	w.WriteHeader(p.Status)
	// An error says that the client has gone.
	_, _ = io.WriteString(w, body)
}

// isGRPC reports whether a client expects the outcome in gRPC's way.
func isGRPC(r *http.Request) bool { return problem.IsGRPC(r.Header["Content-Type"]) }

// grpcStatus returns the gRPC code that Envoy makes of an HTTP status by itself. For some the answer to a
// problem names another one.
func grpcStatus(status int) string {
	switch status {
	case 401:
		return "16" // UNAUTHENTICATED
	case 403:
		return "7" // PERMISSION_DENIED
	case 404:
		return "12" // UNIMPLEMENTED
	}
	return "14" // UNAVAILABLE
}

// maxMessageBytes bounds a grpc-message before it is encoded: many clients take no more than 8 KiB of
// metadata.
const maxMessageBytes = 1 << 10

// grpcMessage returns a text as gRPC writes it in a header: percent-encoded where it is not printable ASCII.
// The text may hold what a token said.
func grpcMessage(text string) string {
	if len(text) > maxMessageBytes {
		text = strings.ToValidUTF8(text[:maxMessageBytes], "") + "…"
	}
	return escapeBytes(text, func(c byte) bool { return c < ' ' || c >= 0x7f || c == '%' })
}
