package main

import (
	"regexp"
	"strings"
	"testing"
)

func TestHelpIsComplete(t *testing.T) {
	for _, test := range []struct {
		args string
		want []string
	}{
		{"help", []string{"serve", "demo", "gateway", "explain", "test", "config check", "config show", "token mint", "token inspect", "passport decode", "version"}},
		{"--help", []string{"Usage: passgate <command>"}},
		{"help serve", []string{"Usage: passgate serve", "--config=FILE", "passgate.yaml", "embedded"}},
		{"serve --help", []string{"Usage: passgate serve", "--config=FILE"}},
		{"demo --help", []string{"--once"}},
		{"gateway --help", []string{"--config=FILE"}},
		{"explain --help", []string{"--config=FILE", "--method=", "--path=", "--host=", "-H, --header=", "--token=", "--require=", "--json", "0 allowed", "1 denied", "2 could not decide"}},
		{"test --help", []string{"--config=FILE", "--junit=FILE", "<file> ...", "expect: {status, code, headers}"}},
		{"help config", []string{"config check", "config show"}},
		{"config check --help", []string{"--config=FILE", "--config=FILE"}},
		{"config show --help", []string{"--config=FILE", "--default"}},
		{"help token", []string{"token mint", "token inspect"}},
		{"token mint --help", []string{"--config=FILE", "--issuer=NAME", "--sub=SUBJECT", "--claim=NAME=JSON", "--ttl=1h", "--ttl=-1m"}},
		{"help token mint", []string{"Usage: passgate token mint"}},
		{"token inspect --help", []string{"--config=FILE", "standard input"}},
		{"passport decode --help", []string{"X-Passport"}},
		{"version --help", []string{"commit"}},
		{"help --help", []string{"Usage: passgate help"}},
	} {
		t.Run(test.args, func(t *testing.T) {
			o := newCLI().run(t, strings.Fields(test.args)...).must(t, exitOK)
			o.mustHold(t, test.want...)
			if o.stderr != "" {
				t.Errorf("help went to standard error: %s", o.stderr)
			}
		})
	}
}

func TestHelpShowsNothingThatIsNotBuilt(t *testing.T) {
	o := newCLI().run(t, "help").must(t, exitOK)
	for _, later := range []string{"doctor", "replay", "disable", "logout"} {
		if strings.Contains(o.stdout, later) {
			t.Errorf("help speaks of %q:\n%s", later, o.stdout)
		}
	}
}

func TestMistakesInACommandLineAreOneLine(t *testing.T) {
	for _, test := range []struct{ name, args, want string }{
		{"nothing at all", "", `passgate: expected one of "serve"`},
		{"unknown command", "nope", "passgate: unexpected argument nope; see passgate --help"},
		{"misspelled command", "gatway", `did you mean "gateway"?`},
		{"unknown command to help", "help nope", "unexpected argument nope"},
		{"unknown flag", "serve --nope", "passgate: unknown flag --nope; see passgate serve --help"},
		{"unknown flag of a subcommand", "token mint --nope", "see passgate token mint --help"},
		{"group without its command", "token", `expected one of "mint", "inspect"; see passgate token --help`},
		{"no request", "explain", "--path: is missing"},
		{"flag without its value", "explain --path", "--path: expected string value"},
		{"missing argument", "passport decode", `expected "<value>"`},
		{"one argument too many", "version 2", "unexpected argument 2"},
		{"bad duration", "token mint --issuer a --sub b --ttl=long", "--ttl: expected duration"},
	} {
		t.Run(test.name, func(t *testing.T) {
			newCLI().run(t, strings.Fields(test.args)...).must(t, exitUsage).mustComplain(t, test.want)
		})
	}
}

func TestVersion(t *testing.T) {
	o := newCLI().run(t, "version").must(t, exitOK)
	if !regexp.MustCompile(`^passgate \S+ \(commit \S+, go1\.\S+\)\n$`).MatchString(o.stdout) {
		t.Errorf("printed %q", o.stdout)
	}
}

func TestVersionOfTheLinkerComesFirst(t *testing.T) {
	defer func(v, c string) { version, commit = v, c }(version, commit)
	version, commit = "1.2.3", "abc"
	newCLI().run(t, "version").must(t, exitOK).mustHold(t, "passgate 1.2.3 (commit abc, go")
}
