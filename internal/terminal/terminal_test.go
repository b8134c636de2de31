package terminal

import (
	"bytes"
	"strings"
	"testing"
)

func TestNothingThatATerminalObeys(t *testing.T) {
	for text, want := range map[string]string{
		"{\n  \"a\": \"é\"\n}":      "{\n  \"a\": \"é\"\n}",
		"\x1b[31m\t\r":              `\u001b[31m\u0009\u000d`,
		"\u009b31m":                 `\u009b31m`,
		"\u202egnp.exe":             `\u202egnp.exe`,
		"\x7f\U000e0001 \U0001f600": `\u007f\udb40\udc01 😀`,
		"\xff":                      "\ufffd",
	} {
		if got := Text(text); got != want {
			t.Errorf("Text(%q) = %s, want %s", text, got, want)
		}
		if got, want := Line(text), strings.ReplaceAll(want, "\n", `\u000a`); got != want {
			t.Errorf("Line(%q) = %s, want %s", text, got, want)
		}
	}
}

func TestJSONMovesNoTerminal(t *testing.T) {
	var out bytes.Buffer
	line := []byte(`{"path":"/a/` + "\u009b2J\u202e é" + `"}` + "\n")
	if n, err := JSON(&out).Write(line); n != len(line) || err != nil {
		t.Fatal(n, err)
	}
	if got, want := out.String(), `{"path":"/a/\u009b2J\u202e é"}`+"\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
