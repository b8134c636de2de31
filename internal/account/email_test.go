package account

import (
	"errors"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// ofBytes returns an address of n bytes, all but few of them in its domain, whose labels are as long as can be.
func ofBytes(n int) string {
	const local, tld = "ann@", ".com"
	domain := strings.Repeat(strings.Repeat("d", 63)+".", 4)[:n-len(local)-len(tld)]
	return local + domain + tld
}

// wide is an @ and a domain whose A-labels have 252 bytes.
var wide = "@" + strings.Repeat("ü"+strings.Repeat("a", 55)+".", 3) + "ü" + strings.Repeat("a", 48) + ".com"

func TestCanonicalEmail(t *testing.T) {
	const allSigns = "!#$%&'*+-/=?^_`{|}~"
	tests := []struct{ name, address, want string }{
		{"plain", "ann@example.com", "ann@example.com"},
		{"upper case", "ANN.Lee@EXAMPLE.Com", "ann.lee@example.com"},
		{"plus addressing is kept", "ann+news@example.com", "ann+news@example.com"},
		{"dots are kept", "a.n.n@gmail.com", "a.n.n@gmail.com"},
		{"every sign of an atom", allSigns + "@example.com", allSigns + "@example.com"},
		{"local part of digits", "1234@example.com", "1234@example.com"},
		{"local part of 64 bytes", strings.Repeat("a", 64) + "@example.com", strings.Repeat("a", 64) + "@example.com"},
		{"254 bytes in all", ofBytes(254), ofBytes(254)},
		{"label of 63 bytes", "ann@" + strings.Repeat("a", 63) + ".com", "ann@" + strings.Repeat("a", 63) + ".com"},
		{"label of 63 bytes as an A-label", "ann@ü" + strings.Repeat("a", 55) + ".com", "ann@xn--" + strings.Repeat("a", 55) + "-oxf.com"},
		{"254 bytes in A-labels", "a" + wide, "a@" + strings.Repeat("xn--"+strings.Repeat("a", 55)+"-oxf.", 3) + "xn--" + strings.Repeat("a", 48) + "-v7e.com"},
		{
			"409 bytes as typed, fewer in A-labels",
			"ann@" + strings.Repeat(strings.Repeat("𐌰", 50)+".", 2) + "com", "ann@" + strings.Repeat("xn--ec8caaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.", 2) + "com",
		},
		{"label of one character", "a@b.c", "a@b.c"},
		{"label of digits before the last", "ann@163.com", "ann@163.com"},
		{"subdomains", "ann@a.b.c.example.co.in", "ann@a.b.c.example.co.in"},

		{"U-label", "ann@bücher.example", "ann@xn--bcher-kva.example"},
		{"its A-label", "ann@xn--bcher-kva.example", "ann@xn--bcher-kva.example"},
		{"its A-label in upper case", "ann@XN--BCHER-KVA.example", "ann@xn--bcher-kva.example"},
		{"its U-label in upper case", "ann@BÜCHER.EXAMPLE", "ann@xn--bcher-kva.example"},
		{"its U-label in NFD", "ann@bu\u0308cher.example", "ann@xn--bcher-kva.example"},
		{"a mark that becomes a letter", "ann@ω\u0308\u0345.example", "ann@xn--byac.example"},
		{"a mark that becomes a letter, in another order", "ann@ω\u0345\u0308.example", "ann@xn--byac.example"},
		{"ß is itself", "ann@straße.example", "ann@xn--strae-oqa.example"},
		{"ss is another", "ann@strasse.example", "ann@strasse.example"},
		{"ß as an A-label", "ann@xn--strae-oqa.example", "ann@xn--strae-oqa.example"},
		{"ı is itself", "ann@gıt.example", "ann@xn--gt-hpa.example"},
		{"last label beyond ASCII", "ann@пример.рф", "ann@xn--e1afmkfd.xn--p1ai"},
		{"right to left", "ann@מדגם.example", "ann@xn--6dbb5ab.example"},
		{"katakana middle dot", "ann@ア・ア.example", "ann@xn--ccka0y.example"},
		{"ZWNJ where Persian needs it", "ann@نامه\u200cای.example", "ann@xn--mgba3gch31f060k.example"},
		{"ZWJ after a virama", "ann@ශ\u0dca\u200dර.example", "ann@xn--10cl1a711o.example"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := CanonicalEmail(test.address)
			if err != nil || got != test.want {
				t.Fatalf("got %q, %v; want %q", got, err, test.want)
			}
			if again, err := CanonicalEmail(got); err != nil || again != got {
				t.Errorf("the result becomes %q, %v", again, err)
			}
		})
	}
}

func TestCanonicalEmailRefuses(t *testing.T) {
	tests := []struct {
		name, address string
		want          error
	}{
		{"nothing", "", errEmailForm},
		{"no @", "ann.example.com", errEmailForm},
		{"@ alone", "@", errEmailForm},
		{"no local part", "@example.com", errEmailForm},
		{"no domain", "ann@", errEmailForm},
		{"two @", "ann@lee@example.com", errEmailForm},
		{"two @ in a row", "ann@@example.com", errEmailForm},
		{"not UTF-8", "ann\xff@example.com", errEmailForm},
		{"not UTF-8 in the domain", "ann@ex\xc3ample.com", errEmailForm},

		{"leading dot", ".ann@example.com", errEmailLocal},
		{"trailing dot before the @", "ann.@example.com", errEmailLocal},
		{"double dots", "ann..lee@example.com", errEmailLocal},
		{"dot alone before the @", ".@example.com", errEmailLocal},
		{"local part beyond ASCII", "änn@example.com", errEmailLocal},
		{"local part in another script", "анна@example.com", errEmailLocal},
		{"dotless i before the @", "mıke@example.com", errEmailLocal},
		{"quoted local part", `"ann"@example.com`, errEmailLocal},
		{"quoted local part with a blank", `"ann lee"@example.com`, errEmailLocal},
		{"quoted pair", `ann\@example.com`, errEmailLocal},
		{"display name", "Ann <ann@example.com>", errEmailLocal},
		{"angle brackets", "<ann@example.com>", errEmailLocal},
		{"comment before the local part", "(x)ann@example.com", errEmailLocal},
		{"mailto:", "mailto:ann@example.com", errEmailLocal},
		{"two addresses", "bob,ann@example.com", errEmailLocal},
		{"blank first", " ann@example.com", errEmailLocal},
		{"blank within", "ann lee@example.com", errEmailLocal},
		{"blank before the @", "ann @example.com", errEmailLocal},
		{"tab first", "\tann@example.com", errEmailLocal},
		{"NUL within", "ann\x00@example.com", errEmailLocal},
		{"DEL within", "ann\x7f@example.com", errEmailLocal},
		{"newline within", "ann\n@example.com", errEmailLocal},

		{"blank after the @", "ann@ example.com", errEmailDomain},
		{"blank last", "ann@example.com ", errEmailDomain},
		{"newline last", "ann@example.com\n", errEmailDomain},
		{"CRLF last", "ann@example.com\r\n", errEmailDomain},
		{"NUL last", "ann@example.com\x00", errEmailDomain},
		{"C1 control in the domain", "ann@exa\u0085mple.com", errEmailDomain},
		{"comment after the domain", "ann@example.com(x)", errEmailDomain},
		{"closing bracket", "ann@example.com>", errEmailDomain},
		{"no dot in the domain", "ann@localhost", errEmailDomain},
		{"no dot in an international domain", "ann@bücher", errEmailDomain},
		{"trailing dot", "ann@example.com.", errEmailDomain},
		{"trailing dot after one label", "ann@example.", errEmailDomain},
		{"domain begins with a dot", "ann@.example.com", errEmailDomain},
		{"empty label", "ann@example..com", errEmailDomain},
		{"dot alone after the @", "ann@.", errEmailDomain},
		{"IP literal", "ann@[192.0.2.1]", errEmailDomain},
		{"IPv6 literal", "ann@[IPv6:2001:db8::1]", errEmailDomain},
		{"IPv4 address", "ann@192.0.2.1", errEmailDomain},
		{"numeric last label", "ann@example.1234567890", errEmailDomain},
		{"port", "ann@example.com:25", errEmailDomain},
		{"path", "ann@example.com/x", errEmailDomain},
		{"percent", "ann@example%2ecom", errEmailDomain},
		{"underscore", "ann@ex_ample.com", errEmailDomain},
		{"label begins with a hyphen", "ann@-example.com", errEmailDomain},
		{"label ends with a hyphen", "ann@example-.com", errEmailDomain},
		{"label of 64 bytes", "ann@" + strings.Repeat("a", 64) + ".com", errEmailDomain},
		{"label of 64 bytes as an A-label", "ann@ü" + strings.Repeat("a", 56) + ".com", errEmailDomain},

		{"A-label that does not decode", "ann@xn--0.example", errEmailDomain},
		{"A-label of nothing", "ann@xn--.example", errEmailDomain},
		{"A-label that decodes to ASCII only", "ann@xn--example-.com", errEmailDomain},
		{"last label an A-label of ASCII only", "ann@example.xn--com-", errEmailDomain},
		{"A-label of an upper-case letter", "ann@xn--bcher-2pa.example", errEmailDomain}, // bÜcher
		{"A-label of a text in NFD", "ann@xn--bucher-xyd.example", errEmailDomain},
		{"A-label of the Kelvin sign", "ann@xn--elvin-r74b.example", errEmailDomain},
		{"A-label of full-width letters", "ann@xn--mi7cc.example", errEmailDomain},
		{"A-label of a surrogate", "ann@xn--ab-zd9k.example", errEmailDomain},
		{"A-label of a soft hyphen", "ann@xn--ab-5da.example", errEmailDomain},
		{"A-label of a long s", "ann@xn--a-voa.example", errEmailDomain},
		{"A-label of a symbol that becomes a Hebrew letter", "ann@xn--a-rxn.example", errEmailDomain},
		{"A-label of left and right", "ann@xn--a-6hc.example", errEmailDomain},
		{"A-label of a blank Braille cell", "ann@xn--example-ob0e.com", errEmailDomain},
		{"A-label with an idle hyphen", "ann@xn---tda.example", errEmailDomain},
		{"A-label of ZWJ", "ann@xn--ab-m1t.example", errEmailDomain},
		{"A-label with a letter beyond ASCII", "ann@xn--ü-.example", errEmailDomain},
		{"A-label with a letter beyond ASCII, its prefix in upper case", "ann@XN--ü-.example", errEmailDomain},
		{"hyphens as in an A-label", "ann@ab--cd.example", errEmailDomain},
		{"A-label of a snowman", "ann@xn--n3h.example", errEmailDomain},
		{"snowman", "ann@☃.example", errEmailDomain},
		{"emoji", "ann@i❤.example", errEmailDomain},
		{"blank Braille cell", "ann@exa\u2800mple.com", errEmailDomain},

		{"ZWJ between letters", "ann@exa\u200dmple.com", errEmailDomain},
		{"ZWNJ between letters", "ann@exa\u200cmple.com", errEmailDomain},
		{"combining mark first", "ann@\u0308example.com", errEmailDomain},
		{"left and right in one label", "ann@aא.example", errEmailDomain},
		{"right-to-left label that ends in a Latin letter", "ann@אa.example", errEmailDomain},
		{"right-to-left label beside one that begins with a digit", "ann@1a.מדגם", errEmailDomain},
		{"a symbol that becomes a Hebrew letter", "ann@a\u2135.example", errEmailDomain},
		{"right-to-left override", "ann@exa\u202emple.com", errEmailDomain},
		{"right-to-left mark", "ann@exa\u200fmple.com", errEmailDomain},
		{"private use", "ann@exa\ue000mple.com", errEmailDomain},
		{"noncharacter", "ann@exa\uffffmple.com", errEmailDomain},
		{"replacement character", "ann@exa\ufffdmple.com", errEmailDomain},

		{"Kelvin sign before the @", "mi\u212ae@example.com", errEmailFolds},
		{"Kelvin sign in the domain", "ann@\u212aelvin.com", errEmailFolds},
		{"Kelvin sign beside other letters beyond ASCII", "ann@ü\u212aü.com", errEmailFolds},
		{"long s before the @", "ro\u017fe@example.com", errEmailFolds},
		{"long s in the domain", "ann@expre\u017f\u017f.com", errEmailFolds},
		{"long s with a dot", "ann@expre\u1e9b.com", errEmailFolds},
		{"long s and a dot", "ann@expre\u017f\u0307.com", errEmailFolds},
		{"dotted capital I before the @", "m\u0130ke@example.com", errEmailFolds},
		{"dotted capital I in the domain", "ann@g\u0130t.com", errEmailFolds},
		{"capital ß, which is ss to some and ß to others", "ann@STRA\u1e9eE.example", errEmailFolds},
		{"full-width @", "ann\uff20example.com", errEmailFolds},
		{"full-width @ beside an ASCII one", "ann\uff20b@example.com", errEmailFolds},
		{"small @", "ann\ufe6bexample.com", errEmailFolds},
		{"full-width letters in the domain", "ann@\uff45xample.com", errEmailFolds},
		{"full-width capitals in the domain", "ann@\uff25XAMPLE.COM", errEmailFolds},
		{"full-width letters before the @", "\uff41nn@example.com", errEmailFolds},
		{"full-width A-label prefix", "ann@\uff58n--bcher-kva.example", errEmailFolds},
		{"full-width dot", "ann@example\uff0ecom", errEmailFolds},
		{"ideographic full stop", "ann@example\u3002com", errEmailFolds},
		{"half-width ideographic full stop", "ann@example\uff61com", errEmailFolds},
		{"one dot leader", "ann@example\u2024com", errEmailFolds},
		{"feminine ordinal", "ann@ex\u00aample.com", errEmailFolds},
		{"telephone sign", "ann@\u2121.com", errEmailFolds},
		{"ligature", "ann@\ufb01sh.com", errEmailFolds},
		{"superscript", "ann@x\u00b2.com", errEmailFolds},
		{"mathematical letter", "ann@\U0001d41eexample.com", errEmailFolds},
		{"circled letter", "ann@\u24d4xample.com", errEmailFolds},
		{"no-break space", "ann@exa\u00a0mple.com", errEmailFolds},
		{"ideographic space last", "ann@example.com\u3000", errEmailFolds},
		{"soft hyphen", "ann@exa\u00admple.com", errEmailFolds},
		{"soft hyphen before the @", "an\u00adn@example.com", errEmailFolds},
		{"zero-width space", "ann@exa\u200bmple.com", errEmailFolds},
		{"word joiner", "ann@exa\u2060mple.com", errEmailFolds},
		{"variation selector", "ann@exa\ufe0fmple.com", errEmailFolds},
		{"byte order mark first", "\ufeffann@example.com", errEmailFolds},

		{"local part of 65 bytes", strings.Repeat("a", 65) + "@example.com", errEmailLong},
		{"255 bytes in all", ofBytes(255), errEmailLong},
		{"domain too long for any local part", ofBytes(260), errEmailLong},
		{"255 bytes in A-labels, fewer as typed", "an" + wide, errEmailLong},
		{"a book", strings.Repeat("a", 1<<16) + "@example.com", errEmailLong},
		{"a book beyond ASCII", "ann@" + strings.Repeat("ü", 1<<16) + ".example", errEmailLong},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := CanonicalEmail(test.address)
			if !errors.Is(err, test.want) || got != "" {
				t.Errorf("got %q, %v; want %v", got, err, test.want)
			}
		})
	}
}

// foldings returns what a character may be taken for: its full case folding in compatibility form. It is made of
// other tables than CanonicalEmail's.
func foldings(r rune) string {
	return norm.NFKC.String(cases.Fold().String(norm.NFKC.String(string(r))))
}

// Every character there is that folds into ASCII is refused wherever it stands; ß alone is not, which full case
// folding makes ss, and which is a letter of its own in domain names.
func TestCanonicalEmailRefusesWhatFoldsIntoASCII(t *testing.T) {
	n := 0
	for r := rune(0x80); r <= unicode.MaxRune; r++ {
		if r == 'ß' || !holdsASCII(foldings(r)) {
			continue
		}
		n++
		c := string(r)
		for _, address := range []string{
			c + "@example.com", "a" + c + "b@example.com", "ann" + c + "example.com", "ann@" + c + ".com", "ann@" + c + "example.com",
			"ann@exa" + c + "mple.com", "ann@example" + c + ".com", "ann@ü" + c + "ü.com", "ann@example.c" + c + "m", "ann@example.com" + c, c + "ann@example.com",
		} {
			if got, err := CanonicalEmail(address); err != errEmailFolds {
				t.Errorf("%+q became %q, %v", address, got, err)
			}
		}
	}
	if n < 1500 {
		t.Errorf("%d characters fold into ASCII; there are more", n)
	}
}

// emailFaults are all that CanonicalEmail returns: none of them can hold an address.
var emailFaults = []error{errEmailForm, errEmailLong, errEmailLocal, errEmailDomain, errEmailFolds}

func TestEmailFaultsAreFitForClients(t *testing.T) {
	for _, err := range emailFaults {
		if s := err.Error(); s == "" || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("%q is not a line of ASCII", s)
		}
	}
}
