package main

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// socketDir returns a folder whose name leaves room for a socket's.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "passgate-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func onSocket(path string) string {
	return `
listen: {grpc: "unix://` + path + `", ops: "127.0.0.1:0"}
drain: {wait: 0s, timeout: 5s}
`
}

func TestServeOnAUnixSocket(t *testing.T) {
	path := filepath.Join(socketDir(t), "grpc.sock")
	// What a process leaves that was killed.
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()

	s := startServer(t, newCLI(), onSocket(path))
	info, err := os.Stat(path)
	if err != nil || info.Mode() != fs.ModeSocket|0o660 {
		t.Errorf("the socket is %v, %v", info, err)
	}
	if answer := check(t, dial(t, "unix://"+path), "/docs/x", ""); answer.GetOkResponse() == nil {
		t.Errorf("Check answered %v", answer)
	}

	// A second process takes neither the socket nor its file away.
	newCLI().run(t, "serve", "--config", s.config).must(t, exitFault).mustFail(t, "another process listens there")
	if answer := check(t, dial(t, "unix://"+path), "/docs/x", ""); answer.GetOkResponse() == nil {
		t.Errorf("after a second start Check answered %v", answer)
	}
	if code := s.end(); code != exitOK {
		t.Errorf("exit status %d", code)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is left behind: %v", err)
	}
}

func TestServeReplacesNothingButASocket(t *testing.T) {
	path := filepath.Join(socketDir(t), "grpc.sock")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := tempFile(t, "passgate.yaml", cliConfig+onSocket(path))
	newCLI().run(t, "serve", "--config", file).must(t, exitFault).mustFail(t, "address already in use")
	if kept, err := os.ReadFile(path); err != nil || string(kept) != "precious" {
		t.Errorf("the file is now %q, %v", kept, err)
	}
}

// A socket whose queue is full refuses a caller, and is in use all the same.
func TestServeDoesNotReplaceABusySocket(t *testing.T) {
	path := filepath.Join(socketDir(t), "grpc.sock")
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	for full := false; !full; {
		c, err := net.Dial("unix", path)
		if full = err != nil; !full {
			defer c.Close()
		}
	}
	if l, err := listenGRPC("unix://" + path); err == nil {
		l.Close()
		t.Error("listened in the place of another process")
	}
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the socket was taken away: %v", err)
	}
}
