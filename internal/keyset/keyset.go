// Package keyset holds typed keys for signatures over tokens (RFC 7515, RFC 7517).
//
// A key has exactly one algorithm, fixed when the key is made from its material, and verifies with nothing
// else: that a public key could serve as an HMAC secret, or a token choose its own algorithm, cannot be
// written here. What a token must look like is left to those who read tokens.
package keyset

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/golang-jwt/jwt/v5"
)

// Algorithm is the name of a signature algorithm (RFC 7518 §3.1, RFC 8037 §3.1), as in a token's alg.
type Algorithm string

// The algorithms that keys can have.
const (
	HS256 Algorithm = "HS256" // HMAC with SHA-256
	RS256 Algorithm = "RS256" // RSASSA-PKCS1-v1_5 with SHA-256
	ES256 Algorithm = "ES256" // ECDSA with P-256 and SHA-256
	EdDSA Algorithm = "EdDSA" // Ed25519
)

// Algorithms returns all algorithms that keys can have.
func Algorithms() []Algorithm { return []Algorithm{HS256, RS256, ES256, EdDSA} }

// ParseAlgorithm returns the algorithm of this name, which is case-sensitive.
func ParseAlgorithm(name string) (Algorithm, error) {
	if a := Algorithm(name); slices.Contains(Algorithms(), a) {
		return a, nil
	}
	return "", fmt.Errorf("%.64q is not one of HS256, RS256, ES256, EdDSA", name)
}

// method returns the arithmetic of an algorithm. Its caller brings material of the type that it takes.
func (a Algorithm) method() jwt.SigningMethod {
	switch a {
	case HS256:
		return jwt.SigningMethodHS256
	case RS256:
		return jwt.SigningMethodRS256
	case ES256:
		return jwt.SigningMethodES256
	case EdDSA:
		return jwt.SigningMethodEdDSA
	}
	panic("keyset: no such algorithm: " + string(a))
}

// ErrSignature says that a signature is not this key's over this text.
var ErrSignature = errors.New("signature does not verify")

// Key verifies signatures of one algorithm. Its zero value verifies none. It is safe for concurrent use as
// long as nobody sets its fields.
type Key struct {
	ID        string // kid, or "" for a key without one
	Algorithm Algorithm

	// The material lives in closures, where no formatter, logger or encoder reaches it.
	verify func(signed string, signature []byte) error
	sign   func(signed string) ([]byte, error) // nil but for HS256, which signs with what it verifies with
	derive func(label string) ([]byte, error)  // nil but for HS256

	thumbprint string
	public     *required // nil for a shared secret, of which nothing may be shown
}

// Thumbprint returns the SHA-256 thumbprint of the key (RFC 7638) in base64url, or "" for a key that verifies
// nothing. That of a random secret says no more of it than a token does.
func (k *Key) Thumbprint() string { return k.thumbprint }

// KeyID returns the kid of the tokens that this key verifies: its ID, or else its thumbprint.
func (k *Key) KeyID() string {
	if k.ID != "" {
		return k.ID
	}
	return k.thumbprint
}

// Verify reports whether signature is this key's over signed; if it is not, the error wraps [ErrSignature].
func (k *Key) Verify(signed string, signature []byte) error {
	if k.verify == nil || k.verify(signed, signature) != nil {
		return ErrSignature
	}
	return nil
}

// String names the key and never holds its material.
func (k *Key) String() string {
	if k.ID == "" {
		return string(k.Algorithm) + " key without kid"
	}
	return fmt.Sprintf("%s key %.64q", k.Algorithm, k.ID)
}

// Secret returns the HS256 key of a shared secret. How long a secret must be is for the caller to say, but
// an empty one, which everybody knows, verifies nothing.
func Secret(secret []byte) *Key {
	if len(secret) == 0 {
		return &Key{Algorithm: HS256}
	}
	secret = bytes.Clone(secret)
	k := newKey(HS256, secret, required{Type: "oct", K: base64url(secret)})
	k.sign = func(signed string) ([]byte, error) { return HS256.method().Sign(signed, secret) }
	k.derive = func(label string) ([]byte, error) { return hkdf.Key(sha256.New, secret, nil, label, sha256.Size) }
	return k
}

// RSA keys outside these bounds are too weak, or cost too much to verify with.
const (
	minRSABits     = 2048
	maxRSABits     = 8192
	minRSAExponent = 65537
	maxRSAExponent = 1<<31 - 1
)

// Public returns the key of a public key of crypto, whose type decides the algorithm.
func Public(material any) (*Key, error) {
	switch p := material.(type) {
	case *rsa.PublicKey:
		if bits := p.N.BitLen(); bits < minRSABits || bits > maxRSABits {
			return nil, fmt.Errorf("the RSA modulus has %d bits: %d to %d are accepted", bits, minRSABits, maxRSABits)
		}
		if p.N.Bit(0) == 0 {
			return nil, errors.New("the RSA modulus is even")
		}
		if p.E < minRSAExponent || p.E > maxRSAExponent || p.E%2 == 0 {
			return nil, fmt.Errorf("the RSA exponent is %d: odd ones from %d to %d are accepted", p.E, minRSAExponent, maxRSAExponent)
		}
		return newKey(RS256, p, required{
			Type: "RSA", N: base64url(p.N.Bytes()), E: base64url(big.NewInt(int64(p.E)).Bytes()),
		}), nil
	case *ecdsa.PublicKey:
		if p.Curve != elliptic.P256() {
			return nil, fmt.Errorf("the curve is %s: only P-256 is accepted", p.Curve.Params().Name)
		}
		point, err := p.Bytes() // 4, x, y (SEC 1 §2.3.3)
		if err != nil {
			return nil, fmt.Errorf("not a point on P-256: %w", err)
		}
		x, y := point[1:1+sizeP256], point[1+sizeP256:]
		return newKey(ES256, p, required{Type: "EC", Curve: "P-256", X: base64url(x), Y: base64url(y)}), nil
	case ed25519.PublicKey:
		return newKey(EdDSA, p, required{Type: "OKP", Curve: "Ed25519", X: base64url(p)}), nil
	}
	return nil, fmt.Errorf("the key is of the type %T: RSA, P-256 and Ed25519 are accepted", material)
}

// newKey returns the key of some material, which as a JWK has the members m.
func newKey(a Algorithm, material any, m required) *Key {
	k := &Key{Algorithm: a, thumbprint: m.thumbprint(), verify: func(signed string, signature []byte) error {
		return a.method().Verify(signed, signature, material)
	}}
	if m.K == "" {
		k.public = &m
	}
	return k
}
