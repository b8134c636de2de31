package accountapi

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/passgate/passgate/internal/account"
	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/door/headers"
	"github.com/passgate/passgate/internal/problem"
)

// me answers with the account that a bearer token speaks for, as it is stored now.
func (h *Handler) me(ctx context.Context, x *exchange) reply {
	d := h.decider.Decide(ctx, requestFrom(x))
	if !d.Allowed() {
		return refusal(problem.Of(&d), x.id)
	}
	if d.Identity == nil {
		return h.refuse(ctx, x, errors.New("the request was allowed without a principal"))
	}
	id, ours := strings.CutPrefix(d.Identity.UserID, h.userPrefix)
	if !ours {
		return h.refuse(ctx, x, errors.New("the request was allowed for a principal of another source"))
	}
	a, err := h.accounts.Account(ctx, id)
	if errors.Is(err, account.ErrNotFound) {
		// The token outlived its account.
		return refusal(problem.Of(&authz.Decision{Reason: authz.ReasonCredentialInvalid}), x.id)
	}
	if err != nil {
		return h.refuse(ctx, x, err)
	}
	return h.show(ctx, x, d.Identity.UserID, a)
}

// show returns an account as its owner sees it.
func (h *Handler) show(ctx context.Context, x *exchange, userID string, a account.Account) reply {
	text, err := json.Marshal(struct {
		UserID       string   `json:"user_id"`
		Email        string   `json:"email"`
		Name         string   `json:"name"`
		Country      string   `json:"country"`
		Platform     string   `json:"platform"`
		Subscription string   `json:"subscription"`
		Roles        []string `json:"roles"`
		Permissions  []string `json:"permissions"`
	}{userID, a.Email, a.Name, a.Country, a.Platform, a.Subscription, a.Roles, a.Permissions}, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return h.refuse(ctx, x, fmt.Errorf("write the account: %w", err))
	}
	return reply{status: x.success, contentType: jsonType, body: text, code: problem.CodeAllowed, userID: userID}
}

// requestFrom returns the request as the engine judges it. It carries this request's id, so that the decision
// has no other.
func requestFrom(x *exchange) *authz.Request {
	lines := slices.DeleteFunc(headers.Lines(x.r.Header), func(l authz.Header) bool { return strings.EqualFold(l.Name, requestID) })
	return &authz.Request{
		Method:  x.r.Method,
		Host:    x.r.Host,
		Path:    x.path,
		Headers: append(lines, authz.Header{Name: requestID, Value: x.id}),
	}
}
