package yamlstrict

import (
	"strings"
	"testing"
)

// A fault within a text stands where the file shows the character. The character looked for is the first §,
// which each of these texts holds.
func TestFaultWithin(t *testing.T) {
	tests := []struct {
		name, file string
	}{
		{"plain", "when: a == §b\n"},
		{"after more fields", "x: {}\nlist:\n  - when: é == §b # end\n"},
		{"double quotes", `when: "a §b"` + "\n"},
		{"escapes in double quotes", `when: "\x41\u00e9\U0001F600\n\"\\ §b"` + "\n"},
		{"second line of double quotes", "when: \"a\n  b §c\"\n"},
		{"a line continued in double quotes", "when: \"a\\\n  b §c\"\n"},
		{"single quotes", "when: 'a ''b'' §c'\n"},
		{"in braces", `list: [{when: "a §b"}]` + "\n"},
		{"literal block", "when: |\n  a\n\n    b §c\n"},
		{"literal block with a header", "when: |- # a comment\n   a\n   §c\n"},
		{"literal block after a blank line", "when: |\n\n  a §b\n"},
		{"literal block after blank lines of several lengths", "when: |\n  \n\n  a\n  §b\n"},
		{"folded block after a blank line", "when: >\n\n  a §b\n"},
		{"folded block", "when: >\n  a\n  b §c\n"},
		{"plain over two lines", "when: a\n  b §c\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			type item struct {
				When string `yaml:"when"`
			}
			var v struct {
				When string         `yaml:"when"`
				X    map[string]any `yaml:"x"`
				List []item         `yaml:"list"`
			}
			doc := Read("f", []byte(tt.file), nil, &v)
			if err := doc.Err(); err != nil {
				t.Fatal(err)
			}
			field, value := "when", v.When
			if len(v.List) > 0 {
				field, value = "list[0].when", v.List[0].When
			}
			line, column := place(value)
			doc.FaultWithin(field, value, line, column, "here")
			wantLine, wantColumn := place(tt.file)
			if got := doc.faults[0].Pos; got != (Pos{wantLine, wantColumn}) {
				t.Errorf("%q at %d:%d stands at %v, want %d:%d", value, line, column, got, wantLine, wantColumn)
			}
		})
	}
}

// place returns where the first § stands, in characters.
func place(text string) (line, column int) {
	before, _, _ := strings.Cut(text, "§")
	lastLine := before[strings.LastIndex(before, "\n")+1:]
	return strings.Count(before, "\n") + 1, len([]rune(lastLine)) + 1
}

func TestFaultWithinAVariableStandsAtItsField(t *testing.T) {
	var v struct {
		When string `yaml:"when"`
	}
	env := func(string) (string, bool) { return "long enough", true }
	doc := Read("f", []byte("when: ${W}\n"), env, &v)
	doc.FaultWithin("when", v.When, 1, 8, "here")
	if got := doc.faults[0]; got.Pos != (Pos{1, 7}) || !strings.Contains(got.Text, "W") {
		t.Errorf("got %v %s", got.Pos, got.Text)
	}
}

// What cannot be followed, such as an alias, is a fault of the field as a whole; behind the end is the end.
func TestFaultWithinWhatTheFileDoesNotShow(t *testing.T) {
	var v struct {
		A    string `yaml:"a"`
		When string `yaml:"when"`
	}
	doc := Read("f", []byte("a: &x hello\nwhen: *x\n"), nil, &v)
	doc.FaultWithin("when", v.When, 1, 3, "here")
	doc.FaultWithin("a", "hello", 1, 99, "here")
	if got := doc.faults[0].Pos; got != (Pos{2, 7}) {
		t.Errorf("alias: %v", got)
	}
	if got := doc.faults[1].Pos; got.Line != 1 {
		t.Errorf("behind the end: %v", got)
	}
}
