// Package terminal makes text that a stranger had a hand in fit to be shown.
package terminal

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
)

// Text returns a text in which what a terminal might obey, or not show as it stands, is escaped as JSON does.
// Its lines stay lines.
func Text(s string) string { return escape(s, func(r rune) bool { return r == '\n' }) }

// Line is [Text] as one line.
func Line(s string) string { return escape(s, func(rune) bool { return false }) }

func escape(s string, spared func(rune) bool) string {
	var b strings.Builder
	for _, r := range s {
		if unicode.IsPrint(r) || spared(r) {
			b.WriteRune(r)
			continue
		}
		for _, unit := range utf16.AppendRune(nil, r) {
			fmt.Fprintf(&b, `\u%04x`, unit)
		}
	}
	return b.String()
}
