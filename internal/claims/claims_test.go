package claims

import (
	"math/big"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/passgate/passgate/internal/strict"
)

func TestParseTimeIsExact(t *testing.T) {
	for _, s := range []string{
		"0", "-0", "0.0", "0e9999999999999", "1", "10", "1e1", "1E+1", "10e-1", "1.0", "1.5", "15e-1", "1.50e1", "150e-2", "0.1e1", "0.001e3", "0.001e2",
		"1e2147483648", "1e-2147483649", "10e9223372036854775807", "0.1e-9223372036854775808", "1e99999999999999999999", "1e-99999999999999999999",
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

// An exponent costs no more than its digits: written out, this one would take 100 MB.
func TestParseTimeIsNotMultipliedOut(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	parseTime([]byte("1e100000000"))
	parseTime([]byte("1e-100000000"))
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20 {
		t.Errorf("%d bytes for two numbers", grown)
	}
}

// exactTime is parseTime by arithmetic on fractions, which is exact and slow.
func exactTime(s string) (*big.Int, bool) {
	if _, exponent, ok := strings.Cut(strings.ToLower(s), "e"); ok && len(strings.TrimLeft(exponent, "+-")) > 5 {
		return new(big.Int), strings.HasPrefix(s, "0e") // no fraction is written out that far
	}
	exact, ok := new(big.Rat).SetString(s)
	if !ok || !exact.IsInt() || exact.Sign() < 0 || exact.Num().Cmp(big.NewInt(maxTime)) > 0 {
		return nil, false
	}
	return exact.Num(), true
}

func TestReadRequires(t *testing.T) {
	names := Names{"sub", "roles", "permissions", "scope", "email", "subscription", "country", "platform"}
	for name, test := range map[string]struct {
		text     string
		required []string
		want     string // in the error; "": none
	}{
		"the user id alone":         {`{"sub":"ann"}`, nil, ""},
		"no user id":                {`{"exp":1}`, nil, "sub"},
		"an empty user id":          {`{"sub":""}`, nil, "sub"},
		"an expiry that is missing": {`{"sub":"ann"}`, []string{"exp"}, "exp"},
		"an expiry that is there":   {`{"sub":"ann","exp":1}`, []string{"exp"}, ""},
		"an expiry of another type": {`{"sub":"ann","exp":"1"}`, nil, "exp"},
		"a claim that is null":      {`{"sub":"ann","email":null}`, nil, "email"},
		"a jti that is a number":    {`{"sub":"ann","jti":1}`, nil, "jti"},
	} {
		t.Run(name, func(t *testing.T) {
			o, err := strict.ParseObject([]byte(test.text))
			if err != nil {
				t.Fatal(err)
			}
			c, err := Read(o, &names, test.required...)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want one about %q", err, test.want)
			}
			if err == nil && c.HasExpiry != strings.Contains(test.text, "exp") {
				t.Errorf("HasExpiry is %t", c.HasExpiry)
			}
		})
	}
}

// Judge takes what has no expiry: whether one is needed is for Read to say.
func TestJudge(t *testing.T) {
	rules := &Rules{Source: "idp", Audiences: []string{"api"}}
	for name, test := range map[string]struct {
		claims Claims
		want   string
	}{
		"no expiry":             {Claims{audience: []string{"api"}}, ""},
		"expired":               {Claims{audience: []string{"api"}, HasExpiry: true, Expires: 100}, "expired"},
		"expired in 1970":       {Claims{audience: []string{"api"}, HasExpiry: true}, "expired"},
		"a second left":         {Claims{audience: []string{"api"}, HasExpiry: true, Expires: 101}, ""},
		"not yet valid":         {Claims{audience: []string{"api"}, notBefore: 101}, "nbf"},
		"issued ahead":          {Claims{audience: []string{"api"}, issuedAt: 101}, "iat"},
		"for another":           {Claims{audience: []string{"web"}}, "aud"},
		"for nobody in special": {Claims{}, "aud"},
	} {
		t.Run(name, func(t *testing.T) {
			err := test.claims.Judge(rules, 100)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want one about %q", err, test.want)
			}
		})
	}
}

func TestJudgeToTheSecond(t *testing.T) {
	rules := &Rules{Source: "idp", Leeway: 10 * time.Second, ClockSkew: 20 * time.Second}
	for name, test := range map[string]struct {
		claims Claims
		good   bool
	}{
		"exp within the leeway":          {Claims{HasExpiry: true, Expires: 91}, true},
		"exp at the end of the leeway":   {Claims{HasExpiry: true, Expires: 90}, false},
		"nbf as far ahead as the skew":   {Claims{notBefore: 120}, true},
		"nbf a second further":           {Claims{notBefore: 121}, false},
		"iat as far ahead as the skew":   {Claims{issuedAt: 120}, true},
		"iat a second further":           {Claims{issuedAt: 121}, false},
		"aud is of no matter without it": {Claims{audience: []string{"any"}}, true},
	} {
		if err := test.claims.Judge(rules, 100); (err == nil) != test.good {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTextsOfAudiencesAndTimes(t *testing.T) {
	rules := &Rules{Source: "idp", Audiences: []string{"api"}, Leeway: 10 * time.Second, ClockSkew: 20 * time.Second}
	for want, c := range map[string]Claims{
		`aud is missing, and one of ["api"] is asked for`: {},
		`aud names none of ["api"]`:                       {audience: []string{"web"}},
	} {
		if err := c.Judge(rules, 100); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
	for want, c := range map[string]Claims{
		`now 100: no exp; aud [], one of ["api"] is asked for`:                                                                  {},
		`now 100: exp 7 (leeway 10s), nbf 5 (clock skew 20s), iat 6 (clock skew 20s); aud ["web"], one of ["api"] is asked for`: {HasExpiry: true, Expires: 7, notBefore: 5, issuedAt: 6, audience: []string{"web"}},
	} {
		if got := c.Describe(rules, 100); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if got := new(Claims).Describe(&Rules{}, 100); got != "now 100: no exp; aud [], any is taken" {
		t.Errorf("got %q", got)
	}
}

// role is a second name of roles, unless the roles have another name of their own.
func TestRoleStandsBesideRoles(t *testing.T) {
	o, err := strict.ParseObject([]byte(`{"sub":"ann","role":"a","roles":["b"],"groups":["c"]}`))
	if err != nil {
		t.Fatal(err)
	}
	for roles, want := range map[string]string{"roles": "b a", "groups": "c"} {
		c, err := Read(o, &Names{"sub", roles, "permissions", "scope", "email", "subscription", "country", "platform"})
		if err != nil || strings.Join(c.Principal.Roles, " ") != want {
			t.Errorf("%s: %q, %v", roles, c.Principal.Roles, err)
		}
	}
}
