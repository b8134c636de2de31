package keyset

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/passgate/passgate/internal/strict"
)

const maxSigningKeys = 16 // blocks in one PEM text

// ParseSigner returns the signer of the private key in material: one block of PKCS #8 in PEM (RFC 5958), with a key
// of Ed25519 or P-256, or a private JWK (RFC 7517, RFC 8037) of these or of a shared secret for HS256. RSA keys
// do not sign. Its errors hold nothing of the key.
func ParseSigner(material []byte) (*Signer, error) {
	signer, also, err := ParseSigningKeys(material)
	if err == nil && len(also) > 0 {
		err = errors.New("PEM: exactly one key is accepted")
	}
	if err != nil {
		return nil, err
	}
	return signer, nil
}

// ParseSigningKeys is [ParseSigner] for material that may hold several blocks of PEM. The first one signs. Of the
// others, PRIVATE KEY or PUBLIC KEY, the public keys are returned in also, to be shown to those who verify. Each
// key may be there once.
func ParseSigningKeys(material []byte) (signer *Signer, also []*Key, err error) {
	text := trim(material)
	switch {
	case looksJSON(text):
		if signer, err = parsePrivateJWK(text); err != nil {
			return nil, nil, fmt.Errorf("JWK: %w", err)
		}
		return signer, nil, nil
	case bytes.HasPrefix(text, []byte(pemBegin)):
		if signer, also, err = parseSigningPEM(text); err != nil {
			return nil, nil, fmt.Errorf("PEM: %w", err)
		}
		return signer, also, nil
	}
	return nil, nil, errors.New("neither a private key in PEM (BEGIN PRIVATE KEY), with no text before it, nor a private JWK")
}

// NewPrivateJWK returns a fresh random key for HS256, ES256 or EdDSA as a private JWK that [ParseSigner] reads,
// with use, alg, and its thumbprint as kid.
func NewPrivateJWK(a Algorithm) ([]byte, error) {
	if a == RS256 {
		return nil, errors.New("RSA keys do not sign here: HS256, ES256 and EdDSA are accepted")
	}
	private, err := generate(a)
	if err != nil {
		return nil, fmt.Errorf("generate a key: %w", err)
	}
	signer, err := signerOf(private)
	if err != nil {
		return nil, err
	}
	m := described{Use: "sig", Algorithm: a, ID: signer.KeyID()}
	if signer.key.public != nil {
		m.required = *signer.key.public
	}
	switch p := private.(type) {
	case []byte:
		m.Type, m.K = "oct", base64url(p)
	case *ecdsa.PrivateKey:
		d, err := p.Bytes()
		if err != nil {
			return nil, err
		}
		m.D = base64url(d)
	case ed25519.PrivateKey:
		m.D = base64url(p.Seed())
	}
	return json.Marshal(m)
}

func parsePrivateJWK(text []byte) (*Signer, error) {
	o, err := strict.ParseObject(text)
	if err != nil {
		return nil, err
	}
	if _, isSet := o["keys"]; isSet {
		return nil, errors.New("this is a JWKS; give one private JWK")
	}
	m := members{o}
	half, err := m.privateHalf()
	if err != nil {
		return nil, err
	}
	key, err := m.publicHalf()
	if err != nil {
		return nil, err
	}
	ops, err := m.Strings("key_ops")
	if err != nil {
		return nil, err
	}
	if ops != nil && !slices.Contains(ops, "sign") {
		return nil, errors.New("key_ops lacks sign: the key is meant for something else")
	}
	var private any
	switch key.Algorithm {
	case HS256:
		return key.Signer()
	case ES256:
		if private, err = ecdsa.ParseRawPrivateKey(elliptic.P256(), half); err != nil {
			return nil, fmt.Errorf("d has %d octets below the order of P-256", sizeP256)
		}
	case EdDSA:
		if len(half) != ed25519.SeedSize {
			return nil, fmt.Errorf("d has %d octets on Ed25519", ed25519.SeedSize)
		}
		private = ed25519.NewKeyFromSeed(half)
	}
	signer, err := signerOf(private)
	if err != nil {
		return nil, err
	}
	if signer.key.thumbprint != key.thumbprint {
		return nil, errors.New("its public part does not belong to its private part, d")
	}
	signer.key.ID = key.ID
	return signer, nil
}

// privateHalf returns what a private JWK alone has: the secret of an oct key, else d (RFC 7518 §6.2.2, §6.4, RFC 8037
// §2).
func (m members) privateHalf() ([]byte, error) {
	kty, err := m.Required("kty")
	if err != nil {
		return nil, err
	}
	own := "d"
	switch kty {
	case "oct":
		own = "k"
	case "RSA":
		return nil, errRSA
	}
	for _, name := range privateMembers {
		if _, ok := m.Object[name]; ok && name != own {
			return nil, fmt.Errorf("it has %q, which is nothing of a key of this kty", name)
		}
	}
	if _, ok := m.Object[own]; !ok {
		return nil, fmt.Errorf("%q is missing: this is a public key, which cannot sign", own)
	}
	return m.bytes(own)
}

// publicHalf returns the key that a private JWK says it is of.
func (m members) publicHalf() (*Key, error) {
	public := members{maps.Clone(m.Object)}
	delete(public.Object, "d")
	delete(public.Object, "key_ops") // that of a private key need not hold verify
	return parseJWK(public)
}

var errRSA = errors.New("RSA keys do not sign here: Ed25519 and P-256 are accepted")

func parseSigningPEM(text []byte) (signer *Signer, also []*Key, err error) {
	seen := map[string]bool{}
	for n := 1; len(text) > 0; n++ {
		if n > maxSigningKeys {
			return nil, nil, fmt.Errorf("there are more than %d blocks", maxSigningKeys)
		}
		// A block ends where the next one begins: the decoder would skip a broken one.
		block := text
		if next := bytes.Index(text[1:], []byte(pemBegin)); next >= 0 {
			block = text[:1+next]
		}
		text = text[len(block):]
		s, key, err := parseSigningBlock(trim(block))
		switch {
		case err != nil:
			return nil, nil, fmt.Errorf("block %d: %w", n, err)
		case n == 1 && s == nil:
			return nil, nil, errors.New("block 1 is a public key, which cannot sign; begin with the PRIVATE KEY that signs")
		case seen[key.thumbprint]:
			return nil, nil, fmt.Errorf("block %d: the key is there twice", n)
		case n == 1:
			signer = s
		default:
			also = append(also, key)
		}
		seen[key.thumbprint] = true
	}
	return signer, also, nil
}

// parseSigningBlock returns the key of one block, and its signer if it is a private one.
func parseSigningBlock(text []byte) (*Signer, *Key, error) {
	if bytes.HasPrefix(text, []byte(pemBegin+"PUBLIC KEY-----")) {
		key, err := parsePEM(text)
		return nil, key, err
	}
	block, rest := pem.Decode(text)
	switch {
	case block == nil:
		return nil, nil, errors.New("it is broken")
	case len(trim(rest)) != 0:
		return nil, nil, errors.New("there is text after it")
	case block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "":
		return nil, nil, errors.New("it is encrypted; give it as written by: openssl pkey -in FILE")
	case len(block.Headers) != 0:
		return nil, nil, errors.New("headers in it are not accepted")
	case block.Type == "RSA PRIVATE KEY":
		return nil, nil, errRSA
	case strings.HasSuffix(block.Type, " PRIVATE KEY"):
		return nil, nil, fmt.Errorf("it is %.64q; give it as PRIVATE KEY, as written by: openssl pkey -in FILE", block.Type)
	case block.Type != "PRIVATE KEY":
		return nil, nil, fmt.Errorf("it is %.64q; PRIVATE KEY is accepted, and PUBLIC KEY after it", block.Type)
	}
	var whole asn1.RawValue
	rest, err := asn1.Unmarshal(block.Bytes, &whole)
	if err != nil || len(rest) > 0 { // the parser below would not mind the rest
		return nil, nil, errors.New("it is not one PKCS #8 value")
	}
	private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, nil, errors.New("it is not a key of Ed25519 or P-256 in PKCS #8")
	}
	if _, isRSA := private.(*rsa.PrivateKey); isRSA {
		return nil, nil, errRSA
	}
	signer, err := signerOf(private)
	if err != nil {
		return nil, nil, err
	}
	return signer, signer.key, nil
}
