package redisstore

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func TestGuard(t *testing.T) {
	for _, test := range []struct {
		name  string
		reply string
		pass  bool
	}{
		{"status", "+OK\r\n", true},
		{"error", "-ERR no\r\n", true},
		{"number beyond any length", ":99999999999\r\n", true},
		{"nothing", "$-1\r\n", true},
		{"no list", "*-1\r\n", true},
		{"empty string", "$0\r\n\r\n", true},
		{"string that looks like a header", "$14\r\n*2147483647\r\n$\r\n", true},
		{"list", "*4\r\n:1\r\n$1\r\n*\r\n$2\r\n\r\n\r\n$-1\r\n", true},
		{"list of the most elements", fmt.Sprintf("*%d\r\n", maxElements), true},
		{"list of too many", fmt.Sprintf("*%d\r\n", maxElements+1), false},
		{"list of as many as memory has", "*2147483647\r\n", false},
		{"list that no int counts", "*9223372036854775808\r\n", false},
		{"list in a list", "*1\r\n*1\r\n*9999999\r\n", false},
		{"map", "%9999999\r\n", false},
		{"set", "~9999999\r\n", false},
		{"push", ">9999999\r\n", false},
		{"attribute", "|9999999\r\n", false},
		{"string as long as an int may be", fmt.Sprintf("$%d\r\n", math.MaxInt), false},
		{"string longer than a reply", fmt.Sprintf("$%d\r\n", maxReply+1), false},
		{"verbatim string", fmt.Sprintf("=%d\r\n", maxReply+1), false},
		{"long error", fmt.Sprintf("!%d\r\n", maxReply+1), false},
		{"length that is none", "*1x\r\n", false},
		{"lists in lists", strings.Repeat("*1\r\n", maxLists), true},
		{"lists in too many lists", strings.Repeat("*1\r\n", maxLists+1), false},
		{"lists beside numbers in too many lists", strings.Repeat("*2\r\n:1\r\n", maxLists+1), false},
		{"line without an end", strings.Repeat("+", maxReply+1), false},
		{"reply of too many strings", strings.Repeat("$65534\r\n"+strings.Repeat("x", 65534)+"\r\n", 16), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			var g guard
			if err := g.see([]byte(test.reply)); (err == nil) != test.pass || err != nil && !errors.Is(err, errBounds) {
				t.Errorf("see = %v, want it to pass: %t", err, test.pass)
			}
		})
	}
}

var announcement = regexp.MustCompile(`^([$=!*%~>|])([+-]?[0-9]+)\r?$`)

// FuzzGuard: how the bytes of a reply arrive does not matter; and what the guard lets through announces nothing
// that is out of bounds, wherever a reader by another method finds its headers.
func FuzzGuard(f *testing.F) {
	f.Add([]byte("*4\r\n:1\r\n$1\r\n*\r\n$2\r\n\r\n\r\n$-1\r\n"), 3)
	f.Add([]byte("$14\r\n*2147483647\r\n$\r\n*2147483647\r\n"), 1)
	f.Add([]byte("\r\n*1x\n%1\n"), 2)
	f.Fuzz(func(t *testing.T, reply []byte, chunk int) {
		var whole, parts guard
		passed := whole.see(reply) == nil
		inParts := true
		for rest := reply; len(rest) > 0 && inParts; {
			n := min(len(rest), max(chunk, 1))
			inParts = parts.see(rest[:n]) == nil
			rest = rest[n:]
		}
		if passed != inParts {
			t.Fatalf("whole it passes: %t; in chunks of %d: %t", passed, chunk, inParts)
		}
		if !passed {
			return
		}
		for rest := reply; ; {
			line, after, found := bytes.Cut(rest, []byte("\n"))
			if !found {
				return
			}
			rest = after
			header := announcement.FindSubmatch(line)
			if header == nil {
				continue
			}
			n, err := strconv.Atoi(string(header[2]))
			switch isList := strings.Contains("*%~>|", string(header[1])); {
			case err != nil, isList && n > maxElements, n > maxReply:
				t.Fatalf("%q passed", line)
			case !isList && n >= 0:
				rest = rest[min(n+2, len(rest)):]
			}
		}
	})
}
