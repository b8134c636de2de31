package main

import (
	"strings"
	"testing"
	"time"

	"github.com/passgate/passgate/internal/verifier/jwtauth"
)

func TestMintedTokenIsAccepted(t *testing.T) {
	c := newCLI()
	file := tempFile(t, "passgate.yaml", cliConfig)
	token := c.mint(t, file, "--claim", `permissions=["read"]`, "--claim", `role="member"`)

	o := c.run(t, "token", "inspect", "--config", file, token).must(t, exitOK)
	o.mustHold(t, `"alg": "HS256"`, "claims (not verified) {", `"iss": "https://auth.example.com"`, `"sub": "ann"`,
		`"exp": 1767326645`, // an hour ahead
		`issuer accounts: accepted: user "ann", roles ["member"], permissions ["read"]`,
		`issuer partner: refused: `, `which is no issuer here`)
	o.mustNotHold(t, token)
	o.mustNotHold(t, token[strings.LastIndex(token, "."):])

	c.stdin = token + "\n"
	if piped := c.run(t, "token", "inspect", "--config", file, "-").must(t, exitOK); piped.stdout != o.stdout {
		t.Errorf("from standard input: %s", piped.stdout)
	}
}

func TestMintNamesTheFirstAudience(t *testing.T) {
	c := newCLI()
	file := tempFile(t, "passgate.yaml", cliConfig)
	o := c.run(t, "token", "mint", "--config", file, "--issuer", "partner", "--sub", "bob").must(t, exitOK)
	c.run(t, "token", "inspect", "--config", file, strings.TrimSpace(o.stdout)).must(t, exitOK).
		mustHold(t, `"aud": "api"`, `issuer partner: accepted: user "partner:bob"`)
}

func TestMintTakesClaimsOfEveryType(t *testing.T) {
	c := newCLI()
	file := tempFile(t, "passgate.yaml", cliConfig)
	token := c.mint(t, file,
		"--claim", `text="a=b; c, d"`, "--claim", `list=["x","y,z"]`, "--claim", `object={"k":{"n":null}}`,
		"--claim", `number=1.50`, "--claim", `yes=true`, "--claim", `nothing=null`, "--claim", `sub="carl"`)
	_, claims, err := jwtauth.DecodeUnverified(token)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"text":"a=b; c, d"`, `"list":["x","y,z"]`, `"object":{"k":{"n":null}}`, `"yes":true`, `"nothing":null`, `"number":1.5`, `"sub":"carl"`,
	} {
		if !strings.Contains(string(claims), want) {
			t.Errorf("the claims are %s, want %s in them", claims, want)
		}
	}
}

func TestMintRefuses(t *testing.T) {
	const jwk = `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}` // RFC 8037 appendix A.2
	file := tempFile(t, "passgate.yaml", cliConfig)
	asymmetric := tempFile(t, "passgate.yaml", "issuers: [{name: idp, issuer: https://idp.example, algorithms: [EdDSA], public_key: '"+jwk+"'}]")
	none := tempFile(t, "passgate.yaml", "default_access: public")
	for _, test := range []struct {
		name string
		args []string
		want string
	}{
		{"unknown issuer", []string{"--config", file, "--issuer", "nobody", "--sub", "ann"}, `names no issuer "nobody"; it has accounts, partner`},
		{"no issuer at all", []string{"--config", none, "--issuer", "nobody", "--sub", "ann"}, "it has none"},
		{"issuer with a public key", []string{"--config", asymmetric, "--issuer", "idp", "--sub", "ann"}, "--issuer: idp has no secret here to sign with"},
		{"empty subject", []string{"--config", file, "--issuer", "accounts", "--sub", ""}, "--sub: is empty"},
		{"claim that is not JSON", []string{"--config", file, "--issuer", "accounts", "--sub", "ann", "--claim", "role=member"}, `--claim role: "member" is not JSON; a string is written '"text"'`},
		{"claim with a name twice", []string{"--config", file, "--issuer", "accounts", "--sub", "ann", "--claim", `x={"a":1,"a":2}`}, "--claim x: "},
		{"claim without a value", []string{"--config", file, "--issuer", "accounts", "--sub", "ann", "--claim", "role"}, "--claim: "},
		{"claim without a name", []string{"--config", file, "--issuer", "accounts", "--sub", "ann", "--claim", "=1"}, "--claim: the name is missing"},
	} {
		t.Run(test.name, func(t *testing.T) {
			newCLI().run(t, append([]string{"token", "mint"}, test.args...)...).must(t, exitUsage).mustComplain(t, test.want)
		})
	}
}

func TestInspectSaysWhyATokenIsRefused(t *testing.T) {
	c := newCLI()
	file := tempFile(t, "passgate.yaml", cliConfig)
	good := c.mint(t, file)
	for _, test := range []struct{ name, token, want string }{
		{"expired", c.mint(t, file, "--ttl=-1m"), "issuer accounts: refused: credential has expired"},
		{"another signature", good[:strings.LastIndex(good, ".")+1] + strings.Repeat("A", 43), "issuer accounts: refused: credential is not valid: issuer accounts: "},
		{"another issuer", c.mint(t, file, "--claim", `iss="https://other.example"`), `iss is "https://other.example"`},
		{"the other issuer's name under this key", c.mint(t, file, "--claim", `iss="https://idp.partner.example"`), "issuer partner: refused: "},
		{"no token", "garbage", "cannot be read: the token has 0 dots"},
		{"not base64url", "a.b.c", "cannot be read: "},
		{"empty", "", "cannot be read: "},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := c.run(t, "token", "inspect", "--config", file, test.token).must(t, exitNo)
			o.mustHold(t, test.want, "issuer accounts: refused: ", "issuer partner: refused: ")
			if o.stderr != "" {
				t.Errorf("standard error: %s", o.stderr)
			}
		})
	}
}

func TestMintedTokenExpires(t *testing.T) {
	c := newCLI()
	file := tempFile(t, "passgate.yaml", cliConfig)
	token := c.mint(t, file, "--ttl", "1m")
	c.now = c.now.Add(59 * time.Second)
	c.run(t, "token", "inspect", "--config", file, token).must(t, exitOK)
	c.now = c.now.Add(time.Second)
	c.run(t, "token", "inspect", "--config", file, token).must(t, exitNo).mustHold(t, "credential has expired")
}

func TestPassportDecode(t *testing.T) {
	c := newCLI()
	file := tempFile(t, "passgate.yaml", cliConfig)
	token := c.mint(t, file, "--claim", `permissions=["read"]`, "--claim", `email="ann&co@example.com"`)
	explained := c.run(t, "explain", "--config", file, "--path", "/api/users/1", "--token", token).must(t, exitOK)
	_, value, _ := strings.Cut(explained.stdout, "X-Passport: ")
	value, _, _ = strings.Cut(value, "\n")

	o := c.run(t, "passport", "decode", value).must(t, exitOK)
	want := `{
  "user_id": "ann",
  "email": "ann&co@example.com",
  "subscription": "",
  "country": "",
  "platform": "",
  "token_status": "valid",
  "issued_at": 1767323045
}
`
	if o.stdout != want {
		t.Errorf("printed %s, want %s", o.stdout, want)
	}
	for _, bad := range []string{"", "nope", "e30=", value[:len(value)-4], value + "\n"} {
		c.run(t, "passport", "decode", bad).must(t, exitNo).mustComplain(t, "passgate: not a passport")
	}
}
