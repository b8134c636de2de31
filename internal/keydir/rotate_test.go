package keydir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/passgate/passgate/internal/keyset"
)

func rotate(t testing.TB, dir string, now time.Time, signAfter, verifyFor time.Duration) *Rotation {
	t.Helper()
	r, err := Rotate(dir, keyset.EdDSA, now, signAfter, verifyFor)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// signerAt returns the kid of the key that signs at a time.
func signerAt(t testing.TB, dir string, now time.Time) string {
	t.Helper()
	ring, err := keyset.NewRing(func() time.Time { return now }, nil, load(t, dir).Keys...)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ring.Signer()
	if err != nil {
		t.Fatal(err)
	}
	return s.KeyID()
}

// byID returns a key of a directory.
func byID(t testing.TB, dir, kid string) keyset.RingKey {
	t.Helper()
	keys := load(t, dir).Keys
	i := slices.Index(kids(keys), kid)
	if i < 0 {
		t.Fatalf("there is no key %s", kid)
	}
	return keys[i]
}

func TestRotate(t *testing.T) {
	dir, first := newDir(t, keyset.HS256)
	seal := string(load(t, dir).Seal)
	now := noon.Add(time.Hour)
	r := rotate(t, dir, now, time.Minute, 25*time.Hour)
	second := r.Made.Signer.KeyID()
	if !r.Made.Signs.Equal(now.Add(time.Minute)) || !slices.Equal(kids(r.Retired), []string{first}) || !r.Retired[0].Retired.Equal(now.Add(25*time.Hour+time.Minute)) {
		t.Errorf("%+v", r)
	}
	for at, want := range map[time.Time]string{now: first, now.Add(time.Minute - 1): first, now.Add(time.Minute): second, now.Add(1000 * time.Hour): second} {
		if got := signerAt(t, dir, at); got != want {
			t.Errorf("at %v %s signs, want %s", at, got, want)
		}
	}
	if k := byID(t, dir, first); !k.Made.Equal(noon) || !k.Signs.Equal(noon) || !k.Retired.Equal(now.Add(25*time.Hour+time.Minute)) || k.Signer.Key().Algorithm != keyset.HS256 {
		t.Errorf("the first key is %+v", k)
	}
	if k := byID(t, dir, second); !k.Made.Equal(now) || !k.Retired.IsZero() || k.Signer.Key().Algorithm != keyset.EdDSA {
		t.Errorf("the second key is %+v", k)
	}

	// The next rotation leaves the time of the first alone, unless it is to end all keys sooner.
	third := rotate(t, dir, now.Add(2*time.Hour), time.Minute, 25*time.Hour)
	if !slices.Equal(kids(third.Retired), []string{second}) || !byID(t, dir, first).Retired.Equal(now.Add(25*time.Hour+time.Minute)) {
		t.Errorf("%+v", third)
	}
	at := now.Add(3 * time.Hour)
	rotate(t, dir, at, 0, 0)
	for _, id := range []string{first, second, third.Made.Signer.KeyID()} {
		if k := byID(t, dir, id); !k.Retired.Equal(at) {
			t.Errorf("%s is retired at %v, want %v", id, k.Retired, at)
		}
	}
	if len(load(t, dir).Keys) != 4 || string(load(t, dir).Seal) != seal {
		t.Error("a key is lost, or the seal has changed")
	}
}

func TestRotateCountsPartsOfASecondWhole(t *testing.T) {
	dir, first := newDir(t, keyset.EdDSA)
	r := rotate(t, dir, noon.Add(time.Hour+900*time.Millisecond), time.Second, 1500*time.Millisecond)
	if want := noon.Add(time.Hour + time.Second); !r.Made.Signs.Equal(want) || !byID(t, dir, first).Retired.Equal(want.Add(2*time.Second)) {
		t.Errorf("%+v", r)
	}
}

// However rotations follow each other, the key that was made last signs at last, and none signs until it is retired.
func TestRotationsInQuickSuccession(t *testing.T) {
	dir, first := newDir(t, keyset.EdDSA)
	const verifyFor = time.Hour
	late := rotate(t, dir, noon, 10*time.Minute, verifyFor)
	later := rotate(t, dir, noon, 11*time.Minute, verifyFor)
	at := rotate(t, dir, noon, 0, verifyFor)             // the first has signed in this second
	same := rotate(t, dir, noon, time.Second, verifyFor) // so this one would sign when that one does
	last := rotate(t, dir, noon, 0, verifyFor)           // and so would this
	files := load(t, dir).Keys
	if len(files) != 6 {
		t.Fatalf("there are %d keys", len(files))
	}
	lastID := last.Made.Signer.KeyID()
	if signerAt(t, dir, noon) != first {
		t.Error("the first key does not sign at noon")
	}
	signed := map[string]time.Time{} // until when each key signs
	for s := range 3 * 3600 {
		now := noon.Add(time.Duration(s) * time.Second)
		ring, err := keyset.NewRing(func() time.Time { return now }, nil, files...)
		if err != nil {
			t.Fatal(err)
		}
		signer, err := ring.Signer()
		if err != nil {
			t.Fatalf("at %v: %v", now, err)
		}
		signed[signer.KeyID()] = now.Add(time.Second)
		if s >= 1 && signer.KeyID() != lastID {
			t.Fatalf("at %v %s signs, and not the last, %s", now, signer.KeyID(), lastID)
		}
	}
	for kid, until := range signed {
		if k := byID(t, dir, kid); !k.Retired.IsZero() && k.Retired.Before(until.Add(verifyFor)) {
			t.Errorf("%s signs until %v, and is retired at %v", kid, until, k.Retired)
		}
	}
	for _, r := range []*Rotation{late, later, at, same} {
		if k := byID(t, dir, r.Made.Signer.KeyID()); k.Retired.IsZero() || k.Retired.After(k.Signs) {
			t.Errorf("a key that never signs is %v to %v", k.Signs, k.Retired)
		}
	}
}

func TestRotateSignsAtOnceWhereNoKeyCan(t *testing.T) {
	dir, first := newDir(t, keyset.EdDSA)
	rotate(t, dir, noon, 0, 0)
	for _, k := range load(t, dir).Keys { // as if the directory had been forgotten
		if k.Retired.IsZero() {
			os.Remove(filepath.Join(dir, k.Signer.KeyID()+".jwk"))
		}
	}
	now := noon.Add(time.Hour)
	r := rotate(t, dir, now, time.Minute, time.Hour)
	if !r.Made.Signs.Equal(now) || r.Retired != nil || signerAt(t, dir, now) != r.Made.Signer.KeyID() {
		t.Errorf("%+v", r)
	}
	if k := byID(t, dir, first); !k.Retired.Before(now) {
		t.Errorf("the retired key came back: %+v", k)
	}
}

func TestRotateRefuses(t *testing.T) {
	dir, _ := newDir(t, keyset.EdDSA)
	for name, err := range map[string]error{
		"a negative time to sign":   second(Rotate(dir, keyset.EdDSA, noon, -1, 0)),
		"a negative time to verify": second(Rotate(dir, keyset.EdDSA, noon, 0, -1)),
		"RSA":                       second(Rotate(dir, keyset.RS256, noon, 0, 0)),
		"no directory":              second(Rotate(filepath.Join(dir, "none"), keyset.EdDSA, noon, 0, 0)),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if d := load(t, dir); len(d.Keys) != 1 || !d.Keys[0].Retired.IsZero() {
		t.Errorf("a refused rotation has changed the keys: %+v", d.Keys)
	}
	if _, err := os.Stat(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a directory was made")
	}
	write(t, filepath.Join(dir, "x.jwk"), "{}")
	if r, err := Rotate(dir, keyset.EdDSA, noon, 0, 0); r != nil || err == nil || !strings.Contains(err.Error(), "x.jwk") {
		t.Errorf("beside a broken file: %v, %v", r, err)
	}
}

func second[T any](_ T, err error) error { return err }

// A file that is written again keeps who may read it.
func TestRotateKeepsPermissions(t *testing.T) {
	dir, first := newDir(t, keyset.EdDSA)
	path := filepath.Join(dir, first+".jwk")
	const other = 12345
	asRoot := os.Geteuid() == 0
	if asRoot {
		if err := errors.Join(os.Chown(path, other, other), os.Chown(dir, other, other)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	r := rotate(t, dir, noon, 0, 0)
	made := filepath.Join(dir, r.Made.Signer.KeyID()+".jwk")
	for path, want := range map[string]fs.FileMode{path: 0o640, made: 0o600} {
		info, err := os.Stat(path)
		if err != nil || info.Mode() != want {
			t.Errorf("%s has mode %v, want %v (%v)", path, info.Mode(), want, err)
		}
		if owner := info.Sys().(*syscall.Stat_t); asRoot && (owner.Uid != other || owner.Gid != other) {
			t.Errorf("%s belongs to %d:%d", path, owner.Uid, owner.Gid)
		}
	}
}

// Commands at once lose no key, and readers beside them find whole files and a key to sign with, always.
func TestConcurrentCommands(t *testing.T) {
	dir, _ := newDir(t, keyset.EdDSA)
	const each = 9
	now := noon.Add(time.Hour)
	var writers, readers sync.WaitGroup
	done := make(chan struct{})
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				d, err := Load(dir)
				if err != nil || !CanSign(d.Keys, now) {
					t.Errorf("a reader finds %v, %v", d, err)
					return
				}
			}
		})
	}
	var mu sync.Mutex
	var made []string
	for range 4 {
		writers.Go(func() {
			for i := range each {
				var kid string
				var err error
				if i%3 == 0 {
					kid, err = New(dir, keyset.HS256, now, now)
				} else {
					var r *Rotation
					if r, err = Rotate(dir, keyset.EdDSA, now, time.Minute, time.Hour); err == nil {
						kid = r.Made.Signer.KeyID()
					}
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				made = append(made, kid)
				mu.Unlock()
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
	keys := load(t, dir).Keys
	if len(keys) != 1+4*each {
		t.Errorf("%d keys are left of %d", len(keys), 1+4*each)
	}
	for _, kid := range made {
		if !slices.Contains(kids(keys), kid) {
			t.Errorf("the key %s is lost", kid)
		}
	}
	for _, at := range []time.Duration{0, time.Minute, 1000 * time.Hour} {
		if !CanSign(keys, now.Add(at)) {
			t.Errorf("no key signs %v after", at)
		}
	}
	if entries, err := filepath.Glob(filepath.Join(dir, ".passgate-key-*")); err != nil || entries != nil {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestALockThatIsHeldIsAnError(t *testing.T) {
	dir, _ := newDir(t, keyset.EdDSA)
	unlock, err := lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) { // where a wait takes no time
		if _, err := New(dir, keyset.EdDSA, noon, noon); !errors.Is(err, syscall.EWOULDBLOCK) || !strings.Contains(err.Error(), "another command") {
			t.Errorf("beside one that holds the lock: %v", err)
		}
	})
	unlock()
	if _, err := New(dir, keyset.EdDSA, noon, noon); err != nil {
		t.Errorf("after it: %v", err)
	}
}

// Who verifies reads sets of a bounded length: a directory does not grow past it.
func TestKeysThatVerifyAreBounded(t *testing.T) {
	dir, _ := newDir(t, keyset.EdDSA)
	for n := 1; n < maxLive; n++ {
		if _, err := New(dir, keyset.EdDSA, noon, noon); err != nil {
			t.Fatalf("key %d: %v", n+1, err)
		}
	}
	if _, err := New(dir, keyset.EdDSA, noon, noon); err == nil {
		t.Error("one key too many was made")
	}
	if _, err := Rotate(dir, keyset.EdDSA, noon, 0, time.Hour); err == nil {
		t.Error("one key too many was rotated to")
	}
	if keys := load(t, dir).Keys; len(keys) != maxLive {
		t.Errorf("there are %d keys", len(keys))
	}
	rotate(t, dir, noon, 0, 0) // which ends them all
}
