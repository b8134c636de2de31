package jwtauth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/keyset"
)

// Each of these is the base token with one fault.
func TestVerifyRefuses(t *testing.T) {
	v := newVerifier(t)
	good := hs256(header(), payload())
	part := strings.Split(good, ".")
	refused := map[string]string{
		// The compact form.
		"empty":                 "",
		"two dots alone":        "..",
		"two parts":             part[0] + "." + part[1],
		"four parts":            good + ".",
		"five parts, as in JWE": good + ".." + part[2],
		"padded header":         part[0] + "=." + part[1] + "." + part[2],
		"padded claims":         part[0] + "." + part[1] + "=." + part[2],
		"padded signature":      good + "=",
		"line feed at the end":  good + "\n",
		"line feed in header":   part[0][:4] + "\n" + part[0][4:] + "." + part[1] + "." + part[2],
		"return in claims":      part[0] + "." + part[1][:4] + "\r" + part[1][4:] + "." + part[2],
		"return in signature":   part[0] + "." + part[1] + ".\r\n" + part[2],
		"blank at the end":      good + " ",
		"blank ahead":           " " + good,
		"NUL at the end":        good + "\x00",
		"stray ? in signature":  good[:len(good)-1] + "?" + good[len(good)-1:],
		"standard alphabet":     good + "+/",
		"unused bits set":       withUnusedBit(good),
		"one letter left over":  good[:len(good)-2],
		"JSON serialization":    `{"protected":"` + part[0] + `","payload":"` + part[1] + `","signature":"` + part[2] + `"}`,
		"too long":              hs256(header(), payload("x", quoted(strings.Repeat("x", defaultMaxBytes*3/4)))),
		"with its scheme":       "Bearer " + good,

		// The JSON of either part.
		"header not JSON":              hs256("header", payload()),
		"header empty":                 "." + part[1] + "." + part[2],
		"header null":                  hs256("null", payload()),
		"header an array":              hs256("["+header()+"]", payload()),
		"header a string":              hs256(quoted(header()), payload()),
		"header with trailer":          hs256(header()+"{}", payload()),
		"header with NUL after":        hs256(header()+"\x00", payload()),
		"header with byte order mark":  hs256("\uFEFF"+header(), payload()),
		"header repeats alg":           hs256(`{"alg":"HS256","alg":"HS256"}`, payload()),
		"header repeats an escape":     hs256(`{"alg":"HS256","\u0061lg":"none"}`, payload()),
		"header invalid UTF-8":         hs256(header("x", "\"\xff\""), payload()),
		"header overlong UTF-8":        hs256(header("x", "\"\xc0\xaf\""), payload()),
		"header lone surrogate":        hs256(header("x", `"\ud800"`), payload()),
		"header trailing comma":        hs256(`{"alg":"HS256",}`, payload()),
		"header comment":               hs256(`{"alg":"HS256"/**/}`, payload()),
		"claims not JSON":              hs256(header(), "claims"),
		"claims empty":                 hs256(header(), ""),
		"claims null":                  hs256(header(), "null"),
		"claims an array":              hs256(header(), "["+payload()+"]"),
		"claims a string":              hs256(header(), quoted(payload())),
		"claims with trailer":          hs256(header(), payload()+payload()),
		"claims repeat sub":            hs256(header(), `{"sub":"admin",`+payload()[1:]),
		"claims repeat a name deep":    hs256(header(), payload("x", `[{"a":1,"a":1}]`)),
		"claims invalid UTF-8":         hs256(header(), payload("sub", "\"a\xff\"")),
		"claims invalid UTF-8, name":   hs256(header(), `{"`+"\xff"+`":1,`+payload()[1:]),
		"claims UTF-16":                hs256(header(), "\x00{\x00}"),
		"claims lone surrogate":        hs256(header(), payload("sub", `"\udc00"`)),
		"claims lone surrogate, name":  hs256(header(), `{"\ud800":1,`+payload()[1:]),
		"claims raw control character": hs256(header(), payload("sub", "\"a\nb\"")),
		"claims cut":                   hs256(header(), payload()[:20]),
		"claims NaN":                   hs256(header(), payload("x", "NaN")),
		"claims number with plus":      hs256(header(), payload("x", "+1")),
		"claims number with zero":      hs256(header(), payload("x", "01")),
		"claims nested too deep":       hs256(header(), payload("x", strings.Repeat("[", 3000)+strings.Repeat("]", 2999))),

		// The header.
		"alg none":            b64(header("alg", `"none"`)) + "." + b64(payload()) + ".",
		"alg none, signed":    hs256(header("alg", `"none"`), payload()),
		"alg None":            b64(header("alg", `"None"`)) + "." + b64(payload()) + ".",
		"alg NONE":            b64(header("alg", `"NONE"`)) + "." + b64(payload()) + ".",
		"alg empty":           b64(header("alg", `""`)) + "." + b64(payload()) + ".",
		"alg missing":         hs256(header("alg", ""), payload()),
		"alg null":            hs256(header("alg", "null"), payload()),
		"alg number":          hs256(header("alg", "256"), payload()),
		"alg array":           hs256(header("alg", `["HS256"]`), payload()),
		"alg in lower case":   hs256(header("alg", `"hs256"`), payload()),
		"alg with a blank":    hs256(header("alg", `"HS256 "`), payload()),
		"alg with a NUL":      hs256(header("alg", `"HS256\u0000"`), payload()),
		"alg HS512":           hs256(header("alg", `"HS512"`), payload()),
		"alg name in capital": hs256(header("alg", "", "ALG", `"HS256"`), payload()),
		"alg not signed with": hs256(header("alg", `"RS256"`), payload()),
		"typ of an ID token":  hs256(header("typ", `"id_token+jwt"`), payload()),
		"typ of a logout":     hs256(header("typ", `"logout+jwt"`), payload()),
		"typ empty":           hs256(header("typ", `""`), payload()),
		"typ JOSE":            hs256(header("typ", `"JOSE"`), payload()),
		"typ application/jwt": hs256(header("typ", `"application/jwt"`), payload()),
		"typ with a blank":    hs256(header("typ", `" JWT"`), payload()),
		"typ null":            hs256(header("typ", "null"), payload()),
		"typ array":           hs256(header("typ", `["JWT"]`), payload()),
		"typ dotted capital":  hs256(header("typ", `"applİcation/at+jwt"`), payload()),
		"crit":                hs256(header("crit", `["exp"]`, "exp", "1"), payload()),
		"crit empty":          hs256(header("crit", `[]`), payload()),
		"crit null":           hs256(header("crit", `null`), payload()),
		"b64 false":           hs256(header("b64", `false`), payload()),
		"b64 true":            hs256(header("b64", `true`), payload()),
		"zip":                 hs256(header("zip", `"DEF"`), payload()),
		"enc":                 hs256(header("enc", `"A256GCM"`), payload()),
		"cty JWT":             hs256(header("cty", `"JWT"`), payload()),
		"cty empty":           hs256(header("cty", `""`), payload()),
		"kid null":            hs256(header("kid", "null"), payload()),
		"kid number":          hs256(header("kid", "1"), payload()),
		"kid array":           hs256(header("kid", `["r1"]`), payload()),
		"kid object":          hs256(header("kid", `{}`), payload()),

		// Key and signature.
		"no signature":         part[0] + "." + part[1] + ".",
		"signature of another": part[0] + "." + part[1] + "." + strings.Split(hs256(header(), payload("sub", `"b"`)), ".")[2],
		"header altered":       b64(header()+" ") + "." + part[1] + "." + part[2],
		"claims altered":       part[0] + "." + b64(payload("sub", `"admin"`)) + "." + part[2],
		"signature cut":        part[0] + "." + part[1] + "." + b64("short"),
		"kid unknown":          partner(keyset.RS256, "kid", `"r2"`),
		"kid empty, keys named": partner(keyset.RS256,
			"kid", `""`),
		"kid in other case":          partner(keyset.RS256, "kid", `"R1"`),
		"kid of another algorithm":   partner(keyset.RS256, "kid", `"e1"`),
		"kid a path":                 partner(keyset.RS256, "kid", `"../../dev/null"`),
		"kid an injection":           partner(keyset.RS256, "kid", `"' OR 1=1 --"`),
		"alg outside the list":       signed(keyset.RS256, header("alg", `"RS256"`), payloadOf(devicesISS)),
		"another issuer's key":       hs256(header(), payloadOf(devicesISS)),
		"another issuer's algorithm": signed(keyset.EdDSA, header("alg", `"EdDSA"`), payload()),
		"one issuer's key for another's iss": signed(keyset.EdDSA, header("alg", `"EdDSA"`),
			payloadOf(partnerISS, "aud", `"api"`)),

		// Claims.
		"iss missing":             hs256(header(), payload("iss", "")),
		"iss unknown":             hs256(header(), payloadOf("https://evil.example")),
		"iss empty":               hs256(header(), payloadOf("")),
		"iss with a slash":        hs256(header(), payloadOf(accountsISS+"/")),
		"iss in other case":       hs256(header(), payloadOf(strings.ToUpper(accountsISS))),
		"iss name in capital":     hs256(header(), payload("iss", "", "Iss", quoted(accountsISS))),
		"sub missing":             hs256(header(), payload("sub", "")),
		"sub empty":               hs256(header(), payload("sub", `""`)),
		"sub missing, user id":    hs256(header(), payloadOf(rolesISS, "uid", `"u"`, "sub", "")),
		"user id missing":         hs256(header(), payloadOf(rolesISS)),
		"user id empty":           hs256(header(), payloadOf(rolesISS, "uid", `""`)),
		"user id number":          hs256(header(), payloadOf(rolesISS, "uid", `1`)),
		"user id of another":      hs256(header(), payload("sub", `"partner:user_1"`)),
		"user id, bare prefix":    hs256(header(), payload("sub", `"device:"`)),
		"exp missing":             hs256(header(), payload("exp", "")),
		"exp name in capital":     hs256(header(), payload("exp", "", "EXP", "1800000001")),
		"nbf ahead of the skew":   hs256(header(), payload("nbf", "1800000061")),
		"iat ahead of the skew":   hs256(header(), payload("iat", "1800000061")),
		"nbf ahead, no skew":      hs256(header(), payloadOf(rolesISS, "uid", `"u"`, "nbf", "1800000001")),
		"aud missing":             signed(keyset.RS256, header("alg", `"RS256"`), payloadOf(partnerISS)),
		"aud of another":          signed(keyset.RS256, header("alg", `"RS256"`), payloadOf(partnerISS, "aud", `["x","API"]`)),
		"aud empty":               signed(keyset.RS256, header("alg", `"RS256"`), payloadOf(partnerISS, "aud", `[]`)),
		"aud listed in a string":  signed(keyset.RS256, header("alg", `"RS256"`), payloadOf(partnerISS, "aud", `"api web"`)),
		"aud nested":              signed(keyset.RS256, header("alg", `"RS256"`), payloadOf(partnerISS, "aud", `[["api"]]`)),
		"aud with a number":       signed(keyset.RS256, header("alg", `"RS256"`), payloadOf(partnerISS, "aud", `["api",1]`)),
		"permissions as a string": hs256(header(), payload("permissions", `"read"`)),
		"scope as an array":       hs256(header(), payload("scope", `["read"]`)),
		"groups of numbers":       hs256(header(), payloadOf(rolesISS, "uid", `"u"`, "groups", `[1]`)),
	}
	// Every claim in every type that is not its own. null is one of them.
	values := map[string]string{"null": "null", "true": "true", "number": "1", "string": `"1800000001"`, "array": `[]`, "object": `{}`, "array of null": `[null]`, "array of strings": `["a"]`}
	for claim, own := range map[string]string{
		"iss": "string", "sub": "string", "jti": "string", "email": "string", "subscription": "string", "country": "string", "platform": "string", "scope": "string",
		"exp": "number", "nbf": "number", "iat": "number",
		"aud": "string, array, array of strings", "roles": "string, array, array of strings", "role": "string, array, array of strings",
		"permissions": "array, array of strings",
	} {
		for kind, value := range values {
			if !strings.Contains(", "+own+",", ", "+kind+",") {
				refused[claim+" is "+kind] = hs256(header(), payload(claim, value))
			}
		}
	}
	for _, claim := range []string{"exp", "nbf", "iat"} {
		for _, value := range []string{
			"-1", "-1e9", "1800000001.5", "1e-1", "253402300800", "253402300799.5", "253402300799.0000000000001", "1e12", "1e999999999",
			"1e99999999999999999999", "9e18", "18446744073709551617", "1" + strings.Repeat("0", 400), "1e-99999999999999999999",
		} {
			refused[claim+" is "+value] = hs256(header(), payload(claim, value))
		}
	}
	for name, token := range refused {
		t.Run(name, func(t *testing.T) {
			id, err := verify(t, v, token)
			if !errors.Is(err, authz.ErrCredentialInvalid) || errors.Is(err, &authz.ExpiredError{}) || id != nil {
				t.Errorf("got %v, %v", id, err)
			}
		})
	}
	t.Logf("%d cases", len(refused))
}

// partner returns a good token of the partner for a, with its header changed.
func partner(a keyset.Algorithm, pairs ...string) string {
	return signed(a, header(append(pairs, "alg", quoted(string(a)))...), payloadOf(partnerISS, "aud", `"api"`))
}

// withUnusedBit returns the token with a bit of its last letter set that stands for no part of any byte.
func withUnusedBit(token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := len(token) - 1
	return token[:last] + string(alphabet[strings.IndexByte(alphabet, token[last])|1])
}

// A public key is known to everyone, so no text of it may serve as a secret (RFC 8725 §2.1).
func TestVerifyRefusesPublicKeyAsSecret(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, _ := x509.MarshalPKIXPublicKey(&private.PublicKey)
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	jwk, _ := json.Marshal(map[string]string{"kty": "RSA", "n": b64(string(private.N.Bytes())), "e": b64(string(big.NewInt(int64(private.E)).Bytes()))})
	keys, err := keyset.Parse(public)
	if err != nil {
		t.Fatal(err)
	}
	set, err := keyset.NewSet(keys...)
	if err != nil {
		t.Fatal(err)
	}
	// Even an issuer that lists HS256, without a key for it, must refuse.
	v := New(Options{Issuers: []Issuer{{Name: "rsa", Issuer: accountsISS, Algorithms: keyset.Algorithms(), Keys: set, Claims: standardNames}}})
	for name, secret := range map[string][]byte{
		"PEM": public, "PEM trimmed": []byte(strings.TrimSpace(string(public))), "DER": der, "PKCS 1": x509.MarshalPKCS1PublicKey(&private.PublicKey),
		"JWK": jwk, "JWKS": fmt.Appendf(nil, `{"keys":[%s]}`, jwk), "modulus": private.N.Bytes(), "empty": nil,
	} {
		for _, alg := range keyset.Algorithms() {
			signed := b64(header("alg", quoted(string(alg)))) + "." + b64(payload())
			mac := hmac.New(sha256.New, secret)
			mac.Write([]byte(signed))
			if _, err := verify(t, v, signed+"."+b64(string(mac.Sum(nil)))); !errors.Is(err, authz.ErrCredentialInvalid) {
				t.Errorf("%s as a secret, alg %s: %v", name, alg, err)
			}
		}
	}
}

// Expired is said only of a token that was good until then.
func TestVerifyTellsExpiredFromInvalid(t *testing.T) {
	v := newVerifier(t)
	expired, invalid := &authz.ExpiredError{}, authz.ErrCredentialInvalid
	for name, test := range map[string]struct {
		token string
		want  error
	}{
		"this very second":               {hs256(header(), payload("exp", "1800000000")), expired},
		"long ago":                       {hs256(header(), payload("exp", "0")), expired},
		"at the end of the leeway":       {signed(keyset.EdDSA, header("alg", `"EdDSA"`), payloadOf(devicesISS, "exp", "1799999970")), expired},
		"expired, and not yet valid":     {hs256(header(), payload("exp", "1", "nbf", "1900000000")), expired},
		"expired, and for another":       {signed(keyset.RS256, header("alg", `"RS256"`), payloadOf(partnerISS, "exp", "1", "aud", `"x"`)), expired},
		"expired, signature bad":         {hs256(header(), payload("exp", "1")) + "AAAA", invalid},
		"expired, signature missing":     {b64(header()) + "." + b64(payload("exp", "1")) + ".", invalid},
		"expired, issuer unknown":        {hs256(header(), payload("exp", "1", "iss", `"x"`)), invalid},
		"expired, key unknown":           {signed(keyset.RS256, header("alg", `"RS256"`, "kid", `"x"`), payloadOf(partnerISS, "exp", "1")), invalid},
		"expired, a claim of wrong type": {hs256(header(), payload("exp", "1", "roles", "7")), invalid},
		"expired, sub missing":           {hs256(header(), payload("exp", "1", "sub", "")), invalid},
		"expired, typ of another":        {hs256(header("typ", `"x"`), payload("exp", "1")), invalid},
	} {
		t.Run(name, func(t *testing.T) {
			id, err := verify(t, v, test.token)
			if !errors.Is(err, test.want) || id != nil {
				t.Errorf("got %v, %v", id, err)
			}
			if errors.Is(err, expired) && errors.Is(err, invalid) {
				t.Errorf("both expired and invalid: %v", err)
			}
		})
	}
}

func TestVerifyRefusesOtherKinds(t *testing.T) {
	v := newVerifier(t)
	for _, kind := range []authz.Kind{0, authz.KindOpaque, authz.KindAPIKey} {
		c := authz.Credential{Kind: kind, Value: hs256(header(), payload())}
		if _, err := v.Verify(t.Context(), c, now); !errors.Is(err, authz.ErrCredentialInvalid) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestVerifyBoundsTheLength(t *testing.T) {
	token := hs256(header(), payload())
	for limit, want := range map[int]bool{len(token): true, len(token) - 1: false, -1: false} {
		v := New(Options{Issuers: testIssuers(t), MaxBytes: limit})
		if _, err := verify(t, v, token); (err == nil) != want {
			t.Errorf("a token of %d bytes with a limit of %d: %v", len(token), limit, err)
		}
	}
}

func TestVerifyWithoutAlgorithmsOrKeys(t *testing.T) {
	for name, change := range map[string]func(*Issuer){
		"no algorithms": func(i *Issuer) { i.Algorithms = nil },
		"no keys":       func(i *Issuer) { i.Keys = new(keyset.Set) },
	} {
		issuers := testIssuers(t)
		change(&issuers[0])
		v := New(Options{Issuers: issuers})
		if _, err := verify(t, v, hs256(header(), payload())); !errors.Is(err, authz.ErrCredentialInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

type keySetFunc func(context.Context, string, bool, keyset.Algorithm) (*keyset.Key, error)

func (f keySetFunc) Key(ctx context.Context, id string, hasID bool, a keyset.Algorithm) (*keyset.Key, error) {
	return f(ctx, id, hasID, a)
}

// A key set that is down, or wrong, is not the token's fault; and it never lets a token in.
func TestVerifyWithFaultyKeySet(t *testing.T) {
	down := errors.New("key set is down")
	for name, test := range map[string]struct {
		key     *keyset.Key
		err     error
		invalid bool
	}{
		"down":                     {nil, down, false},
		"down, with a key":         {signers()[keyset.HS256].Key(), down, false},
		"no key and no error":      {nil, nil, false},
		"a key of another kind":    {signers()[keyset.RS256].Key(), nil, false},
		"the zero key":             {new(keyset.Key), nil, false},
		"a hollow key":             {&keyset.Key{Algorithm: keyset.HS256}, nil, true},
		"no such key":              {nil, keyset.ErrNoKey, true},
		"no such key, but wrapped": {nil, fmt.Errorf("set: %w", keyset.ErrNoKey), true},
	} {
		t.Run(name, func(t *testing.T) {
			issuers := testIssuers(t)
			issuers[0].Keys = keySetFunc(func(_ context.Context, id string, hasID bool, a keyset.Algorithm) (*keyset.Key, error) {
				if id != "k 1" || !hasID || a != keyset.HS256 {
					t.Errorf("the set was asked for %q, %t, %s", id, hasID, a)
				}
				return test.key, test.err
			})
			v := New(Options{Issuers: issuers})
			id, err := verify(t, v, hs256(header("kid", `"k 1"`), payload()))
			if err == nil || id != nil || errors.Is(err, authz.ErrCredentialInvalid) != test.invalid {
				t.Errorf("got %v, %v", id, err)
			}
			if test.err != nil && !errors.Is(err, test.err) && !errors.Is(err, keyset.ErrNoKey) {
				t.Errorf("the set's own error is lost: %v", err)
			}
		})
	}
}

// What a stranger writes into a token reaches the log quoted and cut, and the token itself never does.
func TestErrorsAreFitForALog(t *testing.T) {
	v := newVerifier(t)
	long := strings.Repeat("\n\u202e", 500)
	for name, token := range map[string]string{
		"alg": hs256(header("alg", quoted(long)), payload()), "typ": hs256(header("typ", quoted(long)), payload()),
		"kid": partner(keyset.RS256, "kid", quoted(long)), "iss": hs256(header(), payloadOf(long)),
		"sub": hs256(header(), payload("sub", quoted("partner:"+long))), "name": hs256(header(), `{`+quoted(long)+`:1,`+quoted(long)+`:1}`),
		"signature": hs256(header(), payload()) + "AAAA", "good but late": hs256(header(), payload("exp", "1")),
	} {
		_, err := verify(t, v, token)
		if err == nil {
			t.Fatalf("%s: accepted", name)
		}
		text := err.Error()
		if len(text) > 1000 || strings.ContainsAny(text, "\n\u202e") {
			t.Errorf("%s: the error has %d bytes: %s", name, len(text), text)
		}
		for _, part := range strings.Split(token, ".") {
			if strings.Contains(text, part) {
				t.Errorf("%s: the error holds a part of the token: %s", name, text)
			}
		}
	}
}

func TestErrorNamesThePartOfTheToken(t *testing.T) {
	h, c, s := b64("{}"), b64("{}"), b64("s")
	for token, want := range map[string]string{"=." + c + "." + s: "part 1 ", h + ".=." + s: "part 2 ", h + "." + c + ".=": "part 3 "} {
		if _, _, err := DecodeUnverified(token); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
}

func TestVerifyJudgesAtTheGivenTime(t *testing.T) {
	v := newVerifier(t)
	c := authz.Credential{Kind: authz.KindJWT, Value: hs256(header(), payload("exp", "1800000001", "nbf", "1799999000"))}
	for seconds, want := range map[int64]error{
		1799998939: authz.ErrCredentialInvalid, 1799998940: nil, 1800000000: nil, 1800000001: &authz.ExpiredError{}, 0: authz.ErrCredentialInvalid, 1 << 40: &authz.ExpiredError{},
	} {
		if _, err := v.Verify(t.Context(), c, time.Unix(seconds, 0)); !errors.Is(err, want) {
			t.Errorf("at %d: %v", seconds, err)
		}
	}
}
