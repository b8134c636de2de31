package strict

import (
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
