package passport_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

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

// What Decode accepts is what Encode writes, byte for byte: a second reader finds the same seven fields once each,
// and no value beside it stands for the same passport.
func FuzzDecode(f *testing.F) {
	f.Add(ann.Encode(), 0, byte(1))
	f.Add(ann.Encode(), 3, byte('\n'))
	f.Add("eyJ1c2VyX2lkIjoiIn0=", 1, byte(0x20))
	f.Add(passport.Passport{UserID: "a\u2028<é>\"\x00", TokenStatus: "valid", IssuedAt: -1}.Encode(), 9, byte(0))
	fields := []string{"user_id", "email", "subscription", "country", "platform", "token_status", "issued_at"}
	f.Fuzz(func(t *testing.T, value string, at int, flip byte) {
		p, err := passport.Decode(value)
		if err != nil {
			return
		}
		text, err := base64.StdEncoding.DecodeString(value)
		if err != nil || len(value)%4 != 0 || strings.ContainsAny(value, "\r\n") {
			t.Fatalf("%q is not base64: %v", value, err)
		}
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		var names []string
		var held []any
		for token, err := d.Token(); err != io.EOF; token, err = d.Token() {
			if name, ok := token.(string); ok && err == nil {
				names = append(names, name)
				token, err = d.Token()
				held = append(held, token)
			}
			if err != nil {
				t.Fatalf("%q is not JSON: %v", text, err)
			}
		}
		want := []any{p.UserID, p.Email, p.Subscription, p.Country, p.Platform, "valid", json.Number(strconv.FormatInt(p.IssuedAt, 10))}
		if !slices.Equal(names, fields) || !slices.Equal(held, want) || p.UserID == "" {
			t.Errorf("%q holds %q: %v, and is read as %+v", text, names, held, p)
		}
		if p.Encode() != value {
			t.Errorf("%q is accepted and encodes as %q", value, p.Encode())
		}
		altered := []byte(value)
		altered[uint(at)%uint(len(value))] ^= flip | 1
		if other, err := passport.Decode(string(altered)); err == nil && other == p {
			t.Errorf("%q and %q are one passport", value, altered)
		}
	})
}

// What Encode writes of text, Decode reads.
func FuzzEncode(f *testing.F) {
	f.Add("user_123", "user@example.com", "free", "IN", "android", int64(1710000000))
	f.Add("a<b>&\u2028é\x00", "\"\\", "", "\ufffd", "\U0001f600", int64(-1))
	f.Fuzz(func(t *testing.T, userID, email, subscription, country, platform string, issued int64) {
		for _, s := range []string{userID, email, subscription, country, platform} {
			if !utf8.ValidString(s) {
				return
			}
		}
		p := passport.Passport{UserID: userID, Email: email, Subscription: subscription, Country: country, Platform: platform, TokenStatus: passport.StatusValid, IssuedAt: issued}
		if got, err := passport.Decode(p.Encode()); (err == nil) != (userID != "") || err == nil && got != p {
			t.Errorf("%+v is read as %+v, %v", p, got, err)
		}
	})
}

func ExampleDecode() {
	value := passport.Passport{UserID: "user_123", Subscription: "free", TokenStatus: passport.StatusValid, IssuedAt: 1710000000}.Encode()
	p, err := passport.Decode(value)
	fmt.Println(p.UserID, p.Subscription, p.IssuedAt, err)
	// Output: user_123 free 1710000000 <nil>
}
