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
	// APIKeyHeader is the request header that holds an API key and nothing else; "": there is none.
	APIKeyHeader string
	Now          func() time.Time
	NewID        func() string // a request id, where the caller brought none
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
	id = RequestID(r.Headers)
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

// decide judges in the order of the contract: path and route, the credential, permissions, the condition.
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
		why = "the route's access is deny"
		if rule.Route == "" {
			why = "no route matches, and the default access is deny"
		}
		r.Trace.Add("access", "refused", why)
		return d.refuse(ReasonForbidden, why)
	}

	d.Required = union(rule.Permissions, r.Required())
	d.Identity, reason, why = e.authenticate(ctx, r, rule, len(d.Required) > 0)
	if reason != ReasonGranted {
		return d.refuse(reason, why)
	}
	if reason, why = permitted(r, d.Required, d.Held()); reason != ReasonGranted {
		return d.refuse(reason, why)
	}
	if reason, why = e.holds(ctx, r, &d); reason != ReasonGranted {
		return d.refuse(reason, why)
	}
	if r.Reaches != nil && !r.Reaches(rule.Service) {
		if rule.Service == "" {
			r.Trace.Add("service", "refused", "the route names none")
			return d.refuse(ReasonNoService, "the route names no service")
		}
		r.Trace.Add("service", "refused", "nothing here leads to "+rule.Service)
		return d.refuse(ReasonNoService, "nothing here leads to the service "+rule.Service)
	}
	return e.grant(r, d)
}

// authenticate returns the principal, if the rule asks for one or takes one; permissions that are needed
// make it ask. The reason is ReasonGranted unless the request is refused.
func (e *Engine) authenticate(ctx context.Context, r *Request, rule Rule, needed bool) (*Identity, Reason, string) {
	access := rule.Access
	if needed && access != AccessAuthenticated {
		r.Trace.Add("access", "authenticated", "access is "+access.String()+", but permissions are required")
		access = AccessAuthenticated
	} else if r.Trace != nil {
		r.Trace.Add("access", access.String(), "")
	}
	if access == AccessPublic {
		return nil, ReasonGranted, ""
	}
	credential, reason, why := findCredential(r.Headers, e.options.APIKeyHeader)
	if reason == ReasonCredentialMissing && access == AccessOptional {
		r.Trace.Add("credential", "none", "access is optional")
		return nil, ReasonGranted, ""
	}
	if reason != ReasonGranted {
		r.Trace.Add("credential", "refused", why)
		return nil, reason, why
	}
	credential.Sources, credential.Trace = rule.Sources, r.Trace
	identity, err := e.verify(ctx, credential)
	if err != nil {
		r.Trace.Add("credential", "refused", err.Error())
		return nil, verifyReason(err), err.Error()
	}
	if r.Trace != nil {
		r.Trace.Add("credential", "verified", fmt.Sprintf("%s of %s: user %q, roles %q", credential.Kind, identity.Source, identity.UserID, identity.Roles))
	}
	return identity, ReasonGranted, ""
}

// verify returns the identity behind a credential, if its source is one that the route takes.
func (e *Engine) verify(ctx context.Context, c Credential) (*Identity, error) {
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
	if len(c.Sources) > 0 && !slices.Contains(c.Sources, source) {
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

// permitted compares what is required with what is held. The reason is ReasonGranted if all is.
func permitted(r *Request, required, held []string) (Reason, string) {
	if len(required) == 0 {
		return ReasonGranted, ""
	}
	missing := slices.IndexFunc(required, func(p string) bool { return !slices.Contains(held, p) })
	if r.Trace != nil {
		result := "held"
		if missing >= 0 {
			result = "refused"
		}
		r.Trace.Add("permissions", result, fmt.Sprintf("required %q, held %q", required, held))
	}
	if missing >= 0 {
		return ReasonPermissionMissing, fmt.Sprintf("permission %q is missing", required[missing])
	}
	return ReasonGranted, ""
}

// holds asks the condition of the route, if it has one. The reason is ReasonGranted if it is true.
func (e *Engine) holds(ctx context.Context, r *Request, d *Decision) (Reason, string) {
	if d.Rule.When == nil {
		return ReasonGranted, ""
	}
	var principal *Principal
	if d.Identity != nil {
		principal = &d.Identity.Principal
	}
	ok, compared, err := d.Rule.When(ctx, principal)
	switch {
	case err != nil:
		r.Trace.Add("when", "refused", err.Error())
		return ReasonForbidden, CauseWhenFails + err.Error()
	case !ok:
		r.Trace.Add("when", "false", compared)
		return ReasonForbidden, CauseWhenFalse + compared
	}
	r.Trace.Add("when", "true", compared)
	return ReasonGranted, ""
}

// How the [Decision.Cause] begins where the condition of the route refused.
const (
	CauseWhenFalse = "when is false: "
	CauseWhenFails = "when cannot be evaluated: "
)

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
	d.Remove = apiKeyHeaders(slices.Clip(d.Remove), r, e.options.APIKeyHeader)
	if d.Rule.StripCredentials {
		d.Remove = append(d.Remove, "authorization")
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

// union returns the permissions of a route and of its trusted context, without repeats. Nothing that a
// client sends is in it.
func union(route, context []string) []string {
	if len(context) == 0 {
		return route
	}
	return unique(append(slices.Clip(route), context...))
}

// RequestID returns the caller's X-Request-ID, or "" if there is none that is 1 to 128 safe characters.
func RequestID(headers []Header) string {
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
