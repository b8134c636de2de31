package accountapi

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/passgate/passgate/internal/account"
	"github.com/passgate/passgate/internal/authz"
)

func TestMe(t *testing.T) {
	d := newDoor()
	w := d.do(t, meCall(bearer))
	const want = `{"user_id":"acct:user_ann","email":"ann@example.com","name":"Ann","country":"IN","platform":"android","subscription":"free","roles":["user"],"permissions":["read"]}`
	if w.Code != 200 || w.Body.String() != want {
		t.Errorf("answered %d %s", w.Code, w.Body)
	}
	if !slices.Equal(d.accounts.asked, []string{"user_ann"}) {
		t.Errorf("looked for %q", d.accounts.asked)
	}
}

func TestMeWithoutRolesHasEmptyLists(t *testing.T) {
	d := newDoor()
	d.accounts.account = func(context.Context, string) (account.Account, error) {
		return account.Account{ID: "user_ann", Email: "ann@example.com", Name: "\xff"}, nil
	}
	const want = `{"user_id":"acct:user_ann","email":"ann@example.com","name":"` + "\ufffd" + `","country":"","platform":"","subscription":"","roles":[],"permissions":[]}`
	if got := d.do(t, meCall(bearer)).Body.String(); got != want {
		t.Errorf("answered %s", got)
	}
}

func TestHeadOfMe(t *testing.T) {
	for _, headers := range [][]string{{bearer}, {}} {
		get, head := newDoor().do(t, call{"GET", account.MePath, headers, ""}), newDoor().do(t, call{"HEAD", account.MePath, headers, ""})
		if head.Code != get.Code || head.Body.Len() != 0 || !cmp.Equal(header(get.Header()), header(head.Header())) {
			t.Errorf("answered %d %v %s, GET %d %v", head.Code, head.Header(), head.Body, get.Code, get.Header())
		}
	}
}

func TestMeIsRefused(t *testing.T) {
	for _, test := range []struct {
		name    string
		change  func(*door)
		headers []string
		status  int
		code    string
	}{
		{"no credential", nil, nil, 401, "missing_credentials"},
		{"forged", nil, []string{"Authorization: Bearer a.forged.token"}, 401, "invalid_token"},
		{"another source's", nil, []string{"Authorization: Bearer partners.secret.token"}, 401, "invalid_token"},
		{"expired", nil, []string{"Authorization: Bearer expired.secret.token"}, 401, "token_expired"},
		{"another scheme", nil, []string{"Authorization: Basic YTpi"}, 401, "invalid_token"},
		{"twice", nil, []string{bearer, bearer}, 400, "multiple_credentials"},
		{"keys are down", nil, []string{"Authorization: Bearer keyless.secret.token"}, 503, "unavailable"},
		{"the account is gone", func(d *door) {
			d.accounts.account = func(context.Context, string) (account.Account, error) { return account.Account{}, account.ErrNotFound }
		}, []string{bearer}, 401, "invalid_token"},
		{"accounts are down", func(d *door) {
			d.accounts.account = func(context.Context, string) (account.Account, error) { return account.Account{}, errDown }
		}, []string{bearer}, 503, "unavailable"},
		// Faults of the program, which open nothing.
		{"allowed without a principal", func(d *door) { d.engine.access = authz.AccessPublic }, []string{bearer}, 503, "unavailable"},
		{"allowed without the prefix", func(d *door) {
			d.engine.verify = func(authz.Credential) (*authz.Identity, error) {
				return &authz.Identity{Principal: authz.Principal{Source: "accounts", UserID: "user_ann"}}, nil
			}
		}, []string{bearer}, 503, "unavailable"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newDoor()
			if test.change != nil {
				test.change(d)
			}
			wants(t, d.do(t, meCall(test.headers...)), test.status, test.code)
			if len(d.log.of(t, "account call panicked")) > 0 {
				t.Errorf("logged %s", d.log)
			}
		})
	}
}

// Tokens of an account that is gone, and forged ones, cannot be told apart.
func TestAccountGoneIsAnsweredAsAForgedToken(t *testing.T) {
	d := newDoor()
	d.accounts.account = func(context.Context, string) (account.Account, error) { return account.Account{}, account.ErrNotFound }
	gone, forged := d.do(t, meCall(bearer, "X-Request-ID: a")), d.do(t, meCall("Authorization: Bearer a.forged.token", "X-Request-ID: a"))
	if gone.Body.String() != forged.Body.String() || !cmp.Equal(header(gone.Header()), header(forged.Header())) {
		t.Errorf("answered %v %s and %v %s", gone.Header(), gone.Body, forged.Header(), forged.Body)
	}
}

func TestEngineSeesTheWholeRequest(t *testing.T) {
	d := newDoor()
	d.do(t, call{"HEAD", "http://h.example:80/v1/auth/me?secret", []string{bearer, "X-A: 1", "X-A: 2", "Cookie: c"}, ""})
	if len(d.requests) != 1 {
		t.Fatalf("asked %d times", len(d.requests))
	}
	r := d.requests[0]
	slices.SortStableFunc(r.Headers, func(a, b authz.Header) int { return strings.Compare(a.Name, b.Name) })
	want := &authz.Request{Method: "HEAD", Host: "h.example:80", Path: "/v1/auth/me", Headers: []authz.Header{
		{Name: "Authorization", Value: "Bearer anns.secret.token"}, {Name: "Cookie", Value: "c"}, {Name: "X-A", Value: "1"}, {Name: "X-A", Value: "2"},
		{Name: "X-Request-ID", Value: "new-id-1"}}}
	if diff := cmp.Diff(want, r); diff != "" {
		t.Errorf("asked about (-want +got):\n%s", diff)
	}
}
