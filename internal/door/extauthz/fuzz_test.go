package extauthz

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/proto"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/door/doortest"
	"github.com/passgate/passgate/internal/policy"
)

// panicFree is a server of these routes that fails the test where the engine would make a denial of a panic.
func panicFree(f *testing.F, o policy.Options) *Server {
	engine := doortest.Engine(f, o)
	return New(doortest.DecideFunc(func(ctx context.Context, r *authz.Request) authz.Decision {
		d := engine.Decide(ctx, r)
		if strings.HasPrefix(d.Cause, "panic:") {
			panic(d.Cause)
		}
		return d
	}), doortest.PanicAtErrors())
}

// Whatever bytes are a CheckRequest, the answer can be sent, denies or is the policy's allow.
func FuzzCheck(f *testing.F) {
	open := panicFree(f, policy.Options{Default: authz.AccessPublic})
	closed := panicFree(f, policy.Options{})
	for _, e := range append(encodings, hiddenPath) {
		for _, in := range []*authv3.CheckRequest{
			checkRequest(e, "GET", "/a?b", reader, "X-User-ID: root", "Content-Type: application/grpc"),
			checkRequest(e, "GET", "/a/../b", "X-Request-ID: a\nb"),
			checkRequest(e, "GET", "/a!", "X_User_ID: root", "x.http.method: PUT", "x-passport: y"),
		} {
			in.Attributes.ContextExtensions = map[string]string{authz.RequiredPermission: "read"}
			data, err := proto.Marshal(in)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		in := &authv3.CheckRequest{}
		if len(data) > 4<<10 || proto.Unmarshal(data, in) != nil {
			return
		}
		holds(t, in, check(t, open, in))
		out := check(t, closed, in)
		holds(t, in, out)
		provenByReader(t, in, out)
	})
}

// asEnvoy tells a request in one of the two encodings, as Envoy does: the lines of one name are joined or stand
// apart, and where text is wanted a byte that is not UTF-8 is written as "!".
func asEnvoy(raw bool, protocol, method, host, path string, lines []authz.Header) *authv3.CheckRequest {
	http := &authv3.AttributeContext_HttpRequest{Protocol: protocol, Method: method, Host: asText(host), Path: asText(path)}
	lines = append([]authz.Header{{Name: ":path", Value: path}}, lines...)
	if raw {
		http.HeaderMap = &corev3.HeaderMap{}
		for _, l := range lines {
			http.HeaderMap.Headers = append(http.HeaderMap.Headers, &corev3.HeaderValue{Key: l.Name, RawValue: []byte(l.Value)})
		}
	} else {
		http.Headers = map[string]string{}
		for _, l := range lines {
			value := asText(l.Value)
			if earlier, repeat := http.Headers[l.Name]; repeat {
				value = earlier + "," + value
			}
			http.Headers[l.Name] = value
		}
	}
	return &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{Http: http}}}
}

func asText(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && size == 1 {
			b.WriteByte('!')
		} else {
			b.WriteString(s[i : i+size])
		}
		i += size
	}
	return b.String()
}

// headerLines reads "Name: value" lines, leaving out what no HTTP parser lets through. Names are in lower case, as
// Envoy has them. Of X-Request-ID, which Envoy itself sets, one is left.
func headerLines(text string) []authz.Header {
	var lines []authz.Header
	hasID := false
	for line := range strings.SplitSeq(text, "\n") {
		name, value, _ := strings.Cut(line, ":")
		name = strings.ToLower(name)
		value = strings.Trim(value, " \t\r")
		isID := name == "x-request-id"
		if name == "" || strings.ContainsFunc(name, notInName) || strings.ContainsAny(value, "\x00\r") || isID && hasID {
			continue
		}
		hasID = hasID || isID
		lines = append(lines, authz.Header{Name: name, Value: value})
	}
	return lines
}

// notInName reports whether a character is none of a token (RFC 9110 §5.6.2).
func notInName(r rune) bool {
	return r <= ' ' || r > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
}

// gist is what an answer means, whatever the order and number of the lines that it came from.
func gist(out *authv3.CheckResponse) string {
	var set []string
	for _, h := range append(slices.Clip(out.GetOkResponse().GetHeaders()), out.GetDeniedResponse().GetHeaders()...) {
		set = append(set, h.GetHeader().GetKey()+": "+h.GetHeader().GetValue())
	}
	removed := slices.Clone(out.GetOkResponse().GetHeadersToRemove())
	slices.Sort(removed)
	fields := out.GetDynamicMetadata().GetFields()["passgate"].GetStructValue().GetFields()
	return fmt.Sprintf("%d %s %d set %q removed %q route %s user %s", out.GetStatus().GetCode(), out.GetStatus().GetMessage(), out.GetDeniedResponse().GetStatus().GetCode(),
		set, slices.Compact(removed), fields["route"].GetStringValue(), fields["user_id"].GetStringValue())
}

// Both encodings of one request have one answer. Where Envoy's text hides a byte of the path, there is none but a
// refusal.
func FuzzLines(f *testing.F) {
	s := panicFree(f, routes)
	for _, seed := range []struct{ method, host, path, headers string }{
		{"GET", "localhost", "/api/users/1?q", reader + "\nX-User-ID: root\nX_User_ID: root\nX-Request-ID: a"},
		{"GET", "h", "/api/users/1", reader + "\n" + reader},
		{"DELETE", "h:80", "/api/users/1", "authorization: bearer a.reader.token\ncontent-type: application/grpc"},
		{"HEAD", "H.", "/docs/a!", "x.passport: 1\nx~proxy~state: 2\nX-HTTP_Method-Override: PUT\nx-original-url: /"},
		{"GET", "h", "/docs/..\xc0\xafa", "x-user-id: \xff"},
		{"GET", "h", "/strip", reader + "\ncontent-type: application/grpc+proto\ncontent-type: text/plain"},
		{"GET", "a,b", "/strip", "authorization: Bearer an.expired.token\nx-passport-signature: x"},
		{"GET", "h", "/strip", "authorization: Bearer no.keys.here\nauthorization: \nauthorization: ,"},
		{"PUT", "[::1]", "/docs/%2e", "authorization: Basic YTpi"},
	} {
		f.Add(true, seed.method, seed.host, seed.path, seed.headers)
		f.Add(false, seed.method, seed.host, seed.path, seed.headers)
	}
	f.Fuzz(func(t *testing.T, http2 bool, method, host, path, headers string) {
		if len(path)+len(headers) > 4<<10 || !utf8.ValidString(method) {
			return
		}
		protocol := "HTTP/1.1"
		if http2 {
			protocol = "HTTP/2"
		} else if !utf8.ValidString(path) {
			return // over HTTP/1 Envoy refuses it
		}
		lines := headerLines(headers)
		inText, inBytes := asEnvoy(false, protocol, method, host, path, lines), asEnvoy(true, protocol, method, host, path, lines)
		fromText, fromBytes := check(t, s, inText), check(t, s, inBytes)
		holds(t, inText, fromText)
		holds(t, inBytes, fromBytes)
		if fromText.GetDynamicMetadata().GetFields()["passgate"].GetStructValue().GetFields()["user_id"].GetStringValue() != "" {
			provenByReader(t, inText, fromText)
		}
		route, _, _ := strings.Cut(asText(path), "?")
		if !utf8.ValidString(path) || http2 && strings.Contains(route, "!") {
			if fromText.GetDeniedResponse().GetStatus().GetCode() != 400 && strings.Contains(route, "!") {
				t.Errorf("%q is shown as %q and answered %s", path, asText(path), gist(fromText))
			}
			if !utf8.ValidString(path) && fromBytes.GetDeniedResponse().GetStatus().GetCode() != 400 {
				t.Errorf("%q is answered %s", path, gist(fromBytes))
			}
			return
		}
		if a, b := gist(fromText), gist(fromBytes); a != b {
			t.Errorf("%s %q %q %q is answered\n%s\nand in header_map\n%s", method, host, path, lines, a, b)
		}
	})
}
