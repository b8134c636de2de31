package proxy

import (
	"bufio"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/policy"
)

func TestOwns(t *testing.T) {
	for target, want := range map[string]bool{
		"/v1/proxy":                   true,
		"/v1/proxy?a=b":               true,
		"/v1/proxy/":                  true,
		"/v1/proxy/a":                 true,
		"/v1/proxy/../admin":          true, // it refuses it
		"/v1/proxy//a":                true,
		"/v1/proxy/a?b://c":           true,
		"http://h/v1/proxy/a":         true, // it refuses it
		"http://h/v1/proxy":           true,
		"/v1/proxyx":                  false,
		"/v1/proxy#a":                 false,
		"/v1/Proxy/a":                 false,
		"/V1/proxy/a":                 false,
		"//v1/proxy/a":                false,
		"/v1//proxy/a":                false,
		"/v1/./proxy/a":               false,
		"/v1%2fproxy/a":               false,
		"/%76%31/proxy/a":             false,
		"/v1/auth/login":              false,
		"/v1/auth/?/v1/proxy/":        false,
		"http://h/v1/auth/login":      false,
		"http://h?/v1/proxy/":         false,
		"http://h":                    false,
		"*":                           false,
		"h:443":                       false,
		"":                            false,
		"v1/proxy/a":                  false,
		"/a://b/v1/proxy/c":           false,
		"http:/v1/proxy/a":            false,
		"http://h/v1/x?://h/v1/proxy": false,
	} {
		if got := Owns(target); got != want {
			t.Errorf("Owns(%q) = %v", target, got)
		}
	}
}

func TestParseTarget(t *testing.T) {
	for _, c := range []struct {
		name, method, raw string
		want              target
		refused           bool
	}{
		{name: "a path", raw: "/v1/proxy/api/users/1", want: target{path: "/api/users/1"}},
		{name: "a query", raw: "/v1/proxy/a?x=y", want: target{path: "/a", query: "x=y", asked: true}},
		{name: "an empty query", raw: "/v1/proxy/a?", want: target{path: "/a", asked: true}},
		{name: "a second question mark", raw: "/v1/proxy/a?b?c", want: target{path: "/a", query: "b?c", asked: true}},
		{name: "nothing behind the prefix", raw: "/v1/proxy", want: target{path: "/"}},
		{name: "nothing but a query", raw: "/v1/proxy?a=b", want: target{path: "/", query: "a=b", asked: true}},
		{name: "a slash behind the prefix", raw: "/v1/proxy/", want: target{path: "/"}},
		{name: "escapes and capitals stay", raw: "/v1/proxy/%41%7e/B?%41=%zz;a&&b", want: target{path: "/%41%7e/B", query: "%41=%zz;a&&b", asked: true}},
		{name: "the path is the policy's to judge", raw: "/v1/proxy/../%2e//;a", want: target{path: "/../%2e//;a"}},
		{name: "bytes that are not ASCII in the query", raw: "/v1/proxy/a?\xc2\xa0=\x85", want: target{path: "/a", query: "%C2%A0=%85", asked: true}},
		{name: "a blank in the query", raw: "/v1/proxy/a?b HTTP/1.1", want: target{path: "/a", asked: true}, refused: true},
		{name: "a line break in the query", raw: "/v1/proxy/a?b\r\nc", want: target{path: "/a", asked: true}, refused: true},
		{name: "DEL in the query", raw: "/v1/proxy/a?\x7f", want: target{path: "/a", asked: true}, refused: true},
		{name: "a fragment", raw: "/v1/proxy/a?b#c", want: target{path: "/a", query: "b%23c", asked: true}},
		{name: "absolute form", raw: "http://h/v1/proxy/a", refused: true},
		{name: "CONNECT to a host", method: http.MethodConnect, raw: "h:443", refused: true},
		{name: "CONNECT to a path", method: http.MethodConnect, raw: "/v1/proxy/a", refused: true},
		{name: "an asterisk", method: http.MethodOptions, raw: "*", refused: true},
		{name: "another path", raw: "/v1/proxyx", refused: true},
		{name: "no slash behind the prefix", raw: "/v1/proxya/b", refused: true},
		{name: "an encoded prefix", raw: "/v1%2fproxy/a", refused: true},
		{name: "nothing", raw: "", refused: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, why := parseTarget(c.method, c.raw)
			if got != c.want || (why != "") != c.refused {
				t.Errorf("parseTarget(%q) = %+v, %q", c.raw, got, why)
			}
		})
	}
}

func TestURL(t *testing.T) {
	for _, c := range []struct{ base, path, query, want string }{
		{"http://h", "/", "", "/"},
		{"http://h", "/a/", "", "/a/"},
		{"http://h/", "/a", "x=y", "/a?x=y"},
		{"http://h/base", "/a", "", "/base/a"},
		{"http://h/base/", "/a", "", "/base/a"},
		{"http://h/b%20s%2fe", "/a", "", "/b%20s%2fe/a"},
		{"http://h", "/%41%7E%c3%a4", "", "/%41%7E%c3%a4"},
		{"http://h", "/!$&'()*+,;=:@[]-._~", "", "/!$&'()*+,;=:@[]-._~"},
		{"http://h", "/%41\"<>^`{|}", "", "/%41%22%3C%3E%5E%60%7B%7C%7D"},
		{"http://h", "/ä%41", "", "/%C3%A4%41"},
		{"http://h", "//other/a", "", "//other/a"},
		{"http://h", "/a", "b;c=%zz&d=\"|", "/a?b;c=%zz&d=\"|"},
		{"http://h", "/http://other/", "", "/http://other/"},
	} {
		base, err := url.Parse(c.base)
		if err != nil {
			t.Fatal(err)
		}
		got := (&target{path: c.path, query: c.query, asked: c.query != ""}).url(base)
		if got.RequestURI() != c.want || got.Host != "h" || got.Scheme != "http" {
			t.Errorf("%s below %s is %s", c.path, c.base, got)
		}
	}
}

// FuzzTarget states that the upstream reads the path that was judged: what is sent decodes to the same, is
// the same byte for byte where a URI can hold it, and stays on one line.
func FuzzTarget(f *testing.F) {
	for _, raw := range []string{"/v1/proxy/a%41?b", "/v1/proxy/ä\"<>^`{|}", "/v1/proxy//a", "/v1/proxy/a;b", "/v1/proxy/a?b\xff#", "/v1/proxy?", "/v1/proxy/%e4", "/v1/proxy/[::1]"} {
		f.Add(raw)
	}
	judge, err := policy.New(policy.Options{AllowSemicolon: true, AllowDoubleSlash: true, Default: authz.AccessPublic})
	if err != nil {
		f.Fatal(err)
	}
	base := &url.URL{Scheme: "http", Host: "h"}
	f.Fuzz(func(t *testing.T, raw string) {
		judged, why := parseTarget("GET", raw)
		if why != "" {
			return
		}
		if _, reason, _ := judge.Match(&authz.Request{Method: "GET", Host: "h", Path: judged.path}); reason != authz.ReasonGranted {
			return
		}
		sent := judged.url(base).RequestURI()
		path, query, asked := strings.Cut(sent, "?")
		want, err := url.PathUnescape(judged.path)
		got, gotErr := url.PathUnescape(path)
		if err != nil || gotErr != nil || got != want {
			t.Fatalf("%q is sent as %q, which is %q", raw, path, got)
		}
		if strings.IndexFunc(judged.path, func(r rune) bool { return r >= 0x80 || strings.ContainsRune("\"<>^`{|}", r) }) < 0 && path != judged.path {
			t.Errorf("%q is sent as %q", raw, path)
		}
		if query != judged.query || asked != judged.asked {
			t.Errorf("the query of %q is sent as %q", raw, query)
		}
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET " + sent + " HTTP/1.1\r\nHost: h\r\n\r\n")))
		if err != nil || r.RequestURI != sent || r.URL.Path != want {
			t.Errorf("%q is sent as %q, which is read as %+v, %v", raw, sent, r, err)
		}
	})
}
