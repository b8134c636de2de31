package config

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"unicode/utf8"

	"github.com/passgate/passgate/internal/keydir"
	"github.com/passgate/passgate/internal/keyset"
	"github.com/passgate/passgate/internal/yamlstrict"
)

// KeyFile is where [Default] looks for a key, in the working directory, when the environment has none.
const KeyFile = "passgate.key"

// keyVariable is what the embedded default reads its key from.
const keyVariable = "PASSGATE_JWT_SECRET"

// GenerateKey writes a new HS256 key to a file that only its owner can read. The key is the text of the
// file: 32 random bytes in base64url. The file appears whole or not at all; if it exists it is left alone
// and the error wraps [fs.ErrExist].
func GenerateKey(path string) error {
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails
	if err := keydir.Create(path, []byte(base64.RawURLEncoding.EncodeToString(random[:])+"\n")); err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	return nil
}

// withKeyFile returns env with the key in [KeyFile], where the environment has none of its own and the file
// exists. A failure is of type [Errors].
func (l *loader) withKeyFile(env yamlstrict.Lookup) (yamlstrict.Lookup, error) {
	if env == nil {
		env = noEnv
	}
	if secret, _ := env(keyVariable); secret != "" {
		return env, nil
	}
	// A link to nowhere is a broken key, and not the absence of one.
	if _, err := os.Lstat(KeyFile); errors.Is(err, fs.ErrNotExist) {
		return env, nil
	}
	key, err := l.read(KeyFile, maxKeyFile)
	key = withoutFinalNewline(key)
	// What would be a fault of the variable is said here, where it can name the file.
	wrong := ""
	switch {
	case err != nil:
		wrong = "cannot read the key: " + cause(err)
	case len(key) < minSecret:
		wrong = fmt.Sprintf("the key is shorter than %d bytes", minSecret)
	case !utf8.Valid(key) || bytes.IndexByte(key, 0) >= 0 || keyset.LooksPublic(key):
		wrong = "is not a secret in text"
	}
	if wrong != "" {
		return nil, Errors{{File: KeyFile, Text: wrong + "; remove the file, and passgate serve makes a new one", Err: err}}
	}
	return func(name string) (string, bool) {
		if name == keyVariable {
			return string(key), true
		}
		return env(name)
	}, nil
}
