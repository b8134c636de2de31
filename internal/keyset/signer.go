package keyset

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"fmt"
	"math/big"
)

// Signer signs what its key verifies. It is safe for concurrent use.
type Signer struct {
	key  *Key
	sign func(signed string) ([]byte, error)
}

// Key returns the key that verifies what s signs.
func (s *Signer) Key() *Key { return s.key }

// KeyID returns the kid of the tokens that s signs: that of its key, or else the thumbprint of the key.
func (s *Signer) KeyID() string { return s.key.KeyID() }

// Derive returns a key of 32 bytes for the purpose that label names, by HKDF with SHA-256 (RFC 5869). It tells
// nothing of the key that s signs with, nor of one derived by another label. Only an HS256 key has any.
func (s *Signer) Derive(label string) ([]byte, error) {
	if s.key.derive == nil {
		return nil, fmt.Errorf("the %s is no secret to derive a key from", s.key)
	}
	return s.key.derive(label)
}

// Sign returns the signature over signed, in the form of RFC 7518 §3. The same text has the same signature, so
// that no key hangs on the randomness of a moment (RFC 6979 for ES256).
func (s *Signer) Sign(signed string) ([]byte, error) { return s.sign(signed) }

// Signer returns a signer of this key. Only an HS256 key has one: of the others, the private half is not
// here.
func (k *Key) Signer() (*Signer, error) {
	if k.sign == nil {
		return nil, fmt.Errorf("the %s can verify, but not sign", k)
	}
	return &Signer{key: k, sign: k.sign}, nil
}

// GenerateSigner returns a signer with a fresh random key, for tests of policies and programs.
func GenerateSigner(a Algorithm, id string) (*Signer, error) {
	private, err := generate(a)
	if err != nil {
		return nil, fmt.Errorf("generate a key for %.64q: %w", a, err)
	}
	s, err := signerOf(private)
	if err != nil {
		return nil, err
	}
	s.key.ID = id
	return s, nil
}

// generate returns a fresh private key, of a type that [signerOf] takes.
func generate(a Algorithm) (private any, err error) {
	switch a {
	case HS256:
		secret := make([]byte, sha256.Size)
		rand.Read(secret) // never fails: see its documentation
		return secret, nil
	case RS256:
		return rsa.GenerateKey(rand.Reader, minRSABits)
	case ES256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case EdDSA:
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	}
	_, err = ParseAlgorithm(string(a))
	return nil, err
}

// signerOf returns the signer of a private key, whose type decides the algorithm.
func signerOf(private any) (*Signer, error) {
	switch p := private.(type) {
	case []byte:
		return Secret(p).Signer()
	case *rsa.PrivateKey:
		return newSignerOf(&p.PublicKey, func(signed string) ([]byte, error) { return RS256.method().Sign(signed, p) })
	case *ecdsa.PrivateKey:
		return newSignerOf(&p.PublicKey, func(signed string) ([]byte, error) { return signES256(p, signed) })
	case ed25519.PrivateKey:
		return newSignerOf(p.Public(), func(signed string) ([]byte, error) { return ed25519.Sign(p, []byte(signed)), nil })
	}
	return nil, fmt.Errorf("the private key is of the type %T: P-256 and Ed25519 are accepted", private)
}

func newSignerOf(material any, sign func(string) ([]byte, error)) (*Signer, error) {
	key, err := Public(material)
	if err != nil {
		return nil, err
	}
	return &Signer{key: key, sign: sign}, nil
}

// sizeP256 is how many bytes a number of P-256 has (RFC 7518 §3.4, §6.2.1.2).
const sizeP256 = 32

// signES256 signs without randomness, by RFC 6979: a weak source of it would give the key away.
func signES256(p *ecdsa.PrivateKey, signed string) ([]byte, error) {
	digest := sha256.Sum256([]byte(signed))
	der, err := p.Sign(nil, digest[:], crypto.SHA256)
	if err != nil {
		return nil, err
	}
	var numbers struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &numbers); err != nil {
		return nil, err
	}
	signature := make([]byte, 2*sizeP256)
	numbers.R.FillBytes(signature[:sizeP256])
	numbers.S.FillBytes(signature[sizeP256:])
	return signature, nil
}
