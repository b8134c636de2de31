package keyset

import (
	"bytes"
	"testing"
)

func TestKeyIDIsTheKeysOwnOrItsThumbprint(t *testing.T) {
	signer := func(k *Key) *Signer {
		t.Helper()
		s, err := k.Signer()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	// Computed apart from this code: SHA-256 of {"k":"AAECAw...","kty":"oct"} (RFC 7638 §3).
	secret := make([]byte, 32)
	for i := range secret {
		secret[i] = byte(i)
	}
	bare := Secret(secret)
	if got, want := signer(bare).KeyID(), "WqjPPRvAP8oYbAqCwMErhzTg-Quaz-vLx_cef07yhOs"; got != want {
		t.Errorf("KeyID = %q, want %q", got, want)
	}
	named := Secret(secret)
	named.ID = "k1"
	if got := signer(named).KeyID(); got != "k1" {
		t.Errorf("KeyID = %q, want the key's own", got)
	}
}

func TestDerivedKeysAreApart(t *testing.T) {
	s := newSigner(t, HS256, "")
	derive := func(s *Signer, label string) []byte {
		t.Helper()
		key, err := s.Derive(label)
		if err != nil || len(key) != 32 {
			t.Fatalf("Derive = %d bytes, %v", len(key), err)
		}
		return key
	}
	a := derive(s, "a")
	if !bytes.Equal(a, derive(s, "a")) {
		t.Error("the same label gives another key")
	}
	if bytes.Equal(a, derive(s, "b")) || bytes.Equal(a, derive(newSigner(t, HS256, ""), "a")) {
		t.Error("another label or another secret gives the same key")
	}
	if signature, err := s.Sign("a"); err != nil || bytes.Equal(a, signature) {
		t.Errorf("a derived key is what the key signs a label with (%v)", err)
	}
	for _, algorithm := range []Algorithm{RS256, ES256, EdDSA} {
		if _, err := newSigner(t, algorithm, "").Derive("a"); err == nil {
			t.Errorf("a key for %s gave one, and is no secret", algorithm)
		}
	}
}
