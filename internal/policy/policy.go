// Package policy compiles the routes of a configuration into what a request requires.
//
// Routes are tried in their order and the first that matches the method, the host and the path rules.
// Paths are judged before any route is looked at: one that a later hop could read in another way than
// this package is refused, so a rule and the upstream always speak of the same path.
package policy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/braces"
)

// Route is one entry of the policy, as configured.
type Route struct {
	Name        string   // unique; empty: "routes[N]"
	Hosts       []string // lower case, no port, no trailing dot; empty: any
	Methods     []string // exact; empty: any. GET matches HEAD too, unless the route names HEAD
	Path        string   // template: literals, {name} for one segment, ** at the end for the rest
	Access      authz.Access
	Service     string // may hold {name} of the path; empty: none
	Permissions []string
	Sources     []string // whose credentials are taken; empty: any source's
	When        string   // in the language of Options.Compile; empty: no condition

	StripCredentials bool
}

// Options make a [Policy]. The zero value refuses paths in every ambiguous form, has no routes and asks
// for a principal everywhere.
type Options struct {
	Routes  []Route
	Own     []string     // paths that passgate serves itself: public, ahead of Routes, whatever the method
	Default authz.Access // where no route matches

	// Compile makes the condition of a route, whose path has these parameters. It is required where a route has
	// a When.
	Compile func(when string, parameters []string) (Condition, error)

	AllowSemicolon   bool // take ; in a path as an ordinary character
	AllowDoubleSlash bool // take an empty segment as an ordinary one
}

// RouteError is a fault of one configured route.
type RouteError struct {
	Route int    // index in Options.Routes
	Field string // path within the route, as in the configuration: path, or hosts[1]
	Text  string // what is wrong and what to write instead
	Err   error  // that of Options.Compile; nil for other faults
}

func (e *RouteError) Error() string {
	return fmt.Sprintf("routes[%d].%s: %s", e.Route, e.Field, e.Text)
}

func (e *RouteError) Unwrap() error { return e.Err }

// Policy is a compiled set of routes. It is immutable and safe for concurrent use.
type Policy struct {
	own      map[string]bool // paths, as they stand in a request
	routes   []route
	anyHost  *table            // of the routes that take every host
	hosts    map[string]*table // of those that name theirs
	fallback authz.Access
	paths    pathRules
}

type route struct {
	Route
	path    template
	service braces.Text
	when    Condition // nil: none
}

var _ authz.Policy = (*Policy)(nil)

// New compiles routes. Its error joins one [*RouteError] for each fault.
func New(o Options) (*Policy, error) {
	p := &Policy{own: map[string]bool{}, fallback: o.Default, paths: pathRules{semicolon: o.AllowSemicolon, doubleSlash: o.AllowDoubleSlash}}
	for _, path := range o.Own {
		p.own[path] = true
	}
	var faults []error
	names := map[string]int{}
	for i, r := range o.Routes {
		fault := func(field, format string, args ...any) {
			faults = append(faults, &RouteError{Route: i, Field: field, Text: fmt.Sprintf(format, args...)})
		}
		if r.Name == "" {
			r.Name = fmt.Sprintf("routes[%d]", i)
		}
		if earlier, taken := names[r.Name]; taken {
			fault("name", "routes[%d] is called %.64q already; give each route a name of its own", earlier, r.Name)
		}
		names[r.Name] = i
		compiled := compile(r, p.paths, fault)
		if r.When != "" {
			var err error
			if compiled.when, err = o.Compile(r.When, compiled.path.names()); err != nil {
				faults = append(faults, &RouteError{Route: i, Field: "when", Text: err.Error(), Err: err})
			}
		}
		p.routes = append(p.routes, compiled)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	p.index()
	return p, nil
}

// index makes the tables.
func (p *Policy) index() {
	var anyHost []int
	byHost := map[string][]int{}
	for i, r := range p.routes {
		if len(r.Hosts) == 0 {
			anyHost = append(anyHost, i)
		}
		for _, host := range r.Hosts {
			if places := byHost[host]; len(places) == 0 || places[len(places)-1] != i {
				byHost[host] = append(places, i)
			}
		}
	}
	p.anyHost = newTable(p.routes, anyHost)
	p.hosts = make(map[string]*table, len(byHost))
	shared := map[string]*table{} // by places: many hosts have the same routes
	for host, places := range byHost {
		key := fmt.Sprint(places)
		if shared[key] == nil {
			shared[key] = newTable(p.routes, places)
		}
		p.hosts[host] = shared[key]
	}
}

// compile checks one route and parses its templates; fault takes what is wrong.
func compile(r Route, paths pathRules, fault func(field, format string, args ...any)) route {
	var service braces.Text
	path, err := parseTemplate(r.Path, paths)
	if err != nil {
		fault("path", "%v", err)
	} else if service, err = parseService(r.Service, path); err != nil {
		fault("service", "%v", err)
	}
	for i, host := range r.Hosts {
		if canonical, why := CanonicalHost(host); why != "" || canonical != host {
			fault(fmt.Sprintf("hosts[%d]", i), "%.64q is not a host in lower case without port and trailing dot, such as api.example.com", host)
		}
	}
	for i, method := range r.Methods {
		field := fmt.Sprintf("methods[%d]", i)
		switch {
		case method == "*" || strings.EqualFold(method, "any") || strings.EqualFold(method, "all"):
			fault(field, "%.64q is no method of a request; leave methods out where any is meant", method)
		case !isMethod(method) || method != strings.ToUpper(method):
			fault(field, "%.64q is not a method; write it as it stands in a request, such as GET", method)
		}
	}
	for i, permission := range r.Permissions {
		if permission == "" {
			fault(fmt.Sprintf("permissions[%d]", i), "is empty; write the name of a permission or take the entry out")
		}
	}
	if r.Access == authz.AccessPublic && len(r.Permissions) > 0 {
		fault("permissions", "a public route reads no credential, so it cannot require a permission; take out access: public or the permissions")
	}
	if r.Access == authz.AccessPublic && len(r.Sources) > 0 {
		fault("credentials", "a public route reads no credential; take out access: public or the credentials")
	}
	return route{Route: r, path: path, service: service}
}

// Match implements [authz.Policy].
func (p *Policy) Match(r *authz.Request) (authz.Rule, authz.Reason, string) {
	if !isMethod(r.Method) {
		r.Trace.Add("path", "refused", "the request has no valid method")
		return authz.Rule{}, authz.ReasonPathAmbiguous, "the request has no valid method"
	}
	path, why := p.paths.parse(r.Path)
	if why != "" {
		r.Trace.Add("path", "refused", why)
		return authz.Rule{}, authz.ReasonPathAmbiguous, "path: " + why
	}
	host, why := CanonicalHost(r.Host)
	if why != "" {
		r.Trace.Add("host", "refused", why)
		return authz.Rule{}, authz.ReasonHostAmbiguous, "host: " + why
	}
	if r.Trace != nil {
		r.Trace.Add("path", "ok", "/"+strings.Join(path, "/"))
		r.Trace.Add("host", "ok", host)
	}
	// As it stands in the request, and not decoded: another spelling of the path reaches another server.
	if p.own[r.Path] {
		if r.Trace != nil {
			r.Trace.Add("route", "matched", r.Path+", which passgate serves itself")
		}
		return authz.Rule{Route: r.Path, Service: authz.OwnService, Access: authz.AccessPublic}, authz.ReasonGranted, ""
	}
	i := p.first(r.Method, host, path)
	if r.Trace != nil {
		p.explain(r.Trace, i, r.Method, host, path)
	}
	if i == len(p.routes) {
		return authz.Rule{Access: p.fallback}, authz.ReasonGranted, ""
	}
	return p.routes[i].rule(r, host, path), authz.ReasonGranted, ""
}

// first returns the place of the first route that matches, or the number of routes if none does.
func (p *Policy) first(method, host string, path []string) int {
	none := len(p.routes)
	return min(p.anyHost.first(method, path, none), p.hosts[host].first(method, path, none))
}

// methods returns the methods that the route takes, none if it takes any.
func (r *route) methods() []string {
	if slices.Contains(r.Methods, "GET") && !slices.Contains(r.Methods, "HEAD") {
		return append(slices.Clip(r.Methods), "HEAD") // RFC 9110 §9.3.2: HEAD is GET without the content
	}
	return r.Methods
}

func (r *route) rule(in *authz.Request, host string, path []string) authz.Rule {
	rule := authz.Rule{
		Route:            r.Name,
		Service:          r.service.Fill(func(name string) string { return path[r.path.index(name)] }),
		Access:           r.Access,
		Permissions:      r.Permissions,
		Sources:          r.Sources,
		StripCredentials: r.StripCredentials,
	}
	if r.when != nil {
		rule.When = func(ctx context.Context, p *authz.Principal) (bool, string, error) {
			return r.when.Holds(ctx, &Input{
				Method: in.Method, Host: host, Path: "/" + strings.Join(path, "/"),
				Headers: in.Headers, Context: in.Context, Parameters: r.path.parameters(path), Principal: p, Explain: in.Trace != nil,
			})
		}
	}
	return rule
}

// isMethod reports whether s is a method's token (RFC 9110 §9.1, §5.6.2).
func isMethod(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}
