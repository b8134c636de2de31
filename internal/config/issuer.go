package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/passgate/passgate/internal/keyset"
)

// maxLeeway bounds leeway and clock_skew: more would be a longer life for every token.
const maxLeeway = time.Minute

var bareVariable = regexp.MustCompile(`^\$(?:[A-Za-z_][A-Za-z0-9_]*|\([A-Za-z_][A-Za-z0-9_]*\))$`)

// IsName reports whether a text can be the name of an issuer, a server or an API key.
func IsName(s string) bool { return issuerName.MatchString(s) }

var issuerName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)

func (l *loader) judgeIssuers(dir *Keys) []Issuer {
	issuers := make([]Issuer, len(l.file.Issuers))
	names, urls := map[string]int{}, map[string]int{}
	for i, in := range l.file.Issuers {
		at := fmt.Sprintf("issuers[%d]", i)
		l.judgeName(at+".name", in.Name, "accounts")
		switch {
		case strings.TrimSpace(in.Issuer) != in.Issuer:
			l.doc.Fault(at+".issuer", "has a blank or a line break at an end, and iss is compared byte for byte; take it out")
		case isBareVariable(in.Issuer):
			l.doc.Fault(at+".issuer", sayBraces)
		}
		l.unique(at+".name", "name", in.Name, names, i)
		l.unique(at+".issuer", "issuer", in.Issuer, urls, i)
		for _, bound := range []struct {
			field string
			value time.Duration
		}{{".leeway", in.Leeway}, {".clock_skew", in.ClockSkew}} {
			l.judgeTolerance(at+bound.field, bound.value)
		}
		issuers[i] = Issuer{
			Name: in.Name, Issuer: in.Issuer, Audiences: in.Audiences, Leeway: in.Leeway, ClockSkew: in.ClockSkew,
			UserPrefix: in.UserPrefix, Claims: in.Claims,
		}
		for j, algorithm := range in.Algorithms {
			if slices.Contains(in.Algorithms[:j], algorithm) {
				l.doc.Fault(fmt.Sprintf("%s.algorithms[%d]", at, j), "is a duplicate; remove it")
			}
			issuers[i].Algorithms = append(issuers[i].Algorithms, keyset.Algorithm(algorithm))
		}
		l.judgeKeys(at, &l.file.Issuers[i], &issuers[i], dir)
	}
	return issuers
}

// judgeName adds a fault to the name of a source that is none.
func (l *loader) judgeName(field, name, example string) {
	switch {
	case name == APIKeysSource:
		l.doc.Fault(field, "is the name of the API keys; choose another")
	case name != "" && !issuerName.MatchString(name):
		l.doc.Fault(field, "want a word of a-z, 0-9, _ and -, such as %s", example)
	}
}

// judgeTolerance adds a fault to a leeway or clock skew that is too long.
func (l *loader) judgeTolerance(field string, d time.Duration) {
	if d > maxLeeway {
		l.doc.Fault(field, "want a duration from 0s to 60s")
	}
}

// isBareVariable reports whether a value reads like a variable of the environment as a shell has it, $NAME or
// $(NAME), which is not replaced here.
func isBareVariable(value string) bool { return bareVariable.MatchString(value) }

const sayBraces = "write ${NAME}, with braces, to read the environment"

// unique adds a fault where an issuer has what an earlier one has.
func (l *loader) unique(field, what, value string, seen map[string]int, i int) {
	if earlier, taken := seen[value]; taken && value != "" {
		l.doc.Fault(field, "issuers[%d] has this %s; give each issuer its own", earlier, what)
		return
	}
	seen[value] = i
}

// source is where principals come from.
type source struct {
	at     string // its path in the file
	name   string // "" where it is at fault
	prefix string
}

// sources returns all of the file.
func (l *loader) sources() []source {
	var all []source
	for i, in := range l.file.Issuers {
		all = append(all, source{fmt.Sprintf("issuers[%d]", i), in.Name, in.UserPrefix})
	}
	for i, in := range l.file.Introspection {
		all = append(all, source{fmt.Sprintf("introspection[%d]", i), in.Name, in.UserPrefix})
	}
	if l.doc.Has("api_keys") {
		all = append(all, source{"api_keys", APIKeysSource, l.file.APIKeys.UserPrefix})
	}
	for i := range all {
		if all[i].name != APIKeysSource && !issuerName.MatchString(all[i].name) {
			all[i].name = ""
		}
	}
	return all
}

// judgePrefixes sees to it that no source can name a user of another: each but one has a user_prefix, and
// none is the beginning of another.
func (l *loader) judgePrefixes() {
	all := l.sources()
	unprefixed := ""
	for i, s := range all {
		field := s.at + ".user_prefix"
		if s.at != "api_keys" && !l.doc.Has(s.at+".name") {
			continue // what it is was said already to be missing
		}
		if s.prefix == "" {
			if unprefixed != "" {
				l.doc.Fault(field, "is missing; %s has none, and one source of users at most may do without: write one such as %q", unprefixed, s.proposedPrefix())
			} else {
				unprefixed = s.at
			}
			continue
		}
		for _, earlier := range all[:i] {
			if earlier.prefix != "" && (strings.HasPrefix(s.prefix, earlier.prefix) || strings.HasPrefix(earlier.prefix, s.prefix)) {
				l.doc.Fault(field, "one of this and %s.user_prefix begins with the other; write one such as %q", earlier.at, s.proposedPrefix())
				break
			}
		}
	}
}

// proposedPrefix returns a user_prefix for a source.
func (s source) proposedPrefix() string {
	switch s.name {
	case "":
		return "partner:"
	case APIKeysSource:
		return "key:"
	}
	return s.name + ":"
}
