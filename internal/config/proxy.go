package config

import (
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/yamlstrict"
)

// maxProxyTimeout bounds the wait for an upstream.
const maxProxyTimeout = time.Hour

// judgeProxy returns the built-in proxy, nil where no upstream is named.
func (l *loader) judgeProxy() *Proxy {
	upstreams := map[string]*url.URL{}
	for _, name := range slices.Sorted(maps.Keys(l.file.Proxy.Upstreams)) {
		field, address := yamlstrict.Join("proxy.upstreams", name), l.file.Proxy.Upstreams[name]
		if address == "" && !l.doc.Has(field) { // left empty
			delete(l.file.Proxy.Upstreams, name)
			continue
		}
		if name == authz.OwnService {
			l.doc.Fault(field, "is the name of what passgate serves itself; choose another")
			continue
		}
		u, ok := upstreamURL(address)
		if !ok {
			l.doc.Fault(field, "want a URL such as http://127.0.0.1:8081, https://… or h2c://… (HTTP/2 without TLS), with a path at most")
			continue
		}
		upstreams[name] = u
	}
	if t := l.file.Proxy.Timeout; t <= 0 || t > maxProxyTimeout {
		l.doc.Fault("proxy.timeout", "want a duration above 0s, up to 1h")
	}
	if len(upstreams) == 0 {
		l.file.Proxy = proxy{} // not shown, as it is of no effect
		return nil
	}
	return &Proxy{Upstreams: upstreams, Timeout: l.file.Proxy.Timeout}
}

// upstreamURL reads the address of an upstream.
func upstreamURL(address string) (*url.URL, bool) {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || u.Opaque != "" || u.User != nil || strings.ContainsAny(address, "?# \t") {
		return nil, false
	}
	return u, slices.Contains([]string{"http", "https", "h2c"}, u.Scheme)
}

// judgeTrustedProxies reads addresses and networks.
func (l *loader) judgeTrustedProxies() []netip.Prefix {
	var all []netip.Prefix
	for i, text := range l.file.TrustedProxy {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			var address netip.Addr
			if address, err = netip.ParseAddr(text); err == nil {
				prefix, err = address.Prefix(address.BitLen())
			}
		}
		if err != nil || prefix.Addr().Zone() != "" {
			l.doc.Fault(fmt.Sprintf("trusted_proxies[%d]", i), "want an address such as 10.0.0.7, or a network such as 10.0.0.0/8")
			continue
		}
		all = append(all, prefix.Masked())
	}
	return all
}
