package account

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var signUpRules = PasswordRules{MinLength: 8, RefuseCommon: true}

func TestSignUpIsCanonical(t *testing.T) {
	tests := []struct {
		name     string
		in, want SignUp
	}{
		{
			"email and password alone",
			SignUp{Email: "ann@example.com", Password: "wq7-xyz."},
			SignUp{Email: "ann@example.com", Password: "wq7-xyz."},
		},
		{
			"everything",
			SignUp{"Ann@Bücher.example", "caf" + decomposed + " noir", " Ann Le" + decomposed + "\u00a0", "in", "Android_14.1-x"},
			SignUp{"ann@xn--bcher-kva.example", "caf" + composed + " noir", "Ann Le" + composed, "IN", "Android_14.1-x"},
		},
		{
			"at every limit",
			SignUp{"a@b.c", strings.Repeat("x", 72), strings.Repeat("😀", 200), "zZ", strings.Repeat("9", 32)},
			SignUp{"a@b.c", strings.Repeat("x", 72), strings.Repeat("😀", 200), "ZZ", strings.Repeat("9", 32)},
		},
		{
			"a name of 200 characters after NFC, with blanks around them",
			SignUp{"a@b.c", "wq7-xyz.", " " + strings.Repeat(decomposed, 200) + " ", "", "x"},
			SignUp{"a@b.c", "wq7-xyz.", strings.Repeat(composed, 200), "", "x"},
		},
		{
			"a name in another script, with its marks",
			SignUp{"a@b.c", "wq7-xyz.", "نامه\u200cای \u200f(משה)", "", ""},
			SignUp{"a@b.c", "wq7-xyz.", "نامه\u200cای \u200f(משה)", "", ""},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := test.in.judge(signUpRules)
			if diff := cmp.Diff(test.want, got); err != nil || diff != "" {
				t.Fatalf("%v; want against got:\n%s", err, diff)
			}
			if again, err := got.judge(signUpRules); err != nil || again != got {
				t.Errorf("the result becomes %q, %v", again, err)
			}
		})
	}
}

func TestSignUpRefuses(t *testing.T) {
	const (
		line     = "want no control characters, line breaks or changes of the writing direction"
		unseen   = "want a name that can be seen, or none"
		letters  = "want two letters such as IN"
		platform = "want 32 or fewer ASCII letters, digits, dots, hyphens and underscores, such as android"
	)
	good := SignUp{"ann@example.com", "wq7-xyz.", "Ann", "IN", "android"}
	tests := []struct {
		name   string
		change func(*SignUp)
		want   []Field
	}{
		{"no email", func(s *SignUp) { s.Email = "" }, []Field{{"email", errEmailForm.Error()}}},
		{"email with a Kelvin sign", func(s *SignUp) { s.Email = "ann@\u212aelvin.com" }, []Field{{"email", errEmailFolds.Error()}}},
		{"no password", func(s *SignUp) { s.Password = "" }, []Field{{"password", "want 8 characters or more"}}},
		{"password of 73 bytes", func(s *SignUp) { s.Password = strings.Repeat("x", 73) }, []Field{{"password", "want 72 bytes or fewer"}}},
		{"common password", func(s *SignUp) { s.Password = "Password1" }, []Field{{"password", "is one of the commonest passwords; choose another"}}},

		{"name of 201 characters", func(s *SignUp) { s.Name = strings.Repeat("x", 201) }, []Field{{"name", "want 200 characters or fewer"}}},
		{"name that NFC makes 201 characters", func(s *SignUp) { s.Name = growing + strings.Repeat("x", 199) }, []Field{{"name", "want 200 characters or fewer"}}},
		{"blank name", func(s *SignUp) { s.Name = " " }, []Field{{"name", unseen}}},
		{"name of wide blanks", func(s *SignUp) { s.Name = "\u3000\u2003\u00a0" }, []Field{{"name", unseen}}},
		{"name that cannot be seen", func(s *SignUp) { s.Name = "\u200b \u00ad" }, []Field{{"name", unseen}}},
		{"name with NUL", func(s *SignUp) { s.Name = "A\x00nn" }, []Field{{"name", line}}},
		{"name with a newline", func(s *SignUp) { s.Name = "A\r\nnn" }, []Field{{"name", line}}},
		{"name that ends with a newline", func(s *SignUp) { s.Name = "Ann\n" }, []Field{{"name", line}}},
		{"name with a tab", func(s *SignUp) { s.Name = "A\tnn" }, []Field{{"name", line}}},
		{"name with DEL", func(s *SignUp) { s.Name = "A\x7fnn" }, []Field{{"name", line}}},
		{"name with an escape", func(s *SignUp) { s.Name = "A\x1b[2Jnn" }, []Field{{"name", line}}},
		{"name with a C1 control", func(s *SignUp) { s.Name = "A\u009bnn" }, []Field{{"name", line}}},
		{"name that begins with NEL", func(s *SignUp) { s.Name = "\u0085Ann" }, []Field{{"name", line}}},
		{"name with a line separator", func(s *SignUp) { s.Name = "A\u2028nn" }, []Field{{"name", line}}},
		{"name that ends with a paragraph separator", func(s *SignUp) { s.Name = "Ann\u2029" }, []Field{{"name", line}}},
		{"name with an embedding", func(s *SignUp) { s.Name = "A\u202ann" }, []Field{{"name", line}}},
		{"name with an override", func(s *SignUp) { s.Name = "A\u202enn" }, []Field{{"name", line}}},
		{"name with an isolate", func(s *SignUp) { s.Name = "A\u2066nn" }, []Field{{"name", line}}},
		{"name with the end of an isolate", func(s *SignUp) { s.Name = "A\u2069nn" }, []Field{{"name", line}}},
		{"name that is not UTF-8", func(s *SignUp) { s.Name = "A\xffnn" }, []Field{{"name", "want text in UTF-8"}}},

		{"country of one letter", func(s *SignUp) { s.Country = "I" }, []Field{{"country", letters}}},
		{"country of three letters", func(s *SignUp) { s.Country = "IND" }, []Field{{"country", letters}}},
		{"country by name", func(s *SignUp) { s.Country = "India" }, []Field{{"country", letters}}},
		{"country with a digit", func(s *SignUp) { s.Country = "I1" }, []Field{{"country", letters}}},
		{"country with a blank", func(s *SignUp) { s.Country = "I " }, []Field{{"country", letters}}},
		{"country of one letter of two bytes", func(s *SignUp) { s.Country = "Ü" }, []Field{{"country", letters}}},
		{"country of letters beyond ASCII", func(s *SignUp) { s.Country = "\uff29\uff2e" }, []Field{{"country", letters}}},
		{"country with a long s", func(s *SignUp) { s.Country = "u\u017f" }, []Field{{"country", letters}}},

		{"platform of 33 characters", func(s *SignUp) { s.Platform = strings.Repeat("x", 33) }, []Field{{"platform", platform}}},
		{"platform with a blank", func(s *SignUp) { s.Platform = "i os" }, []Field{{"platform", platform}}},
		{"platform that is blank", func(s *SignUp) { s.Platform = " " }, []Field{{"platform", platform}}},
		{"platform with a colon, which parts the proxy state", func(s *SignUp) { s.Platform = "a:b" }, []Field{{"platform", platform}}},
		{"platform with a newline", func(s *SignUp) { s.Platform = "ios\n" }, []Field{{"platform", platform}}},
		{"platform beyond ASCII", func(s *SignUp) { s.Platform = "ïos" }, []Field{{"platform", platform}}},
		{"platform with a Kelvin sign", func(s *SignUp) { s.Platform = "\u212aaios" }, []Field{{"platform", platform}}},

		{
			"nothing at all",
			func(s *SignUp) { *s = SignUp{} },
			[]Field{{"email", errEmailForm.Error()}, {"password", "want 8 characters or more"}},
		},
		{
			"everything, in the order of the fields",
			func(s *SignUp) { *s = SignUp{"ann", "123", "\n", "1", "?"} },
			[]Field{{"email", errEmailForm.Error()}, {"password", "want 8 characters or more"}, {"name", line}, {"country", letters}, {"platform", platform}},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			in := good
			test.change(&in)
			got, err := in.judge(signUpRules)
			var invalid *InvalidError
			if !errors.As(err, &invalid) || got != (SignUp{}) {
				t.Fatalf("got %q, %v", got, err)
			}
			if diff := cmp.Diff(test.want, invalid.Fields); diff != "" {
				t.Errorf("want against got:\n%s", diff)
			}
		})
	}
}

func TestInvalidErrorNamesFieldsAndNoValues(t *testing.T) {
	in := SignUp{Email: "Secret1 <secret1@example.com>", Password: "secret2", Name: "secret3\n", Country: "secret4", Platform: "secret5!"}
	_, err := in.judge(signUpRules)
	if err == nil || err.Error() != "invalid fields: email, password, name, country, platform" {
		t.Errorf("error %v", err)
	}
	if s := fmt.Sprintf("%+v", err) + fmt.Sprintf("%+v", err.(*InvalidError).Fields); strings.Contains(strings.ToLower(s), "secret") {
		t.Errorf("%s holds a value", s)
	}
}
