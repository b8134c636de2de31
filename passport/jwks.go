package passport

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/passgate/passgate/internal/keyset"
	"github.com/passgate/passgate/internal/remotekeys"
)

// refresh is how often the JWKS is fetched: for about that long a key is believed after passgate withdrew it. A kid
// that is not in the set has it fetched at once, but not more than once in 5 s.
const refresh = time.Minute

// fetched returns the keys of a JWKS that is fetched until ctx ends. What is fetched last stays in use while the
// server fails, for a day.
func fetched(ctx context.Context, o Options) (keys, error) {
	u, err := url.Parse(o.JWKSURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return nil, errors.New("JWKSURL is not a URL of http or https") // err would say the URL, which may hold a secret
	}
	set := remotekeys.New(remotekeys.Options{
		Name: "passgate", URL: o.JWKSURL, Algorithms: []keyset.Algorithm{keyset.EdDSA}, Refresh: refresh,
		Client: o.Client, Now: o.Now, Log: o.Log,
	})
	go set.Run(ctx)
	return set, nil
}

// FetchKeys fetches the keys of the JWKSURL once, now, for a program that would rather not start without them or has
// one passport to verify. Nobody else has to call it. With fixed keys there is nothing to do; the error wraps
// [ErrKeys].
func (v *Verifier) FetchKeys(ctx context.Context) error {
	if v.keys == nil {
		return ErrKeys
	}
	set, ok := v.keys.(*remotekeys.Set)
	if !ok {
		return nil
	}
	if err := set.Fetch(ctx); err != nil {
		return fmt.Errorf("%w: %w", ErrKeys, err)
	}
	return nil
}
