package problem

import (
	"slices"
	"strings"
	"testing"

	"github.com/passgate/passgate/internal/authz"
)

func TestAnswer(t *testing.T) {
	const challenge = `Bearer realm="passgate"`
	for _, tt := range []struct {
		name    string
		problem Problem
		grpc    bool
		want    []authz.Header
		body    string // of gRPC
	}{
		{"bad request", Problem{Status: 400, Text: "t"}, false, []authz.Header{{Name: "Cache-Control", Value: "no-store"}, {Name: "Content-Type", Value: ContentType}}, ""},
		{"not authenticated", Problem{Status: 401, Text: "t", Challenge: challenge}, false,
			[]authz.Header{{Name: "Cache-Control", Value: "no-store"}, {Name: "Content-Type", Value: ContentType}, {Name: "WWW-Authenticate", Value: challenge}}, ""},
		{"unavailable", Problem{Status: 503, Text: "t", RetryAfter: "1"}, false,
			[]authz.Header{{Name: "Cache-Control", Value: "no-store"}, {Name: "Content-Type", Value: ContentType}, {Name: "Retry-After", Value: "1"}}, ""},
		{"bad request of gRPC", Problem{Status: 400, Text: "a\nb"}, true, []authz.Header{{Name: "Cache-Control", Value: "no-store"}, {Name: "grpc-status", Value: "3"}}, "a b"},
		{"too many of gRPC", Problem{Status: 429, Text: "t"}, true, []authz.Header{{Name: "Cache-Control", Value: "no-store"}, {Name: "grpc-status", Value: "8"}}, "t"},
		{"not authenticated of gRPC", Problem{Status: 401, Text: "t", Challenge: challenge}, true,
			[]authz.Header{{Name: "Cache-Control", Value: "no-store"}, {Name: "WWW-Authenticate", Value: challenge}}, "t"},
		{"unavailable of gRPC", Problem{Status: 503, Text: "t", RetryAfter: "1"}, true,
			[]authz.Header{{Name: "Cache-Control", Value: "no-store"}, {Name: "Retry-After", Value: "1"}}, "t"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			headers, body := tt.problem.Answer(tt.grpc)
			if !tt.grpc {
				tt.body = string(tt.problem.Body())
			}
			if !slices.Equal(headers, tt.want) || body != tt.body {
				t.Errorf("%q, %s", headers, body)
			}
		})
	}
}

func TestIsGRPC(t *testing.T) {
	for _, lines := range [][]string{{"application/grpc"}, {"application/grpc+proto"}, {"application/grpc+"}, {"application/grpc+proto", "text/plain"}} {
		if !IsGRPC(lines) {
			t.Errorf("%q is not gRPC", lines)
		}
	}
	for _, lines := range [][]string{
		nil, {""}, {"application/json"}, {"application/grpc-web"}, {"application/grpc;charset=utf-8"}, {"Application/gRPC"}, {"application/grpc "},
		{"application/grpc", "application/grpc"}, {"text/plain", "application/grpc+proto"},
	} {
		if IsGRPC(lines) {
			t.Errorf("%q is gRPC", lines)
		}
	}
}

func TestOneLine(t *testing.T) {
	long := strings.Repeat("é", maxLine)
	for text, want := range map[string]string{
		"Forbidden":           "Forbidden",
		"a\r\nx: y\x00\u0085": "a  x: y  ",
		long[:maxLine]:        long[:maxLine],
		"x" + long:            "x" + long[:maxLine-2] + "…",
	} {
		if got := oneLine(text); got != want {
			t.Errorf("oneLine(%.20q) = %q, want %q", text, got, want)
		}
	}
}
