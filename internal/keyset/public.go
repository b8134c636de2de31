package keyset

import (
	"crypto/sha256"
	"encoding/base64"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// required are the members that make a key, in the order of their names, as a thumbprint takes them (RFC 7638
// §3.2, RFC 8037 §2).
type required struct {
	Curve string `json:"crv,omitzero"`
	E     string `json:"e,omitzero"`
	K     string `json:"k,omitzero"` // a shared secret
	Type  string `json:"kty"`
	N     string `json:"n,omitzero"`
	X     string `json:"x,omitzero"`
	Y     string `json:"y,omitzero"`
}

func (m required) thumbprint() string {
	text, _ := json.Marshal(m) // it cannot fail, as all members are ASCII
	sum := sha256.Sum256(text)
	return base64url(sum[:])
}

// described is a JWK with what it is for (RFC 7517 §4).
type described struct {
	required
	D         string    `json:"d,omitzero"` // the private half
	Use       string    `json:"use"`
	Algorithm Algorithm `json:"alg"`
	ID        string    `json:"kid"`
}

// PublicJWKS returns the JWKS (RFC 7517 §5) of the public keys among these, each with its ID, or else its
// thumbprint, as kid. Shared secrets are left out.
func PublicJWKS(keys ...*Key) []byte {
	list := []described{} // never null
	for _, k := range keys {
		if k.public != nil {
			list = append(list, described{required: *k.public, Use: "sig", Algorithm: k.Algorithm, ID: k.KeyID()})
		}
	}
	// It cannot fail: all members are strings, whose faults are replaced.
	text, _ := json.Marshal(map[string][]described{"keys": list}, jsontext.AllowInvalidUTF8(true))
	return text
}

func base64url(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
