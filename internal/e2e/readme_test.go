package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// command is a line of the README that a reader is told to type, and what it shows as the answer.
type command struct{ line, output string }

// readmeCommands returns the commands of the console blocks of README.md, in order.
func readmeCommands(t *testing.T) []command {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var commands []command
	for _, block := range regexp.MustCompile("(?ms)^```console\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		for line := range strings.Lines(block[1]) {
			if typed, ok := strings.CutPrefix(line, "$ "); ok {
				commands = append(commands, command{line: strings.TrimSpace(typed)})
			} else if n := len(commands); n > 0 {
				commands[n-1].output += line
			}
		}
	}
	return commands
}

// TestREADME types what the README shows, in one shell session from the root of the checkout, and compares
// the answers. Only the port differs.
func TestREADME(t *testing.T) {
	needPrograms(t)
	grpcurl := findGrpcurl(t)
	commands := readmeCommands(t)
	if len(commands) < 9 {
		t.Fatalf("%d commands in README.md: the blocks are not found", len(commands))
	}
	example, err := os.ReadFile("../../examples/passgate.yaml")
	if err != nil {
		t.Fatal(err)
	}
	address, ops := freeAddr(t), freeAddr(t)
	config := strings.NewReplacer("127.0.0.1:9191", address, "127.0.0.1:9090", ops, "${JWT_SECRET}", secret).Replace(string(example))
	if strings.Contains(config, "9191") || !strings.Contains(config, secret) {
		t.Fatalf("the addresses of examples/passgate.yaml are not where they were:\n%s", config)
	}
	p := &passgate{config: write(t, "passgate.yaml", config), grpc: address, ops: ops}
	p.start(t)

	// A marker between the commands tells their answers apart, though they share one session.
	const marker = "----- next -----"
	var script strings.Builder
	for _, c := range commands {
		script.WriteString(strings.NewReplacer("127.0.0.1:9191", address, "passgate.log", p.log(), "$(head -c 32 /dev/urandom | base64)", secret).Replace(c.line) + "\necho '" + marker + "'\n")
	}
	shell := exec.Command("bash")
	shell.Dir = "../.."
	shell.Stdin = strings.NewReader(script.String())
	shell.Env = append(os.Environ(), "PATH="+filepath.Dir(programs.passgate)+":"+filepath.Dir(grpcurl)+":"+os.Getenv("PATH"))
	out, err := shell.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	answers := strings.Split(string(out), marker+"\n")
	for i, c := range commands {
		if !sameOutput(answers[i], c.output) {
			t.Errorf("$ %s\ngot:\n%s\nthe README shows:\n%s", c.line, answers[i], c.output)
		}
	}
}

// Times and keys differ from run to run; the README has words in their place.
var times = []struct {
	pattern *regexp.Regexp
	word    string
}{
	{regexp.MustCompile(`\bnow [0-9]+`), "now NOW"},
	{regexp.MustCompile(`\bexp [0-9]+`), "exp EXP"},
	{regexp.MustCompile(`\biat [0-9]+`), "iat IAT"},
	{regexp.MustCompile(`\b[0-9a-f]{64}\b`), "DIGEST"},
	{regexp.MustCompile(`\b[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(Z|[+-][0-9:]{5})`), "TIME"},
}

// sameOutput compares JSON by its meaning, since its spacing is not promised, and all else by its text.
func sameOutput(got, want string) bool {
	for _, t := range times {
		got = t.pattern.ReplaceAllString(got, t.word)
	}
	var g, w any
	if json.Unmarshal([]byte(got), &g) == nil && json.Unmarshal([]byte(want), &w) == nil {
		return reflect.DeepEqual(g, w)
	}
	return strings.TrimSpace(got) == strings.TrimSpace(want)
}

// findGrpcurl returns grpcurl from PATH or .tools. In CI a missing one fails.
func findGrpcurl(t *testing.T) string {
	t.Helper()
	if path, err := exec.LookPath("grpcurl"); err == nil {
		return path
	}
	local, err := filepath.Abs("../../.tools/bin/grpcurl")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(local); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("no grpcurl: neither on PATH nor in .tools/bin")
		}
		t.Skip("no grpcurl: make test fetches it")
	}
	return local
}

// TestDemo is the README's first command: make demo ARGS=--once, less the build.
func TestDemo(t *testing.T) {
	needPrograms(t)
	demo := exec.Command(programs.passgate, "demo", "--once")
	demo.Env = append(os.Environ(), "ENVOY="+programs.envoy)
	out, err := demo.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{
		"→ 401 Unauthorized", "→ 200 OK", "X-User-Id: user_123", "→ 403 Forbidden", "required [delete], have [read]", "Token expired",
		"→ 201 Created", "Idempotent-Replayed: true", "X-User-Role: user", "http://127.0.0.1:8080/v1/proxy/",
		"DENY 403 insufficient_permissions", "X-User-Id: key:build", `"passport_verified": true`, "All 16 steps answered as expected.",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the tour lacks %q:\n%s", want, out)
		}
	}
	if strings.Contains(string(out), "UNEXPECTED") {
		t.Errorf("the tour found something unexpected:\n%s", out)
	}
}
