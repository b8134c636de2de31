// Package braces fills in texts such as "{name}-service".
package braces

import (
	"fmt"
	"strings"
)

// Text is a text with names in braces. The zero value is the empty text.
type Text struct {
	literals []string // one more than names; none in the zero value
	names    []string
}

// Parse reads a text. A brace without its partner and an empty name are errors; what the names mean is for
// the caller to judge.
func Parse(s string) (Text, error) {
	var t Text
	for rest := s; ; {
		literal, tail, found := strings.Cut(rest, "{")
		if strings.Contains(literal, "}") {
			return Text{}, fmt.Errorf("%.64q has a } without its {", s)
		}
		t.literals = append(t.literals, literal)
		if !found {
			return t, nil
		}
		name, after, closed := strings.Cut(tail, "}")
		if !closed || name == "" || strings.Contains(name, "{") {
			return Text{}, fmt.Errorf("%.64q has a { without a name and its }", s)
		}
		t.names = append(t.names, name)
		rest = after
	}
}

// Names returns the names in their order.
func (t Text) Names() []string { return t.names }

// Fill returns the text with the value of each name in its place.
func (t Text) Fill(value func(name string) string) string {
	if len(t.literals) == 0 {
		return ""
	}
	if len(t.names) == 0 {
		return t.literals[0]
	}
	var b strings.Builder
	for i, name := range t.names {
		b.WriteString(t.literals[i])
		b.WriteString(value(name))
	}
	b.WriteString(t.literals[len(t.names)])
	return b.String()
}
