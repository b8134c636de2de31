package jsonlines

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	maxValueBytes = 1 << 20
	maxDepth      = 1000
)

// brokenError says what is wrong with a value. It concerns that value alone: the stream goes on.
type brokenError struct{ text string }

func (e *brokenError) Error() string { return e.text }

// framer cuts a stream into JSON values. It reads no byte past the end of an object, so that a caller who
// waits for its answer gets it, and looks at each byte once, however few arrive at a time: the decoder of
// jsontext moves all that it holds of a value with each read.
//
// Tokens are judged as they end, so a fault is seen on its own line (no token of JSON spans two) and the
// next line is not taken for a part of it. What is returned is strict JSON: unique names, UTF-8.
type framer struct {
	in       *bufio.Reader
	value    []byte // all that was read of the value, reused for the next
	open     []byte // the brackets that are not yet closed
	skipping bool   // up to the next newline
}

func newFramer(in io.Reader) *framer {
	return &framer{in: bufio.NewReaderSize(in, 64<<10)}
}

// next returns the next value, which is valid until next is called again. The error is a *brokenError after
// which the stream goes on at the next newline, io.EOF at its end, or that of the reader.
func (f *framer) next() (jsontext.Value, error) {
	if f.skipping {
		if err := f.skipLine(); err != nil {
			return nil, err
		}
	}
	f.value, f.open = f.value[:0], f.open[:0]
	err := f.read()
	if err == io.EOF && len(f.value) > 0 {
		err = &brokenError{"the input ends inside a value"}
	}
	if err == nil && !jsontext.Value(f.value).IsValid() {
		err = &brokenError{"malformed JSON: an object names a field twice"} // all else was seen on the way
	}
	if broken := (*brokenError)(nil); errors.As(err, &broken) {
		f.skipping = !bytes.HasSuffix(f.value, []byte("\n"))
	}
	if err != nil {
		return nil, err
	}
	return f.value, nil
}

// skipLine reads up to and with the next newline.
func (f *framer) skipLine() error {
	for {
		switch _, err := f.in.ReadSlice('\n'); err {
		case nil:
			f.skipping = false
			return nil
		case bufio.ErrBufferFull:
		default:
			return err
		}
	}
}

// state is what the grammar lets come next.
type state int

const (
	wantValue      state = iota
	wantFirstValue       // a value, or the end of the array
	wantName
	wantFirstName // a name, or the end of the object
	wantColon
	wantMore // a comma, or the end of the array or object
)

// read appends one value to f.value (RFC 8259 §2).
func (f *framer) read() error {
	want := wantValue
	for {
		c, err := f.byte()
		if err != nil {
			return err
		}
		switch c {
		case ' ', '\t', '\r', '\n':
			if len(f.value) == 1 {
				f.value = f.value[:0] // between values
			}
			continue
		case '{', '[':
			if want > wantFirstValue {
				return f.unexpected(c)
			}
			if len(f.open) == maxDepth {
				return &brokenError{"the value is nested too deeply"}
			}
			f.open = append(f.open, c)
			want = wantFirstValue
			if c == '{' {
				want = wantFirstName
			}
			continue
		case ',':
			if want != wantMore {
				return f.unexpected(c)
			}
			want = wantValue
			if f.inside('{') {
				want = wantName
			}
			continue
		case ':':
			if want != wantColon {
				return f.unexpected(c)
			}
			want = wantValue
			continue
		case '}':
			if want != wantFirstName && !(want == wantMore && f.inside('{')) {
				return f.unexpected(c)
			}
			f.open = f.open[:len(f.open)-1]
		case ']':
			if want != wantFirstValue && !(want == wantMore && f.inside('[')) {
				return f.unexpected(c)
			}
			f.open = f.open[:len(f.open)-1]
		case '"':
			if want > wantFirstName {
				return f.unexpected(c)
			}
			if err := f.readString(); err != nil {
				return err
			}
			if want == wantName || want == wantFirstName {
				want = wantColon
				continue
			}
		default:
			if want > wantFirstValue || !isScalar(c) {
				return f.unexpected(c)
			}
			if err := f.readScalar(); err != nil {
				return err
			}
		}
		if len(f.open) == 0 {
			return nil
		}
		want = wantMore
	}
}

// inside reports whether the innermost open bracket is c.
func (f *framer) inside(c byte) bool { return f.open[len(f.open)-1] == c }

// readString reads the rest of a string, whose opening quote was read.
func (f *framer) readString() error {
	start := len(f.value) - 1
	for escaped := false; ; {
		c, err := f.byte()
		switch {
		case err != nil:
			return err
		case c < ' ':
			return f.unexpected(c)
		case escaped:
			escaped = false
		case c == '\\':
			escaped = true
		case c == '"':
			if !jsontext.Value(f.value[start:]).IsValid() {
				return &brokenError{"malformed JSON: a string holds a bad escape or is not UTF-8"}
			}
			return nil
		}
	}
}

// readScalar reads the rest of a number or of a literal name. What ends one is the byte after it, which is
// given back.
func (f *framer) readScalar() error {
	start := len(f.value) - 1
	for {
		c, err := f.in.ReadByte()
		if err == nil && isScalar(c) {
			if err := f.take(c); err != nil {
				return err
			}
			continue
		}
		if err == nil {
			err = f.in.UnreadByte()
		}
		if err != nil && err != io.EOF {
			return err
		}
		if !jsontext.Value(f.value[start:]).IsValid() {
			return &brokenError{"malformed JSON: neither a number nor true, false or null"}
		}
		return nil
	}
}

// isScalar reports whether c can be part of a number or of a literal name.
func isScalar(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '+' || c == '-' || c == '.'
}

// byte reads one byte of a value.
func (f *framer) byte() (byte, error) {
	c, err := f.in.ReadByte()
	if err != nil {
		return 0, err
	}
	return c, f.take(c)
}

// take appends a byte that was read.
func (f *framer) take(c byte) error {
	f.value = append(f.value, c)
	if len(f.value) > maxValueBytes {
		return &brokenError{"the value is larger than 1 MiB"}
	}
	return nil
}

func (f *framer) unexpected(c byte) error {
	return &brokenError{fmt.Sprintf("malformed JSON: unexpected %q as byte %d of the value", c, len(f.value))}
}
