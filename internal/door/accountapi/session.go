package accountapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/passgate/passgate/internal/account"
	"github.com/passgate/passgate/internal/idempotency"
	"github.com/passgate/passgate/internal/problem"
)

// plan fixes an answer to the byte: with a key, whoever carries a call on must answer as the first would have.
type plan struct {
	Account   account.Plan `json:"account"`
	RequestID string       `json:"request_id"` // in the body of a problem
}

// readPlan returns the plan in text. One that says more or less than a plan does here is another version's: what
// it fixes could not be kept to.
func readPlan(text []byte) (p plan, err error) {
	if err := json.Unmarshal(text, &p); err != nil {
		return plan{}, fmt.Errorf("read the plan: %w", err)
	}
	if again, err := json.Marshal(p); err != nil || !bytes.Equal(again, text) {
		return plan{}, errors.New("read the plan: it is not as it is written here")
	}
	return p, nil
}

// session answers signup and login.
func (h *Handler) session(ctx context.Context, x *exchange) reply {
	if err := judgeMediaType(x.r.Header); err != nil {
		return h.refuse(ctx, x, err)
	}
	key, err := idempotency.ParseKey(x.r.Header.Values("Idempotency-Key"))
	if err != nil {
		return h.refuse(ctx, x, err)
	}
	body, err := h.readBody(x)
	if err != nil {
		return h.refuse(ctx, x, err)
	}
	p := plan{Account: h.accounts.NewPlan(), RequestID: x.id}
	if key != "" {
		return h.keyed(x, key, p, body)
	}
	return h.give(ctx, x, h.run(ctx, x, p, body), false)
}

// keyed has a call carried out once for its key. What is wrong inside the body is part of that: the same request
// gets the same answer.
func (h *Handler) keyed(x *exchange, key string, p plan, body []byte) reply {
	ctx, cancel := context.WithTimeout(x.r.Context(), idempotency.Wait+h.timeout)
	defer cancel()
	fixed, err := json.Marshal(p)
	if err != nil {
		return h.refuse(ctx, x, fmt.Errorf("write the plan: %w", err))
	}
	use := idempotency.Use{Route: x.r.Method + " " + x.path, Key: key, Body: body, Plan: fixed}
	a, replayed, err := h.guard.Do(ctx, use, func(ctx context.Context, fixed []byte) idempotency.Answer {
		p, err := readPlan(fixed)
		if err != nil {
			return kept(h.refuse(ctx, x, err))
		}
		return h.run(ctx, x, p, body)
	})
	if err != nil {
		return h.refuse(ctx, x, err)
	}
	return h.give(ctx, x, a, replayed)
}

// run carries a call out. What it answers hangs on the plan, the body and the accounts alone. It does not panic:
// it may be called where nobody recovers.
func (h *Handler) run(ctx context.Context, x *exchange, p plan, body []byte) (a idempotency.Answer) {
	defer func() {
		if v := recover(); v != nil {
			a = kept(h.panicked(ctx, x, v))
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, h.timeout)
	defer cancel()
	s, err := x.open(ctx, h.accounts, p.Account, body)
	if err == nil && (s.UserID == "" || s.Token == "") {
		err = errors.New("the session is empty")
	}
	if err != nil {
		return kept(refusal(h.problemOf(ctx, x, err), p.RequestID))
	}
	text, err := json.Marshal(struct {
		UserID    string `json:"user_id"`
		Token     string `json:"token"`
		TokenType string `json:"token_type"`
		ExpiresIn int64  `json:"expires_in"`
	}{s.UserID, s.Token, "Bearer", int64(s.ExpiresIn / time.Second)})
	if err != nil {
		return kept(refusal(h.problemOf(ctx, x, fmt.Errorf("write the session: %w", err)), p.RequestID))
	}
	return idempotency.Answer{Status: x.success, ContentType: jsonType, Body: text}
}

// kept returns of an answer what is kept under a key.
func kept(a reply) idempotency.Answer {
	return idempotency.Answer{Status: a.status, ContentType: a.contentType, Body: a.body}
}

// give returns an answer as it is given, now or again: what is not kept of it follows from its code. One that
// this door does not give is not passed on.
func (h *Handler) give(ctx context.Context, x *exchange, a idempotency.Answer, replayed bool) reply {
	var said struct {
		UserID string `json:"user_id"`
		Code   string `json:"code"`
	}
	if err := json.Unmarshal(a.Body, &said); err != nil {
		return h.refuse(ctx, x, fmt.Errorf("read the answer: %w", err))
	}
	out := reply{status: a.Status, contentType: a.ContentType, body: a.Body, replayed: replayed}
	if a.Status == x.success {
		out.code, out.userID = problem.CodeAllowed, said.UserID
		return out
	}
	p, ok := own[said.Code]
	if !ok || p.Status != a.Status {
		return h.refuse(ctx, x, fmt.Errorf("an answer of status %d is none of this call's", a.Status))
	}
	out.code, out.challenge, out.retryAfter = p.Code, p.Challenge, p.RetryAfter
	return out
}

func signUp(ctx context.Context, a Accounts, p account.Plan, body []byte) (account.Session, error) {
	in, err := readSignUp(body)
	if err != nil {
		return account.Session{}, err
	}
	return a.SignUp(ctx, p, in)
}

func logIn(ctx context.Context, a Accounts, p account.Plan, body []byte) (account.Session, error) {
	in, err := readLogIn(body)
	if err != nil {
		return account.Session{}, err
	}
	return a.LogIn(ctx, p, in)
}
