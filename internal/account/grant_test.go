package account_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/passgate/passgate/internal/account"
)

func TestGrant(t *testing.T) {
	was := account.Account{ID: "user_1", Roles: []string{"user"}, Permissions: []string{"read"}, Subscription: "free"}
	for _, test := range []struct {
		name  string
		grant account.Grant
		take  bool
		want  account.Account
		wrong bool
	}{
		{"a role", account.Grant{Roles: []string{"admin"}}, false, account.Account{ID: "user_1", Roles: []string{"user", "admin"}, Permissions: []string{"read"}, Subscription: "free"}, false},
		{"what it has", account.Grant{Roles: []string{"user", "user"}, Permissions: []string{"read"}}, false, was, false},
		{"a subscription", account.Grant{Subscription: "pro"}, false, account.Account{ID: "user_1", Roles: []string{"user"}, Permissions: []string{"read"}, Subscription: "pro"}, false},
		{"as much as a token holds", account.Grant{Permissions: []string{strings.Repeat("p", 3051)}}, false,
			account.Account{ID: "user_1", Roles: []string{"user"}, Permissions: []string{"read", strings.Repeat("p", 3051)}, Subscription: "free"}, false},
		{"one byte more", account.Grant{Permissions: []string{strings.Repeat("p", 3052)}}, false, was, true},
		{"more than a token holds, in short words", account.Grant{Permissions: shortWords(700)}, false, was, true},
		{"DEL", account.Grant{Roles: []string{"a\x7f"}}, false, was, true},
		{"not ASCII", account.Grant{Roles: []string{"rôle"}}, false, was, true},
		{"more than a token holds", account.Grant{Permissions: []string{strings.Repeat("p", 3<<10)}}, false, was, true},
		{"a comma", account.Grant{Permissions: []string{"read,write"}}, false, was, true},
		{"a blank", account.Grant{Roles: []string{"super user"}}, false, was, true},
		{"nothing in quotes", account.Grant{Roles: []string{""}}, false, was, true},
		{"a line break", account.Grant{Subscription: "pro\n"}, false, was, true},
		{"one of each taken", account.Grant{Roles: []string{"user"}, Permissions: []string{"read"}}, true, account.Account{ID: "user_1", Roles: []string{}, Permissions: []string{}, Subscription: "free"}, false},
		{"a role taken that it has not", account.Grant{Roles: []string{"usr"}}, true, was, true},
		{"a permission taken that is a role", account.Grant{Permissions: []string{"user"}}, true, was, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			change := test.grant.Give
			if test.take {
				change = test.grant.Take
			}
			got, err := change(was)
			var wrong *account.GrantError
			if errors.As(err, &wrong) != test.wrong || !test.wrong && err != nil {
				t.Fatalf("error %v, want one: %t", err, test.wrong)
			}
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("%+v, want %+v", got, test.want)
			}
		})
	}
	if !reflect.DeepEqual(was.Roles, []string{"user"}) {
		t.Error("the account that was given was changed")
	}
}

// shortWords returns n words of four characters.
func shortWords(n int) []string {
	var words []string
	for i := range n {
		words = append(words, fmt.Sprintf("%04d", i))
	}
	return words
}
