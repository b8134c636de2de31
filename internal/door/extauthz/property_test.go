package extauthz

import (
	"slices"
	"strings"
	"testing"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/policy"
)

// holds states what is true of every answer, whatever was asked.
func holds(t testing.TB, in *authv3.CheckRequest, out *authv3.CheckResponse) {
	t.Helper()
	mustMarshal(t, out)
	http := in.GetAttributes().GetRequest().GetHttp()
	if out.GetStatus() == nil {
		t.Fatal("an answer without a status allows")
	}
	if out.GetStatus().GetCode() != 0 {
		refusal := out.GetDeniedResponse()
		if status := refusal.GetStatus().GetCode(); status < 400 || status > 599 {
			t.Fatalf("a denial with the HTTP status %d", status)
		}
		for _, h := range refusal.GetHeaders() {
			if strings.ContainsFunc(h.GetHeader().GetValue(), isControl) {
				t.Fatalf("a denial splits the response: %q", h.GetHeader().GetValue())
			}
		}
		return
	}
	if http.GetMethod() == "" || http.GetHost() == "" || !strings.HasPrefix(http.GetPath(), "/") {
		t.Fatalf("allowed without a method, host or path: %v", in)
	}
	ok := out.GetOkResponse()
	if ok == nil {
		t.Fatal("an allow without its headers")
	}
	for _, h := range ok.GetHeaders() {
		if strings.ContainsFunc(h.GetHeader().GetValue(), isControl) || h.GetHeader().GetValue() == "" {
			t.Fatalf("%s = %q", h.GetHeader().GetKey(), h.GetHeader().GetValue())
		}
		if slices.ContainsFunc(ok.GetHeadersToRemove(), func(n string) bool { return strings.EqualFold(n, h.GetHeader().GetKey()) }) {
			t.Fatalf("%s is both set and removed", h.GetHeader().GetKey())
		}
	}
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// With any of its fields stripped, a request is never allowed unless the policy allows what is left of it.
func TestStrippedRequestsAreNeverAllowed(t *testing.T) {
	open, _ := newServer(t, newEngine(t, policy.Options{Default: authz.AccessPublic}))
	closed, _ := newServer(t, newEngine(t, policy.Options{Default: authz.AccessAuthenticated}))
	rapid.Check(t, func(rt *rapid.T) {
		e := rapid.SampledFrom(encodings).Draw(rt, "encoding")
		path := rapid.SampledFrom([]string{"/a", "/a/b?c", "/docs/../a", "//", ""}).Draw(rt, "path")
		in := checkRequest(e, "GET", path, rapid.SampledFrom([]string{reader, "Authorization: Bearer x", "X_User_ID: root", "X-User-ID: root"}).Draw(rt, "header"))
		strip(rt, in.ProtoReflect())
		holds(t, in, check(t, open, in))

		out := check(t, closed, in)
		holds(t, in, out)
		if out.GetStatus().GetCode() == 0 && !strings.Contains(in.String(), "a.reader.token") {
			t.Fatalf("allowed without the reader's token: %v", in)
		}
	})
}

// strip clears random fields of a message, at any depth.
func strip(t *rapid.T, m protoreflect.Message) {
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		if rapid.IntRange(0, 5).Draw(t, string(field.Name())) == 0 {
			m.Clear(field)
		} else if field.Message() != nil && !field.IsMap() && !field.IsList() {
			strip(t, value.Message())
		}
		return true
	})
}

// Whatever bytes are a CheckRequest, the answer can be sent, denies or is the policy's allow.
func FuzzCheck(f *testing.F) {
	open, _ := newServer(f, newEngine(f, policy.Options{Default: authz.AccessPublic}))
	closed, _ := newServer(f, newEngine(f, policy.Options{}))
	for _, e := range encodings {
		for _, in := range []*authv3.CheckRequest{
			checkRequest(e, "GET", "/a?b", reader, "X-User-ID: root", "Content-Type: application/grpc"),
			checkRequest(e, "GET", "/a/../b", "X-Request-ID: a\nb"),
		} {
			data, err := proto.Marshal(in)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		in := &authv3.CheckRequest{}
		if proto.Unmarshal(data, in) != nil {
			return
		}
		holds(t, in, check(t, open, in))
		out := check(t, closed, in)
		holds(t, in, out)
		if out.GetStatus().GetCode() == 0 && !strings.Contains(string(data), "a.reader.token") {
			t.Fatalf("allowed without the reader's token: %v", in)
		}
	})
}
