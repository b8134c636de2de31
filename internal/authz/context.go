package authz

import "strings"

// RequiredPermission is the name under which trusted context, such as Envoy's context_extensions of a
// route, asks for permissions in addition to those of the policy; see [SplitPermissions].
const RequiredPermission = "required_permission"

// SplitPermissions reads a comma list of permissions as trusted context writes it. Blanks around a name
// and empty names do not count.
func SplitPermissions(list string) []string {
	var permissions []string
	for name := range strings.SplitSeq(list, ",") {
		if name = strings.Trim(name, " \t"); name != "" {
			permissions = append(permissions, name)
		}
	}
	return permissions
}
