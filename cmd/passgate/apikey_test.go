package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/verifier/apikey"
	"github.com/passgate/passgate/internal/yamlstrict"
)

// pastedKeys is an API key file as it is read. Texts that are not in quotes must not read as numbers or dates.
type pastedKeys struct {
	Keys []struct {
		Name        string   `yaml:"name" required:"true"`
		SHA256      string   `yaml:"sha256" required:"true"`
		UserID      string   `yaml:"user_id" required:"true"`
		Roles       []string `yaml:"roles" nonempty:"true"`
		Permissions []string `yaml:"permissions" nonempty:"true"`
		Expires     string   `yaml:"expires"`
		Disabled    bool     `yaml:"disabled"`
	} `yaml:"keys"`
}

// paste reads entries below keys:, with an environment in which every variable is set.
func paste(t *testing.T, entries ...string) pastedKeys {
	t.Helper()
	var file pastedKeys
	text := "keys:\n" + strings.Join(entries, "")
	env := func(string) (string, bool) { return "from the environment", true }
	if err := yamlstrict.Read("keys.yaml", []byte(text), env, &file).Err(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return file
}

// newKey runs apikey new and returns the key and its entry.
func newKey(t *testing.T, c *cli, args ...string) (key, entry string) {
	t.Helper()
	o := c.run(t, append([]string{"apikey", "new"}, args...)...).must(t, exitOK)
	key, entry, _ = strings.Cut(o.stdout, "\n")
	if !apikey.WellFormed(key) {
		t.Fatalf("the first line is no key:\n%s", o.stdout)
	}
	if strings.Contains(entry+o.stderr, key) {
		t.Errorf("the key is shown more than once\nstdout: %s\nstderr: %s", o.stdout, o.stderr)
	}
	for _, want := range []string{"the first line is the key", "shown this once", "put them under keys: in the API key file"} {
		if !strings.Contains(o.stderr, want) {
			t.Errorf("standard error does not say %q:\n%s", want, o.stderr)
		}
	}
	return key, entry
}

func TestNewAPIKeyIsAcceptedOncePasted(t *testing.T) {
	c := newCLI()
	key, entry := newKey(t, c, "--name", "ci-deploy", "--user-id", "ci", "--role", "deployer", "--role", "viewer", "--permission", "orders:read", "--expires", "720h")
	want := fmt.Sprintf(`  - name: "ci-deploy"
    sha256: "%x"
    user_id: "ci"
    roles: ["deployer", "viewer"]
    permissions: ["orders:read"]
    expires: "2026-02-01T03:04:05Z"
`, apikey.Digest(key))
	if entry != want {
		t.Errorf("the entry is\n%s\nwant\n%s", entry, want)
	}

	otherKey, otherEntry := newKey(t, c, "--name", "other", "--user-id", "other")
	if otherKey == key {
		t.Error("two keys are the same")
	}
	options := apikey.Options{Source: "api_keys", UserPrefix: "key:"}
	for _, e := range paste(t, entry, otherEntry).Keys {
		made := apikey.Entry{Name: e.Name, UserID: e.UserID, Roles: e.Roles, Permissions: e.Permissions, Disabled: e.Disabled}
		if _, err := hex.Decode(made.SHA256[:], []byte(e.SHA256)); err != nil {
			t.Fatal(err)
		}
		if e.Expires != "" {
			var err error
			if made.Expires, err = time.Parse(time.RFC3339, e.Expires); err != nil {
				t.Fatal(err)
			}
		}
		options.Entries = append(options.Entries, made)
	}
	v, err := apikey.New(options)
	if err != nil {
		t.Fatal(err)
	}
	verify := func(key string, now time.Time) (*authz.Identity, error) {
		return v.Verify(t.Context(), authz.Credential{Kind: authz.KindAPIKey, Value: key}, now)
	}
	end := c.now.Add(720 * time.Hour)
	id, err := verify(key, end.Add(-1))
	if err != nil || id.UserID != "key:ci" || !slices.Equal(id.Roles, []string{"deployer", "viewer"}) || !slices.Equal(id.Permissions, []string{"orders:read"}) {
		t.Errorf("got %+v, %v", id, err)
	}
	if _, err := verify(key, end); !errors.Is(err, &authz.ExpiredError{}) {
		t.Errorf("at its end: %v", err)
	}
	if id, err := verify(otherKey, end.AddDate(100, 0, 0)); err != nil || id.UserID != "key:other" {
		t.Errorf("got %+v, %v", id, err)
	}
}

// The entry says what the command line said, however it would read in YAML.
func TestNewAPIKeyEntryIsYAMLWhateverIsInIt(t *testing.T) {
	for _, name := range []string{"true", "null", "123", "1e5", "0x1f", "2026-01-02", "1_000", "no", "a-", "0" + strings.Repeat("a", 63)} {
		_, entry := newKey(t, newCLI(), "--name", name, "--user-id", name, "--role", name)
		if got := paste(t, entry).Keys[0]; got.Name != name || got.UserID != name || !slices.Equal(got.Roles, []string{name}) {
			t.Errorf("%q: got %+v", name, got)
		}
	}
	for _, word := range []string{`"`, `\`, `'`, `\n`, "a:b", "a#b", "#", "-", "[x]", "{x}", "&a", "*", "!x", "|", ">", "%41", "@x", "`", "$x", "größe:lesen", "😀", "\u200b", "\u202e", "\ufeff", "\U000e0001"} {
		_, entry := newKey(t, newCLI(), "--name", "a", "--user-id="+word+" "+word, "--permission="+word, "--permission=x"+word, "--role="+word)
		got := paste(t, entry).Keys[0]
		if got.UserID != word+" "+word || !slices.Equal(got.Permissions, []string{word, "x" + word}) || !slices.Equal(got.Roles, []string{word}) {
			t.Errorf("%q: got %+v", word, got)
		}
	}
}

func TestNewAPIKeyExpires(t *testing.T) {
	for _, test := range []struct{ name, expires, want string }{
		{"a time", "2027-01-31T00:00:00Z", "2027-01-31T00:00:00Z"},
		{"a time in another zone", "2027-01-31T02:00:00+02:00", "2027-01-31T00:00:00Z"},
		{"a fraction of a second is dropped", "2027-01-31T00:00:00.999Z", "2027-01-31T00:00:00Z"},
		{"the next second", "2026-01-02T03:04:06Z", "2026-01-02T03:04:06Z"},
		{"a duration", "1h30m", "2026-01-02T04:34:05Z"},
		{"a duration with a fraction", "1.9s", "2026-01-02T03:04:06Z"},
		{"the last second that can be written", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, entry := newKey(t, newCLI(), "--name", "a", "--user-id", "a", "--expires", test.expires)
			if got := paste(t, entry).Keys[0].Expires; got != test.want {
				t.Errorf("expires is %q, want %q", got, test.want)
			}
		})
	}
}

func TestNewAPIKeyRefuses(t *testing.T) {
	for _, test := range []struct {
		name string
		args []string
		want string
	}{
		{"nothing given", []string{}, "--name"},
		{"no user id", []string{"--name", "a"}, "--user-id"},
		{"empty name", []string{"--name", "", "--user-id", "a"}, "--name: want a word of a-z, 0-9, _ and -"},
		{"name in upper case", []string{"--name", "CI", "--user-id", "a"}, "--name: want a word"},
		{"name with a blank", []string{"--name", "a b", "--user-id", "a"}, "--name: want a word"},
		{"name with a line feed at the end", []string{"--name", "a\n", "--user-id", "a"}, "--name: want a word"},
		{"name with a letter beyond ASCII", []string{"--name", "é", "--user-id", "a"}, "--name: want a word"},
		{"name that begins with a dash", []string{"--name=-a", "--user-id", "a"}, "--name: want a word"},
		{"name too long", []string{"--name", strings.Repeat("a", 65), "--user-id", "a"}, "--name: want a word"},
		{"empty user id", []string{"--name", "a", "--user-id", ""}, "--user-id: is empty"},
		{"user id too long", []string{"--name", "a", "--user-id", strings.Repeat("a", 257)}, "--user-id: has 257 bytes; want 256 at most"},
		{"user id too long in bytes", []string{"--name", "a", "--user-id", strings.Repeat("é", 129)}, "--user-id: has 258 bytes"},
		{"user id with a line feed", []string{"--name", "a", "--user-id", "a\nb"}, "--user-id: holds a control character"},
		{"user id with a C1 control", []string{"--name", "a", "--user-id", "a\u0085"}, "--user-id: holds a control character"},
		{"user id not UTF-8", []string{"--name", "a", "--user-id", "a\xff"}, "--user-id: holds a control character, or is not UTF-8"},
		{"user id with a variable", []string{"--name", "a", "--user-id", "${HOME}"}, "--user-id: holds ${"},
		{"empty role", []string{"--name", "a", "--user-id", "a", "--role", ""}, `--role: "": want a word`},
		{"roles joined by a comma", []string{"--name", "a", "--user-id", "a", "--role", "x,y"}, `--role: "x,y": want a word without commas`},
		{"role with a blank", []string{"--name", "a", "--user-id", "a", "--role", "x", "--role", "x y"}, `--role: "x y"`},
		{"role with a variable", []string{"--name", "a", "--user-id", "a", "--role", "${R}"}, `--role: "${R}"`},
		{"empty permission", []string{"--name", "a", "--user-id", "a", "--permission", ""}, `--permission: "": want a word`},
		{"permissions joined by a comma", []string{"--name", "a", "--user-id", "a", "--permission", "x,y"}, `--permission: "x,y"`},
		{"permission with a no-break space", []string{"--name", "a", "--user-id", "a", "--permission", "x\u00a0y"}, `--permission: "x`},
		{"permission with a control character", []string{"--name", "a", "--user-id", "a", "--permission", "x\x1b"}, `--permission: "x\x1b"`},
		{"permission not UTF-8", []string{"--name", "a", "--user-id", "a", "--permission", "x\xff"}, `--permission: "x`},
		{"empty expiry", []string{"--name", "a", "--user-id", "a", "--expires", ""}, `--expires: "" is neither a time, such as 2027-01-31T00:00:00Z, nor a duration, such as 720h`},
		{"expiry in days", []string{"--name", "a", "--user-id", "a", "--expires", "30d"}, `--expires: "30d" is neither`},
		{"expiry without a time", []string{"--name", "a", "--user-id", "a", "--expires", "2027-01-31"}, `--expires: "2027-01-31" is neither`},
		{"expiry without a zone", []string{"--name", "a", "--user-id", "a", "--expires", "2027-01-31T00:00:00"}, "is neither"},
		{"expiry that is now", []string{"--name", "a", "--user-id", "a", "--expires", "2026-01-02T03:04:05Z"}, "--expires: 2026-01-02T03:04:05Z is not ahead; now is 2026-01-02T03:04:05Z"},
		{"expiry that is now once its fraction is dropped", []string{"--name", "a", "--user-id", "a", "--expires", "2026-01-02T03:04:05.9Z"}, "is not ahead"},
		{"expiry in the past", []string{"--name", "a", "--user-id", "a", "--expires", "2025-01-31T00:00:00Z"}, "is not ahead"},
		{"expiry after nothing", []string{"--name", "a", "--user-id", "a", "--expires", "0s"}, "is not ahead"},
		{"negative duration", []string{"--name", "a", "--user-id", "a", "--expires=-1h"}, "is not ahead"},
		{"expiry past the year 9999", []string{"--name", "a", "--user-id", "a", "--expires", "9999-12-31T23:59:59-01:00"}, "--expires: is past the year 9999"},
		{"an argument", []string{"--name", "a", "--user-id", "a", "b"}, "b"},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := newCLI().run(t, append([]string{"apikey", "new"}, test.args...)...).must(t, exitUsage)
			o.mustComplain(t, test.want)
			if regexp.MustCompile(`pgk_\w{40}`).MatchString(o.stderr) {
				t.Errorf("a key was made: %s", o.stderr)
			}
		})
	}
}
