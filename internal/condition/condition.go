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
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/env"
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
	secret  []string // headers that it does not see
	program cel.Program
	text    string
	names   []string // of what it looks at, for traces
}

var _ policy.Condition = (*Condition)(nil)

// variable is a name of the language.
type variable struct {
	name  string
	kind  *cel.Type
	value func(*variables) any
}

// known are all names but those of the path's parameters.
var known = []variable{
	{"request.method", cel.StringType, func(v *variables) any { return v.in.Method }},
	{"request.host", cel.StringType, func(v *variables) any { return v.in.Host }},
	{"request.path", cel.StringType, func(v *variables) any { return v.in.Path }},
	{"request.headers", cel.MapType(cel.StringType, cel.StringType), func(v *variables) any { return v.headerMap() }},
	{"principal.user_id", cel.StringType, func(v *variables) any { return v.principal.UserID }},
	{"principal.issuer", cel.StringType, func(v *variables) any { return v.principal.Issuer }},
	{"principal.roles", cel.ListType(cel.StringType), func(v *variables) any { return v.principal.Roles }},
	{"principal.permissions", cel.ListType(cel.StringType), func(v *variables) any { return v.principal.Permissions }},
	{"principal.claims", cel.MapType(cel.StringType, cel.DynType), func(v *variables) any { return v.claimMap() }},
	{"context", cel.MapType(cel.StringType, cel.StringType), func(v *variables) any { return v.in.Context }},
}

// base is the environment that all routes have in common.
var base = func() *cel.Env {
	// Without the library's matches, no spelling of an expression reaches it.
	library := env.NewLibrarySubset().AddExcludedFunctions(&env.Function{Name: "matches"})
	options := append(matchOptions(),
		cel.StdLib(cel.StdLibSubset(library)),
		cel.ParserExpressionSizeLimit(maxCharacters),
		cel.ParserRecursionLimit(maxNesting),
		cel.ASTValidators(cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals()),
	)
	for _, v := range known {
		options = append(options, cel.Variable(v.name, v.kind))
	}
	base, err := cel.NewCustomEnv(options...)
	if err != nil {
		panic(fmt.Sprintf("condition: %v", err))
	}
	return base
}()

// Compile compiles an expression for a route whose path has these parameters. The headers in credentials are hidden
// from it, as Authorization is. A failure is of type [*Error].
func Compile(text string, parameters []string, credentials ...string) (policy.Condition, error) {
	variables := make([]cel.EnvOption, len(parameters))
	for i, name := range parameters {
		variables[i] = cel.Variable("path."+name, cel.StringType)
	}
	extended, err := base.Extend(variables...)
	if err != nil {
		return nil, &Error{1, 1, "cannot be compiled: " + err.Error()}
	}
	ast, issues := extended.Compile(text)
	if issues.Err() != nil {
		return nil, fault(issues.Errors(), parameters)
	}
	if t := ast.OutputType(); !t.IsExactType(cel.BoolType) {
		return nil, &Error{1, 1, fmt.Sprintf("is of type %s, not bool; compare it, as in principal.claims.active == true", t)}
	}
	// Constant parts are computed once.
	program, err := extended.Program(ast, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(maxCost), cel.CostTracking(costs{}), cel.InterruptCheckFrequency(100))
	if err != nil {
		return nil, &Error{1, 1, "cannot be compiled: " + err.Error()}
	}
	c := &Condition{program: program, text: text, secret: secretHeaders(credentials)}
	for _, reference := range ast.NativeRep().ReferenceMap() {
		if isVariable(reference.Name) && !slices.Contains(c.names, reference.Name) {
			c.names = append(c.names, reference.Name)
		}
	}
	slices.Sort(c.names)
	return c, nil
}

// isVariable reports whether a name stands for a value, and not for a type.
func isVariable(name string) bool {
	return strings.HasPrefix(name, "path.") || slices.ContainsFunc(known, func(v variable) bool { return v.name == name })
}

// Holds implements [policy.Condition].
func (c *Condition) Holds(ctx context.Context, in *policy.Input) (ok bool, compared string, err error) {
	vars := newVariables(in, c.secret)
	value, _, err := c.program.ContextEval(ctx, vars)
	if err != nil {
		return false, "", fmt.Errorf("%s; %s", c.cause(err), vars.show(c.names))
	}
	if ok = value == types.True; !ok || in.Explain {
		compared = vars.show(c.names)
	}
	return ok, compared, nil
}

// causes are the beginnings of the library's errors and what is said in their place: in full they may quote the
// value of a header or a claim, which is for no log.
var causes = []struct{ begins, text string }{
	{"no such key", "a key is missing"},
	{"no such overload", "a value is of another type than the expression takes"},
	{"type conversion error", "a value cannot be converted"},
	{"invalid RFC 3339 timestamp", "a text is no timestamp (RFC 3339)"},
	{"unknown time zone", "a text is no time zone"},
	{"the text is too long to match", "a text is too long for matches"},
	{"index out of bounds", "an index is out of bounds"},
	{"integer overflow", "integer overflow"},
	{"unsigned integer overflow", "integer overflow"},
	{"timestamp overflow", "timestamp overflow"},
	{"duration overflow", "duration overflow"},
	{"division by zero", "division by zero"},
	{"modulus by zero", "modulus by zero"},
	{"operation cancelled: actual cost limit exceeded", "it costs more than an evaluation may"},
	{"operation interrupted", "it was interrupted: the request ended, or ran out of time"},
}

// cause returns why an evaluation failed.
func (c *Condition) cause(err error) string {
	text := err.Error()
	if key, ok := strings.CutPrefix(text, "no such key: "); ok && strings.Contains(c.text, key) {
		return text
	}
	for _, c := range causes {
		if strings.HasPrefix(text, c.begins) {
			return c.text
		}
	}
	return "it fails on a value"
}
