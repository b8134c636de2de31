package braces

import (
	"slices"
	"strings"
	"testing"
)

func TestFill(t *testing.T) {
	tests := []struct {
		text  string
		names []string
		want  string
	}{
		{"", nil, ""},
		{"plain", nil, "plain"},
		{"{a}", []string{"a"}, "A"},
		{"{a}-x-{b}", []string{"a", "b"}, "A-x-B"},
		{"{a}{a}", []string{"a", "a"}, "AA"},
		{"é{a}é", []string{"a"}, "éAé"},
	}
	for _, tt := range tests {
		text, err := Parse(tt.text)
		if err != nil {
			t.Errorf("Parse(%q): %v", tt.text, err)
			continue
		}
		if got := text.Fill(strings.ToUpper); got != tt.want || !slices.Equal(text.Names(), tt.names) {
			t.Errorf("%q = %q with names %q, want %q with %q", tt.text, got, text.Names(), tt.want, tt.names)
		}
	}
	if got := (Text{}).Fill(strings.ToUpper); got != "" {
		t.Errorf("the zero value is %q", got)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, text := range []string{"{", "}", "{}", "a}", "{a", "{a{b}}", "{a}}", "}{", "{{a}"} {
		if _, err := Parse(text); err == nil {
			t.Errorf("Parse(%q) accepted it", text)
		}
	}
}
