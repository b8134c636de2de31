package passport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/passgate/passgate/internal/keyset"
)

// What [Verifier.Verify] refuses for, besides [ErrFormat].
var (
	// ErrUnsigned says that there is no signature.
	ErrUnsigned = errors.New("the passport is not signed")
	// ErrSignature says that the signature is not one of passgate's, or not that of a known key over this passport.
	ErrSignature = errors.New("the signature of the passport does not verify")
	// ErrStale says that the passport is too old, or was made in the future.
	ErrStale = errors.New("the passport is stale")
	// ErrKeys says that the passport could not be judged, as the keys cannot be had: the answer to the caller is
	// 503, not 401.
	ErrKeys = errors.New("the keys for passports cannot be had")
)

// Options are the parts of a [Verifier].
type Options struct {
	// JWKSURL is where passgate serves its keys: /.well-known/jwks.json at its HTTP listener. Who can change the
	// answer can sign passports: use https where others share the network.
	JWKSURL string
	// Keys are fixed keys instead of a JWKSURL: a JWKS, a JWK or a public key in PEM, where those that are not
	// Ed25519 are of no use. A key without a kid, as one in PEM, is that of every kid, if it is the only one.
	Keys []byte

	MaxAge time.Duration // how old a passport may be; 0: 1 min
	Skew   time.Duration // how far ahead of this clock a passport may have been made; 0: 5 s

	// Optional lets the middleware and the interceptors pass requests with neither passport nor signature, for
	// routes that passgate leaves open: [FromContext] finds none then. One without the other is still refused.
	Optional bool

	Client *http.Client     // asks for the JWKS; nil: one with time limits
	Now    func() time.Time // nil: time.Now
	Log    *slog.Logger     // is told what was refused and why; nil: nobody is
}

const (
	defaultMaxAge = time.Minute
	defaultSkew   = 5 * time.Second
)

// keys finds the key of a signature. An error that wraps [keyset.ErrNoKey] puts the fault on the signature; any
// other says that it could not tell.
type keys interface {
	Key(ctx context.Context, id string, hasID bool, a keyset.Algorithm) (*keyset.Key, error)
}

// Verifier verifies passports. It is safe for concurrent use; make one with [NewVerifier]. Its zero value refuses
// every passport.
type Verifier struct {
	keys         keys
	maxAge, skew time.Duration
	optional     bool
	now          func() time.Time
	log          *slog.Logger
}

// NewVerifier returns a verifier of these parts. With a JWKSURL it keeps the keys fresh until ctx ends, in a
// goroutine, and starts although the URL cannot be reached yet: until it can, passports are refused with [ErrKeys].
// It is an error to give both URL and keys or neither, an unusable key, or a negative time.
func NewVerifier(ctx context.Context, o Options) (*Verifier, error) {
	v := &Verifier{maxAge: o.MaxAge, skew: o.Skew, optional: o.Optional, now: o.Now, log: o.Log}
	if v.maxAge < 0 || v.skew < 0 {
		return nil, errors.New("passport: MaxAge and Skew must not be negative")
	}
	if v.maxAge == 0 {
		v.maxAge = defaultMaxAge
	}
	if v.skew == 0 {
		v.skew = defaultSkew
	}
	if v.now == nil {
		v.now = time.Now
	}
	var err error
	switch {
	case (o.JWKSURL == "") == (len(o.Keys) == 0):
		err = errors.New("give either JWKSURL or Keys")
	case o.JWKSURL != "":
		v.keys, err = fetched(ctx, o)
	default:
		v.keys, err = fixed(o.Keys)
	}
	if err != nil {
		return nil, fmt.Errorf("passport: %w", err)
	}
	return v, nil
}

// fixed returns the keys in material that passports can be signed with.
func fixed(material []byte) (keys, error) {
	all, err := keyset.Parse(material)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	var usable []*keyset.Key
	for _, k := range all {
		if k.Algorithm == keyset.EdDSA {
			usable = append(usable, k)
		}
	}
	if len(usable) == 0 {
		return nil, errors.New("keys: none is an Ed25519 key")
	}
	set, err := keyset.NewSet(usable...)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	return set, nil
}

// Verify returns the passport in value, the content of X-Passport, if signature, the content of
// X-Passport-Signature, is passgate's over exactly these bytes and the passport is fresh. The error wraps
// [ErrUnsigned], [ErrSignature], [ErrFormat], [ErrStale] or [ErrKeys]; its text holds nothing of the passport. ctx
// bounds the wait for keys that were not fetched yet.
func (v *Verifier) Verify(ctx context.Context, value, signature string) (Passport, error) {
	s, err := parseSignature(signature)
	if err != nil {
		return Passport{}, err
	}
	if v.keys == nil {
		return Passport{}, ErrKeys
	}
	key, err := v.keys.Key(ctx, s.keyID, true, keyset.EdDSA)
	if errors.Is(err, keyset.ErrNoKey) {
		return Passport{}, fmt.Errorf("%w: kid %.64q is not among the keys", ErrSignature, s.keyID)
	}
	if err != nil {
		return Passport{}, fmt.Errorf("%w: %w", ErrKeys, err)
	}
	// A set that errs must not bring in a key of another kind (RFC 8725 §3.1).
	if key == nil || key.Algorithm != keyset.EdDSA || key.ID != "" && key.ID != s.keyID {
		return Passport{}, fmt.Errorf("%w: the set returned another key than asked for", ErrKeys)
	}
	if key.Verify(signingInput(s.protected, value), s.signature) != nil {
		return Passport{}, fmt.Errorf("%w: it is not that of the key %.64q over this passport", ErrSignature, s.keyID)
	}
	p, err := Decode(value)
	if err != nil {
		return Passport{}, err
	}
	if err := v.judgeAge(p); err != nil {
		return Passport{}, err
	}
	return p, nil
}

// judgeAge accepts what was made after now-maxAge and not after now+skew.
func (v *Verifier) judgeAge(p Passport) error {
	now := v.now()
	switch issued := p.Issued(); {
	case !issued.After(now.Add(-v.maxAge)):
		return fmt.Errorf("%w: it is older than %s", ErrStale, v.maxAge)
	case issued.After(now.Add(v.skew)):
		return fmt.Errorf("%w: it was made more than %s in the future", ErrStale, v.skew)
	}
	return nil
}
