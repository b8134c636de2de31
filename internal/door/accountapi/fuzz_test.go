package accountapi

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/passgate/passgate/internal/account"
)

// FuzzBody: no body is a fault, and every one is understood as a second reading of it: what is malformed there is
// malformed here, the same fields are at fault, and what the accounts are asked for is what it says.
func FuzzBody(f *testing.F) {
	for _, s := range []string{
		"", "{}", good, `{"email":"a","password":"b","name":"c","country":"d","platform":"e"}`, `{"email":1,"password":null}`, `{"Email":"a","PASSWORD":"b"}`,
		`{"email":"a","\u0065mail":"b","password":"c"}`, `{"email":"\ud83d\ude00","password":"\ud83d"}`, `{"email":"\\ud800","password":"\u0000"}`, "\ufeff{}",
		`{"email":"a","password":"b"}{}`, "{\"email\":\"\xff\",\"password\":\"b\"}", `{"x":{"y":[{"z":1,"z":2}]}}`, `[{"email":"a"}]`, "null",
		`{"email":"a","password":"b","x":[1e400,-0,[[]],{}]}`, ` {"pa\u017fsword":"b"} `, `{"email":"\ufffd","password":"` + "\ufffd" + `"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) > 1<<10 {
			return // how long a body is, and how deep, is shown elsewhere
		}
		said, readable := secondReading(body)
		for _, test := range []struct {
			path               string
			required, optional []string
			success            int
		}{
			{account.SignUpPath, []string{"email", "password"}, []string{"name", "country", "platform"}, 201},
			{account.LogInPath, []string{"email", "password"}, nil, 200},
		} {
			d := newDoor()
			w := record(d, newRequest(call{"POST", test.path, []string{asJSON}, string(body)}))
			status, faults := test.success, []string(nil)
			for i, name := range slices.Concat(test.required, test.optional) {
				value, there := said[name]
				if _, isString := value.(string); there && !isString || !there && i < len(test.required) {
					status, faults = 422, append(faults, name)
				}
			}
			if !readable {
				status, faults = 400, nil
			}
			if w.Code != status {
				t.Fatalf("%q was answered %d %s, want %d", body, w.Code, w.Body, status)
			}
			if status >= 400 {
				var named []string
				for _, e := range problemOf(t, w).Errors {
					named = append(named, e.Field)
				}
				if !slices.Equal(named, faults) || len(d.accounts.signUps)+len(d.accounts.logIns) > 0 {
					t.Fatalf("%q was answered %s, want errors of %q", body, w.Body, faults)
				}
				continue
			}
			text := func(name string) string { s, _ := said[name].(string); return s }
			var diff string
			if test.path == account.SignUpPath {
				diff = cmp.Diff([]account.SignUp{{Email: text("email"), Password: text("password"), Name: text("name"), Country: text("country"), Platform: text("platform")}}, d.accounts.signUps)
			} else {
				diff = cmp.Diff([]account.LogIn{{Email: text("email"), Password: text("password")}}, d.accounts.logIns)
			}
			if diff != "" {
				t.Fatalf("%q was understood as (-want +got):\n%s", body, diff)
			}
		}
	})
}

// secondReading reads a body with Go's lax decoder and looks for what that lets through.
func secondReading(body []byte) (said map[string]any, readable bool) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if d.Decode(&said) != nil || said == nil || !utf8.Valid(body) {
		return nil, false
	}
	if _, err := d.Token(); err != io.EOF || hasLoneSurrogate(string(body)) {
		return nil, false
	}
	tokens := json.NewDecoder(bytes.NewReader(body))
	tokens.UseNumber()
	return said, !repeatsName(tokens)
}

// repeatsName reports whether an object in the next value of valid JSON repeats a name.
func repeatsName(d *json.Decoder) bool {
	open, _ := d.Token()
	if _, nested := open.(json.Delim); !nested {
		return false
	}
	names := map[string]bool{}
	for repeated := false; d.More(); {
		if open == json.Delim('{') {
			token, _ := d.Token()
			name, _ := token.(string)
			repeated = names[name]
			names[name] = true
		}
		if repeated || repeatsName(d) {
			return true
		}
	}
	d.Token()
	return false
}

// hasLoneSurrogate reports whether valid JSON escapes one half of a pair without the other after it.
func hasLoneSurrogate(text string) bool {
	unit := func(s string) rune {
		if !strings.HasPrefix(s, `\u`) || len(s) < 6 {
			return 0
		}
		u, _ := strconv.ParseUint(s[2:6], 16, 16)
		return rune(u)
	}
	for {
		at := strings.IndexByte(text, '\\')
		if at < 0 {
			return false
		}
		text = text[at:]
		switch u := unit(text); {
		case !utf16.IsSurrogate(u):
			text = text[2:] // the four digits are no backslashes
		case utf16.DecodeRune(u, unit(text[6:])) == utf8.RuneError:
			return true
		default:
			text = text[12:]
		}
	}
}
