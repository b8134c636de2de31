package identity

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/passgate/passgate/internal/authz"
)

// DefaultTemplate is the segment key where the configuration names none.
const DefaultTemplate = "{subscription}:{country}:{platform}"

// Template makes the segment key of X-Proxy-State. Users of one segment share one value, so that a cache
// can key on it.
type Template struct {
	literals []string // one more than fields
	fields   []func(*authz.Identity) string
}

var templateFields = map[string]func(*authz.Identity) string{
	"subscription": func(id *authz.Identity) string { return id.Subscription },
	"country":      func(id *authz.Identity) string { return id.Country },
	"platform":     func(id *authz.Identity) string { return id.Platform },
}

var templateField = regexp.MustCompile(`\{([^{}]*)\}`)

// ParseTemplate reads a template such as [DefaultTemplate]. Its error says what to write instead.
func ParseTemplate(text string) (*Template, error) {
	known := "{" + strings.Join(slices.Sorted(maps.Keys(templateFields)), "}, {") + "}"
	t := &Template{}
	rest := 0
	for _, at := range templateField.FindAllStringSubmatchIndex(text, -1) {
		field := templateFields[text[at[2]:at[3]]]
		if field == nil {
			return nil, fmt.Errorf("%q is not a field; the fields are %s", text[at[0]:at[1]], known)
		}
		t.literals = append(t.literals, text[rest:at[0]])
		t.fields = append(t.fields, field)
		rest = at[1]
	}
	t.literals = append(t.literals, text[rest:])
	if strings.ContainsAny(strings.Join(t.literals, ""), "{}") {
		return nil, fmt.Errorf("%q has a brace without its partner", text)
	}
	if len(t.fields) == 0 {
		return nil, errors.New("names no field, so all users would be one segment; the fields are " + known)
	}
	return t, nil
}

// value returns the header's value: base64 (standard, padded) of the template with its fields encoded.
func (t *Template) value(id *authz.Identity) string {
	var b strings.Builder
	for i, field := range t.fields {
		b.WriteString(t.literals[i])
		b.WriteString(escapeReserved(field(id)))
	}
	b.WriteString(t.literals[len(t.fields)])
	return base64.StdEncoding.EncodeToString([]byte(b.String()))
}
