package authz

import "strings"

// RequiredPermission is the name in [Request.Context] that asks for permissions in addition to those of the
// route: a comma list, as Envoy's context_extensions of a route hold it.
const RequiredPermission = "required_permission"

// Required returns the permissions that the context asks for. Blanks around a name and empty names do not
// count.
func (r *Request) Required() []string {
	var permissions []string
	for name := range strings.SplitSeq(r.Context[RequiredPermission], ",") {
		if name = strings.Trim(name, " \t"); name != "" {
			permissions = append(permissions, name)
		}
	}
	return permissions
}
