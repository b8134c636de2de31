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

var issuerName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)

func (l *loader) judgeIssuers() []Issuer {
	issuers := make([]Issuer, len(l.file.Issuers))
	names, urls := map[string]int{}, map[string]int{}
	for i, in := range l.file.Issuers {
		at := fmt.Sprintf("issuers[%d]", i)
		if in.Name != "" && !issuerName.MatchString(in.Name) {
			l.doc.Fault(at+".name", "want a word of a-z, 0-9, _ and -, such as accounts")
		}
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
			if bound.value > maxLeeway {
				l.doc.Fault(at+bound.field, "want a duration from 0s to 60s")
			}
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
		issuers[i].Keys, issuers[i].MintKey = l.judgeKeys(at, &l.file.Issuers[i])
	}
	l.judgePrefixes()
	return issuers
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

// judgePrefixes sees to it that no issuer can name a user of another: each but one has a user_prefix, and
// none is the beginning of another.
func (l *loader) judgePrefixes() {
	unprefixed := -1
	for i, in := range l.file.Issuers {
		field := fmt.Sprintf("issuers[%d].user_prefix", i)
		if !l.doc.Has(fmt.Sprintf("issuers[%d].name", i)) {
			continue // what it is was said already to be missing
		}
		if in.UserPrefix == "" {
			if unprefixed >= 0 {
				l.doc.Fault(field, "is missing; issuers[%d] has none, and one issuer at most may do without: write one such as %q", unprefixed, prefixFor(in))
			} else {
				unprefixed = i
			}
			continue
		}
		for j, earlier := range l.file.Issuers[:i] {
			other := earlier.UserPrefix
			if other != "" && (strings.HasPrefix(in.UserPrefix, other) || strings.HasPrefix(other, in.UserPrefix)) {
				l.doc.Fault(field, "one of this and issuers[%d].user_prefix begins with the other; write one such as %q", j, prefixFor(in))
				break
			}
		}
	}
}

// prefixFor proposes a user_prefix for an issuer.
func prefixFor(in issuer) string {
	if !issuerName.MatchString(in.Name) {
		return "partner:"
	}
	return in.Name + ":"
}
