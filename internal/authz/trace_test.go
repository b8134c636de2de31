package authz_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/passgate/passgate/internal/authz"
)

// The steps of every outcome, as the engine adds them; the policy and the verifiers add their own before and
// between them.
func TestTrace(t *testing.T) {
	good := authorization("Bearer a.good.token")
	const verified = `JWT of accounts: user "ann", roles ["member"]`
	tests := []struct {
		name    string
		change  func(*parts, *authz.Request)
		headers []authz.Header
		cause   string
		want    []authz.Step
	}{
		{"allowed", nil, []authz.Header{good, {Name: "x_user_id", Value: "root"}}, "", []authz.Step{
			{Name: "access", Result: "authenticated"},
			{Name: "credential", Result: "verified", Detail: verified},
			{Name: "permissions", Result: "held", Detail: `required ["read"], held ["read"]`},
			{Name: "identity", Result: "set", Detail: "X-User-ID"},
			{Name: "identity", Result: "removed", Detail: "x_user_id"},
		}},
		{"malformed", func(_ *parts, r *authz.Request) { r.Malformed = "it has no end" }, nil, "it has no end", []authz.Step{
			{Name: "request", Result: "refused", Detail: "it has no end"},
		}},
		{"closed route", access(authz.AccessDeny), nil, "the route's access is deny", []authz.Step{
			{Name: "access", Result: "refused", Detail: "the route's access is deny"},
		}},
		{"no route", func(p *parts, _ *authz.Request) { p.rule = authz.Rule{Access: authz.AccessDeny} }, nil, "no route matches, and the default access is deny", []authz.Step{
			{Name: "access", Result: "refused", Detail: "no route matches, and the default access is deny"},
		}},
		{"public", access(authz.AccessPublic), nil, "", []authz.Step{{Name: "access", Result: "public"}}},
		{"optional without a credential", access(authz.AccessOptional), nil, "", []authz.Step{
			{Name: "access", Result: "optional"}, {Name: "credential", Result: "none", Detail: "access is optional"},
		}},
		{"public, but a permission is required", func(p *parts, r *authz.Request) {
			access(authz.AccessPublic)(p, r)
			r.Context = map[string]string{authz.RequiredPermission: "read"}
		}, nil, "no Authorization header", []authz.Step{
			{Name: "access", Result: "authenticated", Detail: "access is public, but permissions are required"},
			{Name: "credential", Result: "refused", Detail: "no Authorization header"},
		}},
		{"bad token", nil, []authz.Header{authorization("Bearer a.forged.token")}, "signature: credential is not valid", []authz.Step{
			{Name: "access", Result: "authenticated"}, {Name: "credential", Result: "refused", Detail: "signature: credential is not valid"},
		}},
		{"permission missing", func(p *parts, _ *authz.Request) { p.rule.Permissions = []string{"read", "delete"} }, []authz.Header{good}, `permission "delete" is missing`, []authz.Step{
			{Name: "access", Result: "authenticated"},
			{Name: "credential", Result: "verified", Detail: verified},
			{Name: "permissions", Result: "refused", Detail: `required ["read" "delete"], held ["read"]`},
		}},
		{"first permission missing", func(p *parts, _ *authz.Request) { p.rule.Permissions = []string{"delete"} }, []authz.Header{good}, `permission "delete" is missing`, []authz.Step{
			{Name: "access", Result: "authenticated"},
			{Name: "credential", Result: "verified", Detail: verified},
			{Name: "permissions", Result: "refused", Detail: `required ["delete"], held ["read"]`},
		}},
		{"condition", when(false, nil), []authz.Header{good}, "when is false: what was compared", []authz.Step{
			{Name: "access", Result: "authenticated"},
			{Name: "credential", Result: "verified", Detail: verified},
			{Name: "permissions", Result: "held", Detail: `required ["read"], held ["read"]`},
			{Name: "when", Result: "false", Detail: "what was compared"},
		}},
		{"no service", func(p *parts, r *authz.Request) {
			access(authz.AccessPublic)(p, r)
			p.rule.Service, r.Reaches = "", authz.Named
		}, nil, "the route names no service", []authz.Step{
			{Name: "access", Result: "public"}, {Name: "service", Result: "refused", Detail: "the route names none"},
		}},
		{"identity too large", func(p *parts, r *authz.Request) {
			access(authz.AccessPublic)(p, r)
			p.stamp = func(*authz.Identity) (*authz.Stamp, error) { return nil, authz.ErrStampTooLarge }
		}, nil, "identity headers are too large", []authz.Step{
			{Name: "access", Result: "public"}, {Name: "identity", Result: "refused", Detail: "identity headers are too large"},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, r := working(), request(tt.headers...)
			p.verify = withRoles(p.verify)
			p.stamp = func(id *authz.Identity) (*authz.Stamp, error) {
				if id == nil {
					return &authz.Stamp{}, nil
				}
				return &authz.Stamp{Set: []authz.Header{{Name: "X-User-ID", Value: id.UserID}}}, nil
			}
			p.spoofed = func(r *authz.Request) []string {
				if len(r.Headers) > 1 {
					return []string{r.Headers[1].Name}
				}
				return nil
			}
			if tt.change != nil {
				tt.change(p, r)
			}
			r.Trace = &authz.Trace{}
			d := p.engine().Decide(t.Context(), r)
			if d.Cause != tt.cause {
				t.Errorf("cause %q, want %q", d.Cause, tt.cause)
			}
			if !slices.Equal(r.Trace.Steps, tt.want) {
				t.Errorf("got\n%+v\nwant\n%+v", r.Trace.Steps, tt.want)
			}
		})
	}
}

// withRoles gives whoever is verified a role.
func withRoles(verify func(context.Context, authz.Credential) (*authz.Identity, error)) func(context.Context, authz.Credential) (*authz.Identity, error) {
	return func(ctx context.Context, c authz.Credential) (*authz.Identity, error) {
		id, err := verify(ctx, c)
		if id != nil {
			id.Roles = []string{"member"}
		}
		return id, err
	}
}

func TestVerifierIsGivenTheTrace(t *testing.T) {
	p, r := working(), request(authorization("Bearer a.good.token"))
	r.Trace = &authz.Trace{}
	var got *authz.Trace
	p.verify = func(_ context.Context, c authz.Credential) (*authz.Identity, error) {
		got = c.Trace
		return nil, errors.New("down")
	}
	p.engine().Decide(t.Context(), r)
	if got != r.Trace {
		t.Error("the verifier writes to another trace than the request's")
	}
}

func TestStepIsALineOfATable(t *testing.T) {
	for _, tt := range []struct {
		step authz.Step
		want string
	}{
		{authz.Step{Name: "path", Result: "ok", Detail: "/a"}, "path         ok            /a"},
		{authz.Step{Name: "access", Result: "public"}, "access       public"},
	} {
		if got := tt.step.String(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}
