package yamlstrict

import (
	"strings"
	"unicode/utf8"
)

// FaultWithin adds a fault of a place within the text of a field: line and column count its characters from
// 1, as a parser of the text does. The fault stands at that place in the file, or where the field begins if
// the file does not show it, as with a variable.
func (doc *Document) FaultWithin(field, value string, line, column int, format string, args ...any) {
	if !doc.faulty[field] && len(doc.faults) < maxFaults {
		doc.add(doc.faultAt(doc.within(field, value, line, column), field, format, args...))
	}
}

// WarnWithin is [Document.Warn] of a place within the text of a field, as in [Document.FaultWithin].
func (doc *Document) WarnWithin(field, value string, line, column int, format string, args ...any) {
	if len(doc.unwise) < maxFaults {
		doc.warn(doc.faultAt(doc.within(field, value, line, column), field, format, args...))
	}
}

// after returns the text of the file from the beginning of a line.
func (doc *Document) after(line int) string {
	if doc.lines == nil {
		doc.lines = []int{0}
		for i := range len(doc.text) {
			if doc.text[i] == '\n' {
				doc.lines = append(doc.lines, i+1)
			}
		}
	}
	return doc.text[doc.lines[max(1, min(line, len(doc.lines)))-1]:]
}

func (doc *Document) within(field, value string, line, column int) Pos {
	pos := doc.Pos(field)
	if !doc.FromEnvironment(field) {
		pos = within(doc.after(pos.Line), pos, value, line, column)
	}
	return pos
}

// within returns where a character of a scalar stands in its file, or the scalar's own place if its text
// cannot be followed.
func within(data string, start Pos, value string, line, column int) Pos {
	s := source{at: start}
	s.rest = data
	for range start.Column - 1 {
		if s.rest != "" {
			_, size := utf8.DecodeRuneInString(s.rest)
			s.rest = s.rest[size:]
		}
	}
	s.open()
	for i, lines := 0, strings.SplitAfter(value, "\n"); i < len(lines); i++ {
		for _, r := range lines[i] {
			if line == i+1 {
				if column--; column <= 0 {
					return s.at
				}
			}
			if !s.follow(r) {
				return start
			}
		}
	}
	return s.at // just behind the end
}

// source is the text of a scalar as it stands in the file, with the place of what comes next.
type source struct {
	rest   string
	at     Pos
	style  byte // " ' | > or 0 for a plain one
	indent int  // of a block
}

func (s *source) skip(n int) {
	for ; n > 0 && s.rest != ""; n-- {
		r, size := utf8.DecodeRuneInString(s.rest)
		s.rest = s.rest[size:]
		s.at.Column++
		if r == '\n' {
			s.at = Pos{s.at.Line + 1, 1}
		}
	}
}

// open steps over what stands before the text.
func (s *source) open() {
	if s.rest == "" || !strings.Contains(`"'|>`, s.rest[:1]) {
		return
	}
	s.style = s.rest[0]
	if s.style == '"' || s.style == '\'' {
		s.skip(1)
		return
	}
	s.skip(strings.IndexByte(s.rest, '\n') + 1) // the header of a block, which is ASCII or a comment
	text := strings.TrimLeft(s.rest, " \n")     // blank lines before the first may be of any length
	first := s.rest[:len(s.rest)-len(text)]
	s.indent = len(first) - strings.LastIndexByte(first, '\n') - 1
	s.skip(min(s.indent, len(s.rest)-len(strings.TrimLeft(s.rest, " "))))
}

// follow steps over what stands for a character of the text. It is false where something else does.
func (s *source) follow(r rune) bool {
	blank := len(s.rest) - len(strings.TrimLeft(s.rest, " \t"))
	broken := strings.HasPrefix(s.rest[blank:], "\n")
	switch {
	case s.style == '|' && r == '\n':
		if !strings.HasPrefix(s.rest, "\n") {
			return s.rest == ""
		}
		s.skip(1)
		s.skip(min(s.indent, len(s.rest)-len(strings.TrimLeft(s.rest, " "))))
	case s.style != '|' && broken && (r == ' ' || r == '\n'): // folded: a line's end is a blank
		s.skip(blank)
		s.skip(len(s.rest) - len(strings.TrimLeft(s.rest, " \t\n")))
	case s.style == '"' && strings.HasPrefix(s.rest, "\\\n"): // a line that goes on, without a blank
		s.skip(1)
		s.skip(len(s.rest) - len(strings.TrimLeft(s.rest, " \t\n")))
		return s.follow(r)
	case s.style == '"' && strings.HasPrefix(s.rest, `\`):
		long := map[byte]int{'x': 4, 'u': 6, 'U': 10}
		s.skip(max(2, long[(s.rest + `\`)[1]]))
	case s.style == '\'' && r == '\'':
		s.skip(2)
	default:
		next, _ := utf8.DecodeRuneInString(s.rest)
		s.skip(1)
		return next == r
	}
	return true
}
