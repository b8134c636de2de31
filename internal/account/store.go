package account

import (
	"context"
	"errors"
	"time"
)

// Account is one person's, or one machine's, as it is stored.
type Account struct {
	ID           string // user_ and a UUIDv7; never changes
	Email        string // canonical, as [CanonicalEmail] returns it; no two accounts share one
	PasswordHash string // bcrypt, in its own text form
	Name         string
	Country      string
	Platform     string
	Subscription string
	Roles        []string
	Permissions  []string  // granted to this account by name, beside those of its roles
	Created      time.Time // to the millisecond, UTC
}

// Errors of a [Store]. Any other says that the store could not tell.
var (
	ErrEmailTaken = errors.New("another account has this e-mail address")
	ErrNotFound   = errors.New("no such account")
)

// Store keeps accounts. Implementations are safe for concurrent use, by several processes too where the medium
// allows. What storetest asks of one is the contract.
type Store interface {
	// Create adds an account, whole or not at all. Where one with the same ID and e-mail address is there already,
	// it is left as it is and returned: whoever retries finds its own. The error is [ErrEmailTaken] if another
	// account has the address. What is returned is what is stored.
	Create(ctx context.Context, a Account) (Account, error)

	// ByEmail returns the account of a canonical e-mail address, or [ErrNotFound].
	ByEmail(ctx context.Context, email string) (Account, error)

	// ByID returns the account of an ID, or [ErrNotFound].
	ByID(ctx context.Context, id string) (Account, error)

	// List returns at most limit accounts in the order of their addresses, from the first one after the address
	// after, which need not exist; "" is before all.
	List(ctx context.Context, after string, limit int) ([]Account, error)

	// Update changes the roles, permissions and subscription of the account with a canonical e-mail address:
	// change gets the account as it is and returns it as it should be. Two updates at a time do not undo one
	// another. An error of change ends it and is returned as it is; otherwise what is stored is returned, or
	// [ErrNotFound].
	Update(ctx context.Context, email string, change func(Account) (Account, error)) (Account, error)
}
