package passport_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/passgate/passgate/passport"
)

// testKey returns the key that a letter stands for.
func testKey(letter byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{letter}, ed25519.SeedSize))
}

func publicKey(letter byte) ed25519.PublicKey { return testKey(letter).Public().(ed25519.PublicKey) }

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// jwk returns the public half of a key as passgate shows it.
func jwk(letter byte, keyID string) string {
	return fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","use":"sig","alg":"EdDSA","kid":%q,"x":%q}`, keyID, b64(string(publicKey(letter))))
}

func jwks(keys ...string) []byte { return []byte(`{"keys":[` + strings.Join(keys, ",") + `]}`) }

// other is another user's passport, of the same second.
var other = passport.Passport{UserID: "user_456", TokenStatus: "valid", IssuedAt: ann.IssuedAt}

// at is a clock that shows this long after ann's passport was made.
func at(d time.Duration) func() time.Time { return func() time.Time { return ann.Issued().Add(d) } }

// newVerifier returns a verifier with the key k of the letter 'k', a second after ann's passport was made; change
// may be nil.
func newVerifier(tb testing.TB, change func(*passport.Options)) *passport.Verifier {
	tb.Helper()
	o := passport.Options{Keys: jwks(jwk('k', "k")), Now: at(time.Second)}
	if change != nil {
		change(&o)
	}
	v, err := passport.NewVerifier(tb.Context(), o)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

// sign returns the signature of a passport by the key of a letter.
func sign(letter byte, keyID, value string) string {
	signature, err := passport.NewSigner(testKey(letter), keyID).Sign(value)
	if err != nil {
		panic(err)
	}
	return signature
}

// forge returns a signature with a header of the forger's choice, by the key of a letter.
func forge(letter byte, header, value string) string { return forgeRaw(letter, b64(header), value) }

// forgeRaw is forge with the header's encoding of the forger's choice, too.
func forgeRaw(letter byte, protected, value string) string {
	return protected + ".." + b64(string(ed25519.Sign(testKey(letter), []byte(protected+"."+b64(value)))))
}
