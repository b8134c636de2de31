package passport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
)

type contextKey struct{}

// FromContext returns the passport of the request that ctx belongs to, as [Verifier.Middleware] or an interceptor
// verified it. There is none where they are not in use, or where [Options].Optional let a request pass without.
func FromContext(ctx context.Context) (Passport, bool) {
	p, ok := ctx.Value(contextKey{}).(Passport)
	return p, ok
}

// admit verifies the passport of a request, given every line of the two headers, and returns the context for who
// handles it.
func (v *Verifier) admit(ctx context.Context, values, signatures []string) (context.Context, error) {
	if len(values)+len(signatures) == 0 && v.optional {
		return ctx, nil
	}
	p, err := v.verifyLines(ctx, values, signatures)
	if err != nil {
		v.logRefusal(ctx, err)
		return nil, err
	}
	return context.WithValue(ctx, contextKey{}, p), nil
}

func (v *Verifier) verifyLines(ctx context.Context, values, signatures []string) (Passport, error) {
	switch {
	case len(values)+len(signatures) == 0:
		return Passport{}, fmt.Errorf("%w: there is none; passgate sends none where nobody had to sign in, see Options.Optional", ErrUnsigned)
	case len(signatures) == 0:
		return Passport{}, ErrUnsigned
	// Of two lines one reader takes the first and another the last.
	case len(values) != 1 || len(signatures) != 1:
		return Passport{}, fmt.Errorf("%w: there are %d lines of %s and %d of %s", ErrSignature, len(values), Header, len(signatures), SignatureHeader)
	}
	return v.Verify(ctx, values[0], signatures[0])
}

func (v *Verifier) logRefusal(ctx context.Context, err error) {
	if v.log == nil {
		return
	}
	level := slog.LevelInfo
	if errors.Is(err, ErrKeys) {
		level = slog.LevelWarn
	}
	v.log.Log(ctx, level, "passport refused", "error", err)
}
