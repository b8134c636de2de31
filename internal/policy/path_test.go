package policy

import (
	"fmt"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/passgate/passgate/internal/authz"
)

func TestParsePath(t *testing.T) {
	tests := []struct {
		raw  string
		want []string
	}{
		{"/", []string{""}},
		{"/a", []string{"a"}},
		{"/a/", []string{"a", ""}},
		{"/a/b", []string{"a", "b"}},
		{"/a%20b", []string{"a b"}},
		{"/caf%C3%A9", []string{"café"}},
		{"/café", []string{"café"}},
		{"/%41%2D%7e", []string{"A-~"}},
		{"/100%25", []string{"100%"}},
		{"/100%25/x", []string{"100%", "x"}},
		{"/100%25a", []string{"100%a"}},
		{"/a%3Fb%23c", []string{"a?b#c"}},
		{"/...", []string{"..."}},
		{"/.well-known/jwks.json", []string{".well-known", "jwks.json"}},
		{"/a..b/.c", []string{"a..b", ".c"}},
		{`/|{}"<>^` + "`", []string{`|{}"<>^` + "`"}},
		{"/a:b@c&d=e+f,g", []string{"a:b@c&d=e+f,g"}},
	}
	for _, tt := range tests {
		t.Run(tt.raw, func(t *testing.T) {
			got, why := pathRules{}.parse(tt.raw)
			if why != "" || !slices.Equal(got, tt.want) {
				t.Errorf("parse = %q, %q; want %q", got, why, tt.want)
			}
		})
	}
}

// ambiguousPaths are forms that a later hop could read as another path (contract §4).
var ambiguousPaths = []string{
	"", "*", "a", "a/b", "http://h/a", "?", "%2f",
	"/.", "/..", "/a/.", "/a/..", "/./a", "/../a", "/a/../b", "/a/./b",
	"//", "//a", "/a//", "/a//b", "/a///b",
	`/a\b`, `\a`, `/a\..\b`,
	"/a;b", "/;", "/a/..;/b", "/a/..;x/b", "/a/;/b", "/a;x=y/b",
	"/a#b", "/#", "/a?b",
	"/a%2fb", "/a%2Fb", "/a%5cb", "/a%5Cb", "/a%2e%2e/b", "/%2e", "/a.%2e/b", "/a%3bb", "/a%3Bb", "/a%00", "/a%00b",
	"/a%252fb", "/a%252e", "/%25%32%66", "/%2525", "/a%2541", "/%25%34%31",
	"/a%", "/a%2", "/a%zz", "/a%2g", "/a%u002f", "/%", "/%%32%66",
	"/a\x00", "/a\x01", "/a\tb", "/a\r\nb", "/a\x7f", "/a%0a", "/a%0D", "/a%09", "/a%1f", "/a%7f",
	"/a b", "/ ", " /a",
	"/a\xe9b", "/a%E9b", "/a%c0%af", "/a%ff", "/%c3", "/\xc0\xae",
}

func TestParsePathRefuses(t *testing.T) {
	for _, raw := range ambiguousPaths {
		t.Run(raw, func(t *testing.T) {
			if got, why := (pathRules{}).parse(raw); why == "" {
				t.Errorf("parse accepted it as %q", got)
			}
		})
	}
}

func TestParsePathSaysWhy(t *testing.T) {
	for raw, want := range map[string]string{"/a b": "it has a raw blank", "/a\x1fb": "it has a control byte", "/a\x7f": "it has a control byte"} {
		if _, why := (pathRules{}).parse(raw); why != want {
			t.Errorf("parse(%q) says %q, want %q", raw, why, want)
		}
	}
}

func TestParsePathAllowances(t *testing.T) {
	tests := []struct {
		name  string
		rules pathRules
		raw   string
		want  []string // nil: refused
	}{
		{"semicolon", pathRules{semicolon: true}, "/a;b", []string{"a;b"}},
		{"semicolon does not allow a dot segment with parameters", pathRules{semicolon: true}, "/a/..;/b", nil},
		{"semicolon does not allow a dot with parameters", pathRules{semicolon: true}, "/a/.;x=y/b", nil},
		{"semicolon does not allow an encoded one", pathRules{semicolon: true}, "/a%3bb", nil},
		{"semicolon does not allow //", pathRules{semicolon: true}, "/a//b", nil},
		{"double slash", pathRules{doubleSlash: true}, "/a//b", []string{"a", "", "b"}},
		{"double slash does not allow a dot segment", pathRules{doubleSlash: true}, "/a//../b", nil},
		{"double slash does not allow ;", pathRules{doubleSlash: true}, "/a;b", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, why := tt.rules.parse(tt.raw)
			if (why != "") != (tt.want == nil) || !slices.Equal(got, tt.want) {
				t.Errorf("parse = %q, %q; want %q", got, why, tt.want)
			}
		})
	}
}

// reader is a way in which a server finds the segments of a path. ok is false where it refuses the path.
type reader struct {
	name           string
	cutsParameters bool // it takes what follows a ; for parameters of the segment
	read           func(raw string) (segments []string, ok bool)
}

// readers are the servers that may stand behind Envoy, after what their documentation says of a path, and one
// that is careless in every way that the contract names. What it does not name is left out: to cut blanks and
// dots at the end of a segment as Windows does, to fold the case, to decode %uXXXX.
var readers = []reader{
	{"Go's URL", false, readAsGo},
	{"Go's ServeMux", false, readAsServeMux},
	{"nginx", false, readAsNginx},
	{"Tomcat", true, tomcat{}.read},
	{"Tomcat, allowBackslash", true, tomcat{backslash: true}.read},
	{"Tomcat, encodedSolidusHandling decode", true, tomcat{backslash: true, solidus: "decode"}.read},
	{"Tomcat, encodedSolidusHandling passthrough", true, tomcat{backslash: true, solidus: "passthrough"}.read},
	{"a careless one", true, readCarelessly},
}

// readAsGo is a handler that cleans what net/http has decoded.
func readAsGo(raw string) ([]string, bool) {
	u, err := url.ParseRequestURI(raw)
	if err != nil {
		return nil, false
	}
	return resolve(u.Path)
}

// readAsServeMux is net/http.ServeMux: it splits the escaped path and decodes each segment. It redirects to the
// clean path.
func readAsServeMux(raw string) ([]string, bool) {
	u, err := url.ParseRequestURI(raw)
	if err != nil {
		return nil, false
	}
	clean := path.Clean(u.EscapedPath())
	if strings.HasSuffix(u.EscapedPath(), "/") && clean != "/" {
		clean += "/"
	}
	segments := strings.Split(clean[1:], "/")
	for i, s := range segments {
		if segments[i], err = url.PathUnescape(s); err != nil {
			return nil, false
		}
	}
	return segments, true
}

// readAsNginx is the URI to which nginx compares its locations: decoded once, with dot segments resolved and
// slashes merged. The query begins at a raw ?, the fragment at a raw #.
func readAsNginx(raw string) ([]string, bool) {
	decoded, ok := unescapeStrictly(cutQuery(raw))
	if !ok || strings.Contains(decoded, "\x00") || !strings.HasPrefix(decoded, "/") {
		return nil, false
	}
	return resolve(decoded)
}

// tomcat is its CoyoteAdapter: parameters are cut from the undecoded path, then it is decoded, then normalised.
type tomcat struct {
	backslash bool   // allowBackslash: it is a slash; else it is refused
	solidus   string // encodedSolidusHandling: "" is reject, else decode or passthrough
}

func (c tomcat) read(raw string) ([]string, bool) {
	text := cutParameters(cutQuery(raw))
	if strings.Contains(strings.ToLower(text), "%2f") && c.solidus == "" {
		return nil, false
	}
	if c.solidus == "passthrough" { // %2f stays, and so that it can be told from %252f, %25 does too
		text = strings.NewReplacer("%2f", "%252f", "%2F", "%252F", "%25", "%2525").Replace(text)
	}
	decoded, ok := unescapeStrictly(text)
	if !ok || strings.Contains(decoded, "\x00") || strings.Contains(decoded, `\`) && !c.backslash || !strings.HasPrefix(decoded, "/") {
		return nil, false
	}
	segments, ok := resolve(strings.ReplaceAll(decoded, `\`, "/"))
	if c.solidus == "passthrough" { // the application decodes what was left
		for i := range segments {
			segments[i], _ = unescapeStrictly(segments[i])
		}
	}
	return segments, ok
}

// readCarelessly decodes for as long as there is something to decode, takes \ for / and cuts parameters, encoded
// ones too. Dot segments never lead above the root.
func readCarelessly(raw string) ([]string, bool) {
	text := cutQuery(raw)
	for range len(raw) {
		decoded := unescapeLeniently(text)
		if decoded == text {
			break
		}
		text = decoded
	}
	text, _, _ = strings.Cut(text, "\x00") // as C does
	return resolveTolerantly(strings.ReplaceAll(cutParameters(text), `\`, "/")), true
}

// cutQuery returns what stands before a raw ? or #.
func cutQuery(raw string) string {
	if end := strings.IndexAny(raw, "?#"); end >= 0 {
		return raw[:end]
	}
	return raw
}

// cutParameters takes from each segment what follows a ;.
func cutParameters(text string) string {
	segments := strings.Split(text, "/")
	for i := range segments {
		segments[i], _, _ = strings.Cut(segments[i], ";")
	}
	return strings.Join(segments, "/")
}

// unescapeStrictly decodes once; it is false for a % without two hex digits.
func unescapeStrictly(s string) (string, bool) {
	decoded, err := url.PathUnescape(s)
	return decoded, err == nil
}

// unescapeLeniently decodes once and leaves a % without two hex digits as it is.
func unescapeLeniently(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(c))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// resolve merges slashes and follows dot segments (RFC 3986 §5.2.4). It is false where they lead above the root.
func resolve(decoded string) ([]string, bool) {
	depth := 0
	for s := range strings.SplitSeq(decoded, "/") {
		switch s {
		case "", ".":
		case "..":
			if depth--; depth < 0 {
				return nil, false
			}
		default:
			depth++
		}
	}
	return resolveTolerantly(decoded), true
}

func resolveTolerantly(decoded string) []string {
	var segments []string
	last := ""
	for last = range strings.SplitSeq(decoded, "/") {
		switch last {
		case "", ".":
		case "..":
			segments = segments[:max(len(segments)-1, 0)]
		default:
			segments = append(segments, last)
		}
	}
	if last == "" || last == "." || last == ".." {
		segments = append(segments, "")
	}
	return segments
}

// place returns the segments at which a reader must arrive. What an operator has allowed is the only way in which
// it may differ from the policy's own: empty segments vanish, and so do parameters.
func (rules pathRules) place(r reader, segments []string) []string {
	if !rules.semicolon && !rules.doubleSlash {
		return segments
	}
	text := "/" + strings.Join(segments, "/")
	if r.cutsParameters {
		text = cutParameters(text)
	}
	return resolveTolerantly(text)
}

// The readers are of use only if each falls for what it is known to fall for.
func TestReadersReadAsTheirServers(t *testing.T) {
	tests := []struct{ reader, raw, want string }{
		{"Go's URL", "/a/%2e%2e/b?c", "/b"},
		{"Go's URL", "/a%2fb", "/a/b"},
		{"Go's URL", "/a%5cb;c", `/a\b;c`},
		{"Go's URL", "/%zz", ""},
		{"Go's ServeMux", "/a//b/./c/", "/a/b/c/"},
		{"Go's ServeMux", "/a/%2e%2e/b", "/a/../b"},
		{"nginx", "/a/%2e%2E/b#c", "/b"},
		{"nginx", "//a%2F/b/.", "/a/b/"},
		{"nginx", "/a%252fb", "/a%2fb"},
		{"nginx", "/../a", ""},
		{"nginx", "/a%00", ""},
		{"nginx", "/a;b", "/a;b"},
		{"Tomcat", "/a/..;x/b;y=z", "/b"},
		{"Tomcat", "/a/%2e%2e;x/b", "/b"},
		{"Tomcat", "/a%3bb", "/a;b"},
		{"Tomcat", "/a%2fb", ""},
		{"Tomcat", "/a%5cb", ""},
		{"Tomcat", "/a%00b", ""},
		{"Tomcat, allowBackslash", `/a/..%5cb`, "/b"},
		{"Tomcat, encodedSolidusHandling decode", "/a%2f..%2Fb", "/b"},
		{"Tomcat, encodedSolidusHandling passthrough", "/100%25/x", "/100%/x"},
		{"a careless one", "/a/%252e%25%32%65;x/b", "/b"},
		{"a careless one", `/a\..%5c..\b`, "/b"},
		{"a careless one", "/a%3b/b%00c", "/a/b"},
	}
	for _, tt := range tests {
		i := slices.IndexFunc(readers, func(r reader) bool { return r.name == tt.reader })
		got := ""
		if segments, ok := readers[i].read(tt.raw); ok {
			got = "/" + strings.Join(segments, "/")
		}
		if got != tt.want {
			t.Errorf("%s reads %q as %q, want %q", tt.reader, tt.raw, got, tt.want)
		}
	}
}

// fuzzRules are the four ways to allow forms of a path.
func fuzzRules(n uint8) pathRules { return pathRules{semicolon: n&1 != 0, doubleSlash: n&2 != 0} }

// No accepted path is one that a server resolves to another place, and what is accepted can be written in
// canonical form: that is accepted as well and is the same to every route.
func FuzzParsePath(f *testing.F) {
	for _, raw := range ambiguousPaths {
		f.Add(raw, uint8(0))
		f.Add(raw, uint8(3))
	}
	for _, raw := range []string{"/api/users/1", "/caf%C3%A9/a%20b/", "/a;x/b", "/;x/b", "/a//b/", "//", "/%25%4/2", "/a%3Fb%23c", "/..a/b..", "/%25u002e", "/files/a/b", "/api/;"} {
		for n := range uint8(4) {
			f.Add(raw, n)
		}
	}
	policies := make([]*Policy, 4)
	for n := range policies {
		rules := fuzzRules(uint8(n))
		policies[n] = mustNew(f, Options{AllowSemicolon: rules.semicolon, AllowDoubleSlash: rules.doubleSlash, Routes: []Route{
			{Name: "root", Path: "/"}, {Name: "user", Path: "/api/users/{id}"}, {Name: "files", Path: "/files/**"}, {Name: "one", Path: "/{x}"}, {Name: "two", Path: "/{x}/{y}"},
		}})
	}
	f.Fuzz(func(t *testing.T, raw string, n uint8) {
		rules := fuzzRules(n % 4)
		segments, why := rules.parse(raw)
		if why != "" {
			return
		}
		for _, r := range readers {
			got, ok := r.read(raw)
			if want := rules.place(r, segments); ok && !slices.Equal(got, want) {
				t.Errorf("%q is %q to the policy; %s arrives at %q, want %q", raw, segments, r.name, got, want)
			}
		}
		match := func(path string) string {
			rule, reason, why := policies[n%4].Match(&authz.Request{Method: "GET", Host: "h", Path: path})
			if reason != authz.ReasonGranted {
				t.Errorf("%q of %q is refused: %s", path, raw, why)
			}
			return rule.Route
		}
		decoded := "/" + strings.Join(segments, "/")
		route := match(raw)
		for _, canonical := range []string{escapePath(decoded), (&url.URL{Path: decoded}).EscapedPath()} {
			if again, why := rules.parse(canonical); why != "" || !slices.Equal(again, segments) {
				t.Errorf("%q is %q, but written as %q it is %q %s", raw, segments, canonical, again, why)
			}
			if again := match(canonical); again != route {
				t.Errorf("%q matches %q, but written as %q it matches %q", raw, route, canonical, again)
			}
		}
	})
}

// escapePath encodes all that RFC 3986 §2.3 does not call unreserved, but for slashes and semicolons.
func escapePath(decoded string) string {
	var b strings.Builder
	for i := range len(decoded) {
		if c := decoded[i]; isHex(c) || 'g' <= c|0x20 && c|0x20 <= 'z' || strings.IndexByte("-._~/;", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02x", c)
		}
	}
	return b.String()
}
