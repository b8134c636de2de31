package strict

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func TestParseObjectRefuses(t *testing.T) {
	tests := []struct{ name, text string }{
		{"nothing", ""},
		{"null", "null"},
		{"array", "[]"},
		{"string", `"a"`},
		{"repeated name", `{"a":1,"a":1}`},
		{"repeated name, written in two ways", `{"a":1,"\u0061":1}`},
		{"repeated name inside", `{"a":{"b":1,"b":1}}`},
		{"trailing data", `{}{}`},
		{"trailing comma", `{"a":1,}`},
		{"comment", `{}//`},
		{"byte order mark", "\ufeff{}"},
		{"not UTF-8", "{\"a\":\"\xff\"}"},
		{"lone surrogate", `{"a":"\ud800"}`},
		{"raw control byte", "{\"a\":\"\n\"}"},
		{"leading zero", `{"a":01}`},
		{"NaN", `{"a":NaN}`},
		{"too deep", `{"a":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if o, err := ParseObject([]byte(tt.text)); err == nil {
				t.Errorf("accepted as %v", o)
			} else if strings.Contains(err.Error(), `"a"`) {
				t.Errorf("the error shows content: %v", err)
			}
		})
	}
}

func TestMembers(t *testing.T) {
	o, err := ParseObject([]byte(`{"s":"x\u00e9","e":"","n":1,"z":null,"l":["a","b"],"m":["a",1],"none":[],"S":"other"}`))
	if err != nil {
		t.Fatal(err)
	}
	if s, err := o.Required("s"); s != "xé" || err != nil {
		t.Errorf("s = %q, %v", s, err)
	}
	if s, ok, err := o.String("e"); s != "" || !ok || err != nil {
		t.Errorf("e = %q, %v, %v", s, ok, err)
	}
	if _, ok, err := o.String("absent"); ok || err != nil {
		t.Errorf("absent = %v, %v", ok, err)
	}
	for _, name := range []string{"absent", "n", "z", "l"} {
		if s, err := o.Required(name); err == nil {
			t.Errorf("Required(%s) = %q", name, s)
		}
	}
	if l, err := o.Strings("l"); !slices.Equal(l, []string{"a", "b"}) || err != nil {
		t.Errorf("l = %q, %v", l, err)
	}
	if l, err := o.Strings("none"); l == nil || len(l) != 0 || err != nil {
		t.Errorf("none = %#v, %v", l, err)
	}
	if l, err := o.Strings("absent"); l != nil || err != nil {
		t.Errorf("absent = %#v, %v", l, err)
	}
	for _, name := range []string{"s", "m", "n", "z"} {
		if l, err := o.Strings(name); err == nil {
			t.Errorf("Strings(%s) = %q", name, l)
		}
	}
	if l, err := o.StringOrStrings("s"); !slices.Equal(l, []string{"xé"}) || err != nil {
		t.Errorf("s = %q, %v", l, err)
	}
	if l, err := o.StringOrStrings("z"); err == nil {
		t.Errorf("z = %q", l)
	}
}

// What is accepted has one spelling: encoding it again gives the same text.
func FuzzBase64URL(f *testing.F) {
	for _, s := range []string{"", "YQ", "YR", "YQ==", "Y\nQ", "Y Q", "Y+Q", "Y-_A"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if b, err := Base64URL(s); err == nil && base64.RawURLEncoding.EncodeToString(b) != s {
			t.Errorf("%q was accepted as %q", s, b)
		}
	})
}

// What is accepted is what Go's lax decoder reads too, name by name.
func FuzzParseObject(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":"b","A":["c"]}`, `{"a":1,"a":2}`, "{\"\xff\":1}", `{"a":"\ud800"}`, `null`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		o, err := ParseObject(text)
		if err != nil {
			return
		}
		var lax map[string]any
		if err := json.Unmarshal(text, &lax); err != nil || len(lax) != len(o) {
			t.Fatalf("%q: %d names, Go reads %d (%v)", text, len(o), len(lax), err)
		}
		for name := range o {
			s, ok, err := o.String(name)
			if want, isString := lax[name].(string); ok != isString || isString != (err == nil) || s != want {
				t.Fatalf("%q: %q = %q (%v), Go reads %v", text, name, s, err, lax[name])
			}
		}
	})
}
