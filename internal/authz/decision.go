package authz

// Decision is the answer to a request. Its zero value refuses, and only [Engine.Decide] makes one that
// does not.
type Decision struct {
	granted bool // set in Engine.grant alone

	Reason    Reason
	RequestID string
	Rule      Rule
	Identity  *Identity // nil without a principal; set on a denial too where one was proven
	Stamp     *Stamp    // what the upstream is told; set only when allowed
	Remove    []string  // client headers that must not reach the upstream; set only when allowed

	Required []string // permissions asked for, the route's first
	// Cause says exactly what failed, for the log and never for the client. It holds no secret.
	Cause string
}

// Held returns the permissions of the principal, none without one.
func (d *Decision) Held() []string {
	if d.Identity == nil {
		return nil
	}
	return d.Identity.Permissions
}

// Allowed reports whether the request may go to its upstream.
func (d *Decision) Allowed() bool { return d.granted }
