package e2e

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/text/unicode/norm"
)

// Nobody learns from a login whether an address has an account: one password is compared either way, and the
// answers are alike.
func TestLoginTellsNotWhoHasAnAccount(t *testing.T) {
	a := startWithRedis(t)
	ann := a.spilled.newPerson()
	a.session(t, must(t, 201)(a.post(signUpPath, ann.signUp())))
	wrong, unknown := ann, a.spilled.newPerson()
	wrong.password = unknown.password
	type shown struct {
		status int
		body   map[string]any
		header http.Header
	}
	look := func(p person) shown {
		t.Helper()
		before := a.compares(t)
		answer := must(t, 401)(a.post(logInPath, p.logIn(), "X-Request-ID: the-same"))
		if n := a.compares(t) - before; n != 1 {
			t.Errorf("%v passwords were compared, want 1", n)
		}
		s := shown{status: answer.status, header: answer.header.Clone()}
		s.header.Del("Date")
		if err := json.Unmarshal([]byte(answer.body), &s.body); err != nil {
			t.Fatal(err)
		}
		return s
	}
	known, nobody := look(wrong), look(unknown)
	if !reflect.DeepEqual(known, nobody) {
		t.Errorf("a wrong password is answered %+v, an unknown address %+v", known, nobody)
	}
	for _, odd := range []person{{ann.email, ann.password + "\x00", ""}, {ann.email, ann.password + strings.Repeat("x", 72), ""}, {"no address", ann.password, ""}} {
		if got := look(odd); !reflect.DeepEqual(got, known) {
			t.Errorf("%q is answered %+v, a wrong password %+v", odd.email, got, known)
		}
	}
	if a.hashes(t) != 1 {
		t.Errorf("%v passwords were hashed, want that of the signup", a.hashes(t))
	}
}

// The edges of §6, as a client meets them.
func TestEdgesOfPasswordsAndAddresses(t *testing.T) {
	a := startAccounts(t, "")
	sentence := "Zo\u00eb's long and private sentence"
	full := strings.Repeat("seventy-two bytes ", 4) // 72 of them
	signUp := func(p person) response {
		t.Helper()
		r, err := a.post(signUpPath, p.logIn())
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for _, test := range []struct {
		name, email, password string
		fields                string // that are faulty; "" for none
	}{
		{"72 bytes", "full@example.com", full, ""},
		{"73 bytes", "more@example.com", full + "x", "password"},
		{"NUL", "nul@example.com", sentence + "\x00", "password"},
		{"7 characters", "seven@example.com", "x9!kq2z", "password"},
		{"one of the commonest", "common@example.com", "Password1", "password"},
		{"NFD", "zoe@example.com", norm.NFD.String(sentence), ""},
		{"address that is taken in another case", "ZOE@Example.com", sentence, "taken"},
		{"Kelvin sign in the name", "\u212aelvin@example.com", sentence, "email"},
		{"Kelvin sign in the domain", "kelvin@example\u212a.com", sentence, "email"},
		{"dotted capital I", "\u0130@example.com", sentence, "email"},
		{"dotted capital I in the domain", "i@\u0130stanbul.example.com", sentence, "email"},
		{"full-width @", "wide\uff20example.com", sentence, "email"},
		{"quoted name", `"quoted"@example.com`, sentence, "email"},
		{"display name", "Ann <ann@example.com>", sentence, "email"},
		{"both", "nobody", "short", "email password"},
		{"U-label", "idn@m\u00fcnchen.example", sentence, ""},
		{"A-label of the same", "idn@xn--mnchen-3ya.example", sentence, "taken"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := signUp(person{test.email, test.password, ""})
			switch test.fields {
			case "":
				if r.status != 201 {
					t.Errorf("status %d: %s", r.status, r.body)
				}
			case "taken":
				r.mustDeny(t, test.name, 409, "email_taken")
			default:
				r.mustDeny(t, test.name, 422, "invalid_fields")
				var body struct {
					Errors []struct{ Field, Message string }
				}
				if err := json.Unmarshal([]byte(r.body), &body); err != nil {
					t.Fatal(err)
				}
				var fields []string
				for _, e := range body.Errors {
					fields = append(fields, e.Field)
				}
				if got := strings.Join(fields, " "); got != test.fields || strings.Contains(r.body, test.password) {
					t.Errorf("the faulty fields are %q, want %q: %s", got, test.fields, r.body)
				}
			}
		})
	}
	for _, test := range []struct {
		name, email, password string
		status                int
	}{
		{"72 bytes", "full@example.com", full, 200},
		{"72 bytes and a suffix", "full@example.com", full + "x", 401},
		{"NFC of what was NFD", "zoe@example.com", norm.NFC.String(sentence), 200},
		{"NFD as it was", "zoe@example.com", norm.NFD.String(sentence), 200},
		{"NUL behind it", "zoe@example.com", sentence + "\x00", 401},
		{"the A-label of a U-label", "idn@XN--MNCHEN-3YA.example", sentence, 200},
	} {
		t.Run("login with "+test.name, func(t *testing.T) {
			must(t, test.status)(a.post(logInPath, person{test.email, test.password, ""}.logIn()))
		})
	}
}

func TestMeAndUsers(t *testing.T) {
	a := startAccounts(t, "")
	ann := a.spilled.newPerson()
	s := a.session(t, must(t, 201)(a.post(signUpPath, ann.signUp())))
	me := func(token string) response { return get(t, a.http, "/v1/auth/me", "Authorization: Bearer "+token) }
	want := map[string]any{"user_id": s.UserID, "email": ann.email, "name": "Ann", "country": "IN", "platform": "android", "subscription": "free", "roles": []any{"user"}, "permissions": []any{}}
	look := func(token string) {
		t.Helper()
		var got map[string]any
		if r := me(token); r.status != 200 || json.Unmarshal([]byte(r.body), &got) != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%d %s, want %v", r.status, r.body, want)
		}
	}
	look(s.Token)
	me("a.b.c").mustDeny(t, "a token that is none", 401, "invalid_token")
	get(t, a.http, "/v1/auth/me").mustDeny(t, "no token", 401, "missing_credentials")

	// While passgate runs, an operator grants.
	a.command(t, "users", "grant", "--config", a.config, strings.ToUpper(ann.email), "--role", "admin", "--permission", "orders:read", "--subscription", "pro")
	want["roles"], want["permissions"], want["subscription"] = []any{"user", "admin"}, []any{"orders:read"}, "pro"
	look(s.Token)
	claims := a.claims(t, a.session(t, must(t, 200)(a.post(logInPath, ann.logIn()))).Token)
	if !reflect.DeepEqual(claims["roles"], want["roles"]) || !reflect.DeepEqual(claims["permissions"], want["permissions"]) || claims["subscription"] != "pro" {
		t.Errorf("the token says %v", claims)
	}
	a.command(t, "users", "revoke", "--config", a.config, ann.email, "--role", "admin", "--permission", "orders:read")
	want["roles"], want["permissions"] = []any{"user"}, []any{}
	look(s.Token)
	if out := string(a.command(t, "users", "show", "--config", a.config, ann.email)); !strings.Contains(out, s.UserID) || strings.Contains(out, "$2a$") {
		t.Errorf("users show prints %s", out)
	}
}
