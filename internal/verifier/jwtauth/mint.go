package jwtauth

import (
	"encoding/base64"
	"fmt"

	"github.com/go-json-experiment/json"

	"github.com/passgate/passgate/internal/keyset"
	"github.com/passgate/passgate/internal/strict"
)

// Mint returns a signed token with these claims, taken as they are: nothing is added. Values may be
// anything that JSON can say, a jsontext.Value included. The header has typ JWT, and kid if the key has an
// ID.
func Mint(s *keyset.Signer, claims map[string]any) (string, error) {
	return MintAs(s, s.Key().ID, claims)
}

// MintAs is [Mint] for claims that are a map or a struct, under a key ID other than the key's own; "" is none.
func MintAs(s *keyset.Signer, keyID string, claims any) (string, error) {
	payload, err := json.Marshal(claims, json.Deterministic(true), json.FormatNilMapAsNull(false))
	if err != nil {
		return "", fmt.Errorf("write the claims: %w", err)
	}
	header, err := json.Marshal(struct {
		Algorithm keyset.Algorithm `json:"alg"`
		KeyID     string           `json:"kid,omitempty"`
		Type      string           `json:"typ"`
	}{s.Key().Algorithm, keyID, "JWT"})
	if err != nil {
		return "", fmt.Errorf("write the header: %w", err)
	}
	return compact(s, header, payload)
}

// compact returns the JWS of these bytes in compact form (RFC 7515 §7.1).
func compact(s *keyset.Signer, header, payload []byte) (string, error) {
	signed := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(payload)
	signature, err := s.Sign(signed)
	if err != nil {
		return "", fmt.Errorf("sign the token: %w", err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

// DecodeUnverified returns the header and the claims of a token as the JSON that they are written in, to be
// shown to a person. Nothing is verified: anyone could have written them.
func DecodeUnverified(token string) (header, claims []byte, err error) {
	parts, err := decode(token)
	if err != nil {
		return nil, nil, err
	}
	for i, name := range [...]string{"header is", "claims are"} {
		if _, err := strict.ParseObject(parts[i]); err != nil {
			return nil, nil, fmt.Errorf("the %s %w", name, err)
		}
	}
	return parts[0], parts[1], nil
}
