package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/passgate/passgate/internal/keyset"
)

// verifies reports whether what secret signs verifies with the issuer's key.
func verifies(t *testing.T, i Issuer, secret string) bool {
	t.Helper()
	signer, err := keyset.Secret([]byte(secret)).Signer()
	if err != nil {
		t.Fatal(err)
	}
	signature, err := signer.Sign("text")
	if err != nil {
		t.Fatal(err)
	}
	key, err := i.Keys.Key(t.Context(), "", false, keyset.HS256)
	return err == nil && key.Verify("text", signature) == nil
}

func TestSecretFileLosesOneFinalNewline(t *testing.T) {
	for _, test := range []struct{ name, content, want string }{
		{"none", testSecret, testSecret},
		{"newline", testSecret + "\n", testSecret},
		{"carriage return and newline", testSecret + "\r\n", testSecret},
		{"two newlines", testSecret + "\n\n", testSecret + "\n"},
		{"carriage return alone", testSecret + "\r", testSecret + "\r"},
		{"blanks", " " + testSecret + " \n", " " + testSecret + " "},
		{"not text", testSecret + "\x00\xff\n", testSecret + "\x00\xff"},
		{"no variable", testSecret + "${SECRET}", testSecret + "${SECRET}"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := write(t, "issuers: [{name: a, issuer: b, algorithms: [HS256], secret_file: key}]\n")
			if err := os.WriteFile(filepath.Join(filepath.Dir(path), "key"), []byte(test.content), 0o600); err != nil {
				t.Fatal(err)
			}
			c, err := Load(path, testEnv)
			if err != nil {
				t.Fatal(err)
			}
			if !verifies(t, c.Issuers[0], test.want) {
				t.Error("the key is not what is in the file")
			}
		})
	}
}

func TestSecretInTheEnvironmentIsTakenAsItIs(t *testing.T) {
	for _, secret := range []string{
		testSecret,
		testSecret + "\n",
		"a: {b: [c]} # " + testSecret,
		"*&!|>'\"%@` " + testSecret,
		"1234567890123456789012345678901234567890",
		"${SECRET} " + testSecret, // not read a second time
	} {
		env := func(string) (string, bool) { return secret, true }
		c, err := Load(write(t, "issuers:\n  - name: a\n    issuer: b\n    algorithms: [HS256]\n    secret: ${X}\n"), env)
		if err != nil {
			t.Errorf("%q: %v", secret, err)
			continue
		}
		if !verifies(t, c.Issuers[0], secret) {
			t.Errorf("%q: the key is not what is in the environment", secret)
		}
	}
}

func TestDefaultTakesTheKeyThatThereIs(t *testing.T) {
	t.Chdir(t.TempDir())
	none := func(string) (string, bool) { return "", false }

	c, err := Default(none)
	if err != nil {
		t.Fatal(err)
	}
	if c.Issuers[0].MintKey != nil || verifies(t, c.Issuers[0], testSecret) {
		t.Error("without a key there is one")
	}

	if err := GenerateKey(KeyFile); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	if len(content) != 44 || content[43] != '\n' || info.Mode().Perm() != 0o600 {
		t.Errorf("the key file has %d bytes and mode %v", len(content), info.Mode())
	}
	if err := GenerateKey(KeyFile); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second key: %v, want fs.ErrExist", err)
	}
	if entries, _ := os.ReadDir("."); len(entries) != 1 {
		t.Errorf("%d files are left, want the key alone", len(entries))
	}
	if c, err = Default(none); err != nil {
		t.Fatal(err)
	}
	if c.Issuers[0].MintKey == nil || !verifies(t, c.Issuers[0], string(content[:43])) {
		t.Error("the key file was not taken")
	}

	env := onlyVariable("PASSGATE_JWT_SECRET", testSecret)
	if c, err = Default(env); err != nil {
		t.Fatal(err)
	}
	if !verifies(t, c.Issuers[0], testSecret) {
		t.Error("the environment does not go before the key file")
	}
}

// onlyVariable is an environment of one variable.
func onlyVariable(name, value string) func(string) (string, bool) {
	return func(asked string) (string, bool) {
		if asked != name {
			return "", false
		}
		return value, true
	}
}

func TestDefaultRefusesABrokenKeyFile(t *testing.T) {
	for _, test := range []struct{ name, content, want string }{
		{"short", "short\n", "the key is shorter than 32 bytes"},
		{"empty", "", "the key is shorter than 32 bytes"},
		{"not text", testSecret + "\xff\n", "is not a secret in text"},
		{"zero byte", testSecret + "\x00\n", "is not a secret in text"},
		{"a public key", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "is not a secret in text"},
		{"too large", strings.Repeat("x", maxKeyFile+1), "cannot read the key: it is larger than 1MiB"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			if err := os.WriteFile(KeyFile, []byte(test.content), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Default(nil)
			var faults Errors
			want := "passgate.key: " + test.want + "; remove the file, and passgate serve makes a new one"
			if !errors.As(err, &faults) || err.Error() != want {
				t.Errorf("Default = %v, want Errors: %s", err, want)
			}
			env := onlyVariable("PASSGATE_JWT_SECRET", testSecret)
			if _, err := Default(env); err != nil {
				t.Errorf("with a key in the environment: %v", err)
			}
		})
	}
}

func TestDefaultNamesTheVariableOfAShortKey(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := GenerateKey(KeyFile); err != nil {
		t.Fatal(err)
	}
	env := onlyVariable("PASSGATE_JWT_SECRET", "short")
	_, err := Default(env)
	if err == nil || !strings.HasPrefix(err.Error(), "default.yaml:13:13: issuers[0].secret: is shorter than 32 bytes") ||
		!strings.HasSuffix(err.Error(), "(the value is that of ${PASSGATE_JWT_SECRET})") {
		t.Errorf("Default = %v, want a fault that names the variable", err)
	}
}

func TestGatewayHasOneRouteAndNoKey(t *testing.T) {
	c := Gateway()
	if len(c.Routes) != 1 || len(c.Issuers) != 1 || c.Issuers[0].Issuer != "https://auth.example.com" || c.Issuers[0].MintKey != nil {
		t.Errorf("Gateway = %+v", c)
	}
	if len(c.Issuers[0].Algorithms) != len(keyset.Algorithms()) {
		t.Errorf("Algorithms = %v", c.Issuers[0].Algorithms)
	}
}

func TestDefaultRefusesAKeyFileThatLinksNowhere(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Symlink("nowhere", KeyFile); err != nil {
		t.Fatal(err)
	}
	if _, err := Default(noEnv); err == nil || !strings.Contains(err.Error(), "passgate.key: cannot read the key") {
		t.Errorf("Default = %v, want a fault of the key file", err)
	}
}
