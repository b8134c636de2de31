package identity

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// prefixes begin the names of headers that are taken for statements about the caller.
var prefixes = []string{"x-user-", "x-passport", "x-proxy-state"}

// overrides are headers that some upstreams obey in place of the method or path that was judged.
var overrides = []string{"x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "x-rewrite-url"}

// isSpoof reports whether a client's header could be taken for one of ours, or for another request line.
// Our six names as we write them are not spoofs: they are set or removed whatever the client sends.
func isSpoof(name string) bool {
	// Nearly every header of a request ends here.
	if len(name) < len("x-user-") || name[0]|0x20 != 'x' || isAlphanumeric(name[1]) {
		return false
	}
	folded := fold(name)
	if slices.Contains(overrides, folded) {
		return true
	}
	if !hasPrefix(folded) {
		return false
	}
	return !slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) })
}

// hasPrefix reports whether a folded name is taken for a statement about the caller.
func hasPrefix(folded string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(folded, p) })
}

// fold returns a header name as the most careless server reads it: CGI turns a dash into an underscore, so
// no character that is neither letter nor digit tells two names apart.
func fold(name string) string {
	b := []byte(name)
	for i, c := range b {
		switch {
		case 'A' <= c && c <= 'Z':
			b[i] = c | 0x20
		case !isAlphanumeric(c):
			b[i] = '-'
		}
	}
	return string(b)
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// unseen are the names to remove where a client's headers are hidden from us: the likely aliases of our
// names, and the overrides.
var unseen = func() []string {
	list := slices.Clone(overrides)
	for _, name := range names {
		parts := strings.Split(strings.ToLower(name), "-")
		aliases := parts[:1]
		for _, part := range parts[1:] {
			var longer []string
			for _, alias := range aliases {
				for _, joint := range []string{"-", "_", "."} {
					longer = append(longer, alias+joint+part)
				}
			}
			aliases = longer
		}
		for _, alias := range aliases {
			if !strings.EqualFold(alias, name) {
				list = append(list, alias)
			}
		}
	}
	return list
}()

// CheckKeep reports why a header name cannot be spared from removal, as a text that says what to write
// instead.
func CheckKeep(name string) error {
	switch folded := fold(name); {
	case slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, folded) }):
		return fmt.Errorf("%.64q can be read as an identity header of passgate's own, which a client never sets; take it out", name)
	case slices.Contains(overrides, folded):
		return fmt.Errorf("%.64q can replace the method or path that was judged; take it out", name)
	case !isSpoof(name):
		return fmt.Errorf("%.64q is not removed anyway; only names that begin with %s are: take it out", name, strings.Join(prefixes, ", "))
	case name != strings.ToLower(name):
		return fmt.Errorf("%.64q is compared in lower case; write %.64q", name, strings.ToLower(name))
	}
	return nil
}

// others are headers with a meaning of their own, which no API key may take from them.
var others = strings.Fields(`authorization connection content-length content-type cookie expect forwarded host keep-alive
	proxy-authenticate proxy-authorization te trailer transfer-encoding upgrade via x-envoy-auth-headers-to-remove
	x-forwarded-for x-forwarded-host x-forwarded-proto x-real-ip x-request-id`)

// CheckCredentialHeader reports why a header cannot be the one that holds an API key, as a text that says what to
// write instead.
func CheckCredentialHeader(name string) error {
	folded := fold(name)
	switch {
	case name == "" || strings.ContainsFunc(name, func(r rune) bool { return r != '-' && (r > 0x7f || !isAlphanumeric(byte(r))) }):
		return errors.New("want letters, digits and dashes, such as X-API-Key")
	case slices.Contains(others, folded) || slices.Contains(overrides, folded) || hasPrefix(folded):
		return fmt.Errorf("%.64q has a meaning of its own; choose another, such as X-API-Key", name)
	}
	return nil
}
