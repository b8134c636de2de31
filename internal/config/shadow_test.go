package config

import (
	"maps"
	"testing"

	"github.com/passgate/passgate/internal/policy"
)

func TestShadowedPathIsNeverWrong(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"/a", "/a", true},
		{"/{x}", "/a", true},
		{"/{x}/b", "/{y}/b", true},
		{"/{x}/{y}", "/a/b", true},
		{"/**", "/a/b", true},
		{"/**", "/", true},
		{"/a/**", "/a", true},
		{"/a/**", "/a/**", true},
		{"/a/**", "/a/{x}/**", true},
		{"/{x}/**", "/a/b/c", true},
		{"/a", "/{x}", false},
		{"/{x}", "/", false},
		{"/a/{x}", "/a/", false},
		{"/a/{x}", "/a/**", false},
		{"/a/b/**", "/a/**", false},
		{"/a", "/a/", false},
		{"/a/**", "/b/c", false},
		{"/{x}/b", "/a/c", false},
	} {
		got := maps.Collect(shadowed([]policy.Route{{Path: "/other"}, {Path: test.a}, {Path: test.b}}))
		if earlier, found := got[2]; found != test.want || found && earlier != 1 {
			t.Errorf("%s before %s: shadowed = %v, want %v", test.a, test.b, got, test.want)
		}
	}
}

func TestShadowedMindsHostsAndMethods(t *testing.T) {
	for _, test := range []struct {
		name string
		a, b policy.Route
		want bool
	}{
		{"any host covers one", policy.Route{}, policy.Route{Hosts: []string{"a"}}, true},
		{"one host does not cover any", policy.Route{Hosts: []string{"a"}}, policy.Route{}, false},
		{"more hosts cover one", policy.Route{Hosts: []string{"a", "b"}}, policy.Route{Hosts: []string{"b"}}, true},
		{"another host", policy.Route{Hosts: []string{"a"}}, policy.Route{Hosts: []string{"b"}}, false},
		{"GET covers HEAD", policy.Route{Methods: []string{"GET"}}, policy.Route{Methods: []string{"HEAD"}}, true},
		{"GET does not cover POST", policy.Route{Methods: []string{"GET"}}, policy.Route{Methods: []string{"GET", "POST"}}, false},
	} {
		test.a.Path, test.b.Path = "/x", "/x"
		got := maps.Collect(shadowed([]policy.Route{test.a, test.b}))
		if _, found := got[1]; found != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}
