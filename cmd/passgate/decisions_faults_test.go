package main

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/config"
	"github.com/passgate/passgate/internal/policytest"
	"github.com/passgate/passgate/internal/verifier/introspect"
)

// brokenVerifier cannot judge a credential, or panics over it.
type brokenVerifier struct{ panics bool }

func (v brokenVerifier) Verify(context.Context, authz.Credential, time.Time) (*authz.Identity, error) {
	if v.panics {
		panic("verifier")
	}
	return nil, errors.New("the key set cannot be read")
}

// emptyVerifier grants, and says not to whom.
type emptyVerifier struct{ identity *authz.Identity }

func (v emptyVerifier) Verify(context.Context, authz.Credential, time.Time) (*authz.Identity, error) {
	return v.identity, nil
}

// stampless refuses to be asked: nothing may be granted.
type stampless struct{ t *testing.T }

func (s stampless) Stamp(*authz.Identity, time.Time) (*authz.Stamp, error) {
	s.t.Error("an identity was stamped")
	return nil, errors.New("not granted")
}

func (s stampless) Spoofed(dst []string, _ *authz.Request) []string { return dst }

func TestDecisionsUnderAFault(t *testing.T) {
	cfg, _ := loadTable(t)
	for name, verifier := range map[string]authz.Verifier{
		"cannot judge":     brokenVerifier{},
		"panics":           brokenVerifier{panics: true},
		"names nobody":     emptyVerifier{},
		"names no user":    emptyVerifier{&authz.Identity{Principal: authz.Principal{Source: "accounts"}}},
		"names no source":  emptyVerifier{&authz.Identity{Principal: authz.Principal{UserID: "ann"}}},
		"names no one yet": emptyVerifier{&authz.Identity{}},
	} {
		t.Run(name, func(t *testing.T) {
			engine := authz.New(authz.Options{
				Policy:       cfg.Policy,
				Verifiers:    map[authz.Kind]authz.Verifier{authz.KindJWT: verifier, authz.KindOpaque: verifier, authz.KindAPIKey: verifier},
				APIKeyHeader: "X-API-Key",
				Stamper:      stampless{t},
				Now:          time.Now,
				NewID:        func() string { return "id" },
			})
			tests := []policytest.Test{request("no credential", "/api/me", nil, 401, "missing_credentials")}
			for _, c := range append(apiKeys("pgk_x"), bearer(aJWT, "a.b.c"), bearer(anOpaqueToken, "idp_x")) {
				tests = append(tests,
					c.request("a credential that cannot be judged", "/api/me", 503, "unavailable"),
					c.request("an optional credential that cannot be judged", "/", 503, "unavailable"),
					c.request("a credential that cannot be judged, and permissions", "/api/users/1", 503, "unavailable"),
					c.request("a credential that nobody judges", "/internal/jobs", 403, "forbidden"))
			}
			runTable(t, engine, nil, tests)
		})
	}
}

// A configuration that takes one kind of credential has a verifier for no other.
func TestDecisionsWithoutAVerifier(t *testing.T) {
	cfg, _ := loadTable(t)
	engine := authz.New(authz.Options{
		Policy: cfg.Policy, APIKeyHeader: "X-API-Key", Stamper: stampless{t}, Now: time.Now, NewID: func() string { return "id" },
	})
	var tests []policytest.Test
	for _, c := range append(apiKeys("pgk_x"), bearer(aJWT, "a.b.c"), bearer(anOpaqueToken, "idp_x")) {
		tests = append(tests, c.request("of a kind that is not taken", "/api/me", 401, "invalid_token"))
	}
	runTable(t, engine, nil, tests)
}

// askFunc is an introspection server.
type askFunc func(ctx context.Context, token string) ([]byte, error)

func (f askFunc) Ask(ctx context.Context, token string) ([]byte, error) { return f(ctx, token) }

// What a server may answer that is no answer: nothing of it lets anybody in, and nothing of it blames the token.
func TestDecisionsOnAnswersThatAreNone(t *testing.T) {
	cfg, _ := loadTable(t)
	says := func(text string) askFunc {
		return func(context.Context, string) ([]byte, error) { return []byte(text), nil }
	}
	for name, ask := range map[string]askFunc{
		"nothing":           says(""),
		"null":              says("null"),
		"a list":            says(`[{"active":true,"sub":"ann","aud":"api"}]`),
		"text":              says(`"active"`),
		"true":              says("true"),
		"an empty object":   says("{}"),
		"an unquoted name":  says(`{active:true,"sub":"ann","aud":"api"}`),
		"a comment":         says(`{"active":true,"sub":"ann","aud":"api"} // yes`),
		"two objects":       says(`{"active":true,"sub":"ann","aud":"api"}{}`),
		"active twice":      says(`{"active":true,"active":true,"sub":"ann","aud":"api"}`),
		"active both ways":  says(`{"active":false,"active":true,"sub":"ann","aud":"api"}`),
		"the subject twice": says(`{"active":true,"sub":"ann","sub":"root","aud":"api"}`),
		"active in no case": says(`{"Active":true,"sub":"ann","aud":"api"}`),
		"cut short":         says(`{"active":true,"sub":"ann","aud":"api"`),
		"not UTF-8":         says("{\"active\":true,\"sub\":\"\xff\",\"aud\":\"api\"}"),
		"half a surrogate":  says(`{"active":true,"sub":"\ud800","aud":"api"}`),
		"a page":            says("<html>active: true</html>"),
		"an error":          func(context.Context, string) ([]byte, error) { return nil, errors.New("down") },
		"an error and active": func(context.Context, string) ([]byte, error) {
			return []byte(`{"active":true,"sub":"ann","aud":"api"}`), errors.New("down")
		},
		"a panic": func(context.Context, string) ([]byte, error) { panic("asker") },
	} {
		t.Run(name, func(t *testing.T) {
			opaque := newIntrospection(cfg, time.Now, func(config.Introspection) introspect.Asker { return ask }, nil)
			engine := newEngine(cfg, sources{issuers: cfg.Issuers, opaque: opaque}, time.Now)
			runTable(t, engine, nil, []policytest.Test{
				request(fmt.Sprintf("%s is no answer", name), "/api/me", "idp_x", 503, "unavailable"),
				request(fmt.Sprintf("%s is no answer on an optional route", name), "/", "idp_x", 503, "unavailable"),
			})
		})
	}
}
