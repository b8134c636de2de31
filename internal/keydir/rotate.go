package keydir

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/passgate/passgate/internal/keyset"
)

// New puts a fresh key into a directory, which it makes if it is missing, and the seal, if that is missing. The key
// signs from the second of signs on; the keys that are there stay as they are. It returns the kid.
func New(dir string, a keyset.Algorithm, signs, now time.Time) (kid string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	unlock, err := lock(dir)
	if err != nil {
		return "", err
	}
	defer unlock()
	files, err := readAll(dir)
	if err != nil { // no key is added to what cannot be read
		return "", err
	}
	f, err := fresh(files, files, a, signs, now)
	if err != nil {
		return "", err
	}
	return f.Kid, add(dir, f)
}

// Rotation is what [Rotate] did.
type Rotation struct {
	Made    keyset.RingKey   // the new key
	Retired []keyset.RingKey // those that it follows, with the time from when they verify no more
}

// Rotate puts a fresh key into a directory that signs after signsAfter, or at once where no key can sign now. Every
// key is retired verifyFor after that, when the last token that it signed is to have expired, if it is not sooner; one
// that had yet to sign does not come to it. Times are in whole seconds. The new key is in place before a file is
// changed, so that a reader finds keys to sign with at any moment, and so does one after a crash.
func Rotate(dir string, a keyset.Algorithm, now time.Time, signsAfter, verifyFor time.Duration) (*Rotation, error) {
	if signsAfter < 0 || verifyFor < 0 {
		return nil, errors.New("rotate: a duration is negative")
	}
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil, &FileError{File: dir, Text: "there is no such directory; " + makeOne(dir), Err: err}
	}
	unlock, err := lock(dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	files, err := readAll(dir)
	if err != nil {
		return nil, err
	}
	beside := files
	if verifyFor == 0 {
		beside = nil // they end when the new one signs
	}
	f, err := fresh(files, beside, a, nextSigns(files, now, signsAfter), now)
	if err != nil {
		return nil, err
	}
	if err := add(dir, f); err != nil {
		return nil, err
	}
	r := &Rotation{Made: f.ringKey()}
	// A part of a second counts whole: a token must not outlive its key.
	retires := f.Nbf + int64((verifyFor+time.Second-1)/time.Second)
	for _, old := range files {
		switch {
		case old.Nbf >= f.Nbf && (old.Exp == 0 || old.Exp > f.Nbf):
			old.Exp = f.Nbf // it would be the newest when its time comes, and sign until it is retired
		case old.Exp == 0 || old.Exp > retires: // sooner than an earlier rotation said, too: a key may have leaked
			old.Exp = retires
		default:
			continue
		}
		if err := rewrite(old); err != nil {
			return nil, err
		}
		r.Retired = append(r.Retired, old.ringKey())
	}
	return r, nil
}

// nextSigns returns from when the key after these signs: not before it is newer than each that may have signed.
func nextSigns(files []keyFile, now time.Time, after time.Duration) time.Time {
	if !CanSign(ringKeys(files), now) {
		after = 0
	}
	signs := now.Add(after)
	for _, f := range files {
		if newer := time.Unix(f.Nbf+1, 0); f.Nbf <= now.Unix() && signs.Before(newer) {
			signs = newer
		}
	}
	return signs
}

// CanSign reports whether one of the keys may sign now.
func CanSign(keys []keyset.RingKey, now time.Time) bool {
	ring, err := keyset.NewRing(func() time.Time { return now }, nil, keys...)
	if err != nil {
		return false
	}
	_, err = ring.Signer()
	return err == nil
}

// fresh returns the file of a new random key for a directory that has others, some of which verify beside it.
func fresh(others, beside []keyFile, a keyset.Algorithm, signs, now time.Time) (keyFile, error) {
	if len(others) >= maxFiles {
		return keyFile{}, fmt.Errorf("the directory has %d keys, the most there may be; remove retired ones", len(others))
	}
	live := 0
	for _, f := range beside {
		if !f.ringKey().RetiredAt(now) {
			live++
		}
	}
	if live >= maxLive {
		return keyFile{}, fmt.Errorf("%d keys of the directory would verify beside the new one, the most there may be: verifiers read no longer sets; wait until some are retired, or rotate with --verify-for 0s, which ends all", live)
	}
	text, err := keyset.NewPrivateJWK(a)
	if err != nil {
		return keyFile{}, err
	}
	return parseKeyFile([]byte(fmt.Sprintf(`%s,"iat":%d,"nbf":%d}`, strings.TrimSuffix(string(text), "}"), now.Unix(), signs.Unix())))
}

// add writes the file of a new key, and the seal before it if there is none: a reader that finds the key is to find
// both.
func add(dir string, f keyFile) error {
	var random [sealSize]byte
	_, _ = rand.Read(random[:]) // never fails
	seal := base64.RawURLEncoding.EncodeToString(random[:]) + "\n"
	if err := Create(filepath.Join(dir, sealFile), []byte(seal)); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	text, err := f.text()
	if err != nil {
		return err
	}
	return Create(filepath.Join(dir, f.Kid+suffix), text)
}
