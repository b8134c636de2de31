package policy

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/passgate/passgate/internal/braces"
)

// template is the path of a route: one entry for each segment, and whether any may follow.
type template struct {
	segments []segment
	rest     bool // ends in **: zero or more segments follow
}

// segment is a literal, or any one non-empty segment if it has a name.
type segment struct{ literal, name string }

// maxSegments bounds a template: each segment costs room in the tables of all routes.
const maxSegments = 64

var paramName = regexp.MustCompile(`^\{([A-Za-z_][A-Za-z0-9_]*)\}$`)

func parseTemplate(text string, rules pathRules) (template, error) {
	if text == "" {
		return template{}, errors.New(`is missing; write a path such as "/api/users/{id}", or "/**" for all`)
	}
	if strings.Contains(text, "%") {
		return template{}, errors.New("write the decoded character in place of a % escape: paths are compared decoded")
	}
	// A template is written decoded, so a blank in it is one that a request encodes.
	parts, why := rules.parse(strings.ReplaceAll(text, " ", "%20"))
	if why != "" {
		return template{}, fmt.Errorf("%.64q can match no request: %s", text, why)
	}
	if len(parts) > maxSegments {
		return template{}, fmt.Errorf("it has %d segments: %d at most are read; end it in ** for more", len(parts), maxSegments)
	}
	var t template
	for i, part := range parts {
		switch param := paramName.FindStringSubmatch(part); {
		case part == "**" && i == len(parts)-1:
			t.rest = true
		case part == "**":
			return template{}, errors.New("** stands at the end only; write {name} for one segment in the middle")
		case param != nil && t.index(param[1]) >= 0:
			return template{}, fmt.Errorf("{%s} stands twice; give each segment a name of its own", param[1])
		case param != nil:
			t.segments = append(t.segments, segment{name: param[1]})
		case strings.ContainsAny(part, "{}*"):
			return template{}, fmt.Errorf("%.64q is neither a literal segment nor {name}; a parameter is a whole segment of letters, digits and _", part)
		default:
			t.segments = append(t.segments, segment{literal: part})
		}
	}
	return t, nil
}

// names returns the names of the parameters, in order.
func (t template) names() []string {
	var names []string
	for _, s := range t.segments {
		if s.name != "" {
			names = append(names, s.name)
		}
	}
	return names
}

// parameters returns the parameters with the segments that a matching path has for them.
func (t template) parameters(path []string) []Parameter {
	var all []Parameter
	for i, s := range t.segments {
		if s.name != "" {
			all = append(all, Parameter{s.name, path[i]})
		}
	}
	return all
}

// index returns the place of a parameter, or -1.
func (t template) index(name string) int {
	return slices.IndexFunc(t.segments, func(s segment) bool { return s.name == name })
}

// match reports whether the segments of a request path fit.
func (t template) match(path []string) bool {
	if len(path) < len(t.segments) || len(path) > len(t.segments) && !t.rest {
		return false
	}
	for i, s := range t.segments {
		if s.name != "" {
			if path[i] == "" {
				return false
			}
		} else if path[i] != s.literal {
			return false
		}
	}
	return true
}

// parseService reads a service name, whose names in braces are parameters of the route's path.
func parseService(text string, path template) (braces.Text, error) {
	service, err := braces.Parse(text)
	for _, name := range service.Names() {
		if path.index(name) < 0 {
			return service, fmt.Errorf("{%s} is not a parameter of the route's path", name)
		}
	}
	return service, err
}
