// Package e2e sends requests through a real Envoy and a real passgate and looks at what reaches the upstream.
//
// Envoy runs the file that ships, envoy/envoy.yaml, with free ports in the place of its own; and, to see what
// passgate is worth without help, testdata/careless.yaml. Clients and upstreams speak from raw sockets: a
// library would repair, merge or refuse the very bytes that the tests are about.
//
// Envoy is $ENVOY, or envoy on PATH, or the one under .tools. Without one the tests skip, in CI they fail.
package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// programs are the binaries under test; missing says why there are none.
var programs struct{ envoy, passgate, missing string }

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	envoy, err := findEnvoy()
	if err != nil {
		if os.Getenv("ENVOY") != "" || os.Getenv("CI") == "true" {
			return 1, err
		}
		programs.missing = err.Error()
		return m.Run(), nil
	}
	programs.envoy = envoy

	dir, err := os.MkdirTemp("", "passgate-e2e-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	programs.passgate = filepath.Join(dir, "passgate")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", programs.passgate, "github.com/passgate/passgate/cmd/passgate")
	if out, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("build passgate: %w\n%s", err, out)
	}
	return m.Run(), nil
}

func findEnvoy() (string, error) {
	if path := os.Getenv("ENVOY"); path != "" {
		return exec.LookPath(path)
	}
	if path, err := exec.LookPath("envoy"); err == nil {
		return path, nil
	}
	local, err := filepath.Abs("../../.tools/envoy/envoy/_bin/envoy")
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(local); err != nil {
		return "", errors.New("no Envoy: neither $ENVOY, nor envoy on PATH, nor .tools/envoy/envoy/_bin/envoy")
	}
	return local, nil
}

// needPrograms skips a test that has nothing to run.
func needPrograms(t *testing.T) {
	t.Helper()
	if programs.missing != "" {
		t.Skip(programs.missing)
	}
}

// patience bounds everything that is waited for. It is far above what anything takes, since the machine may
// be busy with other tests.
const patience = 20 * time.Second

// waitFor polls until cond holds, and ends the test if it does not in time.
func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !cond(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v in vain for: %s", patience, what)
		}
	}
}
