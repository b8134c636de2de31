package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// process is a program that a test started. It ends with the test at the latest, and its output is shown if
// the test fails.
type process struct {
	name string
	cmd  *exec.Cmd
	out  string        // file with its standard output
	err  string        // file with its standard error
	gone chan struct{} // closed when it has ended
}

func startProcess(t *testing.T, name, program string, args ...string) *process {
	t.Helper()
	return startProcessIn(t, name, "", nil, program, args...)
}

// startProcessIn is startProcess in a folder, "" for that of the tests, and with more in the environment.
func startProcessIn(t *testing.T, name, folder string, environment []string, program string, args ...string) *process {
	t.Helper()
	needPrograms(t)
	dir := t.TempDir()
	p := &process{
		name: name,
		cmd:  exec.Command(program, args...),
		out:  filepath.Join(dir, "stdout"),
		err:  filepath.Join(dir, "stderr"),
		gone: make(chan struct{}),
	}
	p.cmd.Dir = dir
	if folder != "" {
		p.cmd.Dir = folder
	}
	p.cmd.Env = append(os.Environ(), environment...)
	p.cmd.Stdout = create(t, p.out)
	p.cmd.Stderr = create(t, p.err)
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		p.cmd.Wait() // its outcome is in ProcessState
		close(p.gone)
	}()
	t.Cleanup(func() {
		p.kill(t)
		if t.Failed() {
			t.Logf("%s\n%s%s", p, tail(p.err), tail(p.out))
		}
	})
	return p
}

func create(t *testing.T, name string) *os.File {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// tail returns the end of a log, which is what is worth reading of it.
func tail(file string) string {
	const most = 2 << 10
	b, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	if len(b) > most {
		b = append([]byte("…"), b[len(b)-most:]...)
	}
	return string(b)
}

// String tells the state of the process.
func (p *process) String() string {
	if p.running() {
		return fmt.Sprintf("%s (pid %d, running)", p.name, p.cmd.Process.Pid)
	}
	return fmt.Sprintf("%s (pid %d, %v)", p.name, p.cmd.Process.Pid, p.cmd.ProcessState)
}

func (p *process) running() bool {
	select {
	case <-p.gone:
		return false
	default:
		return true
	}
}

// kill is kill -9. It returns once the process is gone.
func (p *process) kill(t *testing.T) {
	t.Helper()
	p.cmd.Process.Kill() // an error says that it has ended already
	<-p.gone
}

// signal sends a signal to the process and returns at once.
func (p *process) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatalf("%v to %s: %v", s, p, err)
	}
}

// mustRun ends the test if the process has ended: nothing that is waited for would come.
func (p *process) mustRun(t *testing.T) {
	t.Helper()
	if !p.running() {
		t.Fatalf("%s ended by itself", p)
	}
}

// freeAddr returns a loopback address that nobody listened on a moment ago.
func freeAddr(t *testing.T) string {
	t.Helper()
	l := listen(t)
	defer l.Close()
	return l.Addr().String()
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// port returns the port of an address of [freeAddr].
func port(addr string) string { return addr[strings.LastIndexByte(addr, ':')+1:] }

// write puts a file into a directory of the test and returns its name.
func write(t *testing.T, name, content string) string {
	t.Helper()
	name = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
