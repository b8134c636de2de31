package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/passgate/passgate/internal/yamlstrict"
)

// warnings returns what is valid and unwise, in the order of lines.
func (l *loader) warnings(c *Config) []*yamlstrict.Fault {
	var ws []*yamlstrict.Fault
	warn := func(field, format string, args ...any) { ws = append(ws, l.doc.At(field, format, args...)) }

	if address := c.Listen.GRPC; !strings.HasPrefix(address, "unix://") && !isLoopback(address) {
		warn("listen.grpc", "other machines can reach it: whoever does can ask for anyone's passport with that one's token; use loopback, a unix socket, or a mesh that enforces mTLS and names the callers")
	}
	if len(c.Issuers) == 0 {
		warn("issuers", "there is none, so every request that needs a credential is refused")
	}
	for i, issuer := range c.Issuers {
		if issuer.Audiences == nil {
			warn(fmt.Sprintf("issuers[%d].audiences", i), "any: a token that the issuer made for another service is taken here; list the audiences of this one")
		}
	}
	if l.file.DefaultAccess == "public" {
		warn("default_access", "public: a path that no route names is open to everyone; use deny and name the public routes")
	}
	for i := range l.file.Paths.Allow {
		warn(fmt.Sprintf("paths.allow[%d]", i), "an upstream may read such a path in another way than the routes do")
	}
	for i := range l.file.Routes {
		for _, field := range []string{"hosts", "methods", "permissions", "credentials"} {
			if at := fmt.Sprintf("routes[%d].%s", i, field); l.doc.LeftEmpty(at) {
				warn(at, "is left empty, so the route has no such restriction; write it, or take the field out")
			}
		}
	}
	slices.SortStableFunc(ws, func(a, b *yamlstrict.Fault) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return ws
}
