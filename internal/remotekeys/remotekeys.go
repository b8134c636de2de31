// Package remotekeys keeps the key set of an issuer that is fetched by URL (RFC 7517 §5, OpenID Connect Discovery
// 1.0 §4).
//
// The server behind the URL is trusted for its keys and for nothing else: how often it is asked, how long it may
// take, how much it may send and where it may send us are bounded here, and while it fails the last good set is used,
// up to a stated age. Tokens decide nothing about a fetch but that there is one more, at most every 5 s. What makes a
// key usable is left to keyset, and which issuers there are to the configuration.
package remotekeys

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/passgate/passgate/internal/keyset"
)

// Options are the parts of a [Set].
type Options struct {
	Name       string             // of the issuer in the configuration, for errors and log lines
	URL        string             // of the JWKS, or, with Discovery, of the metadata of an OpenID provider
	Discovery  bool               // the JWKS is fetched from the jwks_uri of the metadata
	Issuer     string             // with Discovery: what the metadata's issuer must equal, byte for byte
	Algorithms []keyset.Algorithm // keys for others are left out; empty: all are
	Refresh    time.Duration      // between fetches that succeed; 0: 5 min, and 1 s at least
	MaxAge     time.Duration      // how long a set is used after it was last fetched; 0: 24 h
	Client     *http.Client       // its rule for redirects is replaced; nil: NewClient()
	Now        func() time.Time   // judges the age of a set; nil: time.Now
	Log        *slog.Logger       // nil: nobody is told
	Fetched    func(err error)    // called after each fetch, before those who wait for it go on; nil: nobody is told
}

const (
	defaultRefresh = 5 * time.Minute
	defaultMaxAge  = 24 * time.Hour

	maxWait = 100 * time.Millisecond // how long a token waits for a fetch: half of the time that Envoy gives by default
	margin  = 10 * time.Millisecond  // what a caller needs to answer after its wait
)

// Set is the key set of an issuer. It is safe for concurrent use; make one with [New].
type Set struct {
	o      Options
	client *http.Client
	told   told // belongs to the flight under way

	current atomic.Pointer[snapshot] // nil until a first fetch succeeds

	mu       sync.Mutex
	flight   *flight   // nil: none is under way
	started  time.Time // when the last flight was started; zero: none was
	next     time.Time // when Run fetches again; zero: at once
	failures int       // fetches that failed since the last one that did not
	err      error     // why the last fetch failed; nil if it did not
}

// snapshot is what one fetch brought. It is immutable.
type snapshot struct {
	keys    *keyset.Set
	count   int
	fetched time.Time // when the fetch began, by the clock that judges age
	began   time.Time // the same by the clock of the process, which nobody sets
}

// State is how a [Set] stands.
type State struct {
	Keys    int       // how many can be used now
	Fetched time.Time // when the keys were last fetched; zero: never
	Err     error     // why the last fetch failed; nil if it did not, or none ended yet
}

// New returns a set that holds no key yet. It starts nothing: that is for [Set.Run] and [Set.Fetch].
func New(o Options) *Set {
	if o.Refresh <= 0 {
		o.Refresh = defaultRefresh
	}
	if o.MaxAge <= 0 {
		o.MaxAge = defaultMaxAge
	}
	o.Algorithms = slices.Clone(o.Algorithms)
	if o.Client == nil {
		o.Client = NewClient()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Fetched == nil {
		o.Fetched = func(error) {}
	}
	client := *o.Client
	client.CheckRedirect = checkRedirect
	return &Set{o: o, client: &client}
}

// Inherit takes the keys of another set that is fetched from the same place, as when only how often has changed: they
// are used until they are fetched afresh. It is called before anything else.
func (s *Set) Inherit(from *Set) {
	s.current.Store(from.current.Load())
}

// Key returns the key for a token with this key ID, if hasID, and this algorithm, by the rules of [keyset.Set.Key].
// A token that the set has no key for has the set fetched, unless it was in the last 5 s: then, and if the fetch
// brings no such key or fails, the error wraps [keyset.ErrNoKey]. Any other error says that the set could not tell:
// there is none, or none young enough, or the fetch takes longer than 100 ms or than ctx leaves time for.
func (s *Set) Key(ctx context.Context, id string, hasID bool, a keyset.Algorithm) (*keyset.Key, error) {
	if c := s.usable(); c != nil {
		if key, err := c.keys.Key(ctx, id, hasID, a); !errors.Is(err, keyset.ErrNoKey) {
			return key, err
		}
	}
	if f := s.join(interval); f != nil && !f.wait(ctx) {
		return nil, fmt.Errorf("the key set of %s cannot be had in time: it is being fetched", s.o.Name)
	}
	// The set is asked again even if no fetch is under way, as one may have ended since.
	c := s.usable()
	if c == nil {
		return nil, s.unavailable()
	}
	return c.keys.Key(ctx, id, hasID, a)
}

// usable returns what may be used now, or nil.
func (s *Set) usable() *snapshot {
	c := s.current.Load()
	if c == nil || c.age(s.o.Now()) > s.o.MaxAge {
		return nil
	}
	return c
}

// age is by the wall clock or by that of the process, whichever says more: a clock that is set back must not prolong
// a set's use, nor a sleep of the machine, through which the clock of the process stands still.
func (c *snapshot) age(now time.Time) time.Duration {
	return max(now.Round(0).Sub(c.fetched), time.Since(c.began)) // Round(0) leaves the wall clock alone
}

// unavailable says why there is no usable set.
func (s *Set) unavailable() error {
	s.mu.Lock()
	cause := s.err
	s.mu.Unlock()
	if cause == nil {
		cause = errors.New("it was not fetched yet")
		if c := s.current.Load(); c != nil {
			cause = fmt.Errorf("it was last fetched more than %s ago", s.o.MaxAge)
		}
	}
	return fmt.Errorf("the key set of %s cannot be had: %w", s.o.Name, cause)
}

// State returns how the set stands now.
func (s *Set) State() State {
	var state State
	if c := s.current.Load(); c != nil {
		state.Fetched = c.fetched
	}
	if c := s.usable(); c != nil {
		state.Keys = c.count
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	state.Err = s.err
	return state
}
