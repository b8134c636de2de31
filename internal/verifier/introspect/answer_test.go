package introspect

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/passgate/passgate/internal/authz"
)

// padded returns a good answer of n bytes.
func padded(n int) string {
	head, tail := `{"active":true,"sub":"ann","x":"`, `"}`
	return head + strings.Repeat("x", n-len(head)-len(tail)) + tail
}

// Each answer is asked for twice: what can be judged is kept, and what cannot is asked anew.
func TestAnswers(t *testing.T) {
	for want, answers := range map[string]map[string]string{
		good: {
			"the least":                 active(""),
			"white space":               " \r\n\t{ \"active\" : true , \"sub\":\"ann\" }\n",
			"an escaped name":           `{"\u0061ctive":true,"sub":"ann"}`,
			"names that differ in case": active(`,"Active":false,"ACTIVE":null`),
			"active in something else":  active(`,"x":{"active":false}`),
			"a second left":             active(`,"exp":1800000001`),
			"an exp of the year 9999":   active(`,"exp":253402300799`),
			"not before, within skew":   active(`,"nbf":1800000060`),
			"64 KiB":                    padded(maxAnswerBytes),
			"any audience":              active(`,"aud":["x"]`),
			"a client and a user name":  active(`,"client_id":7,"username":null,"token_type":[]`),
		},
		expired: {
			"exp is now":           active(`,"exp":1800000000`),
			"exp is past":          active(`,"exp":1799999999`),
			"exp is 0":             active(`,"exp":0`),
			"expired, not yet due": active(`,"exp":1,"nbf":1900000000`),
		},
		invalid: {
			"inactive":                       `{"active":false}`,
			"inactive with claims":           `{"active":false,"sub":"ann","exp":1800000001,"scope":"read"}`,
			"active is a string":             `{"active":"true","sub":"ann"}`,
			"active is 1":                    `{"active":1,"sub":"ann"}`,
			"active is null":                 `{"active":null,"sub":"ann"}`,
			"active is an array":             `{"active":[true],"sub":"ann"}`,
			"active is an object":            `{"active":{"active":true},"sub":"ann"}`,
			"active is an empty string":      `{"active":"","sub":"ann"}`,
			"no user id":                     `{"active":true}`,
			"a user name and no user id":     `{"active":true,"username":"ann","client_id":"web"}`,
			"an empty user id":               `{"active":true,"sub":""}`,
			"a user id that is a number":     `{"active":true,"sub":7}`,
			"a user id that is null":         `{"active":true,"sub":null}`,
			"exp is a string":                active(`,"exp":"1800000001"`),
			"exp is null":                    active(`,"exp":null`),
			"exp is a fraction":              active(`,"exp":1800000001.5`),
			"exp is negative":                active(`,"exp":-1`),
			"exp is past the year 9999":      active(`,"exp":253402300800`),
			"nbf beyond the skew":            active(`,"nbf":1800000061`),
			"iat beyond the skew":            active(`,"iat":1800000061`),
			"nbf is a string":                active(`,"nbf":"0"`),
			"aud is a number":                active(`,"aud":7`),
			"iss is a number":                active(`,"iss":7`),
			"iss is null":                    active(`,"iss":null`),
			"scope is an array":              active(`,"scope":["read"]`),
			"roles are numbers":              active(`,"roles":[1]`),
			"permissions are a string":       active(`,"permissions":"read"`),
			"an email that is an object":     active(`,"email":{}`),
			"jti is a number":                active(`,"jti":7`),
			"a user id of no string, active": `{"sub":["ann"],"active":true}`,
		},
		unavailable: {
			"nothing":                    "",
			"blanks":                     "  \n",
			"no active":                  `{"sub":"ann","exp":1800000001}`,
			"active in another case":     `{"Active":true,"sub":"ann"}`,
			"an empty object":            `{}`,
			"an array":                   `[{"active":true,"sub":"ann"}]`,
			"null":                       `null`,
			"true":                       `true`,
			"a string":                   `"active"`,
			"HTML":                       `<!DOCTYPE html><html><body>{"active":true,"sub":"ann"}</body></html>`,
			"a form":                     `active=true&sub=ann`,
			"false, then true":           `{"active":false,"active":true,"sub":"ann"}`,
			"true, then false":           `{"active":true,"active":false,"sub":"ann"}`,
			"true, twice":                `{"active":true,"sub":"ann","active":true}`,
			"twice, once escaped":        `{"active":false,"\u0061ctive":true,"sub":"ann"}`,
			"two users":                  active(`,"sub":"bob"`),
			"a name twice further down":  active(`,"x":[{"a":1,"a":2}]`),
			"a second object":            active("") + active(""),
			"trailing text":              active("") + "x",
			"a trailing zero byte":       active("") + "\x00",
			"a byte order mark":          "\ufeff" + active(""),
			"cut short":                  `{"active":true,"sub":"ann"`,
			"a trailing comma":           `{"active":true,"sub":"ann",}`,
			"a comment":                  `{"active":true,"sub":"ann"/**/}`,
			"single quotes":              `{'active':true,'sub':'ann'}`,
			"True":                       `{"active":True,"sub":"ann"}`,
			"not UTF-8":                  active(`,"x":"` + "\xff" + `"`),
			"a lone surrogate":           active(`,"x":"\ud83d"`),
			"a raw control byte":         active(`,"x":"` + "\x01" + `"`),
			"a byte more than 64 KiB":    padded(maxAnswerBytes + 1),
			"64 KiB of blanks behind it": active("") + strings.Repeat(" ", maxAnswerBytes),
			"deeper than anyone needs":   active(`,"x":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000)),
		},
	} {
		for name, body := range answers {
			t.Run(want+"/"+name, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					a := says(body)
					v := newVerifier(idp(a))
					expect(t, v, opaque(testToken), now, want)
					if _, err := expect(t, v, opaque(testToken), now, want); want == expired {
						var e *authz.ExpiredError
						if errors.As(err, &e); e.Source != "idp" {
							t.Errorf("the source of an expired token is %q", e.Source)
						}
					}
					if want == unavailable {
						expectCalls(t, a, 2)
					} else {
						expectCalls(t, a, 1)
					}
				})
			})
		}
	}
}

func TestAudiences(t *testing.T) {
	for name, test := range map[string]struct{ answer, want string }{
		"the one":         {active(`,"aud":"api"`), good},
		"one of many":     {active(`,"aud":["x","web"]`), good},
		"none":            {active(""), invalid},
		"an empty list":   {active(`,"aud":[]`), invalid},
		"another":         {active(`,"aud":"ap"`), invalid},
		"in another case": {active(`,"aud":"API"`), invalid},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := idp(says(test.answer))
				s.Audiences = []string{"api", "web"}
				expect(t, newVerifier(s), opaque(testToken), now, test.want)
			})
		})
	}
}

func TestPrincipal(t *testing.T) {
	for name, test := range map[string]struct {
		answer string
		want   authz.Principal
		claims string // "": the answer
	}{
		"the least": {answer: active(""), want: authz.Principal{UserID: "idp:ann", Roles: []string{}, Permissions: []string{}}},
		"everything": {
			answer: active(`,"iss":"https://idp.partner.example","email":"a@example.com","subscription":"free","country":"IN","platform":"web","roles":["admin"],"permissions":["p"],"scope":"s t"`),
			want: authz.Principal{UserID: "idp:ann", Issuer: "https://idp.partner.example", Email: "a@example.com", Subscription: "free", Country: "IN", Platform: "web",
				Roles: []string{"admin"}, Permissions: []string{"p", "s", "t", "read", "write"}},
		},
		"the prefix is put before any user id": {
			answer: `{"active":true,"sub":"other:ann"}`,
			want:   authz.Principal{UserID: "idp:other:ann", Roles: []string{}, Permissions: []string{}},
		},
		"the token is not repeated": {
			answer: `{"token":"` + testToken + `","sub":"ann","x":[{"y":"idp\u005ftest-token-not-for-production"}],"active":true,"` + testToken + `":1,"z":{"` + testToken + `":2},"b":1.50}`,
			want:   authz.Principal{UserID: "idp:ann", Roles: []string{}, Permissions: []string{}},
			claims: `{"active":true,"b":1.50,"sub":"ann"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				v := newVerifier(idp(says(test.answer)))
				id, err := v.Verify(t.Context(), opaque(testToken), now)
				if err != nil {
					t.Fatal(err)
				}
				test.want.Source, test.want.Claims = "idp", []byte(test.answer)
				if test.claims != "" {
					test.want.Claims = []byte(test.claims)
				}
				if diff := cmp.Diff(test.want, id.Principal); diff != "" {
					t.Error(diff)
				}
				if again, _ := v.Verify(t.Context(), opaque(testToken), now); again != id {
					t.Error("one token has two identities")
				}
			})
		})
	}
}

// A server without a prefix must not name a user of one that has it.
func TestForeignPrefix(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := idp(says(`{"active":true,"sub":"other:ann"}`))
		s.UserPrefix = ""
		expect(t, newVerifier(s), opaque(testToken), now, invalid)
	})
}

func TestConfiguredNames(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := idp(says(`{"active":true,"sub":"ann","username":"bob"}`))
		s.Claims.UserID = "username"
		if user, _ := expect(t, newVerifier(s), opaque(testToken), now, good); user != "idp:bob" {
			t.Errorf("the user is %q", user)
		}
	})
}

// What an answer says of the future comes true or not while it is kept; what has ended stays ended.
func TestKeptAnswersAreJudgedByThePresent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		clock := now
		a := says(active(`,"exp":1800000010`))
		v := New(Options{Servers: []Server{idp(a)}, Now: func() time.Time { return clock }})
		expect(t, v, opaque(testToken), now, good)
		expect(t, v, opaque(testToken), now.Add(9999*time.Millisecond), good)
		expectCalls(t, a, 1)
		clock = now.Add(10 * time.Second)
		expect(t, v, opaque(testToken), clock, expired) // asked anew, as exp was sooner than the cache's end
		expectCalls(t, a, 2)
		// The clock is set back: the second answer was a refusal, and remains one.
		expect(t, v, opaque(testToken), now, expired)
		expectCalls(t, a, 2)
	})
}

// The token expires while its request waits for the answer.
func TestExpiryWhileWaiting(t *testing.T) {
	bubble(t, func(t *testing.T) {
		clock := now
		a := says("")
		a.answer = func(context.Context, string) ([]byte, error) {
			clock = now.Add(time.Second)
			return []byte(active(`,"exp":1800000001`)), nil
		}
		v := New(Options{Servers: []Server{idp(a)}, Now: func() time.Time { return clock }})
		expect(t, v, opaque(testToken), now, expired)
	})
}

// Who it is, and may do what, is logged: a server must not write the token there.
func TestAnswersThatRepeatTheToken(t *testing.T) {
	for more, want := range map[string]string{
		`,"scope":"read ` + testToken + `"`:          invalid,
		`,"roles":["x-` + testToken + `-y"]`:         invalid,
		`,"iss":"https://a/` + testToken + `"`:       invalid,
		`,"email":"` + testToken + `@example.com"`:   invalid,
		`,"scope":"` + testToken[:minSecret-1] + `"`: good,
	} {
		bubble(t, func(t *testing.T) {
			v := New(Options{Servers: []Server{idp(says(active(more)))}, Now: func() time.Time { return now }})
			expect(t, v, opaque(testToken), now, want)
		})
	}
	bubble(t, func(t *testing.T) { // a token that short is no secret
		token := testToken[:minSecret-1]
		v := New(Options{Servers: []Server{idp(says(active(`,"scope":"` + token + `"`)))}, Now: func() time.Time { return now }})
		expect(t, v, opaque(token), now, good)
		token = testToken[:minSecret]
		v = New(Options{Servers: []Server{idp(says(active(`,"scope":"` + token + `"`)))}, Now: func() time.Time { return now }})
		expect(t, v, opaque(token), now, invalid)
	})
}
