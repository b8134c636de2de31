package passport

import (
	"context"
	"crypto/ed25519"
	"errors"
	"testing"

	"github.com/passgate/passgate/internal/keyset"
)

// lying is a set that returns a key whatever it is asked for.
type lying struct{ key *keyset.Key }

func (l lying) Key(context.Context, string, bool, keyset.Algorithm) (*keyset.Key, error) {
	return l.key, nil
}

func TestVerifyDoesNotBelieveASetThatErrs(t *testing.T) {
	value := "x"
	signature, err := NewSigner(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), "k").Sign(value)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]*keyset.Key{
		"no key":                   nil,
		"a key of another kind":    {ID: "k", Algorithm: keyset.RS256},
		"a key with another kid":   {ID: "K", Algorithm: keyset.EdDSA},
		"a key without everything": {},
	} {
		if p, err := (&Verifier{keys: lying{key}}).Verify(t.Context(), value, signature); !errors.Is(err, ErrKeys) {
			t.Errorf("%s: Verify = %+v, %v", name, p, err)
		}
	}
}
