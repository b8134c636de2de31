package audit

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/passgate/passgate/internal/authz"
)

// What the tests' engine answers hangs on the route asked for.
type policy struct{}

func (policy) Match(r *authz.Request) (authz.Rule, authz.Reason, string) {
	rule := authz.Rule{Route: "users", Service: "users-service"}
	switch r.Path {
	case "/public":
		rule.Access = authz.AccessPublic
	case "/delete":
		rule.Permissions = []string{"delete"}
	case "/panic":
		panic("policy")
	}
	if len(r.Path) > maxPath {
		rule.Service = r.Path
	}
	return rule, authz.ReasonGranted, ""
}

type verifier struct{}

func (verifier) Verify(_ context.Context, c authz.Credential, _ time.Time) (*authz.Identity, error) {
	if c.Value != "good" {
		return nil, errors.New("the key set is down")
	}
	return &authz.Identity{Principal: authz.Principal{Source: "accounts", Issuer: "https://auth.example.com", UserID: "user123", Roles: []string{"member"}, Permissions: []string{"read"}}}, nil
}

type stamper struct{}

func (stamper) Stamp(*authz.Identity, time.Time) (*authz.Stamp, error) { return &authz.Stamp{}, nil }
func (stamper) Spoofed(dst []string, _ *authz.Request) []string        { return dst }

func newEngine() *authz.Engine {
	return authz.New(authz.Options{
		Policy:    policy{},
		Verifiers: map[authz.Kind]authz.Verifier{authz.KindOpaque: verifier{}},
		Stamper:   stamper{},
		Now:       time.Now,
		NewID:     func() string { return "id-1" },
	})
}

func request(path, token string) *authz.Request {
	r := &authz.Request{Method: "GET", Host: "api.example.com", Path: path}
	if token != "" {
		r.Headers = []authz.Header{{Name: "authorization", Value: "Bearer " + token}, {Name: "cookie", Value: "cookie-value"}}
	}
	return r
}

// decide returns the log lines of one decision each of the requests.
func decide(t *testing.T, o Options, level slog.Level, requests ...*authz.Request) []map[string]any {
	t.Helper()
	var out bytes.Buffer
	o.Log = slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: level}))
	door := New(o).Door("test", newEngine())
	for _, r := range requests {
		door.Decide(t.Context(), r)
	}
	var lines []map[string]any
	for line := range strings.Lines(out.String()) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		lines = append(lines, m)
	}
	return lines
}

func TestLine(t *testing.T) {
	for _, test := range []struct {
		name    string
		request *authz.Request
		want    map[string]any
	}{
		{"allowed", request("/users", "good"), map[string]any{
			"level": "INFO", "decision": "allow", "status": 200.0, "code": "ok", "path": "/users",
			"route": "users", "service": "users-service", "source": "accounts", "issuer": "https://auth.example.com", "user_id": "user123",
		}},
		{"allowed without a principal", request("/public", ""), map[string]any{
			"level": "INFO", "decision": "allow", "status": 200.0, "code": "ok", "path": "/public",
			"route": "users", "service": "users-service", "source": "", "issuer": "", "user_id": "",
		}},
		{"denied after the principal was proven", request("/delete", "good"), map[string]any{
			"level": "INFO", "decision": "deny", "status": 403.0, "code": "insufficient_permissions", "path": "/delete",
			"route": "users", "service": "users-service", "source": "accounts", "issuer": "https://auth.example.com", "user_id": "user123",
			"cause": `permission "delete" is missing`, "roles": []any{"member"}, "permissions": []any{"read"},
		}},
		{"could not be judged", request("/users", "secret-token"), map[string]any{
			"level": "ERROR", "decision": "deny", "status": 503.0, "code": "unavailable", "path": "/users",
			"route": "users", "service": "users-service", "source": "", "issuer": "", "user_id": "",
			"cause": "the key set is down",
		}},
		{"denied for what the context requires", &authz.Request{Method: "GET", Host: "api.example.com", Path: "/public", Context: map[string]string{authz.RequiredPermission: "write"}}, map[string]any{
			"level": "INFO", "decision": "deny", "status": 401.0, "code": "missing_credentials", "path": "/public",
			"route": "users", "service": "users-service", "source": "", "issuer": "", "user_id": "",
			"cause": "no Authorization header", "context_requires": []any{"write"},
		}},
		{"the query is never there", request("/public?token=secret-token", ""), map[string]any{
			"level": "INFO", "decision": "deny", "status": 401.0, "code": "missing_credentials", "path": "/public",
			"route": "users", "service": "users-service", "source": "", "issuer": "", "user_id": "",
			"cause": "no Authorization header",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			lines := decide(t, Options{}, slog.LevelInfo, test.request)
			if len(lines) != 1 {
				t.Fatalf("%d lines, want 1", len(lines))
			}
			got := lines[0]
			if us, ok := got["duration_us"].(float64); !ok || us < 0 {
				t.Errorf("duration_us = %v", got["duration_us"])
			}
			delete(got, "time")
			delete(got, "duration_us")
			for k, v := range map[string]any{"msg": "decision", "door": "test", "request_id": "id-1", "method": "GET", "host": "api.example.com"} {
				test.want[k] = v
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("line (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPanicIsLoggedWithItsStack(t *testing.T) {
	lines := decide(t, Options{}, slog.LevelInfo, request("/panic", ""))
	if len(lines) != 1 || lines[0]["level"] != "ERROR" {
		t.Fatalf("lines: %v", lines)
	}
	if cause, _ := lines[0]["cause"].(string); !strings.HasPrefix(cause, "panic: policy") || !strings.Contains(cause, "audit_test.go") {
		t.Errorf("cause = %q", cause)
	}
}

func TestClientsTextIsCut(t *testing.T) {
	r := request("/"+strings.Repeat("é", maxPath), "")
	r.Method, r.Host = strings.Repeat("M", 1<<20), strings.Repeat("h", 1<<20)
	line := decide(t, Options{}, slog.LevelInfo, r)[0]
	for field, want := range map[string]string{
		"method":  strings.Repeat("M", maxMethod) + "…",
		"host":    strings.Repeat("h", maxHost) + "…",
		"path":    "/" + strings.Repeat("é", maxPath/2-1) + "…",
		"service": "/" + strings.Repeat("é", maxName/2) + "…",
	} {
		if line[field] != want {
			t.Errorf("%s = %q, want %q", field, line[field], want)
		}
	}
}

func TestSettings(t *testing.T) {
	requests := []*authz.Request{request("/users", "good"), request("/delete", "good"), request("/users", "bad")}
	for _, test := range []struct {
		decisions Decisions
		level     slog.Level
		want      []string // the codes logged
	}{
		{"", slog.LevelInfo, []string{"ok", "insufficient_permissions", "unavailable"}},
		{All, slog.LevelInfo, []string{"ok", "insufficient_permissions", "unavailable"}},
		{All, slog.LevelWarn, []string{"unavailable"}},
		{Denied, slog.LevelInfo, []string{"insufficient_permissions", "unavailable"}},
		{None, slog.LevelInfo, []string{"unavailable"}},
		{None, slog.LevelError + 1, nil},
	} {
		var codes []string
		for _, line := range decide(t, Options{Decisions: test.decisions}, test.level, requests...) {
			codes = append(codes, line["code"].(string))
		}
		if diff := cmp.Diff(test.want, codes); diff != "" {
			t.Errorf("decisions %q at level %v (-want +got):\n%s", test.decisions, test.level, diff)
		}
	}
}

func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	decide(t, Options{Registerer: registry}, slog.LevelInfo,
		request("/users", "good"), request("/users", "good"), request("/delete", "good"), request("/users", "bad"), request("/public", ""))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			name := family.GetName()
			for _, label := range metric.GetLabel() {
				name += " " + label.GetName() + "=" + label.GetValue()
			}
			got[name] = metric.GetCounter().GetValue() + float64(metric.GetHistogram().GetSampleCount())
		}
	}
	want := map[string]float64{
		"passgate_decisions_total code=ok decision=allow door=test":                      3,
		"passgate_decisions_total code=insufficient_permissions decision=deny door=test": 1,
		"passgate_decisions_total code=unavailable decision=deny door=test":              1,
		"passgate_decision_duration_seconds door=test":                                   5,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}

// answer is an [authz.Decider] that has one answer.
type answer authz.Decision

func (a answer) Decide(context.Context, *authz.Request) authz.Decision { return authz.Decision(a) }

func TestTheDecisionIsPassedOnUnchanged(t *testing.T) {
	want := authz.Decision{Reason: authz.ReasonForbidden, RequestID: "id", Rule: authz.Rule{Route: "r"}, Cause: "c"}
	door := New(Options{Log: slog.New(slog.DiscardHandler)}).Door("test", answer(want))
	if got := door.Decide(t.Context(), request("/", "")); !reflect.DeepEqual(got, want) {
		t.Errorf("Decide = %+v, want %+v", got, want)
	}
	allowed := New(Options{Log: slog.New(slog.DiscardHandler)}).Door("test", newEngine()).Decide(t.Context(), request("/users", "good"))
	if !allowed.Allowed() {
		t.Errorf("Decide = %+v, want an allow", allowed)
	}
}

func TestRecordingWithoutALineDoesNotAllocate(t *testing.T) {
	for name, decision := range map[string]Decisions{"the level excludes it": All, "the setting excludes it": None} {
		log := slog.New(slog.NewJSONHandler(&bytes.Buffer{}, &slog.HandlerOptions{Level: slog.LevelError}))
		door := New(Options{Log: log, Decisions: decision}).Door("test", answer{Reason: authz.ReasonForbidden})
		r := request("/", "")
		if n := testing.AllocsPerRun(100, func() { door.Decide(t.Context(), r) }); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
