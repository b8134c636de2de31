package accountapi

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/google/go-cmp/cmp"

	"github.com/passgate/passgate/internal/account"
	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/idempotency"
)

// document is the description of the API, judged.
var document = sync.OnceValues(func() (*openapi3.T, error) {
	doc, err := openapi3.NewLoader().LoadFromData([]byte(OpenAPI()))
	if err != nil {
		return nil, err
	}
	return doc, doc.Validate(context.Background())
})

// described returns the call of a path; one that has no path of its own can only end in NotFound.
func described(t testing.TB, path string) *routers.Route {
	t.Helper()
	doc, err := document()
	if err != nil {
		t.Fatal(err)
	}
	if item := doc.Paths.Value(path); item != nil {
		for method, operation := range item.Operations() {
			return &routers.Route{Spec: doc, Path: path, PathItem: item, Method: method, Operation: operation}
		}
	}
	nowhere := &openapi3.Operation{OperationID: "unknown", Responses: openapi3.NewResponses(
		openapi3.WithStatus(404, &openapi3.ResponseRef{Value: doc.Components.Responses["NotFound"].Value}))}
	return &routers.Route{Spec: doc, Path: path, PathItem: &openapi3.PathItem{}, Method: "GET", Operation: nowhere}
}

// holdToDescription fails unless the description has an answer like this, and a request that succeeded is one that
// it allows.
func holdToDescription(t testing.TB, r *http.Request, w *httptest.ResponseRecorder) {
	t.Helper()
	ctx := context.Background()
	route := described(t, r.URL.EscapedPath())
	request := &openapi3filter.RequestValidationInput{Request: r, Route: route, Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc}}
	if w.Code < 300 {
		if err := openapi3filter.ValidateRequest(ctx, request); err != nil {
			t.Errorf("the description has no such request: %v", err)
		}
	}
	options := &openapi3filter.Options{IncludeResponseStatus: true}
	if r.Method == http.MethodHead {
		if w.Body.Len() > 0 {
			t.Errorf("HEAD was answered with a body: %s", w.Body)
		}
		// HEAD is that of the call without a body, and would not be looked at.
		get := r.Clone(ctx)
		get.Method = http.MethodGet
		request = &openapi3filter.RequestValidationInput{Request: get, Route: route}
		options.ExcludeResponseBody = true
	}
	answer := &openapi3filter.ResponseValidationInput{RequestValidationInput: request, Status: w.Code, Header: w.Header(), Options: options}
	if err := openapi3filter.ValidateResponse(ctx, answer.SetBodyBytes(w.Body.Bytes())); err != nil {
		t.Errorf("%s %s: the description has no such answer: %v", r.Method, r.URL, err)
	}
	for name := range w.Header() {
		if response := route.Operation.Responses.Status(w.Code); response != nil && !slices.Contains([]string{"Content-Type", "Content-Length"}, name) &&
			!slices.ContainsFunc(slices.Collect(maps.Keys(response.Value.Headers)), func(n string) bool { return http.CanonicalHeaderKey(n) == name }) {
			t.Errorf("%s %s: the description has no %s with %d", r.Method, r.URL, name, w.Code)
		}
	}
}

// promised returns every "call status code" of the description.
func promised(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, path := range append(account.Paths(), "/nowhere") {
		operation := described(t, path).Operation
		for status, response := range operation.Responses.Map() {
			for _, media := range response.Value.Content {
				codes := []any{"ok"}
				if parts := media.Schema.Value.AllOf; len(parts) > 0 {
					codes = parts[1].Value.Properties["code"].Value.Enum
				}
				for _, code := range codes {
					all = append(all, fmt.Sprint(operation.OperationID, " ", status, " ", code))
				}
			}
		}
	}
	slices.Sort(all)
	return all
}

// outcomes are calls that end in every way there is.
var outcomes = []struct {
	want   string
	change func(*door)
	call   call
}{
	{"signup 201 ok", nil, signUpCall(good)},
	{"signup 400 malformed_body", nil, signUpCall(`{`)},
	{"signup 400 invalid_idempotency_key", nil, signUpCall(good, "Idempotency-Key: ")},
	{"signup 405 method_not_allowed", nil, call{"GET", account.SignUpPath, nil, ""}},
	{"signup 409 email_taken", signUpEnds(account.ErrEmailTaken), signUpCall(good)},
	{"signup 409 request_in_progress", guardEnds(idempotency.ErrInProgress), signUpCall(good, "Idempotency-Key: k")},
	{"signup 413 body_too_large", nil, signUpCall(strings.Repeat(" ", defaultMaxBody+1))},
	{"signup 415 unsupported_media_type", nil, call{"POST", account.SignUpPath, nil, good}},
	{"signup 422 invalid_fields", nil, signUpCall(`{}`)},
	{"signup 422 idempotency_key_reused", guardEnds(idempotency.ErrReused), signUpCall(good, "Idempotency-Key: k")},
	{"signup 503 busy", signUpEnds(account.ErrBusy), signUpCall(good)},
	{"signup 503 unavailable", signUpEnds(errDown), signUpCall(good)},
	{"login 200 ok", nil, logInCall(good)},
	{"login 400 malformed_body", nil, logInCall(`{`)},
	{"login 400 invalid_idempotency_key", nil, logInCall(good, "Idempotency-Key: ")},
	{"login 401 invalid_credentials", logInEnds(account.ErrCredentials), logInCall(good)},
	{"login 405 method_not_allowed", nil, call{"PUT", account.LogInPath, nil, ""}},
	{"login 409 request_in_progress", guardEnds(idempotency.ErrInProgress), logInCall(good, "Idempotency-Key: k")},
	{"login 413 body_too_large", nil, logInCall(strings.Repeat(" ", defaultMaxBody+1))},
	{"login 415 unsupported_media_type", nil, call{"POST", account.LogInPath, nil, good}},
	{"login 422 invalid_fields", nil, logInCall(`{}`)},
	{"login 422 idempotency_key_reused", guardEnds(idempotency.ErrReused), logInCall(good, "Idempotency-Key: k")},
	{"login 503 busy", logInEnds(account.ErrBusy), logInCall(good)},
	{"login 503 unavailable", logInEnds(errDown), logInCall(good)},
	{"me 200 ok", nil, meCall(bearer)},
	{"me 400 multiple_credentials", nil, meCall(bearer, bearer)},
	{"me 400 ambiguous_host", func(d *door) {
		d.engine.match = func(*authz.Request) authz.Reason { return authz.ReasonHostAmbiguous }
	}, meCall(bearer)},
	{"me 401 missing_credentials", nil, meCall()},
	{"me 401 token_expired", nil, meCall("Authorization: Bearer expired.secret.token")},
	{"me 401 invalid_token", nil, meCall("Authorization: Bearer a.forged.token")},
	{"me 403 forbidden", func(d *door) {
		d.engine.stamp = func(*authz.Identity) (*authz.Stamp, error) { return nil, authz.ErrStampTooLarge }
	}, meCall(bearer)},
	{"me 405 method_not_allowed", nil, call{"POST", account.MePath, nil, ""}},
	{"me 503 unavailable", nil, meCall("Authorization: Bearer keyless.secret.token")},
	{"unknown 404 not_found", nil, call{"GET", "/v1/auth/", nil, ""}},
}

var errDown = errors.New("the store is down")

func signUpEnds(err error) func(*door) {
	return func(d *door) {
		d.accounts.signUp = func(context.Context, account.Plan, account.SignUp) (account.Session, error) {
			return account.Session{}, fmt.Errorf("sign up: %w", err)
		}
	}
}

func logInEnds(err error) func(*door) {
	return func(d *door) {
		d.accounts.logIn = func(context.Context, account.Plan, account.LogIn) (account.Session, error) {
			return account.Session{}, fmt.Errorf("log in: %w", err)
		}
	}
}

func guardEnds(err error) func(*door) {
	return func(d *door) {
		d.guard.do = func(context.Context, idempotency.Use, func(context.Context, []byte) idempotency.Answer) (idempotency.Answer, bool, error) {
			return idempotency.Answer{}, false, fmt.Errorf("guard: %w", err)
		}
	}
}

func TestEveryOutcomeIsDescribedAndEveryDescriptionComesOut(t *testing.T) {
	var seen []string
	for _, o := range outcomes {
		t.Run(o.want, func(t *testing.T) {
			d := newDoor()
			if o.change != nil {
				o.change(d)
			}
			w := d.do(t, o.call)
			got := fmt.Sprint(described(t, o.call.target).Operation.OperationID, " ", w.Code, " ", codeOf(t, w))
			if got != o.want {
				t.Errorf("answered %s", got)
			}
			seen = append(seen, got)
		})
	}
	slices.Sort(seen)
	if diff := cmp.Diff(promised(t), seen); diff != "" {
		t.Errorf("the description and what comes out differ (-described +seen):\n%s", diff)
	}
}

func TestDescriptionListsTheCodesOfTheTable(t *testing.T) {
	doc, err := document()
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, code := range doc.Components.Schemas["Code"].Value.Enum {
		listed = append(listed, code.(string))
	}
	if diff := cmp.Diff(codes(), listed); diff != "" {
		t.Errorf("codes of the table and of the description differ (-table +description):\n%s", diff)
	}
}

func TestDescriptionHasThePathsServed(t *testing.T) {
	doc, err := document()
	if err != nil {
		t.Fatal(err)
	}
	served := slices.Sorted(maps.Keys(endpoints))
	if diff := cmp.Diff(served, slices.Sorted(maps.Keys(doc.Paths.Map()))); diff != "" {
		t.Errorf("paths differ (-served +described):\n%s", diff)
	}
	if diff := cmp.Diff(served, slices.Sorted(slices.Values(account.Paths()))); diff != "" {
		t.Errorf("paths differ (-served +public):\n%s", diff)
	}
}
