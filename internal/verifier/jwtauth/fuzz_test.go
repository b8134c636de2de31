package jwtauth

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/passgate/passgate/internal/authz"
)

// compare holds the product's word on a token against the referee's: the verdict, and who the principal is.
func compare(t *testing.T, v *Verifier, token string) refereed {
	t.Helper()
	id, err := verify(t, v, token)
	want := theReferee().judge(token, now.Unix())
	got := refereed{verdict: "valid"}
	switch {
	case errors.Is(err, &authz.ExpiredError{}):
		got.verdict = "expired"
	case errors.Is(err, authz.ErrCredentialInvalid):
		got.verdict = "invalid"
	case err != nil:
		t.Fatalf("%q: an error that is not the token's: %v", token, err)
	default:
		got = refereed{"valid", id.Issuer, id.UserID, id.Roles, id.Permissions, id.Email, id.Subscription, id.Country, id.Platform}
	}
	if (err == nil) != (id != nil) {
		t.Fatalf("%q: identity %v beside the error %v", token, id, err)
	}
	if got.verdict != want.verdict || got.issuer != want.issuer || got.userID != want.userID ||
		!slices.Equal(got.roles, want.roles) || !slices.Equal(got.permissions, want.permissions) ||
		got.email != want.email || got.subscription != want.subscription || got.country != want.country || got.platform != want.platform {
		header, claims, _ := DecodeUnverified(token)
		t.Errorf("got %+v (%v)\nthe referee says %+v\ntoken %q\nheader %q\nclaims %q", got, err, want, token, header, claims)
	}
	return want
}

// seedClaims are claims that are valid for the issuer in the middle of them, and some that nearly are.
func seedClaims(iss string) []string {
	least := `{"iss":"` + iss + `","sub":"a","uid":"u","aud":"api","exp":1800000001`
	return []string{
		least + `}`, least + `,"nbf":1.8e9,"iat":0}`, least + `,"aud":["x"]}`, least + `,"roles":"admin","role":["a"],"permissions":["b"],"scope":"c d b","jti":"e"}`,
		least + `,"groups":["admin","admin",""],"perms":["p"],"scp":" q "}`, least + `,"email":"f","subscription":"g","country":"h","platform":"i","x":[{"y":null}]}`,
		least + `,"nbf":1800000061}`, least + `,"\u0073ub":"b"}`, least + `,"email":"\ud83d\ude00"}`, least + `,"email":"\ud83d"}`,
		strings.Replace(least, "1800000001", "1e3", 1) + "}", strings.Replace(least, "1800000001", "2534023007990e-1", 1) + "}",
		strings.Replace(least, `"sub":"a"`, `"sub":"partner:a"`, 1) + "}",
	}
}

// refereeKeys returns every key of the referee that can sign fast, and one that nobody knows.
func refereeKeys() []refereeKey {
	i := theReferee().issuers
	unknown := refereeKey{alg: "HS256", hmac: []byte("a secret that no issuer has")}
	return []refereeKey{i[0].keys[0], i[3].keys[0], i[3].keys[1], unknown, i[2].keys[0], i[1].keys[1]}
}

func refereeToken(k *refereeKey, header, claims string) string {
	signed := b64(header) + "." + b64(claims)
	return signed + "." + b64(string(k.sign(signed)))
}

// FuzzToken: of any text, product and referee say the same.
func FuzzToken(f *testing.F) {
	for _, issuer := range theReferee().issuers {
		for _, k := range issuer.keys {
			for _, claims := range seedClaims(issuer.iss)[:3] {
				token := refereeToken(&k, `{"alg":"`+k.alg+`","kid":"`+k.kid+`"}`, claims)
				f.Add(token)
				f.Add(token + "\n")
				f.Add(token + "=")
				f.Add(setUnusedBits(token))
				f.Add(strings.Replace(token, ".", ".\n", 1))
			}
		}
	}
	f.Add("..")
	v := theReferee().product(f)
	f.Fuzz(func(t *testing.T, token string) { compare(t, v, token) })
}

// FuzzSigned: of any header and claims, signed by one of the keys and then altered, product and referee say
// the same. The alteration is a list of triples: what to do, where, and with which byte.
func FuzzSigned(f *testing.F) {
	keys := refereeKeys()
	for _, issuer := range theReferee().issuers {
		for i, k := range keys {
			for _, claims := range seedClaims(issuer.iss) {
				f.Add([]byte(`{"alg":"`+k.alg+`"}`), []byte(claims), byte(i), []byte(nil))
			}
			claims := []byte(seedClaims(issuer.iss)[0])
			f.Add([]byte(`{"alg":"`+k.alg+`","typ":"at+JWT","kid":"`+k.kid+`","jwk":{}}`), claims, byte(i), []byte(nil))
			f.Add([]byte(`{"alg":"`+k.alg+`","crit":[]}`), claims, byte(i), []byte(nil))
			f.Add([]byte(`{"alg":"`+k.alg+`"}`), claims, byte(i), []byte{0, 255, 'A'})
			f.Add([]byte(`{"alg":"`+k.alg+`"}`), claims, byte(i), []byte{1, 255, '='})
			f.Add([]byte(`{"alg":"`+k.alg+`"}`), claims, byte(i), []byte{2, 0, 0})
		}
	}
	v := theReferee().product(f)
	f.Fuzz(func(t *testing.T, header, claims []byte, key byte, alteration []byte) {
		token := refereeToken(&keys[int(key)%len(keys)], string(header), string(claims))
		compare(t, v, alter(token, alteration))
	})
}

// alter applies at most four triples. The place counts in 255ths of the length.
func alter(token string, triples []byte) string {
	for n := 0; n < 4 && len(triples) >= 3; n++ {
		at, with := len(token)*int(triples[1])/255, string(triples[2])
		if triples[2] >= 0x80 {
			with = string([]byte{triples[2]})
		}
		switch before, after := token[:at], token[at:]; triples[0] % 4 {
		case 0: // replace
			token = before + with + after[min(1, len(after)):]
		case 1: // insert
			token = before + with + after
		case 2: // drop
			token = before + after[min(1, len(after)):]
		case 3: // cut, or double what follows
			token = before
			if triples[2]%2 == 1 {
				token = before + after + after
			}
		}
		triples = triples[3:]
	}
	return token
}

// TestReferee: the seeds hold valid and expired tokens of every issuer and key, without which the referee
// would be asked of refusals alone.
func TestReferee(t *testing.T) {
	v := theReferee().product(t)
	verdicts := map[string]int{}
	for _, issuer := range theReferee().issuers {
		for _, k := range issuer.keys {
			for _, claims := range seedClaims(issuer.iss) {
				verdict := compare(t, v, refereeToken(&k, `{"alg":"`+k.alg+`","kid":"`+k.kid+`"}`, claims)).verdict
				if k.kid == "" { // an empty kid names the key without one
					verdict = compare(t, v, refereeToken(&k, `{"alg":"`+k.alg+`"}`, claims)).verdict
				}
				verdicts[issuer.name+" "+k.alg+" "+verdict]++
			}
		}
	}
	t.Log(verdicts)
	for _, want := range []string{"accounts HS256", "partner RS256", "partner ES256", "devices EdDSA", "roles HS256"} {
		if verdicts[want+" valid"] == 0 || verdicts[want+" expired"] == 0 {
			t.Errorf("%s has no valid or no expired token: %v", want, verdicts)
		}
	}
}
