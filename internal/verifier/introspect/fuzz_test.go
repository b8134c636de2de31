package introspect

import (
	"bytes"
	"encoding/json"
	"io"
	"testing"
	"unicode/utf8"
)

// saysActive reads an answer with the standard library alone: one object in UTF-8, in which active stands once and is
// literally true, and the one sub is a string that is not empty.
func saysActive(body []byte) (user string, ok bool) {
	if len(body) > maxAnswerBytes || !utf8.Valid(body) || !json.Valid(body) {
		return "", false
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return "", false
	}
	actives, subs, isTrue := 0, 0, false
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return "", false
		}
		var value json.RawMessage
		if d.Decode(&value) != nil {
			return "", false
		}
		switch name {
		case "active":
			actives++
			isTrue = string(value) == "true"
		case "sub":
			subs++
			if json.Unmarshal(value, &user) != nil {
				return "", false
			}
		}
	}
	_, err := d.Token() // the end of the object
	_, after := d.Token()
	return user, err == nil && after == io.EOF && actives == 1 && isTrue && subs == 1 && user != ""
}

// FuzzAnswer: an identity comes out only of strict JSON whose active is literally true, and is that of its sub.
func FuzzAnswer(f *testing.F) {
	for _, body := range []string{
		active(""), active(`,"exp":1800000001`), active(`,"exp":1`), active(`,"aud":["a"],"roles":["admin"],"scope":"a b","iss":"i"`), active(`,"token":"` + testToken + `"`),
		`{"active":false,"sub":"ann"}`, `{"active":"true","sub":"ann"}`, `{"active":1,"sub":"ann"}`, `{"active":null}`, `{"active":[true],"sub":"ann"}`, `{"sub":"ann"}`,
		`{"active":false,"active":true,"sub":"ann"}`, `{"\u0061ctive":true,"s\u0075b":"\ud83d\ude00"}`, `{"Active":true,"sub":"ann"}`, active("") + active(""), active("") + "x",
		`<html>`, ``, `[]`, `null`, `true`, "\ufeff" + active(""), `{"active":true,"sub":"\ud83d"}`, "{\"active\":true,\"sub\":\"\xff\"}", ` { "active" : true , "sub" : "a" } `,
	} {
		f.Add([]byte(body))
	}
	s := idp(down())
	s.UserPrefix = ""
	v := newVerifier(s)
	f.Fuzz(func(t *testing.T, body []byte) {
		a, err := v.read(v.servers[0], body, testToken, now)
		if err != nil {
			if verdict(t, nil, err) != unavailable {
				t.Errorf("what cannot be judged is blamed on the token: %v", err)
			}
			return
		}
		id, err := a.judge(v.servers[0], now)
		got := verdict(t, id, err)
		if got == unavailable {
			t.Errorf("an answer that is kept says nothing: %v", err)
		}
		if got != good {
			return
		}
		user, ok := saysActive(body)
		if !ok || id.UserID != user || id.Source != "idp" {
			t.Errorf("%q became %+v; it should be %q, %t", body, id.Principal, user, ok)
		}
		if _, ok := saysActive(id.Claims); !ok {
			t.Errorf("%q became the claims %q", body, id.Claims)
		}
	})
}
