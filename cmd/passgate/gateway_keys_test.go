package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

// pair is an asymmetric key with its public half in the forms that an init message takes.
type pair struct {
	method  jwt.SigningMethod
	private crypto.Signer
	jwk     map[string]any
}

func pairs(t *testing.T) []pair {
	t.Helper()
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := e.PublicKey.Bytes() // 4, x, y
	if err != nil {
		t.Fatal(err)
	}
	public, o, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	return []pair{
		{jwt.SigningMethodRS256, r, map[string]any{"kty": "RSA", "n": b64(r.N.Bytes()), "e": b64(big.NewInt(int64(r.E)).Bytes())}},
		{jwt.SigningMethodES256, e, map[string]any{"kty": "EC", "crv": "P-256", "x": b64(point[1:33]), "y": b64(point[33:])}},
		{jwt.SigningMethodEdDSA, o, map[string]any{"kty": "OKP", "crv": "Ed25519", "x": b64(public)}},
	}
}

func (p pair) pem(t *testing.T) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(p.private.Public())
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func text(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestGatewayTakesPublicKeysInEveryForm(t *testing.T) {
	all := pairs(t)
	for i, p := range all {
		jwks := map[string]any{"keys": []any{p.jwk}}
		for form, key := range map[string]any{
			"PEM":               p.pem(t),
			"PEM with CRLF":     strings.ReplaceAll(p.pem(t), "\n", "\r\n"),
			"PEM with blanks":   "\n " + p.pem(t) + "\n",
			"JWK as an object":  p.jwk,
			"JWK as a string":   text(t, p.jwk),
			"JWKS as an object": jwks,
			"JWKS as a string":  text(t, jwks),
		} {
			t.Run(p.method.Alg()+" "+form, func(t *testing.T) {
				other := all[(i+1)%len(all)]
				messages := []string{initWith(t, key),
					get(1, signedToken(t, p.method, p.private, "", nil)),
					get(2, signedToken(t, p.method, p.private, "unknown", nil)), // a key without kid takes any
					get(3, signedToken(t, other.method, other.private, "", nil)),
					get(4, signedToken(t, p.method, p.private, "", jwt.MapClaims{"exp": 1})),
				}
				want := initOK + allowed(1) + allowed(2) + invalid(3) + denied(4, 401, "Token expired")
				for _, secret := range []any{key, p.pem(t), text(t, p.jwk)} {
					if s, ok := secret.(string); ok {
						messages = append(messages, get(5, hmacToken(t, s, nil)), get(5, hmacToken(t, strings.TrimSpace(s), nil)))
						want += invalid(5) + invalid(5)
					}
				}
				if got := gateway(t, messages...); got != want {
					t.Errorf("got\n%swant\n%s", got, want)
				}
			})
		}
	}
}

func TestGatewayTakesASetOfKeys(t *testing.T) {
	var keys []any
	var messages []string
	want := initOK
	all := pairs(t)
	for i, p := range all {
		p.jwk["kid"] = p.method.Alg()
		keys = append(keys, p.jwk)
		messages = append(messages,
			get(i, signedToken(t, p.method, p.private, p.method.Alg(), nil)),
			get(i, signedToken(t, p.method, p.private, "", nil)), // its algorithm has one key
			get(i, signedToken(t, p.method, p.private, all[(i+1)%len(all)].method.Alg(), nil)))
		want += allowed(i) + allowed(i) + invalid(i)
	}
	messages = append([]string{initWith(t, map[string]any{"keys": keys})}, messages...)
	if got := gateway(t, messages...); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// Whoever knows a public key must not be able to sign with it, nor with what is left of a broken one.
func TestGatewayTakesNoPublicKeyAsSecret(t *testing.T) {
	p := pairs(t)[0]
	whole := p.pem(t)
	secret := base64.RawURLEncoding.EncodeToString([]byte(cliSecret))
	oct := `{"kty":"oct","k":"` + secret + `"}`
	for name, key := range map[string]string{
		"PEM":                     whole,
		"PEM without its end":     whole[:len(whole)/2],
		"PEM of nothing":          "-----BEGIN PUBLIC KEY-----\nbroken\n-----END PUBLIC KEY-----\n",
		"PEM in one line":         strings.ReplaceAll(whole, "\n", ""),
		"PEM after other text":    "key: " + whole,
		"PEM of a certificate":    strings.ReplaceAll(whole, "PUBLIC KEY", "CERTIFICATE"),
		"JWK":                     text(t, p.jwk),
		"JWK cut short":           text(t, p.jwk)[:40] + `"kty"`,
		"JWK of no known type":    `{"kty":"XYZ"}`,
		"JWK that is a secret":    oct,
		"JWKS without a key":      `{"keys":[]}`,
		"JWKS with a secret":      `{"keys":[` + oct + `]}`,
		"JWKS with a secret too":  `{"keys":[` + text(t, p.jwk) + `,` + oct + `]}`,
		"JWKS cut short":          `{"keys":[{"kty":`,
		"object that is no key":   `{}`,
		"nothing":                 "",
		"JWK after a blank":       "\n " + text(t, p.jwk),
		"JWK with a repeated kty": `{"kty":"RSA","kty":"oct","k":"` + secret + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			got := gateway(t, initWith(t, key),
				get(1, hmacToken(t, key, nil)), get(2, hmacToken(t, strings.TrimSpace(key)+"\n", nil)), get(3, hmacToken(t, cliSecret, nil)))
			if want := initOK + invalid(1) + invalid(2) + invalid(3); got != want {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
}

func TestGatewayTakesAnyOtherTextAsSecret(t *testing.T) {
	for _, key := range []string{"k", "public_key_here", " blank ", "ü\u0000\n", "[1]", "{not JSON", strings.Repeat("x", 4096)} {
		t.Run(fmt.Sprintf("%.20q", key), func(t *testing.T) {
			got := gateway(t, initWith(t, key), get(1, hmacToken(t, key, nil)), get(2, hmacToken(t, key+"x", nil)))
			if want := initOK + allowed(1) + invalid(2); got != want {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
}

func TestGatewayTakesNoSecretAsAnObject(t *testing.T) {
	oct := map[string]any{"kty": "oct", "k": base64.RawURLEncoding.EncodeToString([]byte(cliSecret))}
	for name, key := range map[string]any{"JWK": oct, "JWKS": map[string]any{"keys": []any{oct}}, "empty object": map[string]any{}} {
		t.Run(name, func(t *testing.T) {
			got := gateway(t, initWith(t, key), get(1, hmacToken(t, cliSecret, nil)), get(2, hmacToken(t, text(t, key), nil)))
			if want := initOK + invalid(1) + invalid(2); got != want {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
}
