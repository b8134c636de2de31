package authz_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/passgate/passgate/internal/authz"
)

// The fakes below are the smallest parts an engine can be made of. Tests change a function to bring in
// one fault.
type parts struct {
	rule    authz.Rule
	reason  authz.Reason
	match   func(*authz.Request) // called before Match answers
	verify  func(context.Context, authz.Credential) (*authz.Identity, error)
	stamp   func(*authz.Identity) (*authz.Stamp, error)
	spoofed func(*authz.Request) []string
}

func (p *parts) Match(r *authz.Request) (authz.Rule, authz.Reason, string) {
	if p.match != nil {
		p.match(r)
	}
	return p.rule, p.reason, "because"
}

func (p *parts) Verify(ctx context.Context, c authz.Credential, _ time.Time) (*authz.Identity, error) {
	return p.verify(ctx, c)
}

func (p *parts) Stamp(id *authz.Identity, _ time.Time) (*authz.Stamp, error) { return p.stamp(id) }

func (p *parts) Spoofed(dst []string, r *authz.Request) []string {
	return append(dst, p.spoofed(r)...)
}

// working returns parts that allow a reader with the token "a.good.token".
func working() *parts {
	return &parts{
		rule:   authz.Rule{Route: "r", Service: "s", Permissions: []string{"read"}},
		reason: authz.ReasonGranted,
		verify: func(_ context.Context, c authz.Credential) (*authz.Identity, error) {
			switch c.Value {
			case "a.good.token":
				return &authz.Identity{Principal: authz.Principal{Source: "accounts", UserID: "ann", Permissions: []string{"read"}}}, nil
			case "an.expired.token":
				return nil, fmt.Errorf("verify: %w", &authz.ExpiredError{Source: "accounts", Detail: "exp is 1"})
			case "no.keys.here":
				return nil, errors.New("key set is down")
			}
			return nil, fmt.Errorf("signature: %w", authz.ErrCredentialInvalid)
		},
		stamp: func(id *authz.Identity) (*authz.Stamp, error) {
			if id == nil {
				return &authz.Stamp{Unset: []string{"X-User-ID"}}, nil
			}
			return &authz.Stamp{Set: []authz.Header{{Name: "X-User-ID", Value: id.UserID}}}, nil
		},
		spoofed: func(*authz.Request) []string { return nil },
	}
}

func (p *parts) engine() *authz.Engine {
	return authz.New(authz.Options{
		Policy:    p,
		Verifiers: map[authz.Kind]authz.Verifier{authz.KindJWT: p},
		Stamper:   p,
		Now:       func() time.Time { return time.Unix(1_700_000_000, 0) },
		NewID:     func() string { return "new-id" },
	})
}

func request(headers ...authz.Header) *authz.Request {
	return &authz.Request{Method: "GET", Host: "localhost", Path: "/", Headers: headers}
}

func authorization(value string) authz.Header {
	return authz.Header{Name: "Authorization", Value: value}
}

func TestDecide(t *testing.T) {
	good := authorization("Bearer a.good.token")
	tests := []struct {
		name    string
		change  func(*parts, *authz.Request)
		headers []authz.Header
		want    authz.Reason
	}{
		{name: "permission held", headers: []authz.Header{good}, want: authz.ReasonGranted},
		{name: "scheme in any case", headers: []authz.Header{authorization("bEARER a.good.token")}, want: authz.ReasonGranted},
		{name: "header name in any case", headers: []authz.Header{{Name: "AUTHORIZATION", Value: good.Value}}, want: authz.ReasonGranted},
		{name: "blanks around the value are HTTP's", headers: []authz.Header{authorization(" \tBearer a.good.token ")}, want: authz.ReasonGranted},

		{name: "no header", want: authz.ReasonCredentialMissing},
		{name: "empty header", headers: []authz.Header{authorization("")}, want: authz.ReasonCredentialMissing},
		{name: "blank header", headers: []authz.Header{authorization(" \t")}, want: authz.ReasonCredentialMissing},
		{name: "two headers", headers: []authz.Header{good, good}, want: authz.ReasonCredentialsMultiple},
		{name: "two headers, one empty", headers: []authz.Header{authorization(""), good}, want: authz.ReasonCredentialsMultiple},
		{name: "two headers of different case", headers: []authz.Header{good, {Name: "authorization", Value: good.Value}}, want: authz.ReasonCredentialsMultiple},
		{name: "two values joined by a comma", headers: []authz.Header{authorization("Bearer a.good.token,Bearer a.good.token")}, want: authz.ReasonCredentialsMultiple},
		{name: "a lone comma", headers: []authz.Header{authorization(",")}, want: authz.ReasonCredentialsMultiple},
		{name: "bad signature", headers: []authz.Header{authorization("Bearer a.forged.token")}, want: authz.ReasonCredentialInvalid},
		{name: "expired", headers: []authz.Header{authorization("Bearer an.expired.token")}, want: authz.ReasonCredentialExpired},
		{name: "key set down", headers: []authz.Header{authorization("Bearer no.keys.here")}, want: authz.ReasonUnavailable},
		{name: "two blanks", headers: []authz.Header{authorization("Bearer  a.good.token")}, want: authz.ReasonCredentialInvalid},
		{name: "tab for a blank", headers: []authz.Header{authorization("Bearer\ta.good.token")}, want: authz.ReasonCredentialInvalid},
		{name: "scheme alone", headers: []authz.Header{authorization("Bearer")}, want: authz.ReasonCredentialInvalid},
		{name: "token without scheme", headers: []authz.Header{authorization("a.good.token")}, want: authz.ReasonCredentialInvalid},
		{name: "another scheme", headers: []authz.Header{authorization("Basic YTpi")}, want: authz.ReasonCredentialInvalid},
		{name: "a kind that nothing verifies", headers: []authz.Header{authorization("Bearer opaque")}, want: authz.ReasonCredentialInvalid},
		{name: "API key that nothing verifies", headers: []authz.Header{authorization("ApiKey a.good.token")}, want: authz.ReasonCredentialInvalid},
		{name: "token with parameters", headers: []authz.Header{authorization("Bearer a.good.token; x=y")}, want: authz.ReasonCredentialInvalid},

		{name: "permission missing", headers: []authz.Header{good}, want: authz.ReasonPermissionMissing,
			change: func(p *parts, _ *authz.Request) { p.rule.Permissions = []string{"read", "delete"} }},
		{name: "permission in another case", headers: []authz.Header{good}, want: authz.ReasonPermissionMissing,
			change: func(p *parts, _ *authz.Request) { p.rule.Permissions = []string{"Read"} }},
		{name: "permission missing that context requires", headers: []authz.Header{good}, want: authz.ReasonPermissionMissing,
			change: func(_ *parts, r *authz.Request) { r.Context = map[string]string{authz.RequiredPermission: "delete"} }},
		{name: "permission held that context requires", headers: []authz.Header{good}, want: authz.ReasonGranted,
			change: func(_ *parts, r *authz.Request) { r.Context = map[string]string{authz.RequiredPermission: "read"} }},

		{name: "public without a credential", want: authz.ReasonGranted, change: access(authz.AccessPublic)},
		{name: "public with a bad credential", headers: []authz.Header{authorization("Bearer a.forged.token")}, want: authz.ReasonGranted, change: access(authz.AccessPublic)},
		{name: "public with two credentials", headers: []authz.Header{good, good}, want: authz.ReasonGranted, change: access(authz.AccessPublic)},
		{name: "public, but context requires", want: authz.ReasonCredentialMissing,
			change: func(p *parts, r *authz.Request) {
				access(authz.AccessPublic)(p, r)
				r.Context = map[string]string{authz.RequiredPermission: "read"}
			}},
		{name: "optional without a credential", want: authz.ReasonGranted, change: access(authz.AccessOptional)},
		{name: "optional with a good credential", headers: []authz.Header{good}, want: authz.ReasonGranted, change: access(authz.AccessOptional)},
		{name: "optional with a bad credential", headers: []authz.Header{authorization("Bearer a.forged.token")}, want: authz.ReasonCredentialInvalid, change: access(authz.AccessOptional)},
		{name: "optional, but context requires", want: authz.ReasonCredentialMissing,
			change: func(p *parts, r *authz.Request) {
				access(authz.AccessOptional)(p, r)
				r.Context = map[string]string{authz.RequiredPermission: "read"}
			}},
		{name: "deny without a credential", want: authz.ReasonForbidden, change: access(authz.AccessDeny)},
		{name: "deny with a good credential", headers: []authz.Header{good}, want: authz.ReasonForbidden, change: access(authz.AccessDeny)},
		{name: "an access that does not exist", headers: []authz.Header{good}, want: authz.ReasonForbidden, change: access(authz.AccessDeny + 1)},

		{name: "policy refuses the path", headers: []authz.Header{good}, want: authz.ReasonPathAmbiguous,
			change: func(p *parts, _ *authz.Request) { p.reason = authz.ReasonPathAmbiguous }},
		{name: "policy gives no reason", headers: []authz.Header{good}, want: authz.ReasonUnavailable,
			change: func(p *parts, _ *authz.Request) { p.reason = 0 }},
		{name: "door saw a malformed request", headers: []authz.Header{good}, want: authz.ReasonPathAmbiguous,
			change: func(_ *parts, r *authz.Request) { r.Malformed = "bytes" }},
		{name: "source not taken by the route", headers: []authz.Header{good}, want: authz.ReasonCredentialInvalid,
			change: func(p *parts, _ *authz.Request) { p.rule.Sources = []string{"partner"} }},
		{name: "expired, of a source not taken by the route", headers: []authz.Header{authorization("Bearer an.expired.token")}, want: authz.ReasonCredentialInvalid,
			change: func(p *parts, _ *authz.Request) { p.rule.Sources = []string{"partner"} }},
		{name: "expired, of a source taken by the route", headers: []authz.Header{authorization("Bearer an.expired.token")}, want: authz.ReasonCredentialExpired,
			change: func(p *parts, _ *authz.Request) { p.rule.Sources = []string{"accounts"} }},
		{name: "source taken by the route", headers: []authz.Header{good}, want: authz.ReasonGranted,
			change: func(p *parts, _ *authz.Request) { p.rule.Sources = []string{"partner", "accounts"} }},
		{name: "no service where one is needed", headers: []authz.Header{good}, want: authz.ReasonNoService,
			change: func(p *parts, r *authz.Request) { p.rule.Service = ""; r.Reaches = authz.Named }},
		{name: "a service that nothing leads to", headers: []authz.Header{good}, want: authz.ReasonNoService,
			change: func(p *parts, r *authz.Request) {
				p.rule.Service = "billing"
				r.Reaches = func(service string) bool { return service != "billing" }
			}},
		{name: "no service, but denied before", want: authz.ReasonCredentialMissing,
			change: func(p *parts, r *authz.Request) { p.rule.Service = ""; r.Reaches = authz.Named }},

		{name: "verifier returns nothing", headers: []authz.Header{good}, want: authz.ReasonUnavailable,
			change: func(p *parts, _ *authz.Request) {
				p.verify = func(context.Context, authz.Credential) (*authz.Identity, error) { return nil, nil }
			}},
		{name: "verifier returns a user of no source", headers: []authz.Header{good}, want: authz.ReasonUnavailable,
			change: func(p *parts, _ *authz.Request) {
				p.verify = func(context.Context, authz.Credential) (*authz.Identity, error) {
					return &authz.Identity{Principal: authz.Principal{UserID: "ann", Permissions: []string{"read"}}}, nil
				}
			}},
		{name: "verifier returns a source without a user", headers: []authz.Header{good}, want: authz.ReasonUnavailable,
			change: func(p *parts, _ *authz.Request) {
				p.verify = func(context.Context, authz.Credential) (*authz.Identity, error) {
					return &authz.Identity{Principal: authz.Principal{Source: "accounts", Permissions: []string{"read"}}}, nil
				}
			}},
		{name: "verifier returns nobody", headers: []authz.Header{good}, want: authz.ReasonUnavailable,
			change: func(p *parts, _ *authz.Request) {
				p.verify = func(context.Context, authz.Credential) (*authz.Identity, error) { return &authz.Identity{}, nil }
			}},
		{name: "identity too large", headers: []authz.Header{good}, want: authz.ReasonForbidden,
			change: func(p *parts, _ *authz.Request) {
				p.stamp = func(*authz.Identity) (*authz.Stamp, error) {
					return nil, fmt.Errorf("%w: 13 KiB", authz.ErrStampTooLarge)
				}
			}},
		{name: "stamper fails", headers: []authz.Header{good}, want: authz.ReasonUnavailable,
			change: func(p *parts, _ *authz.Request) {
				p.stamp = func(*authz.Identity) (*authz.Stamp, error) { return &authz.Stamp{}, errors.New("no key") }
			}},
		{name: "stamper returns nothing", headers: []authz.Header{good}, want: authz.ReasonUnavailable,
			change: func(p *parts, _ *authz.Request) {
				p.stamp = func(*authz.Identity) (*authz.Stamp, error) { return nil, nil }
			}},
		{name: "policy panics", headers: []authz.Header{good}, want: authz.ReasonUnavailable,
			change: func(p *parts, _ *authz.Request) { p.match = func(*authz.Request) { panic("policy") } }},
		{name: "verifier panics", headers: []authz.Header{good}, want: authz.ReasonUnavailable,
			change: func(p *parts, _ *authz.Request) {
				p.verify = func(context.Context, authz.Credential) (*authz.Identity, error) { panic("verifier") }
			}},
		{name: "condition holds", headers: []authz.Header{good}, want: authz.ReasonGranted, change: when(true, nil)},
		{name: "condition is false", headers: []authz.Header{good}, want: authz.ReasonForbidden, change: when(false, nil)},
		{name: "condition cannot be evaluated", headers: []authz.Header{good}, want: authz.ReasonForbidden, change: when(false, errors.New("no such key"))},
		{name: "condition holds, with an error", headers: []authz.Header{good}, want: authz.ReasonForbidden, change: when(true, errors.New("no such key"))},
		{name: "condition panics", headers: []authz.Header{good}, want: authz.ReasonUnavailable,
			change: func(p *parts, _ *authz.Request) {
				p.rule.When = func(context.Context, *authz.Principal) (bool, string, error) { panic("when") }
			}},
		{name: "condition of a public route is false", want: authz.ReasonForbidden,
			change: func(p *parts, r *authz.Request) {
				access(authz.AccessPublic)(p, r)
				when(false, nil)(p, r)
			}},
		{name: "condition is not asked without the credential", want: authz.ReasonCredentialMissing, change: when(false, nil)},
		{name: "condition is not asked without the permission", headers: []authz.Header{good}, want: authz.ReasonPermissionMissing,
			change: func(p *parts, r *authz.Request) {
				p.rule.Permissions = []string{"delete"}
				when(false, nil)(p, r)
			}},
		{name: "condition is asked before the service", headers: []authz.Header{good}, want: authz.ReasonForbidden,
			change: func(p *parts, r *authz.Request) {
				p.rule.Service, r.Reaches = "", authz.Named
				when(false, nil)(p, r)
			}},

		{name: "stamper panics", headers: []authz.Header{good}, want: authz.ReasonUnavailable,
			change: func(p *parts, _ *authz.Request) {
				p.stamp = func(*authz.Identity) (*authz.Stamp, error) { panic("stamp") }
			}},
		{name: "stamper panics over the client's headers", headers: []authz.Header{good}, want: authz.ReasonUnavailable,
			change: func(p *parts, _ *authz.Request) { p.spoofed = func(*authz.Request) []string { panic("spoof") } }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, r := working(), request(tt.headers...)
			if tt.change != nil {
				tt.change(p, r)
			}
			for _, trace := range []*authz.Trace{nil, {}} {
				r.Trace = trace
				d := p.engine().Decide(t.Context(), r)
				check(t, &d, tt.want)
			}
		})
	}
}

// The characters at the ends of each range of a credential belong to it, and their neighbours do not.
func TestCharactersOfACredential(t *testing.T) {
	const all = "azAZ09-._~+/="
	p := working()
	p.verify = func(_ context.Context, c authz.Credential) (*authz.Identity, error) {
		return &authz.Identity{Principal: authz.Principal{Source: "accounts", UserID: "ann", Permissions: []string{"read"}}}, nil
	}
	d := p.engine().Decide(t.Context(), request(authorization("Bearer ."+all)))
	check(t, &d, authz.ReasonGranted)
	for _, c := range "`{@[:\"\x7f\u00e9" {
		d := p.engine().Decide(t.Context(), request(authorization("Bearer ."+all+string(c))))
		check(t, &d, authz.ReasonCredentialInvalid)
	}
}

func access(a authz.Access) func(*parts, *authz.Request) {
	return func(p *parts, _ *authz.Request) { p.rule.Access, p.rule.Permissions = a, nil }
}

func when(ok bool, err error) func(*parts, *authz.Request) {
	return func(p *parts, _ *authz.Request) {
		p.rule.When = func(context.Context, *authz.Principal) (bool, string, error) { return ok, "what was compared", err }
	}
}

// check holds what is true of every decision, whatever its reason.
func check(t *testing.T, d *authz.Decision, want authz.Reason) {
	t.Helper()
	if d.Reason != want {
		t.Errorf("reason = %d, want %d (cause: %s)", d.Reason, want, d.Cause)
	}
	if d.Allowed() != (want == authz.ReasonGranted) {
		t.Errorf("Allowed() = %v with reason %d", d.Allowed(), want)
	}
	if d.Allowed() != (d.Stamp != nil) || !d.Allowed() && d.Remove != nil {
		t.Errorf("Allowed() = %v with stamp %v and remove %q", d.Allowed(), d.Stamp, d.Remove)
	}
	if !d.Allowed() && d.Cause == "" {
		t.Error("a refusal has no cause for the log")
	}
	if d.RequestID == "" {
		t.Error("no request id")
	}
}

func TestConditionIsAskedAboutThePrincipal(t *testing.T) {
	for _, tt := range []struct {
		name    string
		access  authz.Access
		headers []authz.Header
		want    string // user id, "none" without a principal
	}{
		{"authenticated", authz.AccessAuthenticated, []authz.Header{authorization("Bearer a.good.token")}, "ann"},
		{"optional without a credential", authz.AccessOptional, nil, "none"},
		{"public", authz.AccessPublic, []authz.Header{authorization("Bearer a.good.token")}, "none"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, got := working(), "never asked"
			p.rule = authz.Rule{Access: tt.access, When: func(_ context.Context, principal *authz.Principal) (bool, string, error) {
				got = "none"
				if principal != nil {
					got = principal.UserID
				}
				return true, "", nil
			}}
			d := p.engine().Decide(t.Context(), request(tt.headers...))
			check(t, &d, authz.ReasonGranted)
			if got != tt.want {
				t.Errorf("asked about %s, want %s", got, tt.want)
			}
		})
	}
}

func TestCauseAndTraceOfACondition(t *testing.T) {
	for _, tt := range []struct {
		name  string
		ok    bool
		err   error
		cause string
		step  authz.Step
	}{
		{"holds", true, nil, "", authz.Step{Name: "when", Result: "true", Detail: "what was compared"}},
		{"false", false, nil, "when is false: what was compared", authz.Step{Name: "when", Result: "false", Detail: "what was compared"}},
		{"error", false, errors.New("no such key: x"), "when cannot be evaluated: no such key: x", authz.Step{Name: "when", Result: "refused", Detail: "no such key: x"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, r := working(), request(authorization("Bearer a.good.token"))
			when(tt.ok, tt.err)(p, r)
			r.Trace = &authz.Trace{}
			if d := p.engine().Decide(t.Context(), r); d.Cause != tt.cause {
				t.Errorf("cause %q, want %q", d.Cause, tt.cause)
			}
			if !slices.Contains(r.Trace.Steps, tt.step) {
				t.Errorf("no step %+v in %+v", tt.step, r.Trace.Steps)
			}
		})
	}
}

func TestZeroDecisionRefuses(t *testing.T) {
	var d authz.Decision
	if d.Allowed() || d.Reason != authz.ReasonUnavailable {
		t.Errorf("zero decision: allowed %v, reason %d", d.Allowed(), d.Reason)
	}
}

func TestContextThatEndedRefuses(t *testing.T) {
	t.Run("before", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		d := working().engine().Decide(ctx, request(authorization("Bearer a.good.token")))
		check(t, &d, authz.ReasonUnavailable)
	})
	t.Run("during", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p := working()
		good := p.verify
		p.verify = func(ctx context.Context, c authz.Credential) (*authz.Identity, error) {
			cancel()
			return good(ctx, c)
		}
		d := p.engine().Decide(ctx, request(authorization("Bearer a.good.token")))
		check(t, &d, authz.ReasonUnavailable)
	})
}

func TestPanicIsLoggedWithItsStack(t *testing.T) {
	p := working()
	p.match = func(*authz.Request) { panic("the policy is broken") }
	d := p.engine().Decide(t.Context(), request())
	if !strings.Contains(d.Cause, "the policy is broken") || !strings.Contains(d.Cause, "engine_test.go") {
		t.Errorf("cause lacks the panic or its stack: %s", d.Cause)
	}
}

func TestInsufficientPermissionsListsAllRequiredAndHeld(t *testing.T) {
	p, r := working(), request(authorization("Bearer a.good.token"))
	p.rule.Permissions = []string{"read", "delete"}
	r.Context = map[string]string{authz.RequiredPermission: "audit,read"}
	d := p.engine().Decide(t.Context(), r)
	if want := []string{"read", "delete", "audit"}; !slices.Equal(d.Required, want) {
		t.Errorf("required = %q, want %q", d.Required, want)
	}
	if want := []string{"read"}; !slices.Equal(d.Held(), want) {
		t.Errorf("held = %q, want %q", d.Held(), want)
	}
	if d.Identity == nil || d.Identity.UserID != "ann" {
		t.Error("the denial does not say who was refused")
	}
}

func TestRequestID(t *testing.T) {
	tests := []struct{ name, given, want string }{
		{"the caller's", "abc-123_X.~+/=", "abc-123_X.~+/="},
		{"of 128 characters", strings.Repeat("a", 128), strings.Repeat("a", 128)},
		{"too long", strings.Repeat("a", 129), "new-id"},
		{"empty", "", "new-id"},
		{"with a newline", "a\nb", "new-id"},
		{"with a quote", `a"b`, "new-id"},
		{"not ASCII", "é", "new-id"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := working().engine().Decide(t.Context(), request(authz.Header{Name: "X-Request-Id", Value: tt.given}))
			if d.RequestID != tt.want {
				t.Errorf("request id = %q, want %q", d.RequestID, tt.want)
			}
		})
	}
}

func TestGrantRemovesUnsetSpoofedAndStripped(t *testing.T) {
	p := working()
	p.rule.StripCredentials = true
	p.spoofed = func(*authz.Request) []string { return []string{"x_user_id"} }
	p.stamp = func(*authz.Identity) (*authz.Stamp, error) {
		return &authz.Stamp{Set: []authz.Header{{Name: "X-User-ID", Value: "ann"}}, Unset: []string{"X-User-Role"}}, nil
	}
	d := p.engine().Decide(t.Context(), request(authorization("Bearer a.good.token")))
	if want := []string{"X-User-Role", "x_user_id", "authorization"}; !slices.Equal(d.Remove, want) {
		t.Errorf("remove = %q, want %q", d.Remove, want)
	}
}

func TestSharedStampIsNotWrittenTo(t *testing.T) {
	p := working()
	shared := &authz.Stamp{Unset: make([]string, 1, 8)}
	shared.Unset[0] = "X-User-Role"
	p.stamp = func(*authz.Identity) (*authz.Stamp, error) { return shared, nil }
	names := []string{"x_user_id"}
	p.spoofed = func(*authz.Request) []string { return names }
	e := p.engine()
	first := e.Decide(t.Context(), request(authorization("Bearer a.good.token")))
	names = []string{"x.user.id"}
	e.Decide(t.Context(), request(authorization("Bearer a.good.token")))
	if !slices.Contains(first.Remove, "x_user_id") {
		t.Errorf("a later request changed an earlier decision: %q", first.Remove)
	}
}

func TestNewWithoutAPartPanics(t *testing.T) {
	p := working()
	for name, without := range map[string]func(*authz.Options){
		"policy":  func(o *authz.Options) { o.Policy = nil },
		"stamper": func(o *authz.Options) { o.Stamper = nil },
		"clock":   func(o *authz.Options) { o.Now = nil },
		"ids":     func(o *authz.Options) { o.NewID = nil },
	} {
		t.Run(name, func(t *testing.T) {
			o := authz.Options{Policy: p, Stamper: p, Now: time.Now, NewID: func() string { return "" }}
			without(&o)
			defer func() {
				if recover() == nil {
					t.Error("New accepted it")
				}
			}()
			authz.New(o)
		})
	}
}

func TestIdentify(t *testing.T) {
	d := &authz.Directory{
		Roles:    map[string][]string{"admin": {"read", "delete"}, "ops": {"delete", "restart"}},
		Prefixes: []string{"partner:", "key:"},
	}
	tests := []struct {
		name      string
		principal authz.Principal
		prefix    string
		want      authz.Principal
		wantErr   error
	}{
		{name: "roles add permissions after its own, without repeats",
			principal: authz.Principal{UserID: "ann", Roles: []string{"admin", "ops", "admin"}, Permissions: []string{"write", "read", "write"}},
			want:      authz.Principal{UserID: "ann", Roles: []string{"admin", "ops"}, Permissions: []string{"write", "read", "delete", "restart"}}},
		{name: "a role that is not configured adds nothing",
			principal: authz.Principal{UserID: "ann", Roles: []string{"root"}},
			want:      authz.Principal{UserID: "ann", Roles: []string{"root"}, Permissions: []string{}}},
		{name: "prefix is put before the id", prefix: "partner:",
			principal: authz.Principal{UserID: "ann"},
			want:      authz.Principal{UserID: "partner:ann", Roles: []string{}, Permissions: []string{}}},
		{name: "empty names do not count",
			principal: authz.Principal{UserID: "ann", Roles: []string{""}, Permissions: []string{"", "read"}},
			want:      authz.Principal{UserID: "ann", Roles: []string{}, Permissions: []string{"read"}}},
		{name: "unprefixed source names another source's user", principal: authz.Principal{UserID: "key:ann"}, wantErr: authz.ErrCredentialInvalid},
		{name: "prefixed source cannot leave its prefix", prefix: "partner:",
			principal: authz.Principal{UserID: "key:ann"},
			want:      authz.Principal{UserID: "partner:key:ann", Roles: []string{}, Permissions: []string{}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			id, err := d.Identify(tt.principal, tt.prefix)
			if !errors.Is(err, tt.wantErr) {
				t.Fatalf("err = %v, want %v", err, tt.wantErr)
			}
			if err != nil {
				return
			}
			if id.UserID != tt.want.UserID || !slices.Equal(id.Roles, tt.want.Roles) || !slices.Equal(id.Permissions, tt.want.Permissions) {
				t.Errorf("identity = %+v, want %+v", id.Principal, tt.want)
			}
		})
	}
}

func TestRequired(t *testing.T) {
	tests := []struct {
		list string
		want []string
	}{
		{"", nil},
		{" , ", nil},
		{"delete", []string{"delete"}},
		{"read, delete ,,audit", []string{"read", "delete", "audit"}},
	}
	for _, tt := range tests {
		r := authz.Request{Context: map[string]string{authz.RequiredPermission: tt.list}}
		if got := r.Required(); !slices.Equal(got, tt.want) {
			t.Errorf("Required of %q = %q, want %q", tt.list, got, tt.want)
		}
	}
}
