package passport_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/claims"
	"github.com/passgate/passgate/internal/keyset"
	"github.com/passgate/passgate/internal/verifier/jwtauth"
	"github.com/passgate/passgate/passport"
)

var standardNames = claims.Names{
	UserID: "sub", Roles: "roles", Permissions: "permissions", Scope: "scope", Email: "email", Subscription: "subscription", Country: "country", Platform: "platform",
}

// Should one key sign tokens and passports, neither is ever taken for the other.
func TestTokenAndPassportOfOneKey(t *testing.T) {
	keys, err := keyset.Parse(jwks(jwk('k', "k")))
	if err != nil {
		t.Fatal(err)
	}
	set, err := keyset.NewSet(keys...)
	if err != nil {
		t.Fatal(err)
	}
	tokens := jwtauth.New(jwtauth.Options{Issuers: []jwtauth.Issuer{{
		Name: "accounts", Issuer: "https://auth.example.com", Algorithms: []keyset.Algorithm{keyset.EdDSA}, Keys: set, Claims: standardNames,
	}}})
	accept := func(token string) error {
		_, err := tokens.Verify(t.Context(), authz.Credential{Kind: authz.KindJWT, Value: token}, ann.Issued())
		return err
	}
	payload, err := json.Marshal(map[string]any{"iss": "https://auth.example.com", "sub": "user_123", "exp": ann.Issued().Add(time.Hour).Unix()})
	if err != nil {
		t.Fatal(err)
	}
	// A token is what forge makes, with the payload put back.
	attach := func(detached, payload string) string { return strings.Replace(detached, "..", "."+b64(payload)+".", 1) }
	detachedToken := forge('k', `{"alg":"EdDSA","kid":"k","typ":"JWT"}`, string(payload))
	token := attach(detachedToken, string(payload))
	if err := accept(token); err != nil {
		t.Fatalf("the token is refused in any case: %v", err)
	}

	value, v := ann.Encode(), newVerifier(t, nil)
	signature := sign('k', "k", value)
	for name, signature := range map[string]string{
		"the token":                          token,
		"the token with its claims cut":      detachedToken,
		"a token's header over the passport": forge('k', `{"alg":"EdDSA","kid":"k","typ":"JWT"}`, value),
	} {
		for _, value := range []string{value, string(payload), b64(string(payload)), token} {
			if p, err := v.Verify(t.Context(), value, signature); !errors.Is(err, passport.ErrSignature) {
				t.Errorf("%s passes as a signature: %+v, %v", name, p, err)
			}
		}
	}
	claimsAsPassport := sign('k', "k", string(payload))
	for name, token := range map[string]string{
		"the signature": signature,
		"the signature with the passport put back": attach(signature, value),
		"the signature with the passport's text":   attach(signature, annText),
		"claims that the passports' signer signed": attach(claimsAsPassport, string(payload)),
		"the value of X-Passport":                  value,
	} {
		if err := accept(token); !errors.Is(err, authz.ErrCredentialInvalid) {
			t.Errorf("%s passes as a token: %v", name, err)
		}
	}
}
