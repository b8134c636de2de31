package policy

import (
	"maps"
	"slices"
)

// Shadow is a route that no request ever reaches, as earlier ones take all that it would.
type Shadow struct {
	Route int   // index in Options.Routes
	By    []int // the routes that take its requests, ascending
}

// fresh stands for a segment, a method or a host that no route names: none of them can be a control byte.
const fresh = "\x00"

// Bounds of the search, in requests tried: what a file of some kilobytes could ask for has no end.
const (
	maxTried      = 10_000 // for one route
	maxTriedInAll = 100_000
)

// Shadowed returns the routes that can never match. What else a route asks for does not matter to that, nor
// does its condition: the first match by method, host and path decides.
//
// A route is tried with the requests that the fewest routes take: whatever it leaves open is [fresh]. A route
// that takes such a request takes every other that differs in those places alone, so the answer is exact.
// A route may be left out that several others shadow together where doubled slashes are allowed, and one that
// is beyond the bounds.
func (p *Policy) Shadowed() []Shadow {
	depth := 0
	for _, r := range p.routes {
		depth = max(depth, len(r.path.segments))
	}
	var all []Shadow
	tried := 0
	for i := range p.routes {
		by, n := p.shadow(i, depth, min(maxTried, maxTriedInAll-tried))
		if len(by) > 0 {
			all = append(all, Shadow{i, by})
		}
		tried += n
	}
	return all
}

// shadow returns the routes that take all requests of route i, none if one is left for it or there are more
// than most, and how many were tried.
func (p *Policy) shadow(i, depth, most int) (by []int, tried int) {
	if most == 0 {
		return nil, 0
	}
	r := &p.routes[i]
	seen := map[int]bool{}
	for _, path := range r.path.freshest(depth) {
		for _, method := range orFresh(r.methods()) {
			for _, host := range orFresh(r.Hosts) {
				if tried == most {
					return nil, tried
				}
				tried++
				j := p.first(method, host, path)
				if j == i || p.paths.doubleSlash && r.path.rest && !p.routes[j].path.covers(r.path) {
					return nil, tried
				}
				seen[j] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(seen)), tried
}

func orFresh(values []string) []string {
	if len(values) == 0 {
		return []string{fresh}
	}
	return values
}

// freshest returns paths that match the template and as few others as can be: one, or with ** one of every
// number of segments that templates of this depth tell apart, with and without a slash at the end.
func (t template) freshest(depth int) [][]string {
	var path []string
	for _, s := range t.segments {
		if s.name != "" {
			path = append(path, fresh)
		} else {
			path = append(path, s.literal)
		}
	}
	if !t.rest {
		return [][]string{path}
	}
	var all [][]string
	if len(path) > 0 { // "/**" takes no path of no segments: "/" has one, empty
		all = append(all, path)
	}
	for len(path) <= depth {
		all = append(all, append(slices.Clone(path), ""))
		path = append(slices.Clone(path), fresh)
		all = append(all, path)
	}
	return all
}

// covers reports whether a template takes all that one with ** does.
func (t template) covers(other template) bool {
	if !t.rest || len(t.segments) > len(other.segments) {
		return false
	}
	for i, s := range t.segments {
		o := other.segments[i]
		if s.name == "" && (o.name != "" || o.literal != s.literal) || s.name != "" && o == (segment{}) {
			return false
		}
	}
	return true
}
