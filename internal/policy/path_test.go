package policy

import (
	"net/url"
	"path"
	"slices"
	"strings"
	"testing"
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

// An accepted path has one reading: what Go's own parser makes of it, cleaned or decoded again, is the
// same path.
func FuzzParsePath(f *testing.F) {
	for _, raw := range ambiguousPaths {
		f.Add(raw)
	}
	f.Add("/api/users/1")
	f.Add("/caf%C3%A9/a%20b/")
	f.Fuzz(func(t *testing.T, raw string) {
		segments, why := pathRules{}.parse(raw)
		if why != "" {
			return
		}
		decoded := "/" + strings.Join(segments, "/")
		unescaped, err := url.PathUnescape(raw)
		if err != nil || unescaped != decoded {
			t.Fatalf("%q: parsed as %q, Go reads %q (%v)", raw, decoded, unescaped, err)
		}
		if again, err := url.PathUnescape(decoded); err == nil && again != decoded {
			t.Fatalf("%q: a second decoding of %q gives %q", raw, decoded, again)
		}
		if clean := path.Clean(decoded); clean != decoded && clean+"/" != decoded {
			t.Fatalf("%q: %q is cleaned to %q", raw, decoded, clean)
		}
		for i, segment := range segments {
			if segment == "." || segment == ".." || segment == "" && i < len(segments)-1 || strings.ContainsAny(segment, "/\\;\x00\r\n") {
				t.Fatalf("%q: segment %q", raw, segment)
			}
		}
	})
}

func TestCanonicalHost(t *testing.T) {
	tests := []struct{ raw, want string }{
		{"example.com", "example.com"},
		{"Example.COM", "example.com"},
		{"example.com:8080", "example.com"},
		{"Example.COM.:8080", "example.com"},
		{"example.com:", "example.com"},
		{"[::1]", "[::1]"},
		{"[::1]:8080", "[::1]"},
		{"127.0.0.1:80", "127.0.0.1"},
		{"my_service", "my_service"},
	}
	for _, tt := range tests {
		if got, why := canonicalHost(tt.raw); got != tt.want || why != "" {
			t.Errorf("canonicalHost(%q) = %q, %q; want %q", tt.raw, got, why, tt.want)
		}
	}
	for _, raw := range []string{
		"", ".", "..", ":80", "a,b", "a@b", "user@example.com", "a/b", `a\b`, "a b", " a", "a\t", "a\x00", "a..", "a.:80.",
		"a:b", "a:80:80", "::1", "[::1", "[::1]x", "[::1]:x", "[]", "[a]", "[127.0.0.1]", "a]b[c", "a[::1]", "::1]", "[fe80::1%25eth0]", "a%2e", "a?b", "a#b", "é.com", "a!b", "a\xff",
	} {
		if got, why := canonicalHost(raw); why == "" {
			t.Errorf("canonicalHost(%q) = %q, want a refusal", raw, got)
		}
	}
}
