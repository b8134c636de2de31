package jwtauth

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/keyset"
)

// token is a JWS in compact form (RFC 7515 §7.1), read but not verified: nothing in it is to be believed.
type token struct {
	signed    string // header and claims as they were signed
	signature []byte
	algorithm keyset.Algorithm
	keyID     string
	hasKeyID  bool
	issuer    string
	claims    object
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
	header, err := parseObject(parts[0])
	if err != nil {
		return nil, fmt.Errorf("the header is %w", err)
	}
	t := newToken(compact, parts)
	if err := t.readHeader(header); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	if t.claims, err = parseObject(parts[1]); err != nil {
		return nil, fmt.Errorf("the claims are %w", err)
	}
	t.issuer, err = t.claims.required("iss")
	return t, err
}

func newToken(compact string, parts [3][]byte) *token {
	return &token{signed: compact[:strings.LastIndexByte(compact, '.')], signature: parts[2]}
}

// decode returns header, claims and signature of a token as bytes.
func decode(compact string) (parts [3][]byte, err error) {
	if n := strings.Count(compact, "."); n != 2 {
		return parts, fmt.Errorf("the token has %d dots, not 2", n)
	}
	i := 0
	for part := range strings.SplitSeq(compact, ".") {
		// Go's decoder skips line breaks even when it is strict, so that a token could be altered and still
		// verify.
		b, err := base64.RawURLEncoding.Strict().DecodeString(part)
		if err != nil || strings.ContainsAny(part, "\r\n") {
			return parts, fmt.Errorf("part %d of the token is not base64url without padding", i+1)
		}
		parts[i] = b
		i++
	}
	return parts, nil
}

// refused are header parameters that change what a token means (RFC 7515 §4.1.10 and §4.1.11, RFC 7797,
// RFC 7516 §4.1). A reader that ignores one judges another token than its signer wrote.
var refused = [...]string{"crit", "b64", "zip", "enc", "cty"}

// readHeader reads what selects the key. All other parameters are ignored: jwk, jku, x5u and x5c among them,
// which would let the token bring its own key.
func (t *token) readHeader(header object) error {
	for _, name := range refused {
		if _, ok := header[name]; ok {
			return fmt.Errorf("%s is not accepted", name)
		}
	}
	alg, err := header.required("alg")
	if err != nil {
		return err
	}
	t.algorithm = keyset.Algorithm(alg)
	if t.keyID, t.hasKeyID, err = header.text("kid"); err != nil {
		return err
	}
	typ, ok, err := header.text("typ")
	if err != nil {
		return err
	}
	// RFC 8725 §3.11: a token made for another purpose must not pass for an access token.
	if ok && !strings.EqualFold(typ, "JWT") && !strings.EqualFold(typ, "at+jwt") && !strings.EqualFold(typ, "application/at+jwt") {
		return fmt.Errorf("typ is %.64q, not that of an access token", typ)
	}
	return nil
}

// object is a JSON object with unique names, which are compared byte by byte.
type object map[string]jsontext.Value

// parseObject reads text that is one JSON object in UTF-8 and nothing else. Its errors name no content.
func parseObject(text []byte) (object, error) {
	var o object
	err := json.Unmarshal(text, &o)
	if errors.Is(err, jsontext.ErrDuplicateName) {
		return nil, errors.New("not strict JSON: a name is repeated")
	}
	if s := (*jsontext.SyntacticError)(nil); errors.As(err, &s) {
		return nil, fmt.Errorf("not strict JSON at byte %d", s.ByteOffset)
	}
	if err != nil || o == nil { // o is nil after null
		return nil, errors.New("not a JSON object")
	}
	return o, nil
}

func (o object) required(name string) (string, error) {
	s, ok, err := o.text(name)
	if err == nil && !ok {
		err = fmt.Errorf("%.64q is missing", name)
	}
	return s, err
}

// text returns a member that is a string, if it is there.
func (o object) text(name string) (s string, ok bool, err error) {
	v, ok := o[name]
	if !ok {
		return "", false, nil
	}
	if s, err = unquote(v); err != nil {
		return "", false, fmt.Errorf("%.64q is not a string", name)
	}
	return s, true, nil
}

// list returns a member that is an array of strings or, where single is set, one string.
func (o object) list(name string, single bool) ([]string, error) {
	v, ok := o[name]
	if !ok {
		return nil, nil
	}
	if single && v.Kind() == '"' {
		s, err := unquote(v)
		return []string{s}, err
	}
	wrong := fmt.Errorf("%.64q is not an array of strings", name)
	var values []jsontext.Value
	if v.Kind() != '[' || json.Unmarshal(v, &values) != nil {
		return nil, wrong
	}
	list := make([]string, len(values))
	for i, v := range values {
		var err error
		if list[i], err = unquote(v); err != nil {
			return nil, wrong
		}
	}
	return list, nil
}

// unquote returns what a JSON string says; of any other value it is an error.
func unquote(v jsontext.Value) (string, error) {
	b, err := jsontext.AppendUnquote(nil, v)
	return string(b), err
}
