package yamlstrict

import (
	"fmt"
	"strings"
	"testing"
)

func TestSyntaxFaultsSayWhereAndWhatToWrite(t *testing.T) {
	for _, test := range []struct{ name, text, place, want string }{
		{"tab in the indentation", "name: a\nfree:\n\tb: c\n", "3:1", sayTab},
		{"tab after blanks", "free:\n  a: b\n \tc: d\n", "3:2", sayTab},
		{"tab before a list entry", "items:\n\t- name: x\n", "2:1", sayTab},
		{"tab in a block text", "free:\n  a: |\n\tb\n", "3:1", sayTab},
		{"colon in a value", "name: a: b\n", "1:8", sayColon},
		{"colon in a value, after ü", "name: ü: b\n", "1:8", sayColon},
		{"colon in a value of a list entry", "items:\n  - name: a: b\n    kind: c\n", "2:12", sayColon},
		{"colon at the end of a value", "name: a:\n", "1:8", sayColon},
		{"two pairs on one line", "name: a on: true\n", "1:11", sayColon},
		{"no blank after a colon", "name:a\non: true\n", "1:5", sayBlank},
		{"no blank after a colon, further down", "free:\n  a: b\n  c:d\n  e: f\n", "3:4", sayBlank},
		{"no colon", "name: a\nfree\non: true\n", "2:1", sayNoKey},
		{"deeper below a value", "name: a\n  kind: b\n", "2:3", sayDeeper},
		{"shallower than its mapping", "free:\n  a: b\n c: d\n", "3:2", sayIndent},
		{"shallower than the first key", "  name: a\non: true\n", "2:1", sayIndent},
		{"entry beside a key", "free:\n  a: b\n  - c\n", "3:3", sayIndent},
		{"entry less deep than the list", "words:\n    - a\n  - b\n", "3:3", sayIndent},
		{"key less deep than its entry", "items:\n  - name: a\n   kind: b\n", "3:4", sayIndent},
		{"list on the line of its key", "words: - a\n", "1:8", sayEntry},
		{"double quote not closed", "name: a\nlevel: \"low\nfree: b\n", "2:8", sayQuote},
		{"single quote not closed", "name: 'a\nlevel: low\n", "1:7", sayQuote},
		{"quote not closed, with another on the next line", "name: \"a\nlevel: \"low\"\n", "1:7", sayQuote},
		{"quote not closed in brackets", "words: [a, \"b]\n", "1:12", sayQuote},
		{"quote not closed at the end", "words:\n  - \"", "2:5", sayQuote},
		{"text after a quote", "name: \"a\" b\non: true\n", "1:11", sayAfterValue},
		{"text after brackets", "words: [a] b\n", "1:12", sayAfterValue},
		{"two texts without a comma", "words: [\"a\" \"b\"]\n", "1:13", sayAfterValue},
		{"entry less deep than its list, after quotes in a text", "items:\n  - name: a\n    kind: b || 'c' in d\n   - name: e\n", "4:4", sayIndent},
		{"key less deep than its mapping, after quotes in a text", "items:\n  - name: a\n    kind: b || 'c' in d\n  level: e\n", "4:3", sayIndent},
		{"key deeper than a value with quotes in its text", "items:\n  - name: b || 'c' in d\n      kind: e\n", "3:7", sayDeeper},
		{"no comma before a key", "items:\n  - {name: a kind: b, level: low}\n  - {name: c}\n", "2:14", sayComma},
		{"no comma before a key, after others", "items:\n  - {level: low, name: a-b kind: \"b\"}\n", "2:28", sayComma},
		{"no comma before a list", "items:\n  - {name: a kind: [b]}\n", "2:14", sayComma},
		{"question mark in braces", "items:\n  - {name: a ? b, kind: c}\n", "2:14", sayQuestion},
		{"question mark in a path in braces", "items:\n  - {name: /a?b=1, kind: c}\n", "2:14", sayQuestion},
		{"no blank after a dash", "items:\n  -name: a\n   kind: b\n", "2:3", sayDash},
		{"bracket not closed", "name: a\nwords: [b\n", "2:8", sayBracket},
		{"bracket not closed, more lines after", "words: [b\nfree: {c: d}\nname: a\n", "1:8", sayBracket},
		{"brace not closed", "free: {a: b\nname: c\n", "1:7", sayBracket},
		{"brace not closed in a list", "items:\n  - {name: a, kind: b\n  - {name: c}\n", "2:5", sayBracket},
		{"bracket not closed, nothing in it", "words: [\n", "1:8", sayBracket},
		{"bracket closed by a brace", "free: {a: [b}\n", "1:11", sayBracket},
		{"value missing between commas", "words: [a, , b]\n", "1:12", sayNoValue},
		{"bracket without its other half", "name: ]\n", "1:7", sayNoValue},
		{"variable in braces", "free: {a: ${B}}\n", "1:11", sayVariable},
		{"variable in brackets, after one in quotes", "words: [\"${A}\", ${B}]\n", "1:17", sayVariable},
		{"template in braces", "items:\n  - {name: /api/{id}, kind: a}\n", "2:17", sayInner},
		{"brackets in a text in brackets", "words: [a[0], b]\n", "1:10", sayInner},
		{"colon after a quote", "name: \"a\":80\n", "1:10", sayAfterValue},
		{"at sign", "name: @a\n", "1:7", saySpecial},
		{"percent sign", "name: %a\n", "1:7", saySpecial},
		{"grave accent", "words:\n  - `a`\n", "2:5", saySpecial},
		{"star alone", "words: [*]\n", "1:9", saySpecial},
		{"two stars", "name: a\nlevel: **\n", "2:8", saySpecial},
		{"unknown anchor", "name: a\nlevel: *low\n", "2:8", sayAnchor},
		{"question mark", "name: ? a\n", "1:7", saySpecial},
		{"exclamation mark", "name: !a!b!c d\n", "1:7", saySpecial},
		{"unknown escape", "name: \"a\\d\"\n", "1:9", sayEscape},
		{"short escape", "name: \"\\x1\"\n", "1:8", sayEscape},
		{"text after a bar", "name: |a\n  b\n", "1:7", sayBlock},
		{"directive", "%a\nname: b\n", "1:1", sayDirective},
		{"of another version", "%YAML 9.9\n---\nname: b\n", "1:1", sayDirective},
		{"after a byte order mark", "\ufeffname: a: b\n", "1:8", sayColon},
		{"lines of Windows", "name: a\r\nfree:\r\n\tb: c\r\n", "3:1", sayTab},
	} {
		t.Run(test.name, func(t *testing.T) {
			var into sample
			err := Read("f", []byte(test.text), nil, &into).Err()
			if want := "f:" + test.place + ": " + test.want; fmt.Sprint(err) != want {
				t.Errorf("Err = %v (%q)\nwant  %s", err, newStop([]byte(test.text)).problem, want)
			}
		})
	}
}

// Whatever the library's grammar missed, its own words and the file's text stay inside.
func TestSyntaxFaultsShowNothingOfTheFile(t *testing.T) {
	const secret = "secretvalue"
	for _, text := range []string{
		"name: *secretvalue\n", "name: !<secretvalue\n", "name: &secretvalue@ x\n", "name: \"secretvalue\n", "secretvalue\nname: a\n",
		"name: a: secretvalue\n", "%secretvalue\n", "name: {secretvalue\n", "name: @secretvalue\n", "[secretvalue", "name: a\n secretvalue: b\nc: d\n",
	} {
		var into sample
		err := Read("f", []byte(text), nil, &into).Err()
		if err == nil || strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "expected") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
