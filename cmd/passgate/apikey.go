package main

import (
	"crypto/sha256"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/passgate/passgate/internal/config"
	"github.com/passgate/passgate/internal/verifier/apikey"
)

type apikeyCommand struct {
	New apikeyNewCommand `cmd:"" help:"Make an API key: print the key, once, and the entry for the API key file, which holds its digest."`
}

type apikeyNewCommand struct {
	Name       string   `required:"" placeholder:"NAME" help:"What people call the key: a word of a-z, 0-9, _ and -."`
	UserID     string   `required:"" name:"user-id" placeholder:"ID" help:"Who the key stands for; the user_prefix of the API keys is put before it."`
	Role       []string `sep:"none" placeholder:"ROLE" help:"A role of the key; may be repeated."`
	Permission []string `sep:"none" placeholder:"PERMISSION" help:"A permission of the key; may be repeated."`
	Expires    *string  `placeholder:"WHEN" help:"When the key ends: a time as 2027-01-31T00:00:00Z (RFC 3339), or a duration from now as 720h. Without it: never."`
}

// Run prints the key on the first line of standard output and the entry below it; what is said to a person goes to
// standard error, so that a script takes the key by head -n 1.
func (c *apikeyNewCommand) Run(p *program) error {
	if err := c.judge(); err != nil {
		return err
	}
	expires, err := c.expires(p.now())
	if err != nil {
		return err
	}
	fmt.Fprintln(p.stderr, "passgate: the first line is the key. It is shown this once and kept nowhere; its holder sends it in the header that api_keys names, or as Authorization: ApiKey KEY")
	fmt.Fprintln(p.stderr, "passgate: the lines after it are its entry: put them under keys: in the API key file. They hold the key's digest, and not the key")
	key := string(apikey.Generate())
	// In one write: a reader that has gone after the first line is no fault.
	_, err = fmt.Fprintf(p.stdout, "%s\n%s", key, c.entry(apikey.Digest(key), expires))
	return err
}

const maxKeyUserID = 256 // bytes

func (c *apikeyNewCommand) judge() error {
	switch {
	case !config.IsName(c.Name):
		return usagef("--name: want a word of a-z, 0-9, _ and -, of 64 characters at most, such as ci-deploy")
	case c.UserID == "":
		return usagef("--user-id: is empty; write who the key stands for, such as ci")
	case len(c.UserID) > maxKeyUserID:
		return usagef("--user-id: has %d bytes; want %d at most", len(c.UserID), maxKeyUserID)
	case strings.ContainsFunc(c.UserID, isControl):
		return usagef("--user-id: holds a control character, or is not UTF-8; take it out")
	case strings.Contains(c.UserID, "${"):
		return usagef("--user-id: holds ${, which reads the environment in a file; take it out")
	}
	for _, list := range []struct {
		flag  string
		words []string
	}{{"--role", c.Role}, {"--permission", c.Permission}} {
		for _, word := range list.words {
			if !isKeyWord(word) {
				return usagef("%s: %q: want a word without commas, blanks, control characters and ${; repeat the flag for another", list.flag, word)
			}
		}
	}
	return nil
}

// isKeyWord reports whether a role or a permission may be called so. A comma would be two of them upstream.
func isKeyWord(s string) bool {
	return s != "" && !strings.Contains(s, "${") &&
		!strings.ContainsFunc(s, func(r rune) bool { return r == ',' || unicode.IsSpace(r) || isControl(r) })
}

// isControl is also true of what stands for bytes that are not UTF-8, as the arguments' parser has put it there.
func isControl(r rune) bool { return unicode.IsControl(r) || r == utf8.RuneError }

// expires returns when the key ends, in whole seconds, or the zero time for never.
func (c *apikeyNewCommand) expires(now time.Time) (time.Time, error) {
	if c.Expires == nil {
		return time.Time{}, nil
	}
	when, err := time.Parse(time.RFC3339, *c.Expires)
	if err != nil {
		after, err := time.ParseDuration(*c.Expires)
		if err != nil {
			return time.Time{}, usagef("--expires: %q is neither a time, such as 2027-01-31T00:00:00Z, nor a duration, such as 720h", *c.Expires)
		}
		when = now.Add(after)
	}
	// What a file can say: a fraction is dropped, as a key may end sooner than asked for but not later.
	when = when.UTC().Truncate(time.Second)
	switch {
	case !when.After(now):
		return time.Time{}, usagef("--expires: %s is not ahead; now is %s", when.Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	case when.Year() > 9999: // RFC 3339 has four digits for it
		return time.Time{}, usagef("--expires: is past the year 9999; leave it out for a key that never expires")
	}
	return when, nil
}

// entry returns the key's entry as an item of a YAML list. All texts are quoted: a name or a digest may read as a
// number.
func (c *apikeyNewCommand) entry(digest [sha256.Size]byte, expires time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  - name: %q\n    sha256: \"%x\"\n    user_id: %q\n", c.Name, digest, c.UserID)
	for _, list := range []struct {
		field string
		words []string
	}{{"roles", c.Role}, {"permissions", c.Permission}} {
		if len(list.words) > 0 {
			fmt.Fprintf(&b, "    %s: [%s]\n", list.field, quotedList(list.words))
		}
	}
	if !expires.IsZero() {
		fmt.Fprintf(&b, "    expires: %q\n", expires.Format(time.RFC3339))
	}
	return b.String()
}

// quotedList returns words in double quotes, whose escapes in Go are YAML's too.
func quotedList(words []string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = strconv.Quote(word)
	}
	return strings.Join(quoted, ", ")
}
