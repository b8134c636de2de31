package idempotency

import "errors"

// ErrKey says that a request's Idempotency-Key is none.
var ErrKey = errors.New("want one Idempotency-Key of 1 to 255 visible ASCII characters")

const maxKey = 255 // characters

// ParseKey returns the key that the values of a request's Idempotency-Key headers give, "" if there is no such
// header. A key stands bare or as a string of RFC 8941 §3.3.3, in quotes; both are one key. The error is [ErrKey].
func ParseKey(values []string) (string, error) {
	if len(values) == 0 {
		return "", nil
	}
	key := values[0]
	if len(key) > 0 && key[0] == '"' {
		key = unquote(key)
	}
	if len(values) > 1 || len(key) > maxKey || !isVisible(key) {
		return "", ErrKey
	}
	return key, nil
}

// unquote returns what a string in quotes says, "" if it is none. A backslash stands before a quote or another
// backslash, and nowhere else.
func unquote(s string) string {
	var key []byte
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' && i == len(s)-1:
			return string(key)
		case c == '"':
			return ""
		case c == '\\':
			i++
			if i == len(s) || s[i] != '"' && s[i] != '\\' {
				return ""
			}
			key = append(key, s[i])
		default:
			key = append(key, c)
		}
	}
	return ""
}

// isVisible reports whether s is a non-empty run of visible ASCII characters.
func isVisible(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != ""
}
