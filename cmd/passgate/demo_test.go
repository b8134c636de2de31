package main

import (
	"os"
	"path/filepath"
	"testing"
)

// fakeEnvoy puts a program that is only looked for at path.
func fakeEnvoy(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("#!/bin/sh\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestEnvoyIsLookedForInOrder(t *testing.T) {
	root := t.TempDir()
	t.Chdir(root)
	inPath := filepath.Join(root, "path")
	t.Setenv("PATH", inPath)
	c := newCLI()
	find := func() (string, error) { return findEnvoy(c.program(nil, nil).lookupEnv) }

	c.run(t, "demo", "--once").must(t, exitUsage).mustComplain(t, "passgate: no Envoy found: run make demo in a checkout, which fetches one, or set ENVOY=")

	fakeEnvoy(t, toolsEnvoy)
	if found, err := find(); err != nil || found != filepath.Join(root, toolsEnvoy) {
		t.Errorf("with .tools: %q, %v", found, err)
	}
	fakeEnvoy(t, filepath.Join(inPath, "envoy"))
	if found, err := find(); err != nil || found != filepath.Join(inPath, "envoy") {
		t.Errorf("with PATH: %q, %v", found, err)
	}
	named := filepath.Join(root, "mine")
	fakeEnvoy(t, named)
	c.env["ENVOY"] = named
	if found, err := find(); err != nil || found != named {
		t.Errorf("with ENVOY: %q, %v", found, err)
	}
	// A name that is wrong is a mistake, and not the wish for another Envoy.
	c.env["ENVOY"] = filepath.Join(root, "gone")
	c.run(t, "demo", "--once").must(t, exitUsage).mustComplain(t, "cannot be run")
}

func TestDemoNeedsItsPorts(t *testing.T) {
	occupy(t, demoAdmin)
	c := newCLI()
	c.env["ENVOY"] = filepath.Join(t.TempDir(), "envoy")
	fakeEnvoy(t, c.env["ENVOY"])
	c.run(t, "demo", "--once").must(t, exitFault).mustComplain(t, "passgate: the demo needs 127.0.0.1:")
}
