package yamlstrict

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// parse returns the root of the file's one document, or nil after adding a fault.
func (doc *Document) parse(data []byte) *yaml.Node {
	if len(data) > MaxBytes {
		doc.syntax(1, 1, "the file is larger than %d MiB", MaxBytes>>20)
		return nil
	}
	if line, column, ok := firstBadByte(data); !ok {
		doc.syntax(line, column, "this is not text in UTF-8: save the file as UTF-8, and write control characters as escapes in double quotes")
		return nil
	}
	lines := &lineReader{rest: data}
	in := yaml.NewDecoder(lines)
	first, err := next(in)
	if errors.Is(err, io.EOF) || err == nil && isEmptyDocument(first) {
		doc.syntax(1, 1, "the file is empty")
		return nil
	}
	if err != nil {
		doc.parseFault(data, lines.handed, err)
		return nil
	}
	second, err := next(in)
	if err == nil {
		doc.syntax(second.Line, second.Column, "a second document starts here: put all in one, without a line ---")
		return nil
	}
	if !errors.Is(err, io.EOF) {
		doc.parseFault(data, lines.handed, err)
		return nil
	}
	return first.Content[0]
}

func (doc *Document) syntax(line, column int, format string, args ...any) {
	doc.add(&Fault{File: doc.file, Pos: Pos{line, column}, Text: fmt.Sprintf(format, args...)})
}

// next reads one document. The library's own panics are errors here: a file must not stop the program.
func next(in *yaml.Decoder) (n *yaml.Node, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.New("cannot be read as YAML")
		}
	}()
	n = new(yaml.Node)
	if err := in.Decode(n); err != nil {
		return nil, err
	}
	if n.Kind != yaml.DocumentNode || len(n.Content) != 1 {
		return nil, io.EOF
	}
	return n, nil
}

func isEmptyDocument(n *yaml.Node) bool {
	root := n.Content[0]
	return root.Kind == yaml.ScalarNode && root.Tag == "!!null" && root.Anchor == ""
}

var (
	libraryError  = regexp.MustCompile(`^yaml: (?:line ([0-9]+): )?`)
	unknownAnchor = regexp.MustCompile(`^unknown anchor '(.*)' referenced`)
)

// parseFault adds a fault of the library, which met it when it had been handed that many lines.
func (doc *Document) parseFault(data []byte, handed int, err error) {
	text, line := err.Error(), 1
	if m := libraryError.FindStringSubmatch(text); m != nil {
		if n, err := strconv.Atoi(m[1]); err == nil {
			line = n
		}
		text = text[len(m[0]):]
	}
	if strings.HasPrefix(text, "did not find expected") {
		line = handed // the library's own line is where the list or mapping around it began
	}
	line = max(1, min(line, bytes.Count(bytes.TrimRight(data, "\n"), []byte("\n"))+1))
	if m := unknownAnchor.FindStringSubmatch(text); m != nil {
		// The name is not shown: it is the start of a value, perhaps of a secret that begins with *.
		before, _, _ := bytes.Cut(data, []byte("*"+m[1]))
		line = bytes.Count(before, []byte("\n")) + 1
		text = "a value begins with * but no anchor has that name: put the value in quotes"
	} else if strings.Contains(lineOf(data, line), "${") {
		text += ": put ${…} in quotes inside { } and [ ]"
	}
	doc.syntax(line, 1, "YAML: %s", text)
}

// lineReader hands out a line at a time, so that its count is the place of a parser that stopped.
type lineReader struct {
	rest   []byte
	handed int
}

func (r *lineReader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	end := bytes.IndexByte(r.rest, '\n') + 1
	if end == 0 {
		end = len(r.rest)
	}
	n := copy(p, r.rest[:end])
	if n == end {
		r.handed++
	}
	r.rest = r.rest[n:]
	return n, nil
}

// lineOf returns the text of a line, counted from 1.
func lineOf(data []byte, line int) string {
	for ; line > 1; line-- {
		_, rest, found := bytes.Cut(data, []byte("\n"))
		if !found {
			break
		}
		data = rest
	}
	text, _, _ := bytes.Cut(data, []byte("\n"))
	return string(text)
}

// firstBadByte returns the place of the first byte that is not UTF-8, or a raw control character.
func firstBadByte(data []byte) (line, column int, ok bool) {
	line, column = 1, 1
	for len(data) > 0 {
		r, size := utf8.DecodeRune(data)
		switch {
		case r == '\n':
			line, column = line+1, 0
		case r == utf8.RuneError && size <= 1, r < ' ' && r != '\t' && r != '\r', r == 0x7f:
			return line, column, false
		}
		column++
		data = data[size:]
	}
	return 0, 0, true
}
