package yamlstrict

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

type sample struct {
	Name      string            `yaml:"name"`
	On        bool              `yaml:"on"`
	Count     int               `yaml:"count"`
	Small     int8              `yaml:"small"`
	Wait      time.Duration     `yaml:"wait"`
	Size      Size              `yaml:"size"`
	Level     string            `yaml:"level" oneof:"low|high"`
	Words     []string          `yaml:"words" word:"any"`
	Headers   map[string]string `yaml:"headers"`
	Free      any               `yaml:"free"`
	FreeMap   map[string]any    `yaml:"free_map"`
	Items     []item            `yaml:"items"`
	Address   string            `yaml:"address" plain:"true" want:"host:port"`
	Sorts     []string          `yaml:"sorts" oneof:"one|two" nonempty:"true"`
	Untouched string
}

type item struct {
	Name string `yaml:"name" required:"true"`
	Kind string `yaml:"kind"`
}

func (i *item) SetDefaults() { i.Kind = "plain" }

func TestValuesOfEveryKindAreRead(t *testing.T) {
	var got sample
	doc := Read("f.yaml", []byte(`
name: a
on: true
count: -3
wait: 1m30s
size: 8KiB
level: high
words: [x, "1"]
headers: {a: "b", c: ""}
free: {a: [1, 2.5, true, null, text, "5", 2024-01-01], b: {}}
free_map: {token: ""}
items:
  - name: one
  - {name: two, kind: other}
`), nil, &got)
	if err := doc.Err(); err != nil {
		t.Fatal(err)
	}
	want := sample{
		Name: "a", On: true, Count: -3, Wait: 90 * time.Second, Size: 8192, Level: "high",
		Words: []string{"x", "1"}, Headers: map[string]string{"a": "b", "c": ""},
		Free: map[string]any{
			"a": []any{int64(1), 2.5, true, nil, "text", "5", "2024-01-01"},
			"b": map[string]any{},
		},
		FreeMap: map[string]any{"token": ""},
		Items:   []item{{"one", "plain"}, {"two", "other"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for field, want := range map[string]Pos{"": {2, 1}, "items[0]": {13, 5}, "items[1]": {14, 5}, "items[1].kind": {14, 23}, "items[0].kind": {13, 5}} {
		if pos := doc.Pos(field); pos != want {
			t.Errorf("%q stands at %v, want %v", field, pos, want)
		}
	}
}

func TestFaultsNameFieldAndPlace(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"two faults, in order", "wait: 5\nname: 7\n", "f.yaml:1:7: wait: want a duration with its unit, such as 0s, 500ms or 1m30s\nf.yaml:2:7: name: want text; put what reads as a number, a date, true or false in quotes"},
		{"number too large", "small: 200", "f.yaml:1:8: small: want a whole number"},
		{"number in another base", "count: 0x10", "f.yaml:1:8: count: want a whole number"},
		{"not a finite number", "free: [.inf]", "f.yaml:1:8: free[0]: want a number as JSON has it, or text in quotes"},
		{"size beyond any", "size: 99999999999GiB", "f.yaml:1:7: size: want a size such as 8KiB, 1MiB or a plain number of bytes"},
		{"a word in another case", "level: High", "f.yaml:1:8: level: want low or high; did you mean high?"},
		{"two letters exchanged", "level: hihg", "f.yaml:1:8: level: want low or high; did you mean high?"},
		{"a word that is near none", "level: " + strings.Repeat("x", 5000), "f.yaml:1:8: level: want low or high"},
		{"one word for a list", "sorts: one", "f.yaml:1:8: sorts: want a list of one or two, such as [one]; did you mean [one]?"},
		{"an empty list", "sorts: []", "f.yaml:1:8: sorts: an empty list: want a list of one or two, such as [one], or leave the field out"},
		{"an empty entry", "sorts: [one, '']", "f.yaml:1:14: sorts[1]: is empty; want one or two, or take the entry out"},
		{"negative duration", "wait: -5s", "f.yaml:1:7: wait: want a duration with its unit, such as 0s, 500ms or 1m30s, and not a negative one"},
		{"no blank after the colon", "items:\n  - name:a", "f.yaml:2:5: items[0]: want a mapping, such as {name: …}; write a blank after the colon"},
		{"no blank after the colon, in braces", "items: [{name:a}]", "f.yaml:1:9: items[0].name: is missing; want text\nf.yaml:1:10: items[0]: a key without a value; write a blank after the colon"},
		{"half a value, in braces", "free: 1\nitems: [{name: a,b}]", "f.yaml:2:18: items[0]: a key without a value; put values that hold a comma in quotes"},
		{"required and empty", "items: [{name: ''}]", "f.yaml:1:16: items[0].name: is empty; want text"},
		{"mapping for a text", "address: {a: b}", "f.yaml:1:10: address: want host:port"},
		{"mapping for a list", "items: {a: b}", "f.yaml:1:8: items: want a list, each entry on a line that begins with -"},
		{"unknown key near none", "items: [{name: a, database: b}]", "f.yaml:1:19: items[0].database: unknown key; the keys here are name, kind"},
		{"unknown key", "lvel: low", "f.yaml:1:1: lvel: unknown key; did you mean level?"},
		{"key too long", strings.Repeat("k", 300) + ": a", "f.yaml:1:1: a key has 1 to 256 characters"},
		{"control character", "name: a\x01", "f.yaml:1:8: a control character stands here: take it out, or write it as an escape such as \"\\x1f\" in double quotes"},
		{"not UTF-8", "name: ü\xff", "f.yaml:1:8: this is not text in UTF-8: save the file as UTF-8"},
		{"two documents", "name: a\n---\nname: b\n", "f.yaml:2:1: a second document starts here: put all in one, without a line ---"},
		{"nothing", "# nothing\n", "f.yaml:1:1: the file is empty; want a mapping, such as {name: …}"},
		{"another word", "words: all", "f.yaml:1:8: words: want the word any, or a list of texts such as [a, b]"},
		{"missing in a list", "items:\n  - kind: x", "f.yaml:2:5: items[0].name: is missing; want text"},
		{"free number", "free: {a: [0x10]}", "f.yaml:1:12: free.a[0]: want a whole number of 64 bits in decimal digits, or text in quotes"},
		{"free repeated key", "free: {a: 1, a: 2}", "f.yaml:1:14: free.a: stands here again, after line 1; take one of them out"},
		{"free key of another type", "free: {1: 2}", "f.yaml:1:8: free: want text for a key: put other words, such as numbers, true or null, in quotes"},
		{"free merge key", "free: {<<: {a: 1}}", "f.yaml:1:8: free: merge keys << are not read here: write the fields out"},
		{"free tag", "free: !!int 5", "f.yaml:1:7: free: tags such as !!str are not read here: leave it out"},
		{"too deep", "free: " + strings.Repeat("[", 80) + strings.Repeat("]", 80), "values are nested more than 64 deep"},
		{"anchor in itself", "free: &a {b: *a}", "values are nested more than 64 deep"},
		{"many anchors", bomb(), "the anchors of the file stand for more than 32768 values: write less by them"},
		{"too large", "name: " + strings.Repeat("x", MaxBytes), "f.yaml:1:1: the file is larger than 4 MiB"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var into sample
			err := Read("f.yaml", []byte(test.text), nil, &into).Err()
			var faults Faults
			if !errors.As(err, &faults) || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("Err = %.300v\nwant %s", err, test.want)
			}
			if strings.HasPrefix(test.want, "f.yaml") && err.Error() != test.want {
				t.Errorf("Err = %v\nwant %s", err, test.want)
			}
		})
	}
}

// bomb is a file that is small until its anchors are followed.
func bomb() string {
	var b strings.Builder
	b.WriteString("free:\n  - &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := range 9 {
		fmt.Fprintf(&b, "  - &a%d [%s*a%d]\n", i+1, strings.Repeat(fmt.Sprintf("*a%d, ", i), 9), i)
	}
	return b.String()
}

func TestVariablesBecomeValuesAndNeverYAML(t *testing.T) {
	env := func(name string) (string, bool) {
		value, ok := map[string]string{"ON": "true", "N": "12", "WAIT": "3s", "SIZE": "1MiB", "TEXT": "a: [b] # c\n", "EMPTY": "", "NESTED": "${N}"}[name]
		return value, ok
	}
	var got sample
	doc := Read("f.yaml", []byte(`
name: x${TEXT}y
on: ${ON}
count: ${N}
wait: "${WAIT}"
size: ${NONE:-2KiB}
level: ${EMPTY}
words: ["${NESTED}", "$${N}", "$N", "${EMPTY:-d}", "${NONE:-}${N}"]
free: ["${N}", "${EMPTY}"]
headers: ${EMPTY}
`), env, &got)
	if err := doc.Err(); err != nil {
		t.Fatal(err)
	}
	want := sample{
		Name: "xa: [b] # c\ny", On: true, Count: 12, Wait: 3 * time.Second, Size: 2048,
		Words: []string{"${N}", "${N}", "$N", "d", "12"}, Free: []any{"12", ""},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if doc.Has("level") || doc.Has("headers") || !doc.Has("name") {
		t.Error("a field left empty is not as good as absent")
	}
}

func TestFaultsNameTheVariables(t *testing.T) {
	env := func(name string) (string, bool) {
		return map[string]string{"WORD": "hihg", "BYTES": "\xff"}[name], name != "UNSET"
	}
	for text, want := range map[string]string{
		"level: ${WORD}":                          "f:1:8: level: want low or high; did you mean high? (the value is that of ${WORD})",
		"level: ${EMPTY}${WORD}":                  "f:1:8: level: want low or high; did you mean high? (the value is that of ${EMPTY} and ${WORD})",
		"items: [{name: \"${EMPTY}\"}]":           "f:1:16: items[0].name: is empty; want text (${EMPTY} is empty)",
		"items: [{name: \"${UNSET:-}\"}]":         "f:1:16: items[0].name: is empty; want text (${UNSET} is empty)",
		"items: [{name: \"${EMPTY}${UNSET:-}\"}]": "f:1:16: items[0].name: is empty; want text (${EMPTY} and ${UNSET} are empty)",
		"level: ${UNSET:-x}":                      "f:1:8: level: want low or high",
		"level: ${UNSET}":                         "f:1:8: level: the environment variable UNSET is not set; set it, or write ${UNSET:-default}",
		"level: ${BYTES}":                         "f:1:8: level: the environment variable BYTES is not text in UTF-8",
		"level: ${a b}":                           "f:1:8: level: write ${NAME} or ${NAME:-default} to read the environment, $${ for these characters themselves",
		"\"${KEY}\": a":                           "f:1:1: the environment is read in values only: write the key out",
	} {
		var into sample
		if err := Read("f", []byte(text), env, &into).Err(); fmt.Sprint(err) != want {
			t.Errorf("%s: %v\nwant %s", text, err, want)
		}
	}
}

func TestPlainTextNeedsNoQuotes(t *testing.T) {
	for text, want := range map[string]string{"address: 9191": "9191", "address: true": "true", "address: 1.5": "1.5", "address: \"x\"": "x"} {
		var got sample
		if err := Read("f", []byte(text), nil, &got).Err(); err != nil || got.Address != want {
			t.Errorf("%s: %q, %v", text, got.Address, err)
		}
	}
}

func TestWithoutEnvironmentNothingIsReplaced(t *testing.T) {
	var got sample
	if err := Read("f.yaml", []byte("name: ${N}\n"), nil, &got).Err(); err != nil || got.Name != "${N}" {
		t.Errorf("Read = %q, %v", got.Name, err)
	}
}

func TestFaultsOfTheReaderStandBesideItsOwn(t *testing.T) {
	var got sample
	doc := Read("f.yaml", []byte("items:\n  - name: a\n    kind: 5\n"), nil, &got)
	doc.Fault("items[0].kind", "said already")
	doc.Fault("items[0].other", "is missing")
	doc.Fault("items[0].name", "is %s", "bad")
	want := `f.yaml:2:5: items[0].other: is missing
f.yaml:2:11: items[0].name: is bad
f.yaml:3:11: items[0].kind: want text; put what reads as a number, a date, true or false in quotes`
	if err := doc.Err(); err == nil || err.Error() != want {
		t.Errorf("Err = %v\nwant %s", err, want)
	}
	if doc.Sound("items") || doc.Sound("items[0]") || !doc.Sound("name") {
		t.Error("Sound does not see the faults inside")
	}
}

func TestSizeReadsWhatItWrites(t *testing.T) {
	for _, s := range []Size{0, 1, 1000, 1024, 8 << 10, 1 << 20, 3 << 30, 1<<20 + 1} {
		if got, ok := parseSize(s.String()); !ok || got != s {
			t.Errorf("parseSize(%q) = %d, %v, want %d", s.String(), got, ok, s)
		}
	}
	for _, text := range []string{"", "B", "KiB", "-1", "+1", "1.5KiB", "8kib", "8KB", "8 KiB", "1_000"} {
		if got, ok := parseSize(text); ok {
			t.Errorf("parseSize(%q) = %d, want none", text, got)
		}
	}
}

func TestNearestIsASlipAndNoMore(t *testing.T) {
	known := []string{"listen", "issuers", "routes", "kid", "GET"}
	for text, want := range map[string]string{"lisen": "listen", "route": "routes", "isuers": "issuers", "database": "", "x": "", "kind": "kid", "GTE": "GET", "lisetn": "listen", "LISTEN": "listen", "get": "GET"} {
		if got := Nearest(text, known); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestFaultIsOneLineThatNoTerminalObeys(t *testing.T) {
	f := &Fault{File: "f", Pos: Pos{1, 2}, Field: "a", Text: "{b\t\x1b[31m\n} é"}
	if got, want := f.Error(), `f:1:2: a: {b\u0009\u001b[31m\u000a} é`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
