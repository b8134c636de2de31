// Package terminal makes text that a stranger had a hand in fit to be shown.
package terminal

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
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

// JSON returns a writer that passes JSON on as [Text] and, as nearly all of it is that already, without a copy. A
// write holds whole characters.
func JSON(w io.Writer) io.Writer { return jsonWriter{w} }

type jsonWriter struct{ io.Writer }

func (w jsonWriter) Write(text []byte) (int, error) {
	// JSON has escaped what is ASCII.
	if !bytes.ContainsFunc(text, func(r rune) bool { return r >= utf8.RuneSelf && !unicode.IsPrint(r) }) {
		return w.Writer.Write(text)
	}
	if _, err := io.WriteString(w.Writer, Text(string(text))); err != nil {
		return 0, err
	}
	return len(text), nil
}
