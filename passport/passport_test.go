package passport_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/passgate/passgate/passport"
)

var ann = passport.Passport{
	UserID: "user_123", Email: "user@example.com", Subscription: "free", Country: "IN", Platform: "android",
	TokenStatus: "valid", IssuedAt: 1710000000,
}

const annText = `{"user_id":"user_123","email":"user@example.com","subscription":"free","country":"IN","platform":"android","token_status":"valid","issued_at":1710000000}`

func TestEncode(t *testing.T) {
	if got, want := ann.Encode(), base64.StdEncoding.EncodeToString([]byte(annText)); got != want {
		t.Errorf("Encode = %s, want %s", got, want)
	}
}

func TestDecodeRefuses(t *testing.T) {
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	tests := []struct{ name, value string }{
		{"empty", ""},
		{"not base64", "!"},
		{"unpadded", strings.TrimRight(b64(annText+" "), "=") + "A"},
		{"url alphabet", strings.ReplaceAll(passport.Passport{UserID: "???>>>", TokenStatus: "valid"}.Encode(), "/", "_")},
		{"newline inside", ann.Encode()[:8] + "\n" + ann.Encode()[8:]},
		{"not JSON", b64("x")},
		{"not an object", b64("[]")},
		{"trailing data", b64(annText + "{}")},
		{"blank inside", b64(strings.Replace(annText, ":", ": ", 1))},
		{"unknown field", b64(strings.Replace(annText, "{", `{"admin":true,`, 1))},
		{"duplicate field", b64(strings.Replace(annText, "{", `{"user_id":"root",`, 1))},
		{"field in another case", b64(strings.Replace(annText, "user_id", "User_ID", 1))},
		{"field missing", b64(strings.Replace(annText, `"country":"IN",`, "", 1))},
		{"order", b64(strings.Replace(annText, `"user_id":"user_123","email":"user@example.com"`, `"email":"user@example.com","user_id":"user_123"`, 1))},
		{"no user", passport.Passport{TokenStatus: "valid"}.Encode()},
		{"not valid", passport.Passport{UserID: "u", TokenStatus: "expired"}.Encode()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if p, err := passport.Decode(tt.value); !errors.Is(err, passport.ErrFormat) {
				t.Errorf("Decode = %+v, %v; want ErrFormat", p, err)
			}
		})
	}
}

// What Decode accepts is what Encode writes, byte for byte.
func FuzzDecode(f *testing.F) {
	f.Add(ann.Encode())
	f.Add("eyJ1c2VyX2lkIjoiIn0=")
	f.Fuzz(func(t *testing.T, value string) {
		if p, err := passport.Decode(value); err == nil && p.Encode() != value {
			t.Errorf("Decode accepted %q, which encodes as %q", value, p.Encode())
		}
	})
}

func ExampleDecode() {
	value := passport.Passport{UserID: "user_123", Subscription: "free", TokenStatus: passport.StatusValid, IssuedAt: 1710000000}.Encode()
	p, err := passport.Decode(value)
	fmt.Println(p.UserID, p.Subscription, p.IssuedAt, err)
	// Output: user_123 free 1710000000 <nil>
}
