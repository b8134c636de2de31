package passport_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/passgate/passgate/passport"
)

func TestSign(t *testing.T) {
	value := ann.Encode()
	signature := sign('k', "k", value)
	header, rest, ok := strings.Cut(signature, "..")
	if !ok || header != b64(`{"alg":"EdDSA","kid":"k","typ":"passport"}`) {
		t.Fatalf("the header of %s is not the one promised", signature)
	}
	// Ed25519 apart from all of ours, over what RFC 7515 §5.1 says.
	raw, err := base64.RawURLEncoding.DecodeString(rest)
	if err != nil || !ed25519.Verify(publicKey('k'), []byte(header+"."+b64(value)), raw) {
		t.Errorf("the signature %s is not Ed25519 over header and value: %v", rest, err)
	}
	if again := sign('k', "k", value); again != signature {
		t.Errorf("the same passport was signed as %s and as %s", signature, again)
	}
}

// A known answer, so that a signature made by one release verifies with every other.
func TestSignKnownAnswer(t *testing.T) {
	const want = "eyJhbGciOiJFZERTQSIsImtpZCI6ImsiLCJ0eXAiOiJwYXNzcG9ydCJ9..r6xnOJdiY1n6pVweyVyg6b7qHL4b2SRxHXkikiTFug3bTEYHlNq41UO8GPbMrlAyfVQQjwstPUBIuU0ueNz6CA"
	if got := sign('k', "k", ann.Encode()); got != want {
		t.Errorf("Sign = %s, want %s", got, want)
	}
}

func TestSignerNamesItsKeyByThumbprint(t *testing.T) {
	// The key and its thumbprint of RFC 8037 appendix A.1 to A.3.
	seed, err := hex.DecodeString("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
	if err != nil {
		t.Fatal(err)
	}
	s := passport.NewSigner(ed25519.NewKeyFromSeed(seed), "")
	const want = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
	if s.KeyID() != want {
		t.Errorf("KeyID = %s, want %s", s.KeyID(), want)
	}
	signature, err := s.Sign("x")
	if err != nil {
		t.Fatal(err)
	}
	if id, err := passport.KeyID(signature); id != want || err != nil {
		t.Errorf("KeyID of a signature = %s, %v; want %s", id, err, want)
	}
}

func TestSignerKeyIDNeedsNoEscape(t *testing.T) {
	for _, id := range []string{"k1", `a"b\c`, "é<&>", "\u2028", "a\nb"} {
		if got, err := passport.KeyID(sign('k', id, "x")); got != id || err != nil {
			t.Errorf("kid %q is read as %q, %v", id, got, err)
		}
	}
	if s := passport.NewSigner(testKey('k'), "a\xff"); s.KeyID() != "a\ufffd" {
		t.Errorf("a kid that is not UTF-8 is %q", s.KeyID())
	}
}

func TestNewSignerPanicsWithoutAKey(t *testing.T) {
	for _, key := range []ed25519.PrivateKey{nil, testKey('k')[:32]} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("a signer was made of %d bytes", len(key))
				}
			}()
			passport.NewSigner(key, "k")
		}()
	}
}

func TestSignerOfAKeyElsewhere(t *testing.T) {
	key, value := testKey('k'), ann.Encode()
	signed := func(signature []byte, err error) (string, error) {
		return passport.NewSignerFunc("k", func(string) ([]byte, error) { return signature, err }).Sign(value)
	}
	got, err := passport.NewSignerFunc("k", func(signed string) ([]byte, error) { return ed25519.Sign(key, []byte(signed)), nil }).Sign(value)
	if want := sign('k', "k", value); got != want || err != nil {
		t.Errorf("Sign = %s, %v; want %s", got, err, want)
	}
	gone := errors.New("the key is gone")
	if got, err := signed(nil, gone); got != "" || !errors.Is(err, gone) {
		t.Errorf("without a key: Sign = %s, %v", got, err)
	}
	for _, n := range []int{0, 32, 63, 65, 256} {
		if got, err := signed(make([]byte, n), nil); got != "" || err == nil {
			t.Errorf("with a signature of %d bytes: Sign = %s, %v", n, got, err)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a signer was made without a key ID")
		}
	}()
	passport.NewSignerFunc("", nil)
}

func TestSignerKeepsItsKey(t *testing.T) {
	key := testKey('k')
	s := passport.NewSigner(key, "k")
	clear(key)
	if got, err := s.Sign("x"); err != nil || got != sign('k', "k", "x") {
		t.Errorf("after its caller's key is cleared: %s, %v", got, err)
	}
}

func TestSignerDoesNotPrintItsKey(t *testing.T) {
	s := passport.NewSigner(testKey('k'), "k")
	for _, text := range []string{fmt.Sprintf("%v", s), fmt.Sprintf("%+v", *s), fmt.Sprintf("%#v", s)} {
		if strings.Contains(text, "107 107") || strings.Contains(text, "0x6b, 0x6b") || strings.Contains(text, "kkkk") {
			t.Errorf("the key is in %s", text)
		}
	}
}

func TestKeyIDRefuses(t *testing.T) {
	if id, err := passport.KeyID(""); id != "" || !errors.Is(err, passport.ErrUnsigned) {
		t.Errorf("KeyID of nothing = %q, %v", id, err)
	}
	if id, err := passport.KeyID("a..b"); id != "" || !errors.Is(err, passport.ErrSignature) {
		t.Errorf("KeyID of garbage = %q, %v", id, err)
	}
}

func BenchmarkSign(b *testing.B) {
	s, value := passport.NewSigner(testKey('k'), "k"), ann.Encode()
	b.ReportAllocs()
	for b.Loop() {
		if signature, err := s.Sign(value); err != nil || signature == "" {
			b.Fatal(signature, err)
		}
	}
}
