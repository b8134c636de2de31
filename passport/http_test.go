package passport_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/passgate/passgate/passport"
)

// lines are those of a request that carry a passport.
type lines struct{ values, signatures []string }

// arrivals are what may arrive at a service, and who is let in as whom.
func arrivals() []arrival {
	value, otherValue := ann.Encode(), other.Encode()
	good, otherGood := sign('k', "k", value), sign('k', "k", otherValue)
	return []arrival{
		{name: "a passport with its signature", lines: lines{[]string{value}, []string{good}}, user: "user_123"},
		{name: "neither", optional: true},
		{name: "no signature", lines: lines{values: []string{value}}},
		{name: "no passport", lines: lines{signatures: []string{good}}},
		{name: "empty lines", lines: lines{[]string{""}, []string{""}}},
		{name: "an empty signature", lines: lines{[]string{value}, []string{""}}},
		{name: "two passports, the first signed", lines: lines{[]string{value, otherValue}, []string{good}}},
		{name: "two passports, the last signed", lines: lines{[]string{otherValue, value}, []string{good}}},
		{name: "the same passport twice", lines: lines{[]string{value, value}, []string{good}}},
		{name: "two signatures", lines: lines{[]string{value}, []string{good, otherGood}}},
		{name: "two of both", lines: lines{[]string{value, otherValue}, []string{good, otherGood}}},
		{name: "lines joined", lines: lines{[]string{value + "," + otherValue}, []string{good}}},
		{name: "another's signature", lines: lines{[]string{value}, []string{otherGood}}},
		{name: "another key's signature", lines: lines{[]string{value}, []string{sign('x', "k", value)}}},
	}
}

type arrival struct {
	name string
	lines
	user     string // who is let in, or "" for nobody
	optional bool   // let in as nobody where passports are optional
}

// whoami answers with the user of the passport, or "nobody".
var whoami = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	p, ok := passport.FromContext(r.Context())
	if !ok {
		p.UserID = "nobody"
	}
	io.WriteString(w, p.UserID)
})

func serve(h http.Handler, l lines) *http.Response {
	r := httptest.NewRequest("GET", "/", nil)
	for _, v := range l.values {
		r.Header.Add("x-passport", v)
	}
	for _, s := range l.signatures {
		r.Header.Add("x-passport-signature", s)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestMiddleware(t *testing.T) {
	for _, optional := range []bool{false, true} {
		handler := newVerifier(t, func(o *passport.Options) { o.Optional = optional }).Middleware(whoami)
		for _, tt := range arrivals() {
			t.Run(tt.name, func(t *testing.T) {
				r := serve(handler, tt.lines)
				text := body(t, r)
				want := tt.user
				if tt.optional && optional {
					want = "nobody"
				}
				switch {
				case want != "" && (r.StatusCode != 200 || text != want):
					t.Errorf("optional %t: %d %s, want 200 %s", optional, r.StatusCode, text, want)
				case want == "" && r.StatusCode != 401:
					t.Errorf("optional %t: %d %s, want 401", optional, r.StatusCode, text)
				}
			})
		}
	}
}

func TestMiddlewareAnswersWithoutDetails(t *testing.T) {
	var log bytes.Buffer
	v := newVerifier(t, func(o *passport.Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	value := ann.Encode()
	signature := sign('x', "k", value)
	for name, tt := range map[string]struct {
		verifier   *passport.Verifier
		status     int
		title      string
		challenge  string
		retryAfter string
	}{
		"forged":         {v, 401, "Unauthorized", `Bearer realm="passgate"`, ""},
		"keys are gone":  {new(passport.Verifier), 503, "Service Unavailable", "", "1"},
		"stale by years": {newVerifier(t, func(o *passport.Options) { o.Now = nil; o.Keys = jwks(jwk('x', "k")) }), 401, "Unauthorized", `Bearer realm="passgate"`, ""},
	} {
		r := serve(tt.verifier.Middleware(whoami), lines{[]string{value}, []string{signature}})
		text := body(t, r)
		var p struct {
			Type, Title string
			Status      int
		}
		if err := json.Unmarshal([]byte(text), &p); err != nil || p.Status != tt.status || p.Title != tt.title || p.Type != "about:blank" {
			t.Errorf("%s: the body is %s", name, text)
		}
		h := r.Header
		if r.StatusCode != tt.status || h.Get("Content-Type") != "application/problem+json" || h.Get("Cache-Control") != "no-store" ||
			h.Get("WWW-Authenticate") != tt.challenge || h.Get("Retry-After") != tt.retryAfter {
			t.Errorf("%s: %d with %v", name, r.StatusCode, h)
		}
	}
	if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "does not verify") || strings.Contains(text, value) {
		t.Errorf("the log is %s", text)
	}
}

// The constants index a header map as it is.
func TestHeaderNamesAreCanonical(t *testing.T) {
	for _, name := range []string{passport.Header, passport.SignatureHeader} {
		if http.CanonicalHeaderKey(name) != name {
			t.Errorf("%s is not canonical", name)
		}
	}
}
