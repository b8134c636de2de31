// Package keydir keeps signing keys in a directory, one file each, so that they can be rotated by a command, mounted
// from a Secret, and read by every replica.
//
// A file KID.jwk holds one private JWK (RFC 7517) whose kid is its thumbprint (RFC 7638), with the times of its life
// as seconds since 1970: iat, when it was made; nbf, from when it signs; exp, from when it verifies no more, absent
// while nothing follows it. The file seal.key holds 32 random bytes in base64url. It is made with the first key and
// never changes, as it seals what one replica stores and another one reads. Other files are no matter of this
// package. What a key is used for is left to [keyset.Ring]; no file is ever removed here.
package keydir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/passgate/passgate/internal/keyset"
	"github.com/passgate/passgate/internal/strict"
)

const (
	suffix    = ".jwk"
	sealFile  = "seal.key"
	sealSize  = 32   // bytes
	maxFiles  = 1000 // keys in one directory
	maxLive   = 64   // of those that are not retired: a set of keys that is fetched has 100 at most
	maxBytes  = 64 << 10
	toOthers  = 0o077 // permissions of group and others
	ownerOnly = 0o600
)

// Dir is what a directory holds.
type Dir struct {
	Keys []keyset.RingKey // newest first
	Seal []byte           // 32 bytes, the same in all replicas

	// Exposed are the paths of the files that the group or others may read or write, for a warning.
	Exposed []string
}

// FileError says what is wrong with a file of a directory, or with the directory.
type FileError struct {
	File string
	Text string // holds nothing of a key
	Err  error  // of the file system, or nil
}

func (e *FileError) Error() string { return e.File + ": " + e.Text }

func (e *FileError) Unwrap() error { return e.Err }

// Load reads a directory, which must hold a key and the seal. A failure is a [*FileError].
func Load(dir string) (*Dir, error) {
	files, err := readAll(dir)
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, &FileError{File: dir, Text: "there is no key in it; " + makeOne(dir), Err: fs.ErrNotExist}
	}
	d := &Dir{Keys: ringKeys(files)}
	for _, f := range files {
		if f.mode.Perm()&toOthers != 0 {
			d.Exposed = append(d.Exposed, f.path)
		}
	}
	path := filepath.Join(dir, sealFile)
	text, info, err := readFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, &FileError{File: path, Text: "the file is missing; copy it from another replica, or, without one, " + makeOne(dir), Err: err}
	case err != nil:
		return nil, err
	}
	if info.Mode().Perm()&toOthers != 0 {
		d.Exposed = append(d.Exposed, path)
	}
	d.Seal, err = strict.Base64URL(strings.TrimSuffix(string(text), "\n"))
	if err != nil || len(d.Seal) != sealSize {
		return nil, &FileError{File: path, Text: fmt.Sprintf("it is not %d bytes in base64url and a line break", sealSize)}
	}
	return d, nil
}

// List returns the keys in a directory, newest first, which may be none. A failure is a [*FileError].
func List(dir string) ([]keyset.RingKey, error) {
	files, err := readAll(dir)
	if err != nil {
		return nil, err
	}
	return ringKeys(files), nil
}

func makeOne(dir string) string { return fmt.Sprintf("run: passgate keys new --dir %s", dir) }

func ringKeys(files []keyFile) []keyset.RingKey {
	keys := make([]keyset.RingKey, len(files))
	for i, f := range files {
		keys[i] = f.ringKey()
	}
	return keys
}

// IsPart reports whether a file of this name in a directory means anything to [Load].
func IsPart(name string) bool { return isKey(name) || name == sealFile }

func isKey(name string) bool { return !strings.HasPrefix(name, ".") && strings.HasSuffix(name, suffix) }

// readAll reads the key files of a directory, newest first.
func readAll(dir string) ([]keyFile, error) {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, &FileError{File: dir, Text: "there is no such directory; " + makeOne(dir), Err: err}
	case err != nil:
		return nil, &FileError{File: dir, Text: "cannot read the directory: " + cause(err), Err: err}
	}
	var files []keyFile
	for _, e := range entries {
		name := e.Name()
		if !isKey(name) {
			continue
		}
		if len(files) == maxFiles {
			return nil, &FileError{File: dir, Text: fmt.Sprintf("there are more than %d keys in it; remove retired ones", maxFiles)}
		}
		path := filepath.Join(dir, name)
		text, info, err := readFile(path)
		if err != nil {
			return nil, err
		}
		f, err := parseKeyFile(text)
		if err != nil {
			return nil, &FileError{File: path, Text: err.Error()}
		}
		if name != f.Kid+suffix {
			return nil, &FileError{File: path, Text: "the file is not named after its kid; name it " + f.Kid + suffix}
		}
		f.path, f.mode = path, info.Mode()
		files = append(files, f)
	}
	slices.SortFunc(files, keyFile.compare)
	return files, nil
}

// readFile reads a regular file, or one behind a link, as mounted Secrets have them.
func readFile(path string) ([]byte, fs.FileInfo, error) {
	fault := func(err error) error {
		return &FileError{File: path, Text: "cannot read the file: " + cause(err), Err: err}
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, nil, fault(err)
	}
	if !info.Mode().IsRegular() { // a pipe would be waited for
		return nil, nil, &FileError{File: path, Text: "it is not a file"}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fault(err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err != nil {
		return nil, nil, fault(err)
	}
	if len(text) > maxBytes {
		return nil, nil, &FileError{File: path, Text: fmt.Sprintf("it is larger than %d KiB", maxBytes>>10)}
	}
	return text, info, nil
}

// cause returns what an error of the file system says apart from the file's name.
func cause(err error) string {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err.Error()
	}
	return err.Error()
}
