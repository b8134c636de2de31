package accountapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/passgate/passgate/internal/account"
	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/door/doortest"
	"github.com/passgate/passgate/internal/idempotency"
)

// accounts is a fake of the service that remembers what it was asked. Tests change a function to bring in a fault.
type accounts struct {
	signUp  func(context.Context, account.Plan, account.SignUp) (account.Session, error)
	logIn   func(context.Context, account.Plan, account.LogIn) (account.Session, error)
	account func(context.Context, string) (account.Account, error)

	plans   int
	signUps []account.SignUp
	logIns  []account.LogIn
	asked   []string
}

func (a *accounts) NewPlan() account.Plan {
	a.plans++
	return account.Plan{UserID: fmt.Sprintf("user_%d", a.plans), TokenID: fmt.Sprintf("token-%d", a.plans), KeyID: "key-1", IssuedAt: 1_700_000_000, Role: "user", Subscription: "free"}
}

func (a *accounts) SignUp(ctx context.Context, p account.Plan, in account.SignUp) (account.Session, error) {
	a.signUps = append(a.signUps, in)
	return a.signUp(ctx, p, in)
}

func (a *accounts) LogIn(ctx context.Context, p account.Plan, in account.LogIn) (account.Session, error) {
	a.logIns = append(a.logIns, in)
	return a.logIn(ctx, p, in)
}

func (a *accounts) Account(ctx context.Context, userID string) (account.Account, error) {
	a.asked = append(a.asked, userID)
	return a.account(ctx, userID)
}

// session is what a call by this plan ends in.
func sessionOf(p account.Plan) account.Session {
	return account.Session{UserID: p.UserID, Token: "secret." + p.TokenID + ".token", ExpiresIn: 24 * time.Hour}
}

var ann = account.Account{
	ID: "user_ann", Email: "ann@example.com", PasswordHash: "secret-hash", Name: "Ann", Country: "IN", Platform: "android",
	Subscription: "free", Roles: []string{"user"}, Permissions: []string{"read"},
}

// guard is a fake of the guard that remembers its uses and, as the real one, answers but 429 and 5xx.
type guard struct {
	do      func(context.Context, idempotency.Use, func(context.Context, []byte) idempotency.Answer) (idempotency.Answer, bool, error)
	uses    []idempotency.Use
	entries map[string]*entry
}

type entry struct {
	body, plan []byte
	answer     *idempotency.Answer
}

func (g *guard) Do(ctx context.Context, u idempotency.Use, run func(context.Context, []byte) idempotency.Answer) (idempotency.Answer, bool, error) {
	g.uses = append(g.uses, u)
	return g.do(ctx, u, run)
}

func (g *guard) once(ctx context.Context, u idempotency.Use, run func(context.Context, []byte) idempotency.Answer) (idempotency.Answer, bool, error) {
	name := u.Route + " " + u.Key
	e := g.entries[name]
	if e == nil {
		e = &entry{body: u.Body, plan: u.Plan}
		g.entries[name] = e
	}
	if !bytes.Equal(e.body, u.Body) {
		return idempotency.Answer{}, false, idempotency.ErrReused
	}
	if e.answer != nil {
		return *e.answer, true, nil
	}
	a := run(ctx, e.plan)
	if a.Status != 429 && a.Status < 500 {
		e.answer = &a
	}
	return a, false, nil
}

// engine is the parts of a real engine whose one rule is that of GET me.
type engine struct {
	verify func(authz.Credential) (*authz.Identity, error)
	stamp  func(*authz.Identity) (*authz.Stamp, error)
	access authz.Access
	match  func(*authz.Request) authz.Reason
}

func (e *engine) Match(r *authz.Request) (authz.Rule, authz.Reason, string) {
	return authz.Rule{Route: "account", Service: authz.OwnService, Access: e.access, Sources: []string{"accounts"}}, e.match(r), "because"
}

func (e *engine) Verify(_ context.Context, c authz.Credential, _ time.Time) (*authz.Identity, error) {
	return e.verify(c)
}

func (e *engine) Stamp(id *authz.Identity, _ time.Time) (*authz.Stamp, error) { return e.stamp(id) }

func (e *engine) Spoofed(dst []string, _ *authz.Request) []string { return dst }

// verify knows Ann's token, and one that has expired.
func verify(c authz.Credential) (*authz.Identity, error) {
	switch c.Value {
	case "anns.secret.token":
		return &authz.Identity{Principal: authz.Principal{Source: "accounts", UserID: "acct:user_ann", Permissions: []string{"old"}}}, nil
	case "partners.secret.token":
		return &authz.Identity{Principal: authz.Principal{Source: "partner", UserID: "partner:ann"}}, nil
	case "expired.secret.token":
		return nil, &authz.ExpiredError{Source: "accounts", Detail: "exp is 1"}
	case "keyless.secret.token":
		return nil, errors.New("key set is down")
	}
	return nil, authz.ErrCredentialInvalid
}

// door is a handler with its fakes, and what it left behind.
type door struct {
	*Handler
	accounts *accounts
	guard    *guard
	engine   *engine
	requests []*authz.Request // that the engine was asked about
	registry *prometheus.Registry
	log      *lines
}

// newDoor returns a door at which every good request succeeds.
func newDoor(change ...func(*Options)) *door {
	d := &door{
		accounts: &accounts{
			signUp: func(_ context.Context, p account.Plan, _ account.SignUp) (account.Session, error) {
				return sessionOf(p), nil
			},
			logIn: func(_ context.Context, p account.Plan, _ account.LogIn) (account.Session, error) {
				return sessionOf(p), nil
			},
			account: func(_ context.Context, userID string) (account.Account, error) {
				if userID != ann.ID {
					return account.Account{}, fmt.Errorf("look for it: %w", account.ErrNotFound)
				}
				return ann, nil
			},
		},
		guard: &guard{entries: map[string]*entry{}},
		engine: &engine{
			verify: verify,
			stamp:  func(*authz.Identity) (*authz.Stamp, error) { return &authz.Stamp{}, nil },
			match:  func(*authz.Request) authz.Reason { return authz.ReasonGranted },
		},
		registry: prometheus.NewRegistry(),
		log:      &lines{},
	}
	d.guard.do = d.guard.once
	ids := 0
	o := Options{
		Accounts: d.accounts, Guard: d.guard, Decider: d, UserPrefix: "acct:",
		NewID: func() string { ids++; return fmt.Sprintf("new-id-%d", ids) },
		Log:   slog.New(slog.NewJSONHandler(d.log, nil)), Registerer: d.registry,
	}
	for _, c := range change {
		c(&o)
	}
	d.Handler = New(o)
	return d
}

// Decide has a real engine judge, as nothing else can allow.
func (d *door) Decide(ctx context.Context, r *authz.Request) authz.Decision {
	d.requests = append(d.requests, r)
	return authz.New(authz.Options{
		Policy: d.engine, Verifiers: map[authz.Kind]authz.Verifier{authz.KindJWT: d.engine}, Stamper: d.engine,
		Now: time.Now, NewID: func() string { return "an id of the engine" },
	}).Decide(ctx, r)
}

// call is a request to be made. A header is "Name: value".
type call struct {
	method, target string
	headers        []string
	body           string
}

const (
	asJSON = "Content-Type: application/json"
	bearer = "Authorization: Bearer anns.secret.token"
	good   = `{"email":"ann@example.com","password":"correct horse"}`
)

func signUpCall(body string, headers ...string) call {
	return call{"POST", account.SignUpPath, append([]string{asJSON}, headers...), body}
}

func logInCall(body string, headers ...string) call {
	return call{"POST", account.LogInPath, append([]string{asJSON}, headers...), body}
}

func meCall(headers ...string) call { return call{"GET", account.MePath, headers, ""} }

// do makes a call and holds its answer to the description of the API.
func (d *door) do(t testing.TB, c call) *httptest.ResponseRecorder {
	t.Helper()
	r := newRequest(c)
	w := record(d, r)
	r.Body = io.NopCloser(strings.NewReader(c.body))
	holdToDescription(t, r, w)
	return w
}

func newRequest(c call) *http.Request {
	r := httptest.NewRequest(c.method, c.target, strings.NewReader(c.body))
	for _, line := range c.headers {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	return r
}

func record(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// problem is what a body says of a refusal.
type problemBody struct {
	Type, Title, Detail, Code, Error string
	Status                           int
	RequestID                        string `json:"request_id"`
	Errors                           []struct{ Field, Message string }
}

// codeOf returns the code of an answer, "ok" on success.
func codeOf(t testing.TB, w *httptest.ResponseRecorder) string {
	t.Helper()
	if w.Code < 400 {
		return "ok"
	}
	return problemOf(t, w).Code
}

func problemOf(t testing.TB, w *httptest.ResponseRecorder) problemBody {
	t.Helper()
	var p problemBody
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Status != w.Code {
		t.Fatalf("status %d with the body %s (%v)", w.Code, w.Body, err)
	}
	return p
}

// wants fails unless an answer has this status and code.
func wants(t testing.TB, w *httptest.ResponseRecorder, status int, code string) {
	t.Helper()
	if got := codeOf(t, w); w.Code != status || got != code {
		t.Errorf("answered %d %s, want %d %s", w.Code, got, status, code)
	}
}

// lines is a log.
type lines struct{ doortest.Log }

// of returns the lines with a message.
func (l *lines) of(t testing.TB, message string) []map[string]any {
	t.Helper()
	var found []map[string]any
	for line := range strings.Lines(l.String()) {
		var attrs map[string]any
		if err := json.Unmarshal([]byte(line), &attrs); err != nil {
			t.Fatal(err)
		}
		if attrs["msg"] == message {
			found = append(found, attrs)
		}
	}
	return found
}

func header(h http.Header) map[string]string {
	all := map[string]string{}
	for name, values := range h {
		all[name] = strings.Join(values, "|")
	}
	return all
}
