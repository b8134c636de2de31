package config

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"path/filepath"

	"github.com/passgate/passgate/internal/keydir"
)

// Snapshot is what files held when they were read, by the name that the process finds each by: a digest of its
// content, or for a directory of keys those of its keys. A file is looked at by its content and not by its times:
// behind the name may be a link that now leads elsewhere, as ConfigMaps are swapped.
type Snapshot map[string][sha256.Size]byte

// Changed reports whether a file holds something else now, or can no longer be read.
func (s Snapshot) Changed() bool {
	return !s.Equal(s.Again())
}

// Equal reports whether two snapshots are of the same files with the same content.
func (s Snapshot) Equal(other Snapshot) bool { return maps.Equal(s, other) }

// Again returns what the files hold now. One that cannot be read is as if it held nothing.
func (s Snapshot) Again() Snapshot {
	now := make(Snapshot, len(s))
	for path := range s {
		now[path] = digestOf(path)
	}
	return now
}

// content returns what a file holds. To open anything but a file could take for ever.
func content(path string) []byte {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return nil
	}
	data, _ := readFile(path, maxWatched)
	return data
}

const maxWatched = 16 << 20 // bytes of one file

// digestOf returns the digest of a file, or of the keys in a directory. What cannot be read counts as empty.
func digestOf(path string) (digest [sha256.Size]byte) {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return sha256.Sum256(content(path))
	}
	entries, _ := os.ReadDir(path)
	all := sha256.New()
	for _, e := range entries {
		if !keydir.IsPart(e.Name()) {
			continue // what else stands there, a log perhaps, changes nothing
		}
		fmt.Fprintf(all, "%q %x\n", e.Name(), sha256.Sum256(content(filepath.Join(path, e.Name()))))
	}
	all.Sum(digest[:0])
	return digest
}
