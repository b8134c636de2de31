package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// version and commit are set by the linker; see the Makefile.
var version, commit = "", ""

type versionCommand struct{}

func (versionCommand) Run(p *program) error {
	v, c := buildVersion()
	_, err := fmt.Fprintf(p.stdout, "passgate %s (commit %s, %s)\n", v, c, runtime.Version())
	return err
}

// versionFlag is the command as a flag, which is what many try first.
type versionFlag bool

// BeforeReset runs where the flag stands, whatever else does, as for --help.
func (versionFlag) BeforeReset(p *program) error {
	if err := (versionCommand{}).Run(p); err != nil {
		return err
	}
	panic(exited(exitOK))
}

// buildVersion falls back on what the Go tool recorded, for builds by go install.
func buildVersion() (v, c string) {
	v, c = version, commit
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return orUnknown(v), orUnknown(c)
	}
	if v == "" {
		v = info.Main.Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && c == "" {
			c = s.Value
		}
	}
	return orUnknown(v), orUnknown(c)
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}
