package keyset

import (
	"context"
	"errors"
	"fmt"
)

// ErrNoKey says that a set has no key that a token may be verified with. Any other error of a set says that
// it could not tell.
var ErrNoKey = errors.New("no such key")

// Set holds the keys of one issuer; its zero value holds none. It is immutable and safe for concurrent use.
type Set struct {
	byID        map[string]*Key
	byAlgorithm map[Algorithm][]*Key
}

// NewSet returns a set of these keys. Two keys must not share an ID. A key without an ID is of use only if
// it is the set's only one of its algorithm.
func NewSet(keys ...*Key) (*Set, error) {
	s := &Set{byID: make(map[string]*Key), byAlgorithm: make(map[Algorithm][]*Key)}
	for _, k := range keys {
		if k.ID != "" {
			if s.byID[k.ID] != nil {
				return nil, fmt.Errorf("two keys have the kid %.64q", k.ID)
			}
			s.byID[k.ID] = k
		}
		s.byAlgorithm[k.Algorithm] = append(s.byAlgorithm[k.Algorithm], k)
	}
	return s, nil
}

// Key returns the key for a token with this key ID, if hasID, and this algorithm. The ID is compared byte by
// byte. Without one, or where no key has it and the only key of the algorithm has no ID, that only key is
// the one. The error wraps [ErrNoKey] if there is none.
func (s *Set) Key(_ context.Context, id string, hasID bool, a Algorithm) (*Key, error) {
	// An ID that names a key selects it, for good or ill: no other one may stand in for it.
	if k := s.byID[id]; k != nil && hasID {
		if k.Algorithm != a {
			return nil, fmt.Errorf("%w: kid %.64q is a key for %s, not %.64q", ErrNoKey, id, k.Algorithm, a)
		}
		return k, nil
	}
	only := s.byAlgorithm[a]
	switch {
	case len(only) == 1 && (!hasID || only[0].ID == ""):
		return only[0], nil
	case hasID:
		return nil, fmt.Errorf("%w: kid %.64q, for %.64q", ErrNoKey, id, a)
	case len(only) == 0:
		return nil, fmt.Errorf("%w: no key for %.64q", ErrNoKey, a)
	}
	return nil, fmt.Errorf("%w: the token has no kid, and there are %d keys for %.64q", ErrNoKey, len(only), a)
}
