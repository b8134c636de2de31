package accountapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/passgate/passgate/internal/account"
	"github.com/passgate/passgate/internal/idempotency"
)

func TestSessionBody(t *testing.T) {
	const want = `{"user_id":"user_1","token":"secret.token-1.token","token_type":"Bearer","expires_in":86400}`
	for _, c := range []call{signUpCall(good), logInCall(good), signUpCall(good, "Idempotency-Key: k"), logInCall(good, "Idempotency-Key: k")} {
		if got := newDoor().do(t, c).Body.String(); got != want {
			t.Errorf("%s answered %s", c.target, got)
		}
	}
}

func TestErrorsOfAccounts(t *testing.T) {
	invalid := &account.InvalidError{Fields: []account.Field{{Name: "password", Message: "too short"}, {Name: "country", Message: "want two letters"}}}
	for _, test := range []struct {
		name   string
		err    error
		status int
		code   string
	}{
		{"taken", account.ErrEmailTaken, 409, "email_taken"},
		{"invalid", invalid, 422, "invalid_fields"},
		{"credentials", account.ErrCredentials, 401, "invalid_credentials"},
		{"busy", account.ErrBusy, 503, "busy"},
		{"busy as time ran out", fmt.Errorf("%w: %w", account.ErrBusy, context.DeadlineExceeded), 503, "busy"},
		{"down", errDown, 503, "unavailable"},
		{"not found, which no session is", account.ErrNotFound, 503, "unavailable"},
	} {
		for _, key := range []string{"", "Idempotency-Key: k"} {
			t.Run(test.name+key, func(t *testing.T) {
				d := newDoor()
				signUpEnds(test.err)(d)
				c := signUpCall(good)
				if test.status == 401 {
					d = newDoor()
					logInEnds(test.err)(d)
					c = logInCall(good)
				}
				if key != "" {
					c.headers = append(c.headers, key)
				}
				w := d.do(t, c)
				wants(t, w, test.status, test.code)
				var want []struct{ Field, Message string }
				if test.code == "invalid_fields" {
					want = []struct{ Field, Message string }{{"password", "too short"}, {"country", "want two letters"}}
				}
				if diff := cmp.Diff(want, problemOf(t, w).Errors); diff != "" {
					t.Errorf("errors (-want +got):\n%s", diff)
				}
				if got := len(d.log.of(t, "account call failed")); (got == 1) != (test.code == "unavailable") {
					t.Errorf("logged %s", d.log)
				}
			})
		}
	}
}

func TestEmptySessionIsNone(t *testing.T) {
	for _, s := range []account.Session{{}, {UserID: "user_1"}, {Token: "t"}} {
		d := newDoor()
		d.accounts.signUp = func(context.Context, account.Plan, account.SignUp) (account.Session, error) { return s, nil }
		wants(t, d.do(t, signUpCall(good)), 503, "unavailable")
	}
}

// Who knows no address learns of none.
func TestUnknownAddressAndWrongPasswordAreAnsweredAlike(t *testing.T) {
	d := newDoor()
	logInEnds(account.ErrCredentials)(d)
	const id = "X-Request-ID: id-1"
	known := d.do(t, logInCall(`{"email":"ann@example.com","password":"wrong"}`, id))
	for _, body := range []string{
		`{"email":"nobody@example.com","password":"wrong"}`, `{"email":"","password":""}`, `{"email":"not an address","password":"\u0000"}`,
		`{"email":"ann@example.com","password":"` + strings.Repeat("x", 1000) + `"}`,
	} {
		unknown := d.do(t, logInCall(body, id))
		if known.Code != 401 || unknown.Code != known.Code || unknown.Body.String() != known.Body.String() || !cmp.Equal(header(unknown.Header()), header(known.Header())) {
			t.Errorf("%s: %d %v %s", body, unknown.Code, unknown.Header(), unknown.Body)
		}
	}
}

func TestIdempotencyKey(t *testing.T) {
	for _, test := range []struct {
		name    string
		headers []string
		key     string // that the guard is asked about
		bad     bool
	}{
		{name: "none"},
		{name: "bare", headers: []string{"Idempotency-Key: k-1"}, key: "k-1"},
		{name: "quoted", headers: []string{`Idempotency-Key: "k-1"`}, key: "k-1"},
		{name: "255 characters", headers: []string{"Idempotency-Key: " + strings.Repeat("k", 255)}, key: strings.Repeat("k", 255)},
		{name: "empty", headers: []string{"Idempotency-Key: "}, bad: true},
		{name: "quoted and empty", headers: []string{`Idempotency-Key: ""`}, bad: true},
		{name: "256 characters", headers: []string{"Idempotency-Key: " + strings.Repeat("k", 256)}, bad: true},
		{name: "a blank inside", headers: []string{"Idempotency-Key: a b"}, bad: true},
		{name: "not ASCII", headers: []string{"Idempotency-Key: é"}, bad: true},
		{name: "twice", headers: []string{"Idempotency-Key: k", "Idempotency-Key: k"}, bad: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, c := range []call{signUpCall(good, test.headers...), logInCall(good, test.headers...)} {
				d := newDoor()
				w := d.do(t, c)
				switch {
				case test.bad:
					wants(t, w, 400, "invalid_idempotency_key")
					if len(d.guard.uses)+d.accounts.plans > 0 {
						t.Error("it was acted on")
					}
				case test.key == "":
					if len(d.guard.uses) > 0 || w.Code >= 300 {
						t.Errorf("answered %d, and the guard was asked %v", w.Code, d.guard.uses)
					}
				default:
					want := idempotency.Use{Route: "POST " + c.target, Key: test.key, Body: []byte(good),
						Plan: []byte(`{"account":{"user_id":"user_1","token_id":"token-1","key_id":"key-1","issued_at":1700000000,"role":"user","subscription":"free"},"request_id":"new-id-1"}`)}
					if diff := cmp.Diff([]idempotency.Use{want}, d.guard.uses); diff != "" || w.Code >= 300 {
						t.Errorf("answered %d; the guard was asked (-want +got):\n%s", w.Code, diff)
					}
				}
			}
		})
	}
}

func TestReplay(t *testing.T) {
	invalid := &account.InvalidError{Fields: []account.Field{{Name: "password", Message: "too short"}}}
	for _, test := range []struct {
		name      string
		change    func(*door)
		call      call
		status    int
		code      string
		challenge bool
	}{
		{"signup", func(*door) {}, signUpCall(good), 201, "ok", false},
		{"login", func(*door) {}, logInCall(good), 200, "ok", false},
		{"taken", signUpEnds(account.ErrEmailTaken), signUpCall(good), 409, "email_taken", false},
		{"invalid", signUpEnds(invalid), signUpCall(good), 422, "invalid_fields", false},
		{"wrong types", func(*door) {}, logInCall(`{"email":1}`), 422, "invalid_fields", false},
		{"malformed", func(*door) {}, logInCall(`{`), 400, "malformed_body", false},
		{"wrong password", logInEnds(account.ErrCredentials), logInCall(good), 401, "invalid_credentials", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newDoor()
			test.change(d)
			c := test.call
			c.headers = append(c.headers, "Idempotency-Key: k", "X-Request-ID: id-1")
			first := d.do(t, c)
			wants(t, first, test.status, test.code)
			if first.Header().Get("Idempotent-Replayed") != "" {
				t.Error("the first answer is said to be replayed")
			}
			// From now on it would end in another way.
			signUpEnds(errDown)(d)
			logInEnds(errDown)(d)
			c.headers[len(c.headers)-2], c.headers[len(c.headers)-1] = `Idempotency-Key: "k"`, "X-Request-ID: id-2"
			again := d.do(t, c)
			want := first.Header().Clone()
			want.Set("X-Request-ID", "id-2")
			want.Set("Idempotent-Replayed", "true")
			if diff := cmp.Diff(header(want), header(again.Header())); diff != "" {
				t.Errorf("headers (-want +got):\n%s", diff)
			}
			if again.Code != first.Code || again.Body.String() != first.Body.String() {
				t.Errorf("answered %d %s, at first %d %s", again.Code, again.Body, first.Code, first.Body)
			}
			if test.code != "ok" && problemOf(t, again).RequestID != "id-1" {
				t.Errorf("body = %s", again.Body)
			}
			if (again.Header().Get("WWW-Authenticate") != "") != test.challenge {
				t.Errorf("WWW-Authenticate = %q", again.Header().Get("WWW-Authenticate"))
			}
			logged := d.log.of(t, "account")
			if len(logged) != 2 || logged[0]["replayed"] != false || logged[1]["replayed"] != true || logged[1]["code"] != test.code || logged[1]["user_id"] != logged[0]["user_id"] || logged[1]["request_id"] != "id-2" {
				t.Errorf("logged %v", logged)
			}
		})
	}
}

func TestMisuseOfAKey(t *testing.T) {
	for _, test := range []struct {
		err    error
		status int
		code   string
	}{
		{idempotency.ErrReused, 422, "idempotency_key_reused"},
		{idempotency.ErrInProgress, 409, "request_in_progress"},
		{errDown, 503, "unavailable"},
		{idempotency.ErrLost, 503, "unavailable"},
	} {
		d := newDoor()
		guardEnds(test.err)(d)
		w := d.do(t, signUpCall(good, "Idempotency-Key: k", "X-Request-ID: id-1"))
		wants(t, w, test.status, test.code)
		if p := problemOf(t, w); p.RequestID != "id-1" || p.Errors != nil || w.Header().Get("Idempotent-Replayed") != "" || len(d.accounts.signUps) > 0 {
			t.Errorf("%v: answered %v %s", test.err, w.Header(), w.Body)
		}
	}
}

// Whoever carries a call on answers as the one who began would have.
func TestResumedCallKeepsThePlan(t *testing.T) {
	d := newDoor()
	keyed := func(id string) call { return signUpCall(good, "Idempotency-Key: k", "X-Request-ID: "+id) }
	signUpEnds(errDown)(d)
	wants(t, d.do(t, keyed("id-1")), 503, "unavailable")

	wants(t, d.do(t, keyed("id-2")), 503, "unavailable")
	var plans []account.Plan
	d.accounts.signUp = func(_ context.Context, p account.Plan, _ account.SignUp) (account.Session, error) {
		plans = append(plans, p)
		return account.Session{}, account.ErrEmailTaken
	}
	w := d.do(t, keyed("id-3"))
	wants(t, w, 409, "email_taken")
	if p := problemOf(t, w); p.RequestID != "id-1" || w.Header().Get("X-Request-ID") != "id-3" || w.Header().Get("Idempotent-Replayed") != "" {
		t.Errorf("answered %v %s", w.Header(), w.Body)
	}
	if len(plans) != 1 || plans[0].UserID != "user_1" || plans[0].TokenID != "token-1" {
		t.Errorf("carried on by %v", plans)
	}
	// The log tells of the request at hand.
	if lines := d.log.of(t, "account"); len(lines) != 3 || lines[2]["request_id"] != "id-3" {
		t.Errorf("logged %v", lines)
	}
	if lines := d.log.of(t, "account call failed"); len(lines) != 2 || lines[1]["request_id"] != "id-2" {
		t.Errorf("logged %v", lines)
	}
}

// A guard gives back what another version or a fault may have left.
func TestForeignPlansAndAnswers(t *testing.T) {
	plan := `{"account":{"user_id":"u","token_id":"t","key_id":"k","issued_at":1,"role":"r","subscription":"s"},"request_id":"id-9"`
	for _, test := range []struct {
		name, plan string
		answer     *idempotency.Answer
	}{
		{name: "no plan", plan: ""},
		{name: "null", plan: "null"},
		{name: "no JSON", plan: "x"},
		{name: "a plan with more in it", plan: plan + `,"shard":1}`},
		{name: "a plan with less in it", plan: `{"request_id":"id-9"}`},
		{name: "a plan with another case", plan: strings.Replace(plan, "request_id", "Request_ID", 1) + `}`},
		{name: "no answer", answer: &idempotency.Answer{}},
		{name: "a status that is none", answer: &idempotency.Answer{Status: 99, ContentType: jsonType, Body: []byte(`{}`)}},
		{name: "a redirect", answer: &idempotency.Answer{Status: 302, ContentType: jsonType, Body: []byte(`{}`)}},
		{name: "success of another call", answer: &idempotency.Answer{Status: 200, ContentType: jsonType, Body: []byte(`{"user_id":"u"}`)}},
		{name: "an unknown code", answer: &idempotency.Answer{Status: 409, ContentType: jsonType, Body: []byte(`{"code":"x"}`)}},
		{name: "a code of another status", answer: &idempotency.Answer{Status: 401, ContentType: jsonType, Body: []byte(`{"code":"email_taken"}`)}},
		{name: "no JSON in it", answer: &idempotency.Answer{Status: 201, ContentType: jsonType, Body: []byte(`<html>`)}},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newDoor()
			d.guard.do = func(ctx context.Context, _ idempotency.Use, run func(context.Context, []byte) idempotency.Answer) (idempotency.Answer, bool, error) {
				if test.answer != nil {
					return *test.answer, true, nil
				}
				return run(ctx, []byte(test.plan)), false, nil
			}
			w := d.do(t, signUpCall(good, "Idempotency-Key: k"))
			wants(t, w, 503, "unavailable")
			if len(d.accounts.signUps) > 0 || w.Header().Get("Idempotent-Replayed") != "" {
				t.Errorf("asked for %v, answered %v", d.accounts.signUps, w.Header())
			}
		})
	}
}

func TestPlanIsReadAsItWasWritten(t *testing.T) {
	d := newDoor()
	var got account.Plan
	d.accounts.signUp = func(_ context.Context, p account.Plan, _ account.SignUp) (account.Session, error) {
		got = p
		return sessionOf(p), nil
	}
	d.do(t, signUpCall(good, "Idempotency-Key: k"))
	want := account.Plan{UserID: "user_1", TokenID: "token-1", KeyID: "key-1", IssuedAt: 1_700_000_000, Role: "user", Subscription: "free"}
	if got != want {
		t.Errorf("carried out by %+v", got)
	}
}

// What a session lasts is told in whole seconds.
func TestExpiry(t *testing.T) {
	d := newDoor()
	d.accounts.logIn = func(context.Context, account.Plan, account.LogIn) (account.Session, error) {
		return account.Session{UserID: "u", Token: "t", ExpiresIn: 90*time.Second + time.Millisecond}, nil
	}
	var body struct {
		ExpiresIn json.Number `json:"expires_in"`
	}
	if err := json.Unmarshal(d.do(t, logInCall(good)).Body.Bytes(), &body); err != nil || body.ExpiresIn != "90" {
		t.Errorf("expires_in = %s (%v)", body.ExpiresIn, err)
	}
}

// A client that has gone is nobody's fault.
func TestClientThatHasGoneIsNoError(t *testing.T) {
	d := newDoor()
	ctx, leave := context.WithCancel(t.Context())
	d.accounts.signUp = func(ctx context.Context, _ account.Plan, _ account.SignUp) (account.Session, error) {
		leave()
		<-ctx.Done()
		return account.Session{}, errors.New("the connection was cut")
	}
	r := newRequest(signUpCall(good)).WithContext(ctx)
	w := record(d, r)
	wants(t, w, 503, "unavailable")
	if lines := d.log.of(t, "account call failed"); len(lines) != 1 || lines[0]["level"] != "INFO" {
		t.Errorf("logged %s", d.log)
	}
}
