package proxy

import (
	"crypto/tls"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
)

func TestSetForwarded(t *testing.T) {
	trusting := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	said := http.Header{
		"X-Forwarded-For":   {"1.1.1.1, 2.2.2.2", "3.3.3.3"},
		"X-Forwarded-Host":  {"shop.example.com"},
		"X-Forwarded-Proto": {"https"},
		"X-Forwarded-Port":  {"443"},
		"Forwarded":         {"for=1.1.1.1"},
		"X-Real-Ip":         {"1.1.1.1"},
		"X_forwarded_for":   {"6.6.6.6"},
		"X.forwarded-Host":  {"evil"},
		"X_real_ip":         {"6.6.6.6"},
		"X-Forwarding":      {"an ordinary header"},
	}
	ours := func(peer string) http.Header {
		return http.Header{"X-Forwarded-For": {peer}, "X-Forwarded-Host": {"api.example.com"}, "X-Forwarded-Proto": {"http"}}
	}
	with := func(h http.Header, more ...string) http.Header {
		h = h.Clone()
		for i := 0; i < len(more); i += 2 {
			h[more[i]] = []string{more[i+1]}
		}
		return h
	}
	for _, c := range []struct {
		name, peer string
		tls        bool
		in, want   http.Header
	}{
		{name: "a client that says nothing", peer: "192.0.2.7:99", want: ours("192.0.2.7")},
		{name: "over TLS", peer: "192.0.2.7:99", tls: true, want: with(ours("192.0.2.7"), "X-Forwarded-Proto", "https")},
		{name: "over IPv6", peer: "[2001:db8::1]:99", want: ours("2001:db8::1")},
		{name: "an IPv4 peer at an IPv6 socket", peer: "[::ffff:192.0.2.7]:99", want: ours("192.0.2.7")},
		{name: "over a unix socket", peer: "@", in: said, want: http.Header{"X-Forwarded-Host": {"api.example.com"}, "X-Forwarded-Proto": {"http"}, "X-Forwarding": {"an ordinary header"}}},
		{name: "what a client says", peer: "192.0.2.7:99", in: said, want: with(ours("192.0.2.7"), "X-Forwarding", "an ordinary header")},
		{name: "a trusted proxy that says nothing", peer: "10.1.2.3:99", want: ours("10.1.2.3")},
		{name: "what a trusted proxy says", peer: "10.1.2.3:99", in: said, want: http.Header{
			"X-Forwarded-For": {"1.1.1.1, 2.2.2.2, 3.3.3.3, 10.1.2.3"}, "X-Forwarded-Host": {"shop.example.com"}, "X-Forwarded-Proto": {"https"},
			"X-Forwarded-Port": {"443"}, "Forwarded": {`for=1.1.1.1, for=10.1.2.3;host="api.example.com";proto=http`}, "X-Real-Ip": {"1.1.1.1"}, "X-Forwarding": {"an ordinary header"},
		}},
		{name: "a trusted proxy over IPv6", peer: "[fd00::1%eth0]:99", in: http.Header{"Forwarded": {"for=1.1.1.1", "for=2.2.2.2"}},
			want: with(ours("fd00::1"), "Forwarded", `for=1.1.1.1, for=2.2.2.2, for="[fd00::1]";host="api.example.com";proto=http`)},
		{name: "a trusted IPv4 proxy at an IPv6 socket", peer: "[::ffff:10.1.2.3]:99", in: http.Header{"X-Forwarded-For": {"1.1.1.1"}}, want: ours("1.1.1.1, 10.1.2.3")},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := httptest.NewRequest("GET", "http://api.example.com/", nil)
			in.RemoteAddr = c.peer
			in.Header = c.in
			if c.tls {
				in.TLS = &tls.ConnectionState{}
			}
			out := c.in.Clone()
			if out == nil {
				out = http.Header{}
			}
			(&Handler{trusted: trusting}).setForwarded(out, in)
			if !maps.EqualFunc(out, c.want, func(a, b []string) bool { return len(a) == 1 && len(b) == 1 && a[0] == b[0] }) {
				t.Errorf("the upstream gets %v\nwant %v", out, c.want)
			}
		})
	}
}

func TestForwardedByClient(t *testing.T) {
	upstream := listen(t, always(okAnswer))
	untrusting := open(t, Options{}, map[string]string{"default": "http://" + upstream.address})
	trusting := open(t, Options{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, map[string]string{"default": "http://" + upstream.address})
	said := []string{"X-Forwarded-For: 6.6.6.6", "X-Forwarded-Host: shop", "X-Forwarded-Proto: https", "X-Forwarded-Port: 443", "Forwarded: for=6.6.6.6", "X_Forwarded_For: 6.6.6.6"}
	for _, c := range []struct {
		name string
		door *door
		want map[string]string
	}{
		{"untrusted", untrusting, map[string]string{"x-forwarded-for": "127.0.0.1", "x-forwarded-host": "api.example.com", "x-forwarded-proto": "http", "x-forwarded-port": "", "forwarded": "", "x_forwarded_for": ""}},
		{"trusted", trusting, map[string]string{"x-forwarded-for": "6.6.6.6, 127.0.0.1", "x-forwarded-host": "shop", "x-forwarded-proto": "https", "x-forwarded-port": "443",
			"forwarded": `for=6.6.6.6, for=127.0.0.1;host="api.example.com";proto=http`, "x_forwarded_for": ""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			before, _ := upstream.got()
			c.door.ask(t, "GET /v1/proxy/docs/a", said...)
			requests, _ := upstream.got()
			for name, want := range c.want {
				got := append(header(requests[len(before)], name), "")[0]
				if got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
		})
	}
}
