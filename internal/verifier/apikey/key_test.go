package apikey

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"
)

// These were computed apart from this package, with zlib's crc32 and hashlib's sha256 in Python.
func TestKnownKeys(t *testing.T) {
	var counting, ones [32]byte
	for i := range counting {
		counting[i], ones[i] = byte(i), 0xff
	}
	for _, test := range []struct {
		random      [32]byte
		key, digest string
	}{
		{[32]byte{}, "pgk_00000000000000000000000000000000000000000001DbeB0", "4d8b740276d76935e0156668676d2e20a3e39ef8fc52507483b2dc8643ebf39d"},
		{ones, "pgk_YHJSKWDa6oz1al1yMhwzwM8llg7hJNUca2J5RoW8xP14i4H95", "965e184af74b2076394fb9cc3cb7585e9457c475f763b623a405d62bf395991f"},
		{counting, "pgk_003AuLtjc7TJLctqJ2Unu3mfAGcxg9lrkrCWgKbidLF0q0iTB", "af62f714eac376b0ab1d4a480e8c2085155ebe92d93a3b05448a0a97c2de1cb5"},
	} {
		if got := string(keyOf(test.random)); got != test.key {
			t.Errorf("the key of %x is %s, want %s", test.random, got, test.key)
		}
		if !WellFormed(test.key) {
			t.Errorf("%s is not well-formed: %s", test.key, malformed(test.key))
		}
		if got := Digest(test.key); hex.EncodeToString(got[:]) != test.digest {
			t.Errorf("the digest of %s is %x, want %s", test.key, got, test.digest)
		}
	}
}

func TestGeneratedKeysAreDistinctAndWellFormed(t *testing.T) {
	shape := regexp.MustCompile(`^pgk_[0-9A-Za-z]{49}$`)
	seen := map[Key]bool{}
	for range 1000 {
		k := Generate()
		if seen[k] {
			t.Fatal("a key was generated twice")
		}
		seen[k] = true
		if !shape.MatchString(string(k)) || !WellFormed(string(k)) {
			t.Fatalf("a generated key of %d bytes is not well-formed: %s", len(string(k)), malformed(string(k)))
		}
	}
}

// Nothing of a key is fixed but its prefix: over many keys, every place takes more than a few characters.
func TestEveryPlaceOfAKeyIsRandom(t *testing.T) {
	var seen [keyLength]map[byte]bool
	for range 1000 {
		k := string(Generate())
		for i := range k {
			if seen[i] == nil {
				seen[i] = map[byte]bool{}
			}
			seen[i][k[i]] = true
		}
	}
	for i, characters := range seen[len(Prefix):] {
		// The first of the checksum is 0 to 4: 62^5 goes four times into 2^32.
		if least := 20; len(characters) < least && i != randomWidth {
			t.Errorf("the place %d after the prefix takes only %d characters", i, len(characters))
		}
	}
}

// CRC-32 finds every fault of one byte, and the checksum has one spelling.
func TestOneWrongCharacterIsNotWellFormed(t *testing.T) {
	key := string(Generate())
	for i := range key {
		for c := range 256 {
			altered := key[:i] + string([]byte{byte(c)}) + key[i+1:]
			if altered != key && WellFormed(altered) {
				t.Errorf("well-formed with %#x at place %d", c, i)
			}
		}
		if cut := key[:i] + key[i+1:]; WellFormed(cut) {
			t.Errorf("well-formed without place %d", i)
		}
		if doubled := key[:i] + key[i:i+1] + key[i:]; WellFormed(doubled) {
			t.Errorf("well-formed with place %d twice", i)
		}
		if i > 0 && key[i] != key[i-1] {
			if swapped := key[:i-1] + key[i:i+1] + key[i-1:i] + key[i+1:]; WellFormed(swapped) {
				t.Errorf("well-formed with place %d and the one before it swapped", i)
			}
		}
	}
}

func TestKeyNeverPrints(t *testing.T) {
	k := Generate()
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("made", "key", k, "in", struct{ K Key }{k})
	slog.New(slog.NewTextHandler(&log, nil)).Info("made", "key", k, "in", struct{ K Key }{k})
	// A handler may look into values without asking for their text.
	if v := slog.AnyValue(k).Resolve(); v.Kind() != slog.KindString {
		t.Errorf("a log handler is given the %s", v.Kind())
	}
	encoded, err := json.Marshal(map[string]any{"key": k, "keys": []Key{k}, "in": struct{ K *Key }{&k}})
	if err != nil {
		t.Fatal(err)
	}
	printed := fmt.Sprintf("%v %+v %#v %s %q %x %d %v %+v %#v", k, k, k, k, k, k, k, []Key{k}, struct{ K Key }{k}, &k) + k.String() + fmt.Sprint(k)
	for _, text := range []string{log.String(), string(encoded), printed} {
		if strings.Contains(text, string(k)) || strings.Contains(text, hex.EncodeToString([]byte(k))) {
			t.Errorf("the key is shown: %s", text)
		}
		if !strings.Contains(text, "redacted") {
			t.Errorf("nothing is redacted: %s", text)
		}
	}
}
