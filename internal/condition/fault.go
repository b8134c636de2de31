package condition

import (
	"fmt"
	"regexp"
	"strings"

	"cel.dev/cel-go/cel"
)

// The library's errors that are put in other words.
var (
	unexpected = regexp.MustCompile(`^Syntax error: (?:mismatched input|extraneous input|no viable alternative at input|token recognition error at:) '(.*?)'?(?: expecting .*)?$`)
	missing    = regexp.MustCompile(`^Syntax error: missing ('.*?') at `)
	overload   = regexp.MustCompile(`^found no matching overload for '(.*)' applied to '(.*)'$`)
	undeclared = regexp.MustCompile(`^undeclared reference to '([^']*)'`)
)

// instead are mends of what other languages write.
var instead = map[string]string{
	"&": "; write &&", "and": "; write &&", "|": "; write ||", "or": "; write ||", "not": "; write !", "=": "; write ==", "<>": "; write !=",
	"~": "; write text.matches('expression')", "=~": "; write text.matches('expression')", ";": "; take it out",
	"get": "; a text stands in quotes", "post": "; a text stands in quotes", "nil": "; write null", "none": "; write null",
}

// fault returns the first of the library's errors, in words for whoever writes a route.
func fault(list []*cel.Error, parameters []string) *Error {
	first := list[0]
	e := &Error{max(first.Location.Line(), 1), max(first.Location.Column()+1, 1), firstLine(first.Message)}
	if m := unexpected.FindStringSubmatch(e.Text); m != nil {
		token := strings.TrimSpace(m[1])
		switch {
		case token == "<EOF>":
			e.Text = "something is missing here: the expression ends"
		case token != "" && strings.Contains("'\"", token[:1]):
			e.Text = "a quote that opens here is not closed"
		default:
			e.Text = fmt.Sprintf("'%s' is not expected here%s", token, instead[strings.ToLower(token)])
		}
	}
	if m := missing.FindStringSubmatch(e.Text); m != nil {
		e.Text = m[1] + " is missing here"
	}
	if m := overload.FindStringSubmatch(e.Text); m != nil {
		e.Text = fmt.Sprintf("%s cannot be applied to %s", strings.Trim(m[1], "_@"), m[2])
		if strings.Contains(m[2], "list(string)") {
			e.Text += "; a list is searched as in 'admin' in principal.roles"
		}
	}
	m := undeclared.FindStringSubmatch(e.Text)
	if m == nil {
		return e
	}
	name := strings.TrimPrefix(m[1], ".")
	e.Column -= max(strings.LastIndexByte(name, '.'), 0) // the library's place is that of the last dot
	name, _, _ = strings.Cut(name, ".")
	switch {
	case fieldsOf(name) != "":
		e.Text = fmt.Sprintf("%s has no such field; it has %s", name, fieldsOf(name))
	case name == "path" && len(parameters) == 0:
		e.Text = "the route's path has no parameters; name a segment, as in /orders/{id}, to compare it"
	case name == "path":
		e.Text = "the route's path has no such parameter; it has " + strings.Join(parameters, ", ")
	default:
		e.Text = fmt.Sprintf("%q is not known here; there are request, path, principal and context%s", name, instead[strings.ToLower(name)])
	}
	return e
}

// fieldsOf returns what stands behind the first word of a name, as a text.
func fieldsOf(word string) string {
	var fields []string
	for _, v := range known {
		if field, ok := strings.CutPrefix(v.name, word+"."); ok {
			fields = append(fields, field)
		}
	}
	if len(fields) == 0 {
		return ""
	}
	last := len(fields) - 1
	return strings.Join(fields[:last], ", ") + " and " + fields[last]
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}
