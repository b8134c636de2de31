package authz_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/passgate/passgate/internal/authz"
)

// keyed returns an engine that takes the API key "good" in Authorization and in X-API-Key, beside working's token.
func keyed(p *parts, header string) *authz.Engine {
	keys := *p
	keys.verify = func(_ context.Context, c authz.Credential) (*authz.Identity, error) {
		if c.Kind != authz.KindAPIKey || c.Value != "good" {
			return nil, authz.ErrCredentialInvalid
		}
		return &authz.Identity{Principal: authz.Principal{Source: "api_keys", UserID: "key:ann", Permissions: []string{"read"}}}, nil
	}
	return authz.New(authz.Options{
		Policy:       p,
		Verifiers:    map[authz.Kind]authz.Verifier{authz.KindJWT: p, authz.KindAPIKey: &keys},
		Stamper:      p,
		APIKeyHeader: header,
		Now:          func() time.Time { return time.Unix(1_700_000_000, 0) },
		NewID:        func() string { return "new-id" },
	})
}

func apiKey(value string) authz.Header { return authz.Header{Name: "X-API-Key", Value: value} }

func TestDecideOnAPIKeys(t *testing.T) {
	const granted, invalid, missing, multiple = authz.ReasonGranted, authz.ReasonCredentialInvalid, authz.ReasonCredentialMissing, authz.ReasonCredentialsMultiple
	token := authorization("Bearer a.good.token")
	tests := []struct {
		name    string
		header  string // of the configuration
		headers []authz.Header
		want    authz.Reason
		remove  []string
	}{
		{"in its header", "X-API-Key", []authz.Header{apiKey("good")}, granted, []string{"x-api-key"}},
		{"in its header of another case", "X-API-Key", []authz.Header{{Name: "x-aPI-key", Value: " good\t"}}, granted, []string{"x-api-key"}},
		{"in a header of the operator's name", "X-Token", []authz.Header{{Name: "x-token", Value: "good"}}, granted, []string{"x-token"}},
		{"in Authorization", "X-API-Key", []authz.Header{authorization("apikey good")}, granted, []string{"authorization"}},
		{"in Authorization, beside an empty header", "X-API-Key", []authz.Header{authorization("ApiKey good"), apiKey("")}, granted, []string{"authorization", "x-api-key"}},
		{"a token beside an empty header", "X-API-Key", []authz.Header{token, apiKey(" ")}, granted, []string{"x-api-key"}},
		{"a token beside a header that is no credential here", "", []authz.Header{token, apiKey("good")}, granted, nil},

		{"in a header that is no credential here", "", []authz.Header{apiKey("good")}, missing, nil},
		{"an empty header", "X-API-Key", []authz.Header{apiKey("")}, missing, nil},
		{"unknown", "X-API-Key", []authz.Header{apiKey("bad")}, invalid, nil},
		{"with a blank inside", "X-API-Key", []authz.Header{apiKey("good good")}, invalid, nil},
		{"with its scheme in the header", "X-API-Key", []authz.Header{apiKey("ApiKey good")}, invalid, nil},
		{"as a bearer token", "X-API-Key", []authz.Header{authorization("Bearer good")}, invalid, nil},
		{"as a bearer token, by its prefix", "X-API-Key", []authz.Header{authorization("Bearer pgk_good")}, invalid, nil},
		{"as a JWT, by its prefix", "X-API-Key", []authz.Header{authorization("Bearer pgk_a.b.c")}, invalid, nil},
		{"a token in its header", "X-API-Key", []authz.Header{apiKey("a.good.token")}, invalid, nil},
		{"beside a token", "X-API-Key", []authz.Header{token, apiKey("good")}, multiple, nil},
		{"beside another scheme", "X-API-Key", []authz.Header{authorization("Basic YTpi"), apiKey("good")}, multiple, nil},
		{"in both headers", "X-API-Key", []authz.Header{authorization("ApiKey good"), apiKey("good")}, multiple, nil},
		{"two headers", "X-API-Key", []authz.Header{apiKey("good"), apiKey("good")}, multiple, nil},
		{"two headers, one empty", "X-API-Key", []authz.Header{apiKey("good"), apiKey("")}, multiple, nil},
		{"two joined by a comma", "X-API-Key", []authz.Header{apiKey("good,good")}, multiple, nil},
		{"a repeat beside a token", "X-API-Key", []authz.Header{token, apiKey(","), apiKey("")}, multiple, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := keyed(working(), tt.header).Decide(t.Context(), request(tt.headers...))
			check(t, &d, tt.want)
			if !slices.Equal(d.Remove, tt.remove) {
				t.Errorf("remove = %q, want %q", d.Remove, tt.remove)
			}
		})
	}
}

// A public route reads no credential, and all the same lets no API key through.
func TestAPIKeysNeverReachTheUpstream(t *testing.T) {
	tests := []struct {
		name     string
		header   string
		headers  []authz.Header
		filtered bool
		remove   []string
	}{
		{"a good one", "X-API-Key", []authz.Header{apiKey("good")}, false, []string{"x-api-key"}},
		{"a bad one", "X-API-Key", []authz.Header{apiKey("b a d")}, false, []string{"x-api-key"}},
		{"two", "X-API-Key", []authz.Header{apiKey("good"), apiKey("good")}, false, []string{"x-api-key"}},
		{"in Authorization", "", []authz.Header{authorization("APIKEY good")}, false, []string{"authorization"}},
		{"in Authorization, after a tab", "", []authz.Header{authorization("ApiKey\tgood")}, false, []string{"authorization"}},
		{"in Authorization, joined to a token", "", []authz.Header{authorization("Bearer a.b.c, ApiKey good")}, false, []string{"authorization"}},
		{"not shown", "X-API-Key", nil, true, []string{"x-api-key", "x_api_key"}},
		{"in look-alikes of its header", "X-API-Key", []authz.Header{{Name: "X_Api.KEY", Value: "good"}, {Name: "x~api~key", Value: "good"}}, false, []string{"x_api.key", "x~api~key"}},
		{"as a bearer token", "", []authz.Header{authorization("Bearer pgk_good")}, false, []string{"authorization"}},
		{"after a colon", "", []authz.Header{authorization("ApiKey:pgk_good")}, false, []string{"authorization"}},
		{"a header whose name is another's goes on", "X-API-Key", []authz.Header{{Name: "X-API-Keys", Value: "a"}, {Name: "XAAPI-Key", Value: "a"}, {Name: "X-API1Key", Value: "a"}, {Name: "XzAPI-Key", Value: "a"}, {Name: "X0API-Key", Value: "a"}, {Name: "X9API-Key", Value: "a"}, {Name: "XZAPI-Key", Value: "a"}}, false, nil},
		{"another scheme goes on", "X-API-Key", []authz.Header{authorization("Bearer a.b.c")}, false, nil},
		{"a credential without a scheme goes on", "", []authz.Header{authorization(" \tx")}, false, nil},
		{"without a scheme", "", []authz.Header{authorization("pgk_good")}, false, []string{"authorization"}},
		{"in another scheme", "", []authz.Header{authorization("Basic pgk_good")}, false, []string{"authorization"}},
		{"in a parameter", "", []authz.Header{authorization("Token key=pgk_good")}, false, []string{"authorization"}},
		{"a token that has its letters by chance goes on", "", []authz.Header{authorization("Bearer aa.b-pgk_c.pgk_d")}, false, nil},
		{"a scheme that begins so goes on", "", []authz.Header{authorization("ApiKeys good")}, false, nil},
		{"a header that is no credential here goes on", "", []authz.Header{apiKey("good")}, true, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := working()
			p.rule = authz.Rule{Access: authz.AccessPublic}
			p.stamp = func(*authz.Identity) (*authz.Stamp, error) { return &authz.Stamp{}, nil }
			r := request(tt.headers...)
			r.HeadersFiltered = tt.filtered
			d := keyed(p, tt.header).Decide(t.Context(), r)
			check(t, &d, authz.ReasonGranted)
			if !slices.Equal(d.Remove, tt.remove) {
				t.Errorf("remove = %q, want %q", d.Remove, tt.remove)
			}
		})
	}
}

// The verifier is told whose credentials the route takes, so that it shows a token to nobody else.
func TestVerifierIsToldTheSourcesOfTheRoute(t *testing.T) {
	p := working()
	p.rule.Sources = []string{"accounts", "idp"}
	var got []string
	p.verify = func(_ context.Context, c authz.Credential) (*authz.Identity, error) {
		got = c.Sources
		return nil, errors.New("not asked any further")
	}
	p.engine().Decide(t.Context(), request(authorization("Bearer a.good.token")))
	if !slices.Equal(got, p.rule.Sources) {
		t.Errorf("sources = %q, want %q", got, p.rule.Sources)
	}
}

// An API key that stands where a token does is shown to nobody who judges tokens.
func TestAPIKeysAreNoTokens(t *testing.T) {
	p := working()
	p.verify = func(_ context.Context, c authz.Credential) (*authz.Identity, error) {
		if strings.HasPrefix(c.Value, authz.APIKeyPrefix) {
			t.Errorf("a verifier of the kind %s was shown an API key", c.Kind)
		}
		return &authz.Identity{Principal: authz.Principal{Source: "idp", UserID: "ann", Permissions: []string{"read"}}}, nil
	}
	e := authz.New(authz.Options{
		Policy: p, Stamper: p, Now: time.Now, NewID: func() string { return "id" },
		Verifiers: map[authz.Kind]authz.Verifier{authz.KindJWT: p, authz.KindOpaque: p},
	})
	for value, want := range map[string]authz.Reason{
		"Bearer pgk_good": authz.ReasonCredentialInvalid, "Bearer pgk_a.b.c": authz.ReasonCredentialInvalid, "Bearer PGK_good": authz.ReasonGranted, "Bearer a.pgk_.c": authz.ReasonGranted,
	} {
		if d := e.Decide(t.Context(), request(authorization(value))); d.Reason != want {
			t.Errorf("%s: %v, want %v", value, d.Reason, want)
		}
	}
}
