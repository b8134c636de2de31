package keyset

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// material is one private key of each type, made once.
var material = sync.OnceValue(func() (m struct {
	rsa *rsa.PrivateKey
	ec  *ecdsa.PrivateKey
	ed  ed25519.PrivateKey
}) {
	m.rsa, _ = rsa.GenerateKey(rand.Reader, 2048)
	m.ec, _ = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	_, m.ed, _ = ed25519.GenerateKey(rand.Reader)
	return m
})

type jwk = map[string]any

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// publicJWK returns the JWK of the test's key of a type, as its owner would publish it.
func publicJWK(kty string) jwk {
	switch m := material(); kty {
	case "RSA":
		return jwk{"kty": "RSA", "n": b64(m.rsa.N.Bytes()), "e": "AQAB"}
	case "EC":
		point, _ := m.ec.PublicKey.Bytes()
		return jwk{"kty": "EC", "crv": "P-256", "x": b64(point[1:33]), "y": b64(point[33:])}
	case "OKP":
		return jwk{"kty": "OKP", "crv": "Ed25519", "x": b64(m.ed.Public().(ed25519.PublicKey))}
	}
	return jwk{"kty": "oct", "k": b64(bytes.Repeat([]byte("k"), 32))}
}

// with returns the JWK of a type with members set, or taken away where the value is nil.
func with(kty string, pairs ...any) []byte {
	m := maps.Clone(publicJWK(kty))
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i].(string)] = pairs[i+1]
		if pairs[i+1] == nil {
			delete(m, pairs[i].(string))
		}
	}
	return encode(m)
}

func encode(v any) []byte {
	j, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return j
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func publicPEM(public any) []byte {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		panic(err)
	}
	return block("PUBLIC KEY", der)
}

// modulus is an odd number of so many bits, which is all that a modulus is judged by.
func modulus(bits uint) string {
	return b64(new(big.Int).Add(new(big.Int).Lsh(big.NewInt(1), bits-1), big.NewInt(1)).Bytes())
}

func TestParseAccepts(t *testing.T) {
	m := material()
	tests := []struct {
		name string
		text []byte
		want string // the keys as they print
	}{
		{"RSA PEM", publicPEM(&m.rsa.PublicKey), "RS256 key without kid"},
		{"P-256 PEM", publicPEM(&m.ec.PublicKey), "ES256 key without kid"},
		{"Ed25519 PEM", publicPEM(m.ed.Public()), "EdDSA key without kid"},
		{"PEM amid white space", slices.Concat([]byte("\r\n "), publicPEM(m.ed.Public()), []byte("\n\t\n")), "EdDSA key without kid"},
		{"RSA JWK", with("RSA"), "RS256 key without kid"},
		{"P-256 JWK", with("EC", "kid", "e1"), `ES256 key "e1"`},
		{"Ed25519 JWK", with("OKP"), "EdDSA key without kid"},
		{"oct JWK", with("oct"), "HS256 key without kid"},
		{"JWK amid white space", slices.Concat([]byte(" \r\n\t"), with("OKP"), []byte("\n\n")), "EdDSA key without kid"},
		{"alg of the type", with("RSA", "alg", "RS256"), "RS256 key without kid"},
		{"use sig", with("RSA", "use", "sig"), "RS256 key without kid"},
		{"key_ops verify", with("RSA", "key_ops", []string{"verify"}), "RS256 key without kid"},
		{"key_ops of a shared secret", with("oct", "key_ops", []string{"sign", "verify"}), "HS256 key without kid"},
		{"unknown members", with("RSA", "x5u", "https://keys.example", "x5c", 7, "KTY", "oct", "note", "-----BEGIN NOTE-----"), "RS256 key without kid"},
		{"smallest modulus", with("RSA", "n", modulus(2048)), "RS256 key without kid"},
		{"largest modulus", with("RSA", "n", modulus(8192)), "RS256 key without kid"},
		{"largest exponent", with("RSA", "e", b64([]byte{0x7f, 0xff, 0xff, 0xff})), "RS256 key without kid"},
		{"JWKS", encode(jwk{"keys": []jwk{publicJWK("RSA"), publicJWK("EC")}, "more": 1}), "RS256 key without kid, ES256 key without kid"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			keys, err := Parse(test.text)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, k := range keys {
				got = append(got, k.String())
			}
			if got := strings.Join(got, ", "); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
			if !LooksPublic(test.text) {
				t.Error("it does not look like a key, so it could be taken as a secret")
			}
		})
	}
}

func TestParsedKeysVerify(t *testing.T) {
	m := material()
	for _, test := range []struct {
		alg     Algorithm
		private any
		texts   [][]byte
	}{
		{RS256, m.rsa, [][]byte{with("RSA"), publicPEM(&m.rsa.PublicKey)}},
		{ES256, m.ec, [][]byte{with("EC"), publicPEM(&m.ec.PublicKey)}},
		{EdDSA, m.ed, [][]byte{with("OKP"), publicPEM(m.ed.Public())}},
		{HS256, bytes.Repeat([]byte("k"), 32), [][]byte{with("oct")}},
	} {
		signature, err := test.alg.method().Sign(text, test.private)
		if err != nil {
			t.Fatal(err)
		}
		for _, material := range test.texts {
			keys, err := Parse(material)
			if err != nil || len(keys) != 1 {
				t.Fatalf("%s: %v", test.alg, err)
			}
			if err := keys[0].Verify(text, signature); err != nil {
				t.Errorf("%s: %v", test.alg, err)
			}
		}
	}
}

func TestParseRefuses(t *testing.T) {
	m := material()
	pkcs8, _ := x509.MarshalPKCS8PrivateKey(m.ed)
	sec1, _ := x509.MarshalECPrivateKey(m.ec)
	x25519, _ := ecdh.X25519().GenerateKey(rand.Reader)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	good := publicPEM(m.ed.Public())
	body, _ := pem.Decode(good)
	withHeader := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Headers: map[string]string{"A": "b"}, Bytes: body.Bytes})
	weak := &rsa.PublicKey{N: new(big.Int).Add(new(big.Int).Lsh(big.NewInt(1), 1023), big.NewInt(1)), E: 65537}
	x := publicJWK("EC")["x"].(string)
	point, _ := m.ec.PublicKey.Bytes()

	refused := map[string][]byte{
		"nothing":               {},
		"white space":           []byte(" \n"),
		"a secret":              []byte("a secret of a test, of no worth to anybody"),
		"DER":                   body.Bytes,
		"JSON array":            encode([]jwk{publicJWK("RSA")}),
		"PEM private PKCS 8":    block("PRIVATE KEY", pkcs8),
		"PEM private PKCS 1":    block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(m.rsa)),
		"PEM private SEC 1":     block("EC PRIVATE KEY", sec1),
		"PEM private encrypted": block("ENCRYPTED PRIVATE KEY", pkcs8),
		"PEM private OpenSSH":   block("OPENSSH PRIVATE KEY", pkcs8),
		"PEM certificate":       block("CERTIFICATE", body.Bytes),
		"PEM RSA PUBLIC KEY":    block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&m.rsa.PublicKey)),
		"PEM of garbage":        block("PUBLIC KEY", []byte("garbage")),
		"PEM with DER trailer":  block("PUBLIC KEY", append(bytes.Clone(body.Bytes), 0)),
		"PEM header":            withHeader,
		"PEM two blocks":        slices.Concat(good, good),
		"PEM text before":       slices.Concat([]byte("key:\n"), good),
		"PEM text after":        slices.Concat(good, []byte("x")),
		"PEM NUL after":         slices.Concat(good, []byte{0}),
		"PEM broken, then good": slices.Concat([]byte("-----BEGIN PUBLIC KEY-----\n!\n-----END PUBLIC KEY-----\n"), good),
		"PEM cut":               good[:len(good)-10],
		"PEM RSA 1024":          publicPEM(weak),
		"PEM P-384":             publicPEM(&p384.PublicKey),
		"PEM X25519":            publicPEM(x25519.PublicKey()),

		"JWK empty":              []byte(`{}`),
		"JWK cut":                []byte(`{"kty":"RSA"`),
		"JWK trailing data":      append(with("RSA"), '1'),
		"JWK two":                append(with("RSA"), with("RSA")...),
		"JWK byte order mark":    append([]byte("\uFEFF"), with("RSA")...),
		"JWK repeated name":      []byte(strings.Replace(string(with("RSA")), `{`, `{"kty":"RSA",`, 1)),
		"JWK repeated name deep": with("RSA", "note", json.RawMessage(`{"a":1,"a":2}`)),
		"JWK invalid UTF-8":      []byte(strings.Replace(string(with("RSA", "note", "@")), "@", "\xff", 1)),
		"JWK lone surrogate":     with("RSA", "note", json.RawMessage(`"\ud800"`)),
		"JWK case-folded names":  []byte(strings.Replace(string(with("RSA")), `"kty"`, `"Kty"`, 1)),
		"JWK and JWKS":           with("RSA", "keys", []jwk{publicJWK("RSA")}),

		"kty missing":    with("RSA", "kty", nil),
		"kty null":       with("RSA", "kty", json.RawMessage("null")),
		"kty number":     with("RSA", "kty", 1),
		"kty lower case": with("RSA", "kty", "rsa"),
		"kty unknown":    with("RSA", "kty", "AKP"),
		"kty of another": with("RSA", "kty", "EC"),

		"alg of another type":     with("RSA", "alg", "HS256"),
		"alg HS256 on EC":         with("EC", "alg", "HS256"),
		"alg PS256":               with("RSA", "alg", "PS256"),
		"alg RS512":               with("RSA", "alg", "RS512"),
		"alg ES384":               with("EC", "alg", "ES384"),
		"alg HS512":               with("oct", "alg", "HS512"),
		"alg none":                with("RSA", "alg", "none"),
		"alg empty":               with("RSA", "alg", ""),
		"alg null":                with("RSA", "alg", json.RawMessage("null")),
		"alg for encryption":      with("oct", "alg", "A256GCM"),
		"use enc":                 with("RSA", "use", "enc"),
		"use empty":               with("RSA", "use", ""),
		"use in other case":       with("RSA", "use", "SIG"),
		"use not a string":        with("RSA", "use", []string{"sig"}),
		"key_ops without verify":  with("RSA", "key_ops", []string{"encrypt"}),
		"key_ops empty":           with("RSA", "key_ops", []string{}),
		"key_ops repeated":        with("RSA", "key_ops", []string{"verify", "verify"}),
		"key_ops a string":        with("RSA", "key_ops", "verify"),
		"key_ops with a null":     with("RSA", "key_ops", []any{"verify", nil}),
		"key_ops null":            with("RSA", "key_ops", json.RawMessage("null")),
		"key_ops with use enc":    with("RSA", "key_ops", []string{"verify"}, "use", "enc"),
		"kid empty":               with("RSA", "kid", ""),
		"kid number":              with("RSA", "kid", 7),
		"kid null":                with("RSA", "kid", json.RawMessage("null")),
		"RSA private":             with("RSA", "d", "AQ"),
		"RSA private, q alone":    with("RSA", "q", "AQ"),
		"RSA with null d":         with("RSA", "d", json.RawMessage("null")),
		"RSA with k":              with("RSA", "k", "AQ"),
		"EC private":              with("EC", "d", "AQ"),
		"Ed25519 private":         with("OKP", "d", "AQ"),
		"RSA n missing":           with("RSA", "n", nil),
		"RSA n empty":             with("RSA", "n", ""),
		"RSA n zero octet ahead":  with("RSA", "n", b64(append([]byte{0}, m.rsa.N.Bytes()...))),
		"RSA n even":              with("RSA", "n", b64(new(big.Int).Add(m.rsa.N, big.NewInt(1)).Bytes())),
		"RSA n padded":            with("RSA", "n", b64(m.rsa.N.Bytes())+"=="),
		"RSA n line break":        with("RSA", "n", b64(m.rsa.N.Bytes())+"\n"),
		"RSA n carriage return":   with("RSA", "n", "\r"+b64(m.rsa.N.Bytes())),
		"RSA n standard alphabet": with("RSA", "n", "+/"+b64(m.rsa.N.Bytes())),
		"RSA 2047 bits":           with("RSA", "n", modulus(2047)),
		"RSA 8193 bits":           with("RSA", "n", modulus(8193)),
		"RSA e missing":           with("RSA", "e", nil),
		"RSA e empty":             with("RSA", "e", ""),
		"RSA e 1":                 with("RSA", "e", b64([]byte{1})),
		"RSA e 3":                 with("RSA", "e", b64([]byte{3})),
		"RSA e 65536":             with("RSA", "e", b64([]byte{1, 0, 0})),
		"RSA e even":              with("RSA", "e", b64([]byte{1, 0, 2})),
		"RSA e zero octet ahead":  with("RSA", "e", b64([]byte{0, 1, 0, 1})),
		"RSA e 2^31+1":            with("RSA", "e", b64([]byte{0x80, 0, 0, 1})),
		"RSA e 2^32+1":            with("RSA", "e", b64([]byte{1, 0, 0, 0, 1})),
		"RSA e wraps to 65537":    with("RSA", "e", b64([]byte{1, 0, 0, 0, 0, 0, 1, 0, 1})),
		"RSA e unused bits":       with("RSA", "e", "AQABA"),
		"RSA e number":            with("RSA", "e", 65537),
		"EC crv missing":          with("EC", "crv", nil),
		"EC P-384":                with("EC", "crv", "P-384"),
		"EC secp256k1":            with("EC", "crv", "secp256k1"),
		"EC x missing":            with("EC", "x", nil),
		"EC x of 31 octets":       with("EC", "x", b64(make([]byte, 31))),
		"EC x of 33 octets":       with("EC", "x", b64(make([]byte, 33))),
		"EC octet moved to y":     with("EC", "x", b64(point[1:32]), "y", b64(point[32:])),
		"EC not on the curve":     with("EC", "y", x),
		"EC zero point":           with("EC", "x", b64(make([]byte, 32)), "y", b64(make([]byte, 32))),
		"EC beyond the field":     with("EC", "x", b64(bytes.Repeat([]byte{0xff}, 32))),
		"OKP X25519":              with("OKP", "crv", "X25519"),
		"OKP Ed448":               with("OKP", "crv", "Ed448"),
		"OKP x of 31 octets":      with("OKP", "x", b64(make([]byte, 31))),
		"OKP x unused bits":       with("OKP", "x", strings.Repeat("A", 42)+"B"),
		"oct of 31 bytes":         with("oct", "k", b64(make([]byte, 31))),
		"oct empty":               with("oct", "k", ""),
		"oct k missing":           with("oct", "k", nil),

		"JWKS without keys":     []byte(`{"keys":[]}`),
		"JWKS keys null":        []byte(`{"keys":null}`),
		"JWKS keys an object":   encode(jwk{"keys": publicJWK("RSA")}),
		"JWKS of a string":      []byte(`{"keys":["RSA"]}`),
		"JWKS of null":          []byte(`{"keys":[null]}`),
		"JWKS nested":           encode(jwk{"keys": []jwk{{"keys": []jwk{publicJWK("RSA")}}}}),
		"JWKS with one bad key": encode(jwk{"keys": []any{publicJWK("RSA"), json.RawMessage(with("EC", "use", "enc"))}}),
	}
	for name, text := range refused {
		t.Run(name, func(t *testing.T) {
			if keys, err := Parse(text); err == nil {
				t.Errorf("accepted as %v", keys)
			} else if keys != nil {
				t.Errorf("keys with the error: %v", keys)
			}
		})
	}
}

func TestErrorNamesThePlaceAndTheMend(t *testing.T) {
	pkcs8, _ := x509.MarshalPKCS8PrivateKey(material().ed)
	for want, text := range map[string][]byte{
		"x and y have 32 octets": with("EC", "x", b64(make([]byte, 31))),
		"keys[1]":                encode(jwk{"keys": []any{publicJWK("RSA"), jwk{}}}),
		"openssl":                block("PRIVATE KEY", pkcs8),
		"without":                with("RSA", "d", "AQ"),
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
}

func TestErrorHoldsNoSecret(t *testing.T) {
	secret := b64([]byte("shown-nowhere"))
	for _, text := range [][]byte{
		with("oct", "k", secret),
		with("oct", "k", secret+"="),
		with("oct", "k", secret+"\n"),
		with("RSA", "d", secret),
		[]byte(`{"kty":"oct","k":"` + secret),
		[]byte(`{"kty":"oct","k":"` + secret + `","k":"` + secret + `"}`),
		[]byte(`{"kty":"oct","k":` + secret + `}`),
		[]byte(secret),
	} {
		if _, err := Parse(text); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("error: %v", err)
		}
	}
}

// utf16Of is a text of ASCII as UTF-16.
func utf16Of(s string) string {
	b := []byte("\xff\xfe")
	for i := range len(s) {
		b = append(b, s[i], 0)
	}
	return string(b)
}

func TestRandomSecretsAreNoKeys(t *testing.T) {
	for range 2000 {
		secret := make([]byte, 48)
		rand.Read(secret)
		for _, text := range []string{string(secret), base64.StdEncoding.EncodeToString(secret), base64.RawURLEncoding.EncodeToString(secret), hex.EncodeToString(secret), rand.Text() + "-" + rand.Text()} {
			if LooksPublic([]byte(text)) {
				t.Errorf("%q could not be given as a secret", text)
			}
		}
	}
}

func TestLooksPublic(t *testing.T) {
	spki, err := x509.MarshalPKIXPublicKey(&material().rsa.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	pem := string(publicPEM(material().ed.Public()))
	der, err := x509.MarshalPKIXPublicKey(material().ed.Public())
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, material().ed.Public(), material().ed)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		pem, "  \n" + pem, "key: " + pem, pem[:40], strings.ReplaceAll(pem, "\n", `\n`),
		"-----BEGIN CERTIFICATE-----", string(with("RSA")), string(with("RSA"))[:60], "\n\t" + string(with("oct")),
		"\uFEFF" + string(with("RSA")), `{"keys":[]}`, `{"keys": [`, `{'x', "kty": "RSA"}`, `{}`,
		"[" + string(with("RSA")) + "]", strconv.Quote(string(with("RSA"))), "\u00a0" + string(with("RSA")),
		string(x509.MarshalPKCS1PublicKey(&material().rsa.PublicKey)), base64.StdEncoding.EncodeToString(certificate), string(certificate),
		`"` + base64.StdEncoding.EncodeToString(der) + `"`, string(der), base64.StdEncoding.EncodeToString(der), base64.RawURLEncoding.EncodeToString(der),
		base64.StdEncoding.EncodeToString(der)[:20] + "\n" + base64.StdEncoding.EncodeToString(der)[20:] + "\n",
		base64.StdEncoding.EncodeToString([]byte(pem)), base64.RawURLEncoding.EncodeToString(with("RSA")), base64.StdEncoding.EncodeToString([]byte(base64.StdEncoding.EncodeToString([]byte(pem)))),
		hex.EncodeToString(der), strings.ToUpper(hex.EncodeToString(der)), "0x" + hex.EncodeToString(der), base64.StdEncoding.EncodeToString([]byte(hex.EncodeToString(der))),
		strings.ReplaceAll(strings.TrimSpace(strings.Split(pem, "-----")[2]), "\n", `\n`), strings.SplitN(pem, "\n", 2)[1], strings.ReplaceAll(pem, "-----", "----"), url.PathEscape(pem), url.QueryEscape(pem),
		strings.ReplaceAll(string(with("RSA")), `"`, `'`), "kty: RSA\nn: abc\n", "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQ== somebody", "AAAAC3NzaC1lZDI1NTE5AAAAIA==", "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTY=",
		// What openssl and others print, in UTF-16 as PowerShell writes it, with words around it, or cut.
		"RSA Public-Key: (2048 bit)\nModulus:\n    00:c7:1c", "Modulus=C71C00", "<RSAKeyValue><Modulus>xxwA</Modulus></RSAKeyValue>", utf16Of(pem), "\uFEFF" + base64.StdEncoding.EncodeToString(der),
		strings.Repeat("a", 24) + ", " + base64.StdEncoding.EncodeToString(der),
		"KEY=" + base64.StdEncoding.EncodeToString(der), "data:application/x-x509;base64," + base64.StdEncoding.EncodeToString(der), "v=DKIM1; k=rsa; p=" + base64.StdEncoding.EncodeToString(spki),
		`["` + base64.StdEncoding.EncodeToString(certificate) + `"]`, strings.ReplaceAll(base64.StdEncoding.EncodeToString(spki), "/", `\/`) + ",", base64.StdEncoding.EncodeToString(spki)[:200],
		"0X" + hex.EncodeToString(der), `\x` + hex.EncodeToString(der), strings.ReplaceAll(fmt.Sprintf("% X", der), " ", "-"), strings.ReplaceAll(fmt.Sprintf("% x", der), " ", ":"),
		"-----BEGIN\tPUBLIC\tKEY-----", "-----BEGIN  PUBLIC  KEY-----", "-----BEGIN\u00a0PUBLIC\u00a0KEY-----", "-----BEGINPUBLICKEY-----", "-----BEGIN RSA PUBLIC KEY-----", "-----BEGIN PKCS7-----",
		"\x30\x0a\x30\x05\x06\x03\x2b\x65\x71\x03\x01\x00", "\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08", // Ed448, and any curve
		"from=\"*\" ssh-ed25519 AAAA", base64.StdEncoding.EncodeToString([]byte("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA==")),
	} {
		if !LooksPublic([]byte(text)) {
			t.Errorf("%.60q could be taken as a secret", text)
		}
	}
	for _, text := range []string{"", "public_key_here", "{curly-secret}", "kty", "-----", "BEGIN", "MCowBQYDK2VwAyEA", "beginning public keys", "100%", "c2VjcmV0LW9mLWEtdGVzdC1vZi1uby13b3J0aA==", "736563726574", `a\nsecret`} {
		if LooksPublic([]byte(text)) {
			t.Errorf("%q could not be given as a secret", text)
		}
	}
}
