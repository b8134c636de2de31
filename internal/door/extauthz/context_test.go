package extauthz

import (
	"context"
	"maps"
	"testing"

	"github.com/passgate/passgate/internal/door/doortest"
	"github.com/passgate/passgate/internal/policy"
)

// tier is a condition that holds where Envoy's route says {tier: gold}.
type tier struct{ got map[string]string }

func (c *tier) Holds(_ context.Context, in *policy.Input) (bool, string, error) {
	c.got = in.Context
	return in.Context["tier"] == "gold", "", nil
}

func TestContextExtensionsReachTheCondition(t *testing.T) {
	c := &tier{}
	o := policy.Options{
		Routes:  []policy.Route{{Path: "/a", When: "context.tier == 'gold'"}},
		Compile: func(string, []string) (policy.Condition, error) { return c, nil },
	}
	s, _ := newServer(t, doortest.Engine(t, o))
	for _, e := range encodings {
		for said, want := range map[string]int32{"gold": 0, "silver": 7, "": 7} {
			// What a client sends under that name is not what Envoy's route says.
			in := checkRequest(e, "GET", "/a", reader, "tier: gold", "context: tier=gold")
			if said != "" {
				in.Attributes.ContextExtensions = map[string]string{"tier": said, "required_permission": "read"}
			}
			if got := check(t, s, in).GetStatus().GetCode(); got != want {
				t.Errorf("%s: %q: status code %d, want %d", e.name, said, got, want)
			}
			if !maps.Equal(c.got, in.Attributes.ContextExtensions) {
				t.Errorf("%s: the condition saw %v", e.name, c.got)
			}
		}
	}
}
