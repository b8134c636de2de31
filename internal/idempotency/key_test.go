package idempotency

import (
	"errors"
	"strings"
	"testing"
)

func TestParseKey(t *testing.T) {
	long := strings.Repeat("k", 255)
	for _, test := range []struct {
		name   string
		values []string
		want   string // "" with a value there: refused
	}{
		{"none", nil, ""},
		{"bare", []string{"8e03978e-40d5-43dd-bc93-6894a57f9324"}, "8e03978e-40d5-43dd-bc93-6894a57f9324"},
		{"in quotes", []string{`"8e03978e"`}, "8e03978e"},
		{"every visible character", []string{"!#$%&'()*+,-./:;<=>?@[]^_`{|}~"}, "!#$%&'()*+,-./:;<=>?@[]^_`{|}~"},
		{"a quote inside", []string{`a"b`}, `a"b`},
		{"an escaped quote", []string{`"a\"b"`}, `a"b`},
		{"an escaped backslash", []string{`"a\\"`}, `a\`},
		{"255 characters", []string{long}, long},
		{"255 characters in quotes", []string{`"` + long + `"`}, long},
		{"256 characters", []string{long + "k"}, ""},
		{"256 characters in quotes", []string{`"` + long + `k"`}, ""},
		{"empty", []string{""}, ""},
		{"empty in quotes", []string{`""`}, ""},
		{"a blank", []string{"a b"}, ""},
		{"a blank in quotes", []string{`"a b"`}, ""},
		{"a tab", []string{"a\tb"}, ""},
		{"a control", []string{"a\x01"}, ""},
		{"DEL", []string{"a\x7f"}, ""},
		{"not ASCII", []string{"schlüssel"}, ""},
		{"no end quote", []string{`"a`}, ""},
		{"a quote alone", []string{`"`}, ""},
		{"text behind the quotes", []string{`"a";p=1`}, ""},
		{"two strings", []string{`"a","b"`}, ""},
		{"another escape", []string{`"a\n"`}, ""},
		{"an escape at the end", []string{`"a\`}, ""},
		{"two headers", []string{"a", "b"}, ""},
		{"two equal headers", []string{"a", "a"}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			key, err := ParseKey(test.values)
			if refused := test.want == "" && len(test.values) > 0; key != test.want || errors.Is(err, ErrKey) != refused {
				t.Errorf("ParseKey = %q, %v; want %q, refused %t", key, err, test.want, refused)
			}
		})
	}
}

func FuzzParseKey(f *testing.F) {
	for _, s := range []string{"a", `"a"`, `"a\"b"`, `a"`, `"`, "a,b", " a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		key, err := ParseKey([]string{value})
		if err != nil {
			if key != "" {
				t.Errorf("%q is refused and gives %q", value, key)
			}
			return
		}
		if key == "" || len(key) > 255 || strings.Trim(key, visible) != "" {
			t.Errorf("%q gives %q", value, key)
		}
		// A key in quotes is the key that it is bare.
		quoted := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(key) + `"`
		if again, err := ParseKey([]string{quoted}); err != nil || again != key {
			t.Errorf("%s gives %q, %v; want %q", quoted, again, err, key)
		}
	})
}

const visible = "!\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~"
