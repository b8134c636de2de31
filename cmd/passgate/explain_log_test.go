package main

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/passgate/passgate/internal/account"
	"github.com/passgate/passgate/internal/audit"
	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/config"
	"github.com/passgate/passgate/internal/problem"
)

const whenConfig = cliConfig + `
  - {name: blue, path: "/blue", access: optional, when: "'x-blue' in request.headers"}
  - {name: no-service, path: "/no-service", access: public}
  - {name: accounts-only, path: "/accounts-only", credentials: [accounts]}
  - {name: own-orders, path: "/api/orders/{user}/**", when: "path.user == principal.user_id && principal.claims.level > 2"}
  - {name: closed, path: "/closed", access: deny}
  - {name: partners, path: "/partners", credentials: [partner]}
`

// logOf returns passgate's log of one request, and the decision's code.
func logOf(t *testing.T, c *cli, file string, r *authz.Request) (line, code string) {
	t.Helper()
	cfg, err := config.Load(file, func(name string) (string, bool) { v, ok := c.env[name]; return v, ok })
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	now := c.program(nil, nil).now
	door := newRecorder(cfg, slog.New(slog.NewJSONHandler(&out, nil)), nil).Door("test", newEngine(cfg, sources{issuers: cfg.Issuers}, now))
	d := door.Decide(t.Context(), r)
	return out.String(), problem.Code(&d)
}

// Every denial is explained from its line in the log alone, to the same answer.
func TestExplainLogRepeatsEveryDenial(t *testing.T) {
	c := newCLI()
	file := tempFile(t, "passgate.yaml", whenConfig)
	bearer := func(args ...string) authz.Header {
		return authz.Header{Name: "Authorization", Value: "Bearer " + c.mint(t, file, args...)}
	}
	reader := bearer("--claim", `permissions=["read"]`, "--claim", `roles=["member"]`)
	tests := []struct {
		name    string
		request authz.Request
		code    string
		want    []string
	}{
		{"permission missing", authz.Request{Method: "DELETE", Path: "/api/users/1", Headers: []authz.Header{reader}}, "insufficient_permissions",
			[]string{"users-read: the method is DELETE, not GET", `user "ann", roles ["member"]`, `required ["delete"], held ["read"]`}},
		{"permission missing that the context requires", authz.Request{Method: "GET", Path: "/docs/x", Headers: []authz.Header{reader}, Context: map[string]string{authz.RequiredPermission: "write"}}, "insufficient_permissions",
			[]string{`required ["write"], held ["read"]`}},
		{"condition that is false", authz.Request{Method: "GET", Path: "/api/orders/bob/1", Headers: []authz.Header{reader}}, "forbidden",
			[]string{"path.user == principal.user_id", `path.user is "bob"`, `principal.user_id is "ann"`}},
		{"condition that cannot be evaluated", authz.Request{Method: "GET", Path: "/api/orders/ann/1", Headers: []authz.Header{reader}}, "forbidden",
			[]string{"no such key: level"}},
		{"route that is closed", authz.Request{Method: "GET", Path: "/closed", Headers: []authz.Header{reader}}, "forbidden", []string{"the route's access is deny"}},
		{"no route", authz.Request{Method: "GET", Path: "/elsewhere", Headers: []authz.Header{reader}}, "forbidden", []string{"default_access is deny"}},
		{"no credential", authz.Request{Method: "GET", Path: "/api/users/1"}, "missing_credentials", []string{"no Authorization header"}},
		{"two credentials", authz.Request{Method: "GET", Path: "/api/users/1", Headers: []authz.Header{reader, reader}}, "multiple_credentials", nil},
		{"expired", authz.Request{Method: "GET", Path: "/api/users/1", Headers: []authz.Header{bearer("--ttl=-1m")}}, "token_expired", []string{"exp is"}},
		{"bad token", authz.Request{Method: "GET", Path: "/api/users/1", Headers: []authz.Header{{Name: "Authorization", Value: "Bearer a.b.c"}}}, "invalid_token", []string{"part 1 of the token"}},
		{"another scheme", authz.Request{Method: "GET", Path: "/api/users/1", Headers: []authz.Header{{Name: "Authorization", Value: "Basic YTpi"}}}, "invalid_token", []string{"the Authorization scheme"}},
		{"credential of another issuer", authz.Request{Method: "GET", Path: "/partners", Headers: []authz.Header{reader}}, "invalid_token", []string{"the route takes no credentials of accounts"}},
		{"ambiguous path", authz.Request{Method: "GET", Path: "/docs/%2e%2e/x"}, "ambiguous_path", []string{"it has an encoded ."}},
		{"expired, where one issuer is taken", authz.Request{Method: "GET", Path: "/accounts-only", Headers: []authz.Header{bearer("--ttl=-1m")}}, "token_expired", []string{"exp is"}},
		{"condition that is false without a principal", authz.Request{Method: "GET", Path: "/blue"}, "forbidden", []string{"when         false"}},
		{"no service where one is needed", authz.Request{Method: "GET", Path: "/no-service", Reaches: authz.Named}, "no_service", []string{"the route names none"}},
		{"path that the door could not read", authz.Request{Method: "GET", Path: "/docs/x", Malformed: "its bytes"}, "ambiguous_path", []string{"its bytes"}},
		{"ambiguous host", authz.Request{Method: "GET", Host: "a,b", Path: "/docs/x"}, "ambiguous_host", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.request.Host == "" {
				tt.request.Host = "localhost"
			}
			line, code := logOf(t, c, file, &tt.request)
			if code != tt.code {
				t.Fatalf("the request was refused as %s, want %s: %s", code, tt.code, line)
			}
			c.stdin = "other output\n" + `{"msg":"configuration loaded"}` + "\n2026-01-02 pod-1 " + line
			o := c.run(t, "explain", "--config", file, "--log", "-").must(t, exitNo)
			o.mustHold(t, append(tt.want, "DENY ", " "+tt.code+":", "log          read")...)
			if strings.Contains(o.stdout, "differs") {
				t.Errorf("the answer differs from the log's:\n%s", o.stdout)
			}
			e := explainJSON(t, c.run(t, "explain", "--json", "--config", file, "--log", "-").must(t, exitNo))
			if e.Code != tt.code || len(e.Steps) < 2 {
				t.Errorf("as JSON: %+v", e)
			}
		})
	}
}

func TestExplainLogSaysWhenTheAnswerWouldDiffer(t *testing.T) {
	c := newCLI()
	before, after := tempFile(t, "before.yaml", cliConfig), tempFile(t, "after.yaml", strings.Replace(cliConfig, "permissions: [delete]", "permissions: [read]", 1))
	reader := authz.Header{Name: "Authorization", Value: "Bearer " + c.mint(t, before, "--claim", `permissions=["read"]`)}
	c.stdin, _ = logOf(t, c, before, &authz.Request{Method: "DELETE", Host: "localhost", Path: "/api/users/1", Headers: []authz.Header{reader}})
	o := c.run(t, "explain", "--config", after, "--log", "-").must(t, exitOK)
	o.mustHold(t, "403 insufficient_permissions", "log          differs       the configuration has changed since", "ALLOW 200 ok")
}

func TestExplainLogOfSeveralLines(t *testing.T) {
	c := newCLI()
	file := tempFile(t, "passgate.yaml", cliConfig)
	first, _ := logOf(t, c, file, &authz.Request{Method: "GET", Host: "localhost", Path: "/api/users/1"})
	second, _ := logOf(t, c, file, &authz.Request{Method: "GET", Host: "localhost", Path: "/elsewhere"})
	log := tempFile(t, "passgate.log", first+strings.Repeat("x", 2*maxLogLine)+"\n"+strings.TrimSuffix(second, "\n"))
	o := c.run(t, "explain", "--config", file, "--log", log).must(t, exitNo)
	if i, j := strings.Index(o.stdout, "DENY 401"), strings.Index(o.stdout, "DENY 403"); i < 0 || j < i {
		t.Errorf("not explained in order:\n%s", o.stdout)
	}
}

func TestExplainLogGoesOnAfterWhatCouldNotBeDecided(t *testing.T) {
	c := newCLI()
	file := tempFile(t, "passgate.yaml", cliConfig)
	missing, _ := logOf(t, c, file, &authz.Request{Method: "GET", Host: "localhost", Path: "/api/users/1"})
	c.stdin = `{"msg":"decision","decision":"deny","status":503,"code":"unavailable","method":"GET","host":"localhost","path":"/api/users/1","cause":"the key set is down"}` + "\n" + missing
	o := c.run(t, "explain", "--config", file, "--log", "-").must(t, exitUsage)
	if i, j := strings.Index(o.stdout, "DENY 503"), strings.Index(o.stdout, "DENY 401"); i < 0 || j < i {
		t.Errorf("not explained in order:\n%s", o.stdout)
	}
}

func TestExplainLogMistakes(t *testing.T) {
	c := newCLI()
	file := tempFile(t, "passgate.yaml", cliConfig)
	allowed, _ := logOf(t, c, file, &authz.Request{Method: "GET", Host: "localhost", Path: "/docs/x"})
	for _, tt := range []struct {
		name, stdin string
		args        []string
		want        string
	}{
		{"nothing found", "", []string{"--log", "-"}, "passgate: --log: there is no line of a decision; grep passgate's log for the request_id that the client was shown"},
		{"an allow", allowed, []string{"--log", "-"}, "passgate: --log: the request was allowed; only denials are logged with what it takes to repeat them"},
		{"no such file", "", []string{"--log", "no-such-file"}, "passgate: --log: open no-such-file: no such file or directory"},
		{"a line without end", strings.Repeat("x", maxLogLine+1), []string{"--log", "-"}, "passgate: --log: there is no line of a decision; grep passgate's log for the request_id that the client was shown"},
		{"a request beside it", "", []string{"--log", "-", "--path", "/a"}, "passgate: --log: replaces the request; drop --path, --token, -H, --require and --context"},
		{"neither", "", nil, "passgate: --path: is missing; write the path of the request, or --log for lines of the log"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c.stdin = tt.stdin
			c.run(t, slices.Concat([]string{"explain", "--config", file}, tt.args)...).must(t, exitUsage).mustComplain(t, tt.want)
		})
	}
}

// GET me is judged by what the account API asks, and not by the routes, which make its path public.
func TestExplainLogOfTheAccountAPI(t *testing.T) {
	c := newCLI()
	file := tempFile(t, "passgate.yaml", cliConfig+"accounts: {issuer: accounts}\n")
	cfg, err := config.Load(file, c.program(nil, nil).lookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	recorder := audit.New(audit.Options{Log: slog.New(slog.NewJSONHandler(&log, nil))})
	recorder.Door(accountsDoor, newAccountEngine(cfg, sources{issuers: cfg.Issuers}, time.Now)).Decide(t.Context(), &authz.Request{Method: "GET", Host: "localhost", Path: account.MePath})
	c.stdin = log.String()
	o := c.run(t, "explain", "--config", file, "--log", "-").must(t, exitNo)
	o.mustHold(t, "DENY 401 missing_credentials")
	if strings.Contains(o.stdout, "differs") {
		t.Errorf("the answer differs from the log's:\n%s", o.stdout)
	}
	c.stdin = `{"msg":"account","request_id":"1","call":"login","status":401,"code":"invalid_credentials"}`
	c.run(t, "explain", "--config", file, "--log", "-").must(t, exitUsage).mustComplain(t, "this is a call of the account API")
}

func TestExplainOfAPathOfTheProxy(t *testing.T) {
	c := newCLI()
	file := tempFile(t, "passgate.yaml", cliConfig+"proxy: {upstreams: {default: \"http://127.0.0.1:8081\"}}\n")
	c.run(t, "explain", "--config", file, "--path", "/v1/proxy/docs/intro?x").must(t, exitOK).mustHold(t, "proxy        judges        /docs/intro", "docs")
}
