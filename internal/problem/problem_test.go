package problem

import (
	"encoding/json"
	"testing"

	"github.com/passgate/passgate/internal/authz"
)

func TestTable(t *testing.T) {
	tests := []struct {
		reason     authz.Reason
		status     int
		code, text string
	}{
		{authz.ReasonPathAmbiguous, 400, "ambiguous_path", "Ambiguous request path"},
		{authz.ReasonHostAmbiguous, 400, "ambiguous_host", "Ambiguous request host"},
		{authz.ReasonCredentialsMultiple, 400, "multiple_credentials", "More than one credential"},
		{authz.ReasonCredentialMissing, 401, "missing_credentials", "Missing credentials"},
		{authz.ReasonCredentialExpired, 401, "token_expired", "Token expired"},
		{authz.ReasonCredentialInvalid, 401, "invalid_token", "Invalid or expired token"},
		{authz.ReasonPermissionMissing, 403, "insufficient_permissions", "Insufficient permissions: required [delete, audit], have [read]"},
		{authz.ReasonForbidden, 403, "forbidden", "Forbidden"},
		{authz.ReasonUnavailable, 503, "unavailable", "Authorization temporarily unavailable"},
		{authz.ReasonNoService, 404, "no_service", "No service for path"},
		// What is not in the table is 503, an allow that was not granted by the engine too.
		{authz.ReasonGranted, 503, "unavailable", "Authorization temporarily unavailable"},
		{255, 503, "unavailable", "Authorization temporarily unavailable"},
	}
	for _, tt := range tests {
		t.Run(tt.code, func(t *testing.T) {
			d := &authz.Decision{Reason: tt.reason, RequestID: "id-1", Required: []string{"delete", "audit"},
				Identity: &authz.Identity{Principal: authz.Principal{Permissions: []string{"read"}}}}
			p := Of(d)
			if p.Status != tt.status || p.Code != tt.code || p.Text != tt.text || Status(d) != tt.status || Code(d) != tt.code {
				t.Errorf("problem = %+v", p)
			}
			var body map[string]any
			if err := json.Unmarshal(p.Body(), &body); err != nil {
				t.Fatal(err)
			}
			if body["status"] != float64(tt.status) || body["code"] != tt.code || body["error"] != tt.text || body["detail"] != tt.text ||
				body["type"] != "about:blank" || body["title"] == "" || body["request_id"] != "id-1" || len(body) != 7 {
				t.Errorf("body = %s", p.Body())
			}
		})
	}
}

func TestChallenge(t *testing.T) {
	tests := []struct {
		reason     authz.Reason
		want       string
		retryAfter bool
	}{
		{authz.ReasonCredentialMissing, `Bearer realm="passgate"`, false},
		{authz.ReasonCredentialInvalid, `Bearer realm="passgate", error="invalid_token", error_description="Invalid or expired token"`, false},
		{authz.ReasonCredentialExpired, `Bearer realm="passgate", error="invalid_token", error_description="Token expired"`, false},
		{authz.ReasonPermissionMissing, `Bearer realm="passgate", error="insufficient_scope", error_description="Insufficient permissions"`, false},
		{authz.ReasonForbidden, "", false},
		{authz.ReasonPathAmbiguous, "", false},
		{authz.ReasonUnavailable, "", true},
	}
	for _, tt := range tests {
		p := Of(&authz.Decision{Reason: tt.reason})
		if p.Challenge != tt.want || (p.RetryAfter != "") != tt.retryAfter {
			t.Errorf("reason %d: challenge %q, retry after %q", tt.reason, p.Challenge, p.RetryAfter)
		}
	}
}

func TestEveryProblemIsARefusal(t *testing.T) {
	for reason := range authz.Reason(255) {
		if s := Of(&authz.Decision{Reason: reason}).Status; s < 400 || s > 599 {
			t.Errorf("reason %d has status %d", reason, s)
		}
	}
}

func TestErrorsOfFieldsStandLast(t *testing.T) {
	p := Problem{Status: 422, Code: "invalid_fields", Text: "t", RequestID: "id-1", Errors: []FieldError{{"email", "is required"}, {"name", "\xff"}}}
	want := `{"type":"about:blank","title":"Unprocessable Entity","status":422,"detail":"t","code":"invalid_fields","error":"t","request_id":"id-1",` +
		`"errors":[{"field":"email","message":"is required"},{"field":"name","message":"` + "\ufffd" + `"}]}`
	if got := string(p.Body()); got != want {
		t.Errorf("body = %s, want %s", got, want)
	}
}
