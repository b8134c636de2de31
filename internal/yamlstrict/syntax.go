package yamlstrict

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// The library says what its grammar missed, at the line where the list or mapping around it began. What is
// said here instead is what someone has most likely written, and what to write; never a piece of the file.
const (
	sayTab        = "a tab stands in the indentation: indent with blanks"
	sayQuote      = "this quote is never closed: write the same quote at the end of the value, on its line"
	sayBracket    = "this bracket is never closed: write its other half at the end of the list or mapping"
	sayVariable   = "put ${…} in quotes inside { } and [ ]"
	sayInner      = "put a value that holds { } [ or ] in quotes inside { } and [ ]"
	sayQuestion   = "put a value that holds a ? in quotes inside { } and [ ]"
	sayComma      = "a comma is missing before this key"
	sayBlank      = "write a blank after the colon"
	sayDash       = "write a blank after the -"
	sayColon      = "a second colon on one line: put a value that holds a colon and a blank in quotes"
	sayDeeper     = "this line is indented below a line that has a value already: indent the keys of one mapping alike"
	sayNoKey      = "this line has no colon: write key: value, or put a text of several lines in quotes"
	sayIndent     = "the indentation fits no line above: indent the keys of one mapping, and the - of one list, alike"
	sayAfterValue = "text follows the end of a value: put the whole value in one pair of quotes, or a comma between two"
	sayEntry      = "a list cannot begin here: write each - on a line of its own below the key, or [a, b]"
	saySpecial    = "a value cannot begin with this character: put it in quotes"
	sayEscape     = `a \ in double quotes begins an escape: write \\, or put the value in single quotes`
	sayBlock      = "a value that begins with | or > is put in quotes"
	sayNoValue    = "a value is missing here: write one, or take the comma or bracket out"
	sayDirective  = "a line cannot begin with %: take it out"
	sayDeep       = "values are nested too deep"
	sayAnchor     = "a value begins with * but no anchor has that name: put the value in quotes"
	sayUnknown    = "this cannot be read as YAML: look at the indentation, colons, quotes and brackets of this line and the one above"
)

// diagnose returns the place and the words for a file that the library refuses.
func diagnose(data []byte) (Pos, string) {
	s := newStop(data)
	offset, text := s.judge()
	return s.pos(offset), text
}

// stop is a file, and where the library's reading of it came to an end.
type stop struct {
	data    []byte
	problem string // the library's word for it
	context int    // line that it names, from 1: where the fault, or what is around it, began
	reached int    // offset of the token that it refused, or up to a few tokens beyond it
}

// lookahead is how many characters the library has read beyond the beginning of a token.
const lookahead = 4

var (
	libraryError  = regexp.MustCompile(`^yaml: (?:line ([0-9]+): )?`)
	unknownAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced`)
	// The parser's own faults, not those of the scanner below it: these count lines in another way.
	parserProblem = regexp.MustCompile(`^(did not find expected (key|'|node content|<)|found (undefined|duplicate|incompatible) )`)
)

// newStop reads the file again, byte by byte, to see how far the library comes. A line before it and some
// after it keep its beginning and its end from being special.
func newStop(data []byte) *stop {
	s := &stop{data: bytes.TrimPrefix(data, []byte("\uFEFF"))}
	padded := &byteReader{text: "\n" + string(s.data) + strings.Repeat("\n", lookahead+1)}
	s.problem = firstError(padded)
	s.reached = max(0, min(padded.handed-1-lookahead, len(s.data)))
	if m := libraryError.FindStringSubmatch(s.problem); m != nil {
		s.problem = s.problem[len(m[0]):]
		s.context, _ = strconv.Atoi(m[1])
		if !parserProblem.MatchString(s.problem) {
			s.context--
		}
	}
	s.context = max(1, min(s.context, bytes.Count(s.data[:s.reached], []byte("\n"))+1))
	return s
}

// byteReader hands out a byte at a time, so that its count is the place of a parser that stopped.
type byteReader struct {
	text   string
	handed int
}

func (r *byteReader) Read(p []byte) (int, error) {
	if r.handed == len(r.text) || len(p) == 0 {
		return 0, io.EOF
	}
	p[0] = r.text[r.handed]
	r.handed++
	return 1, nil
}

// pos returns an offset as line and column, counted in characters.
func (s *stop) pos(offset int) Pos {
	offset = max(0, min(offset, len(s.data)))
	start := s.lineStart(offset)
	return Pos{bytes.Count(s.data[:start], []byte("\n")) + 1, utf8.RuneCount(s.data[start:offset]) + 1}
}

// lineStart returns the offset at which the line around an offset begins.
func (s *stop) lineStart(offset int) int { return bytes.LastIndexByte(s.data[:offset], '\n') + 1 }

// lineEnd returns the offset at which it ends.
func (s *stop) lineEnd(offset int) int {
	if n := bytes.IndexByte(s.data[offset:], '\n'); n >= 0 {
		return offset + n
	}
	return len(s.data)
}

// line returns where a line begins, and its text.
func (s *stop) line(offset int) (int, string) {
	start := s.lineStart(offset)
	return start, strings.TrimRight(string(s.data[start:s.lineEnd(offset)]), "\r")
}

// contextStart returns the offset of the context's line.
func (s *stop) contextStart() int {
	start := 0
	for line := 1; line < s.context; line++ {
		start = min(s.lineEnd(start)+1, len(s.data))
	}
	return start
}

// token returns the offset of the token that the library refused at its beginning, which is one of these
// characters; or that of the last such character before.
func (s *stop) token(characters string) int {
	for offset := min(s.reached, len(s.data)-1); offset >= 0; offset-- {
		if strings.IndexByte(characters, s.data[offset]) >= 0 {
			return offset
		}
	}
	return s.indented(s.reached)
}

// indented returns the offset of the first character of a line that is no blank.
func (s *stop) indented(offset int) int {
	start, text := s.line(offset)
	return start + len(text) - len(strings.TrimLeft(text, " "))
}

var (
	colonWithoutBlank = regexp.MustCompile(`^\s*(?:- +)?[A-Za-z_][A-Za-z0-9_]*:[^\s/]`)
	anchorStart       = regexp.MustCompile(`(?:^|[\s\[{,])[*&]`)
	blockStart        = regexp.MustCompile(`(?:^|[\s\[{,])[|>]`)
	tagStart          = regexp.MustCompile(`(?:^|[\s\[{,])!`)
	dashWithoutBlank  = regexp.MustCompile(`^\s*(-)[A-Za-z_][A-Za-z0-9_]*:(?:\s|$)`)
	keyWithoutComma   = regexp.MustCompile(`[{,]\s*[A-Za-z_][A-Za-z0-9_]*: +[^\s"'\[{,}][^,"'\[\]{}]*? ([A-Za-z_][A-Za-z0-9_]*):\s`)
	questionInFlow    = regexp.MustCompile(`[{,]\s*[A-Za-z_][A-Za-z0-9_]*: +[^\s"'\[{,}][^,"\[\]{}]*?(\?)`)
	// Quotes have a meaning at the beginning of a value alone.
	afterQuoted       = regexp.MustCompile(`(?:^\s*(?:- +)+|: +|[\[{,]\s*)(?:"(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|\[[^\[\]{}"']*\]) *([^\s,:#\]}"'])`)
	quotedThenColon   = regexp.MustCompile(`: +(?:"(?:[^"\\]|\\.)*"|'(?:[^']|'')*')(:\S)`)
	noValue           = regexp.MustCompile(`[\[{,]\s*,`)
	afterQuotedInList = regexp.MustCompile(`(?:"(?:[^"\\]|\\.)*"|'(?:[^']|'')*') *(["'])`)
)

// judge returns the place of the fault, as an offset, and what to say of it.
func (s *stop) judge() (int, string) {
	switch s.problem {
	case "found character that cannot start any token":
		at := s.token("\t@`%")
		if at < len(s.data) && s.data[at] == '\t' {
			return at, sayTab
		}
		return at, saySpecial
	case "found a tab character that violates indentation", "found a tab character where an indentation space is expected":
		if at := bytes.LastIndexByte(s.data[:min(s.reached+lookahead, len(s.data))], '\t'); at >= 0 {
			return at, sayTab
		}
	case "found unexpected end of stream", "found unexpected document indicator":
		start, text := s.line(s.contextStart())
		return start + max(0, openQuote(text)), sayQuote
	case "did not find expected alphabetic or numeric character":
		return s.find(anchorStart), saySpecial
	case "did not find expected ',' or ']'", "did not find expected ',' or '}'":
		return s.flow()
	case "did not find expected node content":
		first := s.contextStart()
		if open := bytes.LastIndexAny(s.data[:s.reached], "[{"); open >= 0 {
			first = min(first, s.lineStart(open))
		}
		if at, text := s.bracketFault(first, s.lineEnd(s.reached)); text != "" {
			return at, text
		}
		if m := noValue.FindIndex(s.data[first:s.lineEnd(s.reached)]); m != nil {
			return first + m[1] - 1, sayNoValue
		}
		return s.token(",]}"), sayNoValue
	case "mapping values are not allowed in this context", "could not find expected ':'", "did not find expected key",
		"did not find expected '-' indicator", "did not find expected <document start>":
		return s.block()
	case "block sequence entries are not allowed in this context":
		return s.token("-"), sayEntry
	case "mapping keys are not allowed in this context":
		return s.token("?"), saySpecial
	case "found unknown escape character", "did not find expected hexdecimal number", "found invalid Unicode character escape code":
		return max(0, bytes.LastIndexByte(s.data[:min(s.reached+lookahead, len(s.data))], '\\')), sayEscape
	}
	return s.rare()
}

// find returns the offset of a value's beginning on the context's line, or of the line.
func (s *stop) find(beginning *regexp.Regexp) int {
	start, text := s.line(s.contextStart())
	if m := beginning.FindStringIndex(text); m != nil {
		return start + m[1] - 1
	}
	return s.indented(start)
}

// rare judges what stands in no configuration but by accident.
func (s *stop) rare() (int, string) {
	if m := unknownAnchor.FindStringSubmatch(s.problem); m != nil {
		// The name is not shown: it is the start of a value, perhaps of a secret that begins with *.
		return max(0, bytes.Index(s.data, []byte("*"+m[1]))), sayAnchor
	}
	start, text := s.line(s.contextStart())
	switch {
	case strings.HasPrefix(s.problem, "exceeded max depth"):
		return s.indented(s.reached), sayDeep
	case strings.HasPrefix(text, "%"):
		return start, sayDirective
	case blockStart.MatchString(text):
		return s.find(blockStart), sayBlock
	case tagStart.MatchString(text):
		return s.find(tagStart), saySpecial
	}
	return s.indented(min(s.reached, s.lineEnd(start))), sayUnknown
}

// block judges a line that does not fit the lines around it.
func (s *stop) block() (int, string) {
	last := s.reached
	for last > 0 && (s.data[min(last, len(s.data)-1)] == '\n' || last >= len(s.data)) {
		last--
	}
	first := min(s.contextStart(), s.lineStart(last))
	if s.problem == "mapping values are not allowed in this context" {
		if colon := s.token(":"); colon < len(s.data) && s.data[colon] == ':' {
			start := s.lineStart(colon)
			if strings.Contains(string(s.data[start:colon]), ": ") {
				return colon, sayColon
			}
			first = s.lineStart(max(0, start-1)) // whose text this line continues
		}
	}
	switch s.problem {
	case "did not find expected key", "did not find expected '-' indicator", "did not find expected <document start>":
		first = s.lineStart(max(0, s.lineStart(last)-1)) // the context is all of the mapping or list
	}
	for at := first; at <= last; at = s.lineEnd(at) + 1 {
		start, text := s.line(at)
		if quote := openQuote(text); quote >= 0 {
			return start + quote, sayQuote
		}
		for _, after := range []*regexp.Regexp{afterQuoted, quotedThenColon} {
			if m := after.FindStringSubmatchIndex(text); m != nil {
				return start + m[2], sayAfterValue
			}
		}
		if m := colonWithoutBlank.FindStringIndex(text); m != nil && s.problem != "did not find expected key" {
			return start + m[1] - 2, sayBlank
		}
		if m := dashWithoutBlank.FindStringSubmatchIndex(text); m != nil {
			return start + m[2], sayDash
		}
	}
	if at, text := s.bracketFault(first, s.lineEnd(last)); text != "" {
		return at, text
	}
	switch s.problem {
	case "mapping values are not allowed in this context":
		return s.indented(s.token(":")), sayDeeper
	case "could not find expected ':'":
		return s.indented(s.contextStart()), sayNoKey
	}
	return s.indented(last), sayIndent
}

// flow judges what is wrong between brackets.
func (s *stop) flow() (int, string) {
	first := s.contextStart()
	if at, text := s.bracketFault(first, s.lineEnd(s.reached)); text != "" {
		return at, text
	}
	for at := first; at <= s.reached && at < len(s.data); at = s.lineEnd(at) + 1 {
		start, text := s.line(at)
		for _, fault := range []struct {
			form *regexp.Regexp
			text string
		}{{afterQuoted, sayAfterValue}, {afterQuotedInList, sayAfterValue}, {keyWithoutComma, sayComma}, {questionInFlow, sayQuestion}} {
			if m := fault.form.FindStringSubmatchIndex(text); m != nil {
				return start + m[2], fault.text
			}
		}
	}
	return s.indented(max(first, s.reached)), sayUnknown
}

// bracketFault judges the brackets between two offsets. The text is empty where nothing is wrong with them.
func (s *stop) bracketFault(from, to int) (int, string) {
	open, inner := s.brackets(from, to)
	switch {
	case inner > 0 && s.data[inner-1] == '$':
		return inner - 1, sayVariable
	case inner >= 0:
		return inner, sayInner
	case open >= 0:
		return open, sayBracket
	}
	return 0, ""
}

// openQuote returns where a quote stands in a line that the line does not close, or -1.
func openQuote(line string) int {
	open, previous := -1, byte(' ')
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case open >= 0 && c == '\\' && line[open] == '"':
			i++
		case open >= 0:
			if c == line[open] {
				open = -1
			}
		case (c == '"' || c == '\'') && strings.IndexByte(" \t[{,", previous) >= 0:
			open = i
		case c == '#' && (previous == ' ' || previous == '\t'):
			return -1
		}
		previous = c
	}
	return open
}

// brackets returns the offset of the innermost bracket between two offsets that is not closed by its other
// half, and of the first that stands inside others and in the middle of a text; -1 where there is none.
func (s *stop) brackets(from, to int) (open, inner int) {
	var stack []int
	inner = -1
	quote, before := byte(0), byte('\n') // before is the last character that was no blank
	for i := from; i < to; i++ {
		c := s.data[i]
		switch {
		case quote == '"' && c == '\\':
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '#' && i > from && (s.data[i-1] == ' ' || s.data[i-1] == '\t'):
			i = s.lineEnd(i) - 1
		case (c == '"' || c == '\'') && strings.IndexByte("\n:-,[{", before) >= 0:
			quote = c
		case (c == '[' || c == '{') && (len(stack) > 0 || strings.IndexByte("\n:-,", before) >= 0):
			if len(stack) > 0 && inner < 0 && strings.IndexByte(" \t\r\n:,[{", s.data[i-1]) < 0 {
				inner = i
			}
			stack = append(stack, i)
		case (c == ']' || c == '}') && len(stack) > 0:
			if s.data[stack[len(stack)-1]] != c-2 { // in ASCII, each is two after its other half
				return stack[len(stack)-1], inner
			}
			stack = stack[:len(stack)-1]
		}
		if c != ' ' && c != '\t' {
			before = c
		}
	}
	if len(stack) == 0 {
		return -1, inner
	}
	return stack[len(stack)-1], inner
}

// firstError returns the error that ends the library's reading, or "".
func firstError(r io.Reader) string {
	in := yaml.NewDecoder(r)
	for {
		if _, err := next(in); errors.Is(err, io.EOF) {
			return ""
		} else if err != nil {
			return err.Error()
		}
	}
}
