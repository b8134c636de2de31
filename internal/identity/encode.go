package identity

import "strings"

const upperHex = "0123456789ABCDEF"

// encode returns a value that is safe in a header and can be read back: percent-decoding it gives s
// (RFC 3986 §2.1).
func encode(s string) string { return escape(s, "") }

// encodeList joins values by commas; a comma inside one is encoded.
func encodeList(values []string) string {
	encoded := make([]string, len(values))
	for i, v := range values {
		encoded[i] = escape(v, ",")
	}
	return strings.Join(encoded, ",")
}

// escape percent-encodes control and non-ASCII bytes, the percent sign, blanks at either end, which HTTP
// strips (RFC 9110 §5.5), and the bytes of also.
func escape(s, also string) string {
	inner := strings.TrimLeft(s, " ")
	first := len(s) - len(inner)
	last := first + len(strings.TrimRight(inner, " "))
	return escapeWhere(s, func(i int, c byte) bool {
		return c < ' ' || c >= 0x7f || c == '%' || c == ' ' && (i < first || i >= last) || strings.IndexByte(also, c) >= 0
	})
}

// escapeReserved percent-encodes all but the unreserved characters of RFC 3986 §2.3.
func escapeReserved(s string) string {
	return escapeWhere(s, func(_ int, c byte) bool {
		return !isAlphanumeric(c) && strings.IndexByte("-._~", c) < 0
	})
}

func escapeWhere(s string, escaped func(i int, c byte) bool) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if escaped(i, c) {
			b.WriteByte('%')
			b.WriteByte(upperHex[c>>4])
			b.WriteByte(upperHex[c&15])
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
