package e2e

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc/codes"
)

const partner = "https://idp.partner.example"

// remoteIssuers is the beginning of a file with the issuer of most tests, and those whose keys are fetched.
func remoteIssuers(lines ...string) string { return remoteIssuersAnd(policy, lines...) }

func remoteIssuersAnd(routes string, lines ...string) string {
	return "issuers:\n  - {name: accounts, issuer: " + issuer + ", algorithms: [HS256], secret: " + secret + ", audiences: any}\n  - " +
		strings.Join(lines, "\n  - ") + "\n" + routes
}

// remoteIssuer is one whose keys are fetched.
func remoteIssuer(name, issuer, source string) string {
	return fmt.Sprintf("{name: %s, issuer: %q, algorithms: [EdDSA], audiences: [api], user_prefix: %q, %s}", name, issuer, name+":", source)
}

func TestKeyServerThatIsDownAtTheStart(t *testing.T) {
	needPrograms(t)
	keys, key := newKeyServer(t), newSigningKey(t)
	keys.show("/jwks", keySet(key))
	p := startConfigured(t, remoteIssuers(remoteIssuer("partner", partner, "jwks_url: "+strconv.Quote(keys.url("/jwks")))), nil)
	u := startUpstream(t)
	e := p.behind(t, shippedFile(t), u.addr)

	theirs, ours := key.bearer(t, partner), bearer(t, user("read"))
	get(t, e.addr, "/private/page", theirs).mustDeny(t, "the issuer whose keys cannot be had", 503, "unavailable")
	get(t, e.addr, "/private/page", newSigningKey(t).bearer(t, partner)).mustDeny(t, "a stranger's key", 503, "unavailable")
	get(t, e.addr, "/private/page", "Authorization: Bearer a.b.c").mustDeny(t, "a bad token", 401, "invalid_token")
	u.untouched(t, "without keys")
	for _, path := range []string{"/private/page", "/api/users/1"} {
		if answer := get(t, e.addr, path, ours); answer.status != 200 {
			t.Errorf("another issuer: status %d", answer.status)
		}
	}
	u.take()
	if !p.ready() {
		t.Error("passgate is not ready")
	}
	if _, body, err := fetch("http://" + p.ops + "/readyz?verbose"); err != nil || !strings.Contains(body, "keys of partner") {
		t.Errorf("readiness says %q (%v), and nothing of the keys", body, err)
	}

	keys.start(t)
	// Nobody asks for a decision meanwhile: it recovers alone.
	waitFor(t, "the keys to be fetched", func() bool {
		return metric(t, p.ops, `passgate_key_set_fetches_total{issuer="partner",result="ok"}`) > 0
	})
	if answer := get(t, e.addr, "/private/page", theirs); answer.status != 200 {
		t.Errorf("with keys: status %d, %s", answer.status, answer.body)
	}
	if got := u.one(t, "with keys").values("x-user-id"); len(got) != 1 || got[0] != "partner:user-1" {
		t.Errorf("with keys: the upstream got X-User-ID %q", got)
	}
	get(t, e.addr, "/private/page", newSigningKey(t).bearer(t, partner)).mustDeny(t, "a stranger's key", 401, "invalid_token")
	t.Logf("failed fetches before the server was up: %v", metric(t, p.ops, `passgate_key_set_fetches_total{issuer="partner",result="failed"}`))
}

// badKeyServers are answers of a server of keys, none of which may change anything.
func badKeyServers(good, elsewhere string) map[string]http.HandlerFunc {
	show := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) }
	}
	return map[string]http.HandlerFunc{
		"status-500": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, good, 500) },
		"empty":      show(""),
		"html":       show("<!DOCTYPE html><title>Sign in</title>"),
		"truncated":  show(good[:len(good)-3]),
		"no-key":     show(`{"keys":[]}`),
		"endless": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"keys":[`)
			for chunk := bytes.Repeat([]byte("1,"), 4<<10); ; {
				if _, err := w.Write(chunk); err != nil {
					return
				}
			}
		},
		"byte-a-second": func(w http.ResponseWriter, r *http.Request) {
			tick := time.NewTicker(time.Second)
			defer tick.Stop()
			for i := range len(good) {
				if _, err := w.Write([]byte{good[i]}); err != nil {
					return
				}
				w.(http.Flusher).Flush()
				select {
				case <-tick.C:
				case <-r.Context().Done():
					return
				}
			}
		},
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere+"/jwks", http.StatusFound)
		},
	}
}

// Each issuer's server errs in its own way, all at a time.
func TestKnownKeysWorkOnWhateverTheKeyServerAnswers(t *testing.T) {
	needPrograms(t)
	key, next := newSigningKey(t), newSigningKey(t)
	keys, elsewhere := startKeyServer(t), startKeyServer(t)
	elsewhere.show("/jwks", keySet(next))
	faults := badKeyServers(keySet(next), elsewhere.url(""))
	var lines []string
	for name := range faults {
		keys.show("/"+name, keySet(key))
		lines = append(lines, remoteIssuer(name, partner+"/"+name, fmt.Sprintf("jwks_refresh: 10s, jwks_url: %q", keys.url("/"+name))))
	}
	p := startConfigured(t, remoteIssuers(lines...), nil)
	u := startSample(t)
	e := p.behind(t, shippedFile(t), u)

	var known, unknown []string
	for name := range faults {
		good := key.bearer(t, partner+"/"+name)
		waitFor(t, "the keys of "+name, func() bool { return get(t, e.addr, "/private/page", good).status == 200 })
		known = append(known, good)
		unknown = append(unknown, next.bearer(t, partner+"/"+name))
	}
	load := startLoad(t, "http://"+e.addr+"/private/page", known...)
	load.more(t, 400) // what a process takes for its first requests is no part of what a fault costs
	before := memory(t, p.process)
	asked := map[string]int{}
	for name, answer := range faults {
		keys.set("/"+name, answer)
		asked[name] = keys.times("/" + name)
	}
	denied, c := map[string]int{}, newCaller(t, e.addr)
	burst := func() {
		for _, token := range unknown {
			answer, err := c.do(t.Context(), "GET", "/private/page", token)
			if err != nil {
				t.Fatal(err)
			}
			if answer.status != 401 && answer.status != 503 {
				t.Fatalf("a key that no set has: status %d", answer.status)
			}
			denied[fmt.Sprint(answer.status)]++
		}
	}
	const rounds = 2
	waitFor(t, "each server to have failed twice", func() bool {
		burst()
		for name := range faults {
			if keys.times("/"+name) < asked[name]+rounds {
				return false
			}
		}
		return true
	})
	for range 30 {
		burst()
	}
	after := memory(t, p.process)
	t.Logf("unknown keys: %v; resident memory %d KiB before and %d KiB after", denied, before, after)
	if grown := after - before; grown > 64<<10 {
		t.Errorf("the process has grown by %d KiB", grown)
	}
	for name := range faults {
		failed := metric(t, p.ops, fmt.Sprintf(`passgate_key_set_fetches_total{issuer=%q,result="failed"}`, name))
		t.Logf("%s: %d fetches under the fault, %v of them ended", name, keys.times("/"+name)-asked[name], failed)
		if failed < 1 {
			t.Errorf("%s: no fetch has failed", name)
		}
	}
	load.mustOnly(t, "200")
	if n := elsewhere.times("/jwks"); n != 0 {
		t.Errorf("the server that a redirect names was asked %d times", n)
	}

	for name := range faults {
		keys.show("/"+name, keySet(next))
	}
	for i := range unknown {
		waitFor(t, "a new key to be found", func() bool { return c.outcome("/private/page", unknown[i]) == "200" })
		// A fetched set replaces the old one whole.
		if got := c.outcome("/private/page", known[i]); got != "401" {
			t.Errorf("a key that is no more in the set: %s", got)
		}
	}
}

// memory returns how much memory of a process is resident, in KiB.
func memory(t *testing.T, p *process) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Skip("the memory of a process is not told here: ", err)
	}
	found := regexp.MustCompile(`(?m)^VmRSS:\s+(\d+) kB$`).FindSubmatch(text)
	if found == nil {
		t.Fatalf("no VmRSS in %s", text)
	}
	n, err := strconv.Atoi(string(found[1]))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestTokensWithRandomKeyIDsCauseAFetchPerInterval(t *testing.T) {
	needPrograms(t)
	const (
		tokens, connections, window = 10_000, 8, 10 * time.Second
		goodEvery                   = 20
		interval                    = 5 * time.Second
	)
	keys, key := startKeyServer(t), newSigningKey(t)
	keys.show("/jwks", keySet(key))
	p := startConfigured(t, remoteIssuers(remoteIssuer("partner", partner, fmt.Sprintf("jwks_url: %q", keys.url("/jwks"))))+
		"log: {decisions: none}\n", nil)
	_, good, _ := strings.Cut(key.bearer(t, partner), "Bearer ")
	var random [tokens]string
	for i := range random {
		_, random[i], _ = strings.Cut(key.as(rand.Text()).bearer(t, partner), "Bearer ")
	}
	var clients [connections]authv3.AuthorizationClient
	for i := range clients {
		clients[i] = checkClient(t, p.grpc)
		waitFor(t, "the keys to be had", func() bool { return checkStatus(t, clients[i], "/private/page", good) == 0 })
	}

	before, started := keys.times("/jwks"), time.Now()
	var (
		next     atomic.Int64
		mu       sync.Mutex
		outcomes = map[string]int{}
		workers  sync.WaitGroup
	)
	count := func(what string, status int32) {
		mu.Lock()
		defer mu.Unlock()
		outcomes[fmt.Sprintf("%s: %s", what, codes.Code(status))]++
	}
	for _, client := range clients {
		workers.Go(func() {
			tick := time.NewTicker(window * connections / tokens)
			defer tick.Stop()
			for i := next.Add(1) - 1; i < tokens; i = next.Add(1) - 1 {
				count("random", checkStatus(t, client, "/private/page", random[i]))
				if i%goodEvery == 0 {
					count("good", checkStatus(t, client, "/private/page", good))
				}
				<-tick.C
			}
		})
	}
	workers.Wait()
	took, fetches := time.Since(started), keys.times("/jwks")-before
	t.Logf("%d tokens with random key ids in %v: %d fetches; %v", tokens, took.Round(time.Millisecond), fetches, outcomes)
	if most := 1 + int(took/interval); fetches > most || fetches < 1 {
		t.Errorf("%d fetches, want 1 to %d: one for each %v", fetches, most, interval)
	}
	if n := outcomes["good: OK"]; n != tokens/goodEvery {
		t.Errorf("%d of %d good tokens were let in: %v", n, tokens/goodEvery, outcomes)
	}
	if outcomes["random: OK"] != 0 || outcomes["random: Unauthenticated"]+outcomes["random: Unavailable"] != tokens {
		t.Errorf("tokens with random key ids: %v", outcomes)
	}
}

func TestDiscoveryIsBelievedOfItsOwnHostAlone(t *testing.T) {
	needPrograms(t)
	keys, elsewhere, key := startKeyServer(t), startKeyServer(t), newSigningKey(t)
	const foreign, liar = "https://foreign.example", "https://liar.example"
	metadata := func(issuer, uri string) string { return fmt.Sprintf(`{"issuer":%q,"jwks_uri":%q}`, issuer, uri) }
	keys.show("/jwks", keySet(key))
	elsewhere.show("/jwks", keySet(key))
	keys.show("/good/.well-known/openid-configuration", metadata(partner, keys.url("/jwks")))
	keys.show("/foreign/.well-known/openid-configuration", metadata(foreign, elsewhere.url("/jwks")))
	keys.show("/liar/.well-known/openid-configuration", metadata(partner, keys.url("/jwks")))
	source := func(path string) string {
		return fmt.Sprintf("discovery_url: %q", keys.url(path+"/.well-known/openid-configuration"))
	}
	p := startConfigured(t, remoteIssuers(
		remoteIssuer("partner", partner, source("/good")), remoteIssuer("foreign", foreign, source("/foreign")), remoteIssuer("liar", liar, source("/liar")),
	), nil)
	u := startUpstream(t)
	e := p.behind(t, shippedFile(t), u.addr)

	waitFor(t, "the keys of the good one", func() bool { return get(t, e.addr, "/private/page", key.bearer(t, partner)).status == 200 })
	u.take()
	for _, iss := range []string{foreign, liar} {
		get(t, e.addr, "/private/page", key.bearer(t, iss)).mustDeny(t, iss, 503, "unavailable")
		u.untouched(t, iss)
	}
	if n := elsewhere.times("/jwks"); n != 0 {
		t.Errorf("the foreign server was asked %d times", n)
	}
}
