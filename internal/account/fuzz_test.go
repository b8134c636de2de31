package account

import (
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// FuzzCanonicalEmail: what is accepted becomes an address in printable ASCII and lower case with one @, which stays
// as it is from then on. Other spellings become the same: in the other case of ASCII, in NFD, and with the domain
// decoded. What was ASCII is only put in lower case, so nothing else is taken for it, and no character that folds
// into ASCII is accepted.
func FuzzCanonicalEmail(f *testing.F) {
	for _, s := range []string{
		"ann@example.com", "Ann+x@EXAMPLE.com", "ann@bücher.example", "ann@BU\u0308CHER.example", "ann@xn--bcher-kva.example", "ann@xn--ü-.example", "ann@xn--example-.com",
		"ann@straße.example", "ann@STRA\u1e9eE.example", "ann@\u212aelvin.com", "m\u0130ke@example.com", "ann\uff20example.com", "ann@example\u3002com", "ann@exa\u00admple.com",
		"ann@a\u2135.example", "ann@נ.example", "ann@1a.מדגם", "ann@نامه\u200cای.example", "ann@a\u200db.example", "ann@☃.example", "ann@192.0.2.1", "ann@example.com.",
		`"ann lee"@example.com`, "Ann <ann@example.com>", "ann@lee@example.com", "a.b@c", " ann@example.com", "ann\x00@example.com", "ann@\xff.com", "", "@",
		"a" + wide, "an" + wide, ofBytes(254), ofBytes(255),
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := CanonicalEmail(s)
		if err != nil {
			if got != "" || !slices.Contains(emailFaults, err) {
				t.Fatalf("%q became %q with the error %v", s, got, err)
			}
			if lower, err := CanonicalEmail(asciiLower(s)); err == nil {
				t.Fatalf("%q is refused, in lower case it is %q", s, lower)
			}
			return
		}
		local, domain, _ := strings.Cut(got, "@")
		if strings.ContainsFunc(got, func(r rune) bool { return r <= ' ' || r > '~' || 'A' <= r && r <= 'Z' }) || len(got) > 254 || len(local) > 64 || local == "" {
			t.Fatalf("%q became %q", s, got)
		}
		if labels := strings.Split(domain, "."); len(labels) < 2 || slices.Contains(labels, "") || strings.Trim(domain, "abcdefghijklmnopqrstuvwxyz0123456789-.") != "" {
			t.Fatalf("%q became %q, with the domain %q", s, got, domain)
		}
		if isASCII(s) && got != asciiLower(s) {
			t.Fatalf("%q became another address, %q", s, got)
		}
		if i := strings.IndexFunc(s, func(r rune) bool { return r >= 0x80 && r != 'ß' && holdsASCII(foldings(r)) }); i >= 0 {
			t.Fatalf("%q became %q, for all that it holds %+q", s, got, s[i:])
		}
		decoded, err := lookup.ToUnicode(domain)
		if err != nil {
			t.Fatalf("%q became %q, which cannot be decoded: %v", s, got, err)
		}
		for name, other := range map[string]string{
			"again": got, "in upper case": asciiUpper(s), "in lower case": asciiLower(s), "in NFD": norm.NFD.String(s), "decoded": local + "@" + decoded,
		} {
			if again, err := CanonicalEmail(other); err != nil || again != got {
				t.Fatalf("%q became %q; %s, as %q, it becomes %q, %v", s, got, name, other, again, err)
			}
		}
	})
}

func asciiUpper(s string) string { return inCase(s, 'a', 'z', -0x20) }

func asciiLower(s string) string { return inCase(s, 'A', 'Z', 0x20) }

// inCase moves the bytes of s from first to last by delta.
func inCase(s string, first, last byte, delta int) string {
	b := []byte(s)
	for i, c := range b {
		if first <= c && c <= last {
			b[i] = byte(int(c) + delta)
		}
	}
	return string(b)
}

// FuzzPassword: a password is accepted if, and only if, it is UTF-8 and has no NUL and 1 to 72 bytes in NFC. It is
// the same in NFC as in NFD, and stays as it is from then on. A signup that takes it makes the same of it.
func FuzzPassword(f *testing.F) {
	for _, s := range []string{
		"", "x", "Password1", "correct horse", "caf" + composed, "caf" + decomposed, strings.Repeat("x", 72), strings.Repeat("x", 73), strings.Repeat("x", 71) + composed,
		strings.Repeat(decomposed, 36), strings.Repeat(growing, 12), strings.Repeat(growing, 13), strings.Repeat("😀", 18), "a\x00b", "a\xffb", "\u212a", "한글",
		"a" + strings.Repeat("\u0301", 35), "\u1100\u1161\u11a8",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		normal, ok := normalPassword(s)
		nfc := norm.NFC.String(s)
		if want := utf8.ValidString(s) && !strings.ContainsRune(s, 0) && 0 < len(nfc) && len(nfc) <= 72; ok != want {
			t.Fatalf("%q: accepted %t, want %t", s, ok, want)
		}
		if !ok {
			if normal != "" {
				t.Fatalf("%q is refused and becomes %q", s, normal)
			}
			return
		}
		for name, other := range map[string]string{"again": normal, "NFC": nfc, "NFD": norm.NFD.String(s)} {
			if again, ok := normalPassword(other); !ok || again != normal {
				t.Fatalf("%q became %q; %s, as %q, becomes %q, %t", s, normal, name, other, again, ok)
			}
		}
		rules := PasswordRules{MinLength: 8, RefuseCommon: true}
		chosen, message := rules.judge(s)
		if message == "" && (chosen != normal || utf8.RuneCountInString(normal) < 8 || slices.Contains(commonList(), strings.Map(unicode.ToLower, normal))) {
			t.Fatalf("%q was chosen as %q, and is %q", s, chosen, normal)
		}
	})
}
