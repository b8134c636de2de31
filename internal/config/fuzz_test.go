package config

import (
	"bytes"
	"errors"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/passgate/passgate/internal/yamlstrict"
)

var masked = regexp.MustCompile(`(?m)^    secret: <redacted>$`)

// FuzzLoad: whatever the file, its faults and warnings stand on lines that it has, take one line each and hold no
// secret that the file does not. What is loaded is shown such that it loads again, to what is shown the same.
func FuzzLoad(f *testing.F) {
	for _, seed := range []string{
		string(defaultYAML), string(gatewayYAML),
		"issuers: [{name: a, issuer: b, algorithms: [HS256], secret: \"${SECRET}\"}]\nroles: {\"a b\": [\"\\n x\", \"${WORD}\"]}\n",
		"issuers: [{name: a, issuer: \"${SECRET}\", algorithms: [HS256], secret: \"${SECRET}\", audiences: any, claims: {user_id: uid}}]\nroutes: [{path: /, when: \"'${SECRET}' ==\"}]\n",
		"routes: [{path: \"/a/{b}/**\", methods: [GET], hosts: [a.b]}]\npaths: {allow: [semicolon]}\n",
		"routes: [{path: /a, access: optional, when: request.method == 'GET', credentials: [a], permissions: [\"${X:-y}\"]}]\n",
		"drain: {wait: 1ms}\nlimits: {token: 300}\nlog: {level: debug}\n",
		"headers: {keep: [X-User-Foo]}\nproxy_state: {template: \"{subscription}:$${x}\"}\ngrpc: {reflection: false}\n",
		"roles: &a {x: [y]}\n", "listen: {grpc: \"unix:/a\", ops: \"[::1]:1\"}\r\n# \u2028\ndefault_access: |\n  public\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 4<<10 {
			return
		}
		// Key files are out of reach: what is fuzzed is the text.
		load := func(name string, data []byte) (*Config, error) {
			l := loader{dir: "/nonexistent", embedded: true}
			return l.load(name, data, testEnv)
		}
		hasSecret := bytes.Contains(data, []byte(testSecret))
		c, err := load("fuzz.yaml", data)
		if err != nil {
			if !hasSecret && strings.Contains(err.Error(), testSecret) {
				t.Errorf("the error shows a secret: %v", err)
			}
			var faults yamlstrict.Faults
			if c != nil || !errors.As(err, &faults) || len(faults) == 0 {
				t.Fatalf("a configuration %v beside the error %T", c, err)
			}
			for _, fault := range faults {
				if lines := linesOf(data); fault.Line < 1 || fault.Column < 1 || fault.Line > lines || !isLine(fault.Error()) {
					t.Errorf("in a file of %d lines: %q", lines, fault.Error())
				}
			}
			return
		}
		for _, w := range c.Warnings {
			if !isLine(w.Error()) {
				t.Errorf("a warning of several lines: %q", w.Error())
			}
		}
		shown, err := c.Show()
		if err != nil {
			t.Fatalf("Show: %v", err)
		}
		again, err := load("shown", masked.ReplaceAllLiteral(shown, []byte("    secret: ${SECRET}")))
		if err != nil {
			t.Fatalf("what is shown cannot be loaded: %v\n%s", err, shown)
		}
		if second, err := again.Show(); err != nil || !bytes.Equal(second, shown) {
			t.Errorf("shown as\n%sand when that is loaded, as\n%s(%v)", shown, second, err)
		}
	})
}

// linesOf counts by everything that YAML takes for the end of a line (YAML 1.1 §4.2).
func linesOf(data []byte) int {
	text := strings.ReplaceAll(string(data), "\r\n", "\n")
	return 1 + strings.Count(text, "\n") + strings.Count(text, "\r") + strings.Count(text, "\u0085") + strings.Count(text, "\u2028") + strings.Count(text, "\u2029")
}

// isLine reports whether a text is one line of what a terminal can show.
func isLine(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}
