package config

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// maxSocketPath is what fits in a socket address on every system (sun_path of 104 bytes, with its end).
const maxSocketPath = 103

func (l *loader) judgeListen() {
	listen := l.file.Listen
	if path, unix := strings.CutPrefix(listen.GRPC, "unix://"); unix {
		if !strings.HasPrefix(path, "/") || len(path) < 2 || len(path) > maxSocketPath {
			l.doc.Fault("listen.grpc", "want unix:///path, a path from the root of %d bytes at most", maxSocketPath)
		}
	} else if !isAddress(listen.GRPC) {
		l.doc.Fault("listen.grpc", "want host:port%s, or unix:///path", example(listen.GRPC, "9191"))
	}
	if !isAddress(listen.HTTP) {
		l.doc.Fault("listen.http", "want host:port%s", example(listen.HTTP, "8080"))
	}
	if !isAddress(listen.Ops) {
		l.doc.Fault("listen.ops", "want host:port%s", example(listen.Ops, "9090"))
	}
	if listen.AuthzHTTP != "" && !isAddress(listen.AuthzHTTP) {
		l.doc.Fault("listen.authz_http", "want host:port%s", example(listen.AuthzHTTP, "9192"))
	}
	if listen.Debug != "" && (!isAddress(listen.Debug) || !isLoopback(listen.Debug)) {
		l.doc.Fault("listen.debug", "want host:port on loopback%s; profiles show what is in memory", example(listen.Debug, "6060"))
	}
	taken := map[string]string{}
	for _, server := range []struct{ field, address string }{
		{"listen.grpc", listen.GRPC}, {"listen.http", listen.HTTP}, {"listen.ops", listen.Ops}, {"listen.authz_http", listen.AuthzHTTP}, {"listen.debug", listen.Debug},
	} {
		if earlier, ok := taken[server.address]; ok && !strings.HasSuffix(server.address, ":0") {
			l.doc.Fault(server.field, "is the address of %s; give each server one of its own", earlier)
		}
		if server.address != "" {
			taken[server.address] = server.field
		}
	}
}

// example returns what to write in place of an address that is none, or that others can reach: a port alone
// is kept.
func example(address, port string) string {
	if wanted := strings.TrimPrefix(address, ":"); isAddress(":" + wanted) {
		return fmt.Sprintf("; write %q", "127.0.0.1:"+wanted)
	}
	return " such as 127.0.0.1:" + port
}

// isAddress reports whether s is host:port with a numeric port. An empty host is every address.
func isAddress(s string) bool {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || strconv.FormatUint(n, 10) != port {
		return false
	}
	if _, err := netip.ParseAddr(host); err == nil || host == "" {
		return true
	}
	return !strings.ContainsFunc(host, func(r rune) bool {
		return !(r == '-' || r == '.' || r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z')
	})
}

// isLoopback reports whether only this machine reaches an address of the form host:port.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback() || strings.EqualFold(host, "localhost")
}
