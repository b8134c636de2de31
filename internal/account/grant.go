package account

import (
	"fmt"
	"slices"
	"strings"
)

// Grant is what an operator gives an account, or takes from it. Tokens that were given out before keep what they
// say until they expire.
type Grant struct {
	Roles        []string
	Permissions  []string
	Subscription string // "" leaves it as it is
}

// maxGrants is how much of a token an account's roles, permissions and subscription may take, in bytes. With the
// longest name and address, it then has some 7 KiB, and 8 KiB is what verifiers take by default.
const maxGrants = 3 << 10

// grants returns the length of the account's roles, permissions and subscription as a token has them.
func (a *Account) grants() int {
	n := len(a.Subscription)
	for _, word := range slices.Concat(a.Roles, a.Permissions) {
		n += len(word) + len(`"",`)
	}
	return n
}

// GrantError says what of a grant cannot be.
type GrantError struct{ Text string }

func (e *GrantError) Error() string { return e.Text }

// Give returns an account with the grant added. What it has already is no error. The error is a [*GrantError].
func (g Grant) Give(a Account) (Account, error) {
	words := slices.Concat(g.Roles, g.Permissions)
	if g.Subscription != "" {
		words = append(words, g.Subscription)
	}
	for _, word := range words {
		if !IsWord(word) {
			return a, &GrantError{fmt.Sprintf("%q is no role, permission or subscription: want a word, without a comma or a blank", word)}
		}
	}
	granted := a
	granted.Roles, granted.Permissions = with(a.Roles, g.Roles), with(a.Permissions, g.Permissions)
	if g.Subscription != "" {
		granted.Subscription = g.Subscription
	}
	if granted.grants() > maxGrants {
		return a, &GrantError{fmt.Sprintf("with all that a token would be too long: want roles, permissions and subscription of %d bytes or fewer in all", maxGrants)}
	}
	return granted, nil
}

// Take returns an account without the roles and permissions of the grant. One that it does not have is an error,
// a [*GrantError]: it may be a slip that leaves another in place.
func (g Grant) Take(a Account) (Account, error) {
	for _, held := range []struct {
		what       string
		has, taken []string
	}{{"role", a.Roles, g.Roles}, {"permission", a.Permissions, g.Permissions}} {
		for _, word := range held.taken {
			if !slices.Contains(held.has, word) {
				return a, &GrantError{fmt.Sprintf("it has no %s %q; it has %q", held.what, word, held.has)}
			}
		}
	}
	a.Roles, a.Permissions = without(a.Roles, g.Roles), without(a.Permissions, g.Permissions)
	return a, nil
}

// IsWord reports whether a role, a permission or a subscription may be called so: printable ASCII without commas and
// blanks. A scope has no blanks in its words, and the headers of an upstream no commas in a list.
func IsWord(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r == ',' || r >= 0x7f })
}

// with returns list and those of more that it lacks.
func with(list, more []string) []string {
	list = slices.Clone(list)
	for _, word := range more {
		if !slices.Contains(list, word) {
			list = append(list, word)
		}
	}
	return list
}

func without(list, less []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(word string) bool { return slices.Contains(less, word) })
}
