package idempotency

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func newTestSealer(t testing.TB, secret string) *sealer {
	t.Helper()
	s, err := newSealer([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var (
	secret      = strings.Repeat("s", 32)
	otherSecret = strings.Repeat("t", 32)
)

func TestSealedValueOpensUnderItsOwnUseAlone(t *testing.T) {
	use := Use{Route: "signup", Key: "k", Body: []byte(`{"email":"ann@example.com"}`)}
	e := newTestSealer(t, secret).entry(use)
	sealed := e.seal(sealedPlan, []byte("a plan"))
	if plain, err := e.open(sealedPlan, sealed); err != nil || string(plain) != "a plan" {
		t.Fatalf("open = %q, %v", plain, err)
	}
	change := func(f func(*Use)) Use { u := use; f(&u); return u }
	for name, other := range map[string]entry{
		"another route":  newTestSealer(t, secret).entry(change(func(u *Use) { u.Route = "login" })),
		"another key":    newTestSealer(t, secret).entry(change(func(u *Use) { u.Key = "K" })),
		"another body":   newTestSealer(t, secret).entry(change(func(u *Use) { u.Body = []byte("{}") })),
		"another secret": newTestSealer(t, otherSecret).entry(use),
	} {
		if _, err := other.open(sealedPlan, sealed); !errors.Is(err, errSeal) {
			t.Errorf("%s opens it: %v", name, err)
		}
	}
	if _, err := e.open(sealedAnswer, sealed); !errors.Is(err, errSeal) {
		t.Errorf("a plan opens as an answer: %v", err)
	}
	if bytes.Equal(sealed, e.seal(sealedPlan, []byte("a plan"))) {
		t.Error("what is sealed twice is the same, so that equal answers can be told")
	}
}

func TestEntriesOfOneUseAreOne(t *testing.T) {
	s := newTestSealer(t, secret)
	// Route and key are apart, wherever the border between them is.
	if s.entry(Use{Route: "ab", Key: "c"}).name == s.entry(Use{Route: "a", Key: "bc"}).name {
		t.Error("two uses share a name")
	}
	a, b := s.entry(Use{Route: "a", Key: "k", Body: []byte("x")}), s.entry(Use{Route: "a", Key: "k", Body: []byte("y")})
	if a.name != b.name || bytes.Equal(a.digest, b.digest) {
		t.Error("the body is in the name, or not in the digest")
	}
	// A digest that hung on the body alone would tell that two people have one password.
	if c := s.entry(Use{Route: "a", Key: "other", Body: []byte("x")}); bytes.Equal(a.digest, c.digest) {
		t.Error("one body has one digest under every key")
	}
}

func FuzzOpen(f *testing.F) {
	e := newTestSealer(f, secret).entry(Use{Route: "signup", Key: "k", Body: []byte("{}")})
	// The nonce is fixed: each of the fuzzer's processes has to know the one value that was sealed.
	nonce := make([]byte, e.aead.NonceSize())
	sealed := e.aead.Seal(nonce, nonce, []byte("an answer"), e.bound(sealedAnswer))
	if _, err := e.open(sealedAnswer, sealed); err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Add([]byte{})
	f.Add(sealed[:len(sealed)-1])
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := e.open(sealedAnswer, b); err == nil && !bytes.Equal(b, sealed) {
			t.Errorf("open accepted %x, which was never sealed", b)
		}
	})
}

func TestShortSecretIsRefused(t *testing.T) {
	if _, err := New(nil, []byte("short"), 0); err == nil {
		t.Error("a secret that can be guessed was taken")
	}
}
