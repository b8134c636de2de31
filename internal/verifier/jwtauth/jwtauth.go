// Package jwtauth verifies JWT access tokens (RFC 7519) of configured issuers, by the advice of RFC 8725.
//
// It reads a token by a strict grammar of its own, before and apart from the signature: what could be read
// in two ways is refused. The token's iss selects the issuer, the issuer its keys, the key its algorithm;
// nothing else in a token has a say in how it is judged, and no key, address or certificate in it is used.
package jwtauth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/claims"
	"github.com/passgate/passgate/internal/keyset"
)

// KeySet finds the key for a token with this key ID, if hasID, and this algorithm. An error that wraps
// [keyset.ErrNoKey] puts the fault on the token; any other says that the set could not tell.
type KeySet interface {
	Key(ctx context.Context, id string, hasID bool, a keyset.Algorithm) (*keyset.Key, error)
}

// Issuer is a party whose tokens are accepted.
type Issuer struct {
	Name       string             // how the configuration calls it: the principal's Source
	Issuer     string             // iss, compared byte by byte
	Algorithms []keyset.Algorithm // what its tokens may be signed with; empty: none is accepted
	Keys       KeySet
	Audiences  []string      // one of them must be in aud; empty: any token's
	Leeway     time.Duration // how long past exp a token is good, in whole seconds, 60 s at most
	ClockSkew  time.Duration // how far ahead nbf and iat may be, in whole seconds, 60 s at most
	UserPrefix string        // put before the user id
	Claims     claims.Names
}

// Options are the parts of a [Verifier].
type Options struct {
	Issuers   []Issuer
	Directory *authz.Directory // nil: roles add nothing, and no user prefix is reserved
	MaxBytes  int              // the longest token that is looked at; 0: 8 KiB
}

const (
	defaultMaxBytes = 8 << 10
	maxTolerance    = 60 * time.Second
)

// Verifier verifies the tokens of its issuers. It is immutable and safe for concurrent use.
type Verifier struct {
	issuers   map[string]*Issuer // by iss
	directory *authz.Directory
	maxBytes  int
}

var _ authz.Verifier = (*Verifier)(nil)

// New returns a verifier of these parts. Names and iss values of issuers must be unique. It panics if a part
// is bad, which is a fault of the program: those of a configuration were judged with it.
func New(o Options) *Verifier {
	v := &Verifier{issuers: make(map[string]*Issuer), directory: o.Directory, maxBytes: o.MaxBytes}
	if v.directory == nil {
		v.directory = new(authz.Directory)
	}
	if v.maxBytes == 0 {
		v.maxBytes = defaultMaxBytes
	}
	names := make(map[string]bool)
	for _, i := range o.Issuers {
		if err := i.judge(); err != nil {
			panic(fmt.Sprintf("jwtauth: issuer %q: %v", i.Name, err))
		}
		if names[i.Name] {
			panic(fmt.Sprintf("jwtauth: issuer %q: the name is taken", i.Name))
		}
		if other := v.issuers[i.Issuer]; other != nil {
			panic(fmt.Sprintf("jwtauth: issuer %q: the issuer %q is that of %q already", i.Name, i.Issuer, other.Name))
		}
		i.Algorithms, i.Audiences = slices.Clone(i.Algorithms), slices.Clone(i.Audiences)
		names[i.Name] = true
		v.issuers[i.Issuer] = &i
	}
	return v
}

// judge refuses an issuer that could accept more than was meant, or fail on every token.
func (i *Issuer) judge() error {
	switch {
	case i.Name == "":
		return errors.New("it has no name")
	case i.Issuer == "":
		return errors.New("it has no issuer")
	case i.Keys == nil:
		return errors.New("it has no keys")
	case i.Leeway < 0 || i.Leeway > maxTolerance:
		return fmt.Errorf("the leeway is %s: 0 s to %s are accepted", i.Leeway, maxTolerance)
	case i.ClockSkew < 0 || i.ClockSkew > maxTolerance:
		return fmt.Errorf("the clock skew is %s: 0 s to %s are accepted", i.ClockSkew, maxTolerance)
	}
	if !i.Claims.Complete() {
		return errors.New("it does not name every claim")
	}
	for _, a := range i.Algorithms {
		if _, err := keyset.ParseAlgorithm(string(a)); err != nil {
			return err
		}
	}
	return nil
}

// Verify implements [authz.Verifier] for credentials of the kind [authz.KindJWT].
func (v *Verifier) Verify(ctx context.Context, c authz.Credential, now time.Time) (*authz.Identity, error) {
	if c.Kind != authz.KindJWT {
		return nil, fmt.Errorf("%w: it is not a JWT", authz.ErrCredentialInvalid)
	}
	t, err := v.parse(c.Value)
	if err != nil {
		return nil, err
	}
	if c.Trace != nil {
		c.Trace.Add("token", "read", t.String())
	}
	i := v.issuers[t.issuer]
	if i == nil {
		return nil, fmt.Errorf("%w: iss is %.64q, which is no issuer here", authz.ErrCredentialInvalid, t.issuer)
	}
	c.Trace.Add("issuer", "found", i.Name)
	return v.verify(ctx, i, t, now, c.Trace)
}

// verify judges a parsed token whose iss is i's: algorithm, key and signature, then the types of the claims,
// then what they say.
func (v *Verifier) verify(ctx context.Context, i *Issuer, t *token, now time.Time, trace *authz.Trace) (*authz.Identity, error) {
	if !slices.Contains(i.Algorithms, t.algorithm) {
		return nil, fmt.Errorf("%w: alg %.64q is not among the algorithms of %s", authz.ErrCredentialInvalid, t.algorithm, i.Name)
	}
	key, err := i.Keys.Key(ctx, t.keyID, t.hasKeyID, t.algorithm)
	if errors.Is(err, keyset.ErrNoKey) {
		return nil, fmt.Errorf("%w: issuer %s: %w", authz.ErrCredentialInvalid, i.Name, err)
	}
	if err != nil {
		return nil, fmt.Errorf("find the key of issuer %s: %w", i.Name, err)
	}
	// A key set that errs must not bring back the choice of the algorithm by the token (RFC 8725 §3.1).
	if key == nil || key.Algorithm != t.algorithm {
		return nil, fmt.Errorf("find the key of issuer %s: the set returned another key than asked for", i.Name)
	}
	if err := key.Verify(t.signed, t.signature); err != nil {
		return nil, fmt.Errorf("%w: issuer %s: %s: %w", authz.ErrCredentialInvalid, i.Name, key, err)
	}
	if trace != nil {
		trace.Add("signature", "good", "by "+key.String())
	}
	c, err := claims.Read(t.claims, &i.Claims, "sub", "exp")
	if err != nil {
		return nil, fmt.Errorf("%w: issuer %s: %w", authz.ErrCredentialInvalid, i.Name, err)
	}
	rules := &claims.Rules{Source: i.Name, Audiences: i.Audiences, Leeway: i.Leeway, ClockSkew: i.ClockSkew}
	if trace != nil {
		trace.Add("claims", "read", c.Describe(rules, now.Unix()))
	}
	if err := c.Judge(rules, now.Unix()); err != nil {
		return nil, fmt.Errorf("%w (issuer %s)", err, i.Name)
	}
	c.Principal.Source, c.Principal.Issuer, c.Principal.Claims = i.Name, i.Issuer, t.payload
	return v.directory.Identify(c.Principal, i.UserPrefix)
}
