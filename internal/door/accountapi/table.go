package accountapi

import (
	"context"
	"errors"
	"log/slog"
	"slices"

	"github.com/passgate/passgate/internal/account"
	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/idempotency"
	"github.com/passgate/passgate/internal/problem"
)

// What can be wrong with a request before anything is asked of an account.
var (
	errPath      = errors.New("no call has this path")
	errMethod    = errors.New("the call has another method")
	errMediaType = errors.New("the body is not said to be JSON")
	errEncoding  = errors.New("the body is encoded")
	errTooLarge  = errors.New("the body is too large")
	errMalformed = errors.New("the body is not one strict JSON object")
)

// retryAfter is the Retry-After of what may be better in a moment, in seconds.
const retryAfter = "1"

// realm is the challenge of a 401 that is about no token (RFC 9110 §15.5.2).
var realm = problem.Of(&authz.Decision{Reason: authz.ReasonCredentialMissing}).Challenge

// unavailable is what a client is shown of every error that is not in the table.
var unavailable = problem.Problem{Status: 503, Code: "unavailable", Text: "Accounts temporarily unavailable", RetryAfter: retryAfter}

var invalidFields = problem.Problem{Status: 422, Code: "invalid_fields", Text: "Invalid fields"}

// refusals is the table from error to problem. Two rows of one code differ in the text alone.
var refusals = []struct {
	err     error
	problem problem.Problem
}{
	{errPath, problem.Problem{Status: 404, Code: "not_found", Text: "No such call"}},
	{errMethod, problem.Problem{Status: 405, Code: "method_not_allowed", Text: "Method not allowed"}},
	{errMediaType, problem.Problem{Status: 415, Code: "unsupported_media_type", Text: "Content-Type must be application/json"}},
	{errEncoding, problem.Problem{Status: 415, Code: "unsupported_media_type", Text: "Content-Encoding must be identity"}},
	{idempotency.ErrKey, problem.Problem{Status: 400, Code: "invalid_idempotency_key", Text: "Idempotency-Key must be one of 1 to 255 visible ASCII characters"}},
	{errTooLarge, problem.Problem{Status: 413, Code: "body_too_large", Text: "Request body too large"}},
	{errMalformed, problem.Problem{Status: 400, Code: "malformed_body", Text: "Request body must be one JSON object in UTF-8 with unique names"}},
	{account.ErrEmailTaken, problem.Problem{Status: 409, Code: "email_taken", Text: "An account with this e-mail address exists"}},
	{account.ErrCredentials, problem.Problem{Status: 401, Code: "invalid_credentials", Text: "Wrong e-mail address or password", Challenge: realm}},
	{account.ErrBusy, problem.Problem{Status: 503, Code: "busy", Text: "Too many requests at the moment", RetryAfter: retryAfter}},
	{idempotency.ErrReused, problem.Problem{Status: 422, Code: "idempotency_key_reused", Text: "Idempotency-Key was used with another body"}},
	{idempotency.ErrInProgress, problem.Problem{Status: 409, Code: "request_in_progress", Text: "A request with this Idempotency-Key is in progress", RetryAfter: retryAfter}},
}

// judged are the reasons for which the engine may refuse to say whose account is asked for.
var judged = []authz.Reason{
	authz.ReasonHostAmbiguous, authz.ReasonCredentialsMultiple, authz.ReasonCredentialMissing, authz.ReasonCredentialExpired,
	authz.ReasonCredentialInvalid, authz.ReasonForbidden, authz.ReasonUnavailable,
}

// ownProblems returns the problems of the table by code.
func ownProblems() map[string]problem.Problem {
	own := map[string]problem.Problem{unavailable.Code: unavailable, invalidFields.Code: invalidFields}
	for _, r := range refusals {
		own[r.problem.Code] = r.problem
	}
	return own
}

// own are the problems that the calls of a session can end in, by code.
var own = ownProblems()

// codes returns the code of every problem that this door shows, sorted.
func codes() []string {
	var all []string
	for code := range own {
		all = append(all, code)
	}
	for _, r := range judged {
		all = append(all, problem.CodeOf(r))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// problemOf returns what a client is shown of an error. One that is not in the table is logged here, as nobody
// else learns of it.
func (h *Handler) problemOf(ctx context.Context, x *exchange, err error) problem.Problem {
	if invalid := (*account.InvalidError)(nil); errors.As(err, &invalid) {
		p := invalidFields
		for _, f := range invalid.Fields {
			p.Errors = append(p.Errors, problem.FieldError{Field: f.Name, Message: f.Message})
		}
		return p
	}
	for _, r := range refusals {
		if errors.Is(err, r.err) {
			return r.problem
		}
	}
	level := slog.LevelError
	if x.r.Context().Err() != nil {
		level = slog.LevelInfo // the client has gone, and nothing is wrong with that
	}
	h.log.Log(ctx, level, "account call failed", "request_id", x.id, "call", x.call, "cause", err.Error())
	return unavailable
}

// refuse returns the answer to a request that ends in an error.
func (h *Handler) refuse(ctx context.Context, x *exchange, err error) reply {
	return refusal(h.problemOf(ctx, x, err), x.id)
}
