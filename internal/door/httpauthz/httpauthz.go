// Package httpauthz is the door that Envoy calls where its ext_authz filter has an http_service: the question
// that package extauthz answers over gRPC, over HTTP.
//
// The request is the question: its method, host and headers are the client's, and its target is [Prefix] and
// the client's own, glued together and not cleaned. So it is read raw, and nothing may clean it on the way
// here: not a ServeMux, which would answer /envoy/authz//a by a redirect. The answer is the decision. Envoy
// takes 200 as an allow, a 5xx as a fault of this door (it answers with its status_on_error and drops what is
// said here, or under failure_mode_allow lets the request pass), and all else as a denial that goes to the
// client as it is. So every answer starts as a denial, one place writes the 200, and there is no other status
// below 400.
//
// What the server around the handler has to do is to leave each request to it. Go's own answers "OPTIONS *"
// with 200, unless its DisableGeneralOptionsHandler is set.
//
// Envoy shows this door less than it shows Check: the headers that its allowed_headers name, none of its route's
// context, and, unless encode_raw_headers is set, a byte that is not UTF-8 as "!". Nothing tells the door whether
// it is, so a path with that character is refused. What an operator has to set is in envoy/http_service.yaml.
package httpauthz

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/problem"
)

// Prefix begins the target of every question, as path_prefix of Envoy's http_service has it. The client's target
// follows, with its slash.
const Prefix = "/envoy/authz"

// Options are the parts of a [Handler]. All are required.
type Options struct {
	Decider authz.Decider
	Log     *slog.Logger
}

// Handler answers Envoy's questions. It is safe for concurrent use; make one with [New].
type Handler struct {
	decider    authz.Decider
	log        *slog.Logger
	warnPrefix sync.Once
}

var _ http.Handler = (*Handler)(nil)

// New returns a handler of these parts. It panics if one is missing, which is a fault of the program.
func New(o Options) *Handler {
	if o.Decider == nil || o.Log == nil {
		panic("httpauthz: a handler needs a decider and a log")
	}
	return &Handler{decider: o.Decider, log: o.Log}
}

// ServeHTTP implements [http.Handler]. It does not read the body of a request: decisions need none.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := h.answer(r.Context(), r)
	header := w.Header()
	// Go would guess a type for the line of text that a gRPC client gets, and Envoy may send it on.
	header["Content-Type"] = nil
	for _, line := range a.headers {
		header.Set(line.Name, line.Value)
	}
	w.WriteHeader(a.status)
	// An error says that Envoy no longer waits.
	_, _ = w.Write([]byte(a.body))
}

// answer is what Envoy is told.
type answer struct {
	status  int
	headers []authz.Header // each name once
	body    string
}

// answer judges a request. A panic is a denial.
func (h *Handler) answer(ctx context.Context, r *http.Request) (a answer) {
	defer func() {
		if p := recover(); p != nil {
			h.log.ErrorContext(ctx, "ext_authz over HTTP panicked", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			a = refused(problem.Of(&authz.Decision{}), false)
		}
	}()
	grpc := problem.IsGRPC(r.Header["Content-Type"])
	q, ok := requestFrom(r)
	if !ok {
		h.warnPrefix.Do(func() {
			h.log.WarnContext(ctx, "a target of ext_authz over HTTP does not begin with "+Prefix+"/, so the request is denied: Envoy's http_service needs path_prefix: "+Prefix+", without a slash at its end")
		})
		p := noQuestion
		p.RequestID = authz.RequestID(q.Headers)
		return refused(p, grpc)
	}
	d := h.decider.Decide(ctx, q)
	if !d.Allowed() {
		return refused(problem.Of(&d), grpc)
	}
	return granted(&d)
}

// noQuestion is the answer to what Envoy does not ask.
var noQuestion = problem.Problem{Status: http.StatusNotFound, Code: "not_found", Text: "Not found"}

// granted is the answer to an allowed request, and the one place that writes the status 200.
func granted(d *authz.Decision) answer {
	headers := make([]authz.Header, 0, len(d.Stamp.Set)+2)
	headers = append(headers, authz.Header{Name: "Cache-Control", Value: "no-store"})
	headers = append(headers, d.Stamp.Set...)
	if len(d.Remove) > 0 {
		headers = append(headers, authz.Header{Name: "X-Envoy-Auth-Headers-To-Remove", Value: list(d.Remove)})
	}
	return answer{status: http.StatusOK, headers: headers}
}

// list writes header names as Envoy reads them, each once.
func list(names []string) string {
	lower := make([]string, len(names))
	for i, name := range names {
		lower[i] = strings.ToLower(name)
	}
	slices.Sort(lower)
	return strings.Join(slices.Compact(lower), ",")
}

// refused is the answer to a request that is not allowed. For a gRPC client Envoy makes the body its
// grpc-message.
func refused(p problem.Problem, grpc bool) answer {
	headers, body := p.Answer(grpc)
	return answer{status: p.Status, headers: headers, body: body}
}
