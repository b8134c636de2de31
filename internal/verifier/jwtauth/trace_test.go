package jwtauth

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/keyset"
)

// A trace shows how far a token came, and what it was compared with on the way.
func TestTrace(t *testing.T) {
	const (
		read  = "token read: "
		found = "issuer found: "
		good  = "signature good: "
		said  = "claims read: "
	)
	accounts := read + `iss "https://auth.example.com", alg "HS256", no kid`
	tests := []struct {
		name, token string
		want        []string
	}{
		{"good", hs256(header(), payload("aud", `["a","b"]`, "nbf", "1700000000", "iat", "1700000001")), []string{
			accounts, found + "accounts", good + "by HS256 key without kid",
			said + `now 1800000000: exp 1800000001 (leeway 0s), nbf 1700000000 (clock skew 1m0s), iat 1700000001 (clock skew 1m0s); aud ["a" "b"], any is taken`,
		}},
		{"expired", hs256(header(), payload("exp", "1")), []string{
			accounts, found + "accounts", good + "by HS256 key without kid", said + `now 1800000000: exp 1 (leeway 0s); aud [], any is taken`,
		}},
		{"another audience", signed(keyset.ES256, header("alg", `"ES256"`, "kid", `"e1"`), payloadOf(partnerISS, "aud", `"x"`)), []string{
			read + `iss "https://idp.partner.example", alg "ES256", kid "e1"`, found + "partner", good + `by ES256 key "e1"`,
			said + `now 1800000000: exp 1800000001 (leeway 0s); aud ["x"], one of ["api" "web"] is asked for`,
		}},
		{"bad signature", signed(keyset.ES256, header("kid", `"k\n"`), payload()), []string{
			read + `iss "https://auth.example.com", alg "HS256", kid "k\n"`, found + "accounts",
		}},
		{"unknown issuer", hs256(header(), payloadOf("https://evil.example")), []string{read + `iss "https://evil.example", alg "HS256", no kid`}},
		{"no token at all", "a.b.c", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			trace := &authz.Trace{}
			_, err := newVerifier(t).Verify(t.Context(), authz.Credential{Kind: authz.KindJWT, Value: tt.token, Trace: trace}, now)
			var got []string
			for _, s := range trace.Steps {
				got = append(got, fmt.Sprintf("%s %s: %s", s.Name, s.Result, s.Detail))
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got\n%s\nwant\n%s\n(%v)", strings.Join(got, "\n"), strings.Join(tt.want, "\n"), err)
			}
			for part := range strings.SplitSeq(tt.token, ".") {
				if len(part) > 8 && strings.Contains(strings.Join(got, "\n"), part) {
					t.Error("a part of the token is in the trace")
				}
			}
		})
	}
}
