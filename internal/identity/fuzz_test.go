package identity

import (
	"bufio"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/passport"
)

// received returns the headers that a server reads where they are written as they are, as Envoy does: Go's own
// writer would take out a newline.
func received(t *testing.T, headers []authz.Header) http.Header {
	var text strings.Builder
	text.WriteString("GET / HTTP/1.1\r\nHost: h\r\n")
	for _, h := range headers {
		text.WriteString(h.Name + ": " + h.Value + "\r\n")
	}
	text.WriteString("\r\n")
	in := bufio.NewReaderSize(strings.NewReader(text.String()), 64)
	request, err := http.ReadRequest(in)
	if err != nil {
		t.Fatalf("%q cannot be read: %v", text.String(), err)
	}
	if rest := in.Buffered(); rest > 0 || request.ContentLength != 0 {
		t.Fatalf("%q holds more than a request", text.String())
	}
	return request.Header
}

// decodeList returns the elements of a list as an upstream reads it.
func decodeList(t *testing.T, value string) []string {
	if value == "" {
		return nil
	}
	list := strings.Split(value, ",")
	for i := range list {
		list[i] = decode(t, list[i])
	}
	return list
}

func decode(t *testing.T, value string) string {
	decoded, err := url.PathUnescape(value)
	if err != nil {
		t.Fatalf("%q cannot be decoded: %v", value, err)
	}
	return decoded
}

func isPrintable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// Whatever a claim holds, its header is one line of printable ASCII and decodes to the claim; the elements
// of a list come back one by one, and a server reads no header beside it.
func FuzzEncode(f *testing.F) {
	f.Add("ann", "a,b")
	f.Add("a\r\nb: c", " \t%41")
	f.Add("é\x00", "")
	f.Add("a\r\n\r\nGET / HTTP/1.1", ",")
	f.Add("%2C", "%0d%0aX: y")
	f.Fuzz(func(t *testing.T, a, b string) {
		one, list, reserved := encode(a), encodeList([]string{a, b}), escapeReserved(a)
		got := received(t, []authz.Header{{Name: "One", Value: one}, {Name: "List", Value: list}, {Name: "Reserved", Value: reserved}})
		if len(got) != 3 {
			t.Fatalf("three headers are read as %q", got)
		}
		for name, value := range map[string]string{"One": one, "List": list, "Reserved": reserved} {
			if !isPrintable(value) || !slices.Equal(got[name], []string{value}) {
				t.Fatalf("%q is read as %q", value, got[name])
			}
		}
		if got := decode(t, one); got != a {
			t.Fatalf("%q decodes to %q", one, got)
		}
		if got := decode(t, reserved); got != a || strings.Trim(reserved, "%-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") != "" {
			t.Fatalf("%q decodes to %q", reserved, got)
		}
		if got := strings.Split(list, ","); len(got) != 2 || decode(t, got[0]) != a || decode(t, got[1]) != b {
			t.Fatalf("the list %q reads as %q", list, got)
		}
	})
}

// Whoever the principal is, each of the six names is set once or removed, a server reads these headers and no
// others, and what they hold decodes to what the principal has.
func FuzzStamp(f *testing.F) {
	f.Add("ann", "ann@example.com", "free:IN:android", "member,admin", "read")
	f.Add("a\r\nX-User-Role: root", "", "::", "a,,b", "")
	f.Add(" é ", "\u2028<&>", "a:%3A:", "", "%2C,\x00")
	f.Add("\xff", "\xc0\xaf", "\xff:\xfe", "\xff", ",")
	s := stamper(f)
	f.Fuzz(func(t *testing.T, userID, email, segment, roles, permissions string) {
		if userID == "" {
			return // the engine takes none for a principal
		}
		size := len(userID) + len(email) + len(segment) + len(roles) + len(permissions)
		p := authz.Principal{UserID: userID, Email: email}
		p.Subscription, segment, _ = strings.Cut(segment, ":")
		p.Country, p.Platform, _ = strings.Cut(segment, ":")
		if roles != "" {
			p.Roles = strings.Split(roles, "/") // so that an element may hold a comma
		}
		if permissions != "" {
			p.Permissions = strings.Split(permissions, "/")
		}
		stamp, err := s.Stamp(&authz.Identity{Principal: p}, now)
		if err != nil {
			// A byte takes 3 at most in a list, 8 in the passport and 4 in the state.
			if size < 512 || !errors.Is(err, authz.ErrStampTooLarge) {
				t.Fatalf("an identity of %d bytes: %v", size, err)
			}
			return
		}
		got := received(t, stamp.Set)
		if len(got) != len(stamp.Set) || len(stamp.Set)+len(stamp.Unset) != len(names) {
			t.Fatalf("%d headers are set and %q removed; a server reads %q", len(stamp.Set), stamp.Unset, got)
		}
		size = 0
		for _, h := range stamp.Set {
			size += len(h.Name) + len(h.Value)
			if !slices.Contains(names, h.Name) || slices.Contains(stamp.Unset, h.Name) || h.Value == "" || !isPrintable(h.Value) || !slices.Equal(got.Values(h.Name), []string{h.Value}) {
				t.Errorf("%s: %q, read as %q", h.Name, h.Value, got.Values(h.Name))
			}
		}
		for _, name := range stamp.Unset {
			if !slices.Contains(names, name) {
				t.Errorf("%s is removed", name)
			}
		}
		if size > 12<<10 {
			t.Errorf("the headers have %d bytes", size)
		}

		if got := decode(t, got.Get(UserIDHeader)); got != userID {
			t.Errorf("the user is %q, want %q", got, userID)
		}
		for name, want := range map[string][]string{UserRoleHeader: p.Roles, UserPermissionsHeader: p.Permissions} {
			if got := decodeList(t, got.Get(name)); !slices.Equal(got, want) && strings.Join(want, "") != "" {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		state, err := base64.StdEncoding.Strict().DecodeString(got.Get(ProxyStateHeader))
		fields := strings.Split(string(state), ":")
		if err != nil || len(fields) != 3 || decode(t, fields[0]) != p.Subscription || decode(t, fields[1]) != p.Country || decode(t, fields[2]) != p.Platform {
			t.Errorf("the state is %q (%v), want %q", state, err, []string{p.Subscription, p.Country, p.Platform})
		}
		for _, claim := range []string{userID, email, p.Subscription, p.Country, p.Platform} {
			if !utf8.ValidString(claim) {
				return // no verified claim is, and JSON could not hold it
			}
		}
		want := passport.Passport{UserID: userID, Email: email, Subscription: p.Subscription, Country: p.Country, Platform: p.Platform, TokenStatus: "valid", IssuedAt: now.Unix()}
		if got, err := passport.Decode(got.Get(passport.Header)); got != want {
			t.Errorf("the passport is %+v (%v), want %+v", got, err, want)
		}
	})
}
