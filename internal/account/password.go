package account

import (
	_ "embed"
	"fmt"
	"strings"
	"sync"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// maxPassword is in bytes of UTF-8. bcrypt reads no more, so that a longer password would be known by its beginning.
const maxPassword = 72

// PasswordRules say which passwords may be chosen; those that were chosen under other rules stay good. The zero
// value asks for one character.
type PasswordRules struct {
	MinLength    int  // in characters: code points after NFC
	RefuseCommon bool // refuse what is on a list of the commonest of eight characters or more, in upper and lower case
}

// judge returns a new password as it is hashed, or a message about what is wrong with it. It asks for no mixture of
// digits, capitals and signs: such rules are met by Passw0rd! and forbid better ones.
func (r PasswordRules) judge(password string) (normal, message string) {
	normal = norm.NFC.String(password)
	minLength := max(1, r.MinLength)
	switch {
	case !utf8.ValidString(password):
		return "", "want text in UTF-8"
	case strings.ContainsRune(password, 0):
		return "", "want no NUL character"
	case utf8.RuneCountInString(normal) < minLength:
		if minLength == 1 {
			return "", "want 1 character or more"
		}
		return "", fmt.Sprintf("want %d characters or more", minLength)
	case len(normal) > maxPassword:
		return "", fmt.Sprintf("want %d bytes or fewer", maxPassword)
	case r.RefuseCommon && isCommon(normal):
		return "", "is one of the commonest passwords; choose another"
	}
	return normal, ""
}

// normalPassword returns a password as it is hashed and compared, in NFC: keyboards and systems differ in how they
// write é. It reports false if the password is one that no account can have: empty, not UTF-8, over 72 bytes, which
// bcrypt would cut, or with a NUL, after which bcrypt begins again.
func normalPassword(password string) (string, bool) {
	normal, message := PasswordRules{}.judge(password)
	return normal, message == ""
}

// commonText is the commonest passwords of eight characters or more, one on each line, sorted, in lower case.
//
//go:embed common.txt
var commonText string

var commonPasswords = sync.OnceValue(func() map[string]bool {
	set := make(map[string]bool)
	for line := range strings.Lines(commonText) {
		set[strings.TrimSuffix(line, "\n")] = true
	}
	return set
})

// isCommon reports whether a password is one of the commonest, in whatever case.
func isCommon(password string) bool { return commonPasswords()[strings.ToLower(password)] }
