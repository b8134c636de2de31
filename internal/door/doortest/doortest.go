// Package doortest has what the tests of doors share: an engine with a few known tokens, and logs that are watched.
package doortest

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/identity"
	"github.com/passgate/passgate/internal/policy"
)

// verifier knows the token "a.reader.token" and no other.
type verifier struct{}

// Verify implements [authz.Verifier].
func (verifier) Verify(_ context.Context, c authz.Credential, _ time.Time) (*authz.Identity, error) {
	switch c.Value {
	case "a.reader.token":
		return &authz.Identity{Principal: authz.Principal{
			Source: "accounts", Issuer: "https://auth.example.com", UserID: "ann", Roles: []string{"member"}, Permissions: []string{"read"},
		}}, nil
	case "no.keys.here":
		return nil, errors.New("the key set is down")
	case "an.expired.token":
		return nil, &authz.ExpiredError{}
	}
	return nil, authz.ErrCredentialInvalid
}

// Engine returns an engine with these routes. It takes the token "a.reader.token", of ann, who may read; it cannot judge
// "no.keys.here", and "an.expired.token" has expired. The client headers in keep are spared from removal.
func Engine(t testing.TB, o policy.Options, keep ...string) *authz.Engine {
	t.Helper()
	p, err := policy.New(o)
	if err != nil {
		t.Fatal(err)
	}
	state, err := identity.ParseTemplate(identity.DefaultTemplate)
	if err != nil {
		t.Fatal(err)
	}
	return authz.New(authz.Options{
		Policy:    p,
		Verifiers: map[authz.Kind]authz.Verifier{authz.KindJWT: verifier{}},
		Stamper:   identity.New(state, keep),
		Now:       func() time.Time { return time.Unix(1_710_000_000, 0) },
		NewID:     func() string { return "new-id" },
	})
}

// DecideFunc is an [authz.Decider] that is a function.
type DecideFunc func(ctx context.Context, r *authz.Request) authz.Decision

// Decide implements [authz.Decider].
func (f DecideFunc) Decide(ctx context.Context, r *authz.Request) authz.Decision { return f(ctx, r) }

// PanicAtErrors returns a log that panics at an error, of which a door has one alone: a panic that it recovered from.
func PanicAtErrors() *slog.Logger { return slog.New(panicHandler{slog.DiscardHandler}) }

type panicHandler struct{ slog.Handler }

func (panicHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelError
}

func (panicHandler) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool { text += " " + a.String(); return true })
	panic(text)
}

// Log holds what is logged. It is safe for concurrent use.
type Log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements [io.Writer].
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String returns all that was logged.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
