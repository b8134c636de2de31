package config

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
)

// KeyFile is where [Default] looks for a key, in the working directory, when the environment has none.
const KeyFile = "passgate.key"

// GenerateKey writes a new HS256 key to a file that only its owner can read. The key is the text of the
// file: 32 random bytes in base64url. The file appears whole or not at all; if it exists it is left alone
// and the error wraps [fs.ErrExist].
func GenerateKey(path string) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("make a key: %w", err)
		}
	}()
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails
	f, err := os.CreateTemp(filepath.Dir(path), ".passgate-key-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := f.Chmod(0o600); err != nil {
		return err
	}
	if _, err := f.WriteString(base64.RawURLEncoding.EncodeToString(random[:]) + "\n"); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	// A link, unlike a rename, fails where another process was first.
	return os.Link(f.Name(), path)
}
