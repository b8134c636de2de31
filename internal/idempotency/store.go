package idempotency

import (
	"context"
	"errors"
	"time"
)

// Claim is what a use of a key brings to the store.
type Claim struct {
	Digest []byte        // of the body, keyed
	Plan   []byte        // what the use needs to be the same when it is repeated; sealed
	Owner  string        // names this attempt alone
	Lease  time.Duration // how long the owner may work before another attempt may take over
	TTL    time.Duration // how long the entry lives, counted from the first claim of it
}

// Entry is what the store holds under a key.
type Entry struct {
	Digest []byte // of the first claim
	Plan   []byte // of the first claim
	Answer []byte // sealed; nil as long as nobody has finished
	Owned  bool   // this claim holds the lease now: its owner has to finish or release
}

// ErrLost says that an attempt no longer holds the lease: another one took over, or the entry has run out.
var ErrLost = errors.New("the lease is another's")

// Store keeps entries for all replicas that share it. Its values are opaque and hold no secret in the clear. An
// error other than [ErrLost] says that the store could not be asked, and that the call may or may not have taken
// effect. Implementations are safe for concurrent use; what storetest asks of one is the contract.
type Store interface {
	// Claim makes an entry under key, owned by this claim, if there is none. If there is one with the same digest
	// that is not finished and whose lease has run out or was released, the claim takes the lease over and keeps
	// the plan that is there. In every other case it changes nothing. It returns the entry as it then is. All of
	// this is one atomic step.
	Claim(ctx context.Context, key string, c Claim) (Entry, error)

	// Finish keeps the answer in an entry for what is left of its life, if owner holds its lease; otherwise it
	// changes nothing and the error is [ErrLost]. To finish twice with one answer is no error. A lease that has
	// run out and was not taken over still counts as held.
	Finish(ctx context.Context, key, owner string, answer []byte) error

	// Release ends the lease of owner, so that the next claim may take over at once; the digest and the plan stay.
	// Without the lease it changes nothing, which is no error.
	Release(ctx context.Context, key, owner string) error

	// Ping returns an error if the store cannot be asked.
	Ping(ctx context.Context) error
}
