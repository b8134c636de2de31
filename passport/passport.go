// Package passport owns the format of the X-Passport header, with which passgate tells the services
// behind it who is calling, so that none of them looks at a token again.
//
// Where passgate has a signing key it sends X-Passport-Signature too, and a service proves with a [Verifier] that
// passgate made the passport, and lately:
//
//	v, err := passport.NewVerifier(ctx, passport.Options{JWKSURL: "http://passgate:8080/.well-known/jwks.json"})
//	…
//	http.Handle("/orders", v.Middleware(orders))             // or grpc.UnaryInterceptor(v.UnaryServerInterceptor())
//	…
//	p, ok := passport.FromContext(r.Context())               // in the handler
//
// What is signed is the value of X-Passport and nothing else. X-User-ID, X-User-Role, X-User-Permissions and
// X-Proxy-State are not, nor are the method, the path and the body: a service that verifies takes the identity
// from [FromContext] and from no header.
//
// A passport is not made for one request or one service. Who sees one, a service behind passgate or its log, can
// show it to every other service behind the same passgate until it is older than [Options].MaxAge. So a signature
// does not stand in for the network: a service must be reachable through passgate's Envoy only, which sets the
// passport on every request and removes what a client sent. Without a signature that is all there is to believe.
package passport

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Header is the name of the header that carries a passport.
const Header = "X-Passport"

// StatusValid is the token status of every passport: no other is ever issued.
const StatusValid = "valid"

// Passport says who is calling. A claim that the credential lacks is "".
type Passport struct {
	UserID       string `json:"user_id"`
	Email        string `json:"email"`
	Subscription string `json:"subscription"`
	Country      string `json:"country"`
	Platform     string `json:"platform"`
	TokenStatus  string `json:"token_status"`
	IssuedAt     int64  `json:"issued_at"` // when the passport was made, in Unix seconds
}

// ErrFormat is wrapped by every error of [Decode].
var ErrFormat = errors.New("not a passport")

// Encode returns the passport as the value of its header: base64 (standard alphabet, padded) of a JSON
// object with the fields in their order.
func (p Passport) Encode() string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	// Strings and an int: there is nothing in it that Encode could refuse.
	_ = e.Encode(p)
	return base64.StdEncoding.EncodeToString(bytes.TrimRight(b.Bytes(), "\n"))
}

// Decode reads the value of an X-Passport header. It accepts what [Passport.Encode] writes and nothing
// else, byte for byte. It does not prove who made the value.
func Decode(value string) (Passport, error) {
	text, err := base64.StdEncoding.Strict().DecodeString(value)
	if err != nil {
		return Passport{}, fmt.Errorf("%w: it is not base64 (standard alphabet, padded)", ErrFormat)
	}
	var p Passport
	if err := json.Unmarshal(text, &p); err != nil {
		return Passport{}, fmt.Errorf("%w: its base64 holds no JSON object of a passport's fields", ErrFormat)
	}
	// One value has one spelling: duplicate, unknown and reordered fields do not come back the same.
	if p.Encode() != value {
		return Passport{}, fmt.Errorf("%w: it is not written as passgate writes it", ErrFormat)
	}
	if p.UserID == "" || p.TokenStatus != StatusValid {
		return Passport{}, fmt.Errorf("%w: it names no user or is not valid", ErrFormat)
	}
	return p, nil
}

// Issued returns the time when the passport was made.
func (p Passport) Issued() time.Time { return time.Unix(p.IssuedAt, 0) }
