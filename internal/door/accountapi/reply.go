package accountapi

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/passgate/passgate/internal/problem"
)

const (
	jsonType  = "application/json"
	requestID = "X-Request-ID"
)

// reply is an answer, and what the log tells of it.
type reply struct {
	status      int
	contentType string
	body        []byte

	allow      []string // methods
	challenge  string
	retryAfter string
	replayed   bool // an earlier request was answered so

	code   string // problem.CodeAllowed, or that of the problem
	userID string // whom the answer is about, on success
}

// refusal returns the answer that shows a problem under an id.
func refusal(p problem.Problem, requestID string) reply {
	p.RequestID = requestID
	return reply{
		status: p.Status, contentType: problem.ContentType, body: p.Body(),
		challenge: p.Challenge, retryAfter: p.RetryAfter, code: p.Code,
	}
}

// write sends the answer.
func (a *reply) write(x *exchange) {
	h := x.w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set(requestID, x.id)
	h.Set("Content-Type", a.contentType)
	h.Set("Content-Length", strconv.Itoa(len(a.body)))
	if len(a.allow) > 0 {
		h.Set("Allow", strings.Join(a.allow, ", "))
	}
	if a.challenge != "" {
		h.Set("WWW-Authenticate", a.challenge)
	}
	if a.retryAfter != "" {
		h.Set("Retry-After", a.retryAfter)
	}
	if a.replayed {
		h.Set("Idempotent-Replayed", "true")
	}
	x.w.WriteHeader(a.status)
	if x.r.Method != http.MethodHead {
		_, _ = x.w.Write(a.body) // the client may be gone
	}
}
