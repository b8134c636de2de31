// Package authz is the engine of passgate: it takes what a door understood of a request and returns a
// decision.
//
// It owns the order in which a request is judged and the only code that can grant one. It knows no
// transport, no store, no file and no clock of its own: who the caller is comes from a [Verifier], what a
// route asks for from a [Policy], what the upstream is told from a [Stamper], the time from a function.
package authz

import (
	"context"
	"errors"
	"time"
)

// Header is one header line as it was received, or one to be set.
type Header struct{ Name, Value string }

// Request is what a door understood of a request. Its strings may alias the door's buffer: they are not
// kept once Decide has returned.
type Request struct {
	Method string
	Host   string // as received, with port and in any case
	Path   string // as received, query cut, not decoded

	// Headers are all lines that the door saw, repeats kept, names in any case.
	Headers []Header
	// HeadersFiltered says that the client may have sent headers that the door was not shown, so what must
	// not reach the upstream is named for removal unseen.
	HeadersFiltered bool

	// Context is what the caller of passgate says of the request: [RequiredPermission], and what else conditions
	// look at. Nothing that a client sends is in it.
	Context map[string]string
	// Reaches says whether the door can lead an allowed request to a service, "" where the route names none; one
	// that it cannot is ReasonNoService. nil: the service is not the door's business.
	Reaches func(service string) bool
	// Malformed, if not empty, is a fault of the request that only the door could see; it is refused as an
	// ambiguous path, with this text in the log.
	Malformed string

	// Trace collects the steps of the decision; nil when nobody asks, and then it costs nothing.
	Trace *Trace
}

// Named is a [Request.Reaches] of doors that only name the service.
func Named(service string) bool { return service != "" }

// Decider judges requests: an [Engine], or what stands before one.
type Decider interface {
	Decide(ctx context.Context, r *Request) Decision
}

// ErrCredentialInvalid puts the fault on the credential, whatever it is.
var ErrCredentialInvalid = errors.New("credential is not valid")

// ExpiredError says that a credential is good but for its expiry.
type ExpiredError struct {
	Source string // whose it was, as in [Principal]
	Detail string // for the log
}

func (e *ExpiredError) Error() string { return "credential has expired: " + e.Detail }

// Is makes errors.Is tell that an error is of this type, whatever its source.
func (e *ExpiredError) Is(target error) bool {
	_, ok := target.(*ExpiredError)
	return ok
}

// Verifier finds the identity behind a credential. An error wrapping [ErrCredentialInvalid] or an
// [*ExpiredError] says that the credential is at fault; any other, that it could not be judged, so access
// is not granted either. Error texts go to the log: they name claims and key IDs, never a secret.
// Implementations are safe for concurrent use.
type Verifier interface {
	Verify(ctx context.Context, c Credential, now time.Time) (*Identity, error)
}

// Principal is who was proven by a credential.
type Principal struct {
	Source       string // the configured name of the issuer, key file or server that vouches
	Issuer       string // iss, or "" where the source has none
	UserID       string // unique over all sources: it carries its source's prefix
	Email        string
	Subscription string
	Country      string
	Platform     string
	Roles        []string
	Permissions  []string // its own and those of its roles, in order, without repeats
	Claims       []byte   // what its source says of it, verified, as a JSON object; nil where it says no more
}

// Identity is a verified principal. It is immutable: caches hand one out to many requests.
type Identity struct {
	Principal
}

// Access says what a route asks of a caller before permissions. The zero value asks for a principal.
type Access uint8

// The access levels of a route.
const (
	AccessAuthenticated Access = iota // a verified credential
	AccessOptional                    // verified if present
	AccessPublic                      // no credential is read
	AccessDeny                        // nobody
)

// String returns the level as written in the configuration.
func (a Access) String() string {
	switch a {
	case AccessAuthenticated:
		return "authenticated"
	case AccessOptional:
		return "optional"
	case AccessPublic:
		return "public"
	}
	return "deny"
}

// Services with a meaning of their own.
const (
	OwnService     = "passgate" // what passgate serves itself; no upstream has this name
	DefaultService = "default"  // the upstream of every service without one
)

// Rule is what a policy asks of one request.
type Rule struct {
	Route            string // name of the route, "" where none matched
	Service          string // the upstream's name, "" where the route has none
	Access           Access
	Permissions      []string // all of them are required
	Sources          []string // whose credentials are taken; empty: any source's
	StripCredentials bool     // the credential does not reach the upstream

	// When is asked last, with the principal or nil; nil: there is no further condition. An error refuses as
	// false does. What was compared, and the error's text, go to the log.
	When func(ctx context.Context, p *Principal) (ok bool, compared string, err error)
}

// Policy finds the rule of a request. A reason other than ReasonGranted refuses the request before any
// route is looked at, and why says what was wrong, for the log. Match writes the routes that it looked at
// to r.Trace.
type Policy interface {
	Match(r *Request) (rule Rule, reason Reason, why string)
}

// Stamp is what the upstream is told.
type Stamp struct {
	Set   []Header // headers that overwrite the client's
	Unset []string // identity headers that are not in Set, to be removed
}

// ErrStampTooLarge says that an identity does not fit in the headers it is allowed.
var ErrStampTooLarge = errors.New("identity headers are too large")

// Stamper writes the identity headers and names the client headers that must not pass beside them.
// Implementations are safe for concurrent use.
type Stamper interface {
	// Stamp returns the headers of an identity, nil standing for a request without a principal.
	Stamp(id *Identity, now time.Time) (*Stamp, error)
	// Spoofed appends to dst the names of headers in r that an upstream could take for one of passgate's,
	// or for another request line. It never names a header that Stamp sets.
	Spoofed(dst []string, r *Request) []string
}
