package keyset

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
)

// Signer signs what its key verifies. It is safe for concurrent use.
type Signer struct {
	key  *Key
	sign func(signed string) ([]byte, error)
}

// Key returns the key that verifies what s signs.
func (s *Signer) Key() *Key { return s.key }

// KeyID returns the kid of the tokens that s signs: that of its key, or else the thumbprint of the key
// (RFC 7638), which says no more of a random secret than a token does. It is "" for a key with neither.
func (s *Signer) KeyID() string {
	if s.key.ID != "" {
		return s.key.ID
	}
	return s.key.thumbprint
}

// Derive returns a key of 32 bytes for the purpose that label names, by HKDF with SHA-256 (RFC 5869). It tells
// nothing of the key that s signs with, nor of one derived by another label. Only an HS256 key has any.
func (s *Signer) Derive(label string) ([]byte, error) {
	if s.key.derive == nil {
		return nil, fmt.Errorf("the %s is no secret to derive a key from", s.key)
	}
	return s.key.derive(label)
}

// Sign returns the signature over signed, in the form of RFC 7518 §3.
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
	private, key, err := generate(a)
	if err != nil {
		return nil, fmt.Errorf("generate a key for %.64q: %w", a, err)
	}
	key.ID = id
	return &Signer{key: key, sign: func(signed string) ([]byte, error) { return a.method().Sign(signed, private) }}, nil
}

func generate(a Algorithm) (private any, key *Key, err error) {
	switch a {
	case HS256:
		secret := make([]byte, 32)
		rand.Read(secret) // never fails: see its documentation
		return secret, Secret(secret), nil
	case RS256:
		p, err := rsa.GenerateKey(rand.Reader, minRSABits)
		if err != nil {
			return nil, nil, err
		}
		key, err := public(&p.PublicKey)
		return p, key, err
	case ES256:
		p, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, nil, err
		}
		key, err := public(&p.PublicKey)
		return p, key, err
	case EdDSA:
		p, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, nil, err
		}
		key, err := public(p)
		return private, key, err
	}
	_, err = ParseAlgorithm(string(a))
	return nil, nil, err
}
