package jsonlines

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/passgate/passgate/internal/authz"
)

// pieces reads in pieces of these lengths in turn, 1 for a 0.
type pieces struct {
	in      io.Reader
	lengths []byte
	n       int
}

func (p *pieces) Read(b []byte) (int, error) {
	length := 1
	if len(p.lengths) > 0 {
		length = max(int(p.lengths[p.n%len(p.lengths)]), 1)
		p.n++
	}
	return p.in.Read(b[:min(len(b), length)])
}

// FuzzFraming holds the framer to a decoder that is not ours: on input without a fault they cut the same
// values, and each value that the framer returns is strict JSON. In what pieces the input comes is all one.
func FuzzFraming(f *testing.F) {
	for _, seed := range []string{`{"a":1} [2,"x\n"] null`, "{\n}\n{]", `-0.5e1 1`, `{"a":1,"a":2}`, "[tru]\n1", "\"\\ud83d\\ude00\"", "\"\xc3\xa9\"\n\"\xc3\""} {
		f.Add(seed, []byte(nil))
		f.Add(seed, []byte{3, 1})
	}
	f.Fuzz(func(t *testing.T, in string, lengths []byte) {
		got := frames(t, strings.NewReader(in))
		if again := frames(t, &pieces{in: strings.NewReader(in), lengths: lengths}); !slices.Equal(got, again) {
			t.Errorf("%q is cut into %q, in pieces into %q", in, got, again)
		}
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

// asked returns what a value asks, read by the standard library: a request, or "" and whether it is an init. It
// is false for what is neither.
func asked(value string) (r *authz.Request, init, ok bool) {
	var body map[string]any
	if json.Unmarshal([]byte(value), &body) != nil || body == nil {
		return nil, false, false
	}
	_, hasType := body["type"]
	if _, has := body["body"]; has && !hasType {
		inner, isObject := body["body"].(map[string]any)
		if !isObject {
			return nil, false, false
		}
		body = inner
	}
	if body["type"] == "init" {
		return nil, true, true
	}
	method, okMethod := body["method"].(string)
	path, okPath := body["path"].(string)
	if body["type"] != "api_request" || !okMethod || !okPath {
		return nil, false, false
	}
	path, _, _ = strings.Cut(path, "?")
	r = &authz.Request{Method: method, Path: path, Host: "localhost", Reaches: authz.Named}
	if host := body["host"]; host != nil {
		if r.Host, ok = host.(string); !ok {
			return nil, false, false
		}
	}
	if permissions := body["required_permission"]; permissions != nil {
		text, isText := permissions.(string)
		if !isText {
			return nil, false, false
		}
		if text != "" {
			r.Context = map[string]string{authz.RequiredPermission: text}
		}
	}
	headers, isObject := body["headers"].(map[string]any)
	if !isObject && body["headers"] != nil {
		return nil, false, false
	}
	for name, value := range headers {
		values, isList := value.([]any)
		if !isList {
			values = []any{value}
		}
		for _, value := range values {
			text, isText := value.(string)
			if !isText {
				return nil, false, false
			}
			r.Headers = append(r.Headers, authz.Header{Name: name, Value: text})
		}
	}
	return r, false, true
}

// FuzzServe: whatever comes in, and in whatever pieces, each value has one answer, in their order. A second reader
// finds in a value the request that the answer is to; what it cannot read is an error; and a message after it all
// is answered as if it had come alone.
func FuzzServe(f *testing.F) {
	for _, seed := range []string{
		`{"type":"api_request","method":"GET","path":"/api/users/1","headers":{"Authorization":"Bearer user_token..."},"required_permission":"read"}`,
		`{"type":"api_request","method":"GET","path":"/api/users/1","headers":{"Authorization":"Bearer user_token..."},"required_permission":"read, admin"}`,
		`{"src":"c","dest":"g","body":{"type":"init","msg_id":[1],"jwt_public_key":"k"}}`,
		`{"src":{"a":"\u2028"},"body":{"type":"api_request","method":"GET","path":"/api/x?y","headers":{"a":["b","c"]}}}`,
		`{"type":"api_request","method":"GET","path":"/api/x","headers":{"Authorization":"Bearer panic"}}`,
		`{"type":"api_request","method":"GET","path":"/host","host":"a","headers":{"Authorization":["Bearer user_token...","x"],"authorization":[]}}`,
		`{"type":"api_request","method":"GET","path":"/public","host":null,"headers":null,"body":{"type":"init"}}{"type":"init"}[{"path":"/method"}]`,
		"[", "{\"a\":\"", "}\n\n", "{\"type\":\"init\",\"type\":\"init\"}", "\xff", "12 true",
	} {
		f.Add([]byte(seed), []byte(nil))
		f.Add([]byte(seed), []byte{7, 0, 64})
	}
	const (
		breaker = "\n\x00\n" // ends whatever value is open: no value goes on with a control byte
		probe   = `{"src":"c","dest":"g","body":{"type":"api_request","msg_id":1,"method":"GET","path":"/api/users/1","headers":{"Authorization":"Bearer user_token..."}}}`
		want    = `{"src": "g", "dest": "c", "body": {"type": "api_response", "in_reply_to": 1, "status": 200, "service": "users-service", "user_context": {"user_id": "user456", "role": "", "permissions": ["read"]}}}`
	)
	s := newServer(io.Discard)
	engine := s.decider
	f.Fuzz(func(t *testing.T, in, lengths []byte) {
		input := string(in) + breaker + probe
		s.decider = engine
		var out bytes.Buffer
		if err := s.Serve(t.Context(), &pieces{in: strings.NewReader(input), lengths: lengths}, &out); err != nil {
			t.Fatal(err)
		}
		answers := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		values := frames(t, strings.NewReader(input))
		if len(values) != len(answers) {
			t.Fatalf("%d values have %d answers", len(values), len(answers))
		}
		for i, answer := range answers {
			var m map[string]json.RawMessage
			if err := json.Unmarshal([]byte(answer), &m); err != nil {
				t.Fatalf("%q is answered %q: %v", values[i], answer, err)
			}
			body := []byte(answer)
			if m["type"] == nil {
				body = m["body"]
			}
			var got struct {
				Type        string
				Status      int
				UserContext *struct {
					UserID string `json:"user_id"`
				} `json:"user_context"`
			}
			if err := json.Unmarshal(body, &got); err != nil {
				t.Fatalf("%q is answered %q: %v", values[i], answer, err)
			}
			want, user := "error", ""
			request, init, ok := asked(values[i])
			switch {
			case values[i] == "!" || !ok:
			case init:
				want = "init_ok"
			default:
				want = "api_response"
				d := engine.Decide(t.Context(), request)
				if d.Allowed() != (got.Status == 200) || got.Status == 0 {
					t.Errorf("%q is answered %q; a second reader's request is decided %v", values[i], answer, d.Reason)
				}
				if d.Allowed() && d.Identity != nil {
					user = d.Identity.UserID
				}
			}
			if got.Type != want {
				t.Errorf("%q is answered %q, want %s", values[i], answer, want)
			}
			if (got.UserContext != nil) != (user != "") || user != "" && got.UserContext.UserID != user {
				t.Errorf("%q is answered %q, want the user %q", values[i], answer, user)
			}
		}
		if last := answers[len(answers)-1]; last != want {
			t.Errorf("after %q the probe is answered %s", in, last)
		}
	})
}
