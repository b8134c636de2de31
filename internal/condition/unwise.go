package condition

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"

	"github.com/passgate/passgate/internal/policy"
)

// Unwise returns what in an expression compiles and is hardly meant: a comparison that comes out the same for
// every request, which with a != lets all of them in. Issuers are the configured ones: iss by name.
func Unwise(text string, public bool, issuers map[string]string) []*Error {
	parsed, issues := base.Parse(text)
	if issues.Err() != nil {
		return nil
	}
	u := &unwise{public: public, issuers: issuers, info: parsed.NativeRep().SourceInfo()}
	ast.PreOrderVisit(parsed.NativeRep().Expr(), ast.NewExprVisitor(u.visit))
	if !u.named {
		u.found = append(u.found, &Error{1, 1, "looks at nothing of the request, so it is the same for all"})
	}
	return u.found
}

type unwise struct {
	public  bool
	issuers map[string]string
	info    *ast.SourceInfo
	named   bool // a variable was
	found   []*Error
}

func (u *unwise) add(at ast.Expr, format string, args ...any) {
	place := u.info.GetStartLocation(at.ID())
	u.found = append(u.found, &Error{max(place.Line(), 1), max(place.Column()+1, 1), fmt.Sprintf(format, args...)})
}

func (u *unwise) visit(e ast.Expr) {
	switch e.Kind() {
	case ast.IdentKind:
		name := e.AsIdent()
		u.named = u.named || name == "path" || name == "context" || fieldsOf(name) != ""
		if name == "principal" && u.public {
			u.add(e, "a public route reads no credential, so principal is empty; use access: optional")
		}
	case ast.SelectKind:
		if s := e.AsSelect(); nameOf(s.Operand()) == "request.headers" {
			u.header(e, s.FieldName())
		}
	case ast.CallKind:
		args := e.AsCall().Args()
		switch e.AsCall().FunctionName() {
		case operators.Equals, operators.NotEquals:
			u.compare(nameOf(args[0]), args[1])
			u.compare(nameOf(args[1]), args[0])
		case operators.In:
			u.compare(nameOf(args[0]), args[1])
			if nameOf(args[1]) == "request.headers" {
				u.headers(args[0])
			}
		case operators.Index, operators.OptIndex:
			if nameOf(args[0]) == "request.headers" {
				u.headers(args[1])
			}
		}
	}
}

// compare judges what a variable is compared with: a text, or those of a list.
func (u *unwise) compare(variable string, with ast.Expr) {
	for _, e := range texts(with) {
		text := e.AsLiteral().Value().(string)
		switch variable {
		case "request.method":
			if upper := strings.ToUpper(text); upper != text {
				u.add(e, "no method is written so; write '%s'", upper)
			}
		case "request.host":
			if host, why := policy.CanonicalHost(text); why == "" && host != text {
				u.add(e, "the host is in lower case, without port; write '%s'", host)
			}
		case "request.path":
			if !strings.HasPrefix(text, "/") {
				u.add(e, "every path begins with /")
			}
		case "principal.issuer":
			switch iss, isName := u.issuers[text]; {
			case text == "" || slices.Contains(slices.Collect(maps.Values(u.issuers)), text):
			case isName:
				u.add(e, "principal.issuer is the token's iss, not the issuer's name; write '%s'", iss)
			default:
				u.add(e, "no issuer has this iss")
			}
		}
	}
}

func (u *unwise) headers(names ast.Expr) {
	for _, e := range texts(names) {
		u.header(e, e.AsLiteral().Value().(string))
	}
}

func (u *unwise) header(at ast.Expr, name string) {
	switch lower := strings.ToLower(name); {
	case slices.Contains(secret, lower):
		u.add(at, "%s carries credentials, and is never in request.headers", lower)
	case lower != name:
		u.add(at, "the names in request.headers are in lower case; write '%s'", lower)
	}
}

// nameOf returns the name of a variable as written with dots, or "".
func nameOf(e ast.Expr) string {
	switch e.Kind() {
	case ast.IdentKind:
		return e.AsIdent()
	case ast.SelectKind:
		return nameOf(e.AsSelect().Operand()) + "." + e.AsSelect().FieldName()
	}
	return ""
}

// texts returns an expression that is a text, or those of a list.
func texts(e ast.Expr) []ast.Expr {
	switch e.Kind() {
	case ast.LiteralKind:
		if _, ok := e.AsLiteral().Value().(string); ok {
			return []ast.Expr{e}
		}
	case ast.ListKind:
		var all []ast.Expr
		for _, element := range e.AsList().Elements() {
			all = append(all, texts(element)...)
		}
		return all
	}
	return nil
}
