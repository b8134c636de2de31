package config

import (
	"iter"
	"slices"
	"strings"

	"github.com/passgate/passgate/internal/policy"
)

// shadowed yields the routes that never match, each with an earlier one that takes all its requests. It may
// miss one, and is never wrong. Its work grows with the routes and not with their pairs.
func shadowed(routes []policy.Route) iter.Seq2[int, int] {
	return func(yield func(route, earlier int) bool) {
		paths := &pathNode{}
		for i := range routes {
			segments, rest := splitPath(routes[i].Path)
			earlier := paths.find(segments, rest, func(j int) bool {
				return coversAll(routes[j].Hosts, routes[i].Hosts) && coversMethods(routes[j].Methods, routes[i].Methods)
			})
			if earlier >= 0 && !yield(i, earlier) {
				return
			}
			paths.add(segments, rest, i)
		}
	}
}

// pathNode is a place in the tree of paths, by their segments; {name} stands for any parameter.
type pathNode struct {
	children    map[string]*pathNode
	ends, rests []int // routes whose path ends here, and those with ** here
}

// maxCandidates bounds how many routes of one path are looked at.
const maxCandidates = 100

func (n *pathNode) add(segments []string, rest bool, route int) {
	for _, s := range segments {
		if n.children[s] == nil {
			if n.children == nil {
				n.children = map[string]*pathNode{}
			}
			n.children[s] = &pathNode{}
		}
		n = n.children[s]
	}
	if rest {
		n.rests = append(n.rests, route)
	} else {
		n.ends = append(n.ends, route)
	}
}

// find returns a route whose path takes all that these segments do and that covers accepts, or -1.
func (n *pathNode) find(segments []string, rest bool, covers func(route int) bool) int {
	if n == nil {
		return -1
	}
	candidates := n.rests
	if len(segments) == 0 && !rest {
		candidates = append(slices.Clip(candidates), n.ends...)
	}
	for _, route := range candidates[:min(len(candidates), maxCandidates)] {
		if covers(route) {
			return route
		}
	}
	if len(segments) == 0 {
		return -1
	}
	if route := n.children[segments[0]].find(segments[1:], rest, covers); route >= 0 || segments[0] == "" || segments[0] == anyParam {
		return route
	}
	return n.children[anyParam].find(segments[1:], rest, covers)
}

const anyParam = "{name}"

// splitPath returns the segments of a path template, and whether it ends in **.
func splitPath(template string) (segments []string, rest bool) {
	segments = strings.Split(strings.TrimPrefix(template, "/"), "/")
	for i, s := range segments {
		if strings.HasPrefix(s, "{") {
			segments[i] = anyParam
		}
	}
	if last := len(segments) - 1; segments[last] == "**" {
		return segments[:last], true
	}
	return segments, false
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
