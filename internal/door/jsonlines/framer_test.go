package jsonlines

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"github.com/passgate/passgate/internal/authz"
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

// FuzzFraming holds the framer to a decoder that is not ours: on input without a fault they cut the same
// values, and each value that the framer returns is strict JSON.
func FuzzFraming(f *testing.F) {
	for _, seed := range []string{`{"a":1} [2,"x\n"] null`, "{\n}\n{]", `-0.5e1 1`, `{"a":1,"a":2}`, "[tru]", "\"\\ud83d\\ude00\""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got := frames(t, strings.NewReader(in))
		for _, value := range got {
			if value != "!" && !jsontext.Value(value).IsValid() {
				t.Errorf("returned %q, which is not JSON", value)
			}
		}
		d := jsontext.NewDecoder(bytes.NewReader([]byte(in)))
		for i := 0; ; i++ {
			value, err := d.ReadValue()
			if err == io.EOF {
				if i != len(got) {
					t.Errorf("%d values, want %d", len(got), i)
				}
				return
			}
			if err != nil {
				if i >= len(got) || got[i] != "!" {
					t.Errorf("value %d of %q is accepted; jsontext says %v", i, in, err)
				}
				return
			}
			if i >= len(got) {
				t.Fatalf("value %d of %q is not found", i, in)
			}
			rest := in[d.InputOffset():]
			if got[i] == "!" && (deep(value) || isScalar(value[len(value)-1]) && rest != "" && isScalar(rest[0])) {
				return // the framer's limit is lower, and to it 00 is a bad number and not two good ones
			}
			if got[i] != string(value) {
				t.Errorf("value %d is %q, want %q", i, got[i], value)
			}
		}
	})
}

func deep(v jsontext.Value) bool {
	return bytes.Count(v, []byte("["))+bytes.Count(v, []byte("{")) > maxDepth
}

// FuzzServe: whatever comes in, each line out is a JSON object with a type, no request is allowed but with
// a credential that was verified, and a message after it is answered as if it had come alone.
func FuzzServe(f *testing.F) {
	for _, seed := range []string{
		`{"type":"api_request","method":"GET","path":"/api/users/1","headers":{"Authorization":"Bearer user_token..."},"required_permission":"read"}`,
		`{"src":"c","dest":"g","body":{"type":"init","msg_id":[1],"jwt_public_key":"k"}}`,
		`{"src":{"a":"\u2028"},"body":{"type":"api_request","method":"GET","path":"/api/x?y","headers":{"a":["b","c"]}}}`,
		`{"type":"api_request","method":"GET","path":"/api/x","headers":{"Authorization":"Bearer panic"}}`,
		"[", "{\"a\":\"", "}\n\n", "{\"type\":\"init\",\"type\":\"init\"}", "\xff", "12 true",
	} {
		f.Add([]byte(seed))
	}
	const (
		breaker = "\n\x00\n" // ends whatever value is open: no value goes on with a control byte
		probe   = `{"src":"c","dest":"g","body":{"type":"api_request","msg_id":1,"method":"GET","path":"/api/users/1","headers":{"Authorization":"Bearer user_token..."}}}`
		want    = `{"src": "g", "dest": "c", "body": {"type": "api_response", "in_reply_to": 1, "status": 200, "service": "users-service", "user_context": {"user_id": "user456", "role": "", "permissions": ["read"]}}}`
	)
	f.Fuzz(func(t *testing.T, in []byte) {
		v := &verifier{}
		s := newServer(io.Discard)
		s.decider = newEngine(v)
		current := s.decider
		s.init = func(string) authz.Decider { return current }
		var out bytes.Buffer
		input := append(append([]byte(nil), in...), breaker+probe...)
		if err := s.Serve(t.Context(), bytes.NewReader(input), &out); err != nil {
			t.Fatal(err)
		}
		answers := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		allowed := 0
		for _, answer := range answers {
			var m struct {
				Body *jsontext.Value `json:"body"`
			}
			if err := json.Unmarshal([]byte(answer), &m); err != nil {
				t.Fatalf("line %q: %v", answer, err)
			}
			body := jsontext.Value(answer)
			if m.Body != nil {
				body = *m.Body
			}
			var b struct {
				Type        string          `json:"type"`
				Status      int             `json:"status"`
				UserContext *jsontext.Value `json:"user_context"`
			}
			if err := json.Unmarshal(body, &b); err != nil || b.Type != "init_ok" && b.Type != "api_response" && b.Type != "error" {
				t.Fatalf("line %q has no type: %v", answer, err)
			}
			if b.UserContext != nil {
				allowed++
			}
		}
		if allowed > v.accepted {
			t.Errorf("%d requests were allowed with a principal, %d credentials were verified", allowed, v.accepted)
		}
		if last := answers[len(answers)-1]; last != want {
			t.Errorf("after %q the probe is answered %s", in, last)
		}
	})
}
