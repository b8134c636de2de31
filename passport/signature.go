package passport

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/passgate/passgate/internal/keyset"
	"github.com/passgate/passgate/internal/strict"
)

// SignatureHeader is the name of the header that carries the signature over a passport.
const SignatureHeader = "X-Passport-Signature"

// The protected header of a signature has these three members and no other, so that none of them can change what
// is signed (b64, RFC 7797) or name a key of its own (jwk, jku, x5c). The type keeps the signature of a passport
// and that of a token apart, should one key make both (RFC 8725 §3.11).
const (
	algorithm     = "EdDSA" // with Ed25519 (RFC 8037 §3.1)
	signatureType = "passport"
)

// Signer signs passports. It is safe for concurrent use; make one with [NewSigner] or [NewSignerFunc].
type Signer struct {
	keyID     string
	protected string // BASE64URL(header)
	// The key lives in a closure, where no formatter, logger or encoder reaches it.
	sign func(signed string) ([]byte, error)
}

// NewSigner returns a signer with this key. Its signatures name keyID as their kid; where that is "" they name the
// key's thumbprint (RFC 7638). It panics if key has not the length of an Ed25519 key.
func NewSigner(key ed25519.PrivateKey, keyID string) *Signer {
	if len(key) != ed25519.PrivateKeySize {
		panic(fmt.Sprintf("passport: an Ed25519 key has %d bytes, not %d", ed25519.PrivateKeySize, len(key)))
	}
	key = bytes.Clone(key)
	if keyID == "" {
		public, err := keyset.Public(key.Public())
		if err != nil {
			panic("passport: " + err.Error())
		}
		keyID = public.Thumbprint()
	}
	return NewSignerFunc(keyID, func(signed string) ([]byte, error) { return ed25519.Sign(key, []byte(signed)), nil })
}

// NewSignerFunc returns a signer whose key is elsewhere: sign returns the Ed25519 signature over signed (RFC 8032
// §5.1.6), and is safe for concurrent use if the signer is to be. It panics if keyID is "", which names no key.
func NewSignerFunc(keyID string, sign func(signed string) ([]byte, error)) *Signer {
	if keyID == "" {
		panic("passport: the key of a signer needs an ID")
	}
	keyID = strings.ToValidUTF8(keyID, "\uFFFD")
	kid, _ := jsontext.AppendQuote(nil, keyID) // nothing but what is not UTF-8 could be refused
	header := fmt.Sprintf(`{"alg":%q,"kid":%s,"typ":%q}`, algorithm, kid, signatureType)
	return &Signer{keyID: keyID, protected: base64url(header), sign: sign}
}

// KeyID returns the kid that the signer's key must have in the JWKS that verifiers read.
func (s *Signer) KeyID() string { return s.keyID }

// Sign returns the signature of a passport, given as the value of its header: a JWS whose payload, that value, is
// left out (RFC 7515 appendix F). A signer made by [NewSigner] returns no error.
func (s *Signer) Sign(value string) (string, error) {
	signature, err := s.sign(signingInput(s.protected, value))
	if err != nil {
		return "", fmt.Errorf("sign a passport: %w", err)
	}
	// No verifier would take it, and who signed would not hear of that.
	if len(signature) != ed25519.SignatureSize {
		return "", fmt.Errorf("sign a passport: a signature of %d bytes is not one of Ed25519", len(signature))
	}
	return s.protected + ".." + base64.RawURLEncoding.EncodeToString(signature), nil
}

// KeyID returns the kid that a signature names. It proves nothing; errors wrap [ErrUnsigned] or [ErrSignature].
func KeyID(signature string) (string, error) {
	s, err := parseSignature(signature)
	return s.keyID, err
}

// signed is a signature, read and not verified.
type signed struct {
	protected string
	keyID     string
	signature []byte
}

// parseSignature reads a detached JWS of exactly the form that [Signer.Sign] writes.
func parseSignature(text string) (signed, error) {
	if text == "" {
		return signed{}, ErrUnsigned
	}
	// A payload between the dots would be signed too, and might not be the passport beside it.
	protected, encoded, ok := strings.Cut(text, "..")
	if !ok {
		return signed{}, fmt.Errorf("%w: it is not a JWS with its payload left out", ErrSignature)
	}
	signature, err := strict.Base64URL(encoded)
	if err != nil {
		return signed{}, fmt.Errorf("%w: its last part is %w", ErrSignature, err)
	}
	header, err := strict.Base64URL(protected)
	if err != nil {
		return signed{}, fmt.Errorf("%w: its header is %w", ErrSignature, err)
	}
	keyID, err := parseProtected(header)
	if err != nil {
		return signed{}, fmt.Errorf("%w: its header: %w", ErrSignature, err)
	}
	return signed{protected, keyID, signature}, nil
}

// parseProtected returns the kid of a protected header (RFC 7515 §4) that has nothing in it but what it must have.
func parseProtected(header []byte) (keyID string, err error) {
	o, err := strict.ParseObject(header)
	if err != nil {
		return "", err
	}
	for name := range o {
		if !slices.Contains([]string{"alg", "kid", "typ"}, name) {
			return "", fmt.Errorf("%.64q is not accepted", name)
		}
	}
	alg, algErr := o.Required("alg")
	typ, typErr := o.Required("typ")
	keyID, kidErr := o.Required("kid")
	switch err := cmp.Or(algErr, typErr, kidErr); {
	case err != nil:
		return "", err
	case alg != algorithm:
		return "", fmt.Errorf("alg is %.64q, not %s", alg, algorithm)
	case typ != signatureType:
		return "", fmt.Errorf("typ is %.64q, not %s", typ, signatureType)
	case keyID == "":
		return "", errors.New("kid is empty")
	}
	return keyID, nil
}

// signingInput is what a signature is over (RFC 7515 §5.1).
func signingInput(protected, value string) string { return protected + "." + base64url(value) }

func base64url(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
