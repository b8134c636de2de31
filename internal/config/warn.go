package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/condition"
	"github.com/passgate/passgate/internal/yamlstrict"
)

// warnOf adds the warnings of a configuration without faults.
func (l *loader) warnOf(c *Config) {
	l.warnOfServers(c)
	l.warnOfIssuers(c)
	l.warnOfIntrospection(c)
	l.warnOfAPIKeys(c)
	l.warnOfRoles()
	l.warnOfRoutes(c)
	l.warnOfShadows(c)
}

func (l *loader) warnOfServers(c *Config) {
	if address := c.Listen.GRPC; !strings.HasPrefix(address, "unix://") && !isLoopback(address) {
		l.doc.Warn("listen.grpc", "other machines can reach it: whoever does, and holds a user's token, can obtain that user's passport; use loopback, a unix socket, or a mesh that enforces mTLS and names the callers")
	}
	if address := c.Listen.AuthzHTTP; address != "" && !isLoopback(address) {
		l.doc.Warn("listen.authz_http", "other machines can reach it: whoever does, and holds a user's token, can obtain that user's passport; use loopback, or a mesh that enforces mTLS and names the callers")
	}
	if c.ServesHTTP() && !isLoopback(c.Listen.HTTP) {
		l.doc.Warn("listen.http", "other machines can reach it, and it speaks no TLS: passwords and tokens would travel in the clear; use loopback behind Envoy or another proxy that does")
	}
	if c.Listen.Debug != "" {
		l.doc.Warn("listen.debug", "every user of this machine can read there what is in memory; remove it when you have finished debugging")
	}
	if c.Drain.Wait == 0 {
		l.doc.Warn("drain.wait", "Envoy goes on sending requests until its health check fails, and they are lost; write more than its interval times its unhealthy threshold, such as 5s")
	}
	if c.Log.Decisions == "none" {
		l.doc.Warn("log.decisions", "none: nobody can find out later why a request was refused; write denied")
	}
	if l.file.DefaultAccess == "public" {
		l.doc.Warn("default_access", "public: a path that no route names is open to everyone; use deny and name the public routes")
	}
	if l.doc.LeftEmpty("accounts") {
		l.doc.Warn("accounts", "is left empty, so there are none; write accounts: {issuer: NAME}, or take it out")
	}
	if a := c.Accounts; a != nil {
		folder := filepath.Dir(strings.TrimPrefix(a.Database, "sqlite:"))
		if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
			l.doc.Warn("accounts.database", "the folder %s does not exist, so accounts cannot be kept; make it", folder)
		}
	}
	if a := c.Accounts; a != nil && a.BcryptCost != usualCost {
		l.doc.Warn("accounts.bcrypt_cost", "accounts whose passwords were hashed at another cost can be told from unknown addresses by the time that a login takes; keep it from the first account on")
	}
	if c.Accounts == nil && c.Redis != "" {
		field := "redis"
		if l.doc.Has("redis_file") {
			field = "redis_file"
		}
		l.doc.Warn(field, "nothing uses it, as there are no accounts; add accounts, or take it out")
	}
	if strings.Contains(string(c.Redis), "@") && l.doc.Has("redis") && !l.doc.FromEnvironment("redis") {
		l.doc.Warn("redis", "whoever reads this file has the password of Redis; write ${NAME} for a variable of the environment, or redis_file")
	}
	for i, prefix := range c.TrustedProxy {
		if prefix.Bits() == 0 {
			l.doc.Warn(fmt.Sprintf("trusted_proxies[%d]", i), "every client is believed what it says of its address; list your own proxies")
		}
	}
	for i := range l.file.Paths.Allow {
		l.doc.Warn(fmt.Sprintf("paths.allow[%d]", i), "an upstream may read such a path in another way than the routes do; take it out, or make sure of every upstream")
	}
}

func (l *loader) warnOfIssuers(c *Config) {
	if len(c.Issuers)+len(c.Introspection) == 0 && c.APIKeys == nil {
		l.doc.Warn("issuers", "there is none, so every request that needs a credential is refused; name one")
	}
	for i, issuer := range c.Issuers {
		at := fmt.Sprintf("issuers[%d]", i)
		if issuer.Audiences == nil {
			l.doc.Warn(at+".audiences", "any: a token that the issuer made for another service is taken here; list the audiences of this one")
		}
		if j := slices.Index(issuer.Audiences, "any"); j >= 0 {
			l.doc.Warn(fmt.Sprintf("%s.audiences[%d]", at, j), "an audience of this name is asked for; to take every audience write audiences: any")
		}
		if r := issuer.Remote; r != nil {
			field := at + ".jwks_url"
			if r.Discovery {
				field = at + ".discovery_url"
				if u, err := url.Parse(r.URL); err == nil && !strings.Contains(u.Path, "/.well-known/") {
					l.doc.Warn(field, "is hardly the URL of metadata; they are at a path such as /.well-known/openid-configuration (OpenID Connect Discovery 1.0 §4)")
				}
			}
			l.warnOfPlainHTTP(field, r.URL, "whoever is on the way can put keys of their own in its place, and so sign tokens")
		}
		if u, err := url.Parse(issuer.Issuer); err == nil && u.Scheme == "http" && !isLoopback(u.Hostname()+":0") {
			l.doc.Warn(at+".issuer", "an issuer is an https URL (RFC 8414 §2); if its tokens say so too, write https://")
		}
	}
}

// warnOfPlainHTTP warns of a URL that is asked in the clear, if it leads to another machine.
func (l *loader) warnOfPlainHTTP(field, address, danger string) {
	if u, err := url.Parse(address); err == nil && u.Scheme == "http" && !isLoopback(net.JoinHostPort(u.Hostname(), "0")) {
		l.doc.Warn(field, "is asked without TLS: %s; write https://, if a mesh does not see to it", danger)
	}
}

func (l *loader) warnOfIntrospection(c *Config) {
	for i, s := range c.Introspection {
		at := fmt.Sprintf("introspection[%d]", i)
		l.warnOfPlainHTTP(at+".url", s.URL, "whoever is on the way sees tokens and passgate's secret, and can say what they like of a token")
		if s.Audiences == nil {
			l.doc.Warn(at+".audiences", "any: a token that is meant for another service is taken here; list the audiences of this one")
		}
		if field := at + ".client_secret"; l.doc.Has(field) && !l.doc.FromEnvironment(field) {
			l.doc.Warn(field, "whoever reads this file can ask about tokens in passgate's name; write ${NAME} for a variable of the environment, or client_secret_file")
		}
		for j, other := range c.Introspection {
			if i != j && strings.HasPrefix(s.TokenPrefix, other.TokenPrefix) {
				l.doc.Warn(fmt.Sprintf("introspection[%d].token_prefix", i), "its tokens could go to introspection[%d], too, and are refused but on routes whose credentials name one of the two; give each a prefix that is not the beginning of another's", j)
				break
			}
		}
	}
}

func (l *loader) warnOfAPIKeys(c *Config) {
	if c.APIKeys == nil {
		return
	}
	if len(c.APIKeys.Keys) == 0 {
		l.doc.Warn("api_keys.file", "holds no key, so none is taken; make one: passgate apikey new")
	}
	const writable = 0o022
	if info, err := os.Stat(l.path(l.file.APIKeys.File)); err == nil && info.Mode()&writable != 0 {
		l.doc.Warn("api_keys.file", "others may write the file, and so let themselves in: chmod 600")
	}
}

func (l *loader) warnOfRoles() {
	for _, role := range slices.Sorted(maps.Keys(l.file.Roles)) {
		at, permissions := yamlstrict.Join("roles", role), l.file.Roles[role]
		if len(permissions) == 0 {
			l.doc.Warn(at, "grants nothing; list its permissions, or take it out")
		}
		l.warnOfPermissions(at, permissions)
	}
}

// warnOfPermissions warns of what can be no permission of a token, or adds nothing.
func (l *loader) warnOfPermissions(at string, permissions []string) {
	seen := map[string]bool{}
	for i, permission := range permissions {
		field := fmt.Sprintf("%s[%d]", at, i)
		switch {
		case strings.Contains(permission, "*"):
			l.doc.Warn(field, "a permission is compared whole, and * is a character like any other; list the permissions that are meant")
		case strings.ContainsAny(permission, " \t\r\n,"):
			l.doc.Warn(field, "a scope holds no blank and a list of permissions no comma, so a token can hardly grant it; write it without, or as several")
		case seen[permission]:
			l.doc.Warn(field, "is a duplicate; remove it")
		}
		seen[permission] = true
	}
}

// registeredMethods are those of the IANA registry of HTTP methods (RFC 9110 §16.1), and PURGE, which many
// caches take.
var registeredMethods = strings.Fields(`ACL BASELINE-CONTROL BIND CHECKIN CHECKOUT CONNECT COPY DELETE GET HEAD LABEL LINK
	LOCK MERGE MKACTIVITY MKCALENDAR MKCOL MKREDIRECTREF MKWORKSPACE MOVE OPTIONS ORDERPATCH PATCH POST PRI PROPFIND
	PROPPATCH PUT QUERY REBIND REPORT SEARCH TRACE UNBIND UNCHECKOUT UNLINK UNLOCK UPDATE UPDATEREDIRECTREF VERSION-CONTROL
	PURGE`)

// foreignParameter is a segment as other routers write a parameter: :id or <id>.
var foreignParameter = regexp.MustCompile(`/(:([A-Za-z_][A-Za-z0-9_]*)|<(?:[a-z]+:)?([A-Za-z_][A-Za-z0-9_]*)>)(?:/|$)`)

// regularExpression is a segment as other routers write a pattern.
var regularExpression = regexp.MustCompile(`/([^/]*(?:\[[^/]*\]|\([^/]*\|[^/]*\)|\.\+)[^/]*)`)

func (l *loader) warnOfRoutes(c *Config) {
	if given := l.doc.Has("routes") || l.doc.LeftEmpty("routes"); given && len(l.file.Routes) == 0 && !l.doc.Has("default_access") {
		l.doc.Warn("routes", "there is none, so default_access is authenticated: whoever has a credential may call everything; write default_access: deny")
	}
	unwise := map[string][]*condition.Error{} // an anchor may stand for many of an expression
	issuers := map[string]string{}
	for _, issuer := range l.file.Issuers {
		issuers[issuer.Name] = issuer.Issuer
	}
	for _, issuer := range l.file.Issuers { // last: an iss that is another's name is meant as it stands
		issuers[issuer.Issuer] = issuer.Issuer
	}
	if len(c.Introspection) > 0 {
		issuers = nil // a server may name any
	}
	for i, r := range l.file.Routes {
		at := fmt.Sprintf("routes[%d]", i)
		for _, field := range []string{"hosts", "methods", "permissions", "credentials", "when"} {
			if field := at + "." + field; l.doc.LeftEmpty(field) {
				l.doc.Warn(field, "is left empty, so the route has no such restriction; write it, or take the field out")
			}
		}
		if slices.Contains(c.ownPaths(), r.Path) {
			l.doc.Warn(at+".path", "is unreachable: passgate serves this path itself, as accounts are set; take the route out")
		}
		if p := c.Proxy; p != nil && p.Upstreams[authz.DefaultService] == nil && r.Service != "" && p.Upstreams[r.Service] == nil && !strings.Contains(r.Service, "{") {
			l.doc.Warn(at+".service", "proxy.upstreams has neither this service nor default, so the proxy answers 404; add one of them")
		}
		if m := foreignParameter.FindStringSubmatch(r.Path); m != nil {
			l.doc.Warn(at+".path", "%s", l.quoting(at+".path", fmt.Sprintf("%s stands for itself alone; did you mean {%s}?", m[1], m[2]+m[3])))
		}
		if m := regularExpression.FindStringSubmatch(r.Path); m != nil {
			l.doc.Warn(at+".path", "%s", l.quoting(at+".path", m[1]+" stands for itself alone: a path is no regular expression; write {name} for any one segment"))
		}
		if r.When != "" {
			public := access(r.Access) == authz.AccessPublic
			key := fmt.Sprint(public, r.When)
			if _, known := unwise[key]; !known {
				unwise[key] = condition.Unwise(r.When, public, issuers, l.credentialHeaders()...)
			}
			for _, e := range unwise[key] {
				l.doc.WarnWithin(at+".when", r.When, e.Line, e.Column, "%s", l.quoting(at+".when", e.Text))
			}
		}
		for j, method := range r.Methods {
			field := fmt.Sprintf("%s.methods[%d]", at, j)
			near := yamlstrict.Nearest(method, registeredMethods)
			switch {
			case near == method:
			case near != "":
				l.doc.Warn(field, "is no registered method; did you mean %s?", near)
			default:
				l.doc.Warn(field, "is no registered method; write one such as GET, if it is not one of your own")
			}
		}
		l.warnOfPermissions(at+".permissions", r.Permissions)
	}
}

// warnOfShadows warns of routes that no request reaches.
func (l *loader) warnOfShadows(c *Config) {
	for _, shadow := range c.Policy.Shadowed() {
		var by []string
		for _, i := range shadow.By {
			at := fmt.Sprintf("routes[%d]", i)
			by = append(by, fmt.Sprintf("%s on line %d", at, l.doc.Pos(at).Line))
		}
		match := "matches"
		if len(by) > 1 {
			match = "match"
		}
		if more := len(by) - 3; more > 0 {
			by = append(by[:3], fmt.Sprintf("%d more", more))
		}
		l.doc.Warn(fmt.Sprintf("routes[%d].path", shadow.Route), "is unreachable: %s %s every request that it would; move it above, or remove it", strings.Join(by, " and "), match)
	}
}
