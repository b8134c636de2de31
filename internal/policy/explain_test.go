package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/passgate/passgate/internal/authz"
)

// A route that nearly matched is named with the one thing that kept it from doing so; others are only named.
func TestTraceNamesRoutesThatNearlyMatched(t *testing.T) {
	const other = "" // the route is no more than another one
	tests := []struct {
		name  string
		route Route
		path  string
		want  string
	}{
		{"method", Route{Methods: []string{"POST", "PUT"}, Path: "/a"}, "/a", "the method is GET, not POST or PUT"},
		{"host", Route{Hosts: []string{"a.example.com", "b.example.com"}, Path: "/a"}, "/a", "the host is h, not a.example.com or b.example.com"},
		{"method and host", Route{Methods: []string{"POST"}, Hosts: []string{"x"}, Path: "/a"}, "/a", other},
		{"method and path", Route{Methods: []string{"POST"}, Path: "/a/b"}, "/a/c", other},
		{"slash at the end", Route{Path: "/a"}, "/a/", "the path ends in /, the route's does not"},
		{"no slash at the end", Route{Path: "/a/"}, "/a", "the path does not end in /, the route's does"},
		{"slash at the end of another path", Route{Path: "/a"}, "/b/", other},
		{"no slash at the end of another path", Route{Path: "/a/"}, "/b", other},
		{"root for a word", Route{Path: "/a"}, "/", other},
		{"word for the root", Route{Path: "/"}, "/a", other},
		{"case", Route{Path: "/Users"}, "/users", `segment 1 is "users", not "Users"`},
		{"one segment", Route{Path: "/api/users/{id}"}, "/api/usr/1", `segment 2 is "usr", not "users"`},
		{"one segment before the rest", Route{Path: "/api/users/**"}, "/api/usr/1", `segment 2 is "usr", not "users"`},
		{"two segments", Route{Path: "/api/v1/users/x"}, "/api/v2/usr/x", other},
		{"two segments, the first among them", Route{Path: "/api/v1/x"}, "/apis/v2/x", other},
		{"the first of several segments", Route{Path: "/api/users"}, "/apis/users", `segment 1 is "apis", not "api"`},
		{"nothing alike", Route{Path: "/a/{b}"}, "/c/d", other},
		{"too few", Route{Path: "/api/users/{id}"}, "/api/users", "the path has 2 segments, the route's 3"},
		{"too many", Route{Path: "/api/users"}, "/api/users/1", "the path has 3 segments, the route's 2"},
		{"too few and nothing alike", Route{Path: "/{a}/{b}"}, "/x", other},
		{"too many and another segment", Route{Path: "/api/users"}, "/api/usr/1", other},
		{"parameter without a value", Route{Path: "/api/{id}/x"}, "/api//x", `segment 2 is empty, not {id}`},
		{"root of a tree", Route{Path: "/api/users/**"}, "/api", "the path has 1 segments, the route's 2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.route.Name = "r"
			p := mustNew(t, Options{Routes: []Route{tt.route}, AllowDoubleSlash: true})
			trace := &authz.Trace{}
			rule, _, _ := p.Match(&authz.Request{Method: "GET", Host: "h", Path: tt.path, Trace: trace})
			if rule.Route != "" {
				t.Fatal("the route matches")
			}
			want := authz.Step{Name: "route", Result: "nearly", Detail: "r: " + tt.want}
			if tt.want == other {
				want = authz.Step{Name: "route", Result: "no match", Detail: "r"}
			}
			if got := trace.Steps[2]; got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
			last := authz.Step{Name: "route", Result: "default", Detail: "no route matches: default_access is authenticated"}
			if len(trace.Steps) != 4 || trace.Steps[3] != last {
				t.Errorf("the trace ends with %+v", trace.Steps)
			}
		})
	}
}

func TestTraceNamesAFewOtherRoutes(t *testing.T) {
	for n, want := range map[int]string{4: "a0, a1, a2, a3", 5: "a0, a1, a2, a3, a4", 6: "a0, a1, a2, a3, a4, and 1 more"} {
		var routes []Route
		for i := range n {
			routes = append(routes, Route{Name: fmt.Sprintf("a%d", i), Path: fmt.Sprintf("/x/y%d", i)})
		}
		trace := &authz.Trace{}
		mustNew(t, Options{Routes: routes}).Match(&authz.Request{Method: "GET", Host: "h", Path: "/", Trace: trace})
		if got := trace.Steps[2].Detail; got != want {
			t.Errorf("%d routes: %q, want %q", n, got, want)
		}
	}
}

func TestTraceOfManyRoutesIsShort(t *testing.T) {
	var routes []Route
	for i := range 100 {
		routes = append(routes, Route{Name: fmt.Sprintf("near%d", i), Path: fmt.Sprintf("/a/b%d", i)}, Route{Name: fmt.Sprintf("far%d", i), Path: fmt.Sprintf("/x/y%d", i)})
	}
	routes = append(routes, Route{Name: "it", Path: "/a/it", When: "w"}, Route{Name: "later", Path: "/a/x"})
	p := mustNew(t, Options{Routes: routes, Compile: func(string, []string) (Condition, error) { return &recorded{}, nil }})
	trace := &authz.Trace{}
	p.Match(&authz.Request{Method: "GET", Host: "h", Path: "/a/it", Trace: trace})
	var near int
	for _, s := range trace.Steps {
		if s.Result == "nearly" {
			near++
		}
		if strings.Contains(s.Detail, "later") {
			t.Errorf("a route behind the one that matched is named: %+v", s)
		}
	}
	if near != maxNear {
		t.Errorf("%d routes nearly matched, want %d", near, maxNear)
	}
	tail := trace.Steps[len(trace.Steps)-3:]
	want := []authz.Step{
		{Name: "route", Result: "no match", Detail: "far0, far1, far2, far3, far4, and 175 more"},
		{Name: "route", Result: "matched", Detail: "it"},
		{Name: "route", Result: "when", Detail: "w"},
	}
	if !slices.Equal(tail, want) {
		t.Errorf("the trace ends with %+v", tail)
	}
}
