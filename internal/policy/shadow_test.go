package policy

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestShadowed(t *testing.T) {
	get, post := []string{"GET"}, []string{"POST"}
	for _, test := range []struct {
		name   string
		routes []Route
		want   []Shadow
	}{
		{"the same path", []Route{{Path: "/a"}, {Path: "/a"}}, []Shadow{{1, []int{0}}}},
		{"the same with another name for the segment", []Route{{Path: "/{a}"}, {Path: "/{b}"}}, []Shadow{{1, []int{0}}}},
		{"a literal after its parameter", []Route{{Path: "/{a}"}, {Path: "/b"}}, []Shadow{{1, []int{0}}}},
		{"a literal before its parameter", []Route{{Path: "/b"}, {Path: "/{a}"}}, nil},
		{"after everything", []Route{{Path: "/**"}, {Path: "/"}, {Path: "/a/{b}/**"}, {Path: "/**"}}, []Shadow{{1, []int{0}}, {2, []int{0}}, {3, []int{0}}}},
		{"what ** takes besides", []Route{{Path: "/a/**"}, {Path: "/a"}, {Path: "/a/"}, {Path: "/a/b"}, {Path: "/ab"}}, []Shadow{{1, []int{0}}, {2, []int{0}}, {3, []int{0}}}},
		{"more than a part of ** is left", []Route{{Path: "/a/{x}/**"}, {Path: "/a/**"}}, nil},
		{"a slash at the end is no segment's value", []Route{{Path: "/a/{x}"}, {Path: "/a/"}}, nil},
		{"** in parts", []Route{{Path: "/a"}, {Path: "/a/"}, {Path: "/a/{x}/**"}, {Path: "/a/**"}}, []Shadow{{3, []int{0, 1, 2}}}},
		{"** in parts, but for a slash", []Route{{Path: "/a"}, {Path: "/a/{x}/**"}, {Path: "/a/**"}}, nil},
		{"** in parts, but for no segment", []Route{{Path: "/a/"}, {Path: "/a/{x}/**"}, {Path: "/a/**"}}, nil},
		{"** of the root in parts", []Route{{Path: "/"}, {Path: "/{a}/**"}, {Path: "/**"}}, []Shadow{{2, []int{0, 1}}}},
		{"** is not all lengths", []Route{{Path: "/"}, {Path: "/{a}"}, {Path: "/{a}/"}, {Path: "/{a}/{b}"}, {Path: "/**"}}, nil},
		{"fewer methods before", []Route{{Path: "/a", Methods: get}, {Path: "/a"}}, nil},
		{"any method before", []Route{{Path: "/a"}, {Path: "/a", Methods: get}}, []Shadow{{1, []int{0}}}},
		{"other methods", []Route{{Path: "/a", Methods: get}, {Path: "/a", Methods: post}}, nil},
		{"methods of two routes", []Route{{Path: "/a", Methods: get}, {Path: "/{a}", Methods: post}, {Path: "/a", Methods: []string{"POST", "GET"}}}, []Shadow{{2, []int{0, 1}}}},
		{"HEAD after GET", []Route{{Path: "/a", Methods: get}, {Path: "/a", Methods: []string{"HEAD"}}}, []Shadow{{1, []int{0}}}},
		{"GET after HEAD", []Route{{Path: "/a", Methods: []string{"HEAD"}}, {Path: "/a", Methods: get}}, nil},
		{"fewer hosts before", []Route{{Path: "/a", Hosts: []string{"x"}}, {Path: "/a"}}, nil},
		{"any host before", []Route{{Path: "/a"}, {Path: "/a", Hosts: []string{"x"}}}, []Shadow{{1, []int{0}}}},
		{"hosts of two routes", []Route{{Path: "/a", Hosts: []string{"x"}}, {Path: "/**", Hosts: []string{"y"}}, {Path: "/a", Hosts: []string{"y", "x"}}}, []Shadow{{2, []int{0, 1}}}},
		{"other hosts", []Route{{Path: "/a", Hosts: []string{"x"}}, {Path: "/a", Hosts: []string{"y"}}}, nil},
		{"methods and hosts crossed", []Route{{Path: "/a", Methods: get, Hosts: []string{"x"}}, {Path: "/a", Methods: post, Hosts: []string{"y"}}, {Path: "/a", Methods: []string{"GET", "POST"}, Hosts: []string{"x", "y"}}}, nil},
		{"no routes", nil, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := mustNew(t, Options{Routes: test.routes}).Shadowed()
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestShadowedWithDoubledSlashes(t *testing.T) {
	shadowed := func(paths ...string) bool {
		o := Options{AllowDoubleSlash: true}
		for _, path := range paths {
			o.Routes = append(o.Routes, Route{Path: path})
		}
		return len(mustNew(t, o).Shadowed()) > 0
	}
	if shadowed("/a", "/a/", "/a/{x}/**", "/a/**") {
		t.Error("/a//b is left for the last route")
	}
	if !shadowed("/a/**", "/a/b/**") || !shadowed("/{x}/**", "/a/**") || shadowed("/{x}/**", "//**") || shadowed("/a/b/**", "/a/**") {
		t.Error("a ** that covers another is not told from one that does not")
	}
}

func TestCovers(t *testing.T) {
	tests := []struct {
		path, other string
		want        bool
	}{
		{"/**", "/a/{x}/**", true},
		{"/a/**", "/a/**", true},
		{"/a/**", "/a/b/**", true},
		{"/a/b/**", "/a/**", false},
		{"/a/b", "/a/**", false},
		{"/a", "/a/**", false},
		{"/a/**", "/b/**", false},
		{"/a/**", "/{x}/**", false},
		{"/{x}/**", "/a/**", true},
		{"/{x}/**", "/{y}/**", true},
		{"/{x}/**", "//**", false},
		{"//**", "//**", true},
		{"//**", "/a/**", false},
		{"//**", "/{x}/**", false},
	}
	for _, tt := range tests {
		var templates [2]template
		for i, text := range []string{tt.path, tt.other} {
			var err error
			if templates[i], err = parseTemplate(text, pathRules{doubleSlash: true}); err != nil {
				t.Fatal(err)
			}
		}
		if got := templates[0].covers(templates[1]); got != tt.want {
			t.Errorf("%s covers %s: %v", tt.path, tt.other, got)
		}
	}
}

// Of every request in a small world, which has a value that no route names for each that one does, the
// shadowed routes get none and the others one at least.
func TestShadowedIsExact(t *testing.T) {
	segments := []string{"a", "b", "other"}
	paths := [][]string{{""}}
	level := [][]string{nil}
	for range 4 {
		var next [][]string
		for _, path := range level {
			for _, s := range segments {
				next = append(next, append(slices.Clone(path), s))
			}
		}
		for _, path := range next {
			paths = append(paths, path, append(slices.Clone(path), ""))
		}
		level = next
	}
	rapid.Check(t, func(t *rapid.T) {
		var o Options
		for range rapid.IntRange(2, 7).Draw(t, "routes") {
			path := ""
			for i := range rapid.IntRange(0, 3).Draw(t, "segments") {
				path += "/" + rapid.SampledFrom([]string{"a", "b", "{p" + string(rune('0'+i)) + "}"}).Draw(t, "segment")
			}
			path += rapid.SampledFrom([]string{"", "/", "/**"}).Draw(t, "end")
			if path == "" {
				path = "/"
			}
			o.Routes = append(o.Routes, Route{
				Path:    path,
				Methods: rapid.SampledFrom([][]string{nil, nil, {"GET"}, {"HEAD"}, {"POST"}, {"GET", "POST"}}).Draw(t, "methods"),
				Hosts:   rapid.SampledFrom([][]string{nil, nil, {"x"}, {"y"}, {"x", "y"}}).Draw(t, "hosts"),
			})
		}
		p, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		reached := make([]bool, len(o.Routes)+1)
		for _, path := range paths {
			for _, method := range []string{"GET", "HEAD", "POST", "OTHER"} {
				for _, host := range []string{"x", "y", "other"} {
					reached[p.first(method, host, path)] = true
				}
			}
		}
		shadowed := map[int]bool{}
		for _, s := range p.Shadowed() {
			shadowed[s.Route] = true
		}
		for i, r := range o.Routes {
			if shadowed[i] == reached[i] {
				t.Fatalf("routes[%d] %+v: shadowed %v, reached %v, in %+v", i, r, shadowed[i], reached[i], o.Routes)
			}
		}
	})
}

func BenchmarkShadowed(b *testing.B) {
	routes, _ := manyRoutes(10_000)
	p := mustNew(b, Options{Routes: routes})
	for b.Loop() {
		p.Shadowed()
	}
}

// wideRoute returns a route that is tried with so many requests.
func wideRoute(methods, hosts int) Route {
	r := Route{Path: "/b"}
	for i := range methods {
		r.Methods = append(r.Methods, fmt.Sprintf("M%d", i))
	}
	for i := range hosts {
		r.Hosts = append(r.Hosts, fmt.Sprintf("h%d", i))
	}
	return r
}

// A file of some kilobytes can ask for as many requests as it likes; the search ends, and says nothing.
func TestShadowedGivesUp(t *testing.T) {
	p := mustNew(t, Options{Routes: []Route{{Path: "/**"}, wideRoute(100, 100), wideRoute(101, 100), {Path: "/c"}}})
	want := []Shadow{{1, []int{0}}, {3, []int{0}}}
	if diff := cmp.Diff(want, p.Shadowed()); diff != "" {
		t.Error(diff)
	}
	if by, tried := p.shadow(2, 1, maxTried); by != nil || tried != maxTried {
		t.Errorf("%v after %d requests, want none after %d", by, tried, maxTried)
	}
}

func TestShadowedGivesUpInAll(t *testing.T) {
	routes := []Route{{Path: "/**"}}
	for range maxTriedInAll/maxTried + 2 {
		routes = append(routes, wideRoute(100, 100))
	}
	// The first route is tried with three requests.
	if got := len(mustNew(t, Options{Routes: routes}).Shadowed()); got != maxTriedInAll/maxTried-1 {
		t.Errorf("%d routes are named, want %d", got, maxTriedInAll/maxTried-1)
	}
}
