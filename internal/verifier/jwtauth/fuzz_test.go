package jwtauth

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/passgate/passgate/internal/authz"
)

// FuzzVerify: of all strings, only those that were minted are accepted, to the byte.
func FuzzVerify(f *testing.F) {
	v := newVerifier(f)
	minted := []string{
		hs256(`{"alg":"HS256"}`, `{"iss":"https://auth.example.com","sub":"a","exp":1800000001}`),
		hs256(`{"alg":"HS256","typ":"JWT","kid":"k"}`, `{"iss":"https://auth.example.com","sub":"b","exp":1900000000,"aud":["x"],"roles":["admin"]}`),
	}
	for _, token := range minted {
		f.Add(token)
		f.Add(token + "\n")
		f.Add(withUnusedBit(token))
	}
	f.Fuzz(func(t *testing.T, token string) {
		if _, err := verify(t, v, token); err == nil && !slices.Contains(minted, token) {
			t.Errorf("accepted %q, which was never minted", token)
		} else if err != nil && !errors.Is(err, authz.ErrCredentialInvalid) {
			t.Errorf("%q: %v", token, err)
		}
	})
}

// FuzzClaims holds the verdict on a well signed token of any content against that of a referee, which reads
// it with the standard library and computes with big numbers.
func FuzzClaims(f *testing.F) {
	v := newVerifier(f)
	least := `{"iss":"https://auth.example.com","sub":"a","exp":1800000001`
	for _, claims := range []string{
		least + `}`, least + `,"nbf":1.8e9,"iat":0}`, least + `,"aud":["x"],"roles":"admin","role":["a"],"permissions":["b"],"scope":"c d","jti":"e"}`,
		least + `,"email":"f","subscription":"g","country":"h","platform":"i","x":[{"y":null}]}`, least + `,"nbf":1800000061}`,
		strings.Replace(least, "1800000001", "1e3", 1) + "}", strings.Replace(least, "1800000001", "2534023007990e-1", 1) + "}",
	} {
		f.Add([]byte(`{"alg":"HS256"}`), []byte(claims))
		f.Add([]byte(`{"alg":"HS256","typ":"at+jwt","kid":"k","jwk":{}}`), []byte(claims))
	}
	f.Add([]byte(`{"alg":"HS256","crit":[]}`), []byte(least+`}`))
	f.Fuzz(func(t *testing.T, header, claims []byte) {
		token := hs256(string(header), string(claims))
		id, err := verify(t, v, token)
		got := "valid"
		switch {
		case errors.Is(err, &authz.ExpiredError{}):
			got = "expired"
		case err != nil:
			got = "invalid"
		}
		want := referee(header, claims)
		// The standard library takes a lone surrogate for U+FFFD, so of these the referee cannot say good.
		surrogates := bytes.Contains(bytes.ToLower(slices.Concat(header, claims)), []byte(`\ud`))
		if got != want && !(got == "invalid" && (surrogates || len(token) > defaultMaxBytes)) {
			t.Errorf("%s, but the referee says %s (%v)\nheader %q\nclaims %q", got, want, err, header, claims)
		}
		if id != nil && (id.Issuer != accountsISS || id.UserID == "") {
			t.Errorf("got %+v", id)
		}
	})
}

var accessTokenType = regexp.MustCompile(`^(?i:jwt|at\+jwt|application/at\+jwt)$`)

// referee says what a token of accounts with this content is: valid, expired or invalid.
func referee(header, claims []byte) string {
	h, okHeader := strictObject(header)
	c, okClaims := strictObject(claims)
	if !okHeader || !okClaims || h["alg"] != "HS256" || c["iss"] != accountsISS {
		return "invalid"
	}
	for _, name := range []string{"crit", "b64", "zip", "enc", "cty"} {
		if _, ok := h[name]; ok {
			return "invalid"
		}
	}
	if typ, ok := h["typ"]; ok && (!isText(typ) || !accessTokenType.MatchString(typ.(string))) {
		return "invalid"
	}
	if kid, ok := h["kid"]; ok && !isText(kid) {
		return "invalid"
	}
	for _, name := range []string{"sub", "jti", "email", "subscription", "country", "platform", "scope"} {
		if value, ok := c[name]; ok && !isText(value) {
			return "invalid"
		}
	}
	for _, name := range []string{"aud", "roles", "role", "permissions"} {
		if value, ok := c[name]; ok && !isTexts(value) && (name == "permissions" || !isText(value)) {
			return "invalid"
		}
	}
	sub, _ := c["sub"].(string)
	if sub == "" {
		return "invalid"
	}
	times := map[string]*big.Int{}
	for _, name := range []string{"exp", "nbf", "iat"} {
		value, ok := c[name]
		if !ok {
			continue
		}
		number, isNumber := value.(json.Number)
		if !isNumber {
			return "invalid"
		}
		if times[name], ok = exactTime(string(number)); !ok {
			return "invalid"
		}
	}
	at := big.NewInt(now.Unix())
	ahead := big.NewInt(now.Unix() + 60)
	switch exp, nbf, iat := times["exp"], times["nbf"], times["iat"]; {
	case exp == nil:
		return "invalid"
	case exp.Cmp(at) <= 0:
		return "expired"
	case nbf != nil && nbf.Cmp(ahead) > 0, iat != nil && iat.Cmp(ahead) > 0:
		return "invalid"
	case regexp.MustCompile("^(partner|device|roles):").MatchString(sub): // a user of another issuer
		return "invalid"
	}
	return "valid"
}

func isText(v any) bool { _, ok := v.(string); return ok }

func isTexts(v any) bool {
	list, ok := v.([]any)
	return ok && !slices.ContainsFunc(list, func(v any) bool { return !isText(v) })
}

// exactTime returns the value of a JSON number that is an integer from 0 to the last second of 9999.
func exactTime(s string) (*big.Int, bool) {
	// A big number with a large exponent would fill the memory. No token is long enough to make up for one.
	if _, exponent, ok := strings.Cut(strings.ToLower(s), "e"); ok {
		if n, err := strconv.Atoi(exponent); err != nil || n < -10_000 || n > 10_000 {
			return new(big.Int), !strings.ContainsAny(strings.ToLower(s)[:strings.IndexAny(s, "eE")], "123456789")
		}
	}
	r, ok := new(big.Rat).SetString(s)
	if !ok || !r.IsInt() || r.Sign() < 0 || r.Num().Cmp(big.NewInt(253402300799)) > 0 {
		return nil, false
	}
	return r.Num(), true
}

// strictObject reads a JSON object with the standard library, which has to be told to be strict.
func strictObject(text []byte) (map[string]any, bool) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var object map[string]any
	if !utf8.Valid(text) || d.Decode(&object) != nil || object == nil {
		return nil, false
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, false
	}
	d = json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return object, uniqueNames(d)
}

// uniqueNames reads one value and reports whether no object in it repeats a name.
func uniqueNames(d *json.Decoder) bool {
	t, _ := d.Token()
	delim, ok := t.(json.Delim)
	if !ok {
		return true
	}
	seen := map[any]bool{}
	for d.More() {
		if delim == '{' {
			name, _ := d.Token()
			if seen[name] {
				return false
			}
			seen[name] = true
		}
		if !uniqueNames(d) {
			return false
		}
	}
	d.Token()
	return true
}

func TestParseTimeIsExact(t *testing.T) {
	for _, s := range []string{
		"0", "-0", "0.0", "0e9999999999999", "1", "10", "1e1", "1E+1", "10e-1", "1.0", "1.5", "15e-1", "1.50e1", "150e-2", "0.1e1", "0.001e3", "0.001e2",
		"-1", "-1e-5", "253402300799", "253402300800", "253402300799.0", "253402300799.1", "2.53402300799e11", "2.53402300799e12", "0.00000000000000000001e20",
		"99999999999999999999", "1e11", "1e12", "9007199254740993", "1e-400", "1000000e-6", "1000000e-7", "1" + strings.Repeat("0", 5000) + "e-5000",
	} {
		want, ok := exactTime(s)
		got, gotOK := parseTime([]byte(s))
		if ok != gotOK || ok && want.Int64() != got {
			t.Errorf("%.40s: got %d, %t; want %v, %t", s, got, gotOK, want, ok)
		}
	}
}
