package authz

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// Engine joins verifiers, a policy and a stamper into decisions. It is immutable and safe for concurrent
// use; make one with [New].
type Engine struct {
	options Options
}

var _ Decider = (*Engine)(nil)

// Options are the parts of an [Engine]. Policy, Stamper, Now and NewID are required.
type Options struct {
	Policy    Policy
	Verifiers map[Kind]Verifier // a kind without a verifier is not a credential here: it is refused
	Stamper   Stamper
	Now       func() time.Time
	NewID     func() string // a request id, where the caller brought none
}

// New returns an engine of these parts. It panics if one is missing, which is a fault of the program and
// not of a configuration.
func New(o Options) *Engine {
	if o.Policy == nil || o.Stamper == nil || o.Now == nil || o.NewID == nil {
		panic("authz: an engine needs a policy, a stamper, a clock and a source of ids")
	}
	return &Engine{o}
}

// Decide judges a request. It never fails: a fault, a panic and a context that ended are decisions with
// [ReasonUnavailable].
func (e *Engine) Decide(ctx context.Context, r *Request) (d Decision) {
	// A panic must not leave anything behind that reads as an allow: the decision is rebuilt from zero.
	id := ""
	defer func() {
		if p := recover(); p != nil {
			d = Decision{RequestID: id, Cause: fmt.Sprintf("panic: %v\n%s", p, debug.Stack())}
		}
	}()
	id = requestID(r.Headers)
	if id == "" {
		id = e.options.NewID()
	}
	d = e.decide(ctx, r)
	d.RequestID = id
	// The answer to a late request may already have been given by someone else, or be about the past.
	if err := ctx.Err(); err != nil {
		d = Decision{RequestID: id, Rule: d.Rule, Cause: "the caller's deadline passed: " + err.Error()}
	}
	return d
}

// decide judges in the order of the contract: path and route, then the credential, then permissions.
// Every return but the last refuses.
func (e *Engine) decide(ctx context.Context, r *Request) Decision {
	if err := ctx.Err(); err != nil {
		return Decision{Cause: "the caller's deadline passed: " + err.Error()}
	}
	if r.Malformed != "" {
		r.Trace.Add("request", "refused", r.Malformed)
		return Decision{Reason: ReasonPathAmbiguous, Cause: r.Malformed}
	}
	rule, reason, why := e.options.Policy.Match(r)
	d := Decision{Rule: rule}
	if reason != ReasonGranted {
		return d.refuse(reason, why)
	}
	if rule.Access >= AccessDeny { // an access that does not exist is none
		r.Trace.Add("access", "refused", "access is deny")
		return d.refuse(ReasonForbidden, "the route's access is deny")
	}

	required := required(rule.Permissions, r.Require)
	if !e.authenticate(ctx, r, &d, len(required) > 0) {
		return d
	}
	if len(required) > 0 && !e.permitted(r, &d, required) {
		return d
	}
	if r.NeedService && rule.Service == "" {
		return d.refuse(ReasonNoService, "the route names no service")
	}
	return e.grant(r, d)
}

// authenticate finds the principal, if the rule asks for one or takes one. It returns false after writing
// a refusal to d.
func (e *Engine) authenticate(ctx context.Context, r *Request, d *Decision, needed bool) bool {
	access := d.Rule.Access
	if needed && access != AccessAuthenticated {
		r.Trace.Add("access", "authenticated", "access is "+access.String()+", but permissions are required")
		access = AccessAuthenticated
	} else if r.Trace != nil {
		r.Trace.Add("access", access.String(), "")
	}
	if access == AccessPublic {
		return true
	}
	credential, reason, why := findCredential(r.Headers)
	if reason == ReasonCredentialMissing && access == AccessOptional {
		r.Trace.Add("credential", "none", "access is optional")
		return true
	}
	if reason != ReasonGranted {
		r.Trace.Add("credential", "refused", why)
		*d = d.refuse(reason, why)
		return false
	}
	identity, err := e.verify(ctx, d.Rule.Sources, credential)
	if err != nil {
		r.Trace.Add("credential", "refused", err.Error())
		*d = d.refuse(verifyReason(err), err.Error())
		return false
	}
	if r.Trace != nil {
		r.Trace.Add("credential", "verified", fmt.Sprintf("%s of %s: user %q, roles %q", credential.Kind, identity.Source, identity.UserID, identity.Roles))
	}
	d.Identity = identity
	return true
}

// verify returns the identity behind a credential, if its source is one of sources.
func (e *Engine) verify(ctx context.Context, sources []string, c Credential) (*Identity, error) {
	verifier := e.options.Verifiers[c.Kind]
	if verifier == nil {
		return nil, fmt.Errorf("%w: nothing here verifies a credential of the kind %s", ErrCredentialInvalid, c.Kind)
	}
	identity, err := verifier.Verify(ctx, c, e.options.Now())
	source := ""
	var expired *ExpiredError
	switch {
	case errors.As(err, &expired):
		source = expired.Source
	case err != nil:
		return nil, err
	case identity == nil || identity.UserID == "" || identity.Source == "":
		return nil, errors.New("the verifier returned no identity")
	default:
		source = identity.Source
	}
	if len(sources) > 0 && !slices.Contains(sources, source) {
		return nil, fmt.Errorf("%w: the route takes no credentials of %s", ErrCredentialInvalid, source)
	}
	return identity, err
}

// verifyReason maps a verifier's error; one that does not blame the credential is unavailability.
func verifyReason(err error) Reason {
	switch {
	case errors.Is(err, &ExpiredError{}):
		return ReasonCredentialExpired
	case errors.Is(err, ErrCredentialInvalid):
		return ReasonCredentialInvalid
	}
	return ReasonUnavailable
}

// permitted reports whether the principal holds all that is required; if not, it writes a refusal to d.
func (e *Engine) permitted(r *Request, d *Decision, required []string) bool {
	held := d.Identity.Permissions
	for _, p := range required {
		if !slices.Contains(held, p) {
			d.Required, d.Held = required, held
			*d = d.refuse(ReasonPermissionMissing, fmt.Sprintf("permission %q is missing", p))
			if r.Trace != nil {
				r.Trace.Add("permissions", "refused", fmt.Sprintf("required %q, held %q, missing %q", required, held, p))
			}
			return false
		}
	}
	if r.Trace != nil {
		r.Trace.Add("permissions", "held", fmt.Sprintf("required %q, held %q", required, held))
	}
	return true
}

// grant turns d into an allow. It is the one place that does.
func (e *Engine) grant(r *Request, d Decision) Decision {
	stamp, err := e.options.Stamper.Stamp(d.Identity, e.options.Now())
	if errors.Is(err, ErrStampTooLarge) {
		r.Trace.Add("identity", "refused", err.Error())
		return d.refuse(ReasonForbidden, err.Error())
	}
	if err != nil || stamp == nil {
		return d.refuse(ReasonUnavailable, fmt.Sprintf("stamp the identity: %v", err))
	}
	d.Stamp = stamp
	d.Remove = e.options.Stamper.Spoofed(slices.Clip(stamp.Unset), r)
	if d.Rule.StripCredentials {
		d.Remove = append(slices.Clip(d.Remove), "authorization")
	}
	if r.Trace != nil {
		for _, h := range stamp.Set {
			r.Trace.Add("identity", "set", h.Name)
		}
		for _, name := range d.Remove {
			r.Trace.Add("identity", "removed", name)
		}
	}
	d.Reason = ReasonGranted
	d.granted = true
	return d
}

// refuse returns d as a refusal.
func (d Decision) refuse(reason Reason, cause string) Decision {
	d.granted = false
	d.Stamp, d.Remove = nil, nil
	d.Reason, d.Cause = reason, cause
	return d
}

// required returns all that is asked for, the route's first. Nothing that a client sends is in it.
func required(route, context []string) []string {
	if len(context) == 0 {
		return route
	}
	return unique(append(slices.Clip(route), context...))
}

// requestID returns the caller's X-Request-ID, or "" if there is none that is 1 to 128 safe characters.
func requestID(headers []Header) string {
	for i := range headers {
		if strings.EqualFold(headers[i].Name, "x-request-id") {
			if id := headers[i].Value; len(id) <= 128 && isToken68(id) {
				return id
			}
			return ""
		}
	}
	return ""
}
