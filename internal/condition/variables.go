package condition

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/policy"
)

// variables gives an expression its values, each made when it is asked for.
type variables struct {
	in        *policy.Input
	principal *authz.Principal // not nil
	secret    []string         // headers that carry credentials, in lower case
	headers   map[string]string
	claims    map[string]any
}

var _ cel.Activation = (*variables)(nil)

func newVariables(in *policy.Input, secret []string) *variables {
	v := &variables{in: in, principal: in.Principal, secret: secret}
	if v.principal == nil {
		v.principal = &authz.Principal{}
	}
	return v
}

// Parent implements [cel.Activation].
func (v *variables) Parent() cel.Activation { return nil }

// ResolveName implements [cel.Activation].
func (v *variables) ResolveName(name string) (any, bool) {
	for i := range known {
		if known[i].name == name {
			return known[i].value(v), true
		}
	}
	for _, p := range v.in.Parameters {
		if name == "path."+p.Name {
			return p.Value, true
		}
	}
	return nil, false
}

// secretHeaders returns the headers that carry credentials, in lower case: those that do everywhere, and more.
func secretHeaders(more []string) []string {
	all := []string{"authorization", "proxy-authorization", "cookie"}
	for _, name := range more {
		all = append(all, strings.ToLower(name))
	}
	return all
}

// headerMap returns the headers by their name in lower case, repeats joined as Envoy joins them. Which of
// Envoy's two encodings they came in makes no difference.
func (v *variables) headerMap() map[string]string {
	if v.headers != nil {
		return v.headers
	}
	lines := make(map[string][]string, len(v.in.Headers))
	for _, h := range v.in.Headers {
		if name := strings.ToLower(h.Name); !slices.Contains(v.secret, name) {
			lines[name] = append(lines[name], h.Value)
		}
	}
	v.headers = make(map[string]string, len(lines))
	for name, values := range lines {
		v.headers[name] = strings.Join(values, ",")
	}
	return v.headers
}

// claimMap returns the claims, a JSON object. What its source has verified is one; anything else is as good as
// empty.
func (v *variables) claimMap() map[string]any {
	if v.claims == nil {
		d := json.NewDecoder(bytes.NewReader(v.principal.Claims))
		d.UseNumber()
		if d.Decode(&v.claims) != nil || v.claims == nil {
			v.claims = map[string]any{}
		}
		number(v.claims)
	}
	return v.claims
}

// number turns the numbers in a value into CEL's int where they are one, else double: an id of many digits
// is compared whole.
func number(value any) any {
	switch value := value.(type) {
	case json.Number:
		if n, err := value.Int64(); err == nil {
			return n
		}
		f, _ := value.Float64()
		return f
	case []any:
		for i := range value {
			value[i] = number(value[i])
		}
	case map[string]any:
		for name := range value {
			value[name] = number(value[name])
		}
	}
	return value
}

// maxShown bounds what is shown of a variable, in bytes: a token may hold a thousand roles.
const maxShown = 1 << 10

// show returns variables as a text: the value of a string or list, but of headers and context the names alone,
// and of claims the names and types.
func (v *variables) show(names []string) string {
	shown := make([]string, len(names))
	for i, name := range names {
		value, _ := v.ResolveName(name)
		switch value := value.(type) {
		case map[string]string:
			shown[i] = fmt.Sprintf("%s has %q", name, slices.Sorted(maps.Keys(value)))
		case map[string]any:
			claims := slices.Sorted(maps.Keys(value))
			for i, claim := range claims {
				claims[i] = fmt.Sprintf("%q: %s", claim, typeOf(value[claim]))
			}
			shown[i] = fmt.Sprintf("%s has %v", name, claims)
		default:
			shown[i] = fmt.Sprintf("%s is %q", name, value)
		}
		if len(shown[i]) > maxShown {
			shown[i] = strings.ToValidUTF8(shown[i][:maxShown], "") + "…"
		}
	}
	return strings.Join(shown, ", ")
}

// typeOf returns the type of a value as expressions name it.
func typeOf(value any) string {
	if value == nil {
		return "null"
	}
	return types.DefaultTypeAdapter.NativeToValue(value).Type().TypeName()
}
