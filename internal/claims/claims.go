// Package claims reads what a token, or a server asked about one, says of a user (RFC 7519 §4, RFC 7662 §2.2): each
// claim of its right type, and all of them against the clock. Who says so, and whether that is true, is the business
// of the verifiers.
package claims

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/strict"
)

// Names says which claim holds what. None is empty.
type Names struct {
	UserID, Roles, Permissions, Scope, Email, Subscription, Country, Platform string
}

// Complete reports whether every claim has a name.
func (n Names) Complete() bool {
	return !slices.Contains([]string{n.UserID, n.Roles, n.Permissions, n.Scope, n.Email, n.Subscription, n.Country, n.Platform}, "")
}

// Claims is what was said, each claim of its right type.
type Claims struct {
	Principal authz.Principal // without a source
	Expires   int64           // exp in seconds since 1970; only if HasExpiry
	HasExpiry bool

	audience  []string
	notBefore int64 // 0 if absent, as is the next one
	issuedAt  int64
}

// Read reads claims of exact types. A claim that is present and of another type, null included, is an error:
// what it was meant to say cannot be known. Absence is an error for the user id and the required claims alone.
func Read(o strict.Object, names *Names, required ...string) (*Claims, error) {
	r := reader{object: o}
	c := &Claims{
		Expires:   r.time("exp"),
		notBefore: r.time("nbf"),
		issuedAt:  r.time("iat"),
		audience:  r.oneOrMore("aud"),
		Principal: authz.Principal{
			UserID:       r.nonEmpty(names.UserID),
			Email:        r.text(names.Email),
			Subscription: r.text(names.Subscription),
			Country:      r.text(names.Country),
			Platform:     r.text(names.Platform),
			Roles:        r.oneOrMore(names.Roles),
			// RFC 6749 §3.3: words are parted by blanks, and by nothing else.
			Permissions: append(r.list(names.Permissions), strings.Split(r.text(names.Scope), " ")...),
		},
	}
	if names.Roles == "roles" {
		c.Principal.Roles = append(c.Principal.Roles, r.oneOrMore("role")...)
	}
	r.text("sub")
	r.text("jti")
	_, c.HasExpiry = o["exp"]
	for _, name := range required {
		switch v, ok := o[name]; {
		case !ok:
			r.fail(fmt.Errorf("%q is missing", name))
		case string(v) == `""`:
			r.fail(fmt.Errorf("%q is empty", name))
		}
	}
	return c, r.err
}

// Rules are what claims are judged by.
type Rules struct {
	Source    string        // of the principal, as in [authz.Principal]
	Audiences []string      // one of them must be in aud; empty: any
	Leeway    time.Duration // how long past exp a credential is good, in whole seconds
	ClockSkew time.Duration // how far ahead nbf and iat may be, in whole seconds
}

// Judge compares what the claims say with now, in seconds since 1970, and with what the credentials of
// the source are for. Expiry comes first: of an expired token that is all there is to say.
func (c *Claims) Judge(r *Rules, now int64) error {
	if c.HasExpiry && now >= c.Expires+seconds(r.Leeway) { // RFC 7519 §4.1.4: now must be before exp
		return &authz.ExpiredError{Source: r.Source, Detail: fmt.Sprintf("exp is %d, now %d", c.Expires, now)}
	}
	ahead := now + seconds(r.ClockSkew)
	if c.notBefore > ahead {
		return fmt.Errorf("%w: nbf is %d, now %d", authz.ErrCredentialInvalid, c.notBefore, now)
	}
	if c.issuedAt > ahead {
		return fmt.Errorf("%w: iat is %d, now %d", authz.ErrCredentialInvalid, c.issuedAt, now)
	}
	if len(r.Audiences) == 0 {
		return nil
	}
	for _, a := range c.audience {
		if slices.Contains(r.Audiences, a) {
			return nil
		}
	}
	if len(c.audience) == 0 {
		return fmt.Errorf("%w: aud is missing, and one of %q is asked for", authz.ErrCredentialInvalid, r.Audiences)
	}
	return fmt.Errorf("%w: aud names none of %q", authz.ErrCredentialInvalid, r.Audiences)
}

// Describe returns what Judge compares, for a trace.
func (c *Claims) Describe(r *Rules, now int64) string {
	text := fmt.Sprintf("now %d: no exp", now)
	if c.HasExpiry {
		text = fmt.Sprintf("now %d: exp %d (leeway %s)", now, c.Expires, r.Leeway)
	}
	for _, t := range []struct {
		name  string
		value int64
	}{{"nbf", c.notBefore}, {"iat", c.issuedAt}} {
		if t.value != 0 {
			text += fmt.Sprintf(", %s %d (clock skew %s)", t.name, t.value, r.ClockSkew)
		}
	}
	if len(r.Audiences) == 0 {
		return text + fmt.Sprintf("; aud %.64q, any is taken", c.audience)
	}
	return text + fmt.Sprintf("; aud %.64q, one of %q is asked for", c.audience, r.Audiences)
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

// reader reads the members of an object and keeps the first error.
type reader struct {
	object strict.Object
	err    error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *reader) text(name string) string {
	s, _, err := r.object.String(name)
	r.fail(err)
	return s
}

func (r *reader) nonEmpty(name string) string {
	s, err := r.object.Required(name)
	if err == nil && s == "" {
		err = fmt.Errorf("%.64q is empty", name)
	}
	r.fail(err)
	return s
}

func (r *reader) list(name string) []string {
	list, err := r.object.Strings(name)
	r.fail(err)
	return list
}

// oneOrMore is list for a claim that may be one string, too.
func (r *reader) oneOrMore(name string) []string {
	list, err := r.object.StringOrStrings(name)
	r.fail(err)
	return list
}

func (r *reader) time(name string) int64 {
	v, ok := r.object[name]
	if !ok {
		return 0
	}
	t, ok := parseTime(v)
	if !ok {
		r.fail(fmt.Errorf("%q is not a number of whole seconds from 0 to the year 9999", name))
	}
	return t
}

// maxTime is the last second of the year 9999.
const maxTime = 253402300799

// parseTime returns the value of a JSON number that is an integer from 0 to maxTime, however it is written:
// 1e9 and 1.0 are integers too. It computes on the digits, as a float would round, and does no more work
// than there are digits, as 1e999999999 would ask of a big number.
func parseTime(v jsontext.Value) (int64, bool) {
	if v.Kind() != '0' {
		return 0, false
	}
	mantissa, exponent, _ := strings.Cut(strings.ToLower(string(v)), "e")
	mantissa, negative := strings.CutPrefix(mantissa, "-")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	if digits == "" {
		return 0, true // whatever the exponent or the sign
	}
	if negative {
		return 0, false
	}
	// 0 if there is none. What 31 bits cannot hold is cut to them: more than any token's length makes up for.
	power, _ := strconv.ParseInt(exponent, 10, 31)
	significant := strings.TrimRight(digits, "0")
	shift := int(power) - len(fraction) + len(digits) - len(significant) // the value is significant × 10^shift
	if shift < 0 || len(significant)+shift > len(strconv.Itoa(maxTime)) {
		return 0, false
	}
	n, err := strconv.ParseInt(significant+strings.Repeat("0", shift), 10, 64)
	return n, err == nil && n <= maxTime
}
