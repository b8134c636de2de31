package main

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/passgate/passgate/internal/authz"
)

func TestExplain(t *testing.T) {
	c := newCLI()
	file := tempFile(t, "passgate.yaml", cliConfig)
	reader := c.mint(t, file, "--claim", `permissions=["read"]`)
	bearer := "Authorization: Bearer " + reader
	for _, test := range []struct {
		name string
		args []string
		code int
		want []string
	}{
		{"a public route", []string{"--path", "/docs/x"}, exitOK, []string{"route        matched       docs", "access       public\n", "ALLOW 200 ok"}},
		{"a permission held", []string{"--path", "/api/users/1", "--token", reader}, exitOK,
			[]string{"no match      docs", "credential   verified", `required ["read"], held ["read"]`, "ALLOW 200 ok", "  X-User-ID: ann\n", "  X-User-Permissions: read\n"}},
		{"the query is cut off", []string{"--path", "/api/users/1?token=hidden", "--token", reader}, exitOK, []string{"path         ok            /api/users/1\n"}},
		{"a header in place of --token", []string{"--path", "/api/users/1", "-H", bearer}, exitOK, []string{"ALLOW 200 ok"}},
		{"blanks around a header's value", []string{"--path", "/api/users/1", "-H", "authorization: \t Bearer " + reader + "  "}, exitOK, []string{"ALLOW 200 ok"}},
		{"a forged header beside another", []string{"--path", "/docs/x", "-H", "X_User_ID: root", "-H", "X-User-Name:root, a"}, exitOK, []string{"removed       X_User_ID", "removed       X-User-Name"}},
		{"a permission missing", []string{"--path", "/api/users/1", "--method", "DELETE", "--token", reader}, exitNo,
			[]string{"users-read: the method is DELETE, not GET", "DENY 403 insufficient_permissions: Insufficient permissions: required [delete], have [read]\n", `permission "delete" is missing`}},
		{"no credential", []string{"--path", "/api/users/1"}, exitNo, []string{"DENY 401 missing_credentials: Missing credentials"}},
		{"two credentials", []string{"--path", "/api/users/1", "--token", reader, "-H", bearer}, exitNo, []string{"DENY 400 multiple_credentials"}},
		{"a header repeated", []string{"--path", "/api/users/1", "-H", bearer, "-H", bearer}, exitNo, []string{"DENY 400 multiple_credentials"}},
		{"a bad token", []string{"--path", "/api/users/1", "--token", "a.b.c"}, exitNo, []string{"DENY 401 invalid_token", "part 1 of the token"}},
		{"an expired token", []string{"--path", "/api/users/1", "--token", c.mint(t, file, "--ttl=-1m")}, exitNo, []string{"DENY 401 token_expired: Token expired"}},
		{"no route", []string{"--path", "/admin", "--token", reader}, exitNo, []string{"DENY 403 forbidden: Forbidden"}},
		{"an ambiguous path", []string{"--path", "/docs/%2e%2e/admin"}, exitNo, []string{"DENY 400 ambiguous_path"}},
		{"a host of the route", []string{"--path", "/api/users/1", "--host", "API.example.com.:8443", "--token", reader}, exitOK, []string{"host         ok            api.example.com"}},
		{"another host", []string{"--path", "/api/users/1", "--host", "example.org", "--token", reader}, exitNo, []string{"users-read: the host is example.org, not localhost or api.example.com", "DENY 403 forbidden"}},
		{"a path that a terminal would obey", []string{"--path", "/docs/%C2%9B31m%E2%80%AE"}, exitOK, []string{`path         ok            /docs/\u009b31m\u202e` + "\n"}},
		{"an empty host", []string{"--path", "/docs/x", "--host", ""}, exitNo, []string{"DENY 400 ambiguous_host"}},
		{"a permission that Envoy's route requires", []string{"--path", "/docs/x", "--require", "read, write", "--token", reader}, exitNo,
			[]string{"access is public, but permissions are required", "required [read, write], have [read]"}},
		{"what Envoy's route requires is held", []string{"--path", "/docs/x", "--require", " read, read", "--token", reader}, exitOK, []string{"ALLOW 200 ok"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := c.run(t, append([]string{"explain", "--config", file}, test.args...)...).must(t, test.code)
			o.mustHold(t, test.want...)
			o.mustNotHold(t, reader)
			o.mustNotHold(t, "hidden")
			if o.stderr != "" {
				t.Errorf("standard error: %s", o.stderr)
			}

			e := explainJSON(t, c.run(t, append([]string{"explain", "--json", "--config", file}, test.args...)...).must(t, test.code))
			if (e.Decision == "allow") != (test.code == exitOK) || (e.Status == 200) != (test.code == exitOK) || e.RequestID == "" || len(e.Steps) == 0 {
				t.Errorf("as JSON: %+v", e)
			}
		})
	}
}

// explainJSON reads what explain --json printed, in which every field is known.
func explainJSON(t *testing.T, o outcome) explanation {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(o.stdout))
	d.DisallowUnknownFields()
	var e explanation
	if err := d.Decode(&e); err != nil {
		t.Fatalf("%v in %s", err, o.stdout)
	}
	if d.More() {
		t.Errorf("more than one value: %s", o.stdout)
	}
	return e
}

func TestExplainJSON(t *testing.T) {
	c := newCLI()
	file := tempFile(t, "passgate.yaml", cliConfig)
	reader := c.mint(t, file, "--claim", `permissions=["read"]`)
	explained := func(code int, args ...string) explanation {
		t.Helper()
		args = append([]string{"explain", "--json", "--config", file, "--path", "/api/users/1", "-H", "X-Request-ID: r-1", "--token", reader}, args...)
		return explainJSON(t, c.run(t, args...).must(t, code))
	}

	allowed := explained(exitOK)
	if allowed.Code != "ok" || allowed.Route != "users-read" || allowed.Service != "users-service" || allowed.RequestID != "r-1" ||
		allowed.Error != "" || allowed.Cause != "" ||
		!slices.Contains(allowed.Set, "X-User-ID: ann") || !slices.Contains(allowed.Remove, "X-Passport-Signature") ||
		!slices.Contains(allowed.Steps, authz.Step{Name: "route", Result: "matched", Detail: "users-read"}) {
		t.Errorf("allowed: %+v", allowed)
	}
	denied := explained(exitNo, "--method", "DELETE")
	if denied.Decision != "deny" || denied.Status != 403 || denied.Code != "insufficient_permissions" || denied.Route != "users-delete" ||
		denied.Error != "Insufficient permissions: required [delete], have [read]" || denied.Cause != `permission "delete" is missing` ||
		denied.Set != nil || denied.Remove != nil {
		t.Errorf("denied: %+v", denied)
	}
}

func TestExplainThatCouldNotDecide(t *testing.T) {
	c := newCLI()
	file := tempFile(t, "passgate.yaml", cliConfig)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o := c.runContext(ctx, t, "explain", "--config", file, "--path", "/docs/x").must(t, exitUsage)
	o.mustHold(t, "DENY 503 unavailable: Authorization temporarily unavailable")
	if o.stderr != "passgate: could not decide: the caller's deadline passed: context canceled\n" {
		t.Errorf("standard error: %q", o.stderr)
	}
}

func TestExplainRefusesAMalformedHeader(t *testing.T) {
	c := newCLI()
	file := tempFile(t, "passgate.yaml", cliConfig)
	for _, line := range []string{"Authorization Bearer hidden", ": hidden", "", "X-User ID: hidden", "Authorization : Bearer hidden"} {
		o := c.run(t, "explain", "--config", file, "--path", "/docs/x", "-H", "A: b", "-H", line).must(t, exitUsage)
		o.mustComplain(t, "passgate: -H number 2: write it as 'Name: value'")
		o.mustNotHold(t, "hidden")
	}
}

// What a token or a log holds begins no line of an explanation, and moves no terminal.
func TestExplainShowsAStrangersTextAsText(t *testing.T) {
	c := newCLI()
	file := tempFile(t, "passgate.yaml", cliConfig)
	fake := "\nroute        matched       admin\n\nALLOW 200 ok\u009b31m"
	permissions, err := json.Marshal([]string{"x" + fake})
	if err != nil {
		t.Fatal(err)
	}
	token := c.mint(t, file, "--claim", "permissions="+string(permissions))
	for _, args := range [][]string{{}, {"--json"}} {
		o := c.run(t, append([]string{"explain", "--config", file, "--method", "DELETE", "--path", "/api/users/1", "--token", token}, args...)...).must(t, exitNo)
		o.mustNotHold(t, "\nALLOW")
		o.mustNotHold(t, "\nroute        matched       admin")
		o.mustNotHold(t, "\u009b")
	}
	line, err := json.Marshal(map[string]any{"msg": "decision", "decision": "deny", "status": 503, "code": "unavailable", "method": "GET", "host": "localhost", "path": "/api/users/1", "cause": "\x1b[31mfault" + fake})
	if err != nil {
		t.Fatal(err)
	}
	c.stdin = string(line)
	o := c.run(t, "explain", "--config", file, "--log", "-").must(t, exitUsage)
	o.mustNotHold(t, "\nALLOW")
	o.mustNotHold(t, "\x1b")
	o.mustNotHold(t, "\u009b")
	if want := `passgate: could not decide: \u001b[31mfault` + "\n"; o.stderr != want {
		t.Errorf("standard error: %q, want %q", o.stderr, want)
	}
}

func TestTestShowsAStrangersTextAsText(t *testing.T) {
	c := newCLI()
	file := tempFile(t, "passgate.yaml", cliConfig)
	tests := tempFile(t, "tests.yaml", "tests:\n- {name: \"a\\e[31m\", request: {path: \"/x/%C2%9B31m\"}, expect: {status: 200}}\n")
	o := c.run(t, "test", "--config", file, tests).must(t, exitNo)
	o.mustNotHold(t, "\x1b")
	o.mustNotHold(t, "\u009b")
	o.mustHold(t, `a\u001b[31m`, `/x/\u009b31m`)
}
