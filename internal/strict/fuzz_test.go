package strict

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"
)

// FuzzBase64URL: a text is accepted if, and only if, encoding what a lax reader makes of it gives the same text.
func FuzzBase64URL(f *testing.F) {
	for _, s := range []string{"", "YQ", "YR", "YQ==", "Y\nQ", "Y Q", "Y+Q", "Y-_A", "Y", "YQ\r\n", "YWI", "YWJ", "YWJj", "YWJjZ", "=", "\u212a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		lax, laxErr := base64.RawURLEncoding.DecodeString(s)
		want := laxErr == nil && base64.RawURLEncoding.EncodeToString(lax) == s
		b, err := Base64URL(s)
		if (err == nil) != want || err == nil && !bytes.Equal(b, lax) {
			t.Errorf("%q: got %q (%v); a lax reader has %q (%v)", s, b, err, lax, laxErr)
		}
	})
}

// FuzzParseObject: a text is accepted if, and only if, Go's lax decoder reads it as one object, and it is UTF-8
// without lone surrogates or repeated names. What is accepted has the same members as there, of the same
// types, and says the same when it is written again.
func FuzzParseObject(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"a":"b","A":["c"]}`, `{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `{"a":{"b":1,"b":2}}`, "{\"\xff\":1}", `{"a":"\ud800"}`, `{"a":"\ud83d\ude00"}`, `{"a":"\\ud800"}`,
		`{"a":"\udc00\ud800"}`, `{"\ud800":1,"\ud801":2}`, `null`, `{}{}`, `{"a":01}`, `[{}]`, "\ufeff{}", ` {"a":[1,"b",null,true,{"c":[]}]} `, `{"a":["b","c"],"d":"e"}`, `{"a":"\ufffd"}`,
		strings.Repeat(`{"a":`, 50) + "1" + strings.Repeat("}", 50), `{"a":1e400}`, `{"":1,"":2}`, `{"a":"\/\b"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		o, err := ParseObject(text)
		var lax map[string]any
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		laxErr := d.Decode(&lax)
		if _, more := d.Token(); laxErr == nil && more != io.EOF {
			laxErr = errors.New("there is more")
		}
		want := laxErr == nil && lax != nil && utf8.Valid(text) && !hasLoneSurrogate(text) && !hasRepeatedName(text)
		if (err == nil) != want {
			t.Fatalf("%q: %v, want accept = %t (%v)", text, err, want, laxErr)
		}
		if err != nil {
			return
		}
		if len(lax) != len(o) {
			t.Fatalf("%q: %d names, Go reads %d", text, len(o), len(lax))
		}
		for name := range o {
			s, ok, err := o.String(name)
			if want, isString := lax[name].(string); ok != isString || isString != (err == nil) || s != want {
				t.Fatalf("%q: %q = %q (%v), Go reads %v", text, name, s, err, lax[name])
			}
			list, err := o.StringOrStrings(name)
			if want, ok := textsOf(lax[name]); ok != (err == nil) || strings.Join(want, "\x00") != strings.Join(list, "\x00") || len(want) != len(list) {
				t.Fatalf("%q: %q = %q (%v), Go reads %v", text, name, list, err, lax[name])
			}
		}
		again, err := json.Marshal(lax)
		if err != nil {
			t.Fatal(err)
		}
		if second, err := ParseObject(again); err != nil || len(second) != len(o) {
			t.Fatalf("%q, written again as %q: %v", text, again, err)
		}
	})
}

// textsOf returns a string, or an array of strings, as a list.
func textsOf(v any) (texts []string, ok bool) {
	switch v := v.(type) {
	case string:
		return []string{v}, true
	case []any:
		for _, element := range v {
			s, ok := element.(string)
			if !ok {
				return nil, false
			}
			texts = append(texts, s)
		}
		return texts, true
	}
	return nil, false
}

var escape = regexp.MustCompile(`\\(?:u([0-9A-Fa-f]{4})|.)`)

// hasLoneSurrogate reports whether JSON has an escape of one half of a pair without the other next to it.
func hasLoneSurrogate(text []byte) bool {
	high, end := rune(0), -1 // a first half that waits for its second, and where that must begin
	for _, m := range escape.FindAllSubmatchIndex(text, -1) {
		var unit rune
		if m[2] >= 0 {
			for _, c := range bytes.ToLower(text[m[2]:m[3]]) {
				unit = unit<<4 | rune(strings.IndexByte("0123456789abcdef", c))
			}
		}
		switch second := 0xdc00 <= unit && unit < 0xe000; {
		case high != 0:
			if m[0] != end || utf16.DecodeRune(high, unit) == utf8.RuneError {
				return true
			}
			high = 0
		case second:
			return true
		case utf16.IsSurrogate(unit):
			high, end = unit, m[1]
		}
	}
	return high != 0
}

// hasRepeatedName reports whether an object in valid JSON repeats a name.
func hasRepeatedName(text []byte) bool {
	d := json.NewDecoder(bytes.NewReader(text))
	var unique func() bool
	unique = func() bool {
		token, _ := d.Token()
		open, isDelim := token.(json.Delim)
		if !isDelim {
			return true
		}
		seen := map[any]bool{}
		for d.More() {
			if open == '{' {
				name, _ := d.Token()
				if seen[name] {
					return false
				}
				seen[name] = true
			}
			if !unique() {
				return false
			}
		}
		d.Token()
		return true
	}
	return !unique()
}
