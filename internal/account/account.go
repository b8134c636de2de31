// Package account is what signup and login mean: who may have an account, what a good password is, what is
// proven by one, and what the token says.
//
// It knows no HTTP and no database. A [Store] keeps accounts, a [Minter] signs tokens, a [Hasher] keeps the
// costly arithmetic in bounds. Whatever makes one answer differ from another that was asked the same, ids and
// times, is fixed in a [Plan] before anything is done, so that a call that was cut off can be done again.
package account

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// Errors of a [Service], beside [ErrEmailTaken], [ErrNotFound] and [*InvalidError]. Any other says that the call
// could not be carried out now.
var (
	// ErrCredentials does not tell an unknown address from a wrong password.
	ErrCredentials = errors.New("e-mail address or password is wrong")
	// ErrBusy says that more passwords wait to be hashed than can be in time.
	ErrBusy = errors.New("too many passwords wait to be hashed")
)

// LogIn is what a caller logs in with.
type LogIn struct{ Email, Password string }

// Session is what signup and login give.
type Session struct {
	UserID    string // as upstreams see it
	Token     string
	ExpiresIn time.Duration
}

// Plan fixes what a call would otherwise choose while it runs. Two calls with one plan and one input give one
// account and the same [Session], byte for byte.
type Plan struct {
	UserID       string `json:"user_id"`   // of the account that a signup makes
	TokenID      string `json:"token_id"`  // jti, a UUIDv7
	KeyID        string `json:"key_id"`    // kid
	IssuedAt     int64  `json:"issued_at"` // iat, unix seconds
	Role         string `json:"role"`      // of the account that a signup makes
	Subscription string `json:"subscription"`
}

// Claims are the content of an account's token (contract §6).
type Claims struct {
	Issuer       string   `json:"iss"`
	Subject      string   `json:"sub"`
	Audience     string   `json:"aud,omitempty"`
	IssuedAt     int64    `json:"iat"`
	Expiry       int64    `json:"exp"`
	TokenID      string   `json:"jti"`
	Name         string   `json:"name"`
	Email        string   `json:"email"`
	Roles        []string `json:"roles"`
	Permissions  []string `json:"permissions"`
	Subscription string   `json:"subscription"`
	Country      string   `json:"country"`
	Platform     string   `json:"platform"`
}

// Minter signs tokens. Its signatures are deterministic.
type Minter interface {
	// KeyID returns the kid of the key that signs now.
	KeyID() string
	// Mint returns a token with these claims by the key of a kid. That there is no such key is an error.
	Mint(keyID string, c Claims) (string, error)
}

// Options are the parts of a [Service]. All are required but for Audience and UserPrefix.
type Options struct {
	Store  Store
	Hasher *Hasher
	Minter Minter
	Now    func() time.Time

	Issuer     string        // iss
	Audience   string        // aud, "" for none
	UserPrefix string        // what the issuer's user ids begin with
	TokenTTL   time.Duration // whole seconds

	Passwords    PasswordRules
	Role         string // of a new account
	Subscription string
}

// Service signs up and logs in. It is safe for concurrent use.
type Service struct{ o Options }

// New returns a service of these parts.
func New(o Options) *Service { return &Service{o} }

// NewPlan returns a plan for a call that begins now.
func (s *Service) NewPlan() Plan {
	return Plan{
		UserID:       "user_" + newID(),
		TokenID:      newID(),
		KeyID:        s.o.Minter.KeyID(),
		IssuedAt:     s.o.Now().Unix(),
		Role:         s.o.Role,
		Subscription: s.o.Subscription,
	}
}

func newID() string { return uuid.Must(uuid.NewV7()).String() }

// SignUp makes an account. The error is an [*InvalidError] or [ErrEmailTaken] where the caller has to change
// something. An account that has the plan's user ID already is its own, made before it was cut off.
func (s *Service) SignUp(ctx context.Context, p Plan, in SignUp) (Session, error) {
	in, err := in.judge(s.o.Passwords)
	if err != nil {
		return Session{}, err
	}
	a, err := s.newAccount(ctx, p, in)
	if err != nil {
		return Session{}, err
	}
	if a, err = s.o.Store.Create(ctx, a); err != nil {
		return Session{}, fmt.Errorf("create the account: %w", err)
	}
	return s.session(p, a)
}

// newAccount returns the account of a signup, its password hashed. The address is looked up in the turn of the
// hash, so that a crowd that wants one address costs a few hashes and not as many as it is.
func (s *Service) newAccount(ctx context.Context, p Plan, in SignUp) (Account, error) {
	a := Account{
		ID: p.UserID, Email: in.Email, Name: in.Name, Country: in.Country, Platform: in.Platform,
		Subscription: p.Subscription, Roles: []string{p.Role}, Created: time.Unix(p.IssuedAt, 0).UTC(),
	}
	err := s.o.Hasher.inTurn(ctx, func() error {
		switch earlier, err := s.o.Store.ByEmail(ctx, in.Email); {
		case errors.Is(err, ErrNotFound):
		case err != nil:
			return fmt.Errorf("look for the address: %w", err)
		case earlier.ID == p.UserID:
			a = earlier
			return nil
		default:
			return ErrEmailTaken
		}
		var err error
		a.PasswordHash, err = s.o.Hasher.hash(in.Password)
		return err
	})
	return a, err
}

// LogIn returns a session of the account that has this address and password, or [ErrCredentials]. Whatever was
// given, one password is compared: an address without an account takes as long as one with.
func (s *Service) LogIn(ctx context.Context, p Plan, in LogIn) (Session, error) {
	a, err := s.find(ctx, in.Email)
	known := err == nil
	if err != nil && !errors.Is(err, ErrNotFound) {
		return Session{}, fmt.Errorf("find the account: %w", err)
	}
	// bcrypt would look at the first 72 bytes alone, and repeat what stands before a NUL.
	password, usable := normalPassword(in.Password)
	right, err := s.o.Hasher.compare(ctx, a.PasswordHash, password, known && usable)
	switch {
	case err != nil:
		return Session{}, err
	case !right:
		return Session{}, ErrCredentials
	}
	return s.session(p, a)
}

// find returns the account of an address as it was typed, or [ErrNotFound].
func (s *Service) find(ctx context.Context, address string) (Account, error) {
	email, err := CanonicalEmail(address)
	if err != nil {
		return Account{}, ErrNotFound
	}
	return s.o.Store.ByEmail(ctx, email)
}

// Account returns the account of a user ID as it is stored, without the issuer's prefix, or [ErrNotFound].
func (s *Service) Account(ctx context.Context, userID string) (Account, error) {
	return s.o.Store.ByID(ctx, userID)
}

// session returns the answer that a plan and an account give.
func (s *Service) session(p Plan, a Account) (Session, error) {
	token, err := s.o.Minter.Mint(p.KeyID, Claims{
		Issuer:       s.o.Issuer,
		Subject:      a.ID,
		Audience:     s.o.Audience,
		IssuedAt:     p.IssuedAt,
		Expiry:       p.IssuedAt + int64(s.o.TokenTTL/time.Second),
		TokenID:      p.TokenID,
		Name:         a.Name,
		Email:        a.Email,
		Roles:        list(a.Roles),
		Permissions:  list(a.Permissions),
		Subscription: a.Subscription,
		Country:      a.Country,
		Platform:     a.Platform,
	})
	if err != nil {
		return Session{}, fmt.Errorf("mint the token: %w", err)
	}
	return Session{UserID: s.o.UserPrefix + a.ID, Token: token, ExpiresIn: s.o.TokenTTL}, nil
}

// list returns l, empty and not nil where there is nothing in it.
func list(l []string) []string { return append([]string{}, l...) }
