package apikey

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"hash/crc32"
	"log/slog"
	"math/big"
	"strings"

	"github.com/passgate/passgate/internal/authz"
)

// Prefix begins every key, so that people and scanners for leaked secrets know one when they see it.
const Prefix = authz.APIKeyPrefix

// The shape of a key: Prefix, 256 random bits as a number in base 62, and the CRC-32 (IEEE) of all that stands
// before it, in base 62 too. Both numbers have zeros in front up to their full width, so that a key matches
// ^pgk_[0-9A-Za-z]{49}$. A double click marks the whole of it.
const (
	randomWidth   = 43 // 62^43 > 2^256
	checksumWidth = 6  // 62^6 > 2^32
	keyLength     = len(Prefix) + randomWidth + checksumWidth

	digits = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" // as in big.Int.Text
)

// Key is a new key in clear text. It does not print: as a value, in every format and encoding, it is the word redacted.
// The key itself is had by conversion to string.
type Key string

// Format implements [fmt.Formatter], for every verb, %#v among them.
func (Key) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("redacted")) }

// String implements [fmt.Stringer].
func (Key) String() string { return "redacted" }

// LogValue implements [slog.LogValuer].
func (Key) LogValue() slog.Value { return slog.StringValue("redacted") }

// MarshalText implements [encoding.TextMarshaler], for JSON and YAML.
func (Key) MarshalText() ([]byte, error) { return []byte("redacted"), nil }

// Generate returns a key that nobody has, of 256 random bits.
func Generate() Key {
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails
	return keyOf(random)
}

func keyOf(random [32]byte) Key {
	number := new(big.Int).SetBytes(random[:]).Text(len(digits))
	body := Prefix + strings.Repeat("0", randomWidth-len(number)) + number
	return Key(body + checksum(body))
}

// Digest returns the SHA-256 of a key as it was presented, prefix and checksum included: what the API key file
// holds in place of the key. A key is random through and through, so that no salt and no slow hash is needed.
func Digest(key string) [sha256.Size]byte { return sha256.Sum256([]byte(key)) }

// WellFormed reports whether a text has the shape of a key: its exact length, prefix and alphabet, and a checksum
// that is right. A slip of the pen and a key that was cut short are thus told apart from one that is not known.
func WellFormed(key string) bool { return malformed(key) == "" }

// malformed says why a text is no key, without any of it, or "" if it has the shape of one.
func malformed(key string) string {
	switch {
	case key == "":
		return "it is empty"
	case !strings.HasPrefix(key, Prefix):
		return "it does not begin with " + Prefix
	case len(key) != keyLength:
		return fmt.Sprintf("it has %d bytes and not %d", len(key), keyLength)
	case strings.Trim(key[len(Prefix):], digits) != "":
		return "it holds a character that is neither a letter nor a digit"
	}
	body := key[:keyLength-checksumWidth]
	if key[len(body):] != checksum(body) {
		return "its checksum is wrong, so it was altered or mistyped"
	}
	return ""
}

// checksum returns the CRC-32 of a text in base 62.
func checksum(body string) string {
	var text [checksumWidth]byte
	sum, base := crc32.ChecksumIEEE([]byte(body)), uint32(len(digits))
	for i := len(text) - 1; i >= 0; i-- {
		text[i] = digits[sum%base]
		sum /= base
	}
	return string(text[:])
}
