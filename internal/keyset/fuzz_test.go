package keyset

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/passgate/passgate/internal/strict"
)

// FuzzParse holds what parses against the standard library's reading of the same text: one usable public
// key for each that is written there, its algorithm that of its type, and never something private. A JWK made of
// what was read parses to the same key again, and no key verifies what another algorithm signs.
func FuzzParse(f *testing.F) {
	m := material()
	for _, seed := range [][]byte{
		publicPEM(&m.rsa.PublicKey), publicPEM(&m.ec.PublicKey), publicPEM(m.ed.Public()),
		with("RSA"), with("EC", "kid", "a"), with("OKP", "use", "sig"), with("oct", "key_ops", []string{"verify"}),
		with("RSA", "e", "AAEAAQ"), with("EC", "crv", "P-384"), with("OKP", "d", "AAAA"), with("oct", "alg", "HS512"), with("EC", "k", "AAAA"),
		with("RSA", "key_ops", []string{"verify", "verify"}), with("oct", "kid", ""), with("EC", "use", "enc"),
		encode(jwk{"keys": []jwk{publicJWK("OKP"), publicJWK("oct")}}),
	} {
		f.Add(seed)
	}
	algorithms := map[string]Algorithm{"RSA": RS256, "EC": ES256, "OKP": EdDSA, "oct": HS256}
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := Parse(text)
		if err != nil {
			if keys != nil {
				t.Errorf("%d keys beside the error %v", len(keys), err)
			}
			return
		}
		if !LooksPublic(text) {
			t.Error("it parses as a key, but could be taken as a secret")
		}
		for _, key := range keys {
			verifiesOwnAlone(t, key)
		}
		if strings.HasPrefix(strings.TrimSpace(string(text)), "-----BEGIN PUBLIC KEY-----") {
			if len(keys) != 1 || keys[0].ID != "" || keys[0].sign != nil {
				t.Errorf("a PEM block became %v", keys)
			}
			return
		}
		if _, err := strict.ParseObject(bytes.TrimSpace(text)); err != nil {
			t.Errorf("%q was accepted, and is not strict JSON: %v", text, err)
		}
		var object map[string]any
		if json.Unmarshal(text, &object) != nil {
			t.Fatal("accepted, but not JSON to the standard library")
		}
		list, isSet := object["keys"].([]any)
		if !isSet {
			list = []any{object}
		}
		if len(list) != len(keys) {
			t.Fatalf("%d keys of %d", len(keys), len(list))
		}
		for i := range list {
			written := list[i].(map[string]any)
			kty, _ := written["kty"].(string)
			id, _ := written["kid"].(string)
			if keys[i].ID != id || keys[i].Algorithm != algorithms[kty] || (keys[i].sign != nil) != (kty == "oct") {
				t.Errorf("key %d, written as %v, became %v", i, written, keys[i])
			}
			if why := unfit(written); why != "" {
				t.Errorf("key %d, written as %v, was accepted: %s", i, written, why)
			}
			// Only the members that make up the key, and its kid, count.
			least := jwk{}
			for _, name := range []string{"kty", "kid", "n", "e", "crv", "x", "y", "k"} {
				if value, ok := written[name]; ok && !(name == "k" && kty != "oct") {
					least[name] = value
				}
			}
			again, err := Parse(encode(least))
			if err != nil || len(again) != 1 || again[0].ID != keys[i].ID || again[0].Algorithm != keys[i].Algorithm {
				t.Errorf("key %d, %v, written again as %v, became %v (%v)", i, keys[i], least, again, err)
			}
			if s := keys[i].sign; s != nil {
				signature, err := s("x")
				if err != nil || again[0].Verify("x", signature) != nil {
					t.Errorf("key %d written again is another key", i)
				}
			}
		}
	})
}

// unfit says what a JWK has that no key may have (contract §4, RFC 7517, RFC 7518), or "".
func unfit(k map[string]any) string {
	kty, _ := k["kty"].(string)
	own := map[string]string{"RSA": "RS256", "EC": "ES256", "OKP": "EdDSA", "oct": "HS256"}[kty]
	size := func(name string) int {
		s, _ := k[name].(string)
		b, err := base64.RawURLEncoding.Strict().DecodeString(s)
		if err != nil || strings.ContainsAny(s, "\r\n") {
			return -1
		}
		return len(b)
	}
	number := func(name string) *big.Int {
		s, _ := k[name].(string)
		b, _ := base64.RawURLEncoding.DecodeString(s)
		return new(big.Int).SetBytes(b)
	}
	if alg, ok := k["alg"]; ok && alg != own {
		return "alg is not that of the type"
	}
	if use, ok := k["use"]; ok && use != "sig" {
		return "use is not sig"
	}
	if ops, ok := k["key_ops"]; ok {
		if list, _ := ops.([]any); !slices.Contains(list, any("verify")) {
			return "key_ops lacks verify"
		}
	}
	if kid, ok := k["kid"]; ok && (kid == "" || kid == nil) {
		return "kid is empty"
	}
	for _, name := range []string{"d", "p", "q", "dp", "dq", "qi", "oth"} {
		if _, private := k[name]; private && kty != "oct" {
			return "it is private"
		}
	}
	switch kty {
	case "RSA":
		if n, e := number("n"), number("e"); n.BitLen() < 2048 || n.BitLen() > 8192 || n.Bit(0) == 0 || e.BitLen() > 31 || e.Int64() < 65537 || e.Bit(0) == 0 || size("n") != (n.BitLen()+7)/8 {
			return "n or e is out of bounds"
		}
	case "EC":
		// The equation of P-256 (FIPS 186-5, D.1.2.3): y² = x³ - 3x + b.
		x, y := number("x"), number("y")
		p, _ := new(big.Int).SetString("ffffffff00000001000000000000000000000000ffffffffffffffffffffffff", 16)
		b, _ := new(big.Int).SetString("5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b", 16)
		right := new(big.Int).Mul(x, x)
		right.Sub(right, big.NewInt(3)).Mul(right, x).Add(right, b).Mod(right, p)
		left := new(big.Int).Mul(y, y)
		if k["crv"] != "P-256" || size("x") != 32 || size("y") != 32 || x.Cmp(p) >= 0 || y.Cmp(p) >= 0 || left.Mod(left, p).Cmp(right) != 0 {
			return "it is no point of P-256"
		}
	case "OKP":
		if k["crv"] != "Ed25519" || size("x") != 32 {
			return "it is no key of Ed25519"
		}
	case "oct":
		if size("k") < 32 {
			return "it is shorter than its hash"
		}
	default:
		return "the type is unknown"
	}
	return ""
}

// foreignSignatures are signatures over "x" by the test's keys, of every algorithm that these have, among them
// such as no key here is for.
func foreignSignatures() map[string][]byte {
	m, signatures := material(), map[string][]byte{"none": nil, "": {}}
	for _, method := range []jwt.SigningMethod{jwt.SigningMethodRS256, jwt.SigningMethodRS384, jwt.SigningMethodRS512, jwt.SigningMethodPS256, jwt.SigningMethodPS384, jwt.SigningMethodPS512} {
		signatures[method.Alg()], _ = method.Sign("x", m.rsa)
	}
	signatures["ES256"], _ = jwt.SigningMethodES256.Sign("x", m.ec)
	signatures["EdDSA"], _ = jwt.SigningMethodEdDSA.Sign("x", m.ed)
	secret := bytes.Repeat([]byte("k"), 32)
	for _, method := range []jwt.SigningMethod{jwt.SigningMethodHS256, jwt.SigningMethodHS384, jwt.SigningMethodHS512} {
		signatures[method.Alg()], _ = method.Sign("x", secret)
	}
	return signatures
}

var foreign map[string][]byte

// verifiesOwnAlone: a signature of another algorithm than the key's own is refused, whosever it is.
func verifiesOwnAlone(t *testing.T, key *Key) {
	t.Helper()
	if foreign == nil {
		foreign = foreignSignatures()
	}
	for alg, signature := range foreign {
		if alg != string(key.Algorithm) && key.Verify("x", signature) == nil {
			t.Errorf("%v takes a signature of %s", key, alg)
		}
	}
}

// TestKeysVerifyTheirOwnAlone: each of the test's keys takes its own signature, and none of the others'.
func TestKeysVerifyTheirOwnAlone(t *testing.T) {
	for _, kty := range []string{"RSA", "EC", "OKP", "oct"} {
		keys, err := Parse(with(kty))
		if err != nil {
			t.Fatal(err)
		}
		verifiesOwnAlone(t, keys[0])
		if err := keys[0].Verify("x", foreign[string(keys[0].Algorithm)]); err != nil {
			t.Errorf("%v refuses its own signature: %v", keys[0], err)
		}
	}
}
