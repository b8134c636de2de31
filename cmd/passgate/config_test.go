package main

import (
	"os"
	"strings"
	"testing"

	"github.com/passgate/passgate/internal/config"
)

func TestConfigCheck(t *testing.T) {
	c := newCLI()
	file := tempFile(t, "passgate.yaml", cliConfig)
	o := c.run(t, "config", "check", "--config", file).must(t, exitOK)
	o.mustHold(t,
		"warning: "+file+":7:16: issuers[0].audiences: any",
		file+": ok; issuers: 2, routes: 4, warnings: 1\n")
}

func TestConfigFaultsAreOneLineEachWithTheirPlace(t *testing.T) {
	const broken = `listen: {grpc: nowhere}
issuers:
  - name: accounts
    issuer: https://auth.example.com
    algorithms: [HS256]
    secret: ${UNSET}
    audienses: any
routes:
  - {path: no-slash}
`
	file := tempFile(t, "passgate.yaml", broken)
	want := []string{
		file + ":1:16: listen.grpc: want host:port",
		file + ":6:13: issuers[0].secret: the environment variable UNSET is not set; set it, or",
		file + ":7:5: issuers[0].audienses: unknown key; did you mean audiences?",
		file + ":9:12: routes[0].path: ",
	}
	policy := tempFile(t, "t.yaml", "tests: [{name: a, request: {path: /}, expect: {status: 200}}]")
	for _, command := range []string{
		"config check", "config show", "serve", "gateway", "explain --path /", "test " + policy,
		"token mint --issuer accounts --sub ann", "token inspect x",
	} {
		t.Run(command, func(t *testing.T) {
			args := append(strings.Fields(command), "--config", file)
			newCLI().run(t, args...).must(t, exitUsage).mustComplain(t, want...)
		})
	}
}

func TestSecretTooShort(t *testing.T) {
	c := newCLI()
	c.env["SECRET"] = "short-secret"
	o := c.run(t, "config", "check", "--config", tempFile(t, "passgate.yaml", cliConfig)).must(t, exitUsage)
	o.mustComplain(t, ":6:13: issuers[0].secret: is shorter than 32 bytes")
	o.mustNotHold(t, "short-secret")
}

func TestConfigurationThatIsMissing(t *testing.T) {
	t.Chdir(t.TempDir())
	c := newCLI()
	c.run(t, "config", "check", "--config", "gone.yaml").must(t, exitUsage).
		mustComplain(t, "gone.yaml: cannot read the file: no such file or directory")

	// A link to nowhere, as a volume leaves that is not there yet, must not turn into another policy.
	if err := os.Symlink("gone.yaml", config.DefaultFile); err != nil {
		t.Fatal(err)
	}
	c.run(t, "config", "check").must(t, exitUsage).mustComplain(t, "passgate.yaml: cannot read the file")
}

func TestConfigurationWithoutAFlag(t *testing.T) {
	t.Chdir(t.TempDir())
	c := newCLI()
	c.run(t, "config", "check").must(t, exitOK).mustHold(t, "default.yaml: ok; issuers: 1, routes: 0")
	if err := os.WriteFile(config.DefaultFile, []byte(cliConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	c.run(t, "config", "check").must(t, exitOK).mustHold(t, "passgate.yaml: ok; issuers: 2, routes: 4")
}

func TestConfigShow(t *testing.T) {
	c := newCLI()
	o := c.run(t, "config", "show", "--config", tempFile(t, "passgate.yaml", cliConfig)).must(t, exitOK)
	o.mustHold(t, "secret: <redacted>", "decisions: all", "wait: 5s", "path: /\n")
	// But for the masks it is a configuration.
	shown := strings.Replace(o.stdout, "<redacted>", "${SECRET}", 1)
	shown = strings.Replace(shown, "<redacted>", "${OTHER_SECRET}", 1)
	again := c.run(t, "config", "show", "--config", tempFile(t, "passgate.yaml", shown)).must(t, exitOK)
	if again.stdout != o.stdout {
		t.Errorf("shown again it is\n%s\nnot\n%s", again.stdout, o.stdout)
	}
}

func TestConfigShowDefaultPrintsTheEmbeddedFile(t *testing.T) {
	// The file at hand, even a broken one, has no say in it.
	t.Chdir(t.TempDir())
	if err := os.WriteFile(config.DefaultFile, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := newCLI()
	o := c.run(t, "config", "show", "--default").must(t, exitOK)
	if o.stdout != string(config.DefaultYAML()) {
		t.Errorf("printed %s", o.stdout)
	}
	c.env["PASSGATE_JWT_SECRET"] = cliSecret
	c.run(t, "config", "check", "--config", tempFile(t, "copy.yaml", o.stdout)).must(t, exitOK)
}

func TestEmptyConfigNameIsNotTheDefault(t *testing.T) {
	newCLI().run(t, "config", "check", "--config", "").must(t, exitUsage).mustComplain(t, "the file name is empty")
}

func TestConfigSchema(t *testing.T) {
	// No file is read for it: it helps with the broken one at hand.
	t.Chdir(t.TempDir())
	if err := os.WriteFile(config.DefaultFile, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	if o := newCLI().run(t, "config", "schema").must(t, exitOK); o.stdout != string(config.Schema()) || o.stderr != "" {
		t.Errorf("printed %s%s", o.stdout, o.stderr)
	}
}

func TestConfigCheckReadsTheURLOfRedis(t *testing.T) {
	config := tempFile(t, "passgate.yaml", cliConfig+"accounts: {issuer: accounts}\nredis: redis://:hunter2@localhost:6379/abc\n")
	o := newCLI().run(t, "config", "check", "--config", config).must(t, exitUsage)
	o.mustComplain(t, "passgate.yaml: redis: want a URL of Redis such as redis://")
	o.mustNotHold(t, "hunter2")
}
