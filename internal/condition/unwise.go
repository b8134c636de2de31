package condition

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"

	"github.com/passgate/passgate/internal/policy"
)

// Unwise returns what in an expression compiles and is hardly meant: a comparison that comes out the same for
// every request, which with a != lets all of them in. Issuers are the configured ones: their iss, by name and by
// iss; nil: others may be named, too. The headers in credentials are those of [Compile].
func Unwise(text string, public bool, issuers map[string]string, credentials ...string) []*Error {
	parsed, issues := base.Parse(text)
	if issues.Err() != nil {
		return nil
	}
	u := &unwise{public: public, issuers: issuers, secret: secretHeaders(credentials), info: parsed.NativeRep().SourceInfo()}
	ast.PreOrderVisit(parsed.NativeRep().Expr(), ast.NewExprVisitor(u.visit))
	if !u.named {
		u.found = append(u.found, &Error{1, 1, "looks at nothing of the request, so it is the same for all"})
	}
	return u.found
}

// maxUnwise bounds what is said of one expression.
const maxUnwise = 10

// escape is how a request, and not a path that was read, writes a character.
var escape = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)

type unwise struct {
	public  bool
	issuers map[string]string
	secret  []string
	info    *ast.SourceInfo
	named   bool // a variable was
	found   []*Error
}

func (u *unwise) add(at ast.Expr, format string, args ...any) {
	if len(u.found) == maxUnwise {
		return
	}
	place := u.info.GetStartLocation(at.ID())
	u.found = append(u.found, &Error{max(place.Line(), 1), max(place.Column()+1, 1), fmt.Sprintf(format, args...)})
}

func (u *unwise) visit(e ast.Expr) {
	switch e.Kind() {
	case ast.IdentKind:
		name := nameOf(e)
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
		case overloads.StartsWith:
			if e.AsCall().IsMemberFunction() && nameOf(e.AsCall().Target()) == "request.path" {
				u.compare("request.path", args[0])
			}
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
			switch host, why := policy.CanonicalHost(text); {
			case why != "":
				u.add(e, "no host is written so: %s", why)
			case host != text:
				u.add(e, "the host is in lower case, without port; write '%s'", host)
			}
		case "request.path":
			if !strings.HasPrefix(text, "/") {
				u.add(e, "every path begins with /")
			} else if escape.MatchString(text) {
				u.add(e, "the path is decoded: write the character itself")
			}
		case "principal.issuer":
			switch iss, known := u.issuers[text]; {
			case text == "" || u.issuers == nil || known && iss == text:
			case known:
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
	case slices.Contains(u.secret, lower):
		u.add(at, "%s carries credentials, and is never in request.headers", lower)
	case lower != name:
		u.add(at, "the names in request.headers are in lower case; write '%s'", lower)
	}
}

// nameOf returns the name of a variable as written with dots, or "".
func nameOf(e ast.Expr) string {
	switch e.Kind() {
	case ast.IdentKind:
		return strings.TrimPrefix(e.AsIdent(), ".")
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
