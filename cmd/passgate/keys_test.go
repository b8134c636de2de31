package main

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/passgate/passgate/internal/keydir"
	"github.com/passgate/passgate/internal/keyset"
)

// keyLines returns what keys list says of a directory: its lines as fields.
func keyLines(t *testing.T, c *cli, dir string) (lines [][]string) {
	t.Helper()
	o := c.run(t, "keys", "list", "--dir", dir).must(t, exitOK)
	for line := range strings.Lines(o.stdout) {
		lines = append(lines, strings.Fields(line))
	}
	if len(lines) == 0 || strings.Join(lines[0], " ") != "KID ALG STATE MADE SIGNS FROM RETIRES" {
		t.Fatalf("the list is %q", o.stdout)
	}
	return lines[1:]
}

// mustNotShowKeys reports private material of a directory that was printed.
func mustNotShowKeys(t *testing.T, o outcome, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.jwk"))
	if err != nil || len(files) == 0 {
		t.Fatalf("key files: %v, %v", files, err)
	}
	for _, file := range files {
		var m struct{ D, K string }
		text, err := os.ReadFile(file)
		if err != nil || json.Unmarshal(text, &m) != nil || m.D+m.K == "" {
			t.Fatalf("%s: %v", file, err)
		}
		o.mustNotHold(t, m.D+m.K)
	}
	seal, err := os.ReadFile(filepath.Join(dir, "seal.key"))
	if err != nil {
		t.Fatal(err)
	}
	o.mustNotHold(t, strings.TrimSpace(string(seal)))
}

func TestKeysThroughARotation(t *testing.T) {
	c, dir := newCLI(), filepath.Join(t.TempDir(), "keys")
	o := c.run(t, "keys", "new", "--dir", dir).must(t, exitOK)
	o.mustHold(t, "made the EdDSA key ", " in "+dir+"; it signs from 2026-01-02T03:04:05Z\n")
	mustNotShowKeys(t, o, dir)
	first := keyLines(t, c, dir)
	if len(first) != 1 || strings.Join(first[0][1:], " ") != "EdDSA signing 2026-01-02T03:04:05Z 2026-01-02T03:04:05Z -" {
		t.Fatalf("after new: %q", first)
	}

	c.now = c.now.Add(time.Hour)
	o = c.run(t, "keys", "rotate", "--dir", dir, "--alg", "ES256").must(t, exitOK)
	o.mustHold(t, "made the ES256 key ", "it signs from 2026-01-02T04:05:05Z\n", "the EdDSA key "+first[0][0]+" verifies until 2026-01-03T05:05:05Z\n")
	mustNotShowKeys(t, o, dir)
	for _, test := range []struct {
		after      time.Duration
		newer, old string
	}{
		{0, "next", "signing"},
		{time.Minute, "signing", "verifying"},
		{25 * time.Hour, "signing", "verifying"},
		{25*time.Hour + time.Minute, "signing", "retired"},
	} {
		later := *c
		later.now = c.now.Add(test.after)
		lines := keyLines(t, &later, dir)
		if len(lines) != 2 || lines[0][1] != "ES256" || lines[0][2] != test.newer || lines[1][2] != test.old || lines[1][5] != "2026-01-03T05:05:05Z" {
			t.Errorf("after %v: %q", test.after, lines)
		}
	}

	// The algorithm is that of the newest key, and a key beside one that signs is to be known before it does.
	c.run(t, "keys", "new", "--dir", dir).must(t, exitOK).mustHold(t, "made the ES256 key ", "it signs from 2026-01-02T04:05:05Z\n")
	c.now = c.now.Add(time.Hour)
	o = c.run(t, "keys", "rotate", "--dir", dir, "--sign-after", "10m", "--verify-for", "2h").must(t, exitOK)
	o.mustHold(t, "made the ES256 key ", "it signs from 2026-01-02T05:14:05Z\n", "verifies until 2026-01-02T07:14:05Z\n")
	if n := strings.Count(o.stdout, "\n"); n != 4 { // that of the first key ends sooner than it was to
		t.Errorf("%d lines for three keys that are followed:\n%s", n, o.stdout)
	}
}

func TestKeysListAsJSON(t *testing.T) {
	c, dir := newCLI(), filepath.Join(t.TempDir(), "keys")
	c.run(t, "keys", "new", "--dir", dir, "--alg", "HS256").must(t, exitOK)
	c.run(t, "keys", "rotate", "--dir", dir, "--sign-after", "0s").must(t, exitOK)
	c.now = c.now.Add(60 * 24 * time.Hour)
	o := c.run(t, "keys", "list", "--json", "--dir", dir).must(t, exitOK)
	mustNotShowKeys(t, o, dir)
	var views []keyView
	for line := range strings.Lines(o.stdout) {
		var v keyView
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatal(err)
		}
		views = append(views, v)
	}
	if len(views) != 2 || views[0].State != "signing" || views[0].Retires != "" || views[1].State != "retired" || views[1].Algorithm != keyset.HS256 || views[1].Retires == "" {
		t.Errorf("%+v", views)
	}
	if !strings.Contains(o.stderr, "note: the key "+views[1].ID+" is retired for more than 30 days") {
		t.Errorf("standard error: %s", o.stderr)
	}
}

func TestKeysOfAConfiguration(t *testing.T) {
	t.Chdir(t.TempDir())
	c := newCLI()
	c.run(t, "keys", "new", "--dir", "keys").must(t, exitOK)
	text := strings.Replace(cliConfig, "algorithms: [HS256]", "algorithms: [HS256, EdDSA]", 1) +
		"keys: {dir: keys}\naccounts: {issuer: accounts, token_ttl: 2h}\n"
	if err := os.WriteFile("passgate.yaml", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c.now = c.now.Add(time.Hour)
	for _, args := range [][]string{nil, {"--config", "passgate.yaml"}, {"--dir", "keys"}} {
		// A minute, the life of a token, and the margin.
		c.run(t, append([]string{"keys", "rotate"}, args...)...).must(t, exitOK).mustHold(t, "verifies until 2026-01-02T07:05:")
		c.now = c.now.Add(time.Second)
	}
	c.run(t, "keys", "list").must(t, exitOK).mustHold(t, "signing", "next")
	c.run(t, "keys", "new", "--config", "passgate.yaml").must(t, exitOK)
	if keys, err := keydir.List("keys"); err != nil || len(keys) != 5 {
		t.Errorf("%d keys, %v", len(keys), err)
	}
}

// A configuration that is not valid as long as its directory is empty must not keep the command from filling it.
func TestKeysNewNeedsNoConfiguration(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, text := range []string{"keys: {dir: keys}\n" + cliConfig, "no: {such: field}\n"} {
		if err := os.WriteFile("passgate.yaml", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		newCLI().run(t, "keys", "new", "--dir", "keys").must(t, exitOK)
		newCLI().run(t, "keys", "list", "--dir", "keys").must(t, exitOK)
		newCLI().run(t, "keys", "rotate", "--dir", "keys", "--verify-for", "1h").must(t, exitOK)
	}
	// How long tokens live is not to be guessed beside a file that cannot be read.
	newCLI().run(t, "keys", "rotate", "--dir", "keys").must(t, exitUsage)
}

func TestKeysNewWritesAPassportKey(t *testing.T) {
	file := filepath.Join(t.TempDir(), "passport.key")
	o := newCLI().run(t, "keys", "new", "--out", file).must(t, exitOK)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	block, rest := pem.Decode(text)
	if block == nil || len(rest) > 0 {
		t.Fatal("the file is not one block of PEM")
	}
	if private, err := x509.ParsePKCS8PrivateKey(block.Bytes); err != nil {
		t.Error(err)
	} else if _, isEd25519 := private.(ed25519.PrivateKey); !isEd25519 {
		t.Errorf("the key is a %T", private)
	}
	signer, err := keyset.ParseSigner(text)
	if err != nil {
		t.Fatal(err)
	}
	if want := "wrote the EdDSA key " + signer.KeyID() + " to " + file + "\n"; o.stdout != want {
		t.Errorf("printed %q, want %q", o.stdout, want)
	}
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
		t.Errorf("the file has mode %v, %v", info.Mode(), err)
	}
	newCLI().run(t, "keys", "new", "--out", file).must(t, exitUsage).mustComplain(t, "exists, and is left as it is")
	if again, err := os.ReadFile(file); err != nil || string(again) != string(text) {
		t.Errorf("the file was written again (%v)", err)
	}
	newCLI().run(t, "keys", "new", "--out", filepath.Join(file, "x")).must(t, exitFault)
}

func TestKeysRefuse(t *testing.T) {
	t.Chdir(t.TempDir())
	config := tempFile(t, "passgate.yaml", cliConfig)
	newCLI().run(t, "keys", "new", "--dir", "good").must(t, exitOK)
	for _, dir := range []string{"empty", "broken"} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"broken/a.jwk": "{}", "file": ""} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name, args string
		code       int
		want       string
	}{
		{"no directory in the configuration", "new --config " + config, exitUsage, "has no keys.dir; add keys: {dir: DIR} to it, or give --dir"},
		{"the same, to list", "list --config " + config, exitUsage, "has no keys.dir"},
		{"a configuration that is missing", "list --config none.yaml", exitUsage, "none.yaml"},
		{"an empty name", "new --dir=", exitUsage, "--dir: the name is empty"},
		{"the same, to rotate", "rotate --dir=", exitUsage, "--dir: the name is empty"},
		{"RSA", "new --dir good --alg RS256", exitUsage, "not one of EdDSA, ES256, HS256"},
		{"an algorithm in other case", "rotate --dir good --alg eddsa", exitUsage, "not one of EdDSA, ES256, HS256"},
		{"negative --sign-after", "rotate --dir good --sign-after=-1s", exitUsage, "--sign-after: -1s is negative"},
		{"negative --verify-for", "rotate --dir good --verify-for=-1s", exitUsage, "--verify-for: -1s is negative"},
		{"no directory to rotate", "rotate --dir none", exitUsage, "there is no such directory; run: passgate keys new --dir none"},
		{"no directory to list", "list --dir none", exitUsage, "there is no such directory"},
		{"nothing to rotate", "rotate --dir empty", exitUsage, "no key to follow; run: passgate keys new --dir empty"},
		{"a broken file, new", "new --dir broken", exitUsage, "broken/a.jwk: "},
		{"a broken file, list", "list --dir broken", exitUsage, "broken/a.jwk: "},
		{"a broken file, rotate", "rotate --dir broken", exitUsage, "broken/a.jwk: "},
		{"a file for a directory", "list --dir file", exitFault, "cannot read the directory"},
		{"an empty --out", "new --out=", exitUsage, "--out: the file name is empty"},
		{"--out beside --dir", "new --out a.key --dir good", exitUsage, "stands beside --dir"},
		{"--out beside --config", "new --out a.key --config " + config, exitUsage, "stands beside --dir"},
		{"--out for another algorithm", "new --out a.key --alg ES256", exitUsage, "EdDSA alone"},
	} {
		t.Run(test.name, func(t *testing.T) {
			newCLI().run(t, append([]string{"keys"}, strings.Fields(test.args)...)...).must(t, test.code).mustComplain(t, test.want)
		})
	}
	if lines := keyLines(t, newCLI(), "good"); len(lines) != 1 || lines[0][5] != "-" {
		t.Errorf("a refused command has changed the keys: %q", lines)
	}
	if _, err := os.Stat("a.key"); err == nil {
		t.Error("a refused command made a file")
	}
}

// A key that the issuer does not take would keep a server from starting.
func TestKeysAreOfAlgorithmsThatTheIssuerTakes(t *testing.T) {
	c, dir := newCLI(), t.TempDir()
	c.run(t, "keys", "new", "--dir", dir+"/keys").must(t, exitOK)
	file := tempFile(t, "passgate.yaml", `
issuers: [{name: accounts, issuer: accounts, algorithms: [EdDSA], audiences: any}]
keys: {dir: "`+dir+`/keys", issuer: accounts}
`)
	for _, verb := range []string{"new", "rotate"} {
		c.run(t, "keys", verb, "--config", file, "--alg", "ES256").must(t, exitUsage).mustFail(t, "the algorithms of the issuer accounts in "+file+" lack ES256")
	}
	c.run(t, "keys", "rotate", "--config", file).must(t, exitOK)
	c.run(t, "config", "check", "--config", file).must(t, exitOK)
	c.run(t, "keys", "rotate", "--config", file, "--dir", dir+"/keys", "--alg", "ES256").must(t, exitOK) // it may be another's
}

// Where a secret signs so far, the first key of a directory may wait until every replica reads it.
func TestTheSecretSignsUntilTheFirstKeyDoes(t *testing.T) {
	c, dir := newCLI(), t.TempDir()
	c.run(t, "keys", "new", "--dir", dir+"/keys", "--sign-after", "10m").must(t, exitOK).mustHold(t, "it signs from 2026-01-02T03:14:05Z")
	file := tempFile(t, "passgate.yaml", `
issuers: [{name: accounts, issuer: accounts, algorithms: [HS256, EdDSA], secret: "${SECRET}", audiences: any}]
keys: {dir: "`+dir+`/keys", issuer: accounts}
`)
	for _, want := range []string{`"alg": "HS256"`, `"alg": "EdDSA"`} {
		token := c.mint(t, file)
		c.run(t, "token", "inspect", "--config", file, token).must(t, exitOK).mustHold(t, want, "accepted")
		c.now = c.now.Add(10 * time.Minute)
	}
	c.run(t, "keys", "new", "--dir", dir+"/keys", "--sign-after", "-1s").must(t, exitUsage).mustFail(t, "--sign-after")
}
