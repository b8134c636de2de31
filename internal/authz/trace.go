package authz

import (
	"fmt"
	"strings"
)

// Trace collects the steps of one decision, for explain and for failed policy tests. A nil Trace
// collects nothing.
type Trace struct {
	Steps []Step
}

// Step is one thing that was looked at, and what came of it. Nothing in it is secret.
type Step struct {
	Name   string `json:"step"`   // what was looked at: request, path, host, route, access, token, issuer, signature, claims, key, server, credential, permissions, when, service, identity, log
	Result string `json:"result"` // a word or two: ok, refused, matched, no match, …
	Detail string `json:"detail,omitempty"`
}

// Add appends a step. Callers test for a nil Trace first where building the detail costs something.
func (t *Trace) Add(name, result, detail string) {
	if t != nil {
		t.Steps = append(t.Steps, Step{name, result, detail})
	}
}

// String returns the step as one line of a table.
func (s Step) String() string {
	return strings.TrimRight(fmt.Sprintf("%-12s %-13s %s", s.Name, s.Result, s.Detail), " ")
}
