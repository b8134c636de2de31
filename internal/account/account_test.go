package account_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/passgate/passgate/internal/account"
	"github.com/passgate/passgate/internal/store/memstore"
)

var noon = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

// plain is a minter whose tokens show what they were made of.
type plain struct{ keyID string }

func (m plain) KeyID() string { return m.keyID }

func (m plain) Mint(keyID string, c account.Claims) (string, error) {
	if keyID != m.keyID {
		return "", errors.New("no such key")
	}
	b, err := json.Marshal(c)
	return string(b), err
}

// fixture is a service with its parts, and a count of its costly operations.
type fixture struct {
	*account.Service
	store            account.Store
	hashes, compares atomic.Int32
	before           func() // of every look for an address; nil: nothing
	down             error  // of every call of the store
	options          account.Options
}

// wrapped is the store that the service gets.
type wrapped struct {
	account.Store
	f *fixture
}

func (w wrapped) Create(ctx context.Context, a account.Account) (account.Account, error) {
	if w.f.down != nil {
		return account.Account{}, w.f.down
	}
	return w.Store.Create(ctx, a)
}

func (w wrapped) ByEmail(ctx context.Context, email string) (account.Account, error) {
	if w.f.before != nil {
		w.f.before()
	}
	if w.f.down != nil {
		return account.Account{}, w.f.down
	}
	return w.Store.ByEmail(ctx, email)
}

func newFixture(t *testing.T, queue int) *fixture {
	t.Helper()
	f := &fixture{store: memstore.NewAccounts()}
	hasher, err := account.NewHasher(account.HasherOptions{Cost: bcrypt.MinCost, Queue: queue, Worked: func(operation string) {
		map[string]*atomic.Int32{"hash": &f.hashes, "compare": &f.compares}[operation].Add(1)
	}})
	if err != nil {
		t.Fatal(err)
	}
	f.options = account.Options{
		Store: wrapped{f.store, f}, Hasher: hasher, Minter: plain{"kid-1"}, Now: func() time.Time { return noon },
		Issuer: "https://auth.example.com", Audience: "api", TokenTTL: 24 * time.Hour,
		Passwords: account.PasswordRules{MinLength: 8, RefuseCommon: true}, Role: "user", Subscription: "free",
	}
	f.Service = account.New(f.options)
	return f
}

const password = "correct horse battery staple"

func signUp(email string) account.SignUp {
	return account.SignUp{Email: email, Password: password, Name: "Ann", Country: "IN", Platform: "android"}
}

// must signs up and ends the test if that fails.
func (f *fixture) must(t *testing.T, in account.SignUp) account.Session {
	t.Helper()
	session, err := f.SignUp(t.Context(), f.NewPlan(), in)
	if err != nil {
		t.Fatal(err)
	}
	return session
}

func TestSignUpGivesATokenThatSaysWhoItIs(t *testing.T) {
	f := newFixture(t, 8)
	p := f.NewPlan()
	session, err := f.SignUp(t.Context(), p, signUp("Ann@Example.COM"))
	if err != nil {
		t.Fatal(err)
	}
	if session.UserID != p.UserID || !strings.HasPrefix(p.UserID, "user_") || session.ExpiresIn != 24*time.Hour {
		t.Errorf("the session is %+v", session)
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(session.Token), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"iss": "https://auth.example.com", "sub": p.UserID, "aud": "api", "iat": float64(noon.Unix()), "exp": float64(noon.Unix() + 86400),
		"jti": p.TokenID, "name": "Ann", "email": "ann@example.com", "roles": []any{"user"}, "permissions": []any{},
		"subscription": "free", "country": "IN", "platform": "android",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the claims are %v\nwant %v", got, want)
	}
	a, err := f.Account(t.Context(), p.UserID)
	if err != nil || bcrypt.CompareHashAndPassword([]byte(a.PasswordHash), []byte(password)) != nil {
		t.Errorf("the account is %+v, %v", a, err)
	}
}

func TestPrefixOfTheIssuerIsInTheUserIDAndNotInTheSubject(t *testing.T) {
	f := newFixture(t, 8)
	f.options.UserPrefix = "acc:"
	f.Service = account.New(f.options)
	session := f.must(t, signUp("ann@example.com"))
	if !strings.HasPrefix(session.UserID, "acc:user_") || !strings.Contains(session.Token, `"sub":"user_`) {
		t.Errorf("the session is %+v", session)
	}
}

func TestSignUpAgainByTheSamePlanIsTheSameSignUp(t *testing.T) {
	f := newFixture(t, 8)
	p := f.NewPlan()
	first, err := f.SignUp(t.Context(), p, signUp("ann@example.com"))
	if err != nil {
		t.Fatal(err)
	}
	// As on another day, after the defaults have changed.
	f.options.Now, f.options.Role, f.options.Subscription = func() time.Time { return noon.Add(time.Hour) }, "guest", "trial"
	again, err := account.New(f.options).SignUp(t.Context(), p, signUp("ann@example.com"))
	if err != nil || again != first {
		t.Errorf("again it is %+v, %v; want %+v", again, err, first)
	}
	if f.hashes.Load() != 1 {
		t.Errorf("%d passwords were hashed, want 1", f.hashes.Load())
	}
	if all, err := f.store.List(t.Context(), "", 10); err != nil || len(all) != 1 {
		t.Errorf("there are %d accounts (%v)", len(all), err)
	}
}

func TestKeyThatIsGoneIsAnErrorAndNoOtherToken(t *testing.T) {
	f := newFixture(t, 8)
	p := f.NewPlan()
	p.KeyID = "kid-0"
	if session, err := f.SignUp(t.Context(), p, signUp("ann@example.com")); err == nil {
		t.Errorf("a token by another key: %+v", session)
	}
}

func TestTakenAddressIsRefusedBeforeItCostsAHash(t *testing.T) {
	f := newFixture(t, 8)
	f.must(t, signUp("ann@example.com"))
	for _, email := range []string{"ann@example.com", "ANN@example.com", "Ann@EXAMPLE.com"} {
		if _, err := f.SignUp(t.Context(), f.NewPlan(), signUp(email)); !errors.Is(err, account.ErrEmailTaken) {
			t.Errorf("%s: %v", email, err)
		}
	}
	if f.hashes.Load() != 1 {
		t.Errorf("%d passwords were hashed, want 1", f.hashes.Load())
	}
}

func TestCrowdThatWantsOneAddress(t *testing.T) {
	f := newFixture(t, 1000)
	var all sync.WaitGroup
	var won, taken atomic.Int32
	for range 200 {
		all.Go(func() {
			switch _, err := f.SignUp(t.Context(), f.NewPlan(), signUp("ann@example.com")); {
			case err == nil:
				won.Add(1)
			case errors.Is(err, account.ErrEmailTaken):
				taken.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 || taken.Load() != 199 {
		t.Errorf("%d accounts and %d refusals, want 1 and 199", won.Load(), taken.Load())
	}
}

func TestFaultyFieldsCostNothing(t *testing.T) {
	f := newFixture(t, 8)
	in := signUp("ann")
	in.Password, in.Country = "short", "India"
	_, err := f.SignUp(t.Context(), f.NewPlan(), in)
	var invalid *account.InvalidError
	if !errors.As(err, &invalid) {
		t.Fatal(err)
	}
	var names []string
	for _, field := range invalid.Fields {
		names = append(names, field.Name)
	}
	if fmt.Sprint(names) != "[email password country]" || f.hashes.Load() != 0 {
		t.Errorf("the faults are of %v, and %d passwords were hashed", names, f.hashes.Load())
	}
}

func TestLogIn(t *testing.T) {
	f := newFixture(t, 8)
	f.must(t, signUp("ann@example.com"))
	accented := signUp("zoe@example.com")
	accented.Password = "Zo\u00eb's passphrase" // NFC
	f.must(t, accented)
	full := signUp("max@example.com")
	full.Password = strings.Repeat("xyz ", 18) // 72 bytes
	f.must(t, full)
	for _, test := range []struct {
		name, email, password string
		in                    bool
	}{
		{"right", "ann@example.com", password, true},
		{"address in another case", "ANN@EXAMPLE.COM", password, true},
		{"NFD for NFC", "zoe@example.com", "Zoe\u0308's passphrase", true},
		{"72 bytes", "max@example.com", full.Password, true},
		{"72 bytes and one more", "max@example.com", full.Password + "x", false},
		{"72 bytes and much more", "max@example.com", full.Password + strings.Repeat("x", 1000), false},
		{"71 of 72 bytes", "max@example.com", full.Password[:71], false},
		{"password in another case", "ann@example.com", strings.ToUpper(password), false},
		{"a blank at the end", "ann@example.com", password + " ", false},
		{"NUL at the end", "ann@example.com", password + "\x00", false},
		{"NUL and a repetition", "ann@example.com", password + "\x00" + password, false},
		{"NUL alone", "ann@example.com", "\x00", false},
		{"empty password", "ann@example.com", "", false},
		{"not UTF-8", "ann@example.com", password + "\xff", false},
		{"another's password", "zoe@example.com", password, false},
		{"unknown address", "bob@example.com", password, false},
		{"unknown address and an impossible password", "bob@example.com", strings.Repeat("x", 73), false},
		{"the password of nobody's hash", "bob@example.com", "-", false},
		{"no address", "", password, false},
		{"an address that is none", "ann", password, false},
		{"a Kelvin sign", "an\u212a@example.com", password, false},
		{"display name", "Ann <ann@example.com>", password, false},
		{"a blank at the end of the address", "ann@example.com ", password, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := f.compares.Load()
			p := f.NewPlan()
			session, err := f.LogIn(t.Context(), p, account.LogIn{Email: test.email, Password: test.password})
			if test.in && (err != nil || !strings.Contains(session.Token, p.TokenID)) {
				t.Errorf("%+v, %v", session, err)
			}
			if !test.in && (!errors.Is(err, account.ErrCredentials) || session != (account.Session{})) {
				t.Errorf("%+v, %v; want ErrCredentials", session, err)
			}
			if n := f.compares.Load() - before; n != 1 {
				t.Errorf("%d passwords were compared, want 1", n)
			}
		})
	}
	if f.hashes.Load() != 3 {
		t.Errorf("%d passwords were hashed, want those of the signups", f.hashes.Load())
	}
}

func TestLogInShowsWhatTheAccountIsNow(t *testing.T) {
	f := newFixture(t, 8)
	f.must(t, signUp("ann@example.com"))
	grant := account.Grant{Roles: []string{"admin"}, Permissions: []string{"orders:read"}, Subscription: "pro"}
	if _, err := f.store.Update(t.Context(), "ann@example.com", grant.Give); err != nil {
		t.Fatal(err)
	}
	session, err := f.LogIn(t.Context(), f.NewPlan(), account.LogIn{Email: "ann@example.com", Password: password})
	if err != nil || !strings.Contains(session.Token, `"roles":["user","admin"],"permissions":["orders:read"],"subscription":"pro"`) {
		t.Errorf("%+v, %v", session, err)
	}
}

func TestStoreThatIsDownIsNotAWrongPassword(t *testing.T) {
	f := newFixture(t, 8)
	f.must(t, signUp("ann@example.com"))
	f.down = errors.New("database is locked")
	if _, err := f.LogIn(t.Context(), f.NewPlan(), account.LogIn{Email: "ann@example.com", Password: password}); !errors.Is(err, f.down) || errors.Is(err, account.ErrCredentials) {
		t.Errorf("login: %v", err)
	}
	if _, err := f.SignUp(t.Context(), f.NewPlan(), signUp("bob@example.com")); !errors.Is(err, f.down) || errors.Is(err, account.ErrEmailTaken) {
		t.Errorf("signup: %v", err)
	}
}

func TestQueueOfPasswordsIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const queue = 5
		f := newFixture(t, queue)
		f.must(t, signUp("ann@example.com"))
		release := make(chan struct{})
		f.before = func() { <-release }
		ctx, leave := context.WithCancel(t.Context())
		var all sync.WaitGroup
		var busy, left, served atomic.Int32
		try := func(ctx context.Context, i int) {
			all.Go(func() {
				switch _, err := f.SignUp(ctx, f.NewPlan(), signUp(fmt.Sprintf("user-%d@example.com", i))); {
				case err == nil:
					served.Add(1)
				case errors.Is(err, context.Canceled) && errors.Is(err, account.ErrBusy):
					left.Add(1)
				case errors.Is(err, account.ErrBusy):
					busy.Add(1)
				default:
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		workers := max(1, runtime.GOMAXPROCS(0)/2)
		for i := range workers {
			try(t.Context(), i) // those who work
		}
		for i := range queue {
			try(ctx, workers+i) // those who wait
		}
		if try(t.Context(), 1000); busy.Load() != 1 {
			t.Errorf("with %d at work and %d waiting, one more is not turned away", workers, queue)
		}
		// Who gives up makes room.
		leave()
		if synctest.Wait(); left.Load() != queue {
			t.Errorf("%d of %d gave up", left.Load(), queue)
		}
		if try(t.Context(), 1001); busy.Load() != 1 {
			t.Error("there is no room where others gave up")
		}
		close(release)
		all.Wait()
		if int(served.Load()) != workers+1 {
			t.Errorf("%d were served, want %d", served.Load(), workers+1)
		}
	})
}

func TestCostThatBcryptDoesNotTakeIsRefused(t *testing.T) {
	if _, err := account.NewHasher(account.HasherOptions{Cost: 99}); err == nil {
		t.Error("a hasher that cannot hash was made")
	}
}
