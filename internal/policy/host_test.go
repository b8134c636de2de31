package policy

import "testing"

// The first and last of each range of characters count like those between.
func TestCharactersOfAHost(t *testing.T) {
	for raw, want := range map[string]string{
		"az.AZ.09": "az.az.09", "a-b_c~d": "a-b_c~d", "a:09": "a", "[2001:DB8::1]:09": "[2001:db8::1]",
	} {
		if got, why := CanonicalHost(raw); got != want || why != "" {
			t.Errorf("CanonicalHost(%q) = %q, %q; want %q", raw, got, why, want)
		}
	}
	for _, raw := range []string{"]", "]:80", "[", "a[", "[a", "[:80", "[::1", "[::1]]", "[[::1]", "[]", "a`", "a{", "a@", "a/", "a;", "a^", "a:/", "a:a"} {
		if got, why := CanonicalHost(raw); why == "" {
			t.Errorf("CanonicalHost(%q) = %q, want a refusal", raw, got)
		}
	}
}
