package publickeys

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/passgate/passgate/internal/keyset"
	"github.com/passgate/passgate/internal/problem"
)

func TestKeysAreShown(t *testing.T) {
	var keys []*keyset.Key
	for _, a := range keyset.Algorithms() {
		s, err := keyset.GenerateSigner(a, "id-"+string(a))
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, s.Key())
	}
	h := New(func() []*keyset.Key { return keys }, func() string { return "new-id" })
	for _, test := range []struct {
		method string
		status int
	}{{"GET", 200}, {"HEAD", 200}, {"POST", 405}, {"DELETE", 405}, {"OPTIONS", 405}} {
		r := httptest.NewRequest(test.method, "/any", nil)
		r.Header.Set("X-Request-ID", "id-1")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != test.status {
			t.Errorf("%s was answered %d, want %d", test.method, w.Code, test.status)
		}
		if test.status == http.StatusMethodNotAllowed {
			if w.Header().Get("Content-Type") != problem.ContentType || w.Header().Get("Allow") != "GET, HEAD" || !strings.Contains(w.Body.String(), `"request_id":"id-1"`) {
				t.Errorf("%s was answered %v %s", test.method, w.Header(), w.Body)
			}
			continue
		}
		shown, err := keyset.Parse(w.Body.Bytes())
		if err != nil || len(shown) != 3 || strings.Contains(w.Body.String(), `"k"`) || w.Header().Get("Cache-Control") == "no-store" {
			t.Errorf("%s: %d keys, %v: %s", test.method, len(shown), err, w.Body)
		}
	}
	refused := httptest.NewRecorder()
	h.ServeHTTP(refused, httptest.NewRequest("PUT", "/any", nil))
	if !strings.Contains(refused.Body.String(), `"request_id":"new-id"`) {
		t.Errorf("without an id: %s", refused.Body)
	}
	keys = nil
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/any", nil))
	if w.Body.String() != `{"keys":[]}` {
		t.Errorf("without keys: %s", w.Body)
	}
}
