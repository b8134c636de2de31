// Package strict reads the two encodings that tokens and keys are written in, JSON objects and base64url,
// and refuses what two readers could take for different things: repeated names, text that is not UTF-8, lone
// surrogates, stray bytes, unused bits. Names are compared byte by byte.
package strict

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Base64URL decodes base64url without padding (RFC 7515 §2). One value has one spelling.
func Base64URL(s string) ([]byte, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	// Go's decoder skips line breaks even when it is strict, so that a token could be altered and still
	// verify.
	if err != nil || strings.ContainsAny(s, "\r\n") {
		return nil, errors.New("not base64url without padding")
	}
	return b, nil
}

// Object is a JSON object with unique names, which are compared byte by byte.
type Object map[string]jsontext.Value

// ParseObject reads text that is one JSON object in UTF-8 and nothing else (RFC 8259). Its errors name no
// content, which may be secret.
func ParseObject(text []byte) (Object, error) {
	var o Object
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

// Required returns a member that has to be there and a string.
func (o Object) Required(name string) (string, error) {
	s, ok, err := o.String(name)
	if err == nil && !ok {
		err = fmt.Errorf("%.64q is missing", name)
	}
	return s, err
}

// String returns a member that is a string, if it is there.
func (o Object) String(name string) (s string, ok bool, err error) {
	v, ok := o[name]
	if !ok {
		return "", false, nil
	}
	if s, err = Unquote(v); err != nil {
		return "", false, fmt.Errorf("%.64q is not a string", name)
	}
	return s, true, nil
}

// Strings returns a member that is an array of strings, or nil if it is not there.
func (o Object) Strings(name string) ([]string, error) {
	v, ok := o[name]
	if !ok {
		return nil, nil
	}
	wrong := fmt.Errorf("%.64q is not an array of strings", name)
	var values []jsontext.Value
	if v.Kind() != '[' || json.Unmarshal(v, &values) != nil {
		return nil, wrong
	}
	list := make([]string, len(values))
	for i, v := range values {
		var err error
		if list[i], err = Unquote(v); err != nil {
			return nil, wrong
		}
	}
	return list, nil
}

// StringOrStrings is [Object.Strings] for a member that may be one string, too.
func (o Object) StringOrStrings(name string) ([]string, error) {
	if o[name].Kind() == '"' {
		s, err := o.Required(name)
		return []string{s}, err
	}
	return o.Strings(name)
}

// Unquote returns what a JSON string says; of any other value it is an error.
func Unquote(v jsontext.Value) (string, error) {
	b, err := jsontext.AppendUnquote(nil, v)
	return string(b), err
}
