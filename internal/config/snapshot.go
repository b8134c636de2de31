package config

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"path/filepath"
)

// Snapshot is what files held when they were read, by the name that the process finds each by: a digest of its
// content, or for a directory of all in it. A file is looked at by its content and not by its times: behind the name
// may be a link that now leads elsewhere, as ConfigMaps are swapped.
type Snapshot map[string][sha256.Size]byte

// Changed reports whether a file holds something else now, or can no longer be read.
func (s Snapshot) Changed() bool {
	return !maps.Equal(s, s.Again())
}

// Again returns what the files hold now. One that cannot be read is as if it held nothing.
func (s Snapshot) Again() Snapshot {
	now := make(Snapshot, len(s))
	for path := range s {
		now[path] = digestOf(path)
	}
	return now
}

// clone returns a copy, which the loader no longer writes to.
func (s Snapshot) clone() Snapshot { return maps.Clone(s) }

const maxWatched = 16 << 20 // bytes of one file

// digestOf returns the digest of a file, or of the files in a directory by their names. What cannot be read counts as
// empty.
func digestOf(path string) (digest [sha256.Size]byte) {
	entries, err := os.ReadDir(path)
	if err != nil {
		data, _ := readFile(path, maxWatched)
		return sha256.Sum256(data)
	}
	all := sha256.New()
	for _, e := range entries {
		data, _ := readFile(filepath.Join(path, e.Name()), maxWatched)
		fmt.Fprintf(all, "%q %x\n", e.Name(), sha256.Sum256(data))
	}
	all.Sum(digest[:0])
	return digest
}
