// Package problem is the one table from the reason of a refusal to what a client is shown of it, used by
// every door so that no two answer differently.
package problem

import (
	"net/http"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/passgate/passgate/internal/authz"
)

// ContentType of [Problem.Body] (RFC 9457 §3).
const ContentType = "application/problem+json"

// Problem is what a client is shown of a refusal, and no more.
type Problem struct {
	Status    int    // HTTP status, 400 to 599
	Code      string // stable word for programs
	Text      string // one line for people
	Challenge string // value of WWW-Authenticate (RFC 6750 §3), or ""
	// RetryAfter is the value of Retry-After in seconds, or "".
	RetryAfter string
	RequestID  string
	// Errors say which fields of the request are at fault; nil where it is not about fields.
	Errors []FieldError
}

// FieldError is what is wrong with one field of a request.
type FieldError struct {
	Field   string `json:"field"`
	Message string `json:"message"` // one line for people, without the value
}

// CodeAllowed stands where a code is asked for and the decision is an allow.
const CodeAllowed = "ok"

const realm = `Bearer realm="passgate"`

var unavailable = Problem{Status: 503, Code: "unavailable", Text: "Authorization temporarily unavailable", RetryAfter: "1"}

var refusals = map[authz.Reason]Problem{
	authz.ReasonPathAmbiguous:       {Status: 400, Code: "ambiguous_path", Text: "Ambiguous request path"},
	authz.ReasonHostAmbiguous:       {Status: 400, Code: "ambiguous_host", Text: "Ambiguous request host"},
	authz.ReasonCredentialsMultiple: {Status: 400, Code: "multiple_credentials", Text: "More than one credential"},
	authz.ReasonCredentialMissing:   {Status: 401, Code: "missing_credentials", Text: "Missing credentials", Challenge: realm},
	authz.ReasonCredentialExpired: {Status: 401, Code: "token_expired", Text: "Token expired",
		Challenge: realm + `, error="invalid_token", error_description="Token expired"`},
	authz.ReasonCredentialInvalid: {Status: 401, Code: "invalid_token", Text: "Invalid or expired token",
		Challenge: realm + `, error="invalid_token", error_description="Invalid or expired token"`},
	authz.ReasonPermissionMissing: {Status: 403, Code: "insufficient_permissions", Text: "Insufficient permissions",
		Challenge: realm + `, error="insufficient_scope", error_description="Insufficient permissions"`},
	authz.ReasonForbidden:   {Status: 403, Code: "forbidden", Text: "Forbidden"},
	authz.ReasonNoService:   {Status: 404, Code: "no_service", Text: "No service for path"},
	authz.ReasonUnavailable: unavailable,
}

// Of returns what a client is shown of a refused decision. A reason that is not in the table, and a
// decision that was allowed, are 503: this function cannot turn into an allow.
func Of(d *authz.Decision) Problem {
	p := row(d.Reason)
	if d.Reason == authz.ReasonPermissionMissing {
		p.Text += ": required [" + strings.Join(d.Required, ", ") + "], have [" + strings.Join(d.Held(), ", ") + "]"
	}
	p.RequestID = d.RequestID
	return p
}

func row(r authz.Reason) Problem {
	if p, ok := refusals[r]; ok {
		return p
	}
	return unavailable
}

// Status returns the HTTP status that a decision stands for: 200 when allowed.
func Status(d *authz.Decision) int {
	if d.Allowed() {
		return 200
	}
	return row(d.Reason).Status
}

// Code returns the stable word of a decision: [CodeAllowed] when allowed.
func Code(d *authz.Decision) string {
	if d.Allowed() {
		return CodeAllowed
	}
	return CodeOf(d.Reason)
}

// CodeOf returns the stable word of a refusal.
func CodeOf(r authz.Reason) string { return row(r).Code }

// Codes returns all stable words, sorted.
func Codes() []string {
	all := []string{CodeAllowed}
	for _, p := range refusals {
		all = append(all, p.Code)
	}
	slices.Sort(all)
	return all
}

// Body returns the problem as JSON (RFC 9457), the same at every door that answers in HTTP.
func (p Problem) Body() []byte {
	// Strings and an int: there is nothing in it that Marshal could refuse, once what is not UTF-8 is replaced.
	body, _ := json.Marshal(struct {
		Type      string       `json:"type"`
		Title     string       `json:"title"`
		Status    int          `json:"status"`
		Detail    string       `json:"detail"`
		Code      string       `json:"code"`
		Error     string       `json:"error"`
		RequestID string       `json:"request_id"`
		Errors    []FieldError `json:"errors,omitzero"`
	}{"about:blank", http.StatusText(p.Status), p.Status, p.Text, p.Code, p.Text, p.RequestID, p.Errors}, jsontext.AllowInvalidUTF8(true))
	return body
}
