package policy

import (
	"net"
	"net/url"
	"strings"
	"testing"
)

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
		// The first and last of each range of characters count like those between.
		{"az.AZ.09", "az.az.09"}, {"a-b_c~d", "a-b_c~d"}, {"a:09", "a"}, {"[2001:DB8::1]:09", "[2001:db8::1]"},
	}
	for _, tt := range tests {
		if got, why := CanonicalHost(tt.raw); got != tt.want || why != "" {
			t.Errorf("CanonicalHost(%q) = %q, %q; want %q", tt.raw, got, why, tt.want)
		}
	}
	for _, raw := range []string{
		"", ".", "..", ":80", "a,b", "a@b", "user@example.com", "a/b", `a\b`, "a b", " a", "a\t", "a\x00", "a..", "a.:80.",
		"a:b", "a:80:80", "::1", "[::1", "[::1]x", "[::1]:x", "[]", "[a]", "[127.0.0.1]", "a]b[c", "a[::1]", "::1]", "[fe80::1%25eth0]", "a%2e", "a?b", "a#b", "é.com", "a!b", "a\xff",
		"a..b", ".a", "a..:80", "]", "]:80", "[", "a[", "[a", "[:80", "[::1]]", "[[::1]", "a`", "a{", "a@", "a/", "a;", "a^", "a:/", "a:a",
	} {
		if got, why := CanonicalHost(raw); why == "" {
			t.Errorf("CanonicalHost(%q) = %q, want a refusal", raw, got)
		}
	}
}

// An accepted host is the one that Go's ways of reading it find, and stays itself: in any case, with a port, with a
// trailing dot, and when it is read again.
func FuzzCanonicalHost(f *testing.F) {
	for _, raw := range []string{"Example.COM.:8080", "[::1]:80", "[::ffff:1.2.3.4]", "my_service", "127.0.0.1:", "a..", "::1", "a:b", "[::1]x", "a,b", "user@h", "[fe80::1%25e]", "~", "-", "a.:1"} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		host, why := CanonicalHost(raw)
		if why != "" {
			return
		}
		if strings.ToLower(host) != host || strings.HasSuffix(host, ".") || host == "" || strings.ContainsAny(host, "@/\\,?#% \t\r\n\x00") {
			t.Errorf("%q is %q, which is not canonical", raw, host)
		}
		same := []string{host, strings.ToUpper(raw)}
		name := host
		if bracketed := strings.HasPrefix(host, "["); bracketed {
			name = strings.Trim(host, "[]")
			same = append(same, host+":443")
		} else {
			same = append(same, host+".", host+":443", host+".:")
			if strings.Contains(host, ":") {
				t.Errorf("%q is %q, with a port", raw, host)
			}
		}
		for _, other := range same {
			if got, why := CanonicalHost(other); got != host {
				t.Errorf("%q is %q, but %q is %q %s", raw, host, other, got, why)
			}
		}
		fold := func(s string) string { return strings.TrimSuffix(strings.ToLower(s), ".") }
		if u, err := url.Parse("http://" + raw + "/a"); err == nil && (fold(u.Hostname()) != name || u.User != nil || u.Path != "/a") {
			t.Errorf("%q is %q; in a URL it is %q of %v", raw, host, u.Hostname(), u)
		}
		if got, _, err := net.SplitHostPort(raw); err == nil && fold(got) != name {
			t.Errorf("%q is %q; SplitHostPort finds %q", raw, host, got)
		}
	})
}
