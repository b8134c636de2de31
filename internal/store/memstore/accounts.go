package memstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/passgate/passgate/internal/account"
)

var errIDTaken = errors.New("another account has this ID")

// Accounts is an [account.Store] in memory, for tests. Make one with [NewAccounts].
type Accounts struct {
	mu      sync.Mutex
	byID    map[string]account.Account
	byEmail map[string]string // to the ID
}

var _ account.Store = (*Accounts)(nil)

// NewAccounts returns a store without accounts.
func NewAccounts() *Accounts {
	return &Accounts{byID: make(map[string]account.Account), byEmail: make(map[string]string)}
}

// Create implements [account.Store].
func (s *Accounts) Create(ctx context.Context, a account.Account) (account.Account, error) {
	if err := ctx.Err(); err != nil {
		return account.Account{}, fmt.Errorf("create an account: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if id, taken := s.byEmail[a.Email]; taken {
		if id != a.ID {
			return account.Account{}, account.ErrEmailTaken
		}
		return clone(s.byID[id]), nil
	}
	if _, taken := s.byID[a.ID]; taken {
		return account.Account{}, errIDTaken
	}
	s.byID[a.ID] = clone(a)
	s.byEmail[a.Email] = a.ID
	return clone(a), nil
}

// ByEmail implements [account.Store].
func (s *Accounts) ByEmail(ctx context.Context, email string) (account.Account, error) {
	if err := ctx.Err(); err != nil {
		return account.Account{}, fmt.Errorf("find an account: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	id, known := s.byEmail[email]
	if !known {
		return account.Account{}, account.ErrNotFound
	}
	return clone(s.byID[id]), nil
}

// ByID implements [account.Store].
func (s *Accounts) ByID(ctx context.Context, id string) (account.Account, error) {
	if err := ctx.Err(); err != nil {
		return account.Account{}, fmt.Errorf("find an account: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a, known := s.byID[id]
	if !known {
		return account.Account{}, account.ErrNotFound
	}
	return clone(a), nil
}

// List implements [account.Store].
func (s *Accounts) List(ctx context.Context, after string, limit int) ([]account.Account, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("list accounts: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []account.Account
	for _, a := range s.byID {
		if a.Email > after {
			list = append(list, clone(a))
		}
	}
	slices.SortFunc(list, func(a, b account.Account) int { return cmp.Compare(a.Email, b.Email) })
	return list[:min(len(list), max(limit, 0))], nil
}

// Update implements [account.Store]. The change must not call the store.
func (s *Accounts) Update(ctx context.Context, email string, change func(account.Account) (account.Account, error)) (account.Account, error) {
	if err := ctx.Err(); err != nil {
		return account.Account{}, fmt.Errorf("update an account: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	id, known := s.byEmail[email]
	if !known {
		return account.Account{}, account.ErrNotFound
	}
	a := s.byID[id]
	changed, err := change(clone(a))
	if err != nil {
		return account.Account{}, err
	}
	a.Roles, a.Permissions, a.Subscription = changed.Roles, changed.Permissions, changed.Subscription
	s.byID[id] = clone(a)
	return clone(a), nil
}

// clone returns a copy of an account, as a store gives it back: an empty list is nil, a time is in milliseconds.
func clone(a account.Account) account.Account {
	a.Roles = append([]string(nil), a.Roles...)
	a.Permissions = append([]string(nil), a.Permissions...)
	a.Created = time.UnixMilli(a.Created.UnixMilli()).UTC()
	return a
}
