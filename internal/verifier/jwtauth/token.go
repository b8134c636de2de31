package jwtauth

import (
	"fmt"
	"strings"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/keyset"
	"github.com/passgate/passgate/internal/strict"
)

// token is a JWS in compact form (RFC 7515 §7.1), read but not verified: nothing in it is to be believed.
type token struct {
	signed    string // header and claims as they were signed
	signature []byte
	algorithm keyset.Algorithm
	keyID     string
	hasKeyID  bool
	issuer    string
	payload   []byte // the claims as they were written
	claims    strict.Object
}

// parse reads a token up to what selects its issuer and key. All work is bounded by the length, which is
// looked at first. Every error wraps [authz.ErrCredentialInvalid].
func (v *Verifier) parse(compact string) (*token, error) {
	if len(compact) > v.maxBytes {
		return nil, fmt.Errorf("%w: the token has %d bytes: %d at most are read", authz.ErrCredentialInvalid, len(compact), v.maxBytes)
	}
	t, err := parse(compact)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", authz.ErrCredentialInvalid, err)
	}
	return t, nil
}

func parse(compact string) (*token, error) {
	parts, err := decode(compact)
	if err != nil {
		return nil, err
	}
	header, err := strict.ParseObject(parts[0])
	if err != nil {
		return nil, fmt.Errorf("the header is %w", err)
	}
	t := newToken(compact, parts)
	if err := t.readHeader(header); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	if t.claims, err = strict.ParseObject(parts[1]); err != nil {
		return nil, fmt.Errorf("the claims are %w", err)
	}
	t.issuer, err = t.claims.Required("iss")
	return t, err
}

func newToken(compact string, parts [3][]byte) *token {
	return &token{signed: compact[:strings.LastIndexByte(compact, '.')], payload: parts[1], signature: parts[2]}
}

// String returns what selects the issuer and the key, as the token says it.
func (t *token) String() string {
	kid := "no kid"
	if t.hasKeyID {
		kid = fmt.Sprintf("kid %.64q", t.keyID)
	}
	return fmt.Sprintf("iss %.64q, alg %.64q, %s", t.issuer, t.algorithm, kid)
}

// decode returns header, claims and signature of a token as bytes.
func decode(compact string) (parts [3][]byte, err error) {
	if n := strings.Count(compact, "."); n != 2 {
		return parts, fmt.Errorf("the token has %d dots, not 2", n)
	}
	i := 0
	for part := range strings.SplitSeq(compact, ".") {
		if parts[i], err = strict.Base64URL(part); err != nil {
			return parts, fmt.Errorf("part %d of the token is %w", i+1, err)
		}
		i++
	}
	return parts, nil
}

// refused are header parameters that change what a token means (RFC 7515 §4.1.10 and §4.1.11, RFC 7797,
// RFC 7516 §4.1). A reader that ignores one judges another token than its signer wrote.
var refused = [...]string{"crit", "b64", "zip", "enc", "cty"}

// readHeader reads what selects the key. All other parameters are ignored: jwk, jku, x5u and x5c among them,
// which would let the token bring its own key.
func (t *token) readHeader(header strict.Object) error {
	for _, name := range refused {
		if _, ok := header[name]; ok {
			return fmt.Errorf("%s is not accepted", name)
		}
	}
	alg, err := header.Required("alg")
	if err != nil {
		return err
	}
	t.algorithm = keyset.Algorithm(alg)
	if t.keyID, t.hasKeyID, err = header.String("kid"); err != nil {
		return err
	}
	typ, ok, err := header.String("typ")
	if err != nil {
		return err
	}
	// RFC 8725 §3.11: a token made for another purpose must not pass for an access token.
	if ok && !strings.EqualFold(typ, "JWT") && !strings.EqualFold(typ, "at+jwt") && !strings.EqualFold(typ, "application/at+jwt") {
		return fmt.Errorf("typ is %.64q, not that of an access token", typ)
	}
	return nil
}
