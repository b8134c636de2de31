package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/config"
)

// attackNow is when all tokens of the attacks are judged. It ends in a fraction, which must not count.
var attackNow = time.Unix(1_800_000_000, 999_999_999)

// The issuers of the attacks, by their iss. Each has one key; mixed has one of each asymmetric algorithm.
const (
	accountsISS = "https://auth.example.com"
	otherISS    = "https://other.example.com"
	unnamedISS  = "https://unnamed.example.com"
	rsaISS      = "https://rsa.example.com"
	ecISS       = "https://ec.example.com"
	edISS       = "https://ed.example.com"
	mixedISS    = "https://mixed.example.com"
)

const attackConfig = `
issuers:
  - {name: accounts, issuer: "https://auth.example.com", algorithms: [HS256], secret: "${SECRET}", kid: a1, audiences: any}
  - {name: other, issuer: "https://other.example.com", algorithms: [HS256], secret: "${OTHER_SECRET}", kid: o1, audiences: [api], clock_skew: 0s, user_prefix: "other:"}
  - {name: unnamed, issuer: "https://unnamed.example.com", algorithms: [HS256], secret: "${UNNAMED_SECRET}", audiences: any, user_prefix: "unnamed:"}
  - {name: rsa, issuer: "https://rsa.example.com", algorithms: [RS256], public_key_file: rsa.pem, kid: r1, audiences: any, leeway: 30s, user_prefix: "rsa:"}
  - {name: ec, issuer: "https://ec.example.com", algorithms: [ES256], public_key_file: ec.pem, kid: e1, audiences: any, user_prefix: "ec:"}
  - {name: ed, issuer: "https://ed.example.com", algorithms: [EdDSA], public_key_file: ed.pem, kid: d1, audiences: any, user_prefix: "ed:"}
  - {name: mixed, issuer: "https://mixed.example.com", algorithms: [RS256, ES256, EdDSA], jwks_file: jwks.json, audiences: any, user_prefix: "mixed:"}
routes:
  - {path: "/**", service: api}
`

const unnamedSecret = "test-secret-not-for-production-00003"

// attackKeys are the private keys of the asymmetric issuers, and a second set: that of the attacker.
type attackKeys struct {
	rsa *rsa.PrivateKey
	ec  *ecdsa.PrivateKey
	ed  ed25519.PrivateKey
}

func generateAttackKeys() (k attackKeys) {
	k.rsa, _ = rsa.GenerateKey(rand.Reader, 2048)
	k.ec, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	_, k.ed, _ = ed25519.GenerateKey(rand.Reader)
	return k
}

var issuersKeys, attackersKeys = sync.OnceValue(generateAttackKeys), sync.OnceValue(generateAttackKeys)

// jwks returns the members of the JWK of each public key.
func (k attackKeys) jwks() map[string]map[string]any {
	point, _ := k.ec.PublicKey.Bytes()
	return map[string]map[string]any{
		"r1": {"kty": "RSA", "kid": "r1", "n": base64url(k.rsa.N.Bytes()), "e": "AQAB"},
		"e1": {"kty": "EC", "kid": "e1", "crv": "P-256", "x": base64url(point[1:33]), "y": base64url(point[33:])},
		"d1": {"kty": "OKP", "kid": "d1", "crv": "Ed25519", "x": base64url(k.ed.Public().(ed25519.PublicKey))},
	}
}

func (k attackKeys) public() map[string]crypto.PublicKey {
	return map[string]crypto.PublicKey{"rsa": &k.rsa.PublicKey, "ec": &k.ec.PublicKey, "ed": k.ed.Public()}
}

// attackEngine returns the engine of attackConfig, with this limit of a token's size or, with 0, its own.
func attackEngine(t *testing.T, limit config.Size) *authz.Engine {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, data []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, key := range issuersKeys().public() {
		der, err := x509.MarshalPKIXPublicKey(key)
		if err != nil {
			t.Fatal(err)
		}
		write(name+".pem", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	}
	set := issuersKeys().jwks()
	jwks, _ := json.Marshal(map[string]any{"keys": []any{set["r1"], set["e1"], set["d1"]}})
	write("jwks.json", jwks)
	write("passgate.yaml", []byte(attackConfig))
	env := map[string]string{"SECRET": cliSecret, "OTHER_SECRET": cliOtherSecret, "UNNAMED_SECRET": unnamedSecret}
	cfg, err := config.Load(filepath.Join(dir, "passgate.yaml"), func(name string) (string, bool) {
		return env[name], env[name] != ""
	})
	if err != nil {
		t.Fatal(err)
	}
	if limit != 0 {
		cfg.Limits.Token = limit
	}
	return newEngine(cfg, sources{issuers: cfg.Issuers}, func() time.Time { return attackNow })
}

// attack is a token and the code that Check answers it with: ok for those that must be let in, without which
// a table could pass by denying all.
type attack struct {
	name, token, want string
}

// runAttacks puts each token to Check over gRPC.
func runAttacks(t *testing.T, attacks []attack) {
	t.Helper()
	runAttacksOn(t, checkClient(t, attackEngine(t, 0)), attacks)
}

func runAttacksOn(t *testing.T, client authv3.AuthorizationClient, attacks []attack) {
	t.Helper()
	count := map[string]int{}
	for _, a := range attacks {
		got := askCheck(t, client, call{
			method: "GET", host: "localhost", path: "/api", headers: []authz.Header{{Name: "authorization", Value: "Bearer " + a.token}},
		}, asHeaders)
		count[got.Code]++
		if allowed := got.Status == 200; got.Code != a.want || allowed != (a.want == "ok") {
			t.Errorf("%s: %d %s, want %s", a.name, got.Status, got.Code, a.want)
		}
		if got.Status != 200 && got.Status != 401 {
			t.Errorf("%s: status %d", a.name, got.Status)
		}
	}
	if count["ok"] == 0 || len(count) < 2 {
		t.Errorf("of %d tokens %v: a table has tokens that pass and tokens that do not", len(attacks), count)
	}
	t.Logf("%d tokens: %v", len(attacks), count)
}

func base64url(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// signFunc returns the signature over what is signed.
type signFunc func(signed []byte) []byte

func withHMAC(secret []byte) signFunc {
	return func(signed []byte) []byte {
		mac := hmac.New(sha256.New, secret)
		mac.Write(signed)
		return mac.Sum(nil)
	}
}

func (k attackKeys) rs256(signed []byte) []byte {
	digest := sha256.Sum256(signed)
	signature, _ := rsa.SignPKCS1v15(nil, k.rsa, crypto.SHA256, digest[:])
	return signature
}

func (k attackKeys) es256(signed []byte) []byte {
	digest := sha256.Sum256(signed)
	r, s, _ := ecdsa.Sign(rand.Reader, k.ec, digest[:])
	return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
}

func (k attackKeys) eddsa(signed []byte) []byte { return ed25519.Sign(k.ed, signed) }

var (
	byAccounts = withHMAC([]byte(cliSecret))
	byOther    = withHMAC([]byte(cliOtherSecret))
	byUnnamed  = withHMAC([]byte(unnamedSecret))
)

// forge returns the compact form of these texts with a signature by sign.
func forge(header, claims string, sign signFunc) string {
	signed := base64url([]byte(header)) + "." + base64url([]byte(claims))
	return signed + "." + base64url(sign([]byte(signed)))
}

// claimsOf returns the least claims of an issuer's good token, and more members if any.
func claimsOf(iss string, more ...string) string {
	return `{"iss":` + quoted(iss) + `,"sub":"ann","exp":1800000001,"aud":"api"` + strings.Join(append([]string{""}, more...), ",") + `}`
}

// leastClaims are the claims that no token can do without, as JSON.
func leastClaims(iss string) map[string]string {
	return map[string]string{"iss": quoted(iss), "sub": `"ann"`, "exp": "1800000001"}
}

// objectWith is an object of the least claims and one more, or another for one of them.
func objectWith(iss, claim, value string) string {
	members := leastClaims(iss)
	members[claim] = value
	return objectOf(members)
}

func quoted(s string) string {
	text, _ := json.Marshal(s)
	return string(text)
}

const (
	accountsHeader = `{"alg":"HS256","kid":"a1"}`
	rsaHeader      = `{"alg":"RS256","kid":"r1"}`
	ecHeader       = `{"alg":"ES256","kid":"e1"}`
	edHeader       = `{"alg":"EdDSA","kid":"d1"}`
)

// controls are a good token of each issuer.
func controls() []attack {
	k := issuersKeys()
	return []attack{
		{"control: accounts", forge(accountsHeader, claimsOf(accountsISS), byAccounts), "ok"},
		{"control: other", forge(`{"alg":"HS256","kid":"o1"}`, claimsOf(otherISS), byOther), "ok"},
		{"control: unnamed", forge(`{"alg":"HS256"}`, claimsOf(unnamedISS), byUnnamed), "ok"},
		{"control: rsa", forge(rsaHeader, claimsOf(rsaISS), k.rs256), "ok"},
		{"control: ec", forge(ecHeader, claimsOf(ecISS), k.es256), "ok"},
		{"control: ed", forge(edHeader, claimsOf(edISS), k.eddsa), "ok"},
		{"control: mixed, RS256", forge(rsaHeader, claimsOf(mixedISS), k.rs256), "ok"},
		{"control: mixed, ES256", forge(ecHeader, claimsOf(mixedISS), k.es256), "ok"},
		{"control: mixed, EdDSA", forge(edHeader, claimsOf(mixedISS), k.eddsa), "ok"},
	}
}

func TestAttackKeyID(t *testing.T) {
	attacks := controls()
	attacks = append(attacks,
		attack{"no kid, one key", forge(`{"alg":"HS256"}`, claimsOf(accountsISS), byAccounts), "ok"},
		attack{"no kid, one key of the algorithm among three", forge(`{"alg":"ES256"}`, claimsOf(mixedISS), issuersKeys().es256), "ok"},
		attack{"any kid, where the key has none", forge(`{"alg":"HS256","kid":"x"}`, claimsOf(unnamedISS), byUnnamed), "ok"},
	)
	for name, kid := range map[string]string{
		"empty": `""`, "unknown": `"a2"`, "wrong case": `"A1"`, "blank before": `" a1"`, "blank after": `"a1 "`, "line break after": `"a1\n"`,
		"NUL after": `"a1\u0000"`, "NUL before": `"\u0000a1"`, "NUL and more": `"a1\u0000x"`, "beginning": `"a"`, "more": `"a11"`, "full-width": `"ａ1"`,
		"path": `"../../../dev/null"`, "path to an empty file": `"/dev/null"`, "file URL": `"file:///dev/null"`, "URL": `"https://evil.example/key"`,
		"SQL": `"a1' OR '1'='1"`, "SQL union": `"x' UNION SELECT 'k' --"`, "command": `"a1; id"`, "template": `"${SECRET}"`, "pattern": `"*"`, "LDAP": `"*)(kid=*"`,
		"number": `1`, "zero": `0`, "negative": `-1`, "true": `true`, "false": `false`, "null": `null`, "array": `["a1"]`, "empty array": `[]`, "object": `{"kid":"a1"}`,
		"very long": quoted(strings.Repeat("a", 5000)), "key of another HS256 issuer": `"o1"`, "RSA key of another issuer": `"r1"`, "lone surrogate": `"\ud800"`, "iss": quoted(accountsISS),
	} {
		attacks = append(attacks, attack{"kid: " + name, forge(`{"alg":"HS256","kid":`+kid+`}`, claimsOf(accountsISS), byAccounts), "invalid_token"})
		if kid != `"r1"` {
			attacks = append(attacks, attack{"kid of mixed: " + name, forge(`{"alg":"RS256","kid":`+kid+`}`, claimsOf(mixedISS), issuersKeys().rs256), "invalid_token"})
		}
	}
	attacks = append(attacks,
		attack{"kid: escaped, which is the same text", forge(`{"alg":"HS256","kid":"\u00611"}`, claimsOf(accountsISS), byAccounts), "ok"},
		attack{"kid: in another case of the name, which is another name", forge(`{"alg":"HS256","KID":"x"}`, claimsOf(accountsISS), byAccounts), "ok"},
		attack{"kid: in the claims, where it says nothing", forge(`{"alg":"HS256"}`, claimsOf(accountsISS, `"kid":"x"`), byAccounts), "ok"},
	)
	for kid, sign := range map[string]signFunc{"r1": issuersKeys().es256, "e1": issuersKeys().rs256, "d1": issuersKeys().es256} {
		for _, alg := range []string{"RS256", "ES256", "EdDSA", "HS256"} {
			attacks = append(attacks, attack{alg + " under kid " + kid + ", by another key of the issuer",
				forge(`{"alg":"`+alg+`","kid":"`+kid+`"}`, claimsOf(mixedISS), sign), "invalid_token"})
		}
	}
	runAttacks(t, attacks)
}

func TestAttackCrossedIssuers(t *testing.T) {
	attacks := controls()
	k, evil := issuersKeys(), attackersKeys()
	issuers := []struct {
		iss, alg, kid string
		sign          signFunc
	}{
		{accountsISS, "HS256", "a1", byAccounts}, {otherISS, "HS256", "o1", byOther}, {rsaISS, "RS256", "r1", k.rs256},
		{ecISS, "ES256", "e1", k.es256}, {edISS, "EdDSA", "d1", k.eddsa}, {"attacker, RS256", "RS256", "r1", evil.rs256},
		{"attacker, ES256", "ES256", "e1", evil.es256}, {"attacker, EdDSA", "EdDSA", "d1", evil.eddsa},
		{"attacker, empty HMAC key", "HS256", "a1", withHMAC(nil)},
	}
	for _, a := range issuers {
		if strings.HasPrefix(a.iss, "attacker") {
			continue
		}
		for _, b := range issuers {
			if a.iss == b.iss {
				continue
			}
			for _, header := range []string{
				`{"alg":"` + b.alg + `","kid":"` + a.kid + `"}`, `{"alg":"` + b.alg + `","kid":"` + b.kid + `"}`, `{"alg":"` + b.alg + `"}`,
				`{"alg":"` + a.alg + `","kid":"` + a.kid + `"}`, `{"alg":"` + a.alg + `","iss":` + quoted(b.iss) + `}`,
			} {
				attacks = append(attacks, attack{"iss of " + a.iss + ", signed by " + b.iss + ", " + header, forge(header, claimsOf(a.iss), b.sign), "invalid_token"})
			}
		}
	}
	for name, iss := range map[string]string{
		"trailing slash": `"https://auth.example.com/"`, "upper case": `"https://AUTH.example.com"`, "scheme in upper case": `"HTTPS://auth.example.com"`,
		"without scheme": `"auth.example.com"`, "plain scheme": `"http://auth.example.com"`, "port": `"https://auth.example.com:443"`, "blank after": `"https://auth.example.com "`,
		"blank before": `" https://auth.example.com"`, "line break": `"https://auth.example.com\n"`, "NUL": `"https://auth.example.com\u0000"`, "beginning": `"https://auth.example"`,
		"as the beginning of another host": `"https://auth.example.com.evil.example"`, "as user info": `"https://auth.example.com@evil.example"`, "empty": `""`,
		"name in the configuration": `"accounts"`, "array": `["https://auth.example.com"]`, "two": `["https://auth.example.com","https://other.example.com"]`,
		"joined": `"https://auth.example.com,https://other.example.com"`, "object": `{"iss":"https://auth.example.com"}`, "null": `null`, "number": `1`, "true": `true`,
		"Cyrillic letter": `"https://аuth.example.com"`, "unknown": `"https://evil.example"`, "kid": `"a1"`, "very long": quoted(strings.Repeat("x", 4000)),
	} {
		attacks = append(attacks, attack{"iss: " + name, forge(accountsHeader, `{"iss":`+iss+`,"sub":"ann","exp":1800000001}`, byAccounts), "invalid_token"})
	}
	for _, prefix := range []string{"other:", "unnamed:", "rsa:", "ec:", "ed:", "mixed:"} {
		attacks = append(attacks, attack{"user of the issuer with the prefix " + prefix,
			forge(accountsHeader, `{"iss":"https://auth.example.com","exp":1800000001,"sub":"`+prefix+`ann"}`, byAccounts), "invalid_token"})
	}
	attacks = append(attacks,
		attack{"no iss", forge(accountsHeader, `{"sub":"ann","exp":1800000001}`, byAccounts), "invalid_token"},
		attack{"iss in another case of the name", forge(accountsHeader, `{"ISS":"https://auth.example.com","sub":"ann","exp":1800000001}`, byAccounts), "invalid_token"},
		attack{"iss in the header alone", forge(`{"alg":"HS256","iss":"https://auth.example.com"}`, `{"sub":"ann","exp":1800000001}`, byAccounts), "invalid_token"},
	)
	// The halves of two good tokens.
	accounts, other := strings.Split(attacks[0].token, "."), strings.Split(attacks[1].token, ".")
	for bits := 1; bits < 7; bits++ {
		parts := [3]string{accounts[0], accounts[1], accounts[2]}
		for i := range parts {
			if bits>>i&1 == 1 {
				parts[i] = other[i]
			}
		}
		attacks = append(attacks, attack{"parts of two tokens", strings.Join(parts[:], "."), "invalid_token"})
	}
	runAttacks(t, attacks)
}

func TestAttackHeaderParameters(t *testing.T) {
	attacks := controls()
	k, evil := issuersKeys(), attackersKeys()
	octJWK := `{"kty":"oct","kid":"a1","k":"` + base64url([]byte("the attacker's own key, long enough")) + `"}`
	byOctJWK := withHMAC([]byte("the attacker's own key, long enough"))
	jwkText := func(kid string) string { text, _ := json.Marshal(evil.jwks()[kid]); return string(text) }
	for _, issuer := range []struct {
		iss, head, jwk string
		owner, evil    signFunc
	}{
		{accountsISS, `{"alg":"HS256","kid":"a1"`, octJWK, byAccounts, byOctJWK},
		{rsaISS, `{"alg":"RS256","kid":"r1"`, jwkText("r1"), k.rs256, evil.rs256},
		{ecISS, `{"alg":"ES256","kid":"e1"`, jwkText("e1"), k.es256, evil.es256},
		{edISS, `{"alg":"EdDSA","kid":"d1"`, jwkText("d1"), k.eddsa, evil.eddsa},
	} {
		for name, more := range map[string]string{
			"jwk": `"jwk":` + issuer.jwk, "jwks": `"jwks":{"keys":[` + issuer.jwk + `]}`, "jku": `"jku":"https://evil.example/jwks.json"`,
			"jku of the issuer": `"jku":` + quoted(issuer.iss+"/jwks@evil.example"), "x5u": `"x5u":"https://evil.example/cert.pem"`, "x5c": `"x5c":["MIIB"]`,
			"x5t": `"x5t":"AAAA"`, "x5t#S256": `"x5t#S256":"AAAA"`, "jwk as text": `"jwk":` + quoted(issuer.jwk), "iss": `"iss":"https://evil.example"`,
			"jku, x5u and jwk": `"jku":"http://127.0.0.1/","x5u":"http://127.0.0.1/","jwk":` + issuer.jwk,
		} {
			attacks = append(attacks,
				attack{issuer.iss + ": " + name + " by the attacker", forge(issuer.head+","+more+"}", claimsOf(issuer.iss), issuer.evil), "invalid_token"},
				attack{issuer.iss + ": " + name + " by the issuer, of no effect", forge(issuer.head+","+more+"}", claimsOf(issuer.iss), issuer.owner), "ok"})
		}
	}
	for _, name := range []string{"crit", "b64", "zip", "enc", "cty"} {
		for _, value := range []string{`"x"`, `""`, `null`, `true`, `false`, `0`, `[]`, `["exp"]`, `["b64"]`, `{}`, `"DEF"`, `"JWT"`, `"A128GCM"`} {
			attacks = append(attacks, attack{name + ": " + value, forge(`{"alg":"HS256","`+name+`":`+value+`}`, claimsOf(accountsISS), byAccounts), "invalid_token"})
		}
		attacks = append(attacks,
			attack{name + " with an escape in its name", forge(`{"alg":"HS256",`+escapeOf(name[0])+name[1:]+`":1}`, claimsOf(accountsISS), byAccounts), "invalid_token"},
			attack{name + " in the claims, where it says nothing", forge(accountsHeader, claimsOf(accountsISS, `"`+name+`":"x"`), byAccounts), "ok"},
			attack{name + " in capitals, which is another name", forge(`{"alg":"HS256","`+strings.ToUpper(name)+`":"x"}`, claimsOf(accountsISS), byAccounts), "ok"})
	}
	for typ, want := range map[string]string{
		`"JWT"`: "ok", `"jwt"`: "ok", `"at+jwt"`: "ok", `"AT+JWT"`: "ok", `"application/at+jwt"`: "ok", `"Application/AT+JWT"`: "ok",
		`""`: "", `"JWT "`: "", `"JOSE"`: "", `"id+jwt"`: "", `"logout+jwt"`: "", `"dpop+jwt"`: "", `"application/jwt"`: "", `"at+jwt;x"`: "", `"JWE"`: "", `"secevent+jwt"`: "",
		`null`: "", `1`: "", `true`: "", `["JWT"]`: "", `{}`: "", `"JWT\u0000"`: "", `"\u212aWT"`: "", `"application/application/at+jwt"`: "",
	} {
		if want == "" {
			want = "invalid_token"
		}
		attacks = append(attacks, attack{"typ: " + typ, forge(`{"alg":"HS256","typ":`+typ+`}`, claimsOf(accountsISS), byAccounts), want})
	}
	runAttacks(t, attacks)
}

// escapeOf returns a character as JSON may escape it.
func escapeOf(c byte) string { return fmt.Sprintf(`\u%04x`, c) }

func TestAttackRepeatedNames(t *testing.T) {
	attacks := controls()
	header := func(name, text string) {
		attacks = append(attacks, attack{"header: " + name, forge(text, claimsOf(accountsISS), byAccounts), "invalid_token"})
	}
	for _, m := range []struct{ name, good, bad string }{
		{"alg", `"HS256"`, `"none"`}, {"kid", `"a1"`, `"x"`}, {"typ", `"JWT"`, `"JOSE"`}, {"x", `1`, `2`}, {"jwk", `{}`, `{}`},
	} {
		base := ""
		if m.name != "alg" {
			base = `"alg":"HS256",`
		}
		escaped := `"` + escapeOf(m.name[0]) + m.name[1:] + `":`
		plain := `"` + m.name + `":`
		header(m.name+" twice, the same", `{`+base+plain+m.good+`,`+plain+m.good+`}`)
		header(m.name+" twice, the good first", `{`+base+plain+m.good+`,`+plain+m.bad+`}`)
		header(m.name+" twice, the good last", `{`+base+plain+m.bad+`,`+plain+m.good+`}`)
		header(m.name+" twice, one escaped", `{`+base+plain+m.good+`,`+escaped+m.good+`}`)
		header(m.name+" twice, the escaped first", `{`+base+escaped+m.good+`,`+plain+m.good+`}`)
		attacks = append(attacks, attack{"header: " + m.name + " in two cases, which are two names",
			forge(`{`+base+plain+m.good+`,"`+strings.ToUpper(m.name)+`":`+m.bad+`}`, claimsOf(accountsISS), byAccounts), "ok"})
	}
	header("nested", `{"alg":"HS256","jwk":{"a":1,"a":1}}`)
	header("nested deeper", `{"alg":"HS256","x":[{"y":[{"a":1,"\u0061":1}]}]}`)
	header("empty names", `{"alg":"HS256","":1,"":1}`)
	for _, claim := range []string{
		"iss", "sub", "exp", "nbf", "iat", "jti", "aud", "roles", "role", "permissions", "scope", "email", "subscription", "country", "platform", "unknown",
	} {
		value := map[string]string{"iss": quoted(accountsISS), "exp": "1800000001", "nbf": "1", "iat": "1", "permissions": `["a"]`}[claim]
		if value == "" {
			value = `"x"`
		}
		rest := []string{}
		for _, name := range []string{"iss", "sub", "exp"} {
			if name != claim {
				rest = append(rest, `"`+name+`":`+leastClaims(accountsISS)[name])
			}
		}
		escaped := `"` + escapeOf(claim[0]) + claim[1:] + `":` + value
		plain := `"` + claim + `":` + value
		object := func(members ...string) string { return "{" + strings.Join(append(members, rest...), ",") + "}" }
		for name, text := range map[string]string{
			"twice": object(plain, plain), "escaped first": object(escaped, plain), "escaped last": object(plain, escaped),
			"null first": object(`"`+claim+`":null`, plain), "apart": strings.TrimSuffix(object(plain), "}") + "," + plain + "}",
		} {
			attacks = append(attacks, attack{claim + ": " + name, forge(accountsHeader, text, byAccounts), "invalid_token"})
		}
		capital := strings.ToUpper(claim[:1]) + claim[1:]
		attacks = append(attacks,
			attack{claim + " in two cases, which are two names", forge(accountsHeader, object(plain, `"`+capital+`":[null]`), byAccounts), "ok"},
			attack{claim + " inside another claim, where it says nothing", forge(accountsHeader, object(plain, `"x":{"`+claim+`":null}`), byAccounts), "ok"},
			attack{claim + " escaped, which is the same name", forge(accountsHeader, object(escaped), byAccounts), "ok"},
			attack{claim + " twice inside another claim", forge(accountsHeader, object(plain, `"x":{`+plain+`,`+escaped+`}`), byAccounts), "invalid_token"})
	}
	for name, text := range map[string]string{
		"two objects": claimsOf(accountsISS) + "{}", "trailing text": claimsOf(accountsISS) + "x", "trailing comma": strings.TrimSuffix(claimsOf(accountsISS), "}") + ",}",
		"trailing NUL": claimsOf(accountsISS) + "\x00", "byte order mark": "\ufeff" + claimsOf(accountsISS), "array": "[" + claimsOf(accountsISS) + "]", "comment": "/**/" + claimsOf(accountsISS),
		"not UTF-8": claimsOf(accountsISS, "\"x\":\"\xff\""), "lone surrogate": claimsOf(accountsISS, `"x":"\udc00"`), "UTF-16": "\xff\xfe{\x00}\x00", "empty": "", "text": `"` + accountsISS + `"`,
		"single quotes": strings.ReplaceAll(claimsOf(accountsISS), `"`, `'`), "NaN": claimsOf(accountsISS, `"x":NaN`), "raw line break in a string": claimsOf(accountsISS, "\"x\":\"\n\""),
	} {
		attacks = append(attacks, attack{"claims: " + name, forge(accountsHeader, text, byAccounts), "invalid_token"})
	}
	attacks = append(attacks, attack{"white space around the claims", forge(accountsHeader, " \t\r\n"+claimsOf(accountsISS)+"\n", byAccounts), "ok"})
	runAttacks(t, attacks)
}
