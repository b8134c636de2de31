package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/passgate/passgate/internal/authz"
)

// firstByTrying is what the tables must agree with: each route in its order.
func (p *Policy) firstByTrying(method, host string, path []string) int {
	for i := range p.routes {
		if p.routes[i].takes(method, host, path) {
			return i
		}
	}
	return len(p.routes)
}

func (r *route) takes(method, host string, path []string) bool {
	get := method == "HEAD" && slices.Contains(r.Methods, "GET")
	return r.path.match(path) &&
		(len(r.Methods) == 0 || slices.Contains(r.Methods, method) || get) &&
		(len(r.Hosts) == 0 || slices.Contains(r.Hosts, host))
}

// Few words make many policies in which routes overlap.
var (
	someSegments = []string{"a", "b", "{x}", "{y}"}
	someMethods  = []string{"GET", "HEAD", "POST"}
	someHosts    = []string{"h", "i"}
)

// agree asks the tables and the routes one by one.
func agree(t rapid.TB, p *Policy, method, host string, path []string) {
	t.Helper()
	got, want := p.first(method, host, path), p.firstByTrying(method, host, path)
	if got != want {
		t.Fatalf("%s %s/%s: route %d, but %d is the first that takes it, of %+v", method, host, strings.Join(path, "/"), got, want, p.routes)
	}
	for _, r := range p.routes {
		if r.takes(method, host, path) && r.slip(method, host, path) != "" {
			t.Fatalf("%+v matches, and nearly", r.Route)
		}
	}
}

func TestTablesFindTheFirstMatch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var routes []Route
		for range rapid.IntRange(0, 200).Draw(t, "routes") {
			segments := rapid.SliceOfNDistinct(rapid.SampledFrom(someSegments), 0, 4, rapid.ID).Draw(t, "segments")
			end := rapid.SampledFrom([]string{"", "", "/", "/**"}).Draw(t, "end")
			path := "/" + strings.Join(segments, "/") + end
			if len(segments) == 0 {
				path = "/" + strings.TrimPrefix(end, "/")
			}
			routes = append(routes, Route{
				Path:    path,
				Methods: rapid.SliceOfN(rapid.SampledFrom(someMethods), 0, 2).Draw(t, "methods"),
				Hosts:   rapid.SliceOfN(rapid.SampledFrom(someHosts), 0, 2).Draw(t, "hosts"),
			})
		}
		p, err := New(Options{Routes: routes})
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			agree(t, p,
				rapid.SampledFrom(append(someMethods, "PUT")).Draw(t, "method"),
				rapid.SampledFrom(append(someHosts, "j")).Draw(t, "host"),
				rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", ""}), 1, 7).Draw(t, "path"))
		}
	})
}

// FuzzMatch is the same, with policies and requests read from bytes: a route from each two, then paths.
func FuzzMatch(f *testing.F) {
	f.Add([]byte{}, []byte{0, 1})
	f.Add([]byte{0x1b, 0x00, 0xe4, 0x41, 0xff, 0x92}, []byte{0x00, 0x1b, 0x55})
	f.Add([]byte{0x0a, 0xc0, 0x0a, 0xff, 0x00, 0x3f}, []byte{0xaa, 0x05, 0xff, 0x03})
	f.Fuzz(func(t *testing.T, policy, requests []byte) {
		if len(policy) > 600 || len(requests) > 32 {
			return
		}
		p := &Policy{}
		for ; len(policy) >= 2; policy = policy[2:] {
			p.routes = append(p.routes, routeOf(policy[0], policy[1]))
		}
		p.index()
		for ; len(requests) >= 2; requests = requests[2:] {
			var path []string
			for i := range 1 + requests[1]>>6 {
				path = append(path, []string{"a", "b", "c", ""}[requests[0]>>(2*i)&3])
			}
			agree(t, p, []string{"GET", "HEAD", "POST", "PUT"}[requests[1]&3], []string{"h", "i", "j", ""}[requests[1]>>2&3], path)
		}
	})
}

// routeOf returns the route that two bytes stand for: up to four segments, what follows them, methods, hosts.
func routeOf(path, rest byte) route {
	r := route{path: template{rest: rest&1 != 0}}
	for i := range rest >> 6 {
		s := segment{literal: "a"}
		switch path >> (2 * i) & 3 {
		case 1:
			s.literal = "b"
		case 2:
			s.literal = ""
		case 3:
			s = segment{name: "x"}
		}
		r.path.segments = append(r.path.segments, s)
	}
	if len(r.path.segments) == 0 && !r.path.rest {
		r.path.segments = []segment{{}}
	}
	r.Methods = [][]string{nil, {"GET"}, {"HEAD"}, {"POST", "GET", "HEAD"}}[rest>>1&3]
	r.Hosts = [][]string{nil, {"h"}, {"i"}, {"i", "h"}}[rest>>3&3]
	return r
}

func TestHostsOfTheSameRoutesShareATable(t *testing.T) {
	var hosts []string
	for i := range 1000 {
		hosts = append(hosts, fmt.Sprintf("h%d", i))
	}
	p := mustNew(t, Options{Routes: []Route{{Path: "/a", Hosts: hosts}, {Path: "/b", Hosts: hosts[1:]}}})
	tables := map[*table]bool{}
	for _, t := range p.hosts {
		tables[t] = true
	}
	if len(p.hosts) != 1000 || len(tables) != 2 {
		t.Errorf("%d hosts have %d tables, want 2", len(p.hosts), len(tables))
	}
}

func TestAPathDeeperThanAnyRoute(t *testing.T) {
	p := mustNew(t, Options{Routes: []Route{
		{Name: "exact", Path: "/a/{b}"},
		{Name: "rest", Path: "/a/**"},
	}})
	deep := "/a" + strings.Repeat("/x", 100)
	for path, want := range map[string]string{"/a/x": "exact", "/a/x/": "rest", deep: "rest", deep + "/": "rest", "/b" + deep: ""} {
		rule, _, _ := p.Match(&authz.Request{Method: "GET", Host: "h", Path: path})
		if rule.Route != want {
			t.Errorf("%.20s…: route %q, want %q", path, rule.Route, want)
		}
	}
}

// manyRoutes returns n routes over up to 100 hosts. At every level of their paths a literal stands beside
// {x}, so that a request that fits all of them until its last segment has every way to go. The last route
// of each host, and no other, takes its path.
func manyRoutes(n int) (routes []Route, worst []authz.Request) {
	hosts := min(n, 100)
	for i := range n {
		host, way := i%hosts, i/hosts
		path := "/api"
		for level := range 7 {
			if way>>level&1 == 0 {
				path += fmt.Sprintf("/l%d", level)
			} else {
				path += fmt.Sprintf("/{x%d}", level)
			}
		}
		last := fmt.Sprintf("/end%d", way)
		routes = append(routes, Route{Name: fmt.Sprintf("r%d", i), Hosts: []string{fmt.Sprintf("h%d.example.com", host)}, Methods: []string{"GET"}, Path: path + last, Permissions: []string{"read"}})
		if way == (n-1)/hosts {
			worst = append(worst, authz.Request{Method: "GET", Host: routes[i].Hosts[0], Path: "/api/l0/l1/l2/l3/l4/l5/l6" + last})
		}
	}
	return routes, worst
}

// BenchmarkMatch times a match on the worst path: among 10 routes, among 10,000 over 100 hosts, and among
// 10,000 that all take any host. BenchmarkMatchRatio holds the first two against each other.
func BenchmarkMatch(b *testing.B) {
	anyHost, _ := manyRoutes(10_000)
	for i := range anyHost {
		anyHost[i].Hosts = nil
	}
	few, fewWorst := manyRoutes(10)
	many, manyWorst := manyRoutes(10_000)
	for _, bench := range []struct {
		name   string
		routes []Route
		worst  []authz.Request
	}{{"10 routes", few, fewWorst}, {"10000 routes", many, manyWorst}, {"10000 routes of any host", anyHost, manyWorst[:1]}} {
		p := mustNew(b, Options{Routes: bench.routes})
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for i := range b.N {
				mustMatch(b, p, &bench.worst[i%len(bench.worst)])
			}
		})
	}
}

// BenchmarkMatchRatio reports how much longer a match takes among 10,000 routes than among 10: the median of
// rounds in which both are timed in turns.
func BenchmarkMatchRatio(b *testing.B) {
	const matches = 2000 // of each in a round
	few, fewWorst := manyRoutes(10)
	many, manyWorst := manyRoutes(10_000)
	fewPolicy, manyPolicy := mustNew(b, Options{Routes: few}), mustNew(b, Options{Routes: many})
	timed := func(p *Policy, worst []authz.Request) time.Duration {
		start := time.Now()
		for i := range matches {
			mustMatch(b, p, &worst[i%len(worst)])
		}
		return time.Since(start)
	}
	var ratios []float64
	for b.Loop() {
		a := timed(fewPolicy, fewWorst)
		ratios = append(ratios, float64(timed(manyPolicy, manyWorst))/float64(a))
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "10000-to-10")
}

func mustMatch(b *testing.B, p *Policy, r *authz.Request) {
	rule, reason, _ := p.Match(r)
	if reason != authz.ReasonGranted || rule.Route == "" {
		b.Fatalf("route %q, reason %d", rule.Route, reason)
	}
}
