package e2e

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"
)

const (
	introspectID     = "passgate"
	introspectSecret = "test-secret-not-for-production-introspection"
)

// tokenServer answers what opaque tokens are (RFC 7662), and counts how often it was asked about each.
type tokenServer struct {
	*keyServer
	t       *testing.T
	stop    func()
	entered chan string // gets each token that is asked about, if it is read

	mu      sync.Mutex
	answers map[string]func(context.Context) string
	calls   map[string]int
}

func startTokenServer(t *testing.T) *tokenServer {
	t.Helper()
	s := &tokenServer{
		keyServer: newKeyServer(t), t: t, entered: make(chan string, 4096),
		answers: map[string]func(context.Context) string{}, calls: map[string]int{},
	}
	s.keyServer.set("/introspect", s.introspect)
	s.stop = s.start(t)
	return s
}

func (s *tokenServer) introspect(w http.ResponseWriter, r *http.Request) {
	id, secret, _ := r.BasicAuth()
	token := r.PostFormValue("token")
	if r.Method != "POST" || id != introspectID || secret != introspectSecret || r.URL.RawQuery != "" {
		s.t.Errorf("asked by %s %q as %q", r.Method, r.URL, id)
		http.Error(w, "", http.StatusUnauthorized)
		return
	}
	s.mu.Lock()
	s.calls[token]++
	answer := s.answers[token]
	s.mu.Unlock()
	s.entered <- token
	if answer == nil {
		fmt.Fprint(w, `{"active":false}`)
		return
	}
	fmt.Fprint(w, answer(r.Context()))
}

// token returns a new token that the server answers so.
func (s *tokenServer) token(prefix string, answer func(context.Context) string) string {
	token := prefix + rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[token] = answer
	return token
}

// times returns how often the server was asked about a token.
func (s *tokenServer) times(token string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[token]
}

// active is the answer for a token that is good for an hour.
func active(context.Context) string {
	return fmt.Sprintf(`{"active":true,"sub":"user-1","aud":"api","scope":"read","exp":%d}`, time.Now().Add(time.Hour).Unix())
}

// never is the answer of a server that hangs.
func never(ctx context.Context) string {
	<-ctx.Done()
	return ""
}

// server is a line of a file about the server.
func (s *tokenServer) server(name, more string) string {
	return fmt.Sprintf("  - {name: %s, url: %q, client_id: %s, client_secret: %s, audiences: [api], user_prefix: %q, %s}\n",
		name, s.url("/introspect"), introspectID, introspectSecret, name+":", more)
}

func opaque(token string) string { return "Authorization: Bearer " + token }

func TestManyFirstUsesOfAnOpaqueTokenAreOneCall(t *testing.T) {
	needPrograms(t)
	const users = 1000
	s := startTokenServer(t)
	p := startConfigured(t, "introspection:\n"+s.server("idp", "timeout: 150ms")+policy+"log: {level: debug}\n", nil)
	e := p.behind(t, shippedFile(t), startSample(t))
	c := newCaller(t, e.addr)
	at := func(path string, headers ...string) map[string]int {
		var (
			mu       sync.Mutex
			outcomes = map[string]int{}
			all      sync.WaitGroup
			begin    = make(chan struct{})
		)
		for range users {
			all.Go(func() {
				<-begin
				outcome := c.outcome(path, headers...)
				mu.Lock()
				defer mu.Unlock()
				outcomes[outcome]++
			})
		}
		close(begin)
		all.Wait()
		return outcomes
	}
	at("/public/page") // opens the connections
	said := func(result string) float64 {
		return metric(t, p.ops, fmt.Sprintf("passgate_introspections_total{result=%q,server=%q}", result, "idp"))
	}
	var token string
	inTime(t, func() bool {
		token = s.token("", func(ctx context.Context) string {
			select { // long enough for many to wait for it
			case <-time.After(20 * time.Millisecond):
			case <-ctx.Done():
			}
			return active(ctx)
		})
		calls, cached := said("active"), said("cached")
		outcomes := at("/private/page", opaque(token))
		calls, cached = said("active")-calls, said("cached")-cached
		t.Logf("%d parallel first uses: %v; %d call at the server, %v by the metric; %v answered from the cache, the others waited for the call",
			users, outcomes, s.times(token), calls, cached)
		if outcomes["200"]+outcomes["503"] != users || outcomes["200"] == users && s.times(token) != 1 {
			t.Errorf("%v and %d calls, want 200 each and one call", outcomes, s.times(token))
		}
		return outcomes["200"] == users && calls == 1 && cached < users-1
	})
	before := said("cached")
	if got := at("/private/page", opaque(token)); got["200"] != users || s.times(token) != 1 {
		t.Errorf("once more: %v and %d calls", got, s.times(token))
	}
	t.Logf("as many again: %v answered from the cache", said("cached")-before)
	p.mustNotTell(t, token, introspectSecret)
}

// inTime tries what needs an answer within 150 ms, the longest that a token server may take, a few times: a busy
// machine does not always have one. What is at fault fails each time.
func inTime(t *testing.T, try func() bool) {
	t.Helper()
	const most = 5
	for range most {
		if try() {
			return
		}
	}
	t.Errorf("%d tries, and none went well", most)
}

func TestCallerThatGivesUpFailsNoOther(t *testing.T) {
	needPrograms(t)
	const others = 40
	s := startTokenServer(t)
	p := startConfigured(t, "introspection:\n"+s.server("idp", "timeout: 150ms")+policy, nil)
	e := p.behind(t, shippedFile(t), startSample(t))
	c, check := newCaller(t, e.addr), checkClient(t, p.grpc)
	late := func() float64 { return metric(t, p.ops, `passgate_introspections_total{result="late",server="idp"}`) }
	for _, from := range []string{"gRPC", "Envoy"} {
		t.Run(from, func(t *testing.T) {
			inTime(t, func() bool {
				release := make(chan struct{})
				token := s.token("", func(ctx context.Context) string {
					select {
					case <-release:
						return active(ctx)
					case <-ctx.Done(): // that the call is given up is what must not be
						return ""
					}
				})
				impatient, giveUp := context.WithCancel(t.Context())
				defer giveUp()
				gaveUp := make(chan error, 1)
				go func() {
					var err error
					if from == "gRPC" {
						_, err = check.Check(impatient, checkRequest("/private/page", token))
					} else {
						_, err = c.do(impatient, "GET", "/private/page", opaque(token))
					}
					gaveUp <- err
				}()
				for asked := range s.entered {
					if asked == token {
						break
					}
				}
				outcomes := make(chan string, others)
				for range others {
					go func() { outcomes <- c.outcome("/private/page", opaque(token)) }()
				}
				before := late()
				giveUp()
				first := <-gaveUp
				waitFor(t, "passgate to see that the caller is gone", func() bool { return late() > before })
				close(release)
				seen := map[string]int{}
				for range others {
					seen[<-outcomes]++
				}
				t.Logf("the first one: %v; the others: %v, %d call", first, seen, s.times(token))
				return first != nil && seen["200"] == others && s.times(token) == 1
			})
		})
	}
}

// Envoy is as it ships: past 0.25 s it answers by itself, with a 503 that has no body.
func TestSlowTokenServerIs503InEnvoysTime(t *testing.T) {
	needPrograms(t)
	const requests = 20
	for _, timeout := range []string{"100ms", "150ms"} { // the default, and the longest that there is
		t.Run(timeout, func(t *testing.T) {
			s := startTokenServer(t)
			p := startConfigured(t, "introspection:\n"+s.server("idp", "timeout: "+timeout)+policy, nil)
			u := startUpstream(t)
			e := p.behind(t, shippedAsIs(t), u.addr)
			e.waitHealthy(t, 1)
			ours := 0
			for range requests {
				answer := get(t, e.addr, "/private/page", opaque(s.token("", never)))
				if answer.status != 503 {
					t.Errorf("status %d, %s", answer.status, answer.body)
				}
				if body, err := answer.problem(); err == nil && body.Code == "unavailable" && body.Status == 503 {
					ours++
				}
				u.untouched(t, "a token that nobody judges")
			}
			t.Logf("%d of %d answers are passgate's", ours, requests)
			if ours < requests*3/4 { // a busy machine may be late at times
				t.Errorf("%d of %d answers are passgate's, and the others Envoy's", ours, requests)
			}
			if answer := get(t, e.addr, "/private/page", opaque(s.token("", active))); answer.status != 200 {
				t.Errorf("a token that is answered: status %d, %s", answer.status, answer.body)
			}
		})
	}
}

func TestTokenServerThatIsDownNeverLetsIn(t *testing.T) {
	needPrograms(t)
	const cache = time.Second
	s := startTokenServer(t)
	p := startConfigured(t, "introspection:\n"+s.server("idp", "cache: 1s, negative_cache: 1s")+policy+"log: {level: debug}\n", nil)
	u := startUpstream(t)
	e := p.behind(t, shippedFile(t), u.addr)
	good, other, inactive := s.token("", active), s.token("", active), s.token("", nil)
	for what, want := range map[string]string{
		`{"active":false,"sub":"user-1"}`: "invalid_token", `{"active":"true","sub":"user-1","aud":"api"}`: "invalid_token",
		`{"active":true,"sub":"user-1","aud":"other"}`: "invalid_token", `{"active":true,"aud":"api"}`: "invalid_token",
		`{"active":true,"sub":"user-1","aud":"api","exp":1}`: "token_expired",
	} {
		get(t, e.addr, "/private/page", opaque(s.token("", func(context.Context) string { return what }))).mustDeny(t, what, 401, want)
	}
	for _, what := range []string{"", "<html>", `{"sub":"user-1"}`, `{"active":true,"active":true}`} {
		get(t, e.addr, "/private/page", opaque(s.token("", func(context.Context) string { return what }))).mustDeny(t, what, 503, "unavailable")
	}
	get(t, e.addr, "/private/page", opaque(inactive)).mustDeny(t, "inactive", 401, "invalid_token")
	u.untouched(t, "refused tokens")
	if answer := get(t, e.addr, "/private/page", opaque(good)); answer.status != 200 {
		t.Fatalf("status %d, %s", answer.status, answer.body)
	}
	ends := time.Now().Add(cache)
	if got := u.one(t, "good").values("x-user-id"); len(got) != 1 || got[0] != "idp:user-1" {
		t.Errorf("X-User-ID %q", got)
	}
	s.stopped(t, func() {
		get(t, e.addr, "/private/page", opaque(other)).mustDeny(t, "a token that was not asked about", 503, "unavailable")
		stale, refused := 0, 0
		waitFor(t, "the cached answer to end, and more", func() bool {
			sent := time.Now()
			answer := get(t, e.addr, "/private/page", opaque(good))
			switch {
			case answer.status == 503:
				answer.mustDeny(t, "after the cache", 503, "unavailable")
				refused++
			case answer.status != 200 || refused > 0:
				t.Errorf("status %d, after %d refusals", answer.status, refused)
			case sent.After(ends):
				stale++
			}
			return refused == 20 || stale > 0
		})
		if stale > 0 {
			t.Errorf("%d stale allows", stale)
		}
		u.take()
		get(t, e.addr, "/private/page", opaque(other)).mustDeny(t, "another one", 503, "unavailable")
		u.untouched(t, "while the server is down")
	})
	for _, token := range []string{good, other} {
		waitFor(t, "the server to be found again", func() bool { return get(t, e.addr, "/private/page", opaque(token)).status == 200 })
	}
	p.mustNotTell(t, good, other, inactive, introspectSecret)
}

// stopped runs something while the server is down.
func (s *tokenServer) stopped(t *testing.T, meanwhile func()) {
	t.Helper()
	s.stop()
	meanwhile()
	s.stop = s.start(t)
}

func TestTokenOfTwoServersIsShownToNeither(t *testing.T) {
	needPrograms(t)
	first, second, any := startTokenServer(t), startTokenServer(t), startTokenServer(t)
	p := startConfigured(t, "introspection:\n"+first.server("first", `token_prefix: "one_"`)+second.server("second", `token_prefix: "two_"`)+any.server("any", `token_prefix: ""`)+`
routes:
  - {name: all, path: "/private/**"}
  - {name: optional, path: "/optional/**", access: optional}
  - {name: bound, path: "/bound/**", credentials: [first]}
log: {level: debug}
`, nil)
	u := startUpstream(t)
	e := p.behind(t, shippedFile(t), u.addr)
	asked := func(token string) [3]int { return [3]int{first.times(token), second.times(token), any.times(token)} }

	token := first.token("one_", active)
	for _, path := range []string{"/private/page", "/optional/page"} {
		get(t, e.addr, path, opaque(token)).mustDeny(t, "the token of two servers on "+path, 401, "invalid_token")
	}
	u.untouched(t, "the token of two servers")
	if got := asked(token); got != [3]int{} {
		t.Errorf("a token of two servers was shown to them %v times", got)
	}
	if answer := get(t, e.addr, "/bound/page", opaque(token)); answer.status != 200 || asked(token) != [3]int{1, 0, 0} {
		t.Errorf("where the route takes those of one: status %d, asked %v", answer.status, asked(token))
	}
	strange := any.token("three_", active)
	get(t, e.addr, "/bound/page", opaque(strange)).mustDeny(t, "of none that the route takes", 401, "invalid_token")
	if got := asked(strange); got != [3]int{} {
		t.Errorf("a token of none was shown to them %v times", got)
	}
	if answer := get(t, e.addr, "/private/page", opaque(strange)); answer.status != 200 || asked(strange) != [3]int{0, 0, 1} {
		t.Errorf("of one server: status %d, asked %v", answer.status, asked(strange))
	}
	p.mustNotTell(t, token, strange, introspectSecret)
}
