package account

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/crypto/bcrypt"
)

// HasherOptions make a [Hasher].
type HasherOptions struct {
	Cost  int // of bcrypt
	Queue int // how many calls may wait for their turn

	// Worked is told of each costly operation that is done, "hash" or "compare"; nil: nobody is.
	Worked func(operation string)
}

// Hasher hashes and compares passwords, few at a time and apart from everything else: half of the processors
// at most, so that a storm of logins leaves the other half to decisions. It is safe for concurrent use.
type Hasher struct {
	cost    int
	worked  func(string)
	waiting chan struct{} // holds a token of each call that waits or works
	working chan struct{}
	nobodys []byte // the hash of a password that nobody knows
}

// NewHasher returns a hasher. It hashes once, which is how it learns that the cost is one that bcrypt takes.
func NewHasher(o HasherOptions) (*Hasher, error) {
	nobodys, err := bcrypt.GenerateFromPassword([]byte(rand.Text()), o.Cost)
	if err != nil {
		return nil, fmt.Errorf("hash a password: %w", err)
	}
	if o.Worked == nil {
		o.Worked = func(string) {}
	}
	workers := max(1, runtime.GOMAXPROCS(0)/2)
	return &Hasher{
		cost:    o.Cost,
		worked:  o.Worked,
		waiting: make(chan struct{}, workers+o.Queue),
		working: make(chan struct{}, workers),
		nobodys: nobodys,
	}, nil
}

// inTurn runs work when it is this call's turn. The error is that of work, or [ErrBusy] if the queue is full or
// ctx ends first.
func (h *Hasher) inTurn(ctx context.Context, work func() error) error {
	select {
	case h.waiting <- struct{}{}:
		defer func() { <-h.waiting }()
	default:
		return ErrBusy
	}
	select {
	case h.working <- struct{}{}:
		defer func() { <-h.working }()
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrBusy, ctx.Err())
	}
	return work()
}

// hash returns the bcrypt hash of a password that [normalPassword] has passed. It is called in turn.
func (h *Hasher) hash(password string) (string, error) {
	defer h.worked("hash")
	hash, err := bcrypt.GenerateFromPassword([]byte(password), h.cost)
	if err != nil {
		return "", fmt.Errorf("hash the password: %w", err)
	}
	return string(hash), nil
}

// compare reports whether a password is that of a hash. Where there is nothing to compare it with, real being
// false, it does the same work and reports false.
func (h *Hasher) compare(ctx context.Context, hash, password string, real bool) (right bool, err error) {
	against := []byte(hash)
	if !real {
		against, password = h.nobodys, "-"
	}
	err = h.inTurn(ctx, func() error {
		defer h.worked("compare")
		switch err := bcrypt.CompareHashAndPassword(against, []byte(password)); {
		case errors.Is(err, bcrypt.ErrMismatchedHashAndPassword):
		case err != nil:
			return fmt.Errorf("compare the password: %w", err)
		default:
			right = real
		}
		return nil
	})
	return right, err
}
