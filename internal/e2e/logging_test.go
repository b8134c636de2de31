package e2e

import (
	"bufio"
	"net/http"
	"os"
	"os/exec"
	"testing"
)

// A log that nobody reads any more must not end passgate: Go's runtime would let SIGPIPE do so.
func TestLostLogReaderEndsNothing(t *testing.T) {
	needPrograms(t)
	s := &stack{passgate: newPassgate(t, freeAddr(t), policy), upstream: startUpstream(t)}
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(programs.passgate, "serve", "--config", s.passgate.config)
	cmd.Stderr = writer
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	writer.Close()
	if _, err := bufio.NewReader(reader).ReadString('\n'); err != nil {
		t.Fatalf("no first line of the log: %v", err)
	}
	waitFor(t, "passgate to be ready", s.passgate.ready)
	reader.Close()
	s.envoy = startEnvoy(t, shippedFile(t), s.upstream.addr, s.passgate.grpc)
	for range 3 {
		if r := send(t, s.addr, "GET /public/a HTTP/1.1"); r.status != http.StatusOK {
			t.Errorf("status %d, want 200", r.status)
		}
		if r := send(t, s.addr, "GET /private/a HTTP/1.1"); r.status != http.StatusUnauthorized {
			t.Errorf("status %d, want 401", r.status)
		}
	}
	if !s.passgate.ready() {
		t.Error("passgate is gone")
	}
}
