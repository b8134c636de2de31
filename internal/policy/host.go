package policy

import (
	"net/netip"
	"strings"
)

// CanonicalHost returns a request's host in lower case, without port and without trailing dot. A host
// that hops are known to read in different ways is refused, and why says which form it has.
func CanonicalHost(raw string) (host, why string) {
	if raw == "" {
		return "", "it is empty"
	}
	for i := range len(raw) {
		if !isHostByte(raw[i]) {
			return "", "it has a character that no host has"
		}
	}
	host = raw
	port := ""
	if strings.ContainsAny(host, "[]") { // RFC 3986 §3.2.2: IP-literal
		end := strings.LastIndexByte(host, ']') + 1
		host, port = host[:end], host[end:]
		ip, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
		if err != nil || !ip.Is6() || host[0] != '[' {
			return "", "its brackets hold no IPv6 address"
		}
	} else if colon := strings.IndexByte(host, ':'); colon >= 0 {
		host, port = host[:colon], host[colon:]
	}
	if !isPort(port) {
		return "", "its port is not a number"
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "" || host[0] == '.' || strings.HasSuffix(host, ".") || strings.Contains(host, "..") {
		return "", "it has an empty label"
	}
	return host, ""
}

// isHostByte reports whether c stands in the host or port of a URI: the unreserved characters of RFC 3986
// §3.2.2 and the delimiters of port and IP literal. Sub-delimiters have no use in a real host, and two of
// them a harmful one: a comma joins two Host headers, and Envoy writes "!" for a byte that is not UTF-8.
func isHostByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~:[]", c) >= 0
}

// isPort reports whether s is empty or a colon with digits.
func isPort(s string) bool {
	if s == "" {
		return true
	}
	return s[0] == ':' && strings.Trim(s[1:], "0123456789") == ""
}
