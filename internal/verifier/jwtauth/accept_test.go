package jwtauth

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/keyset"
)

func TestVerifyAcceptsEveryAlgorithm(t *testing.T) {
	v := newVerifier(t)
	for _, test := range []struct {
		alg                   keyset.Algorithm
		iss, source, prefixed string
	}{
		{keyset.HS256, accountsISS, "accounts", "user_1"},
		{keyset.RS256, partnerISS, "partner", "partner:user_1"},
		{keyset.ES256, partnerISS, "partner", "partner:user_1"},
		{keyset.EdDSA, devicesISS, "devices", "device:user_1"},
	} {
		t.Run(string(test.alg), func(t *testing.T) {
			token, err := Mint(signers()[test.alg], map[string]any{
				"iss": test.iss, "sub": "user_1", "exp": now.Unix() + 1, "aud": "api",
			})
			if err != nil {
				t.Fatal(err)
			}
			id, err := verify(t, v, token)
			if err != nil {
				t.Fatal(err)
			}
			if id.Source != test.source || id.Issuer != test.iss || id.UserID != test.prefixed {
				t.Errorf("got %+v", id)
			}
		})
	}
}

// Each of these is the base token with one thing changed that must make no difference.
func TestVerifyAccepts(t *testing.T) {
	v := newVerifier(t)
	for name, token := range map[string]string{
		"nothing changed":              hs256(header(), payload()),
		"typ absent":                   hs256(header("typ", ""), payload()),
		"typ in lower case":            hs256(header("typ", `"jwt"`), payload()),
		"typ at+jwt":                   hs256(header("typ", `"at+JWT"`), payload()),
		"typ application/at+jwt":       hs256(header("typ", `"Application/AT+jwt"`), payload()),
		"kid of no key that has one":   hs256(header("kid", `"any"`), payload()),
		"kid empty":                    hs256(header("kid", `""`), payload()),
		"embedded key material":        hs256(header("jwk", `{"kty":"oct","k":"AA"}`, "x5c", `["AA"]`, "jku", `7`, "x5u", `null`), payload()),
		"unknown header parameter":     hs256(header("ALG", `"none"`, "CRIT", `["x"]`), payload()),
		"unknown claims":               hs256(header(), payload("Sub", `7`, "nested", `{"a":[{"b":null}]}`)),
		"white space":                  hs256(" \t\r\n"+header()+"\n", "\n "+payload()+" \n"),
		"escaped names":                hs256(`{"\u0061lg":"HS256"}`, strings.Replace(payload(), `"sub"`, `"\u0073ub"`, 1)),
		"exp with an exponent":         hs256(header(), payload("exp", "1.800000001E+9")),
		"exp with zeros":               hs256(header(), payload("exp", "1800000001.000")),
		"exp in another unit":          hs256(header(), payload("exp", "18000000010e-1")),
		"exp at the end":               hs256(header(), payload("exp", "253402300799")),
		"nbf and iat zero":             hs256(header(), payload("nbf", "0", "iat", "-0.0e99999999999999999999")),
		"nbf ahead, within the skew":   hs256(header(), payload("nbf", "1800000060")),
		"iat ahead, within the skew":   hs256(header(), payload("iat", "1800000060")),
		"iat after exp":                hs256(header(), payload("iat", "1800000010")),
		"any audience where any is":    hs256(header(), payload("aud", `["x","y"]`)),
		"no audience in aud":           hs256(header(), payload("aud", `[]`)),
		"one of the audiences":         signed(keyset.RS256, header("alg", `"RS256"`), payloadOf(partnerISS, "aud", `["x","web"]`)),
		"kid that selects":             signed(keyset.ES256, header("alg", `"ES256"`, "kid", `"e1"`), payloadOf(partnerISS, "aud", `"api"`)),
		"expired, within the leeway":   signed(keyset.EdDSA, header("alg", `"EdDSA"`), payloadOf(devicesISS, "exp", "1799999971")),
		"jti":                          hs256(header(), payload("jti", `""`)),
		"user id of a neighbour's kin": hs256(header(), payload("sub", `"partner"`)),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := verify(t, v, token); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestVerifyReadsThePrincipal(t *testing.T) {
	v := newVerifier(t)
	base := authz.Principal{Source: "accounts", Issuer: accountsISS, UserID: "user_1", Roles: []string{}, Permissions: []string{}}
	tests := []struct {
		name   string
		claims string
		want   func(*authz.Principal)
	}{
		{"nothing but the least", payload(), func(*authz.Principal) {}},
		{"all strings", payload("email", `"a@example.com"`, "subscription", `"free"`, "country", `"IN"`, "platform", `"android"`), func(p *authz.Principal) {
			p.Email, p.Subscription, p.Country, p.Platform = "a@example.com", "free", "IN", "android"
		}},
		{"permissions, then scope, then roles", payload("permissions", `["p1","read"]`, "scope", `"s1 p1"`, "roles", `["admin"]`), func(p *authz.Principal) {
			p.Roles, p.Permissions = []string{"admin"}, []string{"p1", "read", "s1", "write", "delete"}
		}},
		{"roles as one string", payload("roles", `"admin dev"`), func(p *authz.Principal) { p.Roles = []string{"admin dev"} }},
		{"role as one string", payload("role", `"dev"`), func(p *authz.Principal) { p.Roles = []string{"dev"} }},
		{"role as an array", payload("role", `["dev","ops"]`), func(p *authz.Principal) { p.Roles = []string{"dev", "ops"} }},
		{"roles, then role", payload("roles", `["dev"]`, "role", `"ops"`), func(p *authz.Principal) { p.Roles = []string{"dev", "ops"} }},
		{"scope is parted by blanks alone", payload("scope", `" a  b\tc\u00a0d "`), func(p *authz.Principal) { p.Permissions = []string{"a", "b\tc\u00a0d"} }},
		{"a permission holds what it holds", payload("permissions", `["a b","*",""]`), func(p *authz.Principal) { p.Permissions = []string{"a b", "*"} }},
		{"escapes are read", payload("sub", `"\u00e9\ud83d\ude00\u0000"`), func(p *authz.Principal) { p.UserID = "é😀\x00" }},
		{"configured names", payloadOf(rolesISS, "uid", `"u7"`, "groups", `"admin"`, "perms", `["p"]`, "scp", `"s"`, "role", `"x"`, "roles", `7`, "scope", `[]`), func(p *authz.Principal) {
			p.Source, p.Issuer, p.UserID = "roles", rolesISS, "roles:u7"
			p.Roles, p.Permissions = []string{"admin"}, []string{"p", "s", "read", "write", "delete"}
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			id, err := verify(t, v, hs256(header(), test.claims))
			if err != nil {
				t.Fatal(err)
			}
			want := base
			want.Claims = []byte(test.claims)
			test.want(&want)
			if diff := cmp.Diff(want, id.Principal); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDecodeUnverified(t *testing.T) {
	h, c := header("alg", `"none"`), payload("exp", `"never"`)
	gotHeader, gotClaims, err := DecodeUnverified(b64(h) + "." + b64(c) + ".")
	if err != nil || string(gotHeader) != h || string(gotClaims) != c {
		t.Errorf("got %s, %s, %v", gotHeader, gotClaims, err)
	}
	for _, token := range []string{"", "a", "a.b", "..", b64(h) + "." + b64(c), b64(h) + "." + b64("[]") + ".", b64("x") + "." + b64(c) + ".", b64(h) + "." + b64(c) + ".="} {
		if _, _, err := DecodeUnverified(token); err == nil {
			t.Errorf("%q was decoded", token)
		}
	}
}

func TestMintWritesWhatItIsGiven(t *testing.T) {
	token, err := Mint(signers()[keyset.EdDSA], map[string]any{"b": []string{"x"}, "a": 1})
	if err != nil {
		t.Fatal(err)
	}
	h, c, err := DecodeUnverified(token)
	if err != nil || string(h) != `{"alg":"EdDSA","kid":"d1","typ":"JWT"}` || string(c) != `{"a":1,"b":["x"]}` {
		t.Errorf("got %s, %s, %v", h, c, err)
	}
	if _, err := Mint(signers()[keyset.HS256], map[string]any{"a": func() {}}); err == nil {
		t.Error("a function was written as a claim")
	}
	if token, err := Mint(signers()[keyset.HS256], nil); err != nil || strings.Split(token, ".")[1] != b64("{}") {
		t.Errorf("no claims: %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"no name":           func(o *Options) { o.Issuers[0].Name = "" },
		"no issuer":         func(o *Options) { o.Issuers[0].Issuer = "" },
		"no keys":           func(o *Options) { o.Issuers[0].Keys = nil },
		"unknown algorithm": func(o *Options) { o.Issuers[0].Algorithms = []keyset.Algorithm{"none"} },
		"leeway too long":   func(o *Options) { o.Issuers[0].Leeway = maxTolerance + 1 },
		"leeway negative":   func(o *Options) { o.Issuers[0].Leeway = -1 },
		"skew too long":     func(o *Options) { o.Issuers[0].ClockSkew = maxTolerance + 1 },
		"skew negative":     func(o *Options) { o.Issuers[0].ClockSkew = -1 },
		"name taken":        func(o *Options) { o.Issuers[0].Name = "partner" },
		"iss taken":         func(o *Options) { o.Issuers[0].Issuer = partnerISS },
		"a claim unnamed":   func(o *Options) { o.Issuers[0].Claims.Scope = "" },
	} {
		t.Run(name, func(t *testing.T) {
			o := Options{Issuers: testIssuers(t)}
			change(&o)
			defer func() {
				if text, _ := recover().(string); !strings.HasPrefix(text, "jwtauth: issuer ") {
					t.Errorf("panic with %q", text)
				}
			}()
			New(o)
		})
	}
}

func TestNewAcceptsTheLongestTolerance(t *testing.T) {
	o := Options{Issuers: testIssuers(t)}
	o.Issuers[0].Leeway, o.Issuers[0].ClockSkew = maxTolerance, maxTolerance
	New(o) // does not panic
}

func TestVerifierKeepsItsOwnOptions(t *testing.T) {
	o := Options{Issuers: testIssuers(t)}
	v := New(o)
	o.Issuers[0].Algorithms[0], o.Issuers[0].Issuer = "none", "x"
	if _, err := verify(t, v, hs256(header(), payload())); err != nil {
		t.Error(err)
	}
}

func BenchmarkVerify(b *testing.B) {
	v := newVerifier(b)
	issuers := map[keyset.Algorithm]string{keyset.HS256: accountsISS, keyset.RS256: partnerISS, keyset.ES256: partnerISS, keyset.EdDSA: devicesISS}
	for _, a := range keyset.Algorithms() {
		b.Run(string(a), func(b *testing.B) {
			token, err := Mint(signers()[a], map[string]any{
				"iss": issuers[a], "sub": "user_1", "exp": now.Unix() + 3600, "iat": now.Unix(), "aud": "api",
				"email": "a@example.com", "roles": []string{"admin"}, "permissions": []string{"read"},
			})
			if err != nil {
				b.Fatal(err)
			}
			c := authz.Credential{Kind: authz.KindJWT, Value: token}
			b.ReportAllocs()
			for b.Loop() {
				id, err := v.Verify(b.Context(), c, now)
				if err != nil || id.Issuer != issuers[a] || !slices.Contains(id.Permissions, "delete") {
					b.Fatalf("got %v, %v", id, err)
				}
			}
		})
	}
}
