package identity

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/braces"
)

// DefaultTemplate is the segment key where the configuration names none.
const DefaultTemplate = "{subscription}:{country}:{platform}"

// Template makes the segment key of X-Proxy-State. Users of one segment share one value, so that a cache
// can key on it.
type Template struct{ text braces.Text }

var templateFields = map[string]func(*authz.Identity) string{
	"subscription": func(id *authz.Identity) string { return id.Subscription },
	"country":      func(id *authz.Identity) string { return id.Country },
	"platform":     func(id *authz.Identity) string { return id.Platform },
}

// ParseTemplate reads a template such as [DefaultTemplate]. Its error says what to write instead.
func ParseTemplate(s string) (*Template, error) {
	text, err := braces.Parse(s)
	if err != nil {
		return nil, err
	}
	known := "{" + strings.Join(slices.Sorted(maps.Keys(templateFields)), "}, {") + "}"
	for _, name := range text.Names() {
		if templateFields[name] == nil {
			return nil, fmt.Errorf("{%s} is not a field; the fields are %s", name, known)
		}
	}
	if len(text.Names()) == 0 {
		return nil, errors.New("names no field, so all users would be one segment; the fields are " + known)
	}
	return &Template{text}, nil
}

// value returns the header's value: base64 (standard, padded) of the template with its fields encoded.
func (t *Template) value(id *authz.Identity) string {
	return base64.StdEncoding.EncodeToString([]byte(t.text.Fill(func(name string) string {
		return escapeReserved(templateFields[name](id))
	})))
}
