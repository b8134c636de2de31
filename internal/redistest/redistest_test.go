package redistest

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestServer(t *testing.T) {
	s := Start(t)
	addr, socket := s.Addr, s.Socket
	answers := func() error { return errors.Join(ping("tcp", addr), ping("unix", socket)) }
	if err := answers(); err != nil {
		t.Errorf("started: %v", err)
	}

	s.Pause()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatalf("a paused server takes no connections: %v", err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("PING\r\n")); err != nil {
		t.Fatal(err)
	}
	c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := c.Read(make([]byte, 64)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a paused server answered %d bytes, %v", n, err)
	}
	s.Resume()
	c.SetReadDeadline(time.Now().Add(patience))
	if _, err := c.Read(make([]byte, 64)); err != nil {
		t.Errorf("resumed: %v", err)
	}

	s.Stop()
	s.Stop()
	if err := ping("tcp", addr); err == nil {
		t.Error("a stopped server answers")
	}
	s.Restart()
	if err := answers(); err != nil || s.Addr != addr || s.Socket != socket {
		t.Errorf("started again: %v, at %s and %s; want %s and %s", err, s.Addr, s.Socket, addr, socket)
	}
	s.Pause()
	s.Stop() // a server that stands still ends as well
}

func TestNoServer(t *testing.T) {
	t.Setenv("REDIS_SERVER", "/no/such/redis-server")
	if path, err := find(); err == nil {
		t.Errorf("$REDIS_SERVER names nothing, and it found %s", path)
	}
	t.Setenv("REDIS_SERVER", "")
	t.Setenv("PATH", "")
	t.Chdir(t.TempDir()) // no go.mod above
	if path, err := find(); err == nil {
		t.Errorf("found %s in a folder without a project", path)
	}
}
