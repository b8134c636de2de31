package keyset

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/passgate/passgate/internal/strict"
)

// members are those of one JWK.
type members struct{ strict.Object }

// parseJSON returns the keys of a JWKS, or the one of a JWK.
func parseJSON(text []byte) ([]*Key, error) {
	o, err := strict.ParseObject(text)
	if err != nil {
		return nil, err
	}
	if _, isSet := o["keys"]; !isSet {
		k, err := parseJWK(members{o})
		if err != nil {
			return nil, fmt.Errorf("JWK: %w", err)
		}
		return []*Key{k}, nil
	}
	values, err := jwks(o, math.MaxInt)
	if err != nil {
		return nil, err
	}
	if len(values) == 0 {
		return nil, errors.New("JWKS: there is no key in keys")
	}
	keys := make([]*Key, len(values))
	for i, v := range values {
		o, err := strict.ParseObject(v)
		if err == nil {
			keys[i], err = parseJWK(members{o})
		}
		if err != nil {
			return nil, fmt.Errorf("JWKS: keys[%d]: %w", i, err)
		}
	}
	return keys, nil
}

// jwks returns what stands in the keys of a JWKS. It reads no more than so many, and says so if there are.
func jwks(o strict.Object, most int) (values []jsontext.Value, err error) {
	if _, isKey := o["kty"]; isKey {
		return nil, errors.New("both a JWK (kty) and a JWKS (keys)")
	}
	list := jsontext.NewDecoder(bytes.NewReader(o["keys"]))
	if start, err := list.ReadToken(); err != nil || start.Kind() != '[' {
		return nil, errors.New("JWKS: keys is not an array")
	}
	for list.PeekKind() != ']' {
		if len(values) == most {
			return nil, fmt.Errorf("JWKS: there are more than %d keys", most)
		}
		v, err := list.ReadValue()
		if err != nil { // which the object did not have when it was read
			return nil, errors.New("JWKS: keys is not an array")
		}
		values = append(values, v.Clone())
	}
	return values, nil
}

// privateMembers are those that only a private key has, and the one of a shared secret, which has no place
// in a public key either.
var privateMembers = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"}

// parseJWK returns the key of a JWK. Members that it does not know are ignored (RFC 7517 §4), so nothing
// that a URL or a certificate in it says has any effect.
func parseJWK(m members) (*Key, error) {
	kty, err := m.Required("kty")
	if err != nil {
		return nil, err
	}
	if kty != "oct" {
		for _, name := range privateMembers {
			if _, ok := m.Object[name]; ok {
				return nil, fmt.Errorf("this is a private key, as it has %q; give the public one, without %s", name, strings.Join(privateMembers, ", "))
			}
		}
	}
	k, err := m.material(kty)
	if err != nil {
		return nil, err
	}
	if err := m.judgeUse(); err != nil {
		return nil, err
	}
	alg, ok, err := m.String("alg")
	if err != nil {
		return nil, err
	}
	if ok && alg != string(k.Algorithm) {
		return nil, fmt.Errorf("alg is %.64q, but a key of this type is for %s", alg, k.Algorithm)
	}
	id, ok, err := m.String("kid")
	if err != nil {
		return nil, err
	}
	if ok && id == "" {
		return nil, errors.New("kid is empty: name the key, or leave kid out")
	}
	k.ID = id
	return k, nil
}

// judgeUse refuses a key that is not meant to verify signatures (RFC 7517 §4.2, §4.3).
func (m members) judgeUse() error {
	use, ok, err := m.String("use")
	if err != nil {
		return err
	}
	if ok && use != "sig" {
		return fmt.Errorf("use is %.64q: only keys for signatures, sig, are accepted", use)
	}
	ops, err := m.Strings("key_ops")
	if err != nil || ops == nil {
		return err
	}
	for i, op := range ops {
		if slices.Contains(ops[:i], op) {
			return fmt.Errorf("key_ops names %.64q twice", op)
		}
	}
	if !slices.Contains(ops, "verify") {
		return errors.New("key_ops lacks verify: the key is meant for something else")
	}
	return nil
}

// material reads the members that make up a key of this type (RFC 7518 §6, RFC 8037 §2).
func (m members) material(kty string) (*Key, error) {
	switch kty {
	case "RSA":
		return m.rsa()
	case "EC":
		return m.ec()
	case "OKP":
		return m.okp()
	case "oct":
		secret, err := m.bytes("k")
		if err != nil {
			return nil, err
		}
		if len(secret) < 32 { // RFC 7518 §3.2
			return nil, fmt.Errorf("k has %d bytes: an HS256 secret needs 32 at least", len(secret))
		}
		return Secret(secret), nil
	}
	return nil, fmt.Errorf("kty is %.64q: RSA, EC, OKP and oct are accepted", kty)
}

func (m members) rsa() (*Key, error) {
	n, err := m.bytes("n")
	if err != nil {
		return nil, err
	}
	e, err := m.bytes("e")
	if err != nil {
		return nil, err
	}
	// RFC 7518 §2: Base64urlUInt has the fewest octets possible.
	if len(n) == 0 || n[0] == 0 || len(e) == 0 || e[0] == 0 {
		return nil, errors.New("n or e is empty or begins with a zero octet")
	}
	if len(e) > 4 {
		return nil, fmt.Errorf("the RSA exponent has %d octets: 4 at most are accepted", len(e))
	}
	exponent := 0
	for _, b := range e {
		exponent = exponent<<8 | int(b)
	}
	return Public(&rsa.PublicKey{N: new(big.Int).SetBytes(n), E: exponent})
}

func (m members) ec() (*Key, error) {
	if err := m.curve("P-256"); err != nil {
		return nil, err
	}
	x, err := m.bytes("x")
	if err != nil {
		return nil, err
	}
	y, err := m.bytes("y")
	if err != nil {
		return nil, err
	}
	if len(x) != 32 || len(y) != 32 { // RFC 7518 §6.2.1.2: leading zeros are kept
		return nil, errors.New("x and y have 32 octets each on P-256")
	}
	point, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, x, y))
	if err != nil {
		return nil, errors.New("x and y are not a point on P-256")
	}
	return Public(point)
}

func (m members) okp() (*Key, error) {
	if err := m.curve("Ed25519"); err != nil {
		return nil, err
	}
	x, err := m.bytes("x")
	if err != nil {
		return nil, err
	}
	if len(x) != ed25519.PublicKeySize {
		return nil, errors.New("x has 32 octets on Ed25519")
	}
	return Public(ed25519.PublicKey(x))
}

func (m members) curve(want string) error {
	crv, err := m.Required("crv")
	if err == nil && crv != want {
		err = fmt.Errorf("crv is %.64q: only %s is accepted with this kty", crv, want)
	}
	return err
}

// bytes reads a required member of base64url.
func (m members) bytes(name string) ([]byte, error) {
	s, err := m.Required(name)
	if err != nil {
		return nil, err
	}
	b, err := strict.Base64URL(s)
	if err != nil {
		return nil, fmt.Errorf("%s is %w", name, err)
	}
	return b, nil
}
