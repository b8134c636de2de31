package jwtauth

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/claims"
	"github.com/passgate/passgate/internal/keyset"
)

var now = time.Unix(1_800_000_000, 999_999_999)

const (
	accountsISS = "https://auth.example.com"
	partnerISS  = "https://idp.partner.example"
	devicesISS  = "https://devices.example"
	rolesISS    = "https://roles.example"
)

// signers are one for each algorithm, made once. That of HS256 is the same in every run, so that what
// fuzzing finds can be run again.
var signers = sync.OnceValue(func() map[keyset.Algorithm]*keyset.Signer {
	m := make(map[keyset.Algorithm]*keyset.Signer)
	m[keyset.HS256], _ = keyset.Secret([]byte("a secret of a test, of no worth to anybody")).Signer()
	for a, id := range map[keyset.Algorithm]string{keyset.RS256: "r1", keyset.ES256: "e1", keyset.EdDSA: "d1"} {
		m[a], _ = keyset.GenerateSigner(a, id)
	}
	return m
})

func setOf(t testing.TB, algorithms ...keyset.Algorithm) *keyset.Set {
	t.Helper()
	var keys []*keyset.Key
	for _, a := range algorithms {
		keys = append(keys, signers()[a].Key())
	}
	s, err := keyset.NewSet(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// standardNames are those that a configuration has unless it says otherwise.
var standardNames = claims.Names{
	UserID: "sub", Roles: "roles", Permissions: "permissions", Scope: "scope", Email: "email",
	Subscription: "subscription", Country: "country", Platform: "platform",
}

// testIssuers are an unprefixed issuer with a shared secret, and three with key pairs and prefixes.
func testIssuers(t testing.TB) []Issuer {
	otherNames := standardNames
	otherNames.UserID, otherNames.Roles, otherNames.Permissions, otherNames.Scope = "uid", "groups", "perms", "scp"
	return []Issuer{{
		Name: "accounts", Issuer: accountsISS, Algorithms: []keyset.Algorithm{keyset.HS256},
		Keys: setOf(t, keyset.HS256), ClockSkew: time.Minute, Claims: standardNames,
	}, {
		Name: "partner", Issuer: partnerISS, Algorithms: []keyset.Algorithm{keyset.RS256, keyset.ES256},
		Keys: setOf(t, keyset.RS256, keyset.ES256), ClockSkew: time.Minute, Audiences: []string{"api", "web"}, UserPrefix: "partner:",
		Claims: standardNames,
	}, {
		// It has a key for RS256 too, which its list of algorithms leaves out.
		Name: "devices", Issuer: devicesISS, Algorithms: []keyset.Algorithm{keyset.EdDSA},
		Keys: setOf(t, keyset.EdDSA, keyset.RS256), Leeway: 30 * time.Second, UserPrefix: "device:", Claims: standardNames,
	}, {
		Name: "roles", Issuer: rolesISS, Algorithms: []keyset.Algorithm{keyset.HS256},
		Keys: setOf(t, keyset.HS256), UserPrefix: "roles:", Claims: otherNames,
	}}
}

func newVerifier(t testing.TB) *Verifier {
	t.Helper()
	return New(Options{Issuers: testIssuers(t), Directory: &authz.Directory{
		Roles:    map[string][]string{"admin": {"read", "write", "delete"}},
		Prefixes: []string{"partner:", "device:", "roles:"},
	}})
}

func verify(t testing.TB, v *Verifier, token string) (*authz.Identity, error) {
	t.Helper()
	return v.Verify(t.Context(), authz.Credential{Kind: authz.KindJWT, Value: token}, now)
}

// baseClaims are those of a good token of accounts, each value as JSON.
func baseClaims() map[string]string {
	return map[string]string{"iss": quoted(accountsISS), "sub": `"user_1"`, "exp": "1800000001"}
}

// payload returns the base claims as JSON, with some set to a value, or taken away where it is empty.
func payload(pairs ...string) string { return jsonObject(baseClaims(), pairs) }

func payloadOf(iss string, pairs ...string) string {
	return payload(append(pairs, "iss", quoted(iss))...)
}

// header returns the header of HS256 as JSON, changed like claims.
func header(pairs ...string) string {
	return jsonObject(map[string]string{"alg": `"HS256"`, "typ": `"JWT"`}, pairs)
}

func jsonObject(members map[string]string, pairs []string) string {
	for i := 0; i < len(pairs); i += 2 {
		members[pairs[i]] = pairs[i+1]
	}
	var parts []string
	for name, value := range members {
		if value != "" {
			parts = append(parts, quoted(name)+":"+value)
		}
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func quoted(s string) string {
	j, _ := json.Marshal(s)
	return string(j)
}

// hs256 returns a token of this header and these claims, well signed with the shared secret.
func hs256(header, payload string) string { return signed(keyset.HS256, header, payload) }

// signed returns a token of this header and these claims, signed with the test's key for a.
func signed(a keyset.Algorithm, header, payload string) string {
	token, err := compact(signers()[a], []byte(header), []byte(payload))
	if err != nil {
		panic(err)
	}
	return token
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
