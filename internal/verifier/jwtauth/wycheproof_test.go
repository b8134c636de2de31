package jwtauth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/keyset"
	"github.com/passgate/passgate/internal/strict"
)

// vectorFile is a file of published vectors.
type vectorFile struct {
	TestGroups []vectorGroup
}

type vectorGroup struct {
	Comment         string
	Private, Public json.RawMessage
	Tests           []struct {
		ID       int `json:"tcId"`
		JWS, JWE json.RawMessage
		Comment  string
		Result   string
	}
}

// keys is the key material of a group as a verifier has it: the public half, or the shared secret.
func (g *vectorGroup) keys() ([]*keyset.Key, error) {
	if g.Public != nil {
		return keyset.Parse(g.Public)
	}
	return keyset.Parse(g.Private)
}

// compactOf returns a vector that is a string, or the text of the JSON serialization.
func compactOf(vector json.RawMessage) string {
	var s string
	if json.Unmarshal(vector, &s) != nil {
		return string(vector)
	}
	return s
}

// skippedVectors are marked invalid, but are byte for byte the valid vector 357.
var skippedVectors = []int{367, 370}

// readOverlay returns for each JWS vector whether this product accepts it.
func readOverlay(t *testing.T, dir string) map[int]bool {
	var overlay struct {
		Tests []struct {
			ID      int `json:"tcId"`
			Product string
		}
	}
	readJSON(t, filepath.Join(dir, "expected_overlay.json"), &overlay)
	accept := make(map[int]bool)
	var skipped []int
	for _, test := range overlay.Tests {
		switch test.Product {
		case "accept", "reject":
			accept[test.ID] = test.Product == "accept"
		default:
			skipped = append(skipped, test.ID)
		}
	}
	if !slices.Equal(skipped, skippedVectors) {
		t.Fatalf("the overlay skips %d, want %d", skipped, skippedVectors)
	}
	return accept
}

// count asserts how many vectors had each verdict.
func count(t *testing.T, got, want map[string]int) {
	t.Helper()
	t.Logf("verdicts: %v", got)
	if !maps.Equal(got, want) {
		t.Errorf("verdicts are %v, want %v", got, want)
	}
}

func verdict(err error) string {
	if err == nil {
		return "accept"
	}
	return "reject"
}

// TestWycheproof runs the published JWS vectors through everything but the claims, which theirs are not.
func TestWycheproof(t *testing.T) {
	dir := wycheproofDir(t)
	var vectors vectorFile
	readJSON(t, filepath.Join(dir, "json_web_signature_test.json"), &vectors)
	accept := readOverlay(t, dir)
	got := make(map[string]int)
	for _, group := range vectors.TestGroups {
		keys, keyErr := group.keys()
		for _, test := range group.Tests {
			want, known := accept[test.ID]
			if !known {
				got["skip"]++
				continue
			}
			err := keyErr
			if err == nil {
				err = verifySignature(t, keys, compactOf(test.JWS))
			}
			got[verdict(err)]++
			if (err == nil) != want {
				t.Errorf("%d, %s: %s, want accept = %t (%v)", test.ID, test.Comment, verdict(err), want, err)
			}
		}
	}
	count(t, got, map[string]int{"accept": 18, "reject": 381, "skip": 2})
}

// keyVector says of a vector at the key layer whether the keys are taken, and whether the signature is good.
// Where the product is stricter than what was published, or meets it by other means, it says why.
type keyVector struct {
	keys, accept bool
	why          string
}

// TestWycheproofKeys runs the vectors for JWK and JWKS: reading, choosing and verifying with a key.
func TestWycheproofKeys(t *testing.T) {
	const (
		refused = "the key is refused when it is read, so a file with it is"
		another = "published as valid; of HMAC only HS256 is known, and alg is held to the key's"
	)
	roca := keyVector{true, true, "published as invalid; a modulus of Infineon's weak generator (CVE-2017-15361) is not looked for: the key is chosen by the operator, and whoever owns it signs as its issuer"}
	// The EC key of the set is public. Each key has its own algorithm and the kid chooses.
	mixed := keyVector{true, true, "published as invalid; a set of secret and public keys cannot be confused here, as each has one algorithm"}
	want := map[string]map[int]keyVector{
		"json_web_key_test.json": {
			1: mixed, 2: {true, true, ""}, 3: {true, false, ""}, 4: {false, false, refused + ": k of the second has unused bits; without that, the set is, as two keys have one kid"}, 5: {true, true, ""},
			6: {false, false, refused + ": use is enc"}, 7: roca, 8: {false, false, refused + ": 1024 bits"}, 9: {false, false, refused + ": the exponent is 1"},
			10: {false, false, refused + ": 31 bytes"}, 11: {false, false, refused + ": HS384"}, 12: {false, false, refused + ": HS512"}, 13: {true, true, ""},
			14: {false, false, another}, 15: {false, false, another}, 16: {false, false, refused + ": no bytes"}, 17: {false, false, refused}, 18: {false, false, refused},
			19: {false, false, refused + ": alg ES521 with P-256"}, 20: {false, false, refused + ": alg ES224"}, 21: {false, false, refused + ": use is enc"},
			22: {false, false, refused + ": no point of the curve"}, 23: {false, false, refused + ": P-384"}, 24: {false, false, refused + ": kty RSA without n"},
			25: {false, false, refused + ": alg A256GCM"}, 26: {false, false, refused + ": alg A256KW"},
		},
		"json_web_crypto_test.json": {46: roca, 47: mixed, 48: {true, true, ""}, 49: {true, false, ""}},
	}
	for id := 1; id <= 45; id++ { // the same vectors as 1 to 45 of JWS
		want["json_web_crypto_test.json"][id] = keyVector{true, id == 1 || id == 18 || id == 33, ""}
	}
	totals := map[string]map[string]int{
		"json_web_key_test.json":    {"accept": 5, "reject": 1, "key refused": 20},
		"json_web_crypto_test.json": {"accept": 6, "reject": 43},
	}
	dir := wycheproofDir(t)
	for name, want := range want {
		var vectors vectorFile
		readJSON(t, filepath.Join(dir, name), &vectors)
		got, departures := make(map[string]int), 0
		for _, group := range vectors.TestGroups {
			keys, keyErr := group.keys()
			for _, test := range group.Tests {
				if test.JWS == nil {
					continue
				}
				expected, known := want[test.ID]
				if !known {
					t.Errorf("%s %d, %s: nothing is expected of it", name, test.ID, test.Comment)
				}
				err := keyErr
				if err == nil {
					err = verifySignature(t, keys, compactOf(test.JWS))
				}
				if (keyErr == nil) != expected.keys || (err == nil) != expected.accept {
					t.Errorf("%s %d, %s: keys taken %t, signature good %t; want %+v (%v)", name, test.ID, test.Comment, keyErr == nil, err == nil, expected, err)
				}
				if (test.Result == "valid") != (err == nil) {
					departures++
					if expected.why == "" {
						t.Errorf("%s %d, %s: the verdict is not the published one, and nothing says why", name, test.ID, test.Comment)
					}
				}
				if keyErr != nil {
					got["key refused"]++
				} else {
					got[verdict(err)]++
				}
			}
		}
		t.Logf("%s: %d verdicts other than the published ones", name, departures)
		count(t, got, totals[name])
	}
}

// TestWycheproofEncryption: there is no JWE. Each vector is put to the whole verifier, with the keys of its
// group where they are taken at all, and with the JWS key of the same material where they are not.
func TestWycheproofEncryption(t *testing.T) {
	dir := wycheproofDir(t)
	got, taken := make(map[string]int), 0
	for _, name := range []string{"json_web_encryption_test.json", "json_web_crypto_test.json"} {
		var vectors vectorFile
		readJSON(t, filepath.Join(dir, name), &vectors)
		for _, group := range vectors.TestGroups {
			keys, err := group.keys()
			if err == nil && group.Tests[0].JWE != nil {
				taken++
			}
			if err != nil {
				keys = []*keyset.Key{signers()[keyset.HS256].Key(), signers()[keyset.RS256].Key(), signers()[keyset.ES256].Key()}
			}
			v := verifierOf(t, keys)
			for _, test := range group.Tests {
				if test.JWE == nil {
					continue
				}
				_, err := verify(t, v, compactOf(test.JWE))
				got[verdict(err)]++
				if !errors.Is(err, authz.ErrCredentialInvalid) {
					t.Errorf("%s %d, %s: %v", name, test.ID, test.Comment, err)
				}
			}
		}
	}
	if taken != 0 {
		t.Errorf("the keys of %d groups are for encryption, and were taken", taken)
	}
	count(t, got, map[string]int{"reject": 139 + 34})
}

// verifierOf returns a verifier with one issuer, accounts, which has these keys and takes every algorithm.
func verifierOf(t *testing.T, keys []*keyset.Key) *Verifier {
	t.Helper()
	set, err := keyset.NewSet(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return New(Options{Issuers: []Issuer{{Name: "accounts", Issuer: accountsISS, Algorithms: keyset.Algorithms(), Keys: set, Claims: standardNames}}})
}

// vectorJWK is a private key as the vectors hold it.
type vectorJWK struct{ KTY, Crv, K, N, E, D, P, Q string }

// key returns the private key, with the algorithm of its type, or nil for a type that has none here. The product
// reads no private keys.
func (k *vectorJWK) key(t *testing.T) *refereeKey {
	t.Helper()
	bytes := func(s string) []byte {
		b, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	number := func(s string) *big.Int { return new(big.Int).SetBytes(bytes(s)) }
	switch {
	case k.KTY == "oct":
		return &refereeKey{alg: "HS256", hmac: bytes(k.K)}
	case k.KTY == "RSA":
		return &refereeKey{alg: "RS256", rsa: &rsa.PrivateKey{
			PublicKey: rsa.PublicKey{N: number(k.N), E: int(number(k.E).Int64())}, D: number(k.D), Primes: []*big.Int{number(k.P), number(k.Q)},
		}}
	case k.KTY == "EC" && k.Crv == "P-256":
		private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), number(k.D).FillBytes(make([]byte, 32)))
		if err != nil {
			t.Fatal(err)
		}
		return &refereeKey{alg: "ES256", ec: private}
	}
	return nil
}

// encodingFaults are the vectors whose fault is in the base64url of a part, by the part. Signed again, it
// has to stay.
var encodingFaults = map[int]int{365: 0, 366: 0, 372: 0, 368: 1, 369: 1, 371: 1, 373: 1, 374: 1, 375: 1, 360: 2, 361: 2, 362: 2, 363: 2, 364: 2}

// TestWycheproofReminted is TestWycheproof once more, through the whole verifier: each vector gets JSON
// claims and is signed again by the private key of its group, under its own protected header and with its own
// faults of form. Faults that lie in the signature are put into the new one.
func TestWycheproofReminted(t *testing.T) {
	dir := wycheproofDir(t)
	var vectors vectorFile
	readJSON(t, filepath.Join(dir, "json_web_signature_test.json"), &vectors)
	accept := readOverlay(t, dir)
	got := make(map[string]int)
	for _, group := range vectors.TestGroups {
		var jwk vectorJWK
		if err := json.Unmarshal(group.Private, &jwk); err != nil {
			t.Fatal(err)
		}
		private := jwk.key(t)
		if private == nil {
			got["no algorithm of ours"] += len(group.Tests)
			continue
		}
		keys, keyErr := group.keys()
		if keyErr != nil { // the product can verify nothing with it, so that nothing that is signed by it passes
			for _, test := range group.Tests {
				if accept[test.ID] {
					t.Errorf("%d, %s: the key is refused: %v", test.ID, test.Comment, keyErr)
				}
			}
			got["key refused"] += len(group.Tests)
			continue
		}
		v := verifierOf(t, keys)
		for _, test := range group.Tests {
			want := accept[test.ID]
			if slices.Contains(skippedVectors, test.ID) {
				want = true // the bytes are those of a valid one
			}
			token := remint(t, private, compactOf(test.JWS), test.ID, want)
			id, err := verify(t, v, token)
			got[verdict(err)]++
			if (err == nil) != want {
				t.Errorf("%d, %s: %s, want accept = %t (%v)\n%s", test.ID, test.Comment, verdict(err), want, err, token)
			}
			if err == nil && id.UserID != "user_1" || err != nil && !errors.Is(err, authz.ErrCredentialInvalid) {
				t.Errorf("%d, %s: %+v, %v", test.ID, test.Comment, id, err)
			}
		}
	}
	// 18 and the two skipped ones. Keys refused: RS384, RS512, PS256, PS384, PS512 (83 vectors), and four that are not for verifying.
	count(t, got, map[string]int{"accept": 20, "reject": 292, "key refused": 87, "no algorithm of ours": 2})
}

// remint returns the vector with claims of accounts and a signature by private. A vector that is to be
// refused keeps what is wrong with it: its header, its encoding, its missing or surplus parts; and where
// nothing but the signature is wrong, the difference between its signature and a good one.
func remint(t *testing.T, private *refereeKey, vector string, id int, good bool) string {
	t.Helper()
	claims := b64(payload())
	parts := strings.Split(vector, ".")
	if len(parts) != 3 || parts[0] == "" || parts[1] == "" && !good {
		// Parts are missing or too many: claims in the place of each that could be them.
		for i, part := range parts {
			if part == "Zm9v" { // foo, the payload
				parts[i] = claims
			}
		}
		return strings.Join(parts, ".")
	}
	fault, hasFault := encodingFaults[id]
	if hasFault && fault == 1 {
		parts[1] = withFaultOf(parts[1], claims)
	} else {
		parts[1] = claims
	}
	signature := base64.RawURLEncoding.EncodeToString(private.sign(parts[0] + "." + parts[1]))
	header, err := strict.Base64URL(parts[0])
	var h struct{ Alg, Kid string }
	_ = json.Unmarshal(header, &h)
	ours := err == nil && h.Alg == private.alg && strings.Contains(string(header), `"kid"`) && !strings.HasPrefix(h.Kid, "Xid")
	switch {
	case good, hasFault && fault < 2:
		return parts[0] + "." + parts[1] + "." + signature
	case hasFault:
		return parts[0] + "." + parts[1] + "." + withFaultOf(parts[2], signature)
	case !ours || parts[2] == "": // its fault is in the header, or that it is not signed
		if parts[2] != "" {
			parts[2] = signature
		}
		return strings.Join(parts, ".")
	}
	return parts[0] + "." + parts[1] + "." + withFaultySignature(t, private, vector, signature)
}

// withFaultOf returns good with what is wrong with bad: the stray bytes in their place, or unused bits.
func withFaultOf(bad, good string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	stray := false
	for i, c := range []byte(bad) {
		if !strings.ContainsRune(alphabet, rune(c)) {
			i = min(i, len(good))
			good, stray = good[:i]+string(c)+good[i:], true
		}
	}
	if stray {
		return good
	}
	return setUnusedBits(good)
}

// setUnusedBits sets a bit of the last character that no byte takes. Where all are taken, it adds a
// character, which is none of base64url.
func setUnusedBits(s string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	if len(s)%4 == 0 {
		return s + "B"
	}
	last := strings.IndexByte(alphabet, s[len(s)-1])
	return s[:len(s)-1] + string(alphabet[last|1])
}

// withFaultySignature returns good changed as the vector's signature differs from a good one over its own
// text: in length, by its zero or oversize numbers, or by other bits.
func withFaultySignature(t *testing.T, private *refereeKey, vector, good string) string {
	t.Helper()
	dot := strings.LastIndexByte(vector, '.')
	bad, err := strict.Base64URL(vector[dot+1:])
	if err != nil {
		return withFaultOf(vector[dot+1:], good)
	}
	signature, _ := strict.Base64URL(good)
	own := private.sign(vector[:dot])
	if private.alg == "ES256" || len(bad) != len(own) {
		// A signature of its own: numbers that no message has, or a foreign length. It is kept as it is, but for
		// the halves that are true, which only the new message's own would be.
		for i := 0; private.alg == "ES256" && len(bad) > 64 && i < 64; i++ {
			bad[i] = signature[i]
		}
		return base64.RawURLEncoding.EncodeToString(bad)
	}
	// Deterministic: what the vector changed, bit for bit.
	for i := range signature {
		signature[i] ^= bad[i] ^ own[i]
	}
	return base64.RawURLEncoding.EncodeToString(signature)
}

func verifySignature(t *testing.T, keys []*keyset.Key, jws string) error {
	parts, err := decode(jws)
	if err != nil {
		return err
	}
	header, err := strict.ParseObject(parts[0])
	if err != nil {
		return err
	}
	token := newToken(jws, parts)
	if err := token.readHeader(header); err != nil {
		return err
	}
	set, err := keyset.NewSet(keys...)
	if err != nil {
		return err
	}
	key, err := set.Key(t.Context(), token.keyID, token.hasKeyID, token.algorithm)
	if err != nil {
		return err
	}
	return key.Verify(token.signed, token.signature)
}

// wycheproofDir returns the folder of the vectors, which lie beside the checkout and are no part of it.
func wycheproofDir(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			t.Skip("no go.mod above: not run from a checkout")
		}
		dir = filepath.Dir(dir)
	}
	dir = filepath.Join(filepath.Dir(dir), "shared", "wycheproof")
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		t.Skip("the vectors are not beside the checkout, in ../shared/wycheproof")
	}
	return dir
}

func readJSON(t *testing.T, name string, v any) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err == nil {
		err = json.Unmarshal(text, v)
	}
	if err != nil {
		t.Fatal(err)
	}
}
