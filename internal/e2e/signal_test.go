package e2e

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
)

// gatewayProcess is a gateway that answers.
type gatewayProcess struct {
	*exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startGateway(t *testing.T, command ...string) *gatewayProcess {
	t.Helper()
	p := &gatewayProcess{Cmd: exec.Command(command[0], command[1:]...)}
	p.Dir = t.TempDir()
	in, err := p.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.in, p.out = in, bufio.NewReader(out)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Process.Kill()
		p.Wait()
	})
	p.answers(t)
	return p
}

// answers fails the test unless the gateway answers a message.
func (p *gatewayProcess) answers(t *testing.T) {
	t.Helper()
	if _, err := io.WriteString(p.in, `{"type": "api_request", "msg_id": 1, "method": "GET", "path": "/api/users/1"}`+"\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := p.out.ReadString('\n'); err != nil || !strings.Contains(line, "Missing credentials") {
		t.Fatalf("answered %q, %v", line, err)
	}
}

// A hang-up has a server read its configuration again. What runs in a terminal it ends in order, unless it was started
// to outlive that.
func TestHangUp(t *testing.T) {
	needPrograms(t)
	// Where the tests themselves run under nohup, what they start would inherit that.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	defer signal.Reset(syscall.SIGHUP)
	t.Run("reloads a server", func(t *testing.T) {
		p := startPassgate(t, policy)
		for range 3 {
			loads := metric(t, p.ops, `passgate_config_loads_total{result="used"}`)
			if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
			waitFor(t, "a reload", func() bool { return metric(t, p.ops, `passgate_config_loads_total{result="used"}`) > loads })
		}
		if !p.ready() {
			t.Error("it is not ready")
		}
	})
	t.Run("ends a gateway in order", func(t *testing.T) {
		p := startGateway(t, programs.passgate, "gateway")
		if err := p.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		if err := p.Wait(); err != nil {
			t.Error(err)
		}
	})
	t.Run("is nothing to a gateway under nohup", func(t *testing.T) {
		p := startGateway(t, "nohup", programs.passgate, "gateway")
		if err := p.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			p.answers(t)
		}
	})
}
