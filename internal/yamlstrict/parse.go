package yamlstrict

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// parse returns the root of the file's one document, or nil after adding a fault. want says what a root is.
func (doc *Document) parse(data []byte, want string) *yaml.Node {
	if len(data) > MaxBytes {
		doc.syntax(1, 1, "the file is larger than %d MiB", MaxBytes>>20)
		return nil
	}
	if line, column, what := firstBadByte(data); what != "" {
		doc.syntax(line, column, "%s", what)
		return nil
	}
	in := yaml.NewDecoder(bytes.NewReader(data))
	first, err := next(in)
	if errors.Is(err, io.EOF) || err == nil && isEmptyDocument(first) {
		doc.syntax(1, 1, "the file is empty; want %s", want)
		return nil
	}
	if err != nil {
		doc.misread(data)
		return nil
	}
	second, err := next(in)
	if err == nil {
		doc.syntax(second.Line, second.Column, "a second document starts here: put all in one, without a line ---")
		return nil
	}
	if !errors.Is(err, io.EOF) {
		doc.misread(data)
		return nil
	}
	return first.Content[0]
}

func (doc *Document) syntax(line, column int, format string, args ...any) {
	doc.add(&Fault{File: doc.file, Pos: Pos{line, column}, Text: fmt.Sprintf(format, args...)})
}

// misread adds the fault of a file that is not YAML.
func (doc *Document) misread(data []byte) {
	pos, text := diagnose(data)
	doc.syntax(pos.Line, pos.Column, "%s", text)
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

// firstBadByte returns the place of the first byte that is not UTF-8, or a raw control character, and what to
// say of it; "" if there is none.
func firstBadByte(data []byte) (line, column int, what string) {
	line, column = 1, 1
	for len(data) > 0 {
		r, size := utf8.DecodeRune(data)
		switch {
		case r == '\n':
			line, column = line+1, 0
		case r == utf8.RuneError && size <= 1:
			return line, column, "this is not text in UTF-8: save the file as UTF-8"
		case r < ' ' && r != '\t' && r != '\r', r == 0x7f:
			return line, column, `a control character stands here: take it out, or write it as an escape such as "\x1f" in double quotes`
		}
		column++
		data = data[size:]
	}
	return 0, 0, ""
}
