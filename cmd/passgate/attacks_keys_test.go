package main

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"slices"
	"strings"
	"testing"
)

// publicForms returns all texts that a public key is likely to be handed out as, by what they are.
func publicForms(key crypto.PublicKey, jwk map[string]any) map[string][]byte {
	der, _ := x509.MarshalPKIXPublicKey(key)
	forms := map[string][]byte{"DER of SPKI": der}
	pems := map[string][]byte{"PEM": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})}
	switch key := key.(type) {
	case *rsa.PublicKey:
		forms["DER of PKCS#1"] = x509.MarshalPKCS1PublicKey(key)
		pems["PEM of PKCS#1"] = pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: forms["DER of PKCS#1"]})
		forms["modulus"] = key.N.Bytes()
		forms["modulus with a zero octet"] = append([]byte{0}, key.N.Bytes()...)
		forms["modulus in decimal"] = []byte(key.N.String())
		forms["modulus in base64url"] = []byte(jwk["n"].(string))
		forms["exponent"] = []byte{1, 0, 1}
	case *ecdsa.PublicKey:
		point, _ := key.Bytes()
		forms["point"], forms["point without its first octet"] = point, point[1:]
		forms["x"], forms["y"] = point[1:33], point[33:]
		forms["compressed point"] = append([]byte{2 | point[64]&1}, point[1:33]...)
		forms["x in base64url"] = []byte(jwk["x"].(string))
	case ed25519.PublicKey:
		forms["x"] = key
		forms["x in base64url"] = []byte(jwk["x"].(string))
	}
	for name, text := range pems {
		forms[name] = text
		forms[name+" without final newline"] = bytes.TrimSuffix(text, []byte("\n"))
		forms[name+" with two final newlines"] = append(slices.Clone(text), '\n')
		forms[name+" with CRLF"] = bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))
		forms[name+" with CRLF, without the final one"] = bytes.TrimSuffix(forms[name+" with CRLF"], []byte("\r\n"))
		forms[name+" on one line"] = bytes.ReplaceAll(text, []byte("\n"), nil)
		forms[name+" with written-out line breaks"] = bytes.ReplaceAll(text, []byte("\n"), []byte(`\n`))
		lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
		forms[name+" body"] = bytes.Join(lines[1:len(lines)-1], []byte("\n"))
	}
	forms["DER in base64"] = []byte(base64.StdEncoding.EncodeToString(der))
	forms["DER in base64 without padding"] = []byte(base64.RawStdEncoding.EncodeToString(der))
	forms["DER in base64url"] = []byte(base64.RawURLEncoding.EncodeToString(der))
	forms["DER in hexadecimal"] = []byte(hex.EncodeToString(der))
	digest := sha256.Sum256(der)
	forms["SHA-256 of DER"] = digest[:]

	compact, _ := json.Marshal(jwk)
	forms["JWK"] = compact
	forms["JWK with a newline"] = append(slices.Clone(compact), '\n')
	forms["JWK, indented by two"], _ = json.MarshalIndent(jwk, "", "  ")
	forms["JWK, indented by a tab"], _ = json.MarshalIndent(jwk, "", "\t")
	var members []string
	for _, name := range []string{"kty", "crv", "n", "e", "x", "y", "kid"} {
		if value, ok := jwk[name]; ok {
			members = append(members, quoted(name)+":"+quoted(value.(string)))
		}
	}
	forms["JWK in the order of its RFC"] = []byte("{" + strings.Join(members, ",") + "}")
	forms["JWK in the order of its RFC, with blanks"] = []byte("{" + strings.ReplaceAll(strings.Join(members, ", "), ":", ": ") + "}")
	slices.Reverse(members)
	forms["JWK in reverse order"] = []byte("{" + strings.Join(members, ",") + "}")
	members = slices.DeleteFunc(members, func(m string) bool { return strings.HasPrefix(m, `"kid"`) })
	forms["JWK without kid"] = []byte("{" + strings.Join(members, ",") + "}")
	slices.Sort(members)
	forms["JWK as its thumbprint is made of (RFC 7638)"] = []byte("{" + strings.Join(members, ",") + "}")
	thumbprint := sha256.Sum256(forms["JWK as its thumbprint is made of (RFC 7638)"])
	forms["thumbprint"] = thumbprint[:]
	forms["thumbprint in base64url"] = []byte(base64url(thumbprint[:]))
	forms["JWKS"], _ = json.Marshal(map[string]any{"keys": []any{jwk}})
	return forms
}

// An HMAC keyed with what everybody knows must verify nowhere, whatever the token says of itself.
func TestAttackKeyConfusion(t *testing.T) {
	attacks := controls()
	jwks := issuersKeys().jwks()
	for _, issuer := range []struct{ name, iss, alg, kid string }{
		{"rsa", rsaISS, "RS256", "r1"}, {"ec", ecISS, "ES256", "e1"}, {"ed", edISS, "EdDSA", "d1"},
	} {
		forms := publicForms(issuersKeys().public()[issuer.name], jwks[issuer.kid])
		forms["empty key"], forms["one NUL"], forms["32 NULs"] = nil, []byte{0}, make([]byte, 32)
		forms["kid"], forms["iss"], forms["alg"], forms["name"] = []byte(issuer.kid), []byte(issuer.iss), []byte(issuer.alg), []byte(issuer.name)
		forms["null"], forms["undefined"] = []byte("null"), []byte("undefined")
		for form, secret := range forms {
			for _, header := range []string{
				`{"alg":"HS256","kid":"` + issuer.kid + `"}`, `{"alg":"HS256"}`, `{"alg":"` + issuer.alg + `","kid":"` + issuer.kid + `"}`, `{"alg":"hs256","kid":"` + issuer.kid + `"}`,
			} {
				for _, iss := range []string{issuer.iss, mixedISS, accountsISS, unnamedISS} {
					attacks = append(attacks, attack{"HMAC by " + form + " of " + issuer.name + ", " + header + ", iss " + iss,
						forge(header, claimsOf(iss), withHMAC(secret)), "invalid_token"})
				}
			}
			for alg, hash := range map[string]crypto.Hash{"HS384": crypto.SHA384, "HS512": crypto.SHA512} {
				sign := func(signed []byte) []byte {
					mac := hmac.New(hash.New, secret)
					mac.Write(signed)
					return mac.Sum(nil)
				}
				attacks = append(attacks, attack{alg + " by " + form + " of " + issuer.name, forge(`{"alg":"`+alg+`","kid":"`+issuer.kid+`"}`, claimsOf(issuer.iss), sign), "invalid_token"})
			}
		}
	}
	runAttacks(t, attacks)
}

func TestAttackAlgorithmNone(t *testing.T) {
	attacks := controls()
	spellings := []string{`""`, `" none"`, `"none "`, `"none\u0000"`, `"n\u006fne"`, `null`, `false`, `0`, `[]`, `["none"]`, `["HS256"]`, `{}`, `"null"`, `"NULL"`, `"undefined"`, `"ｎone"`, `"no\u200bne"`, `"plain"`, `"NoneSignature"`}
	for bits := range 16 { // every case of none
		name := []byte("none")
		for i := range name {
			if bits>>i&1 == 1 {
				name[i] -= 'a' - 'A'
			}
		}
		spellings = append(spellings, quoted(string(name)))
	}
	signatures := map[string]signFunc{
		"no signature": func([]byte) []byte { return nil }, "a good HMAC": byAccounts, "a good RSA signature": issuersKeys().rs256, "one NUL": func([]byte) []byte { return []byte{0} },
	}
	for _, alg := range spellings {
		for name, sign := range signatures {
			for _, iss := range []string{accountsISS, rsaISS, mixedISS, unnamedISS, "https://evil.example"} {
				for _, header := range []string{`{"alg":` + alg + `}`, `{"alg":` + alg + `,"kid":"a1"}`, `{"alg":` + alg + `,"typ":"JWT","kid":"none"}`} {
					attacks = append(attacks, attack{header + ", " + name + ", iss " + iss, forge(header, claimsOf(iss), sign), "invalid_token"})
				}
			}
		}
	}
	claims := base64url([]byte(claimsOf(accountsISS)))
	none, hs256 := base64url([]byte(`{"alg":"none"}`)), base64url([]byte(accountsHeader))
	for name, token := range map[string]string{
		"none in two parts": none + "." + claims, "none with one dot more": none + "." + claims + "..", "HS256 in two parts": hs256 + "." + claims,
		"HS256 without signature": hs256 + "." + claims + ".", "no header": "." + claims + ".", "empty object": base64url([]byte("{}")) + "." + claims + ".",
		"claims alone": claims, "dots alone": "..", "no alg, well signed": forge(`{"kid":"a1"}`, claimsOf(accountsISS), byAccounts), "ALG, well signed": forge(`{"ALG":"HS256"}`, claimsOf(accountsISS), byAccounts),
	} {
		attacks = append(attacks, attack{name, token, "invalid_token"})
	}
	runAttacks(t, attacks)
}

func TestAttackForeignAlgorithm(t *testing.T) {
	attacks := controls()
	k := issuersKeys()
	add := func(name, header, iss string, sign signFunc, want string) {
		attacks = append(attacks, attack{name, forge(header, claimsOf(iss), sign), want})
	}
	head := func(alg, kid string) string { return `{"alg":"` + alg + `","kid":"` + kid + `"}` }

	digestOf := func(h crypto.Hash, signed []byte) []byte { d := h.New(); d.Write(signed); return d.Sum(nil) }
	for _, h := range []struct {
		bits string
		hash crypto.Hash
	}{{"256", crypto.SHA256}, {"384", crypto.SHA384}, {"512", crypto.SHA512}} {
		pkcs1 := func(signed []byte) []byte {
			s, _ := rsa.SignPKCS1v15(nil, k.rsa, h.hash, digestOf(h.hash, signed))
			return s
		}
		pss := func(signed []byte) []byte {
			s, _ := rsa.SignPSS(rand.Reader, k.rsa, h.hash, digestOf(h.hash, signed), &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
			return s
		}
		es := func(signed []byte) []byte {
			r, s, _ := ecdsa.Sign(rand.Reader, k.ec, digestOf(h.hash, signed))
			return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
		}
		hs := func(signed []byte) []byte {
			mac := hmac.New(h.hash.New, []byte(cliSecret))
			mac.Write(signed)
			return mac.Sum(nil)
		}
		for _, iss := range []string{rsaISS, mixedISS} {
			add("PS"+h.bits+" by the RSA key", head("PS"+h.bits, "r1"), iss, pss, "invalid_token")
			add("PS"+h.bits+" called RS256", head("RS256", "r1"), iss, pss, "invalid_token")
			if h.hash != crypto.SHA256 {
				add("RS"+h.bits+" by the RSA key", head("RS"+h.bits, "r1"), iss, pkcs1, "invalid_token")
				add("RS"+h.bits+" called RS256", head("RS256", "r1"), iss, pkcs1, "invalid_token")
			}
		}
		if h.hash != crypto.SHA256 {
			for _, iss := range []string{ecISS, mixedISS} {
				add("ES"+h.bits+" by the P-256 key", head("ES"+h.bits, "e1"), iss, es, "invalid_token")
				add("ES"+h.bits+" called ES256", head("ES256", "e1"), iss, es, "invalid_token")
			}
			add("HS"+h.bits, head("HS"+h.bits, "a1"), accountsISS, hs, "invalid_token")
			add("HS"+h.bits+" called HS256", head("HS256", "a1"), accountsISS, hs, "invalid_token")
			add("HS"+h.bits+", cut to the length of HS256", head("HS256", "a1"), accountsISS, func(b []byte) []byte { return hs(b)[:32] }, "invalid_token")
		}
	}
	for _, own := range []struct {
		iss, alg, kid string
		sign          signFunc
	}{{accountsISS, "HS256", "a1", byAccounts}, {rsaISS, "RS256", "r1", k.rs256}, {ecISS, "ES256", "e1", k.es256}, {edISS, "EdDSA", "d1", k.eddsa}} {
		for _, alg := range []string{
			"HS256", "RS256", "ES256", "EdDSA", "PS256", "ES256K", "ES512", "Ed25519", "Ed448", "EDDSA", "eddsa", "rs256", "hs256", "es256", "HS256 ", " HS256", "HS1", "RS1", "RSA", "ML-DSA-44",
			"SHA256withRSA", "HMAC", "dir", "A128KW", "RSA-OAEP", "ECDH-ES", "PBES2-HS256+A128KW", "HS256,none", "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256", strings.Repeat("A", 2000),
		} {
			if alg != own.alg {
				add(own.alg+" called "+alg, head(alg, own.kid), own.iss, own.sign, "invalid_token")
			}
		}
		for name, change := range map[string]func([]byte) []byte{
			"none": func([]byte) []byte { return nil }, "cut by an octet": func(s []byte) []byte { return s[:len(s)-1] }, "cut in half": func(s []byte) []byte { return s[:len(s)/2] },
			"first octet cut": func(s []byte) []byte { return s[1:] }, "a NUL after": func(s []byte) []byte { return append(s, 0) }, "a NUL before": func(s []byte) []byte { return append([]byte{0}, s...) },
			"twice": func(s []byte) []byte { return append(slices.Clone(s), s...) }, "all NULs": func(s []byte) []byte { return make([]byte, len(s)) }, "all ones": func(s []byte) []byte { return bytes.Repeat([]byte{0xff}, len(s)) },
			"first bit": func(s []byte) []byte { s[0] ^= 0x80; return s }, "last bit": func(s []byte) []byte { s[len(s)-1] ^= 1; return s }, "reversed": func(s []byte) []byte { slices.Reverse(s); return s },
			"in hexadecimal": func(s []byte) []byte { return []byte(hex.EncodeToString(s)) }, "in base64url twice": func(s []byte) []byte { return []byte(base64url(s)) },
		} {
			add(own.alg+", signature: "+name, head(own.alg, own.kid), own.iss, func(b []byte) []byte { return change(own.sign(b)) }, "invalid_token")
		}
	}

	// ES256: r and s as they must not be (RFC 7518 §3.4).
	n := k.ec.Params().N
	fixed := func(r, s *big.Int, size int) []byte {
		return append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
	}
	plus := func(a, b *big.Int) *big.Int { return new(big.Int).Add(a, b) }
	zero, one := new(big.Int), big.NewInt(1)
	for name, change := range map[string]func(r, s *big.Int) []byte{
		"r is zero": func(_, s *big.Int) []byte { return fixed(zero, s, 32) }, "s is zero": func(r, _ *big.Int) []byte { return fixed(r, zero, 32) },
		"both are zero": func(_, _ *big.Int) []byte { return fixed(zero, zero, 32) }, "both are one": func(_, _ *big.Int) []byte { return fixed(one, one, 32) },
		"r is n": func(_, s *big.Int) []byte { return fixed(n, s, 32) }, "s is n": func(r, _ *big.Int) []byte { return fixed(r, n, 32) }, "both are n": func(_, _ *big.Int) []byte { return fixed(n, n, 32) },
		"s+n": func(r, s *big.Int) []byte {
			return append(fixed(r, zero, 32)[:32], plus(s, n).FillBytes(make([]byte, 33))...)
		},
		"r+n": func(r, s *big.Int) []byte {
			return append(plus(r, n).FillBytes(make([]byte, 33)), s.FillBytes(make([]byte, 32))...)
		},
		"s+n, both of 33 octets": func(r, s *big.Int) []byte { return fixed(r, plus(s, n), 33) }, "33 octets each": func(r, s *big.Int) []byte { return fixed(r, s, 33) },
		"48 octets each": func(r, s *big.Int) []byte { return fixed(r, s, 48) }, "66 octets each": func(r, s *big.Int) []byte { return fixed(r, s, 66) },
		"swapped": func(r, s *big.Int) []byte { return fixed(s, r, 32) }, "n-r": func(r, s *big.Int) []byte { return fixed(new(big.Int).Sub(n, r), s, 32) },
		"r alone": func(r, _ *big.Int) []byte { return r.FillBytes(make([]byte, 32)) },
	} {
		sign := func(signed []byte) []byte {
			digest := sha256.Sum256(signed)
			r, s, _ := ecdsa.Sign(rand.Reader, k.ec, digest[:])
			return change(r, s)
		}
		add("ES256: "+name, ecHeader, ecISS, sign, "invalid_token")
	}
	add("ES256: DER", ecHeader, ecISS, func(signed []byte) []byte {
		digest := sha256.Sum256(signed)
		s, _ := ecdsa.SignASN1(rand.Reader, k.ec, digest[:])
		return s
	}, "invalid_token")
	// RFC 7518 does not ask for the lower s. That is why no decision hangs on the bytes of a token.
	add("ES256: n-s, which is as good as s", ecHeader, ecISS, func(signed []byte) []byte {
		signature := k.es256(signed)
		s := new(big.Int).Sub(n, new(big.Int).SetBytes(signature[32:]))
		return append(signature[:32], s.FillBytes(make([]byte, 32))...)
	}, "ok")

	// Ed25519: S+L, S of 2^256-1 with the true R, and a signature in the prehashed mode.
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	add("EdDSA: S+L", edHeader, edISS, func(signed []byte) []byte {
		signature := k.eddsa(signed)
		s := slices.Clone(signature[32:])
		slices.Reverse(s)
		s = plus(new(big.Int).SetBytes(s), order).FillBytes(make([]byte, 32))
		slices.Reverse(s)
		return append(signature[:32], s...)
	}, "invalid_token")
	add("EdDSA: Ed25519ph", edHeader, edISS, func(signed []byte) []byte {
		digest := sha512.Sum512(signed)
		signature, _ := k.ed.Sign(nil, digest[:], &ed25519.Options{Hash: crypto.SHA512})
		return signature
	}, "invalid_token")
	add("EdDSA: Ed25519ctx", edHeader, edISS, func(signed []byte) []byte {
		signature, _ := k.ed.Sign(nil, signed, &ed25519.Options{Context: "x"})
		return signature
	}, "invalid_token")
	// RS256: the signature plus the modulus is equal modulo it.
	add("RS256: s+n", rsaHeader, rsaISS, func(signed []byte) []byte {
		return plus(new(big.Int).SetBytes(k.rs256(signed)), k.rsa.N).FillBytes(make([]byte, 257))
	}, "invalid_token")
	add("RS256: without DigestInfo", rsaHeader, rsaISS, func(signed []byte) []byte {
		digest := sha256.Sum256(signed)
		s, _ := rsa.SignPKCS1v15(nil, k.rsa, 0, digest[:])
		return s
	}, "invalid_token")
	runAttacks(t, attacks)
}
