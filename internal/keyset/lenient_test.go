package keyset

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/passgate/passgate/internal/strict"
)

// setOf returns the JWKS of these keys, each a JWK or any other JSON.
func setOf(keys ...[]byte) []byte {
	return slices.Concat([]byte(`{"keys":[`), bytes.Join(keys, []byte(",")), []byte("]}"))
}

func printed[T fmt.Stringer](list []T) string {
	var text []string
	for _, v := range list {
		text = append(text, v.String())
	}
	return strings.Join(text, ", ")
}

func TestParseRemoteDropsOnlyTheBadKey(t *testing.T) {
	for name, bad := range map[string][]byte{
		"unknown type":              with("RSA", "kty", "PQC"),
		"no type":                   with("RSA", "kty", nil),
		"type in other case":        with("RSA", "kty", "rsa"),
		"use for encryption":        with("RSA", "use", "enc"),
		"key_ops without verify":    with("EC", "key_ops", []string{"encrypt"}),
		"another algorithm":         with("RSA", "alg", "RS512"),
		"algorithm of a secret":     with("RSA", "alg", "HS256"),
		"modulus too short":         with("RSA", "n", modulus(1024)),
		"modulus too long":          with("RSA", "n", modulus(16384)),
		"exponent 3":                with("RSA", "e", "Aw"),
		"exponent 1":                with("RSA", "e", "AQ"),
		"private RSA key":           with("RSA", "d", "AAAA"),
		"private EC key":            with("EC", "d", "AAAA"),
		"private Ed25519 key":       with("OKP", "d", "AAAA"),
		"secret in a public key":    with("OKP", "k", "AAAA"),
		"shared secret":             with("oct"),
		"shared secret with a name": with("oct", "kid", "s", "alg", "HS256"),
		"shared secret, too short":  with("oct", "k", "AAAA"),
		"point off the curve":       with("EC", "x", b64(bytes.Repeat([]byte{1}, 32))),
		"other curve":               with("EC", "crv", "P-384"),
		"curve of key agreement":    with("OKP", "crv", "X25519"),
		"padding":                   with("OKP", "x", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
		"kid that is a number":      with("OKP", "kid", 7),
		"kid that is null":          []byte(`{"kty":"OKP","crv":"Ed25519","x":"AA","kid":null}`),
		"kid empty":                 with("OKP", "kid", ""),
		"kid of a key before":       with("OKP", "kid", "first"),
		"a set in the set":          setOf(with("OKP")),
		"a key that is a set too":   with("OKP", "keys", []jwk{publicJWK("OKP")}),
		"a string":                  []byte(`"key"`),
		"a number":                  []byte(`1`),
		"null":                      []byte(`null`),
		"an array":                  []byte(`[]`),
		"an empty object":           []byte(`{}`),
	} {
		t.Run(name, func(t *testing.T) {
			keys, dropped, err := ParseRemote(setOf(with("EC", "kid", "first"), bad, with("RSA", "kid", "last")))
			if got := printed(keys); err != nil || got != `ES256 key "first", RS256 key "last"` {
				t.Errorf("got %s, %v", got, err)
			}
			if len(dropped) != 1 || !strings.HasPrefix(dropped[0].Error(), "keys[1]: ") {
				t.Errorf("dropped: %v", dropped)
			}
		})
	}
}

func TestParseRemoteAccepts(t *testing.T) {
	many := make([][]byte, maxRemoteKeys)
	for i := range many {
		many[i] = with("OKP", "kid", fmt.Sprint(i))
	}
	for _, test := range []struct {
		name string
		text []byte
		keys int
	}{
		{"a key of each type", setOf(with("RSA"), with("EC"), with("OKP")), 3},
		{"keys without kid of one algorithm", setOf(with("OKP"), with("OKP")), 2},
		{"unknown members", []byte(`{"x":{"kty":"oct"},"Keys":7,"keys":[` + string(with("EC", "x5u", "https://keys.example", "exp", 1)) + `]}`), 1},
		{"white space", slices.Concat([]byte(" \r\n\t"), setOf(with("EC")), []byte("\n")), 1},
		{"as many keys as are looked at", setOf(many...), maxRemoteKeys},
		{"no key", setOf(), 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			keys, dropped, err := ParseRemote(test.text)
			if err != nil || len(dropped) != 0 || len(keys) != test.keys {
				t.Errorf("got %s, %v, %v", printed(keys), dropped, err)
			}
		})
	}
}

// TestParseRemoteKeepsAFirstName: only a usable key takes a kid for itself.
func TestParseRemoteKeepsAFirstName(t *testing.T) {
	keys, dropped, err := ParseRemote(setOf(with("oct", "kid", "a"), with("RSA", "kid", "a", "use", "enc"), with("EC", "kid", "a"), with("OKP", "kid", "a")))
	if got := printed(keys); err != nil || got != `ES256 key "a"` || len(dropped) != 3 {
		t.Errorf("got %s, %v, %v", got, dropped, err)
	}
}

func TestParseRemoteRefuses(t *testing.T) {
	var tooMany [][]byte
	for range maxRemoteKeys + 1 {
		tooMany = append(tooMany, []byte("1"))
	}
	good := string(with("EC"))
	for name, text := range map[string]string{
		"nothing":                       "",
		"white space":                   " \n",
		"HTML":                          "<!DOCTYPE html><title>Sign in</title>",
		"PEM":                           string(publicPEM(material().ed.Public())),
		"a lone JWK":                    good,
		"a JWK with keys":               string(with("EC", "keys", []jwk{publicJWK("EC")})),
		"an array of keys":              "[" + good + "]",
		"null":                          "null",
		"keys in other case":            `{"Keys":[` + good + `]}`,
		"keys null":                     `{"keys":null}`,
		"keys an object":                `{"keys":{"0":` + good + `}}`,
		"keys a string":                 `{"keys":"x"}`,
		"keys twice":                    `{"keys":[` + good + `],"keys":[]}`,
		"a name repeated in a key":      `{"keys":[` + good + `,{"kty":"OKP","kty":"EC"}]}`,
		"a name repeated elsewhere":     `{"keys":[` + good + `],"x":{"a":1,"a":2}}`,
		"cut short":                     `{"keys":[` + good + `]`,
		"cut short in a key":            `{"keys":[` + good[:len(good)-2],
		"something after it":            `{"keys":[` + good + `]} {}`,
		"a byte order mark":             "\uFEFF" + `{"keys":[` + good + `]}`,
		"not UTF-8":                     `{"keys":[` + good + `],"x":"` + "\xff" + `"}`,
		"a lone surrogate":              `{"keys":[` + good + `],"x":"\ud83d"}`,
		"a comma too many":              `{"keys":[` + good + `,]}`,
		"a comment":                     `{"keys":[` + good + `] /* x */}`,
		"more keys than are looked at":  string(setOf(tooMany...)),
		"nested deeper than any reader": strings.Repeat("[", 20000),
	} {
		t.Run(name, func(t *testing.T) {
			if keys, dropped, err := ParseRemote([]byte(text)); err == nil || keys != nil || dropped != nil {
				t.Errorf("got %s, %v, %v", printed(keys), dropped, err)
			}
		})
	}
}

func TestParseRemoteQuotesNoMaterial(t *testing.T) {
	const secret = "test-secret-not-for-production-0"
	text := setOf(
		with("oct", "k", b64([]byte(secret))), with("oct", "k", secret[:8]), with("RSA", "d", secret), with("EC", "y", secret),
		with("OKP", "x", secret+"="), with("RSA", "n", secret, "x5c", secret), with("RSA", "note", secret, "use", strings.Repeat("u", 10000)),
	)
	_, dropped, err := ParseRemote(text)
	if err != nil || len(dropped) != 7 {
		t.Fatalf("dropped %v, %v", dropped, err)
	}
	for _, reason := range dropped {
		if s := reason.Error(); strings.Contains(s, secret[:8]) || strings.Contains(s, b64([]byte(secret))) || len(s) > 200 {
			t.Errorf("it says %s", s)
		}
	}
}

// FuzzParseRemote holds what is read of a set against Parse of each of its keys alone: what Parse refuses is
// dropped, and so is a shared secret, and a kid that was there before; nothing else is.
func FuzzParseRemote(f *testing.F) {
	f.Add(setOf(with("RSA"), with("EC", "kid", "a"), with("OKP", "kid", "a"), with("oct")))
	f.Add(setOf(with("RSA", "d", "AAAA"), with("EC", "use", "enc"), with("OKP", "keys", []int{}), []byte("null"), []byte("1")))
	f.Add(setOf(with("RSA", "e", "Aw"), with("oct", "kid", "a"), with("OKP", "kid", "a"), setOf(with("EC"))))
	f.Add(with("EC"))
	f.Add([]byte(`{"keys":[],"keys":[]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, dropped, err := ParseRemote(text)
		if err != nil {
			if keys != nil || dropped != nil {
				t.Errorf("%v and %v beside the error %v", keys, dropped, err)
			}
			return
		}
		if _, err := strict.ParseObject(text); err != nil {
			t.Errorf("accepted, and not strict JSON: %v", err)
		}
		var object map[string]json.RawMessage // its names are exact, those of a struct are not
		var list []json.RawMessage
		if json.Unmarshal(text, &object) != nil || json.Unmarshal(object["keys"], &list) != nil {
			t.Fatal("accepted, but no JWKS to the standard library")
		}
		if len(list) > 100 || len(keys)+len(dropped) != len(list) {
			t.Errorf("%d keys and %d dropped of %d", len(keys), len(dropped), len(list))
		}
		seen := make(map[string]bool)
		for i, value := range list {
			alone, err := Parse(value)
			fit := err == nil && len(alone) == 1 && alone[0].Algorithm != HS256 && !seen[alone[0].ID] && !isSet(value)
			if !fit {
				if len(dropped) == 0 || !strings.HasPrefix(dropped[0].Error(), fmt.Sprintf("keys[%d]: ", i)) || errors.Unwrap(dropped[0]) == nil {
					t.Fatalf("key %d, %s, is not dropped", i, value)
				}
				dropped = dropped[1:]
				continue
			}
			if len(keys) == 0 || keys[0].ID != alone[0].ID || keys[0].Algorithm != alone[0].Algorithm || keys[0].sign != nil || keys[0].derive != nil {
				t.Fatalf("key %d, %s, became %v", i, value, keys)
			}
			verifiesOwnAlone(t, keys[0])
			seen[keys[0].ID] = keys[0].ID != ""
			keys = keys[1:]
		}
	})
}

// isSet reports whether a value in a set is a set itself.
func isSet(value []byte) bool {
	var object map[string]json.RawMessage
	return json.Unmarshal(value, &object) == nil && object["keys"] != nil
}
