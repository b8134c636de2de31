package policy

import (
	"strings"
	"unicode/utf8"
)

// pathRules says which forms of a path are taken that are refused otherwise.
type pathRules struct{ semicolon, doubleSlash bool }

// parse decodes a request path once and returns its segments; "/" has one, empty, and a trailing slash
// leaves an empty one at the end. A path that servers are known to read in different ways is refused, and
// why says which form it has (contract §4; RFC 3986 §3.3, §6.2).
func (rules pathRules) parse(raw string) (segments []string, why string) {
	if raw == "" || raw[0] != '/' {
		return nil, "it does not begin with /"
	}
	decoded, why := rules.decode(raw)
	if why != "" {
		return nil, why
	}
	segments = strings.Split(decoded[1:], "/")
	for i, segment := range segments {
		if segment == "" && i < len(segments)-1 && !rules.doubleSlash {
			return nil, "it has an empty segment (//)"
		}
		// With semicolon, "..;x" is still two dots to servers that know path parameters.
		name, _, _ := strings.Cut(segment, ";")
		if name == "." || name == ".." {
			return nil, "it has a dot segment"
		}
	}
	return segments, ""
}

// decode replaces the escapes of a path, none of which may stand for a character with a meaning of its
// own.
func (rules pathRules) decode(raw string) (decoded, why string) {
	for i := range len(raw) {
		switch c := raw[i]; {
		case c < ' ' || c == 0x7f:
			return "", "it has a control byte"
		case c == ' ':
			return "", "it has a raw blank"
		case c == '\\':
			return "", `it has a \`
		case c == '#' || c == '?':
			return "", "it has a # or a ?"
		case c == ';' && !rules.semicolon:
			return "", "it has a ;"
		}
	}
	decoded = raw
	if strings.Contains(raw, "%") {
		if decoded, why = unescape(raw); why != "" {
			return "", why
		}
	}
	if !utf8.ValidString(decoded) {
		return "", "it is not UTF-8"
	}
	return decoded, ""
}

// unescape decodes percent-encoding (RFC 3986 §2.1).
func unescape(raw string) (decoded, why string) {
	var b strings.Builder
	literal, rest, escaped := strings.Cut(raw, "%")
	b.WriteString(literal)
	for escaped {
		if len(rest) < 2 || !isHex(rest[0]) || !isHex(rest[1]) {
			return "", "it has a % without two hex digits"
		}
		c := unhex(rest[0])<<4 | unhex(rest[1])
		if c < ' ' || c == 0x7f {
			return "", "it has an encoded control byte"
		}
		if strings.IndexByte(`/\.;`, c) >= 0 {
			return "", "it has an encoded " + string(c)
		}
		b.WriteByte(c)
		literal, rest, escaped = strings.Cut(rest[2:], "%")
		b.WriteString(literal)
	}
	decoded = b.String()
	// Whatever way the % and the digits were written, a hop that decodes again would see another path.
	for i := 0; i+2 < len(decoded); i++ {
		if decoded[i] == '%' && isHex(decoded[i+1]) && isHex(decoded[i+2]) {
			return "", "it is encoded twice"
		}
	}
	return decoded, ""
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	}
	return c - 'a' + 10
}
