package introspect

import (
	"context"
	"errors"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/claims"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bubble runs a test on a clock of its own, which moves when everything waits, until all calls have ended.
func bubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		defer time.Sleep(time.Hour)
		test(t)
	})
}

var now = time.Unix(1_800_000_000, 0)

const testToken = "idp_test-token-not-for-production"

// active is a good answer, with more members.
func active(more string) string { return `{"active":true,"sub":"ann"` + more + `}` }

var standardNames = claims.Names{
	UserID: "sub", Roles: "roles", Permissions: "permissions", Scope: "scope", Email: "email",
	Subscription: "subscription", Country: "country", Platform: "platform",
}

// asker is a fake server.
type asker struct {
	calls  atomic.Int64
	mu     sync.Mutex
	answer func(ctx context.Context, token string) ([]byte, error)
}

func (a *asker) Ask(ctx context.Context, token string) ([]byte, error) {
	a.calls.Add(1)
	a.mu.Lock()
	answer := a.answer
	a.mu.Unlock()
	return answer(ctx, token)
}

// set changes the answer, of a server that may have been asked.
func (a *asker) set(answer func(ctx context.Context, token string) ([]byte, error)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answer = answer
}

// says returns a fake server that always gives this answer.
func says(body string) *asker {
	return &asker{answer: func(context.Context, string) ([]byte, error) { return []byte(body), nil }}
}

var errDown = errors.New("the server is down")

// down returns a fake server that fails at once.
func down() *asker {
	return &asker{answer: func(context.Context, string) ([]byte, error) { return nil, errDown }}
}

// hangs returns a fake server that never answers.
func hangs() *asker {
	return &asker{answer: func(ctx context.Context, _ string) ([]byte, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}
}

// results counts what Options.Asked is told.
type results struct {
	mu     sync.Mutex
	counts map[string]int
}

func (r *results) add(server, result string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.counts == nil {
		r.counts = make(map[string]int)
	}
	r.counts[server+" "+result]++
}

// take returns the counts and begins anew.
func (r *results) take() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	counts := maps.Clone(r.counts)
	clear(r.counts)
	return counts
}

func idp(a Asker) Server {
	return Server{
		Name: "idp", UserPrefix: "idp:", Claims: standardNames, ClockSkew: time.Minute,
		Cache: 30 * time.Second, NegativeCache: 5 * time.Second, Timeout: 100 * time.Millisecond, Ask: a,
	}
}

func testDirectory() *authz.Directory {
	return &authz.Directory{Roles: map[string][]string{"admin": {"read", "write"}}, Prefixes: []string{"idp:", "other:"}}
}

// newVerifier returns a verifier whose clock stands at now.
func newVerifier(servers ...Server) *Verifier {
	return New(Options{Servers: servers, Directory: testDirectory(), Now: func() time.Time { return now }})
}

func opaque(token string, sources ...string) authz.Credential {
	return authz.Credential{Kind: authz.KindOpaque, Value: token, Sources: sources}
}

// The verdicts on a token.
const (
	good        = "good"
	invalid     = "invalid"
	expired     = "expired"
	unavailable = "unavailable"
)

// verdict returns what came of a verification.
func verdict(t testing.TB, id *authz.Identity, err error) string {
	t.Helper()
	if (id == nil) == (err == nil) {
		t.Errorf("identity %v beside the error %v", id, err)
	}
	switch {
	case err == nil:
		return good
	case errors.Is(err, &authz.ExpiredError{}):
		return expired
	case errors.Is(err, authz.ErrCredentialInvalid):
		return invalid
	}
	return unavailable
}

// expect verifies a token and compares the verdict; it returns the user id, if there is one, and the error.
func expect(t testing.TB, v *Verifier, c authz.Credential, at time.Time, want string) (string, error) {
	t.Helper()
	id, err := v.Verify(t.Context(), c, at)
	if got := verdict(t, id, err); got != want {
		t.Errorf("got %s (%v), want %s", got, err, want)
	}
	if id == nil {
		return "", err
	}
	return id.UserID, nil
}

func expectCalls(t testing.TB, a *asker, want int64) {
	t.Helper()
	if got := a.calls.Load(); got != want {
		t.Errorf("%d calls, want %d", got, want)
	}
}
