// Package storetest is the contract of an [account.Store], as tests that every store has to pass.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/passgate/passgate/internal/account"
)

const crowd = 32 // how many do the same thing at a time

// Run asks of a store all that [account.Store] promises. What open returns is empty.
func Run(t *testing.T, open func(t *testing.T) account.Store) {
	for _, test := range []struct {
		name string
		run  func(s *suite)
	}{
		{"every field is read back", (*suite).everyField},
		{"a time is kept to the millisecond", (*suite).milliseconds},
		{"an account that is not there", (*suite).notFound},
		{"created again, it is as it was", (*suite).createdAgain},
		{"an address is one account's", (*suite).emailTaken},
		{"an ID is one account's", (*suite).idTaken},
		{"addresses are compared byte by byte", (*suite).exactEmail},
		{"of many who want an address one gets it", (*suite).manyWantAnAddress},
		{"who retries many times finds its own", (*suite).manyRetry},
		{"an update changes what it may", (*suite).update},
		{"an update may empty a list", (*suite).updateToNothing},
		{"updates do not undo one another", (*suite).manyUpdates},
		{"an update that fails changes nothing", (*suite).updateFails},
		{"an update that panics changes nothing", (*suite).updatePanics},
		{"a list in pages", (*suite).list},
		{"a cancelled call changes nothing", (*suite).cancelled},
		{"what a caller does with its account is its own affair", (*suite).noAliases},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(&suite{T: t, store: open(t)}) })
	}
}

// suite is one test of a store.
type suite struct {
	*testing.T
	store account.Store
}

// ada returns an account whose every field is set, and in which there is what a store may stumble over.
func ada() account.Account {
	return account.Account{
		ID:           "user_0190c2f3-9d3e-7b3a-8a6c-0123456789ab",
		Email:        "ada@example.com",
		PasswordHash: "$2a$10$abcdefghijklmnopqrstuuA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6",
		Name:         `Ada "Ω" O'Łovelace; DROP TABLE accounts; -- 灵 👩🏽‍🚀 $1 ?`,
		Country:      "GB",
		Platform:     "android",
		Subscription: "premium",
		Roles:        []string{"user", "admin", "with, comma", `with "quotes"`, "ünï", "", "<&>"},
		Permissions:  []string{"orders:read", "null", "[]", "orders:read"},
		Created:      time.Date(2026, time.February, 3, 4, 5, 6, 789_000_000, time.UTC),
	}
}

// other returns an account that has an address of its own.
func other(name string) account.Account {
	return account.Account{ID: "user_" + name, Email: name + "@example.com", PasswordHash: "hash", Created: time.UnixMilli(0).UTC()}
}

// same treats an empty list as one that is nil.
var same = cmpopts.EquateEmpty()

func (s *suite) create(a account.Account) account.Account {
	s.Helper()
	stored, err := s.store.Create(s.Context(), a)
	if err != nil {
		s.Fatalf("Create: %v", err)
	}
	return stored
}

// check asks for an account by its ID and by its address.
func (s *suite) check(want account.Account) {
	s.Helper()
	got, err := s.store.ByID(s.Context(), want.ID)
	if diff := cmp.Diff(want, got, same); err != nil || diff != "" {
		s.Errorf("ByID: %v, differs (-want +got):\n%s", err, diff)
	}
	got, err = s.store.ByEmail(s.Context(), want.Email)
	if diff := cmp.Diff(want, got, same); err != nil || diff != "" {
		s.Errorf("ByEmail: %v, differs (-want +got):\n%s", err, diff)
	}
}

// holds checks that there are as many accounts as that.
func (s *suite) holds(n int) {
	s.Helper()
	all, err := s.store.List(s.Context(), "", 1000)
	if err != nil || len(all) != n {
		s.Errorf("List: %d accounts, %v; want %d", len(all), err, n)
	}
}

func (s *suite) everyField() {
	a := ada()
	if diff := cmp.Diff(a, s.create(a), same); diff != "" {
		s.Errorf("Create differs (-want +got):\n%s", diff)
	}
	s.check(a)
	bare := account.Account{ID: "user_bare", Email: "bare@example.com", Created: time.UnixMilli(1).UTC()}
	if diff := cmp.Diff(bare, s.create(bare), same); diff != "" {
		s.Errorf("Create of nothing but names differs (-want +got):\n%s", diff)
	}
	s.check(bare)
}

func (s *suite) milliseconds() {
	a := ada()
	a.Created = time.Date(2026, time.February, 3, 4, 5, 6, 789_999_999, time.FixedZone("east", 3600))
	want := a
	want.Created = time.Date(2026, time.February, 3, 3, 5, 6, 789_000_000, time.UTC)
	stored := s.create(a)
	if !stored.Created.Equal(want.Created) || stored.Created.Location() != time.UTC {
		s.Errorf("Create: created %v, want %v", stored.Created, want.Created)
	}
	s.check(want)
}

func (s *suite) notFound() {
	s.create(ada())
	for _, name := range []string{"", "nobody@example.com", "ada@example.co", "%", "ada@example.com ", "user_"} {
		if a, err := s.store.ByEmail(s.Context(), name); !errors.Is(err, account.ErrNotFound) || a.ID != "" {
			s.Errorf("ByEmail(%q) = %q, %v; want %v", name, a.ID, err, account.ErrNotFound)
		}
		if a, err := s.store.ByID(s.Context(), name); !errors.Is(err, account.ErrNotFound) || a.ID != "" {
			s.Errorf("ByID(%q) = %q, %v; want %v", name, a.ID, err, account.ErrNotFound)
		}
	}
	if _, err := s.store.ByID(s.Context(), ada().Email); !errors.Is(err, account.ErrNotFound) {
		s.Errorf("ByID of an address = %v", err)
	}
	called := false
	_, err := s.store.Update(s.Context(), "nobody@example.com", func(a account.Account) (account.Account, error) {
		called = true
		return a, nil
	})
	if !errors.Is(err, account.ErrNotFound) || called {
		s.Errorf("Update of nobody = %v, the change was called: %t", err, called)
	}
	s.holds(1)
}

func (s *suite) createdAgain() {
	a := ada()
	s.create(a)
	again := account.Account{ID: a.ID, Email: a.Email, PasswordHash: "another hash", Name: "another name", Roles: []string{"admin"}, Created: time.UnixMilli(1).UTC()}
	if diff := cmp.Diff(a, s.create(again), same); diff != "" {
		s.Errorf("Create of what is there differs (-want +got):\n%s", diff)
	}
	s.check(a)
	s.holds(1)
}

func (s *suite) emailTaken() {
	a := ada()
	s.create(a)
	thief := other("thief")
	thief.Email = a.Email
	if got, err := s.store.Create(s.Context(), thief); !errors.Is(err, account.ErrEmailTaken) || got.ID != "" {
		s.Errorf("Create = %q, %v; want %v", got.ID, err, account.ErrEmailTaken)
	}
	if _, err := s.store.ByID(s.Context(), thief.ID); !errors.Is(err, account.ErrNotFound) {
		s.Errorf("ByID of who was refused = %v", err)
	}
	// Both its ID and its address are taken, by two.
	s.create(other("thief"))
	if _, err := s.store.Create(s.Context(), thief); !errors.Is(err, account.ErrEmailTaken) {
		s.Errorf("Create with another's ID and address = %v, want %v", err, account.ErrEmailTaken)
	}
	s.check(a)
	s.holds(2)
}

func (s *suite) idTaken() {
	a := ada()
	s.create(a)
	b := other("b")
	b.ID = a.ID
	if got, err := s.store.Create(s.Context(), b); err == nil || errors.Is(err, account.ErrEmailTaken) || errors.Is(err, account.ErrNotFound) {
		s.Errorf("Create with another's ID = %q, %v; want an error of its own", got.Email, err)
	}
	s.check(a)
	s.holds(1)
}

func (s *suite) exactEmail() {
	addresses := []string{"ada@example.com", "Ada@example.com", "ada@example.com ", "ada@еxample.com", "a\u0301da@example.com", "\u00e1da@example.com"}
	for i, email := range addresses {
		a := other(fmt.Sprint(i))
		a.Email = email
		s.create(a)
	}
	for i, email := range addresses {
		if a, err := s.store.ByEmail(s.Context(), email); err != nil || a.ID != fmt.Sprint("user_", i) {
			s.Errorf("ByEmail(%q) = %q, %v; want number %d", email, a.ID, err, i)
		}
	}
	s.holds(len(addresses))
}

// atOnce creates an account for each of a crowd at a time.
func (s *suite) atOnce(of func(i int) account.Account) ([]account.Account, []error) {
	stored, errs := make([]account.Account, crowd), make([]error, crowd)
	var group sync.WaitGroup
	for i := range crowd {
		group.Go(func() { stored[i], errs[i] = s.store.Create(s.Context(), of(i)) })
	}
	group.Wait()
	return stored, errs
}

func (s *suite) manyWantAnAddress() {
	want := func(i int) account.Account {
		a := other(fmt.Sprint(i))
		a.Email, a.Name = "wanted@example.com", fmt.Sprint("number ", i)
		return a
	}
	stored, errs := s.atOnce(want)
	winner := -1
	for i, err := range errs {
		switch {
		case err == nil && winner >= 0:
			s.Errorf("numbers %d and %d have the address", winner, i)
		case err == nil:
			winner = i
			if diff := cmp.Diff(want(i), stored[i], same); diff != "" {
				s.Errorf("Create differs (-want +got):\n%s", diff)
			}
		case !errors.Is(err, account.ErrEmailTaken):
			s.Errorf("number %d: %v, want %v", i, err, account.ErrEmailTaken)
		}
	}
	if winner < 0 {
		s.Fatal("nobody has the address")
	}
	s.check(want(winner))
	s.holds(1)
}

func (s *suite) manyRetry() {
	stored, errs := s.atOnce(func(i int) account.Account {
		a := ada()
		a.PasswordHash = fmt.Sprint("hash of try ", i) // salted anew
		return a
	})
	for i, err := range errs {
		if err != nil {
			s.Fatalf("try %d: %v", i, err)
		}
		if diff := cmp.Diff(stored[0], stored[i]); diff != "" {
			s.Errorf("try %d found another account (-first +this):\n%s", i, diff)
		}
	}
	s.check(stored[0])
	s.holds(1)
}

func (s *suite) change(email string, change func(*account.Account)) account.Account {
	s.Helper()
	a, err := s.store.Update(s.Context(), email, func(a account.Account) (account.Account, error) {
		change(&a)
		return a, nil
	})
	if err != nil {
		s.Fatalf("Update: %v", err)
	}
	return a
}

func (s *suite) update() {
	a, b := ada(), other("b")
	s.create(a)
	s.create(b)
	want := a
	want.Roles, want.Permissions, want.Subscription = []string{"user"}, []string{"orders:write", "é"}, "free"
	got := s.change(a.Email, func(stored *account.Account) {
		if diff := cmp.Diff(a, *stored, same); diff != "" {
			s.Errorf("the change got another account (-want +got):\n%s", diff)
		}
		*stored = account.Account{ // all but three fields stay
			ID: "user_another", Email: "another@example.com", PasswordHash: "another hash", Name: "another name",
			Roles: want.Roles, Permissions: want.Permissions, Subscription: want.Subscription, Created: time.UnixMilli(1),
		}
	})
	if diff := cmp.Diff(want, got, same); diff != "" {
		s.Errorf("Update differs (-want +got):\n%s", diff)
	}
	s.check(want)
	s.check(b)
	s.holds(2)
}

func (s *suite) updateToNothing() {
	a := ada()
	s.create(a)
	a.Roles, a.Permissions = nil, nil
	for _, nothing := range [][]string{nil, {}} {
		s.change(a.Email, func(a *account.Account) { a.Roles, a.Permissions = nothing, nothing })
		s.check(a)
		s.change(a.Email, func(a *account.Account) { a.Roles, a.Permissions = []string{"r"}, []string{"p"} })
	}
}

func (s *suite) manyUpdates() {
	s.create(ada())
	var want []string
	for i := range crowd {
		want = append(want, fmt.Sprintf("permission:%02d", i))
	}
	var group sync.WaitGroup
	for _, permission := range want {
		group.Go(func() {
			_, err := s.store.Update(s.Context(), ada().Email, func(a account.Account) (account.Account, error) {
				a.Permissions = append(a.Permissions, permission)
				return a, nil
			})
			if err != nil {
				s.Errorf("add %s: %v", permission, err)
			}
		})
	}
	group.Wait()
	a, err := s.store.ByEmail(s.Context(), ada().Email)
	if err != nil {
		s.Fatal(err)
	}
	got := a.Permissions[min(len(ada().Permissions), len(a.Permissions)):]
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		s.Errorf("some were lost (-want +got):\n%s", diff)
	}
}

func (s *suite) updateFails() {
	s.create(ada())
	refused := errors.New("not today")
	_, err := s.store.Update(s.Context(), ada().Email, func(a account.Account) (account.Account, error) {
		a.Roles[0], a.Permissions, a.Subscription = "root", nil, "free"
		return a, refused
	})
	if err != refused {
		s.Errorf("Update = %v, want the change's own error", err)
	}
	s.check(ada())
	s.change(ada().Email, func(*account.Account) {}) // and nothing is in its way
}

func (s *suite) updatePanics() {
	s.create(ada())
	func() {
		defer func() {
			if recover() == nil {
				s.Error("Update swallowed a panic")
			}
		}()
		s.change(ada().Email, func(*account.Account) { panic("the change is broken") })
	}()
	s.check(ada())
	s.change(ada().Email, func(*account.Account) {})
}

func (s *suite) list() {
	names := []string{"b", "a-", "B", "a", "aa", "ab", "é", "a_", "a."}
	for _, name := range names {
		s.create(other(name))
	}
	want := make([]string, 0, len(names))
	for _, name := range names {
		want = append(want, name+"@example.com")
	}
	slices.Sort(want) // by bytes
	for _, page := range []int{1, 2, len(want) - 1, len(want), 100} {
		var got []string
		for after, more := "", true; more; {
			accounts, err := s.store.List(s.Context(), after, page)
			if err != nil || len(accounts) > page {
				s.Fatalf("List(%q, %d) = %d accounts, %v", after, page, len(accounts), err)
			}
			for _, a := range accounts {
				got = append(got, a.Email)
				after = a.Email
			}
			more = len(accounts) > 0 && len(got) <= len(want)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			s.Errorf("in pages of %d (-want +got):\n%s", page, diff)
		}
	}
	for _, test := range []struct {
		after string
		limit int
		want  int
	}{{"", 0, 0}, {"", -1, 0}, {"a.", 100, len(want) - 2}, {"zzz", 100, 1}, {"\U0010ffff", 100, 0}} {
		if got, err := s.store.List(s.Context(), test.after, test.limit); err != nil || len(got) != test.want {
			s.Errorf("List(%q, %d) = %d accounts, %v; want %d", test.after, test.limit, len(got), err, test.want)
		}
	}
	all, err := s.store.List(s.Context(), "", 100)
	if err != nil {
		s.Fatal(err)
	}
	for _, a := range all {
		s.check(a)
	}
}

func (s *suite) cancelled() {
	s.create(ada())
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	_, err := s.store.Create(ctx, other("b"))
	s.isCancelled("Create", err)
	_, err = s.store.ByEmail(ctx, ada().Email)
	s.isCancelled("ByEmail", err)
	_, err = s.store.ByID(ctx, ada().ID)
	s.isCancelled("ByID", err)
	_, err = s.store.List(ctx, "", 10)
	s.isCancelled("List", err)
	_, err = s.store.Update(ctx, ada().Email, func(a account.Account) (account.Account, error) {
		a.Roles = nil
		return a, nil
	})
	s.isCancelled("Update", err)
	s.check(ada())
	s.holds(1)
}

func (s *suite) isCancelled(call string, err error) {
	s.Helper()
	if !errors.Is(err, context.Canceled) {
		s.Errorf("%s = %v, want %v", call, err, context.Canceled)
	}
}

func (s *suite) noAliases() {
	a := ada()
	stored := s.create(a)
	a.Roles[0], stored.Permissions[0] = "root", "root"
	s.check(ada())
	s.change(ada().Email, func(a *account.Account) { stored = *a })
	stored.Roles[0] = "root"
	s.check(ada())
}
