// Package identity writes the headers by which an upstream knows the caller, and names the client's
// headers that an upstream could take for them (contract §5).
package identity

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/passport"
)

// The identity headers. They are passgate's alone: each is set or removed on every request.
const (
	UserIDHeader            = "X-User-ID"
	UserRoleHeader          = "X-User-Role"
	UserPermissionsHeader   = "X-User-Permissions"
	ProxyStateHeader        = "X-Proxy-State"
	PassportSignatureHeader = passport.SignatureHeader
)

var names = []string{UserIDHeader, UserRoleHeader, UserPermissionsHeader, passport.Header, ProxyStateHeader, PassportSignatureHeader}

// Names returns the names of all identity headers.
func Names() []string { return slices.Clone(names) }

// maxBytes bounds the identity headers together, names included. Envoy's limit of 60 KiB is for these and
// the client's own.
const maxBytes = 12 << 10

// Stamper writes identity headers. It is immutable and safe for concurrent use; make one with [New].
type Stamper struct {
	state *Template
	keep  []string // lower case
	sign  func(passport string) (string, error)
}

var _ authz.Stamper = (*Stamper)(nil)

// New returns a stamper that writes X-Proxy-State by a template and spares the client headers in keep
// from removal, each of which [CheckKeep] accepts.
func New(state *Template, keep []string) *Stamper {
	return &Stamper{state: state, keep: slices.Clone(keep)}
}

// Signing returns a stamper that does as s does and signs passports: sign gets the value of the header, and returns
// that of [PassportSignatureHeader].
func (s *Stamper) Signing(sign func(passport string) (string, error)) *Stamper {
	return &Stamper{state: s.state, keep: s.keep, sign: sign}
}

// anonymous is the stamp of a request without a principal.
var anonymous = authz.Stamp{Unset: names}

// Stamp implements [authz.Stamper].
func (s *Stamper) Stamp(id *authz.Identity, now time.Time) (*authz.Stamp, error) {
	if id == nil {
		return &anonymous, nil
	}
	p := passport.Passport{
		UserID: id.UserID, Email: id.Email, Subscription: id.Subscription, Country: id.Country, Platform: id.Platform,
		TokenStatus: passport.StatusValid, IssuedAt: now.Unix(),
	}
	value, signature := p.Encode(), ""
	if s.sign != nil {
		var err error
		if signature, err = s.sign(value); err != nil {
			return nil, fmt.Errorf("sign the passport: %w", err)
		}
	}
	stamp := &authz.Stamp{}
	size := 0
	for _, h := range []authz.Header{
		{Name: UserIDHeader, Value: encode(id.UserID)},
		{Name: UserRoleHeader, Value: encodeList(id.Roles)},
		{Name: UserPermissionsHeader, Value: encodeList(id.Permissions)},
		{Name: passport.Header, Value: value},
		{Name: ProxyStateHeader, Value: s.state.value(id)},
		{Name: PassportSignatureHeader, Value: signature},
	} {
		// An empty value would reach the upstream as an empty header; it says less than none.
		if h.Value == "" {
			stamp.Unset = append(stamp.Unset, h.Name)
			continue
		}
		stamp.Set = append(stamp.Set, h)
		size += len(h.Name) + len(h.Value)
	}
	if size > maxBytes {
		return nil, fmt.Errorf("%w: %d bytes, %d at most", authz.ErrStampTooLarge, size, maxBytes)
	}
	return stamp, nil
}

// Spoofed implements [authz.Stamper].
func (s *Stamper) Spoofed(dst []string, r *authz.Request) []string {
	if r.HeadersFiltered {
		dst = append(dst, unseen...)
	}
	for i := range r.Headers {
		name := r.Headers[i].Name
		if isSpoof(name) && !s.keeps(name) {
			dst = append(dst, name)
		}
	}
	return dst
}

func (s *Stamper) keeps(name string) bool {
	return slices.ContainsFunc(s.keep, func(k string) bool { return strings.EqualFold(k, name) })
}
