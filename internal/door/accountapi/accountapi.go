// Package accountapi is the door of the account API: signup, login and the caller's own account, as HTTP calls
// with JSON bodies (contract §6; openapi.yaml describes them to clients).
//
// It reads a request strictly, has package account carry it out, and writes the answer. Where a request has an
// Idempotency-Key, package idempotency stands between, so that the call is carried out once. One table says how
// each error looks to a client; what is not in it is 503. A bearer token is judged by the engine, as at every
// other door.
//
// Paths are compared byte by byte, as they came: there is no cleaning, no decoding and no redirect, so that what
// a policy makes public is what is served here and nothing beside it.
package accountapi

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/passgate/passgate/internal/account"
	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/door/headers"
	"github.com/passgate/passgate/internal/idempotency"
)

// Accounts carries out the calls: an [account.Service]. The texts of its errors go to the log.
type Accounts interface {
	NewPlan() account.Plan
	SignUp(ctx context.Context, p account.Plan, in account.SignUp) (account.Session, error)
	LogIn(ctx context.Context, p account.Plan, in account.LogIn) (account.Session, error)
	Account(ctx context.Context, userID string) (account.Account, error)
}

// Guard has a use of an Idempotency-Key carried out once: an [idempotency.Guard].
type Guard interface {
	Do(ctx context.Context, u idempotency.Use, run func(ctx context.Context, plan []byte) idempotency.Answer) (a idempotency.Answer, replayed bool, err error)
}

var (
	_ Accounts = (*account.Service)(nil)
	_ Guard    = (*idempotency.Guard)(nil)
)

// Options are the parts of a [Handler]. Accounts, Guard, Decider, NewID and Log are required.
type Options struct {
	Accounts Accounts
	Guard    Guard // asked about requests with a key alone

	// Decider judges GET me. What it allows has a principal of the accounts' own issuer, and of no other source.
	Decider authz.Decider
	// UserPrefix is what that issuer's user ids begin with, for the upstreams and for clients; accounts are
	// stored without it.
	UserPrefix string

	NewID      func() string // a request id, where the caller brought none
	Log        *slog.Logger
	Registerer prometheus.Registerer // nil: calls are counted for nobody

	// MaxBody is how long a body may be, in bytes. 0: 64 KiB.
	MaxBody int64
	// Timeout is how long a call may take. 0: 10 s. One with a key may wait in addition, for another one with
	// that key ([idempotency.Wait]): the WriteTimeout of the server has to be longer than both and the time in
	// which a body is read, which is this one, too.
	Timeout time.Duration
}

const (
	defaultMaxBody = 64 << 10
	defaultTimeout = 10 * time.Second
)

// Handler serves the account API. It is safe for concurrent use; make one with [New].
type Handler struct {
	accounts   Accounts
	guard      Guard
	decider    authz.Decider
	userPrefix string
	newID      func() string
	log        *slog.Logger
	count      *prometheus.CounterVec
	maxBody    int64
	timeout    time.Duration
}

// New returns a handler of these parts. It panics if one is missing, which is a fault of the program. Handlers of
// one registerer count together, so that one can follow another when a configuration is read anew.
func New(o Options) *Handler {
	if o.Accounts == nil || o.Guard == nil || o.Decider == nil || o.NewID == nil || o.Log == nil {
		panic("accountapi: a handler needs accounts, a guard, a decider, a source of ids and a log")
	}
	h := &Handler{
		accounts: o.Accounts, guard: o.Guard, decider: o.Decider, userPrefix: o.UserPrefix,
		newID: o.NewID, log: o.Log, count: newCounter(o.Registerer), maxBody: o.MaxBody, timeout: o.Timeout,
	}
	if h.maxBody == 0 {
		h.maxBody = defaultMaxBody
	}
	if h.timeout == 0 {
		h.timeout = defaultTimeout
	}
	return h
}

// endpoint is one call of the API.
type endpoint struct {
	call    string   // its name in logs and metrics
	methods []string // that it is for
	success int      // its status
	answer  func(h *Handler, ctx context.Context, x *exchange) reply

	// open carries out a call that ends in a session.
	open func(ctx context.Context, a Accounts, p account.Plan, body []byte) (account.Session, error)
}

var endpoints = map[string]endpoint{
	account.SignUpPath: {call: "signup", methods: []string{http.MethodPost}, success: http.StatusCreated, answer: (*Handler).session, open: signUp},
	account.LogInPath:  {call: "login", methods: []string{http.MethodPost}, success: http.StatusOK, answer: (*Handler).session, open: logIn},
	account.MePath:     {call: "me", methods: []string{http.MethodGet, http.MethodHead}, success: http.StatusOK, answer: (*Handler).me},
}

// unknown is what a path is for that is none of the API's.
var unknown = endpoint{call: "unknown"}

// exchange is one request and what is known of it.
type exchange struct {
	endpoint
	path string
	id   string // request_id
	w    http.ResponseWriter
	r    *http.Request
}

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	x := h.exchange(w, r)
	if r.Body != http.NoBody {
		// A body that does not come may hold the call, and the connection after it, no longer than anything else.
		// Not every ResponseWriter can do this; then the server's ReadTimeout has to. Without a body a deadline
		// would pass for a client that has gone.
		_ = http.NewResponseController(w).SetReadDeadline(start.Add(h.timeout))
	}
	ctx, cancel := context.WithTimeout(r.Context(), h.timeout)
	defer cancel()
	a := h.answer(ctx, x)
	h.record(ctx, x, &a, time.Since(start))
	a.write(x)
}

func (h *Handler) exchange(w http.ResponseWriter, r *http.Request) *exchange {
	x := &exchange{endpoint: unknown, path: r.URL.EscapedPath(), w: w, r: r}
	if e, ok := endpoints[x.path]; ok {
		x.endpoint = e
	}
	if x.id = authz.RequestID(headers.Lines(r.Header)); x.id == "" {
		x.id = h.newID()
	}
	return x
}

// answer never fails: a panic is 503.
func (h *Handler) answer(ctx context.Context, x *exchange) (a reply) {
	defer func() {
		if p := recover(); p != nil {
			a = h.panicked(ctx, x, p)
		}
	}()
	switch {
	case x.endpoint.answer == nil:
		return h.refuse(ctx, x, errPath)
	case !slices.Contains(x.methods, x.r.Method):
		a = h.refuse(ctx, x, errMethod)
		a.allow = x.methods
		return a
	}
	return x.endpoint.answer(h, ctx, x)
}

// panicked logs a panic and returns the answer to it. It is called while the panic is being recovered from, as
// the stack is that of the caller.
func (h *Handler) panicked(ctx context.Context, x *exchange, p any) reply {
	h.log.ErrorContext(ctx, "account call panicked", "request_id", x.id, "call", x.call, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	return refusal(unavailable, x.id)
}
