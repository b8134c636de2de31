package introspect

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/passgate/passgate/internal/authz"
)

// three returns servers that any token could be of, and two that are told by prefix.
func three(t *testing.T) (v *Verifier, askers map[string]*asker) {
	t.Helper()
	askers = make(map[string]*asker)
	var servers []Server
	for name, prefix := range map[string]string{"any": "", "idp": "idp_", "inner": "idp_inner_"} {
		askers[name] = says(active(""))
		s := idp(askers[name])
		s.Name, s.TokenPrefix, s.UserPrefix = name, prefix, name+":"
		servers = append(servers, s)
	}
	return newVerifier(servers...), askers
}

func TestOneServerIsAskedOrNone(t *testing.T) {
	for name, test := range map[string]struct {
		token   string
		sources []string
		want    string // the server that is asked; "": none
	}{
		"only one takes it":                      {"x", nil, "any"},
		"only one takes it, and is named":        {"x", []string{"any"}, "any"},
		"named among others":                     {"x", []string{"accounts", "any", "keys"}, "any"},
		"named, and by prefix":                   {"idp_x", []string{"idp"}, "idp"},
		"a prefix of a prefix, and one is named": {"idp_inner_x", []string{"inner"}, "inner"},
		"the shorter prefix is named":            {"idp_inner_x", []string{"idp"}, "idp"},
		"the prefix and no more":                 {"idp_", []string{"idp", "inner"}, "idp"},
		"two take it":                            {"idp_x", nil, ""},
		"three take it":                          {"idp_inner_x", nil, ""},
		"the longer prefix is no better":         {"idp_inner_x", []string{"idp", "inner"}, ""},
		"a prefix is no better than none":        {"idp_x", []string{"idp", "any"}, ""},
		"the route takes another's":              {"x", []string{"idp"}, ""},
		"the route takes nobody's here":          {"x", []string{"accounts"}, ""},
		"the prefix in another case":             {"IDP_x", []string{"idp"}, ""},
		"the prefix within":                      {"xidp_", []string{"idp"}, ""},
		"the prefix cut short":                   {"idp", []string{"idp"}, ""},
		"a name in another case":                 {"x", []string{"ANY"}, ""},
		"an empty name":                          {"x", []string{""}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				v, askers := three(t)
				if test.want == "" {
					expect(t, v, opaque(test.token, test.sources...), now, invalid)
				} else if user, _ := expect(t, v, opaque(test.token, test.sources...), now, good); user != test.want+":ann" {
					t.Errorf("the user is %q", user)
				}
				for name, a := range askers {
					if asked := a.calls.Load() > 0; asked != (name == test.want) {
						t.Errorf("%s was asked %d times", name, a.calls.Load())
					}
				}
			})
		})
	}
}

// An answer that is kept does not settle whose a token is.
func TestTheCacheDoesNotSettleTheServer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		v, askers := three(t)
		expect(t, v, opaque("idp_x", "idp"), now, good)
		expect(t, v, opaque("idp_x"), now, invalid)
		expect(t, v, opaque("idp_x", "inner"), now, invalid)
		expectCalls(t, askers["any"], 0)
	})
}

func TestTheErrorNamesTheServers(t *testing.T) {
	v, _ := three(t)
	_, err := expect(t, v, opaque("idp_inner_x", "idp", "inner"), now, invalid)
	for _, name := range []string{`"idp"`, `"inner"`} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%v does not name %s", err, name)
		}
	}
	if strings.Contains(err.Error(), `"any"`) {
		t.Errorf("%v names one that it could not be of", err)
	}
	if _, err = expect(t, v, opaque("x", "accounts"), now, invalid); !strings.Contains(err.Error(), `"accounts"`) {
		t.Errorf("%v does not say whose credentials the route takes", err)
	}
}

func TestNoServersTakeNothing(t *testing.T) {
	expect(t, New(Options{}), opaque(testToken), now, invalid)
}

func TestOtherCredentialsAreRefusedUnasked(t *testing.T) {
	a := says(active(""))
	v := newVerifier(idp(a))
	for name, c := range map[string]authz.Credential{
		"of no kind": {Value: testToken},
		"a JWT":      {Kind: authz.KindJWT, Value: testToken},
		"an API key": {Kind: authz.KindAPIKey, Value: testToken},
		"empty":      opaque(""),
		"too long":   opaque(strings.Repeat("x", defaultMaxBytes+1)),
	} {
		t.Run(name, func(t *testing.T) { expect(t, v, c, now, invalid) })
	}
	expectCalls(t, a, 0)
	bubble(t, func(t *testing.T) {
		expect(t, newVerifier(idp(a)), opaque(strings.Repeat("x", defaultMaxBytes)), now, good)
		v := New(Options{Servers: []Server{idp(a)}, MaxBytes: 3, Now: func() time.Time { return now }})
		expect(t, v, opaque("xxx"), now, good)
		expect(t, v, opaque("xxxx"), now, invalid)
	})
}

func TestNewRefuses(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"no name":                func(o *Options) { o.Servers[0].Name = "" },
		"nothing to ask it with": func(o *Options) { o.Servers[0].Ask = nil },
		"a skew too long":        func(o *Options) { o.Servers[0].ClockSkew = maxSkew + 1 },
		"a negative skew":        func(o *Options) { o.Servers[0].ClockSkew = -1 },
		"a negative cache":       func(o *Options) { o.Servers[0].Cache = -1 },
		"a negative cache of no": func(o *Options) { o.Servers[0].NegativeCache = -1 },
		"a negative timeout":     func(o *Options) { o.Servers[0].Timeout = -1 },
		"negative calls":         func(o *Options) { o.Servers[0].MaxCalls = -1 },
		"a claim unnamed":        func(o *Options) { o.Servers[0].Claims.Scope = "" },
		"a name taken":           func(o *Options) { o.Servers = append(o.Servers, o.Servers[0]) },
		"a negative length":      func(o *Options) { o.MaxBytes = -1 },
		"a negative cache size":  func(o *Options) { o.MaxCached = -1 },
	} {
		t.Run(name, func(t *testing.T) {
			o := Options{Servers: []Server{idp(down())}}
			change(&o)
			defer func() {
				if text, _ := recover().(string); !strings.HasPrefix(text, "introspect: ") {
					t.Errorf("panic with %q", text)
				}
			}()
			New(o)
		})
	}
}

func TestVerifierKeepsItsOwnOptions(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := idp(says(active(`,"aud":"api"`)))
		s.Audiences = []string{"api"}
		v := newVerifier(s)
		s.Audiences[0] = "x"
		expect(t, v, opaque(testToken), now, good)
	})
}

func TestTrace(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a := says(active(`,"exp":1800000001`))
		v := newVerifier(idp(a))
		for _, want := range []string{
			"server asked idp; server answered idp: active; now 1800000000: exp 1800000001 (leeway 0s); aud [], any is taken",
			"server cached idp: active; now 1800000000: exp 1800000001 (leeway 0s); aud [], any is taken",
		} {
			if got := traced(v, opaque(testToken)); got != want {
				t.Errorf("got %s\nwant %s", got, want)
			}
		}
		a.set(says(`{"active":false}`).answer)
		if got := traced(v, opaque("x")); got != "server asked idp; server answered idp: refused" {
			t.Errorf("got %s", got)
		}
		a.set(down().answer)
		if got := traced(v, opaque("y")); got != "server asked idp" {
			t.Errorf("got %s", got)
		}
		if got := traced(v, opaque("x", "accounts")); !strings.HasPrefix(got, "server refused credential is not valid: ") {
			t.Errorf("got %s", got)
		}
	})
}

func traced(v *Verifier, c authz.Credential) string {
	c.Trace = new(authz.Trace)
	_, _ = v.Verify(context.Background(), c, now)
	var steps []string
	for _, s := range c.Trace.Steps {
		steps = append(steps, strings.TrimSpace(fmt.Sprint(s.Name, " ", s.Result, " ", s.Detail)))
	}
	return strings.Join(steps, "; ")
}

// The engine names the route's sources to a verifier, and holds the answer against them once more.
func TestTheEngineBindsRoutesToServers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		v, askers := three(t)
		for _, test := range []struct {
			sources []string
			want    authz.Reason
		}{
			{[]string{"idp"}, authz.ReasonGranted},
			{[]string{"any"}, authz.ReasonGranted},
			{[]string{"accounts"}, authz.ReasonCredentialInvalid},
			{nil, authz.ReasonCredentialInvalid},
		} {
			e := authz.New(authz.Options{
				Policy: route(test.sources), Verifiers: map[authz.Kind]authz.Verifier{authz.KindOpaque: v}, Stamper: noStamp{},
				Now: func() time.Time { return now }, NewID: func() string { return "id" },
			})
			d := e.Decide(t.Context(), &authz.Request{Method: "GET", Host: "a", Path: "/", Headers: []authz.Header{{Name: "authorization", Value: "Bearer idp_x"}}})
			if d.Reason != test.want {
				t.Errorf("%q: got reason %d (%s), want %d", test.sources, d.Reason, d.Cause, test.want)
			}
			if d.Allowed() {
				if diff := cmp.Diff(test.sources[0]+":ann", d.Identity.UserID); diff != "" {
					t.Error(diff)
				}
			}
		}
		expectCalls(t, askers["inner"], 0)
	})
}

// route is a policy of one route that takes the credentials of these sources.
type route []string

func (r route) Match(*authz.Request) (authz.Rule, authz.Reason, string) {
	return authz.Rule{Route: "r", Service: "s", Sources: r}, authz.ReasonGranted, ""
}

type noStamp struct{}

func (noStamp) Stamp(*authz.Identity, time.Time) (*authz.Stamp, error) { return new(authz.Stamp), nil }
func (noStamp) Spoofed(dst []string, _ *authz.Request) []string        { return dst }
