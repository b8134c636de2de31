package keyset

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"
)

// RingKey is a key with the times of its life.
type RingKey struct {
	Signer  *Signer
	Made    time.Time
	Signs   time.Time // from when it may sign
	Retired time.Time // from when it verifies no more; zero: never
}

// RetiredAt reports whether the key verifies no more.
func (k RingKey) RetiredAt(now time.Time) bool { return !k.Retired.IsZero() && !now.Before(k.Retired) }

// Ring holds the keys of one issuer as they follow each other in time: the newest signs, and all that are not
// retired verify, the ones that do not sign yet among them, as another replica's clock may be ahead. It is
// immutable and safe for concurrent use.
type Ring struct {
	now   func() time.Time
	keys  []RingKey          // newest first
	byID  map[string]RingKey // by kid, which is the thumbprint
	set   *Set               // all keys, the retired ones and those beside the ring among them
	named map[string]*Key    // keys beside the ring that have no ID, by thumbprint
}

// NewRing returns a ring of these keys. In the ring their thumbprints are their IDs; one with another ID is an
// error, and so is a key that is there twice. The keys in also, which may be nil, verify beside the ring's and never
// sign: a secret that signed before there was a ring, say.
func NewRing(now func() time.Time, also *Set, keys ...RingKey) (*Ring, error) {
	r := &Ring{now: now, byID: make(map[string]RingKey), named: make(map[string]*Key)}
	var all []*Key
	for _, k := range keys {
		id := k.Signer.key.thumbprint
		if own := k.Signer.key.ID; id == "" || own != "" && own != id {
			return nil, fmt.Errorf("the kid of the %s is not its thumbprint, %q", k.Signer.key, id)
		}
		key := *k.Signer.key
		key.ID = id
		k.Signer = &Signer{key: &key, sign: k.Signer.sign}
		r.keys = append(r.keys, k)
		r.byID[id] = k
		all = append(all, &key)
	}
	// Replicas agree on the order, whichever they read the keys in.
	slices.SortFunc(r.keys, func(a, b RingKey) int {
		return cmp.Or(b.Signs.Compare(a.Signs), b.Made.Compare(a.Made), cmp.Compare(a.Signer.key.ID, b.Signer.key.ID))
	})
	if also != nil {
		for _, ofAlgorithm := range also.byAlgorithm {
			for _, k := range ofAlgorithm {
				all = append(all, k)
				if k.ID == "" {
					r.named[k.thumbprint] = k
				}
			}
		}
	}
	var err error
	if r.set, err = NewSet(all...); err != nil {
		return nil, err
	}
	return r, nil
}

// Key returns the key for a token as [Set.Key] does, from the ring's keys and those beside. A kid that names a
// retired key selects nothing, for good. Retired keys still count where a token without a kid, or with an unknown
// one, is for the only key of its algorithm: time never makes a ring accept more. The thumbprint of a key beside
// the ring that has no ID selects it, as tokens that passgate signed with it carry that.
func (r *Ring) Key(ctx context.Context, id string, hasID bool, a Algorithm) (*Key, error) {
	if k := r.named[id]; k != nil && hasID && r.set.byID[id] == nil && k.Algorithm == a {
		return k, nil
	}
	key, err := r.set.Key(ctx, id, hasID, a)
	if err != nil {
		return nil, err
	}
	if k, ok := r.byID[key.ID]; ok && k.RetiredAt(r.now()) {
		return nil, fmt.Errorf("%w: the %s is retired", ErrNoKey, key)
	}
	return key, nil
}

// Signer returns the signer of the newest key that may sign now. The error wraps [ErrNoKey] if there is none.
func (r *Ring) Signer() (*Signer, error) {
	now := r.now()
	for _, k := range r.keys {
		if !now.Before(k.Signs) && !k.RetiredAt(now) {
			return k.Signer, nil
		}
	}
	return nil, fmt.Errorf("%w: none of the %d keys of the ring may sign now", ErrNoKey, len(r.keys))
}

// SignerOf returns the signer of a key of the ring that is not retired, to finish what was begun with it. The
// error wraps [ErrNoKey] if there is none.
func (r *Ring) SignerOf(keyID string) (*Signer, error) {
	k, ok := r.byID[keyID]
	if !ok || k.RetiredAt(r.now()) {
		return nil, fmt.Errorf("%w: kid %.64q, to sign with", ErrNoKey, keyID)
	}
	return k.Signer, nil
}

// Public returns the ring's own keys that have a public half and are not retired, newest first, also those that do
// not sign yet: who verifies has to know a key before it signs.
func (r *Ring) Public() []*Key {
	var keys []*Key
	now := r.now()
	for _, k := range r.keys {
		if k.Signer.key.public != nil && !k.RetiredAt(now) {
			keys = append(keys, k.Signer.key)
		}
	}
	return keys
}
