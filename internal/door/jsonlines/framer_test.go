package jsonlines

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// frames returns what a framer cuts from in; a broken value is "!".
func frames(t testing.TB, in io.Reader) []string {
	t.Helper()
	f := newFramer(in)
	var got []string
	for {
		value, err := f.next()
		var broken *brokenError
		switch {
		case err == io.EOF:
			return got
		case errors.As(err, &broken):
			got = append(got, "!")
		case err != nil:
			t.Fatal(err)
		default:
			got = append(got, string(value))
		}
	}
}

func TestFraming(t *testing.T) {
	for _, test := range []struct {
		name, in string
		want     []string
	}{
		{"nothing", "", nil},
		{"blanks alone", " \r\n\t\n", nil},
		{"a value a line", "{\"a\":1}\n{\"b\":2}\n", []string{`{"a":1}`, `{"b":2}`}},
		{"no newline at the end", `{"a":1}`, []string{`{"a":1}`}},
		{"two on a line", `{"a":1}{"b":2} {"c":3}`, []string{`{"a":1}`, `{"b":2}`, `{"c":3}`}},
		{"over lines", "{\n \"a\" :\r\n[ 1 ,\n{}, [] ]\n}\n", []string{"{\n \"a\" :\r\n[ 1 ,\n{}, [] ]\n}"}},
		{"brackets and quotes in a string", `{"}]\"\\":"{["}`, []string{`{"}]\"\\":"{["}`}},
		{"scalars", "1 -2.5e+3 true\nfalse null \"s\"", []string{"1", "-2.5e+3", "true", "false", "null", `"s"`}},

		{"broken, then the next line", "{x}\n{}\n", []string{"!", "{}"}},
		{"the rest of a broken line is dropped", "{\"a\" 1} {\"b\":2}\n{}\n", []string{"!", "{}"}},
		{"values before the fault stay", "{} }{\n{}\n", []string{"{}", "!", "{}"}},
		{"a bracket left open ends at the next line's fault", "{\"a\":1\n{\"b\":2}\n{}\n", []string{"!", "{}"}},
		{"a string left open ends with its line", "{\"a\":\"b\n{}\n", []string{"!", "{}"}},
		{"a string left open after a backslash", "{\"a\":\"b\\\n{}\n", []string{"!", "{}"}},
		{"a bad literal is seen on its own line", "[tru\n{}\n", []string{"!", "{}"}},
		{"a bad number is seen on its own line", "[01\n{}\n", []string{"!", "{}"}},
		{"a bad name in an open object", "{1:2}\n{}", []string{"!", "{}"}},
		{"a trailing comma", "{\"a\":1,}\n[1,]\n{}", []string{"!", "!", "{}"}},
		{"brackets that do not match", "[}\n{]\n{}", []string{"!", "!", "{}"}},
		{"a colon in an array, a comma for a colon", "[1:2]\n{\"a\",1}\n{}", []string{"!", "!", "{}"}},
		{"a bad escape", "\"\\x\"\n{}", []string{"!", "{}"}},
		{"a lone surrogate", "{\"\\ud800\":1}\n{}", []string{"!", "{}"}},
		{"not UTF-8", "{\"a\":\"\xff\"}\n\xff\n{}", []string{"!", "!", "{}"}},
		{"a byte order mark", "\ufeff{}\n{}", []string{"!", "{}"}},
		{"a control byte", "\x00\n{}", []string{"!", "{}"}},
		{"a name twice", "{\"a\":1,\"a\":2} {}\n{}", []string{"!", "{}"}},
		{"the end inside a value", `{"a":[`, []string{"!"}},
		{"the end inside a string", `"a`, []string{"!"}},
		{"the end inside a literal", `nul`, []string{"!"}},
		{"the end inside a broken line", `}`, []string{"!"}},

		{"as deep as it may be", strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth), []string{strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth)}},
		{"too deep", strings.Repeat("[", maxDepth+1) + "\n{}", []string{"!", "{}"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, frames(t, strings.NewReader(test.in))); diff != "" {
				t.Errorf("whole (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(test.want, frames(t, iotest.OneByteReader(strings.NewReader(test.in)))); diff != "" {
				t.Errorf("byte by byte (-want +got):\n%s", diff)
			}
		})
	}
}

// A large value costs time in proportion, however small its pieces, and no more memory than is allowed.
func TestFramingOfLargeValues(t *testing.T) {
	full := `"` + strings.Repeat("a", maxValueBytes-2) + `"`
	lines := "[" + strings.Repeat("1,\n", maxValueBytes/3-1) + "1]"
	for _, test := range []struct {
		name, in string
		want     []string
	}{
		{"1 MiB", full + "{}", []string{full, "{}"}},
		{"a byte over, then the next line", " " + full[:2] + full[1:] + "{}\n{}", []string{"!", "{}"}},
		{"one string, far over", full[:maxValueBytes-1] + strings.Repeat("b", maxValueBytes) + "\"\n{}", []string{"!", "{}"}},
		{"a number", strings.Repeat("1", maxValueBytes+1) + "\n{}", []string{"!", "{}"}},
		{"blanks inside", "{" + strings.Repeat(" ", maxValueBytes) + "}\n{}", []string{"!", "{}"}},
		{"blanks outside are not counted", strings.Repeat(" \n", maxValueBytes/2+1) + "{}", []string{"{}"}},
		{"many lines", lines, []string{lines}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := frames(t, fewBytesReader{strings.NewReader(test.in)}); !cmp.Equal(got, test.want) {
				t.Errorf("got %d values, want %d", len(got), len(test.want))
			}
			f := newFramer(strings.NewReader(test.in))
			for err := error(nil); err != io.EOF; {
				_, err = f.next()
			}
			if cap(f.value) > 2*maxValueBytes {
				t.Errorf("the buffer grew to %d bytes", cap(f.value))
			}
		})
	}
}

// fewBytesReader is a sender that writes a few bytes at a time.
type fewBytesReader struct{ in io.Reader }

func (r fewBytesReader) Read(p []byte) (int, error) { return r.in.Read(p[:min(len(p), 16)]) }

// The answer to an object comes while the sender waits for it with the stream open, and before a newline.
func TestAnswersAtOnce(t *testing.T) {
	in, client := io.Pipe()
	answers, out := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- newServer(io.Discard).Serve(t.Context(), in, out) }()
	buf := make([]byte, 1024)
	for _, message := range []string{`{"type": "init"}`, "\n{\"type\":\n\"init\"", `}`, `{]`, "\n[1]"} {
		if _, err := io.WriteString(client, message); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(message, `t"`) {
			continue // not complete
		}
		if n, err := answers.Read(buf); err != nil || n == 0 || buf[n-1] != '\n' {
			t.Fatalf("after %q read %q, %v", message, buf[:n], err)
		}
	}
	client.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
