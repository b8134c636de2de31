package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/passgate/passgate/internal/authz"
)

// How many routes a trace names: those that nearly matched, and others that did not.
const (
	maxNear   = 20
	maxOthers = 5
)

// explain writes to a trace which route matched, i, or that none did, and of those before it which nearly did
// and why not.
func (p *Policy) explain(trace *authz.Trace, i int, method, host string, path []string) {
	near := 0
	var others []string
	for _, r := range p.routes[:i] {
		if slip := r.slip(method, host, path); slip != "" && near < maxNear {
			trace.Add("route", "nearly", r.Name+": "+slip)
			near++
		} else {
			others = append(others, r.Name)
		}
	}
	if n := len(others); n > maxOthers {
		others = append(others[:maxOthers], fmt.Sprintf("and %d more", n-maxOthers))
	}
	if len(others) > 0 {
		trace.Add("route", "no match", strings.Join(others, ", "))
	}
	if i < len(p.routes) {
		trace.Add("route", "matched", p.routes[i].Name)
		if when := p.routes[i].When; when != "" {
			trace.Add("route", "when", when)
		}
		return
	}
	trace.Add("route", "default", "no route matches: default_access is "+p.fallback.String())
}

// slip returns the one thing that keeps a route from matching, if it is of the kind that is a slip in the
// request or in the route; "" for more, or for another path altogether.
func (r *route) slip(method, host string, path []string) string {
	slip, slips := "", 0
	if !r.path.match(path) {
		slips++
		if slip = r.path.slip(path); slip == "" {
			return ""
		}
	}
	if methods := r.methods(); len(methods) > 0 && !slices.Contains(methods, method) {
		slips++
		slip = fmt.Sprintf("the method is %s, not %s", method, strings.Join(r.Methods, " or "))
	}
	if len(r.Hosts) > 0 && !slices.Contains(r.Hosts, host) {
		slips++
		slip = fmt.Sprintf("the host is %s, not %s", host, strings.Join(r.Hosts, " or "))
	}
	if slips != 1 {
		return ""
	}
	return slip
}

// slip returns the one difference of a path that does not match: a slash at the end, one segment, or their
// number. "" if there are more, or nothing else that is alike.
func (t template) slip(path []string) string {
	if slash := path[len(path)-1] == ""; !t.rest && slash != t.endsInSlash() {
		bare := template{segments: t.segments}
		if slash {
			path = path[:len(path)-1]
		} else {
			bare.segments = t.segments[:len(t.segments)-1]
		}
		switch {
		case !bare.match(path) || len(path) == 0:
			return ""
		case slash:
			return "the path ends in /, the route's does not"
		}
		return "the path does not end in /, the route's does"
	}
	alike, differs := 0, -1
	for i, s := range t.segments[:min(len(t.segments), len(path))] {
		switch {
		case s.name != "" && path[i] != "":
		case s.name == "" && s.literal == path[i]:
			alike++
		case differs >= 0:
			return ""
		default:
			differs = i
		}
	}
	wrongLength := len(path) < len(t.segments) || len(path) > len(t.segments) && !t.rest
	switch {
	case differs < 0 && alike > 0:
		return fmt.Sprintf("the path has %d segments, the route's %d", len(path), len(t.segments))
	case differs < 0 || wrongLength:
		return ""
	case t.segments[differs].name != "":
		return fmt.Sprintf("segment %d is empty, not {%s}", differs+1, t.segments[differs].name)
	case alike > 0 || strings.EqualFold(t.segments[differs].literal, path[differs]):
		return fmt.Sprintf("segment %d is %.64q, not %.64q", differs+1, path[differs], t.segments[differs].literal)
	}
	return ""
}

// endsInSlash reports whether only paths that end in / match.
func (t template) endsInSlash() bool {
	return !t.rest && t.segments[len(t.segments)-1] == segment{}
}
