package main

import "testing"

func TestVersionIsAFlagToo(t *testing.T) {
	want := newCLI().run(t, "version").must(t, exitOK).stdout
	for _, args := range [][]string{{"--version"}, {"serve", "--version"}} {
		if got := newCLI().run(t, args...).must(t, exitOK).stdout; got != want {
			t.Errorf("%v printed %q, want %q", args, got, want)
		}
	}
}
