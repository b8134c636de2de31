package policy

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/passgate/passgate/internal/authz"
)

// recorded is a condition that keeps what it was asked.
type recorded struct{ in *Input }

func (c *recorded) Holds(_ context.Context, in *Input) (bool, string, error) {
	c.in = in
	return true, "compared", nil
}

func TestConditionSeesTheRequestAsItWasMatched(t *testing.T) {
	c := &recorded{}
	var compiled string
	p := mustNew(t, Options{
		Routes: []Route{{Name: "r", Path: "/a/{user}/b/{id}/**", When: "the expression"}},
		Compile: func(when string, parameters []string) (Condition, error) {
			compiled = when
			if !slices.Equal(parameters, []string{"user", "id"}) {
				t.Errorf("compiled for parameters %q", parameters)
			}
			return c, nil
		},
	})
	if compiled != "the expression" {
		t.Errorf("compiled %q", compiled)
	}
	headers := []authz.Header{{Name: "X-A", Value: "1"}}
	r := &authz.Request{Method: "GET", Host: "API.Example.com.:443", Path: "/a/caf%C3%A9/b/7/c", Headers: headers, Context: map[string]string{"k": "v"}}
	for _, trace := range []*authz.Trace{nil, {}} {
		r.Trace = trace
		rule, _, why := p.Match(r)
		if rule.When == nil {
			t.Fatalf("the rule has no condition: %s", why)
		}
		principal := &authz.Principal{UserID: "ann"}
		if ok, compared, err := rule.When(t.Context(), principal); !ok || compared != "compared" || err != nil {
			t.Errorf("got %t, %q, %v", ok, compared, err)
		}
		want := &Input{
			Method: "GET", Host: "api.example.com", Path: "/a/café/b/7/c", Headers: headers, Context: map[string]string{"k": "v"},
			Parameters: []Parameter{{"user", "café"}, {"id", "7"}}, Principal: principal, Explain: trace != nil,
		}
		if diff := cmp.Diff(want, c.in); diff != "" {
			t.Errorf("asked about (-want +got):\n%s", diff)
		}
	}
}

func TestRouteWithoutAConditionHasNone(t *testing.T) {
	p := mustNew(t, Options{Routes: []Route{{Path: "/a"}}})
	if rule, _, _ := p.Match(&authz.Request{Method: "GET", Host: "h", Path: "/a"}); rule.When != nil {
		t.Error("the rule has a condition")
	}
}

func TestConditionThatDoesNotCompile(t *testing.T) {
	broken := errors.New("broken")
	_, err := New(Options{
		Routes:  []Route{{Path: "/ok"}, {Path: "/a", When: "x"}},
		Compile: func(string, []string) (Condition, error) { return nil, broken },
	})
	var fault *RouteError
	if !errors.As(err, &fault) || fault.Route != 1 || fault.Field != "when" || !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}
