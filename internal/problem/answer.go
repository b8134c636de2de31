package problem

import (
	"strings"
	"unicode"

	"github.com/passgate/passgate/internal/authz"
)

// Answer returns the headers and the body of a refusal, the same at every door that answers in HTTP; its
// status is [Problem.Status]. For a gRPC client the body is one line of text, to be the grpc-message, and
// there is no Content-Type but that of gRPC.
func (p Problem) Answer(grpc bool) (headers []authz.Header, body string) {
	headers = append(headers, authz.Header{Name: "Cache-Control", Value: "no-store"})
	if grpc {
		body = oneLine(p.Text)
		if status := grpcStatus(p.Status); status != "" {
			headers = append(headers, authz.Header{Name: "grpc-status", Value: status})
		}
	} else {
		body = string(p.Body())
		headers = append(headers, authz.Header{Name: "Content-Type", Value: ContentType})
	}
	if p.Challenge != "" {
		headers = append(headers, authz.Header{Name: "WWW-Authenticate", Value: p.Challenge})
	}
	if p.RetryAfter != "" {
		headers = append(headers, authz.Header{Name: "Retry-After", Value: p.RetryAfter})
	}
	return headers, body
}

// IsGRPC reports whether the client that sent these Content-Type lines, in this order, expects the outcome in
// gRPC's way. It compares as Envoy does, which minds the case and joins repeats with a comma.
func IsGRPC(contentTypes []string) bool {
	return len(contentTypes) == 1 && contentTypes[0] == "application/grpc" ||
		len(contentTypes) > 0 && strings.HasPrefix(contentTypes[0], "application/grpc+")
}

// grpcStatus returns the grpc-status of an HTTP status where the common translation of one to the other, which
// is Envoy's too, would tell the client something else; "" where it does well.
func grpcStatus(status int) string {
	switch status {
	case 400:
		return "3" // INVALID_ARGUMENT, not INTERNAL
	case 429:
		return "8" // RESOURCE_EXHAUSTED, not UNAVAILABLE
	}
	return ""
}

// maxLine bounds a grpc-message, in bytes: many clients take no more than 8 KiB of metadata, and it is sent
// with up to three bytes for one.
const maxLine = 1 << 10

// oneLine returns a text without line breaks or other controls, cut where it is too long. A text may hold
// what a token said.
func oneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
	if len(text) > maxLine {
		text = strings.ToValidUTF8(text[:maxLine], "") + "…"
	}
	return text
}
