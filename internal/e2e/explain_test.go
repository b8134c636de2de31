package e2e

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// From the request_id that a client was shown, one grep and one command tell why it was refused.
func TestExplainReachedFromTheRequestID(t *testing.T) {
	needPrograms(t)
	const own = `  - {name: own-orders, path: "/orders/{user}", when: "path.user == principal.user_id"}`
	s := startStack(t, shippedFile(t), strings.Replace(policy, "routes:", "routes:\n"+own, 1))
	tests := []struct {
		name, request string
		headers       []string
		want          []string
	}{
		{"permission missing", "DELETE /api/users/1 HTTP/1.1", []string{bearer(t, user("read"))}, []string{
			"users-read: the method is DELETE, not GET", "route        matched       users-delete",
			`user "user-1"`, `required ["delete"], held ["read"]`,
			"DENY 403 insufficient_permissions: Insufficient permissions: required [delete], have [read]",
		}},
		{"condition", "GET /orders/someone-else HTTP/1.1", []string{bearer(t, user("read"))}, []string{
			"path.user == principal.user_id", `path.user is "someone-else", principal.user_id is "user-1"`, "DENY 403 forbidden",
		}},
		{"no route", "GET /api/user/1 HTTP/1.1", []string{bearer(t, user("read"))}, []string{
			`users-read: segment 2 is "user", not "users"`, "DENY 403 forbidden",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			answer := send(t, s.addr, tt.request, tt.headers...)
			if answer.status != http.StatusForbidden {
				t.Fatalf("status %d, want 403", answer.status)
			}
			body, err := answer.problem()
			if err != nil {
				t.Fatal(err)
			}
			s.passgate.logLine(t, body.RequestID)
			shell := exec.Command("bash", "-c", `grep "$ID" "$LOG" | passgate explain --config "$CONFIG" --log -`)
			shell.Env = append(os.Environ(), "ID="+body.RequestID, "LOG="+s.passgate.log(), "CONFIG="+s.passgate.config,
				"PATH="+filepath.Dir(programs.passgate)+":"+os.Getenv("PATH"))
			out, err := shell.CombinedOutput()
			if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 1 {
				t.Errorf("explain ended with %v, want exit status 1\n%s", err, out)
			}
			for _, want := range tt.want {
				if !strings.Contains(string(out), want) {
					t.Errorf("the explanation lacks %q:\n%s", want, out)
				}
			}
		})
	}
}
