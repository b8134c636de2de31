// Package introspect verifies opaque OAuth2 tokens: it asks the server that issued one (RFC 7662).
//
// A token is shown to one server or to none. Which one is settled by the route and by how the token begins, never by
// trying. What a server says is believed only if it is strict JSON whose active is exactly true, is kept no longer
// than its configuration and the token's exp allow, and is judged anew by the clock on every use. What cannot be
// judged, because the server is down, slow or unclear, is an error of its own and is kept for nobody.
//
// How a server is spoken to is an [Asker]; [HTTP] is that of a real one. Where in a request a token stands is left to
// others.
package introspect

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/claims"
)

// Asker asks a server about a token. The answer is the body of a 200, and belongs to the caller; an error says that
// there is none, and holds no secret. It ends when ctx does. Implementations are safe for concurrent use.
type Asker interface {
	Ask(ctx context.Context, token string) (answer []byte, err error)
}

// Server is a party whose opaque tokens are accepted.
type Server struct {
	Name        string   // how the configuration calls it: the principal's Source
	TokenPrefix string   // how its tokens begin; "": in any way
	UserPrefix  string   // put before the user id
	Audiences   []string // one of them must be in aud; empty: any answer will do
	Claims      claims.Names
	ClockSkew   time.Duration // how far ahead nbf and iat may be, in whole seconds, 60 s at most

	// Cache is how long an answer that lets a token in is used, if its exp is no sooner; 0: every request asks,
	// but those that come while a call is under way share its answer.
	Cache time.Duration
	// NegativeCache is how long an answer that refuses a token is used; 0: as for Cache.
	NegativeCache time.Duration
	// Timeout bounds one call, and how long one request waits for one, the wait for its turn included; 0: 100 ms.
	Timeout time.Duration
	// MaxCalls is how many calls run at a time; 0: 64. Others wait for half the Timeout, so that there is time left
	// for their call. That bounds the queue: it is what arrives in that time.
	MaxCalls int
	Ask      Asker
}

// Options are the parts of a [Verifier].
type Options struct {
	Servers   []Server
	Directory *authz.Directory // nil: roles add nothing, and no user prefix is reserved
	MaxBytes  int              // the longest token that is looked at; 0: 8 KiB
	// MaxCached is how many answers are kept of all servers together; 0: 100,000. One that lets a token in counts once
	// more for each whole 256 bytes of it.
	MaxCached int
	Now       func() time.Time // the clock of those who call Verify; nil: time.Now

	// Asked, if set, is told of each thing that came of asking, for a metric: a server's name and a Result. It is
	// safe for concurrent use.
	Asked func(server, result string)
}

// The results that [Options.Asked] is told of. A call has one of the first three.
const (
	ResultActive   = "active"   // the answer lets the token in
	ResultInactive = "inactive" // the answer refuses the token
	ResultFailed   = "failed"   // there was no answer that could be judged
	ResultBusy     = "busy"     // no call was made: all were taken
	ResultLate     = "late"     // a request gave up waiting
	ResultCached   = "cached"   // a request was answered from the cache
)

const (
	defaultMaxBytes  = 8 << 10
	defaultMaxCached = 100_000
	defaultMaxCalls  = 64
	defaultTimeout   = 100 * time.Millisecond
	maxSkew          = 60 * time.Second
)

// Verifier verifies the tokens of its servers. It is safe for concurrent use. Calls that it has begun end by
// themselves, within twice the Timeout of their server.
type Verifier struct {
	servers   []*server
	directory *authz.Directory
	maxBytes  int
	now       func() time.Time
	asked     func(server, result string)
	cache     *otter.Cache[key, *answer]
}

var _ authz.Verifier = (*Verifier)(nil)

// key is what an answer is kept under: of one server, about one token, which cannot be had from its digest.
type key struct {
	server string
	digest [sha256.Size]byte
}

// server is a Server with the calls that are under way.
type server struct {
	Server
	rules claims.Rules
	slots chan struct{} // holds one element for each call

	mu       sync.Mutex
	flights  map[key]*flight
	answered chan struct{} // closed, and replaced, when a call brings an answer
}

// New returns a verifier of these parts. Names of servers must be unique. It panics if a part is bad, which is a fault
// of the program: those of a configuration were judged with it.
func New(o Options) *Verifier {
	if o.MaxBytes < 0 || o.MaxCached < 0 {
		panic("introspect: a limit is negative")
	}
	v := &Verifier{directory: o.Directory, maxBytes: o.MaxBytes, now: o.Now, asked: o.Asked}
	if v.directory == nil {
		v.directory = new(authz.Directory)
	}
	if v.maxBytes == 0 {
		v.maxBytes = defaultMaxBytes
	}
	if v.now == nil {
		v.now = time.Now
	}
	if v.asked == nil {
		v.asked = func(string, string) {}
	}
	v.cache = newCache(o.MaxCached)
	for _, s := range o.Servers {
		if err := s.judge(); err != nil {
			panic(fmt.Sprintf("introspect: server %q: %v", s.Name, err))
		}
		if slices.ContainsFunc(v.servers, func(other *server) bool { return other.Name == s.Name }) {
			panic(fmt.Sprintf("introspect: server %q: the name is taken", s.Name))
		}
		v.servers = append(v.servers, newServer(s))
	}
	return v
}

// judge refuses a server that could accept more than was meant, or fail on every token.
func (s *Server) judge() error {
	switch {
	case s.Name == "":
		return errors.New("it has no name")
	case s.Ask == nil:
		return errors.New("it has nothing to ask it with")
	case s.ClockSkew < 0 || s.ClockSkew > maxSkew:
		return fmt.Errorf("the clock skew is %s: 0 s to %s are accepted", s.ClockSkew, maxSkew)
	case s.Cache < 0 || s.NegativeCache < 0 || s.Timeout < 0 || s.MaxCalls < 0:
		return errors.New("a limit is negative")
	case !s.Claims.Complete():
		return errors.New("it does not name every claim")
	}
	return nil
}

func newServer(s Server) *server {
	if s.Timeout == 0 {
		s.Timeout = defaultTimeout
	}
	if s.MaxCalls == 0 {
		s.MaxCalls = defaultMaxCalls
	}
	s.Audiences = slices.Clone(s.Audiences)
	return &server{
		Server:   s,
		rules:    claims.Rules{Source: s.Name, Audiences: s.Audiences, ClockSkew: s.ClockSkew},
		slots:    make(chan struct{}, s.MaxCalls),
		flights:  make(map[key]*flight),
		answered: make(chan struct{}),
	}
}

// Verify implements [authz.Verifier] for credentials of the kind [authz.KindOpaque]. It returns while ctx has still
// some time left, so that its answer is not too late for the caller.
func (v *Verifier) Verify(ctx context.Context, c authz.Credential, now time.Time) (*authz.Identity, error) {
	if c.Kind != authz.KindOpaque {
		return nil, fmt.Errorf("%w: it is not an opaque token", authz.ErrCredentialInvalid)
	}
	if c.Value == "" || len(c.Value) > v.maxBytes {
		return nil, fmt.Errorf("%w: it has %d bytes, 1 to %d are looked at", authz.ErrCredentialInvalid, len(c.Value), v.maxBytes)
	}
	s, err := v.server(&c)
	if err != nil {
		c.Trace.Add("server", "refused", err.Error())
		return nil, err
	}
	k := key{s.Name, sha256.Sum256([]byte(c.Value))}
	a, result := v.cached(k, now), "cached"
	if a == nil {
		c.Trace.Add("server", "asked", s.Name)
		if a, err = v.ask(ctx, s, k, c.Value, now); err != nil {
			return nil, err
		}
		result = "answered"
		if present := v.now(); present.After(now) { // time has passed, and the token may have expired in it
			now = present
		}
	}
	if c.Trace != nil {
		c.Trace.Add("server", result, s.Name+": "+a.describe(s, now))
	}
	return a.judge(s, now)
}

// server returns the one server that c can be of.
func (v *Verifier) server(c *authz.Credential) (*server, error) {
	var found *server
	for i, s := range v.servers {
		switch {
		case !s.takes(c):
		case found != nil:
			// To ask one after the other would show each the tokens of the rest.
			return nil, fmt.Errorf("%w: it could be of each of the introspection servers %q, so none is asked", authz.ErrCredentialInvalid, append([]string{found.Name}, v.names(i, c)...))
		default:
			found = s
		}
	}
	if found == nil && len(c.Sources) > 0 {
		return nil, fmt.Errorf("%w: it is of no introspection server among %q, whose credentials the route takes", authz.ErrCredentialInvalid, c.Sources)
	}
	if found == nil {
		return nil, fmt.Errorf("%w: it is of no introspection server", authz.ErrCredentialInvalid)
	}
	return found, nil
}

// names returns the names of those servers, from the one at first on, that c can be of.
func (v *Verifier) names(first int, c *authz.Credential) []string {
	var names []string
	for _, s := range v.servers[first:] {
		if s.takes(c) {
			names = append(names, s.Name)
		}
	}
	return names
}

func (s *server) takes(c *authz.Credential) bool {
	return strings.HasPrefix(c.Value, s.TokenPrefix) && (len(c.Sources) == 0 || slices.Contains(c.Sources, s.Name))
}
