package main

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// shapes are one value of each JSON type, and those beside them that a lax reader would convert.
var shapes = map[string]string{
	"text": `"x"`, "empty text": `""`, "digits as text": `"1900000000"`, "words": `"a b"`, "list as text": `"a,b"`, "JSON as text": `"[\"admin\"]"`,
	"zero": `0`, "minus zero": `-0`, "one": `1`, "seconds": `1900000000`, "negative": `-1`, "fraction": `1.5`, "whole fraction": `1900000000.0`, "exponent": `19e8`,
	"beyond a float's integers": `9007199254740993`, "beyond 64 bits": `18446744073709551617`, "huge": `1e400`, "tiny": `1e-400`, "beyond the year 9999": `253402300800`,
	"true": `true`, "false": `false`, "null": `null`, "empty array": `[]`, "array of text": `["a","b"]`, "array of empty text": `[""]`,
	"array of text and number": `["a",1]`, "array of text and null": `["a",null]`, "array of text and true": `["a",true]`, "array of numbers": `[1]`,
	"nested array": `[["a"]]`, "text and nested array": `["a",["b"]]`, "array of an object": `[{"a":"b"}]`, "empty object": `{}`, "object": `{"a":"b"}`,
	"NUL": `"a\u0000b"`, "not ASCII": `"ø"`,
}

var (
	anyText   = []string{"text", "empty text", "digits as text", "words", "list as text", "JSON as text", "NUL", "not ASCII"}
	nonEmpty  = slices.DeleteFunc(slices.Clone(anyText), func(s string) bool { return s == "empty text" })
	textLists = []string{"empty array", "array of text", "array of empty text"}
	pastTimes = []string{"zero", "minus zero", "one"}
	allTimes  = append([]string{"seconds", "whole fraction", "exponent"}, pastTimes...)
)

// TestAttackClaimTypes gives each claim that is read a value of each type: of a wrong one the token is void,
// even where the claim would be optional (contract §4).
func TestAttackClaimTypes(t *testing.T) {
	attacks := controls()
	oneOrMore := append(slices.Clone(anyText), textLists...)
	for claim, good := range map[string][]string{
		"iss": nil, "sub": nonEmpty,
		"nbf": pastTimes, "iat": pastTimes,
		"jti": anyText, "scope": anyText, "email": anyText, "subscription": anyText, "country": anyText, "platform": anyText,
		"aud": oneOrMore, "roles": oneOrMore, "role": oneOrMore, "permissions": textLists,
		"unknown": slices.Collect(maps.Keys(shapes)), // not read, so of any type
	} {
		for shape, value := range shapes {
			want := "invalid_token"
			if slices.Contains(good, shape) {
				want = "ok"
			}
			attacks = append(attacks, attack{claim + ": " + shape, forge(accountsHeader, objectWith(accountsISS, claim, value), byAccounts), want})
		}
	}
	for shape, value := range shapes {
		want := "invalid_token"
		switch {
		case slices.Contains(pastTimes, shape):
			want = "token_expired"
		case slices.Contains(allTimes, shape):
			want = "ok"
		}
		attacks = append(attacks, attack{"exp: " + shape, forge(accountsHeader, objectWith(accountsISS, "exp", value), byAccounts), want})
	}
	for _, missing := range []string{"iss", "sub", "exp"} {
		members := leastClaims(accountsISS)
		delete(members, missing)
		attacks = append(attacks, attack{missing + " missing", forge(accountsHeader, objectOf(members), byAccounts), "invalid_token"})
		members[strings.ToUpper(missing)] = leastClaims(accountsISS)[missing]
		attacks = append(attacks, attack{missing + " in capitals alone", forge(accountsHeader, objectOf(members), byAccounts), "invalid_token"})
	}
	// The issuer other wants the audience api.
	for aud, want := range map[string]string{
		`"api"`: "ok", `["api"]`: "ok", `["x","api"]`: "ok", `["api","api"]`: "ok", `"\u0061pi"`: "ok",
		`"API"`: "", `"api "`: "", `" api"`: "", `"api/"`: "", `"ap"`: "", `"apis"`: "", `""`: "", `[]`: "", `[""]`: "", `["x"]`: "", `"x api"`: "", `"x,api"`: "", `"*"`: "", `["*"]`: "",
		`["api",1]`: "", `["api",null]`: "", `[["api"]]`: "", `{"api":true}`: "", `null`: "", `true`: "", `0`: "", `"api\u0000"`: "", `["api\u0000"]`: "", `"ａpi"`: "",
	} {
		if want == "" {
			want = "invalid_token"
		}
		attacks = append(attacks, attack{"aud: " + aud, forge(`{"alg":"HS256","kid":"o1"}`, objectWith(otherISS, "aud", aud), byOther), want})
	}
	attacks = append(attacks, attack{"aud: absent", forge(`{"alg":"HS256","kid":"o1"}`, objectOf(leastClaims(otherISS)), byOther), "invalid_token"})
	runAttacks(t, attacks)
}

func objectOf(members map[string]string) string {
	var list []string
	for name, value := range members {
		list = append(list, quoted(name)+":"+value)
	}
	return "{" + strings.Join(list, ",") + "}"
}

func TestAttackTimes(t *testing.T) {
	attacks := controls()
	now := attackNow.Unix()
	at := func(n int64) string { return strconv.FormatInt(now+n, 10) }
	type issuer struct {
		iss, header string
		sign        signFunc
	}
	accounts := issuer{accountsISS, accountsHeader, byAccounts}      // leeway 0, skew 60 s: the defaults
	other := issuer{otherISS, `{"alg":"HS256","kid":"o1"}`, byOther} // skew 0
	lenient := issuer{rsaISS, rsaHeader, issuersKeys().rs256}        // leeway 30 s
	add := func(i issuer, claim, value, want string) {
		members := map[string]string{"iss": quoted(i.iss), "sub": `"ann"`, "exp": at(1), "aud": `"api"`}
		members[claim] = value
		attacks = append(attacks, attack{i.iss + ": " + claim + " " + value, forge(i.header, objectOf(members), i.sign), want})
	}
	const ok, expired, invalid = "ok", "token_expired", "invalid_token"

	for _, i := range []issuer{accounts, other} {
		add(i, "exp", at(-1), expired)
		add(i, "exp", at(0), expired)
		add(i, "exp", at(1), ok)
	}
	add(lenient, "exp", at(-31), expired)
	add(lenient, "exp", at(-30), expired)
	add(lenient, "exp", at(-29), ok)
	for _, claim := range []string{"nbf", "iat"} {
		add(accounts, claim, at(59), ok)
		add(accounts, claim, at(60), ok)
		add(accounts, claim, at(61), invalid)
		add(other, claim, at(-1), ok)
		add(other, claim, at(0), ok)
		add(other, claim, at(1), invalid)
		add(lenient, claim, at(60), ok)
		add(lenient, claim, at(61), invalid) // leeway is for exp alone
		add(accounts, claim, "253402300799", invalid)
		add(accounts, claim, "0", ok)
	}
	for value, want := range map[string]string{
		"253402300799": ok, "253402300799.0": ok, "2.53402300799e11": ok, "253402300800": invalid, "253402300799.5": invalid, "2534023007990": invalid, "1e12": invalid,
		at(1) + ".0": ok, at(1) + "0e-1": ok, "0." + at(1) + "e10": ok, at(0) + ".999999999": invalid, at(0) + ".0": expired, at(1) + "e0": ok, at(1) + "E+0": ok, "1.8e9": expired, "1.8000000015e9": invalid,
		"0": expired, "-0": expired, "0e400": expired, "0.0": expired, "1": expired, "-1": invalid, "-1e400": invalid, "-0.5": invalid, "0.5": invalid, "1e400": invalid, "1e-400": invalid, "1e99999999999999999999": invalid,
		"1e-99999999999999999999": invalid, "2147483647": ok, "2147483648": ok, "4294967295": ok, "4294967296": ok, "4294967297": ok, "9007199254740993": invalid, "9223372036854775807": invalid,
		"9223372036854775808": invalid, "18446744073709551615": invalid, "18446744073709551616": invalid, "18446744075509551617": invalid, // 2^64 and a good time
		at(1) + "000": invalid /* milliseconds */, strings.Repeat("9", 3000): invalid, "1" + strings.Repeat("0", 2000) + "e-1991": expired, "1" + strings.Repeat("0", 2000) + "e-1990": ok, // 10^9 and 10^10
		"0x6b49d201": invalid, "01800000001": invalid, "+1800000001": invalid, "1800000001.": invalid, ".5": invalid, "1_800_000_001": invalid, "Infinity": invalid, "NaN": invalid, "1800000001n": invalid,
	} {
		add(accounts, "exp", value, want)
	}
	// Expiry is said only of a token that is good otherwise; an expired one is not let in by its other times.
	add(accounts, "exp", at(0)+`,"nbf":`+at(61), expired)
	add(accounts, "exp", at(0)+`,"nbf":"x"`, invalid)
	add(accounts, "exp", at(1)+`,"nbf":`+at(60)+`,"iat":`+at(60), ok)
	attacks = append(attacks, attack{"expired and signed by another", forge(accountsHeader, objectWith(accountsISS, "exp", "1"), byOther), invalid})
	runAttacks(t, attacks)
}
