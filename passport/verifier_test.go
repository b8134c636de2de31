package passport_test

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/passgate/passgate/passport"
)

func TestVerify(t *testing.T) {
	der, err := x509.MarshalPKIXPublicKey(publicKey('k'))
	if err != nil {
		t.Fatal(err)
	}
	rsa := `{"kty":"RSA","kid":"r","n":"` + b64("\xff"+strings.Repeat("a", 254)+"\xff") + `","e":"AQAB"}`
	for name, keys := range map[string][]byte{
		"JWKS":                              jwks(jwk('k', "k")),
		"JWKS with keys of others":          jwks(jwk('o', "o"), rsa, jwk('k', "k")),
		"one JWK":                           []byte(jwk('k', "k")),
		"PEM, which is the key of each kid": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}),
	} {
		t.Run(name, func(t *testing.T) {
			v := newVerifier(t, func(o *passport.Options) { o.Keys = keys })
			value := ann.Encode()
			if p, err := v.Verify(t.Context(), value, sign('k', "k", value)); err != nil || p != ann {
				t.Errorf("Verify = %+v, %v", p, err)
			}
			if p, err := v.Verify(t.Context(), value, sign('x', "k", value)); !errors.Is(err, passport.ErrSignature) || p != (passport.Passport{}) {
				t.Errorf("another's signature: Verify = %+v, %v", p, err)
			}
			if p, err := v.Verify(t.Context(), value, forge('k', `{"alg":"EdDSA","kid":"","typ":"passport"}`, value)); !errors.Is(err, passport.ErrSignature) {
				t.Errorf("no kid: Verify = %+v, %v", p, err)
			}
		})
	}
}

func TestVerifyRefuses(t *testing.T) {
	value := ann.Encode()
	good := sign('k', "k", value)
	protected, last, _ := strings.Cut(good, "..")
	header := func(text string) string { return forge('k', text, value) }
	signed := func(value string) [2]string { return [2]string{value, sign('k', "k", value)} }
	tests := []struct {
		name string
		pair [2]string
		want error
	}{
		{"unsigned", [2]string{value, ""}, passport.ErrUnsigned},
		{"nothing at all", [2]string{"", ""}, passport.ErrUnsigned},
		{"a signature alone", [2]string{"", good}, passport.ErrSignature},
		{"the signature of another passport", [2]string{value, sign('k', "k", other.Encode())}, passport.ErrSignature},
		{"another passport under the signature", [2]string{other.Encode(), good}, passport.ErrSignature},
		{"another key with its own kid", [2]string{value, sign('x', "x", value)}, passport.ErrSignature},
		{"another key under the same kid", [2]string{value, sign('x', "k", value)}, passport.ErrSignature},
		{"the key under another kid", [2]string{value, sign('k', "K", value)}, passport.ErrSignature},
		{"the key under its thumbprint, which is not its kid", [2]string{value, sign('k', "", value)}, passport.ErrSignature},
		{"the text of the passport, not its value", [2]string{value, sign('k', "k", annText)}, passport.ErrSignature},

		{"payload not left out", [2]string{value, protected + "." + b64(value) + "." + last}, passport.ErrSignature},
		{"a dot more", [2]string{value, protected + "..." + last}, passport.ErrSignature},
		{"a dot at the end", [2]string{value, good + "."}, passport.ErrSignature},
		{"one part", [2]string{value, protected}, passport.ErrSignature},
		{"no header", [2]string{value, ".." + last}, passport.ErrSignature},
		{"no signature after the header", [2]string{value, protected + ".."}, passport.ErrSignature},
		{"signature twice", [2]string{value, good + "," + good}, passport.ErrSignature},
		{"signature cut", [2]string{value, good[:len(good)-4]}, passport.ErrSignature},
		{"signature longer", [2]string{value, good + "AAAA"}, passport.ErrSignature},
		{"padding", [2]string{value, good + "=="}, passport.ErrSignature},
		{"unused bits", [2]string{value, good[:len(good)-1] + string(good[len(good)-1]+1)}, passport.ErrSignature},
		{"standard alphabet", [2]string{value, protected + ".." + strings.NewReplacer("-", "+", "_", "/").Replace(last) + "+"}, passport.ErrSignature},
		{"blank before", [2]string{value, " " + good}, passport.ErrSignature},
		{"blank after", [2]string{value, good + " "}, passport.ErrSignature},
		{"line break inside", [2]string{value, protected + "..\n" + last}, passport.ErrSignature},
		{"line break in the header", [2]string{value, protected[:4] + "\r\n" + protected[4:] + ".." + last}, passport.ErrSignature},

		{"header with padding", [2]string{value, forgeRaw('k', protected+"=", value)}, passport.ErrSignature},
		{"header with unused bits", [2]string{value, forgeRaw('k', b64(`{"alg":"EdDSA","kid":"k","typ":"passport" }`)[:57]+"R", value)}, passport.ErrSignature},
		{"header with a line break", [2]string{value, forgeRaw('k', protected[:8]+"\n"+protected[8:], value)}, passport.ErrSignature},
		{"header with blanks before", [2]string{value, forgeRaw('k', " "+protected, value)}, passport.ErrSignature},

		{"alg none", [2]string{value, header(`{"alg":"none","kid":"k","typ":"passport"}`)}, passport.ErrSignature},
		{"alg in lower case", [2]string{value, header(`{"alg":"eddsa","kid":"k","typ":"passport"}`)}, passport.ErrSignature},
		{"alg HS256", [2]string{value, header(`{"alg":"HS256","kid":"k","typ":"passport"}`)}, passport.ErrSignature},
		{"alg missing", [2]string{value, header(`{"kid":"k","typ":"passport"}`)}, passport.ErrSignature},
		{"alg of another type", [2]string{value, header(`{"alg":["EdDSA"],"kid":"k","typ":"passport"}`)}, passport.ErrSignature},
		{"typ of a token", [2]string{value, header(`{"alg":"EdDSA","kid":"k","typ":"JWT"}`)}, passport.ErrSignature},
		{"typ in another case", [2]string{value, header(`{"alg":"EdDSA","kid":"k","typ":"Passport"}`)}, passport.ErrSignature},
		{"typ missing", [2]string{value, header(`{"alg":"EdDSA","kid":"k"}`)}, passport.ErrSignature},
		{"kid missing", [2]string{value, header(`{"alg":"EdDSA","typ":"passport"}`)}, passport.ErrSignature},
		{"kid empty", [2]string{value, header(`{"alg":"EdDSA","kid":"","typ":"passport"}`)}, passport.ErrSignature},
		{"kid a number", [2]string{value, header(`{"alg":"EdDSA","kid":1,"typ":"passport"}`)}, passport.ErrSignature},
		{"kid twice", [2]string{value, header(`{"alg":"EdDSA","kid":"k","kid":"k","typ":"passport"}`)}, passport.ErrSignature},
		{"name in another case", [2]string{value, header(`{"Alg":"EdDSA","kid":"k","typ":"passport"}`)}, passport.ErrSignature},
		{"crit", [2]string{value, header(`{"alg":"EdDSA","kid":"k","typ":"passport","crit":["exp"]}`)}, passport.ErrSignature},
		{"b64", [2]string{value, header(`{"alg":"EdDSA","kid":"k","typ":"passport","b64":true}`)}, passport.ErrSignature},
		{"a key of its own", [2]string{value, header(`{"alg":"EdDSA","kid":"k","typ":"passport","jwk":` + jwk('k', "k") + `}`)}, passport.ErrSignature},
		{"an unknown member", [2]string{value, header(`{"alg":"EdDSA","kid":"k","typ":"passport","x":1}`)}, passport.ErrSignature},
		{"header after another", [2]string{value, header(`{"alg":"EdDSA","kid":"k","typ":"passport"}{}`)}, passport.ErrSignature},
		{"header an array", [2]string{value, header(`["EdDSA"]`)}, passport.ErrSignature},
		{"header null", [2]string{value, header(`null`)}, passport.ErrSignature},

		{"signed, and no passport", signed("x"), passport.ErrFormat},
		{"signed, and empty", signed(""), passport.ErrFormat},
		{"signed, and not valid", signed(passport.Passport{UserID: "u", TokenStatus: "expired", IssuedAt: ann.IssuedAt}.Encode()), passport.ErrFormat},
		{"signed, and for nobody", signed(passport.Passport{TokenStatus: "valid", IssuedAt: ann.IssuedAt}.Encode()), passport.ErrFormat},
		{"a line break in the value", [2]string{value + "\n", good}, passport.ErrSignature},
		{"padding after the value", [2]string{value + "=", good}, passport.ErrSignature},
		{"two values", [2]string{value + "," + value, good}, passport.ErrSignature},
	}
	v := newVerifier(t, nil)
	if _, err := v.Verify(t.Context(), value, header(`{"alg":"EdDSA","kid":"k","typ":"passport"}`)); err != nil {
		t.Fatalf("what is forged below would be refused in any case: %v", err)
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.pair[0] == value && tt.pair[1] == good {
				t.Fatal("nothing was altered")
			}
			p, err := v.Verify(t.Context(), tt.pair[0], tt.pair[1])
			if !errors.Is(err, tt.want) || p != (passport.Passport{}) {
				t.Errorf("Verify = %+v, %v; want %v", p, err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "user_") {
				t.Errorf("the error tells who: %v", err)
			}
		})
	}
}

func TestVerifyRefusesEveryFlippedBit(t *testing.T) {
	v, value := newVerifier(t, nil), ann.Encode()
	signature := sign('k', "k", value)
	flip := func(s string, i, bit int) string {
		b := []byte(s)
		b[i] ^= 1 << bit
		return string(b)
	}
	for i := range value {
		for bit := range 8 {
			if _, err := v.Verify(t.Context(), flip(value, i, bit), signature); !errors.Is(err, passport.ErrSignature) {
				t.Errorf("bit %d of byte %d of the value: %v", bit, i, err)
			}
		}
	}
	for i := range signature {
		for bit := range 8 {
			if _, err := v.Verify(t.Context(), value, flip(signature, i, bit)); !errors.Is(err, passport.ErrSignature) {
				t.Errorf("bit %d of byte %d of the signature: %v", bit, i, err)
			}
		}
	}
}

func TestVerifyAge(t *testing.T) {
	tests := []struct {
		name         string
		now          time.Duration // after the passport was made
		maxAge, skew time.Duration
		fresh        bool
	}{
		{"at once", 0, 0, 0, true},
		{"just inside the minute", time.Minute - 1, 0, 0, true},
		{"a minute old", time.Minute, 0, 0, false},
		{"a year old", 365 * 24 * time.Hour, 0, 0, false},
		{"five seconds ahead", -5 * time.Second, 0, 0, true},
		{"more than five seconds ahead", -5*time.Second - 1, 0, 0, false},
		{"a year ahead", -365 * 24 * time.Hour, 0, 0, false},
		{"just inside a set age", 10*time.Second - 1, 10 * time.Second, 0, true},
		{"a set age old", 10 * time.Second, 10 * time.Second, 0, false},
		{"a set skew ahead", -time.Second, 0, time.Second, true},
		{"more than a set skew ahead", -time.Second - 1, 0, time.Second, false},
	}
	value := ann.Encode()
	signature := sign('k', "k", value)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := newVerifier(t, func(o *passport.Options) { o.MaxAge, o.Skew, o.Now = tt.maxAge, tt.skew, at(tt.now) })
			p, err := v.Verify(t.Context(), value, signature)
			if tt.fresh && (err != nil || p != ann) {
				t.Errorf("Verify = %+v, %v", p, err)
			}
			if !tt.fresh && (!errors.Is(err, passport.ErrStale) || p != (passport.Passport{})) {
				t.Errorf("Verify = %+v, %v; want ErrStale", p, err)
			}
		})
	}
}

func TestVerifyAgeHasNoWrap(t *testing.T) {
	v := newVerifier(t, nil)
	for _, issued := range []int64{math.MinInt64, -1, 0, math.MaxInt64, math.MaxInt64 - ann.IssuedAt, 1 << 62} {
		value := passport.Passport{UserID: "u", TokenStatus: "valid", IssuedAt: issued}.Encode()
		if _, err := v.Verify(t.Context(), value, sign('k', "k", value)); !errors.Is(err, passport.ErrStale) {
			t.Errorf("issued at %d: %v", issued, err)
		}
	}
}

func TestNewVerifierRefuses(t *testing.T) {
	tests := []struct {
		name string
		o    passport.Options
	}{
		{"no keys", passport.Options{}},
		{"keys and a URL", passport.Options{JWKSURL: "http://127.0.0.1:1/", Keys: jwks(jwk('k', "k"))}},
		{"an age before the passport", passport.Options{Keys: jwks(jwk('k', "k")), MaxAge: -1}},
		{"a skew that is negative", passport.Options{Keys: jwks(jwk('k', "k")), Skew: -1}},
		{"no key in them", passport.Options{Keys: []byte(`{"keys":[]}`)}},
		{"neither JWKS nor PEM", passport.Options{Keys: []byte("test-secret-not-for-production-00001")}},
		{"a shared secret", passport.Options{Keys: jwks(`{"kty":"oct","kid":"k","k":"` + b64(strings.Repeat("s", 32)) + `"}`)}},
		{"a private key", passport.Options{Keys: []byte(`{"kty":"OKP","crv":"Ed25519","kid":"k","x":"` + b64(string(publicKey('k'))) + `","d":"` + b64(strings.Repeat("k", 32)) + `"}`)}},
		{"two keys of one kid", passport.Options{Keys: jwks(jwk('k', "k"), jwk('x', "k"))}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if v, err := passport.NewVerifier(t.Context(), tt.o); err == nil || v != nil {
				t.Errorf("NewVerifier = %v, %v", v, err)
			}
		})
	}
}

func TestZeroVerifierRefuses(t *testing.T) {
	value := ann.Encode()
	p, err := new(passport.Verifier).Verify(context.Background(), value, sign('k', "k", value))
	if !errors.Is(err, passport.ErrKeys) || p != (passport.Passport{}) {
		t.Errorf("Verify = %+v, %v", p, err)
	}
}

// Nothing is accepted but what the signer made: the one signature of a passport, beside the very bytes of it.
func FuzzVerify(f *testing.F) {
	verifier := newVerifier(f, nil)
	made := map[string]string{}
	for _, p := range []passport.Passport{ann, other} {
		made[p.Encode()] = sign('k', "k", p.Encode())
	}
	value := ann.Encode()
	f.Add(value, made[value], 0, byte(0))
	f.Add(value, made[value], 9, byte(1))
	f.Add(other.Encode(), made[value], 0, byte(0))
	f.Add(value, made[value]+"=", 0, byte(0))
	f.Add(value, forge('k', `{"alg":"EdDSA","kid":"k","typ":"JWT"}`, value), 0, byte(0))
	f.Fuzz(func(t *testing.T, value, signature string, at int, flip byte) {
		altered := []byte(value + signature)
		if len(altered) == 0 {
			return
		}
		altered[uint(at)%uint(len(altered))] ^= flip
		value, signature = string(altered[:len(value)]), string(altered[len(value):])
		p, err := verifier.Verify(context.Background(), value, signature)
		if accepted, genuine := err == nil, made[value] != "" && made[value] == signature; accepted != genuine {
			t.Errorf("Verify(%q, %q) = %+v, %v", value, signature, p, err)
		}
		if err == nil && p.Encode() != value || err != nil && p != (passport.Passport{}) {
			t.Errorf("Verify(%q, %q) = %+v, %v", value, signature, p, err)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	v, value := newVerifier(b, nil), ann.Encode()
	signature := sign('k', "k", value)
	b.ReportAllocs()
	for b.Loop() {
		if p, err := v.Verify(context.Background(), value, signature); err != nil || p != ann {
			b.Fatal(p, err)
		}
	}
}
