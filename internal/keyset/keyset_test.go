package keyset

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

const text = "header.claims"

func newSigner(t testing.TB, a Algorithm, id string) *Signer {
	t.Helper()
	s, err := GenerateSigner(a, id)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func sign(t testing.TB, s *Signer) []byte {
	t.Helper()
	signature, err := s.Sign(text)
	if err != nil {
		t.Fatal(err)
	}
	return signature
}

func TestKeyVerifiesItsOwnSignatureAlone(t *testing.T) {
	signatures := make(map[Algorithm][]byte)
	for _, a := range Algorithms() {
		signatures[a] = sign(t, newSigner(t, a, ""))
	}
	for _, a := range Algorithms() {
		t.Run(string(a), func(t *testing.T) {
			s := newSigner(t, a, "k1")
			key, good := s.Key(), sign(t, s)
			if key.Algorithm != a || key.ID != "k1" {
				t.Fatalf("the key is %s", key)
			}
			if err := key.Verify(text, good); err != nil {
				t.Fatalf("Verify: %v", err)
			}
			if key.Verify(text+" ", good) == nil {
				t.Error("another text was accepted")
			}
			for _, other := range Algorithms() {
				if key.Verify(text, signatures[other]) == nil {
					t.Errorf("a signature by another key, for %s, was accepted", other)
				}
			}
			for name, bad := range map[string][]byte{
				"none":       nil,
				"empty":      {},
				"one less":   good[:len(good)-1],
				"one more":   append(bytes.Clone(good), 0),
				"zero ahead": append([]byte{0}, good...),
				"all zero":   make([]byte, len(good)),
				"all ones":   bytes.Repeat([]byte{0xff}, len(good)),
			} {
				if err := key.Verify(text, bad); !errors.Is(err, ErrSignature) {
					t.Errorf("signature %s: error %v", name, err)
				}
			}
			for i := range good {
				bad := bytes.Clone(good)
				bad[i] ^= 1
				if key.Verify(text, bad) == nil {
					t.Errorf("accepted with byte %d altered", i)
				}
			}
		})
	}
}

func TestES256RefusesASN1(t *testing.T) {
	s := newSigner(t, ES256, "")
	rs := sign(t, s)
	number := func(b []byte) []byte {
		b = bytes.TrimLeft(b, "\x00")
		if b[0] >= 0x80 {
			b = append([]byte{0}, b...)
		}
		return append([]byte{2, byte(len(b))}, b...)
	}
	body := append(number(rs[:32]), number(rs[32:])...)
	if s.Key().Verify(text, append([]byte{0x30, byte(len(body))}, body...)) == nil {
		t.Error("a DER signature was accepted")
	}
	if s.Key().Verify(text, append(bytes.Clone(rs[:32]), make([]byte, 32)...)) == nil {
		t.Error("s = 0 was accepted")
	}
}

func TestZeroKeyAndEmptySecretVerifyNothing(t *testing.T) {
	var mac []byte
	for _, k := range []*Key{{}, {Algorithm: HS256}, Secret(nil), Secret([]byte{})} {
		if err := k.Verify(text, mac); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: error %v", k, err)
		}
		if _, err := k.Signer(); err == nil {
			t.Errorf("%s can sign", k)
		}
	}
}

func TestSecretIsCopied(t *testing.T) {
	secret := []byte("a secret of a test, of no worth to anybody")
	s, err := Secret(secret).Signer()
	if err != nil {
		t.Fatal(err)
	}
	before := sign(t, s)
	clear(secret)
	if !bytes.Equal(before, sign(t, s)) || s.Key().Verify(text, before) != nil {
		t.Error("the key changed with the slice that it was made from")
	}
}

func TestOnlySharedSecretsSign(t *testing.T) {
	for _, a := range Algorithms() {
		_, err := newSigner(t, a, "").Key().Signer()
		if got := err == nil; got != (a == HS256) {
			t.Errorf("%s: a key alone can sign: %t", a, got)
		}
	}
	if _, err := GenerateSigner("none", ""); err == nil {
		t.Error("a signer of the algorithm none was made")
	}
}

func TestParseAlgorithmIsExact(t *testing.T) {
	for _, a := range Algorithms() {
		if got, err := ParseAlgorithm(string(a)); err != nil || got != a {
			t.Errorf("%s: %q, %v", a, got, err)
		}
	}
	for _, name := range []string{"", "none", "None", "hs256", "HS256 ", "HS384", "HS512", "RS384", "PS256", "ES384", "ES256K", "Ed25519", "EDDSA"} {
		if _, err := ParseAlgorithm(name); err == nil {
			t.Errorf("%q was accepted", name)
		}
	}
}

// Whatever a program prints, the material stays out of it.
func TestMaterialNeverPrints(t *testing.T) {
	const secret = "shown-nowhere-shown-nowhere-shown"
	key := Secret([]byte(secret))
	key.ID = "named"
	signer, err := key.Signer()
	if err != nil {
		t.Fatal(err)
	}
	set, err := NewSet(key)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, v := range []any{key, *key, signer, *signer, set, *set, []*Key{key}, struct{ k Key }{*key}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		j, _ := json.Marshal(v)
		out.Write(j)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "v", v)
		slog.New(slog.NewTextHandler(&out, nil)).Info("m", "v", v)
	}
	for _, shown := range []string{secret, fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret), fmt.Sprint([]byte(secret)), "0x73, 0x68", "c2hvd24"} {
		if strings.Contains(out.String(), shown) {
			t.Errorf("the material was printed, as %.20s…", shown)
		}
	}
	if !strings.Contains(out.String(), `HS256 key "named"`) {
		t.Error("the key does not print as its algorithm and ID")
	}
}
