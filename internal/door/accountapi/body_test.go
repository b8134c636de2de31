package accountapi

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/passgate/passgate/internal/account"
)

func TestMediaType(t *testing.T) {
	for _, test := range []struct {
		name    string
		headers []string
		good    bool
	}{
		{"plain", []string{"Content-Type: application/json"}, true},
		{"in any case", []string{"Content-Type: Application/JSON"}, true},
		{"with its charset", []string{`Content-Type: application/json; charset=utf-8`}, true},
		{"with its charset, quoted and in any case", []string{`Content-Type: application/json;CharSet="UTF-8"`}, true},
		{"identity", []string{asJSON, "Content-Encoding: identity"}, true},
		{"identity in any case, twice", []string{asJSON, "Content-Encoding: Identity, identity"}, true},
		{"empty encoding", []string{asJSON, "Content-Encoding: "}, true},

		{"none", nil, false},
		{"empty", []string{"Content-Type: "}, false},
		{"twice", []string{asJSON, asJSON}, false},
		{"joined", []string{"Content-Type: application/json, application/json"}, false},
		{"a form", []string{"Content-Type: application/x-www-form-urlencoded"}, false},
		{"text", []string{"Content-Type: text/json"}, false},
		{"a kind of JSON", []string{"Content-Type: application/problem+json"}, false},
		{"longer", []string{"Content-Type: application/json5"}, false},
		{"another charset", []string{"Content-Type: application/json; charset=utf-16"}, false},
		{"another parameter", []string{"Content-Type: application/json; version=1"}, false},
		{"another parameter that says the same", []string{"Content-Type: application/json; encoding=utf-8"}, false},
		{"charset and another parameter", []string{"Content-Type: application/json; charset=utf-8; q=1"}, false},
		{"two charsets", []string{"Content-Type: application/json; charset=utf-8; charset=utf-16"}, false},
		{"a broken parameter", []string{"Content-Type: application/json; charset"}, false},
		{"gzip", []string{asJSON, "Content-Encoding: gzip"}, false},
		{"gzip beside identity", []string{asJSON, "Content-Encoding: identity,gzip"}, false},
		{"gzip on another line", []string{asJSON, "Content-Encoding: identity", "Content-Encoding: br"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, path := range []string{account.SignUpPath, account.LogInPath} {
				d := newDoor()
				w := d.do(t, call{"POST", path, test.headers, good})
				if test.good {
					if w.Code >= 300 {
						t.Errorf("answered %d %s", w.Code, w.Body)
					}
					continue
				}
				wants(t, w, 415, "unsupported_media_type")
				if d.accounts.plans > 0 {
					t.Error("the call was begun")
				}
			}
		})
	}
}

func TestMalformedBody(t *testing.T) {
	for _, test := range []struct{ name, body string }{
		{"nothing", ""},
		{"blanks", "  "},
		{"null", "null"},
		{"array", "[" + good + "]"},
		{"string", `"a"`},
		{"number", "1"},
		{"a form", "email=ann%40example.com&password=x"},
		{"trailing object", good + good},
		{"trailing word", good + "x"},
		{"trailing NUL", good + "\x00"},
		{"trailing comma", `{"email":"a","password":"b",}`},
		{"comment", good + "//"},
		{"byte order mark", "\ufeff" + good},
		{"UTF-16", "\xff\xfe{\x00}\x00"},
		{"not UTF-8", "{\"email\":\"\xff\",\"password\":\"b\"}"},
		{"not UTF-8, in an unknown member", "{\"x\":\"\xc0\xaf\",\"email\":\"a\",\"password\":\"b\"}"},
		{"lone surrogate", `{"email":"\ud800","password":"b"}`},
		{"lone surrogate, in a name", `{"\udc00":1,"email":"a","password":"b"}`},
		{"surrogates in the wrong order", `{"email":"\ude00\ud83d","password":"b"}`},
		{"repeated name", `{"email":"a","email":"a","password":"b"}`},
		{"repeated name, written in two ways", `{"email":"a","\u0065mail":"c","password":"b"}`},
		{"repeated name, unknown", `{"x":1,"x":2,"email":"a","password":"b"}`},
		{"repeated name, inside", `{"x":{"y":1,"y":2},"email":"a","password":"b"}`},
		{"raw control byte", "{\"email\":\"a\n\",\"password\":\"b\"}"},
		{"single quotes", `{'email':'a','password':'b'}`},
		{"unfinished", `{"email":"a","password":"b"`},
		{"unfinished string", `{"email":"a`},
		{"leading zero", `{"x":01,"email":"a","password":"b"}`},
		{"deep", `{"x":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `,"email":"a","password":"b"}`},
		{"deep and unfinished", strings.Repeat(`{"x":`, 10_000)},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newDoor()
			wants(t, d.do(t, signUpCall(test.body)), 400, "malformed_body")
			wants(t, d.do(t, logInCall(test.body)), 400, "malformed_body")
			if len(d.accounts.signUps)+len(d.accounts.logIns) > 0 {
				t.Error("it was acted on")
			}
		})
	}
}

func TestBodyLength(t *testing.T) {
	padded := func(n int) string { return good + strings.Repeat(" ", n-len(good)) }
	for _, test := range []struct {
		name   string
		max    int64
		length int
		status int
	}{
		{"64 KiB", 0, 64 << 10, 201},
		{"one more", 0, 64<<10 + 1, 413},
		{"much more", 0, 1 << 20, 413},
		{"as configured", 100, 100, 201},
		{"one more than configured", 100, 101, 413},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newDoor(func(o *Options) { o.MaxBody = test.max })
			w := d.do(t, signUpCall(padded(test.length)))
			if w.Code != test.status || test.status == 413 && (problemOf(t, w).Code != "body_too_large" || d.accounts.plans > 0) {
				t.Errorf("answered %d %s", w.Code, w.Body)
			}
		})
	}
}

func TestFieldsOfSignup(t *testing.T) {
	const missing, wrong = "is required", "want a string"
	for _, test := range []struct {
		name, body string
		want       account.SignUp
		faults     []struct{ Field, Message string }
	}{
		{name: "all", body: `{"email":"a","password":"b","name":"c","country":"d","platform":"e"}`, want: account.SignUp{Email: "a", Password: "b", Name: "c", Country: "d", Platform: "e"}},
		{name: "what is required", body: `{"password":"b","email":"a"}`, want: account.SignUp{Email: "a", Password: "b"}},
		{name: "empty ones, which the service judges", body: `{"email":"","password":"","name":""}`, want: account.SignUp{}},
		{name: "escapes", body: `{"\u0065mail":"\ud83d\ude00","password":"\u0000\n\"\/"}`, want: account.SignUp{Email: "😀", Password: "\x00\n\"/"}},
		{name: "blanks are kept inside", body: " \t\r\n{ \"email\" : \" a \" , \"password\" : \" \" } \n", want: account.SignUp{Email: " a ", Password: " "}},
		{name: "unknown names", body: `{"email":"a","password":"b","roles":["admin"],"subscription":"paid","user_id":null,"permissions":{"x":1},"":2}`, want: account.SignUp{Email: "a", Password: "b"}},
		{name: "names in another case are unknown", body: `{"email":"a","password":"b","Email":1,"PASSWORD":"c","Name":"n"}`, want: account.SignUp{Email: "a", Password: "b"}},
		{name: "names that fold to known ones are unknown", body: `{"email":"a","password":"b","pa\u017fsword":"c"}`, want: account.SignUp{Email: "a", Password: "b"}},

		{name: "nothing", body: `{}`, faults: []struct{ Field, Message string }{{"email", missing}, {"password", missing}}},
		{name: "another case alone", body: `{"Email":"a","password":"b"}`, faults: []struct{ Field, Message string }{{"email", missing}}},
		{name: "null", body: `{"email":null,"password":"b","name":null}`, faults: []struct{ Field, Message string }{{"email", wrong}, {"name", wrong}}},
		{name: "other types", body: `{"email":["a"],"password":1,"name":{},"country":true,"platform":1.5}`,
			faults: []struct{ Field, Message string }{{"email", wrong}, {"password", wrong}, {"name", wrong}, {"country", wrong}, {"platform", wrong}}},
		{name: "one missing, one of another type", body: `{"country":[],"email":"a"}`, faults: []struct{ Field, Message string }{{"password", missing}, {"country", wrong}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newDoor()
			w := d.do(t, signUpCall(test.body))
			if test.faults == nil {
				if diff := cmp.Diff([]account.SignUp{test.want}, d.accounts.signUps); w.Code != 201 || diff != "" {
					t.Errorf("answered %d; asked for (-want +got):\n%s", w.Code, diff)
				}
				return
			}
			wants(t, w, 422, "invalid_fields")
			if diff := cmp.Diff(test.faults, problemOf(t, w).Errors); diff != "" || len(d.accounts.signUps) > 0 {
				t.Errorf("asked for %v; errors (-want +got):\n%s", d.accounts.signUps, diff)
			}
		})
	}
}

func TestFieldsOfLogin(t *testing.T) {
	for _, test := range []struct {
		name, body string
		want       account.LogIn
		faults     []struct{ Field, Message string }
	}{
		{name: "both", body: `{"password":"b","email":"a"}`, want: account.LogIn{Email: "a", Password: "b"}},
		{name: "empty ones are wrong ones", body: `{"email":"","password":""}`, want: account.LogIn{}},
		{name: "those of a signup are unknown", body: `{"email":"a","password":"b","name":1,"country":null}`, want: account.LogIn{Email: "a", Password: "b"}},
		{name: "missing", body: `{"Password":"b"}`, faults: []struct{ Field, Message string }{{"email", "is required"}, {"password", "is required"}}},
		{name: "other types", body: `{"email":null,"password":{}}`, faults: []struct{ Field, Message string }{{"email", "want a string"}, {"password", "want a string"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newDoor()
			w := d.do(t, logInCall(test.body))
			if test.faults == nil {
				if diff := cmp.Diff([]account.LogIn{test.want}, d.accounts.logIns); w.Code != 200 || diff != "" {
					t.Errorf("answered %d; asked for (-want +got):\n%s", w.Code, diff)
				}
				return
			}
			wants(t, w, 422, "invalid_fields")
			if diff := cmp.Diff(test.faults, problemOf(t, w).Errors); diff != "" || len(d.accounts.logIns) > 0 {
				t.Errorf("asked for %v; errors (-want +got):\n%s", d.accounts.logIns, diff)
			}
		})
	}
}
