package proxy

import (
	"cmp"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// setForwarded writes what passgate says of the client: its address, and the host and scheme that it asked
// for. What a trusted proxy says of its own client stays, and is added to; of anyone else it goes.
func (h *Handler) setForwarded(out http.Header, in *http.Request) {
	peer, known := peerOf(in)
	trusted := known && h.trusts(peer)
	for name := range out {
		folded := fold(name)
		statement := folded == "forwarded" || folded == "x-real-ip" || strings.HasPrefix(folded, "x-forwarded")
		// A name in another spelling is one that passgate would not replace, but that a server may read.
		if statement && (!trusted || folded != strings.ToLower(name)) {
			delete(out, name)
		}
	}
	proto := "http"
	if in.TLS != nil {
		proto = "https"
	}
	said := http.Header{}
	if trusted {
		said = in.Header
	}
	out.Del("X-Forwarded-For")
	if known {
		out.Set("X-Forwarded-For", strings.Join(append(slices.Clip(said["X-Forwarded-For"]), peer.String()), ", "))
	}
	out.Set("X-Forwarded-Host", cmp.Or(said.Get("X-Forwarded-Host"), in.Host))
	out.Set("X-Forwarded-Proto", cmp.Or(said.Get("X-Forwarded-Proto"), proto))
	out.Del("Forwarded")
	if elements := said["Forwarded"]; len(elements) > 0 {
		out.Set("Forwarded", strings.Join(elements, ", ")+", "+forwardedElement(peer, in.Host, proto))
	}
}

// forwardedElement is what one proxy adds to Forwarded (RFC 7239 §4). The host was judged: it has no quote.
func forwardedElement(peer netip.Addr, host, proto string) string {
	node := peer.String()
	if peer.Is6() {
		node = `"[` + node + `]"`
	}
	return "for=" + node + `;host="` + host + `";proto=` + proto
}

// peerOf returns the address at the other end of the connection. One over a unix socket has none.
func peerOf(r *http.Request) (netip.Addr, bool) {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}, false
	}
	return peer.Addr().Unmap().WithZone(""), true
}

func (h *Handler) trusts(peer netip.Addr) bool {
	for _, network := range h.trusted {
		if network.Contains(peer) {
			return true
		}
	}
	return false
}

// fold returns a header name as the most careless server reads it: in lower case, with no difference between
// the characters that are neither letter nor digit.
func fold(name string) string {
	b := []byte(strings.ToLower(name))
	for i, c := range b {
		if !('a' <= c && c <= 'z' || '0' <= c && c <= '9') {
			b[i] = '-'
		}
	}
	return string(b)
}
