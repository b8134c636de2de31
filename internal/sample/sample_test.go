package sample_test

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"

	"github.com/passgate/passgate/internal/sample"
)

// answer returns what the handler says of a request with these header lines.
func answer(t *testing.T, target string, lines http.Header) sample.Seen {
	t.Helper()
	r := httptest.NewRequest("PATCH", target, nil)
	r.Header = lines
	w := httptest.NewRecorder()
	sample.Handler().ServeHTTP(w, r)
	if w.Code != 200 || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("status %d, content type %q; want 200 and application/json", w.Code, w.Header().Get("Content-Type"))
	}
	var seen sample.Seen
	if err := json.Unmarshal(w.Body.Bytes(), &seen); err != nil {
		t.Fatalf("answer is no JSON: %v\n%s", err, w.Body)
	}
	return seen
}

func TestEveryHeaderLineIsShownSorted(t *testing.T) {
	got := answer(t, "/a//b/../c%2Fd?x=%20", http.Header{"X-User-Id": {"u2", "u1"}, "Accept": {"*/*"}})
	want := sample.Seen{
		Method: "PATCH", URI: "/a//b/../c%2Fd?x=%20", Host: "example.com",
		Headers: []string{"Accept: */*", "X-User-Id: u1", "X-User-Id: u2"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("answer (-want +got):\n%s", diff)
	}
}

func TestPassportIsShownDecoded(t *testing.T) {
	passport := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	for _, test := range []struct{ name, value, want string }{
		{"a passport", passport(`{"user_id":"u1"}`), `{"user_id":"u1"}`},
		{"none", "", ""},
		{"not base64", "***", ""},
		{"not JSON", passport("{"), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := answer(t, "/", http.Header{"X-Passport": {test.value}})
			if err := got.Passport.Compact(); err != nil && test.want != "" {
				t.Fatal(err)
			}
			if string(got.Passport) != test.want {
				t.Errorf("passport %s, want %s", got.Passport, test.want)
			}
		})
	}
}

func TestHeaderThatIsNotUTF8IsShown(t *testing.T) {
	got := answer(t, "/", http.Header{"X-A": {"a\xE9b"}})
	if len(got.Headers) != 1 || !strings.HasPrefix(got.Headers[0], "X-A: a") {
		t.Errorf("headers %q, want the one line", got.Headers)
	}
}
