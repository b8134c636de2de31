// Package condition compiles the `when` of a route, an expression in CEL (https://cel.dev), for package policy.
//
// An expression is of type bool, over these names:
//
//	request.method, request.host, request.path  string: as matched, host in lower case, path decoded
//	request.headers                             map(string, string): names in lower case, repeats joined by ","
//	path.NAME                                   string: what stands for {NAME} in the route's path
//	principal.user_id, principal.issuer         string, "" without a principal
//	principal.roles, principal.permissions      list(string)
//	principal.claims                            map(string, dyn): what the credential itself says, verified
//	context                                     map(string, string): Envoy's context_extensions of the route
//
// Headers that carry credentials (authorization, proxy-authorization, cookie) are not in request.headers, as
// what an expression says when it fails is logged. There is no clock, no network and no state: the same
// request has the same answer.
package condition

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"

	"github.com/passgate/passgate/internal/policy"
)

// maxCost bounds one evaluation, in CEL's units of about an operation each. It is a few milliseconds: lists
// of a thousand roles can be searched, but not each for each.
const maxCost = 20_000

// Bounds of an expression as written.
const (
	maxCharacters = 4096
	maxNesting    = 50
)

// Error is a fault of an expression.
type Error struct {
	Line, Column int // in the expression, in characters, from 1
	Text         string
}

func (e *Error) Error() string { return e.Text }

// Condition is a compiled expression.
type Condition struct {
	program cel.Program
	names   []string // of what it looks at, for traces
}

var _ policy.Condition = (*Condition)(nil)

// base is the environment that all routes have in common.
var base = mustEnv(cel.NewEnv(
	cel.Variable("request.method", cel.StringType),
	cel.Variable("request.host", cel.StringType),
	cel.Variable("request.path", cel.StringType),
	cel.Variable("request.headers", cel.MapType(cel.StringType, cel.StringType)),
	cel.Variable("principal.user_id", cel.StringType),
	cel.Variable("principal.issuer", cel.StringType),
	cel.Variable("principal.roles", cel.ListType(cel.StringType)),
	cel.Variable("principal.permissions", cel.ListType(cel.StringType)),
	cel.Variable("principal.claims", cel.MapType(cel.StringType, cel.DynType)),
	cel.Variable("context", cel.MapType(cel.StringType, cel.StringType)),
	cel.ParserExpressionSizeLimit(maxCharacters),
	cel.ParserRecursionLimit(maxNesting),
	cel.ASTValidators(cel.ValidateRegexLiterals(), cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals()),
))

func mustEnv(env *cel.Env, err error) *cel.Env {
	if err != nil {
		panic(fmt.Sprintf("condition: %v", err))
	}
	return env
}

// Compile compiles an expression for a route whose path has these parameters. A failure is of type [*Error].
func Compile(text string, parameters []string) (policy.Condition, error) {
	variables := make([]cel.EnvOption, len(parameters))
	for i, name := range parameters {
		variables[i] = cel.Variable("path."+name, cel.StringType)
	}
	env, err := base.Extend(variables...)
	if err != nil {
		return nil, &Error{1, 1, "cannot be compiled: " + err.Error()}
	}
	ast, issues := env.Compile(text)
	if issues.Err() != nil {
		return nil, fault(issues.Errors(), parameters)
	}
	if t := ast.OutputType(); !t.IsExactType(cel.BoolType) {
		return nil, &Error{1, 1, fmt.Sprintf("is of type %s, not bool; compare it, as in principal.claims.active == true", t)}
	}
	// Constant parts, regular expressions among them, are computed once.
	program, err := env.Program(ast, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(maxCost), cel.InterruptCheckFrequency(100))
	if err != nil {
		return nil, &Error{1, 1, "cannot be compiled: " + err.Error()}
	}
	c := &Condition{program: program}
	for _, reference := range ast.NativeRep().ReferenceMap() {
		if reference.Name != "" && !slices.Contains(c.names, reference.Name) {
			c.names = append(c.names, reference.Name)
		}
	}
	slices.Sort(c.names)
	return c, nil
}

// fields are what stands behind the first word of a name.
var fields = map[string]string{
	"request":   "method, host, path and headers",
	"principal": "user_id, roles, permissions, issuer and claims",
}

// The library's errors that are put in other words.
var (
	unexpected = regexp.MustCompile(`^Syntax error: (?:mismatched input|extraneous input|no viable alternative at input|token recognition error at:) ('.*?')(?: expecting .*)?$`)
	overload   = regexp.MustCompile(`^found no matching overload for '(.*)' applied to '(.*)'$`)
	undeclared = regexp.MustCompile(`^undeclared reference to '([^']*)'`)
)

// fault returns the first of the library's errors, in words for whoever writes a route.
func fault(list []*cel.Error, parameters []string) *Error {
	first := list[0]
	e := &Error{max(first.Location.Line(), 1), max(first.Location.Column()+1, 1), firstLine(first.Message)}
	if m := unexpected.FindStringSubmatch(e.Text); m != nil {
		e.Text = m[1] + " is not expected here"
		if m[1] == "'<EOF>'" {
			e.Text = "something is missing here: the expression ends"
		}
	}
	if m := overload.FindStringSubmatch(e.Text); m != nil {
		e.Text = fmt.Sprintf("%s cannot be applied to %s", strings.Trim(m[1], "_@"), m[2])
	}
	m := undeclared.FindStringSubmatch(e.Text)
	if m == nil {
		return e
	}
	name := m[1]
	e.Column -= max(strings.LastIndexByte(name, '.'), 0) // the library's place is that of the last dot
	name, _, _ = strings.Cut(name, ".")
	switch {
	case fields[name] != "":
		e.Text = fmt.Sprintf("%s has no such field; it has %s", name, fields[name])
	case name == "path" && len(parameters) == 0:
		e.Text = "the route's path has no parameters; name a segment, as in /orders/{id}, to compare it"
	case name == "path":
		e.Text = "the route's path has no such parameter; it has " + strings.Join(parameters, ", ")
	default:
		e.Text = fmt.Sprintf("%q is not known here; there are request, path, principal and context", name)
	}
	return e
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}

// Holds implements [policy.Condition].
func (c *Condition) Holds(ctx context.Context, in *policy.Input) (ok bool, compared string, err error) {
	vars := &variables{in: in}
	value, _, err := c.program.ContextEval(ctx, vars)
	if err != nil {
		return false, "", errors.New(firstLine(err.Error()))
	}
	if ok = value == types.True; !ok || in.Explain {
		compared = vars.show(c.names)
	}
	return ok, compared, nil
}
