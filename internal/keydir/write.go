package keydir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Create writes a key to a file that was not there and that its owner alone can read, whole or not at all. The error
// wraps [fs.ErrExist] if it was there.
func Create(path string, data []byte) error {
	dir, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return err
	}
	temp, err := writeTemp(path, data, ownerOnly, dir)
	if err != nil {
		return err
	}
	defer os.Remove(temp)
	// A link, unlike a rename, fails where the file exists.
	if err := os.Link(temp, path); err != nil {
		return err
	}
	return syncDir(path)
}

// rewrite replaces the file of a key as a whole. Its owner and permissions stay: who reads it goes on doing so.
func rewrite(f keyFile) error {
	info, err := os.Stat(f.path)
	if err != nil {
		return err
	}
	text, err := f.text()
	if err != nil {
		return err
	}
	temp, err := writeTemp(f.path, text, info.Mode().Perm(), info)
	if err != nil {
		return err
	}
	defer os.Remove(temp) // of no effect after the rename
	if err := os.Rename(temp, f.path); err != nil {
		return err
	}
	return syncDir(f.path)
}

// writeTemp writes a file beside path whose owner is that of like, as far as this process may give files away: a
// server that runs as another user than the command must be able to read it.
func writeTemp(path string, data []byte, mode fs.FileMode, like fs.FileInfo) (name string, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".passgate-key-*")
	if err != nil {
		return "", err
	}
	defer func() {
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	if owner, ok := like.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
		if err := f.Chown(int(owner.Uid), int(owner.Gid)); err != nil {
			return "", err
		}
	}
	if err := f.Chmod(mode); err != nil {
		return "", err
	}
	if _, err := f.Write(data); err != nil {
		return "", err
	}
	return f.Name(), f.Sync()
}

// syncDir sees to it that a new name of a file outlasts a loss of power.
func syncDir(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Two commands at once wait for each other so long. Each takes milliseconds.
const (
	lockFile  = ".lock"
	lockTries = 3000
	lockEvery = 10 * time.Millisecond
)

// lock keeps other processes from changing the directory until unlock is called, or this one ends: the system gives
// the lock back (flock), so that none stays behind.
func lock(dir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_RDWR|os.O_CREATE, ownerOnly)
	if err != nil {
		return nil, err
	}
	for range lockTries {
		if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			break
		}
		time.Sleep(lockEvery)
	}
	f.Close()
	return nil, fmt.Errorf("cannot lock %s, as another command may be changing keys: %w", f.Name(), err)
}
