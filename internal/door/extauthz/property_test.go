package extauthz

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/protobuf/reflect/protoreflect"
	"pgregory.net/rapid"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/door/doortest"
	"github.com/passgate/passgate/internal/policy"
)

// alias is a name, in lower case, that some server could take for an identity header or for another request line.
var alias = regexp.MustCompile(`^x_(user_.*|passport.*|proxy_state.*|http_method|http_method_override|method_override|original_url|rewrite_url)$`)

// asCGI writes a header name as CGI hands it on: no punctuation tells two names apart.
func asCGI(name string) string {
	b := []byte(name)
	for i, c := range b {
		switch {
		case 'A' <= c && c <= 'Z':
			b[i] += 'a' - 'A'
		case ('a' > c || c > 'z') && ('0' > c || c > '9'):
			b[i] = '_'
		}
	}
	return string(b)
}

// shown returns the header lines of a request in either encoding, and the values of its :path.
func shown(in *authv3.CheckRequest) (lines []authz.Header, paths []string) {
	http := in.GetAttributes().GetRequest().GetHttp()
	add := func(name, value string) {
		switch {
		case name == ":path":
			paths = append(paths, value)
		case !strings.HasPrefix(name, ":"):
			lines = append(lines, authz.Header{Name: name, Value: value})
		}
	}
	for name, value := range http.GetHeaders() {
		add(name, value)
	}
	for _, line := range http.GetHeaderMap().GetHeaders() {
		if len(line.GetRawValue()) > 0 {
			add(line.GetKey(), string(line.GetRawValue()))
		} else {
			add(line.GetKey(), line.GetValue())
		}
	}
	return lines, paths
}

// holds states what is true of every answer, whatever was asked.
func holds(t testing.TB, in *authv3.CheckRequest, out *authv3.CheckResponse) {
	t.Helper()
	mustMarshal(t, out)
	if out.GetStatus() == nil {
		t.Fatal("an answer without a status allows")
	}
	if out.GetStatus().GetCode() != 0 {
		holdsDenied(t, out.GetDeniedResponse())
		return
	}
	if out.GetOkResponse() == nil {
		t.Fatal("an allow without its headers")
	}
	holdsAllowed(t, in, out.GetOkResponse())
}

func holdsDenied(t testing.TB, refusal *authv3.DeniedHttpResponse) {
	t.Helper()
	if status := refusal.GetStatus().GetCode(); status < 400 || status > 599 {
		t.Fatalf("a denial with the HTTP status %d", status)
	}
	isGRPC := true
	for _, h := range refusal.GetHeaders() {
		if h.GetHeader().GetKey() == "Content-Type" {
			isGRPC = false
		}
		if strings.ContainsFunc(h.GetHeader().GetKey()+h.GetHeader().GetValue(), isControl) || strings.ContainsAny(h.GetHeader().GetKey(), ": ") {
			t.Fatalf("a denial splits the response: %v", h.GetHeader())
		}
	}
	if isGRPC && strings.ContainsFunc(refusal.GetBody(), isControl) {
		t.Fatalf("a grpc-message of several lines: %q", refusal.GetBody())
	}
}

func holdsAllowed(t testing.TB, in *authv3.CheckRequest, ok *authv3.OkHttpResponse) {
	t.Helper()
	http := in.GetAttributes().GetRequest().GetHttp()
	if http.GetMethod() == "" || http.GetHost() == "" || !strings.HasPrefix(http.GetPath(), "/") {
		t.Fatalf("allowed without a method, host or path: %v", in)
	}
	lines, paths := shown(in)
	for _, path := range paths {
		if path != http.GetPath() {
			t.Fatalf("%q is allowed, and the upstream gets %q", http.GetPath(), path)
		}
	}
	settled := map[string]bool{} // names in lower case that are overwritten or removed
	for _, h := range ok.GetHeaders() {
		name, value := strings.ToLower(h.GetHeader().GetKey()), h.GetHeader().GetValue()
		if strings.ContainsFunc(value, isControl) || value == "" || settled[name] {
			t.Fatalf("%s = %q, or it is set twice", name, value)
		}
		settled[name] = true
	}
	for _, name := range ok.GetHeadersToRemove() {
		if slices.ContainsFunc(ok.GetHeaders(), func(h *corev3.HeaderValueOption) bool { return strings.EqualFold(h.GetHeader().GetKey(), name) }) {
			t.Fatalf("%s is both set and removed", name)
		}
		settled[strings.ToLower(name)] = true
	}
	for _, name := range []string{"x-user-id", "x-user-role", "x-user-permissions", "x-passport", "x-proxy-state", "x-passport-signature"} {
		if !settled[name] {
			t.Fatalf("%s is neither set nor removed", name)
		}
	}
	for _, line := range lines {
		if alias.MatchString(asCGI(line.Name)) && !settled[strings.ToLower(line.Name)] {
			t.Fatalf("%q reaches the upstream", line.Name)
		}
	}
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// provenByReader holds that an answer which names a principal is one to a single credential, the reader's.
func provenByReader(t testing.TB, in *authv3.CheckRequest, out *authv3.CheckResponse) {
	t.Helper()
	if out.GetStatus().GetCode() != 0 {
		return
	}
	lines, _ := shown(in)
	var credentials []string
	for _, line := range lines {
		if strings.EqualFold(line.Name, "authorization") {
			credentials = append(credentials, line.Value)
		}
	}
	if len(credentials) != 1 || !readersToken.MatchString(credentials[0]) {
		t.Fatalf("%q is allowed: %v", credentials, in)
	}
}

var readersToken = regexp.MustCompile(`^[ \t]*[Bb][Ee][Aa][Rr][Ee][Rr] a\.reader\.token[ \t]*$`)

// With any of its fields stripped, a request is never allowed unless the policy allows what is left of it.
func TestStrippedRequestsAreNeverAllowed(t *testing.T) {
	open, _ := newServer(t, doortest.Engine(t, policy.Options{Default: authz.AccessPublic}))
	closed, _ := newServer(t, doortest.Engine(t, policy.Options{Default: authz.AccessAuthenticated}))
	rapid.Check(t, func(rt *rapid.T) {
		e := rapid.SampledFrom(encodings).Draw(rt, "encoding")
		path := rapid.SampledFrom([]string{"/a", "/a/b?c", "/docs/../a", "//", ""}).Draw(rt, "path")
		in := checkRequest(e, "GET", path, rapid.SampledFrom([]string{reader, "Authorization: Bearer x", "X_User_ID: root", "X-User-ID: root"}).Draw(rt, "header"))
		strip(rt, in.ProtoReflect())
		holds(t, in, check(t, open, in))

		out := check(t, closed, in)
		holds(t, in, out)
		provenByReader(t, in, out)
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
