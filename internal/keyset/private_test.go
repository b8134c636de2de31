package keyset

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func privatePEM(private any) []byte {
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		panic(err)
	}
	return block("PRIVATE KEY", der)
}

// privateHalf returns d of the test's key of a type.
func privateHalf(kty string) string {
	if kty == "OKP" {
		return b64(material().ed.Seed())
	}
	d, _ := material().ec.Bytes()
	return b64(d)
}

// withPrivate is with for the private JWK of a type.
func withPrivate(kty string, pairs ...any) []byte {
	if kty != "oct" {
		pairs = append([]any{"d", privateHalf(kty)}, pairs...)
	}
	return with(kty, pairs...)
}

// otherPublic returns the public part of a key that is not the test's.
func otherPublic(t *testing.T, kty string) (x, y string) {
	t.Helper()
	s, err := GenerateSigner(map[string]Algorithm{"EC": ES256, "OKP": EdDSA}[kty], "")
	if err != nil {
		t.Fatal(err)
	}
	return s.key.public.X, s.key.public.Y
}

func TestParseSignerSigns(t *testing.T) {
	m := material()
	for _, test := range []struct {
		name   string
		text   []byte
		public string // kty of the public key that has to verify
		id     string
	}{
		{"Ed25519 in PEM", privatePEM(m.ed), "OKP", ""},
		{"P-256 in PEM", privatePEM(m.ec), "EC", ""},
		{"PEM amid white space", slices.Concat([]byte("\r\n "), privatePEM(m.ed), []byte("\n\t\n")), "OKP", ""},
		{"Ed25519 JWK", withPrivate("OKP"), "OKP", ""},
		{"P-256 JWK with kid", withPrivate("EC", "kid", "e1", "alg", "ES256", "use", "sig"), "EC", "e1"},
		{"shared secret", withPrivate("oct", "kid", "s1"), "oct", "s1"},
		{"key_ops of a private key", withPrivate("OKP", "key_ops", []string{"sign"}), "OKP", ""},
		{"key_ops of a shared secret", withPrivate("oct", "key_ops", []string{"sign", "verify"}), "oct", ""},
		{"unknown members", withPrivate("OKP", "iat", 1, "x5u", "https://keys.example"), "OKP", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := ParseSigner(test.text)
			if err != nil {
				t.Fatal(err)
			}
			public, err := Parse(with(test.public))
			if err != nil {
				t.Fatal(err)
			}
			signature := sign(t, s)
			if public[0].Verify(text, signature) != nil || s.Key().Verify(text, signature) != nil {
				t.Error("the signature does not verify")
			}
			if !bytes.Equal(signature, sign(t, s)) {
				t.Error("the same text has another signature")
			}
			if s.Key().ID != test.id || s.Key().Thumbprint() != public[0].Thumbprint() {
				t.Errorf("the key is %s, %s", s.Key(), s.Key().Thumbprint())
			}
		})
	}
}

func TestParseSignerRefuses(t *testing.T) {
	m := material()
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	x25519, _ := ecdh.X25519().GenerateKey(rand.Reader)
	sec1, _ := x509.MarshalECPrivateKey(m.ec)
	ed8, _ := x509.MarshalPKCS8PrivateKey(m.ed)
	otherX, otherY := otherPublic(t, "EC")
	otherEd, _ := otherPublic(t, "OKP")
	for _, test := range []struct {
		name string
		text []byte
		want string
	}{
		{"nothing", nil, "neither a private key in PEM"},
		{"text before the block", append([]byte("note\n"), privatePEM(m.ed)...), "neither a private key in PEM"},
		{"a bare secret", bytes.Repeat([]byte("k"), 32), "neither a private key in PEM"},
		{"RSA in PEM", privatePEM(m.rsa), "Ed25519 and P-256 are accepted"},
		{"RSA in PKCS #1", block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(m.rsa)), "Ed25519 and P-256 are accepted"},
		{"RSA JWK", with("RSA", "d", "AQAB"), "Ed25519 and P-256 are accepted"},
		{"P-384", privatePEM(p384), "the curve is P-384"},
		{"X25519", privatePEM(x25519), "Ed25519 are accepted"},
		{"SEC 1", block("EC PRIVATE KEY", sec1), "openssl pkey"},
		{"encrypted", block("ENCRYPTED PRIVATE KEY", ed8), "it is encrypted"},
		{"encrypted as of old", bytes.Replace(block("PRIVATE KEY", ed8), []byte("\n"), []byte("\nDEK-Info: AES-256-CBC,00\n\n"), 1), "it is encrypted"},
		{"headers", bytes.Replace(block("PRIVATE KEY", ed8), []byte("\n"), []byte("\nNote: a\n\n"), 1), "headers in it"},
		{"a public key", publicPEM(m.ed.Public()), "cannot sign"},
		{"a certificate", block("CERTIFICATE", ed8), "PRIVATE KEY is accepted"},
		{"two blocks", slices.Concat(privatePEM(m.ed), privatePEM(m.ec)), "exactly one key"},
		{"text after the block", append(privatePEM(m.ed), "note"...), "text after it"},
		{"half a block", privatePEM(m.ed)[:60], "it is broken"},
		{"bytes after the key", block("PRIVATE KEY", append(bytes.Clone(ed8), 0)), "not one PKCS #8 value"},
		{"no key in the block", block("PRIVATE KEY", []byte{0x30, 0}), "PKCS #8"},
		{"a public block that is private", bytes.ReplaceAll(privatePEM(m.ed), []byte("PRIVATE"), []byte("PUBLIC")), "PEM: block 1"},

		{"public JWK", with("OKP"), "cannot sign"},
		{"JWKS", encode(jwk{"keys": []jwk{publicJWK("OKP")}}), "this is a JWKS"},
		{"repeated name", []byte(strings.Replace(string(withPrivate("OKP")), "{", `{"kty":"OKP",`, 1)), "repeated"},
		{"no kty", withPrivate("OKP", "kty", nil), `"kty" is missing`},
		{"another kty", withPrivate("OKP", "kty", "AKP"), "OKP and oct are accepted"},
		{"not base64url in d and no key either", withPrivate("EC", "d", "*", "x", "*"), "d is not base64url"},
		{"Ed25519 key of another x", withPrivate("OKP", "x", otherEd), "does not belong"},
		{"P-256 key of another point", withPrivate("EC", "x", otherX, "y", otherY), "does not belong"},
		{"no x", withPrivate("OKP", "x", nil), `"x" is missing`},
		{"no y", withPrivate("EC", "y", nil), `"y" is missing`},
		{"x and y off the curve", withPrivate("EC", "y", otherY), "not a point"},
		{"short d on Ed25519", withPrivate("OKP", "d", b64(make([]byte, 31))), "32 octets"},
		{"short d on P-256", withPrivate("EC", "d", b64(make([]byte, 31))), "32 octets"},
		{"d of zero", withPrivate("EC", "d", b64(make([]byte, 32))), "below the order"},
		{"d above the order", withPrivate("EC", "d", b64(bytes.Repeat([]byte{0xff}, 32))), "below the order"},
		{"d in padded base64", withPrivate("OKP", "d", privateHalf("OKP")+"="), "base64url"},
		{"P-384 JWK", withPrivate("EC", "crv", "P-384"), "only P-256"},
		{"Ed448 JWK", withPrivate("OKP", "crv", "Ed448"), "only Ed25519"},
		{"a secret in it", withPrivate("OKP", "k", "AAAA"), "nothing of a key of this kty"},
		{"a private half beside a secret", withPrivate("oct", "d", "AAAA"), "nothing of a key of this kty"},
		{"short secret", withPrivate("oct", "k", b64(make([]byte, 31))), "32 at least"},
		{"another alg", withPrivate("OKP", "alg", "ES256"), "is for EdDSA"},
		{"use enc", withPrivate("EC", "use", "enc"), "only keys for signatures"},
		{"key_ops verify", withPrivate("OKP", "key_ops", []string{"verify"}), "lacks sign"},
		{"empty kid", withPrivate("oct", "kid", ""), "kid is empty"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := ParseSigner(test.text)
			if s != nil || err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v, %v; want %q in the error", s, err, test.want)
			}
			if strings.Contains(err.Error(), privateHalf("OKP")) || strings.Contains(err.Error(), privateHalf("EC")) {
				t.Errorf("the error holds the key: %v", err)
			}
		})
	}
}

func TestParseSigningKeysShowsTheOthers(t *testing.T) {
	m := material()
	signer, also, err := ParseSigningKeys(slices.Concat(privatePEM(m.ed), []byte("\n"), privatePEM(m.ec), publicPEM(&m.rsa.PublicKey)))
	if err != nil || signer.Key().Algorithm != EdDSA || len(also) != 2 || also[0].Algorithm != ES256 || also[1].Algorithm != RS256 {
		t.Fatalf("got %v, %v, %v", signer, also, err)
	}
	if signer, also, err = ParseSigningKeys(withPrivate("EC")); err != nil || signer == nil || also != nil {
		t.Errorf("one JWK: %v, %v, %v", signer, also, err)
	}
	var many []byte
	for n := range maxSigningKeys + 1 {
		_, p, _ := ed25519.GenerateKey(rand.Reader)
		if n == maxSigningKeys {
			if _, also, err := ParseSigningKeys(many); err != nil || len(also) != maxSigningKeys-1 {
				t.Errorf("as many as there may be: %d others, %v", len(also), err)
			}
		}
		many = append(many, privatePEM(p)...)
	}
	for _, test := range []struct {
		name string
		text []byte
		want string
	}{
		{"a public key first", slices.Concat(publicPEM(m.ed.Public()), privatePEM(m.ec)), "begin with the PRIVATE KEY"},
		{"one key twice", slices.Concat(privatePEM(m.ed), publicPEM(m.ed.Public())), "block 2: the key is there twice"},
		{"one of the others twice", slices.Concat(privatePEM(m.ed), publicPEM(&m.ec.PublicKey), privatePEM(m.ec)), "block 3: the key is there twice"},
		{"text between blocks", slices.Concat(privatePEM(m.ed), []byte("note\n"), privatePEM(m.ec)), "block 1: there is text after it"},
		{"text after a public one", slices.Concat(privatePEM(m.ed), publicPEM(&m.ec.PublicKey), []byte("note\n")), "block 2: there is text after"},
		{"a broken block between", slices.Concat(privatePEM(m.ed), []byte("-----BEGIN PRIVATE KEY-----\n"), privatePEM(m.ec)), "block 2: it is broken"},
		{"an RSA key that would sign", slices.Concat(privatePEM(m.ed), privatePEM(m.rsa)), "block 2: RSA"},
		{"too many", many, "more than 16"},
		{"two JWKs", slices.Concat(withPrivate("EC"), withPrivate("OKP")), "not strict JSON"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, also, err := ParseSigningKeys(test.text)
			if s != nil || also != nil || err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, %v, %v; want %q in the error", s, also, err, test.want)
			}
		})
	}
}

// RFC 6979 A.2.5: P-256, SHA-256, message "sample".
func TestES256SignsByRFC6979(t *testing.T) {
	unhex := func(s string) []byte { b, _ := hex.DecodeString(s); return b }
	s, err := ParseSigner(encode(jwk{
		"kty": "EC", "crv": "P-256",
		"d": b64(unhex("C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721")),
		"x": b64(unhex("60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6")),
		"y": b64(unhex("7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299")),
	}))
	if err != nil {
		t.Fatal(err)
	}
	want := unhex("EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716" +
		"F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8")
	if got, err := s.Sign("sample"); err != nil || !bytes.Equal(got, want) {
		t.Errorf("Sign = %X, %v", got, err)
	}
}

// One signature in 256 has an r that begins with a zero octet, and so it is for s.
func TestES256SignaturesKeepLeadingZeros(t *testing.T) {
	s, err := ParseSigner(withPrivate("EC"))
	if err != nil {
		t.Fatal(err)
	}
	short := 0
	for i := range 2000 {
		signed := strings.Repeat("x", i)
		signature, err := s.Sign(signed)
		if err != nil || len(signature) != 64 || s.Key().Verify(signed, signature) != nil {
			t.Fatalf("text of %d bytes: %d bytes, %v", i, len(signature), err)
		}
		if signature[0] == 0 || signature[32] == 0 {
			short++
		}
	}
	if short == 0 {
		t.Error("no number of these signatures is a short one")
	}
}

// The example of RFC 8037 appendix A: the key of A.1, its thumbprint of A.3, the signature of A.4.
func TestRFC8037(t *testing.T) {
	s, err := ParseSigner([]byte(`{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := s.KeyID(); got != "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k" {
		t.Errorf("the thumbprint is %q", got)
	}
	const want = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
	if signature, err := s.Sign("eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"); err != nil || b64(signature) != want {
		t.Errorf("the signature is %s, %v", b64(signature), err)
	}
}

func TestNewPrivateJWK(t *testing.T) {
	for _, a := range []Algorithm{HS256, ES256, EdDSA} {
		jwk, err := NewPrivateJWK(a)
		if err != nil {
			t.Fatal(err)
		}
		s, err := ParseSigner(jwk)
		if err != nil || s.Key().Algorithm != a || s.Key().ID != s.Key().Thumbprint() || !bytes.Contains(jwk, []byte(`"use":"sig","alg":"`+a+`"`)) {
			t.Errorf("%s: %v, %v", a, s, err)
		}
		if again, _ := NewPrivateJWK(a); bytes.Equal(jwk, again) {
			t.Errorf("%s: two fresh keys are equal", a)
		}
	}
	for _, a := range []Algorithm{RS256, "none", ""} {
		if jwk, err := NewPrivateJWK(a); err == nil {
			t.Errorf("%q gave %d bytes", a, len(jwk))
		}
	}
}

// FuzzParseSigner: what parses signs, its key verifies that, a public key made of the same text verifies it, too, and
// no other key does. It is strict JSON or a PEM block, and no public key.
func FuzzParseSigner(f *testing.F) {
	m := material()
	for _, seed := range [][]byte{
		privatePEM(m.ed), privatePEM(m.ec), privatePEM(m.rsa), publicPEM(m.ed.Public()), slices.Concat(privatePEM(m.ed), privatePEM(m.ec)),
		withPrivate("OKP"), withPrivate("EC", "kid", "a"), withPrivate("oct"), withPrivate("EC", "alg", "ES256", "use", "sig"),
		withPrivate("OKP", "key_ops", []string{"sign"}), withPrivate("oct", "d", "AAAA"), withPrivate("EC", "crv", "P-384"), with("EC"), with("RSA", "d", "AQAB"),
	} {
		f.Add(seed)
	}
	var others []*Key
	for _, a := range Algorithms() {
		others = append(others, newSigner(f, a, "").Key())
	}
	f.Fuzz(func(t *testing.T, material []byte) {
		s, err := ParseSigner(material)
		if err != nil {
			if s != nil {
				t.Error("a signer beside an error")
			}
			return
		}
		signature := sign(t, s)
		if err := s.Key().Verify(text, signature); err != nil {
			t.Fatalf("the %s refuses what it signed", s.Key())
		}
		if again := sign(t, s); !bytes.Equal(signature, again) {
			t.Error("two signatures over one text differ")
		}
		if s.Key().Verify(text+" ", signature) == nil {
			t.Error("the signature is good for another text")
		}
		for _, other := range others {
			if other.Verify(text, signature) == nil {
				t.Errorf("another key, the %s, verifies it", other)
			}
		}
		if !LooksPublic(material) {
			t.Error("it parses as a key, but could be taken as a secret")
		}
		shown := PublicJWKS(s.Key())
		if s.Key().Algorithm == HS256 {
			if string(shown) != `{"keys":[]}` {
				t.Errorf("a secret is shown: %s", shown)
			}
			return
		}
		if _, err := Parse(material); err == nil {
			t.Error("it parses as a public key, too")
		}
		public, err := Parse(shown)
		if err != nil || len(public) != 1 || public[0].Verify(text, signature) != nil || public[0].ID != s.KeyID() || public[0].Thumbprint() != s.Key().Thumbprint() {
			t.Errorf("shown as %s, it became %v, %v", shown, public, err)
		}
		var object map[string]any
		if json.Unmarshal(material, &object) == nil {
			if d, _ := object["d"].(string); d == "" || bytes.Contains(shown, []byte(d)) {
				t.Errorf("d is missing, or shown: %s", shown)
			}
		}
	})
}
