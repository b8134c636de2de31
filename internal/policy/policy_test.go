package policy

import (
	"errors"
	"strings"
	"testing"

	"github.com/passgate/passgate/internal/authz"
)

func mustNew(t testing.TB, o Options) *Policy {
	t.Helper()
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestMatch(t *testing.T) {
	p := mustNew(t, Options{
		Default: authz.AccessDeny,
		Routes: []Route{
			{Name: "root", Path: "/", Access: authz.AccessPublic},
			{Name: "docs", Path: "/docs/**", Access: authz.AccessPublic},
			{Name: "admin-host", Hosts: []string{"admin.example.com", "ops.example.com"}, Path: "/api/**"},
			{Name: "read", Methods: []string{"GET"}, Path: "/api/users/{id}", Service: "users-service"},
			{Name: "delete", Methods: []string{"DELETE"}, Path: "/api/users/{id}", Service: "users-service"},
			{Name: "head", Methods: []string{"HEAD"}, Path: "/api/heads/{id}"},
			{Name: "get-heads", Methods: []string{"GET"}, Path: "/api/heads/{id}"},
			{Name: "any", Path: "/api/{name}/all/**", Service: "{name}-service"},
			{Name: "tenant", Path: "/{tenant}/home", Service: "{tenant}-home"},
			{Name: "slash", Path: "/slash/"},
			{Name: "accent", Path: "/café"},
			{Name: "blank", Path: "/a b"},
		},
	})
	tests := []struct {
		method, host, path string
		route, service     string // "" none: the default
	}{
		{"GET", "localhost", "/", "root", ""},
		{"GET", "localhost", "/docs", "docs", ""},
		{"GET", "localhost", "/docs/", "docs", ""},
		{"GET", "localhost", "/docs/a/b/c", "docs", ""},
		{"GET", "localhost", "/docsx", "", ""},
		{"GET", "localhost", "/Docs", "", ""},
		{"GET", "localhost", "/api/users/1", "read", "users-service"},
		{"GET", "localhost", "/api/users/a%20b", "read", "users-service"},
		{"HEAD", "localhost", "/api/users/1", "read", "users-service"},
		{"DELETE", "localhost", "/api/users/1", "delete", "users-service"},
		{"DELETE", "localhost", "/api/users/1/", "", ""},
		{"DELETE", "localhost", "/API/users/1", "", ""},
		{"PATCH", "localhost", "/api/users/1", "", ""},
		{"get", "localhost", "/api/users/1", "", ""},
		{"GET", "localhost", "/api/users/", "", ""},
		{"GET", "localhost", "/api/users", "", ""},
		{"GET", "localhost", "/api/users/1/x", "", ""},
		{"HEAD", "localhost", "/api/heads/1", "head", ""},
		{"GET", "localhost", "/api/heads/1", "get-heads", ""},
		{"GET", "localhost", "/api/orders/all", "any", "orders-service"},
		{"GET", "localhost", "/api/orders/all/1/2", "any", "orders-service"},
		{"PATCH", "admin.example.com", "/api/users/1", "admin-host", ""},
		{"PATCH", "Ops.Example.com.:443", "/api/users/1", "admin-host", ""},
		{"PATCH", "xadmin.example.com", "/api/users/1", "", ""},
		{"GET", "localhost", "/acme/home", "tenant", "acme-home"},
		{"GET", "localhost", "/slash/", "slash", ""},
		{"GET", "localhost", "/slash", "", ""},
		{"GET", "localhost", "/caf%c3%a9", "accent", ""},
		{"GET", "localhost", "/a%20b", "blank", ""},
	}
	for _, tt := range tests {
		t.Run(tt.method+" "+tt.host+tt.path, func(t *testing.T) {
			for _, trace := range []*authz.Trace{nil, {}} {
				rule, reason, why := p.Match(&authz.Request{Method: tt.method, Host: tt.host, Path: tt.path, Trace: trace})
				if reason != authz.ReasonGranted {
					t.Fatalf("refused: %s", why)
				}
				if rule.Route != tt.route || rule.Service != tt.service {
					t.Errorf("route %q service %q, want %q %q", rule.Route, rule.Service, tt.route, tt.service)
				}
				if tt.route == "" && rule.Access != authz.AccessDeny {
					t.Errorf("no route matched, but access is %s", rule.Access)
				}
			}
		})
	}
}

func TestMatchRefusesBeforeAnyRoute(t *testing.T) {
	p := mustNew(t, Options{Default: authz.AccessPublic, Routes: []Route{{Path: "/**", Access: authz.AccessPublic}}})
	tests := []struct {
		name, method, host, path string
		want                     authz.Reason
	}{
		{"dot segment", "GET", "localhost", "/a/../b", authz.ReasonPathAmbiguous},
		{"no path", "GET", "localhost", "", authz.ReasonPathAmbiguous},
		{"no host", "GET", "", "/a", authz.ReasonHostAmbiguous},
		{"two hosts", "GET", "a,b", "/a", authz.ReasonHostAmbiguous},
		{"user in the host", "GET", "a@b", "/a", authz.ReasonHostAmbiguous},
		{"no method", "", "localhost", "/a", authz.ReasonPathAmbiguous},
		{"method with a quote", `GE"T`, "localhost", "/a", authz.ReasonPathAmbiguous},
		{"method with a control", "GET\x7f", "localhost", "/a", authz.ReasonPathAmbiguous},
		{"method with a blank", "GET T", "localhost", "/a", authz.ReasonPathAmbiguous},
		{"method that is not ASCII", "GÉT", "localhost", "/a", authz.ReasonPathAmbiguous},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, reason, why := p.Match(&authz.Request{Method: tt.method, Host: tt.host, Path: tt.path})
			if reason != tt.want || why == "" {
				t.Errorf("reason %d (%s), want %d", reason, why, tt.want)
			}
		})
	}
}

func TestFirstMatchWins(t *testing.T) {
	p := mustNew(t, Options{Routes: []Route{
		{Name: "first", Path: "/a/{x}"},
		{Name: "second", Path: "/a/b", Access: authz.AccessPublic},
	}})
	rule, _, _ := p.Match(&authz.Request{Method: "GET", Host: "h", Path: "/a/b"})
	if rule.Route != "first" {
		t.Errorf("route = %q, want first", rule.Route)
	}
}

func TestZeroOptionsAskForAPrincipal(t *testing.T) {
	p := mustNew(t, Options{})
	rule, reason, _ := p.Match(&authz.Request{Method: "GET", Host: "h", Path: "/a"})
	if reason != authz.ReasonGranted || rule.Access != authz.AccessAuthenticated || rule.Route != "" {
		t.Errorf("rule = %+v, reason %d", rule, reason)
	}
}

func TestNewRefuses(t *testing.T) {
	tests := []struct {
		name  string
		route Route
		field string
		text  string // part of the message
	}{
		{"no path", Route{}, "path", "is missing"},
		{"relative path", Route{Path: "a"}, "path", "does not begin with /"},
		{"escape", Route{Path: "/caf%C3%A9"}, "path", "decoded character"},
		{"dot segment", Route{Path: "/a/../b"}, "path", "can match no request"},
		{"query", Route{Path: "/a?b"}, "path", "can match no request"},
		{"rest in the middle", Route{Path: "/a/**/b"}, "path", "at the end only"},
		{"single star", Route{Path: "/a/*"}, "path", "neither a literal segment nor {name}"},
		{"parameter inside a segment", Route{Path: "/v{n}"}, "path", "neither a literal segment nor {name}"},
		{"parameter with a bad name", Route{Path: "/{a-b}"}, "path", "neither a literal segment nor {name}"},
		{"parameter twice", Route{Path: "/{a}/{a}"}, "path", "stands twice"},
		{"service of an unknown parameter", Route{Path: "/{a}", Service: "{b}"}, "service", "not a parameter"},
		{"service with an empty parameter", Route{Path: "/a", Service: "{}"}, "service", "without a name"},
		{"service with a lone brace", Route{Path: "/a", Service: "a}"}, "service", "without its {"},
		{"host with a port", Route{Path: "/", Hosts: []string{"a", "b:80"}}, "hosts[1]", "without port"},
		{"host in upper case", Route{Path: "/", Hosts: []string{"A"}}, "hosts[0]", "lower case"},
		{"wildcard host", Route{Path: "/", Hosts: []string{"*.a"}}, "hosts[0]", "is not a host"},
		{"method in lower case", Route{Path: "/", Methods: []string{"get"}}, "methods[0]", "is not a method"},
		{"wildcard method", Route{Path: "/", Methods: []string{"*"}}, "methods[0]", "leave methods out"},
		{"any method", Route{Path: "/", Methods: []string{"GET", "ANY"}}, "methods[1]", "leave methods out"},
		{"empty method", Route{Path: "/", Methods: []string{""}}, "methods[0]", "is not a method"},
		{"empty permission", Route{Path: "/", Permissions: []string{"a", ""}}, "permissions[1]", "is empty"},
		{"public with a permission", Route{Path: "/", Access: authz.AccessPublic, Permissions: []string{"a"}}, "permissions", "public route"},
		{"public with a source of credentials", Route{Path: "/", Access: authz.AccessPublic, Sources: []string{"a"}}, "credentials", "public route"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := New(Options{Routes: []Route{{Path: "/ok"}, tt.route}})
			var fault *RouteError
			if !errors.As(err, &fault) {
				t.Fatalf("New accepted it: %v", err)
			}
			if fault.Route != 1 || fault.Field != tt.field || !strings.Contains(fault.Text, tt.text) {
				t.Errorf("fault = %+v, want field %s text …%s…", fault, tt.field, tt.text)
			}
		})
	}
}

func TestTemplatesAreBounded(t *testing.T) {
	deep := strings.Repeat("/a", maxSegments)
	if _, err := New(Options{Routes: []Route{{Path: deep}}}); err != nil {
		t.Errorf("%d segments: %v", maxSegments, err)
	}
	if _, err := New(Options{Routes: []Route{{Path: deep + "/a"}}}); err == nil {
		t.Errorf("%d segments were accepted", maxSegments+1)
	}
}

func TestNewNamesEveryFault(t *testing.T) {
	_, err := New(Options{Routes: []Route{{Name: "a", Path: "x"}, {Name: "a", Path: "/", Hosts: []string{"A"}}}})
	for _, want := range []string{"routes[0].path", "routes[1].name", "routes[1].hosts[0]"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %s: %v", want, err)
		}
	}
}
