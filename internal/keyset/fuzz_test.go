package keyset

import (
	"encoding/json"
	"strings"
	"testing"
)

// FuzzParse holds what parses against the standard library's reading of the same text: one usable public
// key for each that is written there, its algorithm that of its type, and never something private.
func FuzzParse(f *testing.F) {
	m := material()
	for _, seed := range [][]byte{
		publicPEM(&m.rsa.PublicKey), publicPEM(&m.ec.PublicKey), publicPEM(m.ed.Public()),
		with("RSA"), with("EC", "kid", "a"), with("OKP", "use", "sig"), with("oct", "key_ops", []string{"verify"}),
		encode(jwk{"keys": []jwk{publicJWK("OKP"), publicJWK("oct")}}),
	} {
		f.Add(seed)
	}
	algorithms := map[string]Algorithm{"RSA": RS256, "EC": ES256, "OKP": EdDSA, "oct": HS256}
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := Parse(text)
		if err != nil {
			return
		}
		if !LooksPublic(text) {
			t.Error("it parses as a key, but could be taken as a secret")
		}
		if strings.HasPrefix(strings.TrimSpace(string(text)), "-----BEGIN PUBLIC KEY-----") {
			if len(keys) != 1 || keys[0].ID != "" || keys[0].sign != nil {
				t.Errorf("a PEM block became %v", keys)
			}
			return
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
			if use, ok := written["use"]; ok && use != "sig" {
				t.Errorf("use is %v", use)
			}
			if alg, ok := written["alg"]; ok && alg != string(keys[i].Algorithm) {
				t.Errorf("alg is %v", alg)
			}
			if _, private := written["d"]; private && kty != "oct" {
				t.Error("a private key was accepted")
			}
		}
	})
}
