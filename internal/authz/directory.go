package authz

import (
	"fmt"
	"slices"
	"strings"
)

// Directory holds what all sources of principals share: the permissions that roles add, and the user
// prefixes that keep the users of one source apart from those of another. Its zero value adds nothing.
type Directory struct {
	Roles    map[string][]string // role → permissions
	Prefixes []string            // the user prefix of every source that has one
}

// Identify makes the identity of a principal whose source has the given user prefix. p.UserID is the
// source's own name for the user, p.Permissions what the credential itself carries. An error wraps
// [ErrCredentialInvalid]: a source without a prefix named a user of one that has it.
func (d *Directory) Identify(p Principal, prefix string) (*Identity, error) {
	if prefix == "" {
		for _, foreign := range d.Prefixes {
			if strings.HasPrefix(p.UserID, foreign) {
				return nil, fmt.Errorf("%w: the user id begins with %q, the user_prefix of another source", ErrCredentialInvalid, foreign)
			}
		}
	}
	p.UserID = prefix + p.UserID
	p.Roles = unique(p.Roles)
	for _, role := range p.Roles {
		p.Permissions = append(slices.Clip(p.Permissions), d.Roles[role]...)
	}
	p.Permissions = unique(p.Permissions)
	return &Identity{Principal: p}, nil
}

// unique returns list in its order, without repeats and without empty strings, which could not be told
// from a missing value in a header.
func unique(list []string) []string {
	seen := make(map[string]bool, len(list))
	kept := make([]string, 0, len(list))
	for _, s := range list {
		if s != "" && !seen[s] {
			seen[s] = true
			kept = append(kept, s)
		}
	}
	return kept
}
