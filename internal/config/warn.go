package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/passgate/passgate/internal/policy"
)

// warnings returns what is valid and unwise, in the order of lines.
func (l *loader) warnings(c *Config) []*Warning {
	var ws []*Warning
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
	for i := range c.Routes {
		for j := range c.Routes[:i] {
			if covers(&c.Routes[j], &c.Routes[i]) {
				warn(fmt.Sprintf("routes[%d]", i), "never matches: routes[%d] takes every request before it; put it first, or take it out", j)
				break
			}
		}
	}
	slices.SortStableFunc(ws, func(a, b *Warning) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return ws
}

// covers reports whether a matches every request that b does. It may miss a case, and is never wrong.
func covers(a, b *policy.Route) bool {
	return coversAll(a.Hosts, b.Hosts) && coversMethods(a.Methods, b.Methods) && coversPath(a.Path, b.Path)
}

// coversAll reports whether a takes all of b, an empty list taking anything.
func coversAll(a, b []string) bool {
	if len(a) == 0 {
		return true
	}
	return len(b) > 0 && !slices.ContainsFunc(b, func(s string) bool { return !slices.Contains(a, s) })
}

// coversMethods is coversAll for methods: a route for GET takes HEAD too.
func coversMethods(a, b []string) bool {
	if slices.Contains(a, "GET") {
		a = append(slices.Clip(a), "HEAD")
	}
	return coversAll(a, b)
}

func coversPath(a, b string) bool {
	as, bs := strings.Split(a, "/"), strings.Split(b, "/")
	aRest, bRest := as[len(as)-1] == "**", bs[len(bs)-1] == "**"
	as, bs = withoutRest(as, aRest), withoutRest(bs, bRest)
	if len(as) > len(bs) || !aRest && (bRest || len(as) != len(bs)) {
		return false
	}
	for i := range as {
		if as[i] != bs[i] && !(isParam(as[i]) && bs[i] != "") {
			return false
		}
	}
	return true
}

func withoutRest(segments []string, rest bool) []string {
	if rest {
		return segments[:len(segments)-1]
	}
	return segments
}

func isParam(segment string) bool { return strings.HasPrefix(segment, "{") }
