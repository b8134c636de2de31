package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/passgate/passgate/internal/account"
)

var _ account.Store = (*Store)(nil)

var (
	errIDTaken = errors.New("another account has this ID")
	errRow     = errors.New("a row of accounts does not hold what it should")
)

const (
	columns = "id, email, password_hash, name, country, platform, subscription, roles, permissions, created"

	insert   = "INSERT INTO accounts (" + columns + ") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING"
	byEither = "SELECT " + columns + " FROM accounts WHERE id = $1 OR email = $2"
	byEmail  = "SELECT " + columns + " FROM accounts WHERE email = $1"
	byID     = "SELECT " + columns + " FROM accounts WHERE id = $1"
	list     = "SELECT " + columns + " FROM accounts WHERE email > $1 ORDER BY email LIMIT $2"
	update   = "UPDATE accounts SET roles = $1, permissions = $2, subscription = $3 WHERE id = $4"
)

// Create implements [account.Store].
func (s *Store) Create(ctx context.Context, a account.Account) (account.Account, error) {
	stored, err := s.create(ctx, a)
	if err != nil {
		return account.Account{}, fmt.Errorf("create an account: %w", err)
	}
	return stored, nil
}

func (s *Store) create(ctx context.Context, a account.Account) (account.Account, error) {
	roles, permissions, err := lists(a)
	if err != nil {
		return account.Account{}, err
	}
	n, err := s.exec(ctx, s.db, insert,
		a.ID, a.Email, a.PasswordHash, a.Name, a.Country, a.Platform, a.Subscription, roles, permissions, a.Created.UnixMilli())
	if err != nil {
		return account.Account{}, err
	}
	// Whether it is new or not, what is there is what counts. An account is never removed.
	there, err := s.accounts(ctx, s.db, byEither, a.ID, a.Email)
	if err != nil {
		return account.Account{}, err
	}
	for _, stored := range there {
		switch {
		case stored.Email == a.Email && stored.ID == a.ID:
			return stored, nil
		case stored.Email == a.Email:
			return account.Account{}, account.ErrEmailTaken
		}
	}
	if n == 0 && len(there) > 0 {
		return account.Account{}, errIDTaken
	}
	return account.Account{}, errRow
}

// ByEmail implements [account.Store].
func (s *Store) ByEmail(ctx context.Context, email string) (account.Account, error) {
	a, err := s.one(ctx, s.db, byEmail, email)
	if err != nil {
		return account.Account{}, fmt.Errorf("find an account by its address: %w", err)
	}
	return a, nil
}

// ByID implements [account.Store].
func (s *Store) ByID(ctx context.Context, id string) (account.Account, error) {
	a, err := s.one(ctx, s.db, byID, id)
	if err != nil {
		return account.Account{}, fmt.Errorf("find an account by its ID: %w", err)
	}
	return a, nil
}

// List implements [account.Store].
func (s *Store) List(ctx context.Context, after string, limit int) ([]account.Account, error) {
	accounts, err := s.accounts(ctx, s.db, list, after, max(limit, 0)) // a negative LIMIT is none to SQLite
	if err != nil {
		return nil, fmt.Errorf("list accounts: %w", err)
	}
	return accounts, nil
}

// Update implements [account.Store]. The change must not call the store: nothing else is written while it runs.
func (s *Store) Update(ctx context.Context, email string, change func(account.Account) (account.Account, error)) (account.Account, error) {
	var stored account.Account
	var refused error
	err := s.inTx(ctx, func(tx *sql.Tx) error {
		a, err := s.one(ctx, tx, byEmail, email)
		if err != nil {
			return err
		}
		changed, err := change(a)
		if err != nil {
			refused = err
			return err
		}
		roles, permissions, err := lists(changed)
		if err != nil {
			return err
		}
		if _, err := s.exec(ctx, tx, update, roles, permissions, changed.Subscription, a.ID); err != nil {
			return err
		}
		stored, err = s.one(ctx, tx, byID, a.ID)
		return err
	})
	switch {
	case refused != nil:
		return account.Account{}, refused
	case err != nil:
		return account.Account{}, fmt.Errorf("update an account: %w", err)
	}
	return stored, nil
}

// one returns the only account that a query gives, or [account.ErrNotFound].
func (s *Store) one(ctx context.Context, c conn, query string, args ...any) (account.Account, error) {
	accounts, err := s.accounts(ctx, c, query, args...)
	switch {
	case err != nil:
		return account.Account{}, err
	case len(accounts) == 0:
		return account.Account{}, account.ErrNotFound
	}
	return accounts[0], nil
}

// accounts returns the accounts that a query gives.
func (s *Store) accounts(ctx context.Context, c conn, query string, args ...any) ([]account.Account, error) {
	rows, err := s.query(ctx, c, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var accounts []account.Account
	for rows.Next() {
		a, err := scan(rows)
		if err != nil {
			return nil, err
		}
		accounts = append(accounts, a)
	}
	return accounts, rows.Err()
}

// scan reads one row. What is wrong with one is not told: the errors of [sql.Rows.Scan] and of a JSON decoder
// may show what is in it.
func scan(rows *sql.Rows) (account.Account, error) {
	var a account.Account
	var roles, permissions []byte
	var created int64
	err := rows.Scan(&a.ID, &a.Email, &a.PasswordHash, &a.Name, &a.Country, &a.Platform, &a.Subscription, &roles, &permissions, &created)
	if err != nil || json.Unmarshal(roles, &a.Roles) != nil || json.Unmarshal(permissions, &a.Permissions) != nil {
		return account.Account{}, errRow
	}
	a.Created = time.UnixMilli(created).UTC()
	return a, nil
}

// lists returns the lists of an account as JSON.
func lists(a account.Account) (roles, permissions string, err error) {
	r, err := json.Marshal(a.Roles)
	if err != nil {
		return "", "", errors.New("a role is not UTF-8")
	}
	p, err := json.Marshal(a.Permissions)
	if err != nil {
		return "", "", errors.New("a permission is not UTF-8")
	}
	return string(r), string(p), nil
}
