package account

import (
	"errors"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

// Bounds of an address, in bytes: RFC 5321 §4.5.3.1.1, and §4.5.3.1.3 less its angle brackets.
const (
	maxLocalPart = 64
	maxEmail     = 254
	// maxGivenEmail bounds the work on an address whose domain is yet to become A-labels: a character has one byte
	// or more there, and four or fewer here.
	maxGivenEmail = 4 * maxEmail
)

// Faults of an address, as its owner is told of them. None of them holds the address.
var (
	errEmailForm   = errors.New("want an address such as name@example.com")
	errEmailLong   = errors.New("want 254 bytes or fewer, and 64 or fewer before the @")
	errEmailLocal  = errors.New("want only ASCII letters, digits, single dots and !#$%&'*+-/=?^_`{|}~ before the @")
	errEmailDomain = errors.New("want a domain name such as example.com after the @")
	errEmailFolds  = errors.New("holds an invisible character, or one that stands for an ASCII one; write the plain ASCII characters")
)

// CanonicalEmail returns the one form of an e-mail address under which there is an account: printable ASCII, in
// lower case, an internationalized domain as A-labels (RFC 5890 §2.3.2.1). Nothing else is taken for the same:
// dots and +tags before the @ count, ß is not ss, and ı is not i.
//
// It takes a dot-atom and a domain name (RFC 5322 §3.4.1) of two labels or more, as they are and nothing around
// them. It refuses quoted and non-ASCII local parts, IP addresses, and every character that Unicode folds into
// ASCII ones or leaves out, such as the Kelvin sign or a soft hyphen. Its error is fit to be shown to a client.
func CanonicalEmail(address string) (string, error) {
	switch {
	case len(address) > maxGivenEmail || len(address) > maxEmail && isASCII(address):
		return "", errEmailLong
	case !utf8.ValidString(address):
		return "", errEmailForm
	case strings.ContainsFunc(address, foldsToASCII),
		strings.ContainsFunc(norm.NFD.String(address), foldsToASCII): // ẛ is a long s with a dot
		return "", errEmailFolds
	}
	local, domain, _ := strings.Cut(address, "@")
	if local == "" || domain == "" || strings.Contains(domain, "@") {
		return "", errEmailForm
	}
	if !isDotAtom(local) {
		return "", errEmailLocal
	}
	domain, ok := canonicalDomain(domain)
	if !ok {
		return "", errEmailDomain
	}
	if len(local) > maxLocalPart || len(local)+len("@")+len(domain) > maxEmail {
		return "", errEmailLong
	}
	return strings.ToLower(local) + "@" + domain, nil
}

// isDotAtom reports whether s is the local part of an address that needs no quotes (RFC 5322 §3.2.3).
func isDotAtom(s string) bool {
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" || strings.ContainsFunc(atom, func(r rune) bool {
			return !isASCIIAlphanumeric(r) && !strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", r)
		}) {
			return false
		}
	}
	return true
}

// lookup makes A-labels of U-labels as one that looks a name up does (RFC 5891 §5, UTS #46), nontransitional.
var lookup = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.VerifyDNSLength(true))

// canonicalDomain returns a domain name in lower case and A-labels. No character of domain may be one that
// [foldsToASCII].
func canonicalDomain(domain string) (string, bool) {
	// idna maps each character before it puts marks in their order, and U+0345 becomes a letter: without this, one
	// domain written in two orders would be two.
	ascii, err := lookup.ToASCII(norm.NFC.String(domain))
	if err != nil {
		return "", false
	}
	labels := strings.Split(ascii, ".")
	if len(labels) < 2 || isNumber(labels[len(labels)-1]) {
		return "", false
	}
	// What claims to be an A-label has to be one (RFC 5890 §2.3.2.1): idna reads xn--ü- as another way to write ü.
	for given := range strings.SplitSeq(strings.ToLower(domain), ".") {
		if strings.HasPrefix(given, "xn--") && !slices.Contains(labels, given) {
			return "", false
		}
	}
	// idna applies its rules to what was typed. What that became must obey them too: ℵ, a symbol of no direction,
	// becomes a Hebrew letter.
	unicodeName, err := lookup.ToUnicode(ascii)
	return ascii, err == nil && !strings.ContainsFunc(unicodeName, isSymbol)
}

// foldsToASCII reports whether a character beyond ASCII is equal to ASCII ones, or to none at all, for somebody
// who compares folded or normalized text or who resolves domain names. Two such spellings of one address would
// be two accounts, or one account of two people.
func foldsToASCII(r rune) bool {
	if r < utf8.RuneSelf {
		return false
	}
	mapped, _ := lookup.ToUnicode(string(r)) // folds case too; its error is about something else
	return mapped == "" || holdsASCII(mapped) || holdsASCII(norm.NFKC.String(string(r)))
}

// isSymbol reports whether a character is none that IDNA2008 has in names (RFC 5892 §2): a symbol such as ☃, or
// Braille's blank cell. UTS #46 lets them pass.
func isSymbol(r rune) bool {
	return !unicode.In(r, unicode.L, unicode.M, unicode.Nd) && !strings.ContainsRune(".-·͵׳״・〇\u200c\u200d", r)
}

// isNumber reports whether the last label of a name makes it an IPv4 address, or is the empty one after a last dot.
func isNumber(label string) bool { return strings.Trim(label, "0123456789") == "" }

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf })
}

func holdsASCII(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < utf8.RuneSelf })
}

func isASCIILetter(r rune) bool { return 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z' }

func isASCIIAlphanumeric(r rune) bool { return isASCIILetter(r) || '0' <= r && r <= '9' }
