package e2e

import (
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
)

// A hang-up is an orderly end, unless the process was started to outlive its terminal.
func TestHangUp(t *testing.T) {
	needPrograms(t)
	t.Run("ends in order", func(t *testing.T) {
		// Where the tests themselves run under nohup, what they start would inherit that.
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
		defer signal.Reset(syscall.SIGHUP)
		p := startPassgate(t, policy)
		if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		<-p.gone
		if code := p.cmd.ProcessState.ExitCode(); code != 0 {
			t.Errorf("exit status %d, want 0", code)
		}
	})
	t.Run("is nothing under nohup", func(t *testing.T) {
		p := newPassgate(t, freeAddr(t), policy)
		cmd := exec.Command("nohup", programs.passgate, "serve", "--config", p.config)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			cmd.Process.Kill()
			cmd.Wait()
		})
		waitFor(t, "passgate to be ready", p.ready)
		if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		// Draining shows at once where it begins; that it does not is asked several times.
		for range 20 {
			if !p.ready() {
				t.Fatal("it began to go")
			}
		}
	})
}
