package condition

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/policy"
)

// variables gives an expression its values, each made when it is asked for.
type variables struct {
	in      *policy.Input
	headers map[string]string
	claims  map[string]any
}

var _ cel.Activation = (*variables)(nil)

// Parent implements [cel.Activation].
func (v *variables) Parent() cel.Activation { return nil }

// ResolveName implements [cel.Activation].
func (v *variables) ResolveName(name string) (any, bool) {
	principal := v.in.Principal
	if principal == nil {
		principal = &authz.Principal{}
	}
	switch name {
	case "request.method":
		return v.in.Method, true
	case "request.host":
		return v.in.Host, true
	case "request.path":
		return v.in.Path, true
	case "request.headers":
		if v.headers == nil {
			v.headers = headerMap(v.in.Headers)
		}
		return v.headers, true
	case "principal.user_id":
		return principal.UserID, true
	case "principal.issuer":
		return principal.Issuer, true
	case "principal.roles":
		return principal.Roles, true
	case "principal.permissions":
		return principal.Permissions, true
	case "principal.claims":
		if v.claims == nil {
			v.claims = claimMap(principal.Claims)
		}
		return v.claims, true
	case "context":
		return v.in.Context, true
	}
	for _, p := range v.in.Parameters {
		if name == "path."+p.Name {
			return p.Value, true
		}
	}
	return nil, false
}

// secret are the headers that carry credentials.
var secret = []string{"authorization", "proxy-authorization", "cookie"}

// headerMap returns headers by their name in lower case, repeats joined as Envoy joins them. Which of Envoy's
// two encodings they came in makes no difference.
func headerMap(lines []authz.Header) map[string]string {
	all := make(map[string]string, len(lines))
	for _, h := range lines {
		name := strings.ToLower(h.Name)
		if slices.Contains(secret, name) {
			continue
		}
		if earlier, repeated := all[name]; repeated {
			h.Value = earlier + "," + h.Value
		}
		all[name] = h.Value
	}
	return all
}

// claimMap reads a JSON object. What its source has verified is one; anything else is as good as empty.
func claimMap(text []byte) map[string]any {
	claims := map[string]any{}
	if len(text) > 0 {
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		if d.Decode(&claims) != nil {
			return map[string]any{}
		}
	}
	for name, value := range claims {
		claims[name] = number(value)
	}
	return claims
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

// show returns variables as a text: the value of a string or list, but of a map its names alone.
func (v *variables) show(names []string) string {
	shown := make([]string, len(names))
	for i, name := range names {
		value, _ := v.ResolveName(name)
		switch value := value.(type) {
		case map[string]string:
			shown[i] = fmt.Sprintf("%s has %q", name, slices.Sorted(maps.Keys(value)))
		case map[string]any:
			shown[i] = fmt.Sprintf("%s has %q", name, slices.Sorted(maps.Keys(value)))
		default:
			shown[i] = fmt.Sprintf("%s is %q", name, value)
		}
	}
	return strings.Join(shown, ", ")
}
