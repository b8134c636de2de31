package account

import (
	"slices"
	"strings"
	"testing"
)

// Spellings of one letter, and letters that NFC makes longer.
const (
	composed   = "\u00e9"  // é, 2 bytes
	decomposed = "e\u0301" // é, 3 bytes, and 2 in NFC
	growing    = "\u0958"  // DEVANAGARI LETTER QA, 3 bytes, and 6 in NFC
	grown      = "\u0915\u093c"
)

func TestNormalPassword(t *testing.T) {
	tests := []struct {
		name, password, want string
		wantOK               bool
	}{
		{"ASCII", "correct horse", "correct horse", true},
		{"one character", "x", "x", true},
		{"as it is, blanks too", " Tr0ub\tdor \n", " Tr0ub\tdor \n", true},
		{"64 characters", strings.Repeat("x", 64), strings.Repeat("x", 64), true},
		{"72 bytes", strings.Repeat("x", 72), strings.Repeat("x", 72), true},
		{"72 bytes of two-byte characters", strings.Repeat(composed, 36), strings.Repeat(composed, 36), true},
		{"72 bytes of four-byte characters", strings.Repeat("😀", 18), strings.Repeat("😀", 18), true},
		{"NFD for NFC", "caf" + decomposed, "caf" + composed, true},
		{"73 bytes, fewer after NFC", strings.Repeat(decomposed, 24) + "x", strings.Repeat(composed, 24) + "x", true},
		{"108 bytes, 72 after NFC", strings.Repeat(decomposed, 36), strings.Repeat(composed, 36), true},
		{"36 bytes, 72 after NFC", strings.Repeat(growing, 12), strings.Repeat(grown, 12), true},
		{"what only compatibility folding makes ASCII stays apart", "\uff41\uff42", "\uff41\uff42", true},

		{"empty", "", "", false},
		{"73 bytes", strings.Repeat("x", 73), "", false},
		{"the 72nd byte within a character", strings.Repeat("x", 71) + composed, "", false},
		{"74 bytes of two-byte characters", strings.Repeat(composed, 37), "", false},
		{"39 bytes, over 72 after NFC", strings.Repeat(growing, 13), "", false},
		{"NUL alone", "\x00", "", false},
		{"NUL within", "correct\x00horse", "", false},
		{"NUL last", "correct horse\x00", "", false},
		{"NUL past 72 bytes", strings.Repeat("x", 72) + "\x00", "", false},
		{"not UTF-8", "correct\xffhorse", "", false},
		{"half a character", "correct horse\xc3", "", false},
		{"a surrogate", "correct\xed\xa0\x80horse", "", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got, ok := normalPassword(test.password); got != test.want || ok != test.wantOK {
				t.Errorf("got %q, %t; want %q, %t", got, ok, test.want, test.wantOK)
			}
		})
	}
}

func TestPasswordRules(t *testing.T) {
	const (
		short    = "want 8 characters or more"
		long     = "want 72 bytes or fewer"
		nul      = "want no NUL character"
		tooKnown = "is one of the commonest passwords; choose another"
	)
	standard := PasswordRules{MinLength: 8, RefuseCommon: true}
	tests := []struct {
		name, password string
		rules          PasswordRules
		want           string
	}{
		{"8 characters", "Wq7-xYz.", standard, ""},
		{"8 characters of one kind", "wqkjxyzv", standard, ""},
		{"8 code points of 4 bytes", strings.Repeat("😀", 8), standard, ""},
		{"8 characters once in NFC", strings.Repeat(decomposed, 8), standard, ""},
		{"4 characters that NFC makes 8", strings.Repeat(growing, 4), standard, ""},
		{"64 characters", strings.Repeat("wq7-xyz.", 8), standard, ""},
		{"72 bytes", strings.Repeat("wq7-xyz.", 9), standard, ""},
		{"73 bytes, fewer after NFC", strings.Repeat(decomposed, 24) + "x", standard, ""},
		{"a common one and more", "correct password horse", standard, ""},
		{"a common one with a blank", "password ", standard, ""},

		{"empty", "", standard, short},
		{"7 characters", "Wq7-xYz", standard, short},
		{"7 characters of 4 bytes", strings.Repeat("😀", 7), standard, short},
		{"8 code points, 7 in NFC", "wq7-xy" + decomposed, standard, short},
		{"common, but too short", "abc123", standard, short},
		{"73 bytes", strings.Repeat("wq7-xyz.", 9) + "x", standard, long},
		{"NFC makes it too long", strings.Repeat(growing, 13), standard, long},
		{"NUL", "wq7-xyz.\x00", standard, nul},
		{"NUL, and too short", "\x00", standard, nul},
		{"NUL, and too long", strings.Repeat("x", 99) + "\x00", standard, nul},
		{"not UTF-8", "wq7-xyz.\xff", standard, "want text in UTF-8"},

		{"common", "password", standard, tooKnown},
		{"common in capitals", "PASSWORD", standard, tooKnown},
		{"common in odd case", "pAsSwOrD1", standard, tooKnown},
		{"common with signs", "P@ssw0rd", standard, tooKnown},
		{"common digits", "12345678", standard, tooKnown},
		{"common run of keys", "QwertyUiop", standard, tooKnown},
		{"common phrase", "ILoveYou1", standard, tooKnown},
		{"common word", "Football1", standard, tooKnown},
		{"first of the list", strings.ToUpper(commonList()[0]), standard, tooKnown},
		{"last of the list", strings.ToUpper(commonList()[len(commonList())-1]), standard, tooKnown},

		{"common ones may be allowed", "password", PasswordRules{MinLength: 8}, ""},
		{"another length", "wq7-xyz.123", PasswordRules{MinLength: 12}, "want 12 characters or more"},
		{"the other length", "wq7-xyz.1234", PasswordRules{MinLength: 12}, ""},
		{"no rules", "x", PasswordRules{}, ""},
		{"no rules, and no password", "", PasswordRules{}, "want 1 character or more"},
		{"no rules, and too long", strings.Repeat("x", 73), PasswordRules{}, long},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			normal, message := test.rules.judge(test.password)
			if message != test.want {
				t.Fatalf("message %q, want %q", message, test.want)
			}
			// Whoever signs up with a password can log in with it.
			if message == "" {
				if again, ok := normalPassword(test.password); !ok || again != normal {
					t.Errorf("signup makes it %q, login %q (%t)", normal, again, ok)
				}
			} else if normal != "" {
				t.Errorf("a refused password is returned")
			}
		})
	}
}

func commonList() []string { return strings.Split(strings.TrimSuffix(commonText, "\n"), "\n") }

func TestCommonListIsWellFormed(t *testing.T) {
	list := commonList()
	if len(list) < 500 || !strings.HasSuffix(commonText, "\n") {
		t.Errorf("%d lines, or the last without its newline", len(list))
	}
	if !slices.IsSorted(list) || len(slices.Compact(slices.Clone(list))) != len(list) {
		t.Error("the list is not sorted, or repeats a line")
	}
	for _, line := range list {
		if len(line) < 8 || strings.ContainsFunc(line, func(r rune) bool { return r <= ' ' || r > '~' || 'A' <= r && r <= 'Z' }) {
			t.Errorf("%q is not eight or more visible ASCII characters in lower case", line)
		}
	}
}
