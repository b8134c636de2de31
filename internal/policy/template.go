package policy

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// template is the path of a route: one entry for each segment, and whether any may follow.
type template struct {
	segments []segment
	rest     bool // ends in **: zero or more segments follow
}

// segment is a literal, or any one non-empty segment if it has a name.
type segment struct{ literal, name string }

var paramName = regexp.MustCompile(`^\{([A-Za-z_][A-Za-z0-9_]*)\}$`)

func parseTemplate(text string, rules pathRules) (template, error) {
	if text == "" {
		return template{}, errors.New(`is missing; write a path such as "/api/users/{id}", or "/**" for all`)
	}
	if strings.Contains(text, "%") {
		return template{}, errors.New("write the decoded character in place of a % escape: paths are compared decoded")
	}
	parts, why := rules.parse(text)
	if why != "" {
		return template{}, fmt.Errorf("%q can match no request: %s", text, why)
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
			return template{}, fmt.Errorf("%q is neither a literal segment nor {name}; a parameter is a whole segment of letters, digits and _", part)
		default:
			t.segments = append(t.segments, segment{literal: part})
		}
	}
	return t, nil
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

// serviceTemplate is a service name whose odd parts are replaced by segments of the path.
type serviceTemplate struct {
	literals []string // one more than places
	places   []int    // indexes of segments
}

var serviceParam = regexp.MustCompile(`\{([^{}]*)\}`)

func parseService(text string, path template) (serviceTemplate, error) {
	var s serviceTemplate
	rest := 0
	for _, at := range serviceParam.FindAllStringSubmatchIndex(text, -1) {
		name := text[at[2]:at[3]]
		place := path.index(name)
		if name == "" || place < 0 {
			return s, fmt.Errorf("{%s} is not a parameter of the route's path", name)
		}
		s.literals = append(s.literals, text[rest:at[0]])
		s.places = append(s.places, place)
		rest = at[1]
	}
	s.literals = append(s.literals, text[rest:])
	if strings.ContainsAny(strings.Join(s.literals, ""), "{}") {
		return s, fmt.Errorf("%q has a brace without its partner", text)
	}
	return s, nil
}

func (s serviceTemplate) expand(path []string) string {
	if len(s.places) == 0 {
		return s.literals[0]
	}
	var b strings.Builder
	for i, place := range s.places {
		b.WriteString(s.literals[i])
		b.WriteString(path[place])
	}
	b.WriteString(s.literals[len(s.places)])
	return b.String()
}
