// Package apikey verifies API keys by digest.
//
// A key is made by [Generate] and shown once; what is kept of it is its SHA-256, in an [Entry] beside who it stands
// for. To verify one is to look its digest up. Where entries are stored, and where in a request a key stands, is
// left to others.
package apikey

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"time"

	"github.com/passgate/passgate/internal/authz"
)

// Entry is what is known of one key.
type Entry struct {
	Name        string            // what people call the key; not secret
	SHA256      [sha256.Size]byte // of the key, see [Digest]
	UserID      string            // without the prefix of the source
	Roles       []string
	Permissions []string
	Expires     time.Time // the key is refused from then on; zero: never
	Disabled    bool      // the key is refused
}

// Options are the parts of a [Verifier].
type Options struct {
	Source     string           // the principal's Source
	UserPrefix string           // put before every user id
	Directory  *authz.Directory // nil: roles add nothing, and no user prefix is reserved
	Entries    []Entry
}

// Verifier verifies the keys of its entries. It is immutable and safe for concurrent use; its zero value knows no
// key. It holds digests alone.
type Verifier struct {
	source string
	keys   map[[sha256.Size]byte]*key
}

// key is an entry with its identity.
type key struct {
	name     string
	digest   [sha256.Size]byte
	expires  time.Time
	disabled bool
	identity *authz.Identity
}

var _ authz.Verifier = (*Verifier)(nil)

// New returns a verifier of these parts. It is an error if there is no source, if an entry lacks its name, digest or
// user id, if two have one name or one digest, or if the directory refuses a user id.
func New(o Options) (*Verifier, error) {
	if o.Source == "" {
		return nil, errors.New("API keys: the source has no name")
	}
	directory := o.Directory
	if directory == nil {
		directory = new(authz.Directory)
	}
	v := &Verifier{source: o.Source, keys: make(map[[sha256.Size]byte]*key, len(o.Entries))}
	names := make(map[string]bool, len(o.Entries))
	for i, e := range o.Entries {
		other := v.keys[e.SHA256]
		switch {
		case e.Name == "":
			return nil, fmt.Errorf("API key %d has no name", i+1)
		case names[e.Name]:
			return nil, fmt.Errorf("API key %q: the name is taken", e.Name)
		case e.SHA256 == [sha256.Size]byte{}:
			return nil, fmt.Errorf("API key %q has no digest", e.Name)
		case other != nil:
			return nil, fmt.Errorf("API key %q has the digest of %q", e.Name, other.name)
		case e.UserID == "":
			return nil, fmt.Errorf("API key %q has no user id", e.Name)
		}
		identity, err := directory.Identify(authz.Principal{
			Source: o.Source, UserID: e.UserID, Roles: e.Roles, Permissions: e.Permissions,
		}, o.UserPrefix)
		if err != nil {
			return nil, fmt.Errorf("API key %q: %w", e.Name, err)
		}
		names[e.Name] = true
		v.keys[e.SHA256] = &key{name: e.Name, digest: e.SHA256, expires: e.Expires, disabled: e.Disabled, identity: identity}
	}
	return v, nil
}

// Verify implements [authz.Verifier] for credentials of the kind [authz.KindAPIKey].
func (v *Verifier) Verify(_ context.Context, c authz.Credential, now time.Time) (*authz.Identity, error) {
	if c.Kind != authz.KindAPIKey {
		return nil, fmt.Errorf("%w: it is not an API key", authz.ErrCredentialInvalid)
	}
	if fault := malformed(c.Value); fault != "" {
		return nil, fmt.Errorf("%w: it is not a key of passgate's: %s", authz.ErrCredentialInvalid, fault)
	}
	c.Trace.Add("key", "read", "its checksum is right")
	digest := Digest(c.Value)
	k := v.keys[digest]
	// What the time of a look-up tells of a digest tells nothing of its key. What decides is in constant time even so.
	if k == nil || subtle.ConstantTimeCompare(k.digest[:], digest[:]) != 1 {
		return nil, fmt.Errorf("%w: no API key here has its digest", authz.ErrCredentialInvalid)
	}
	if c.Trace != nil {
		c.Trace.Add("key", "found", k.describe(now))
	}
	switch {
	case k.disabled:
		return nil, fmt.Errorf("%w: the API key %q is disabled", authz.ErrCredentialInvalid, k.name)
	case !k.expires.IsZero() && !now.Before(k.expires):
		return nil, &authz.ExpiredError{
			Source: v.source,
			Detail: fmt.Sprintf("the API key %q expired at %s, now %s", k.name, rfc3339(k.expires), rfc3339(now)),
		}
	}
	return k.identity, nil
}

// describe returns what Verify looks at, for a trace.
func (k *key) describe(now time.Time) string {
	switch {
	case k.disabled:
		return fmt.Sprintf("%q, disabled", k.name)
	case k.expires.IsZero():
		return fmt.Sprintf("%q, never expires", k.name)
	}
	return fmt.Sprintf("%q, now %s: expires %s", k.name, rfc3339(now), rfc3339(k.expires))
}

func rfc3339(t time.Time) string { return t.UTC().Format(time.RFC3339) }
