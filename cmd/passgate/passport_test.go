package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/passgate/passgate/passport"
)

// signedPassport is one of this second with its signature, and the key for it.
type signedPassport struct {
	value, signature string
	jwks, pem        string
	private          string // the key that signed, as a JWK
}

func signPassport(t *testing.T, now time.Time) signedPassport {
	t.Helper()
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{'k'}, ed25519.SeedSize))
	public := key.Public().(ed25519.PublicKey)
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	value := passport.Passport{UserID: "ann", TokenStatus: passport.StatusValid, IssuedAt: now.Unix()}.Encode()
	signature, err := passport.NewSigner(key, "2026-01").Sign(value)
	if err != nil {
		t.Fatal(err)
	}
	return signedPassport{
		value:     value,
		signature: signature,
		jwks:      fmt.Sprintf(`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"2026-01","x":%q}]}`, base64.RawURLEncoding.EncodeToString(public)),
		private: fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","use":"sig","kid":"2026-01","x":%q,"d":%q}`,
			base64.RawURLEncoding.EncodeToString(public), base64.RawURLEncoding.EncodeToString(key.Seed())),
		pem: string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})),
	}
}

func TestPassportVerify(t *testing.T) {
	c := newCLI()
	s := signPassport(t, c.now)
	c.now = c.now.Add(90 * time.Second)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, s.jwks) }))
	defer server.Close()

	for name, flags := range map[string][]string{
		"JWKS file":      {"--keys", tempFile(t, "keys.json", s.jwks)},
		"PEM file":       {"--keys", tempFile(t, "key.pem", s.pem)},
		"URL":            {"--jwks-url", server.URL},
		"inside its age": {"--jwks-url", server.URL, "--max-age", "91s"},
	} {
		t.Run(name, func(t *testing.T) {
			o := c.run(t, append([]string{"passport", "verify", s.value, s.signature}, flags...)...).must(t, exitOK)
			o.mustHold(t, `"user_id": "ann"`, `"issued_at": `)
			if o.stderr != "passgate: signed with the key \"2026-01\", 1m30s ago\n" {
				t.Errorf("standard error is %q", o.stderr)
			}
			if decoded := c.run(t, "passport", "decode", s.value); decoded.stdout != o.stdout {
				t.Errorf("decode prints %s, and verify %s", decoded.stdout, o.stdout)
			}
		})
	}
}

func TestPassportVerifyWithTheConfiguredKey(t *testing.T) {
	c := newCLI()
	s := signPassport(t, c.now)
	config := tempFile(t, "passgate.yaml", cliConfig+"passport: {signing_key_file: "+tempFile(t, "passport.key", s.private)+"}\n")
	o := c.run(t, "passport", "verify", "--config", config, s.value, s.signature).must(t, exitOK)
	o.mustHold(t, `"user_id": "ann"`)
	other := signPassport(t, c.now.Add(time.Second))
	c.run(t, "passport", "verify", "--config", config, s.value, other.signature).must(t, exitNo).mustComplain(t, "does not verify")
}

func TestPassportVerifyOfTheFuture(t *testing.T) {
	c := newCLI()
	s := signPassport(t, c.now.Add(time.Hour))
	keys := tempFile(t, "keys.json", s.jwks)
	o := c.run(t, "passport", "verify", s.value, s.signature, "--keys", keys).must(t, exitOK)
	if want := "passgate: signed with the key \"2026-01\", 1h0m0s ahead of this clock\n"; o.stderr != want {
		t.Errorf("standard error is %q", o.stderr)
	}
	c.run(t, "passport", "verify", s.value, s.signature, "--keys", keys, "--max-age", "1m").must(t, exitNo).mustComplain(t, "is stale")
}

func TestPassportVerifySaysNo(t *testing.T) {
	c := newCLI()
	s := signPassport(t, c.now)
	other := signPassport(t, c.now.Add(time.Second))
	keys := tempFile(t, "keys.json", s.jwks)
	for name, tt := range map[string]struct {
		value, signature string
		flags            []string
		want             string
	}{
		"another's signature": {s.value, other.signature, nil, "does not verify"},
		"no signature":        {s.value, "", nil, "is not signed"},
		"a token":             {s.value, c.mint(t, tempFile(t, "passgate.yaml", cliConfig)), nil, "does not verify"},
		"an escape sequence":  {s.value, "\x1b[2J", nil, "does not verify"},
		"too old":             {s.value, s.signature, []string{"--max-age", "90s"}, "is stale"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCLI()
			c.now = c.now.Add(90 * time.Second)
			o := c.run(t, append([]string{"passport", "verify", "--keys", keys, tt.value, tt.signature}, tt.flags...)...).must(t, exitNo)
			o.mustComplain(t, tt.want)
			if strings.Contains(o.stderr, "\x1b") {
				t.Errorf("standard error holds an escape: %q", o.stderr)
			}
		})
	}
}

func TestPassportVerifyMistakes(t *testing.T) {
	c := newCLI()
	s := signPassport(t, c.now)
	config := tempFile(t, "passgate.yaml", cliConfig)
	keys := tempFile(t, "keys.json", s.jwks)
	for name, tt := range map[string]struct {
		flags []string
		code  int
		want  string
	}{
		"no key configured":   {[]string{"--config", config}, exitUsage, "passport.signing_key_file is not set"},
		"file is missing":     {[]string{"--keys", keys + "-gone"}, exitUsage, "--keys: "},
		"file is empty":       {[]string{"--keys", tempFile(t, "empty", "")}, exitUsage, "is empty"},
		"file holds no key":   {[]string{"--keys", config}, exitUsage, "neither PEM"},
		"URL is empty":        {[]string{"--jwks-url="}, exitUsage, "--jwks-url: the URL is empty"},
		"URL is none":         {[]string{"--jwks-url", "passgate:8080"}, exitUsage, "not a URL"},
		"both":                {[]string{"--jwks-url", "http://127.0.0.1:1/", "--keys", keys}, exitUsage, "can't be used together"},
		"no age":              {[]string{"--keys", keys, "--max-age", "0s"}, exitUsage, "--max-age"},
		"server is not there": {[]string{"--jwks-url", "http://" + closedPort(t) + "/"}, exitFault, "cannot be had"},
	} {
		t.Run(name, func(t *testing.T) {
			o := c.run(t, append([]string{"passport", "verify", s.value, s.signature}, tt.flags...)...).must(t, tt.code)
			o.mustComplain(t, tt.want)
		})
	}
	c.run(t, "passport", "verify", s.value).must(t, exitUsage).mustComplain(t, `expected "<signature>"`)
}

// closedPort returns an address of this machine on which nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	return server.Listener.Addr().String()
}
