package headers

import (
	"net/http"
	"slices"
	"testing"

	"github.com/passgate/passgate/internal/authz"
)

func TestLines(t *testing.T) {
	got := Lines(http.Header{"X-A": {"2", "1"}, "Host": {"other"}})
	if want := []authz.Header{{Name: "X-A", Value: "2"}, {Name: "X-A", Value: "1"}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
