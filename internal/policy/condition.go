package policy

import (
	"context"

	"github.com/passgate/passgate/internal/authz"
)

// Condition is the `when` of a route, compiled. Where it does not hold, compared says what it looked at, for
// the log; an error refuses the request too. Neither text holds a secret. Implementations are safe for
// concurrent use.
type Condition interface {
	Holds(ctx context.Context, in *Input) (ok bool, compared string, err error)
}

// Input is what a condition looks at: the request as it was matched, and who was proven.
type Input struct {
	Method     string
	Host       string            // lower case, without port
	Path       string            // decoded
	Headers    []authz.Header    // as received: names in any case, repeats apart
	Context    map[string]string // what Envoy's route says; nil without
	Parameters []Parameter       // of the route's path
	Principal  *authz.Principal  // nil without a credential

	Explain bool // compared is wanted even where the condition holds
}

// Parameter is a {name} of a route's path, with the segment that stands for it.
type Parameter struct{ Name, Value string }
