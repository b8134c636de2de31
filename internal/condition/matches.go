package condition

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// A match takes steps: the bytes of the text times the instructions of the pattern, at worst. It cannot be
// interrupted, and the library's own function charges for the bytes alone.
const (
	maxSteps        = 1 << 18 // a few milliseconds
	stepsPerCost    = 20
	maxInstructions = 1000
)

// matches is the function in place of the library's. An expression cannot name it.
const matches = "@matches"

type pattern struct {
	*regexp.Regexp
	instructions int
}

func (p *pattern) steps(text string) int { return len(text) * p.instructions }

// patterns holds those of all expressions, by their text.
var patterns sync.Map

// matchOptions put text.matches('pattern'), and matches(text, 'pattern'), in place of the library's.
func matchOptions() []cel.EnvOption {
	return []cel.EnvOption{
		cel.Macros(
			cel.ReceiverMacro("matches", 1, func(f cel.MacroExprFactory, text ast.Expr, args []ast.Expr) (ast.Expr, *common.Error) {
				return expandMatches(f, text, args[0])
			}),
			cel.GlobalMacro("matches", 2, func(f cel.MacroExprFactory, _ ast.Expr, args []ast.Expr) (ast.Expr, *common.Error) {
				return expandMatches(f, args[0], args[1])
			}),
		),
		cel.Function(matches, cel.Overload("matches_bounded", []*cel.Type{cel.StringType, cel.StringType}, cel.BoolType, cel.BinaryBinding(
			func(text, expression ref.Val) ref.Val {
				s, _ := text.Value().(string)
				p, ok := patternOf(expression)
				if !ok || p.steps(s) > maxSteps {
					return types.NewErr("the text is too long to match")
				}
				return types.Bool(p.MatchString(s))
			}))),
	}
}

func patternOf(expression ref.Val) (*pattern, bool) {
	text, _ := expression.Value().(string)
	p, _ := patterns.Load(text)
	known, ok := p.(*pattern)
	return known, ok
}

// expandMatches compiles the pattern of a match.
func expandMatches(f cel.MacroExprFactory, text, expression ast.Expr) (ast.Expr, *common.Error) {
	literal := ""
	if expression.Kind() == ast.LiteralKind {
		literal, _ = expression.AsLiteral().Value().(string)
	}
	if literal == "" {
		return nil, f.NewError(expression.ID(), "the pattern of matches is a text in quotes, and nothing else")
	}
	compiled, err := regexp.Compile(literal)
	if err != nil {
		return nil, f.NewError(expression.ID(), "this is no regular expression: "+strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	n := instructions(literal)
	if n > maxInstructions {
		return nil, f.NewError(expression.ID(), fmt.Sprintf("the pattern has %d instructions: %d at most; repeats such as {1,255} count for each", n, maxInstructions))
	}
	patterns.Store(literal, &pattern{compiled, n})
	return f.NewCall(matches, text, expression), nil
}

// instructions returns the size of a regular expression that compiles.
func instructions(expression string) int {
	tree, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		return maxInstructions + 1
	}
	program, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return maxInstructions + 1
	}
	return len(program.Inst)
}

// costs charges a match for what it does.
type costs struct{}

// CallCost implements the library's estimator; nil is its own cost.
func (costs) CallCost(function, _ string, args []ref.Val, _ ref.Val) *uint64 {
	if function != matches {
		return nil
	}
	cost := uint64(1)
	if p, ok := patternOf(args[1]); ok {
		text, _ := args[0].Value().(string)
		cost += uint64(p.steps(text) / stepsPerCost)
	}
	return &cost
}
