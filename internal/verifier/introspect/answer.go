package introspect

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/maypok86/otter/v2"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/claims"
	"github.com/passgate/passgate/internal/strict"
)

// maxAnswerBytes bounds an answer: an identity of more than 12 KiB fits in no headers (contract §5).
const maxAnswerBytes = 16 << 10

// minSecret is the length of a token that no other text holds by chance.
const minSecret = 16

// answer is what a server said of a token: whose it is, or why it is refused. It is immutable once it has an end.
type answer struct {
	identity *authz.Identity
	claims   *claims.Claims
	refused  error     // wraps ErrCredentialInvalid or an ExpiredError; nil: the others are set
	end      time.Time // from then on it is not used by those who did not wait for it
}

// judge returns what the answer means now. Expiry is looked at each time: an answer says when a token ends, not that
// it goes on.
func (a *answer) judge(s *server, now time.Time) (*authz.Identity, error) {
	if a.refused != nil {
		return nil, a.refused
	}
	if err := a.claims.Judge(&s.rules, now.Unix()); err != nil {
		return nil, fmt.Errorf("%w (introspection server %s)", err, s.Name)
	}
	return a.identity, nil
}

// describe returns what judge looks at, for a trace.
func (a *answer) describe(s *server, now time.Time) string {
	if a.refused != nil {
		return "refused"
	}
	return "active; " + a.claims.Describe(&s.rules, now.Unix())
}

// read returns what the body of an answer says of a token, asked about at this time or later. An error says that it
// cannot be told.
func (v *Verifier) read(s *server, body []byte, token string, asked time.Time) (*answer, error) {
	if len(body) > maxAnswerBytes {
		return nil, fmt.Errorf("the answer is longer than %d bytes", maxAnswerBytes)
	}
	o, err := strict.ParseObject(body)
	if err != nil {
		return nil, fmt.Errorf("the answer is %w", err)
	}
	active, ok := o["active"]
	if !ok { // RFC 7662 §2.2: required
		return nil, errors.New("the answer does not say whether the token is active")
	}
	a := new(answer)
	if string(active) == "true" { // and not "true", 1 or what else some language takes for true
		a.identity, a.claims, err = v.principal(s, o, body, token)
	} else {
		err = fmt.Errorf("%w: it is not active (introspection server %s)", authz.ErrCredentialInvalid, s.Name)
	}
	if err == nil {
		_, err = a.judge(s, asked)
	}
	if err != nil {
		return &answer{refused: err, end: asked.Add(s.NegativeCache)}, nil
	}
	a.end = asked.Add(s.Cache)
	if exp := time.Unix(a.claims.Expires, 0); a.claims.HasExpiry && exp.Before(a.end) {
		a.end = exp
	}
	return a, nil
}

// principal returns who an active token stands for. An error wraps ErrCredentialInvalid.
func (v *Verifier) principal(s *server, o strict.Object, body []byte, token string) (*authz.Identity, *claims.Claims, error) {
	c, err := claims.Read(o, &s.Claims)
	var issuer string
	if err == nil {
		issuer, _, err = o.String("iss")
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%w: introspection server %s: %w", authz.ErrCredentialInvalid, s.Name, err)
	}
	p := c.Principal
	p.Source, p.Issuer, p.Claims = s.Name, issuer, withoutToken(o, body, token)
	// Who it is, and may do what, is logged.
	for _, text := range slices.Concat([]string{p.UserID, p.Issuer, p.Email}, p.Roles, p.Permissions) {
		if len(token) >= minSecret && strings.Contains(text, token) {
			return nil, nil, fmt.Errorf("%w: introspection server %s repeats the token in its answer", authz.ErrCredentialInvalid, s.Name)
		}
	}
	identity, err := v.directory.Identify(p, s.UserPrefix)
	if err != nil {
		return nil, nil, fmt.Errorf("introspection server %s: %w", s.Name, err)
	}
	return identity, c, nil
}

// withoutToken returns an answer as it is, but for the members that repeat the token: conditions see the claims of a
// principal, and what they compared is logged.
func withoutToken(o strict.Object, body []byte, token string) []byte {
	dropped := false
	for name, value := range o {
		if name == token || holds(value, token) {
			delete(o, name)
			dropped = true
		}
	}
	if dropped {
		body, _ = json.Marshal(o, json.Deterministic(true)) // what was parsed can be written
	}
	return bytes.Clone(body) // no longer than it is, as it may be kept
}

// holds reports whether one of the strings in a JSON value is the token, however it is escaped.
func holds(value jsontext.Value, token string) bool {
	d := jsontext.NewDecoder(bytes.NewReader(value))
	for {
		t, err := d.ReadToken()
		if err != nil {
			return false
		}
		if t.Kind() == '"' && t.String() == token {
			return true
		}
	}
}

// newCache returns a cache that keeps as many answers as limit says, see [Options.MaxCached]. It runs nothing in the
// background. It knows nothing of time, as its clock could be another than that of those who ask: see cached.
func newCache(limit int) *otter.Cache[key, *answer] {
	if limit == 0 {
		limit = defaultMaxCached
	}
	return otter.Must(&otter.Options[key, *answer]{
		MaximumWeight: uint64(limit),
		Weigher: func(_ key, a *answer) uint32 {
			if a.refused != nil {
				return 1
			}
			// Beside the text each of its words is kept, some of them of a byte or two.
			return 1 + uint32(len(a.identity.Claims)>>8)
		},
		Executor: func(task func()) { task() },
	})
}

// kept returns how many answers are kept, about.
func (v *Verifier) kept() int { return v.cache.EstimatedSize() }

// cached returns what is known of a token, or nil if nothing is any more.
func (v *Verifier) cached(k key, now time.Time) *answer {
	a, ok := v.cache.GetIfPresent(k)
	if !ok || !before(now, a.end) {
		return nil
	}
	v.asked(k.server, ResultCached)
	return a
}

// before reports whether now is before end by each clock that both were read from. That of the wall may have been
// set back, and the monotonic one may have stood still while the machine slept.
func before(now, end time.Time) bool {
	return now.Before(end) && now.Round(0).Before(end.Round(0))
}
