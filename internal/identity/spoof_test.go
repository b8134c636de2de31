package identity

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/passgate/passgate/internal/authz"
)

// A letter or digit in the place of a dash makes another name, the first and last of each range included.
func TestLettersAndDigitsAreNoDash(t *testing.T) {
	var names []string
	for _, c := range "azAZ09m5M" {
		names = append(names, "x"+string(c)+"user-id", "x-user"+string(c)+"id", "x-proxy"+string(c)+"state")
	}
	if got := spoofed(stamper(t), false, names...); len(got) != 0 {
		t.Errorf("removed: %q", got)
	}
	names = nil
	for _, c := range "`{@[/:_.~" {
		names = append(names, "x"+string(c)+"user-name", "x-user"+string(c)+"name", "x-proxy"+string(c)+"state")
	}
	if got := spoofed(stamper(t), false, names...); !slices.Equal(got, names) {
		t.Errorf("removed: %q, want %q", got, names)
	}
}

func TestFold(t *testing.T) {
	if got, want := fold("AZaz09_.[é"), "azaz09-----"; got != want {
		t.Errorf("fold = %q, want %q", got, want)
	}
}

// The bound is that of the headers together, to the byte.
func TestStampFitsToTheByte(t *testing.T) {
	size := func(s *authz.Stamp) int {
		n := 0
		for _, h := range s.Set {
			n += len(h.Name) + len(h.Value)
		}
		return n
	}
	// A byte of a role is a byte of the headers.
	stamp := func(role int) (*authz.Stamp, error) {
		return stamper(t).Stamp(&authz.Identity{Principal: authz.Principal{UserID: "a", Roles: []string{strings.Repeat("r", role)}}}, now)
	}
	one, err := stamp(1)
	if err != nil {
		t.Fatal(err)
	}
	most := 1 + 12<<10 - size(one)
	full, err := stamp(most)
	if err != nil || size(full) != 12<<10 {
		t.Fatalf("%d bytes: %v", 12<<10, err)
	}
	if _, err := stamp(most + 1); !errors.Is(err, authz.ErrStampTooLarge) {
		t.Errorf("one byte more: %v", err)
	}
}
