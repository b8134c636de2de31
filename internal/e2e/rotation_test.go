package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/passgate/passgate/passport"
)

// keyDirectory is the beginning of a file whose accounts sign with a directory of keys.
const keyDirectory = `
issuers:
  - {name: accounts, issuer: "https://auth.example.com", algorithms: [HS256, EdDSA, ES256], audiences: any}
%s
keys: {dir: %s}
accounts: {issuer: accounts, database: "sqlite:accounts.db"}
`

// signedUp makes an account and returns its id and token.
func signedUp(t *testing.T, addr, email string) session {
	t.Helper()
	return sessionOf(t, must(t, 201)(postTo(addr, signUpPath, object(map[string]string{"email": email, "password": accountPassword}))))
}

const accountPassword = "a private sentence of nobody"

// loggedIn returns a session of an account.
func loggedIn(t *testing.T, addr, email string) session {
	t.Helper()
	return sessionOf(t, must(t, 200)(postTo(addr, logInPath, object(map[string]string{"email": email, "password": accountPassword}))))
}

func sessionOf(t *testing.T, r response) session {
	t.Helper()
	var s session
	if err := json.Unmarshal([]byte(r.body), &s); err != nil || s.Token == "" || s.UserID == "" {
		t.Fatalf("the body is %q (%v)", r.body, err)
	}
	return s
}

// headerOf returns alg and kid of a token, unverified.
func headerOf(t *testing.T, token string) (alg, kid string) {
	t.Helper()
	parsed, _, err := jwt.NewParser().ParseUnverified(token, jwt.MapClaims{})
	if err != nil {
		t.Fatal(err)
	}
	kid, _ = parsed.Header["kid"].(string)
	return parsed.Method.Alg(), kid
}

// accountTokens are the tokens of one account, of which more and more are given out.
type accountTokens struct {
	mu  sync.Mutex
	all []session
}

func (a *accountTokens) add(s session) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all = append(a.all, s)
}

func (a *accountTokens) pick(n int) session {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n%2 == 0 { // the newest, whose key is the one in question
		return a.all[len(a.all)-1]
	}
	return a.all[n%len(a.all)]
}

// tally counts answers by what was asked, and keeps those that were wrong.
type tally struct {
	mu    sync.Mutex
	count map[string]int
	wrong map[string]int
}

func (y *tally) saw(kind, got string, want ...string) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.count[kind]++
	if !slices.Contains(want, got) {
		y.wrong[kind+" got "+got]++
	}
}

// wholeVersion returns one of two files that give the role user the same rights, each by a permission of its own: a
// request that is judged by the roles of one and the routes of the other is refused.
func wholeVersion(version string) string {
	return fmt.Sprintf(keyDirectory, `  - {name: machines, issuer: "https://machines.example.com", algorithms: [HS256], secret_file: machines.secret, audiences: any, user_prefix: "machine:"}`, "keys") + `
passport: {signing_key_file: passport.key}
api_keys: {file: api-keys.yaml, user_prefix: "key:"}
log: {decisions: denied}
roles: {user: [` + version + `:read]}
routes:
  - {name: ` + version + `, methods: [GET], path: "/things/{id}", permissions: ["` + version + `:read"]}
  - {name: delete, methods: [DELETE], path: "/things/{id}", permissions: [things:delete]}
  - {name: machines, path: "/machines/**", credentials: [machines]}
  - {name: open, path: "/open/**", access: optional}
`
}

func TestReloadsAndRotationsUnderLoadFailNoRequest(t *testing.T) {
	needPrograms(t)
	if testing.Short() {
		t.Skip("takes a while")
	}
	const (
		changes, pause = 34, 600 * time.Millisecond
		workers, rest  = 8, 15 * time.Millisecond
	)
	p := newConfigured(t, wholeVersion("first"))
	p.command(t, "keys", "new", "--dir", "keys", "--alg", "HS256")
	p.passportKey(t, "passport.key")
	key, entry := newAPIKey(t, p, "ci", "--role", "user")
	other, otherEntry := newAPIKey(t, p, "other", "--role", "user")
	p.put(t, "api-keys.yaml", "keys:\n"+entry)
	secrets := [2]string{"test-secret-not-for-production-machines-one", "test-secret-not-for-production-machines-two"}
	p.put(t, "machines.secret", secrets[0])
	p.start(t)
	v := p.verifier(t, passport.Options{})
	e := p.behind(t, shippedFile(t), startService(t, v))
	c := newCaller(t, e.addr)

	const email = "ann@example.com"
	pool := &accountTokens{all: []session{signedUp(t, e.addr, email)}}
	user := pool.all[0].UserID
	machine := func(secret string) string {
		token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
			"iss": "https://machines.example.com", "sub": "robot", "exp": time.Now().Add(time.Hour).Unix(),
		}).SignedString([]byte(secret))
		if err != nil {
			t.Fatal(err)
		}
		return "Authorization: Bearer " + token
	}
	machines := [3]string{machine(secrets[0]), machine(secrets[1]), machine("test-secret-not-for-production-of-nobody")}
	seen := &tally{count: map[string]int{}, wrong: map[string]int{}}
	do := func(method, path string, headers ...string) string {
		answer, err := c.do(context.Background(), method, path, headers...)
		switch {
		case err != nil:
			return err.Error()
		case answer.status == 200:
			return "200 " + answer.body // whom the service knows by the verified passport
		}
		return fmt.Sprint(answer.status)
	}
	forged := func(token string) string { // the signature of another token of the same key, or of none
		dot := strings.LastIndexByte(token, '.')
		return token[:dot+1] + strings.Map(func(r rune) rune {
			return map[bool]rune{true: 'B', false: 'A'}[r == 'A']
		}, token[dot+1:])
	}
	kinds := []func(n int){
		func(n int) {
			s := pool.pick(n)
			alg, _ := headerOf(t, s.Token)
			seen.saw("good token of "+alg, do("GET", "/things/1", "Authorization: Bearer "+s.Token), "200 "+user)
		},
		func(n int) { seen.saw("good API key", do("GET", "/things/1", "X-API-Key: "+key), "200 key:ci") },
		func(n int) {
			seen.saw("a reader deletes", do("DELETE", "/things/1", "Authorization: Bearer "+pool.pick(n).Token), "403")
		},
		func(n int) {
			seen.saw("bad signature", do("GET", "/things/1", "Authorization: Bearer "+forged(pool.pick(n).Token)), "401")
		},
		func(n int) { seen.saw("no credential", do("GET", "/things/1"), "401") },
		func(n int) { seen.saw("a secret of nobody", do("GET", "/machines/1", machines[2]), "401") },
		// What changes under them decides; but nothing else may come of it.
		func(n int) {
			seen.saw("a secret that comes and goes", do("GET", "/machines/1", machines[n%2]), "200 machine:robot", "401")
		},
		func(n int) {
			seen.saw("an API key that comes and goes", do("GET", "/things/1", "X-API-Key: "+other), "200 key:other", "401")
		},
		func(n int) {
			seen.saw("a machine where it may not", do("DELETE", "/things/1", machines[n%2]), "401", "403")
		},
		func(n int) {
			seen.saw("the keys", map[bool]string{true: "200"}[strings.HasPrefix(do("GET", "/.well-known/jwks.json"), `200 {"keys":[`)], "200")
		},
	}
	var (
		all  sync.WaitGroup
		stop = make(chan struct{})
		done atomic.Int64
	)
	for w := range workers {
		all.Go(func() {
			tick := time.NewTicker(rest)
			defer tick.Stop()
			for n := w; ; n++ {
				kinds[n%len(kinds)](n / len(kinds))
				done.Add(1)
				select {
				case <-stop:
					return
				case <-tick.C:
				}
			}
		})
	}
	all.Go(func() { // people log in meanwhile
		for {
			r, err := postTo(e.addr, logInPath, object(map[string]string{"email": email, "password": accountPassword}))
			var s session
			if err == nil && r.status == 200 {
				err = json.Unmarshal([]byte(r.body), &s)
			}
			seen.saw("login", fmt.Sprint(r.status, err), "200 <nil>")
			if s.Token != "" {
				pool.add(s)
			}
			select {
			case <-stop:
				return
			case <-time.After(250 * time.Millisecond):
			}
		}
	})

	before := p.loads(t)
	rotate := func(alg string) func() {
		return func() {
			p.command(t, "keys", "rotate", "--dir", "keys", "--alg", alg, "--sign-after", "2s", "--verify-for", "10m")
		}
	}
	rotations := map[int]func(){6: rotate("EdDSA"), 18: rotate("ES256")}
	changed := map[string]int{}
	tick := time.NewTicker(pause)
	for i := range changes {
		<-tick.C
		what, file, content := "", "", ""
		switch {
		case rotations[i] != nil:
			rotations[i]()
			changed["key directory"]++
			continue
		case i%3 == 0:
			what, file, content = "secret", "machines.secret", secrets[(changed["secret"]+1)%2]
		case i%3 == 1:
			what, file, content = "API keys", "api-keys.yaml", "keys:\n"+entry+[]string{otherEntry, ""}[i/3%2]
		default:
			what = "routes and roles"
			p.configure(t, wholeVersion([]string{"second", "first"}[i/3%2]))
		}
		if file != "" {
			p.put(t, file, content)
		}
		changed[what]++
	}
	tick.Stop()
	waitFor(t, "tokens by the last key", func() bool {
		alg, _ := headerOf(t, pool.pick(0).Token)
		return alg == "ES256"
	})
	until := done.Load() + 400
	waitFor(t, "more answers", func() bool { return done.Load() >= until })
	close(stop)
	all.Wait()

	loads, refused := p.loads(t)-before, metric(t, p.ops, `passgate_config_loads_total{result="refused"}`)
	t.Logf("changes: %v; %v reloads, %v refused", changed, loads, refused)
	t.Logf("%d requests, %d tokens", done.Load(), len(pool.all))
	for _, kind := range slices.Sorted(maps.Keys(seen.count)) {
		t.Logf("%6d %s", seen.count[kind], kind)
	}
	for wrong, n := range seen.wrong {
		t.Errorf("%d times: %s", n, wrong)
	}
	for _, kind := range []string{"good token of HS256", "good token of EdDSA", "good token of ES256", "good API key", "login"} {
		if seen.count[kind] == 0 {
			t.Errorf("there was no %s", kind)
		}
	}
	if loads < changes*9/10 || refused != 0 {
		t.Errorf("%d changes, %v reloads and %v refused", changes, loads, refused)
	}
}

// keysOf returns what passgate keys list says of a directory.
func (c *configured) keysOf(t *testing.T, dir string) map[string]time.Time {
	t.Helper()
	retires := map[string]time.Time{}
	for text := range strings.Lines(c.command(t, "keys", "list", "--dir", dir, "--json")) {
		var k struct {
			ID      string    `json:"kid"`
			Retires time.Time `json:"retires"`
		}
		if err := json.Unmarshal([]byte(text), &k); err != nil {
			t.Fatal(err)
		}
		retires[k.ID] = k.Retires
	}
	return retires
}

func TestRetiredKeyIsRefusedInItsTime(t *testing.T) {
	needPrograms(t)
	for _, alg := range []string{"HS256", "ES256"} {
		t.Run(alg, func(t *testing.T) {
			p := newConfigured(t, fmt.Sprintf(keyDirectory, "", "keys")+"default_access: authenticated\n")
			p.command(t, "keys", "new", "--dir", "keys", "--alg", alg)
			p.start(t)
			e := p.behind(t, shippedFile(t), startSample(t))
			c := newCaller(t, e.addr)
			const email = "ann@example.com"
			old := signedUp(t, e.addr, email)
			gotAlg, kid := headerOf(t, old.Token)
			if gotAlg != alg || c.outcome("/page", "Authorization: Bearer "+old.Token) != "200" {
				t.Fatalf("before: %s, %s", gotAlg, c.outcome("/page", "Authorization: Bearer "+old.Token))
			}
			p.command(t, "keys", "rotate", "--dir", "keys", "--alg", "EdDSA", "--sign-after", "1s", "--verify-for", "2s")
			retires, ok := p.keysOf(t, "keys")[kid]
			if !ok || retires.IsZero() {
				t.Fatalf("passgate keys list does not say when %s retires", kid)
			}
			var last session
			accepted, refused := 0, 0
			waitFor(t, "the old key to be refused, and to stay so", func() bool {
				sent := time.Now()
				switch got := c.outcome("/page", "Authorization: Bearer "+old.Token); {
				case got == "401":
					if time.Now().Before(retires) {
						t.Errorf("refused before %v", retires)
					}
					refused++
				case got != "200" || refused > 0:
					t.Errorf("%s, after %d refusals", got, refused)
				case !sent.Before(retires):
					t.Errorf("accepted after %v", retires)
				default:
					accepted++
				}
				return refused >= 50
			})
			last = loggedIn(t, e.addr, email)
			if alg, id := headerOf(t, last.Token); alg != "EdDSA" || id == kid {
				t.Errorf("who logs in gets a token of %s by %s", alg, id)
			}
			if got := c.outcome("/page", "Authorization: Bearer "+last.Token); got != "200" {
				t.Errorf("a token by the new key: %s", got)
			}
			get(t, e.addr, "/page", "Authorization: Bearer "+old.Token).mustDeny(t, "the old one at the end", 401, "invalid_token")
			if _, body, err := fetch(p.jwksURL()); err != nil || strings.Contains(body, kid) || strings.Count(body, `"kid"`) != 1 {
				t.Errorf("the keys that are shown are %s (%v)", body, err)
			}
			t.Logf("%d accepted before its end, %d refused after it", accepted, refused)
		})
	}
}

// Each replica reads the directory for itself. A key signs when both know it.
func TestReplicasOnOneKeyDirectoryRefuseNoTokenOfTheOther(t *testing.T) {
	needPrograms(t)
	dir := filepath.Join(t.TempDir(), "keys")
	first := newConfigured(t, fmt.Sprintf(keyDirectory, "", dir)+"default_access: authenticated\n")
	first.command(t, "keys", "new", "--dir", dir, "--alg", "HS256")
	database := filepath.Join(first.dir, "accounts.db")
	second := newConfigured(t, strings.Replace(fmt.Sprintf(keyDirectory, "", dir), "sqlite:accounts.db", "sqlite:"+database, 1)+"default_access: authenticated\n")
	replicas := [2]*configured{first, second}
	upstream := startSample(t)
	var callers [2]*caller       // each by an Envoy of its own, so that it is known who judges
	for _, p := range replicas { // before an Envoy, whose connections may take a port that was free
		p.start(t)
	}
	for i, p := range replicas {
		callers[i] = newCaller(t, p.behind(t, shippedFile(t), upstream).addr)
	}
	const email = "ann@example.com"
	signedUp(t, callers[0].addr, email)

	var before [2]float64
	for i, p := range replicas {
		before[i] = p.loads(t)
	}
	_, old := headerOf(t, loggedIn(t, callers[0].addr, email).Token)
	// The second is late to read.
	second.signal(t, syscall.SIGSTOP)
	first.reloaded(t, func() {
		first.command(t, "keys", "rotate", "--dir", dir, "--alg", "EdDSA", "--sign-after", "3s", "--verify-for", "10m")
	})
	early := loggedIn(t, callers[0].addr, email).Token
	second.signal(t, syscall.SIGCONT)
	if _, kid := headerOf(t, early); kid != old {
		t.Error("the first replica signs with a key that the second cannot know")
	}
	if got := callers[1].outcome("/page", "Authorization: Bearer "+early); got != "200" {
		t.Errorf("a token of the first replica at the second: %s", got)
	}
	by, outcomes, both := map[string]int{}, map[string]int{}, 0
	waitFor(t, "both replicas to sign with the new key", func() bool {
		for i, from := range callers {
			token := loggedIn(t, from.addr, email).Token
			_, kid := headerOf(t, token)
			who := fmt.Sprintf("replica %d, the %s key", i, map[bool]string{true: "old", false: "new"}[kid == old])
			by[who]++
			// The other one first: it is who may not know the key yet.
			for _, judge := range []*caller{callers[1-i], from} {
				outcomes[judge.outcome("/page", "Authorization: Bearer "+token)]++
			}
			if kid != old {
				both++
			}
		}
		return both >= 10
	})
	t.Logf("tokens: %v; answers: %v", by, outcomes)
	if len(outcomes) != 1 || outcomes["200"] == 0 {
		t.Errorf("answers %v, want 200 alone", outcomes)
	}
	for i, p := range replicas {
		if p.loads(t) <= before[i] {
			t.Errorf("replica %d has not read the new key", i)
		}
	}
	if len(by) != 4 {
		t.Errorf("tokens were signed by %v, want both keys of both replicas", by)
	}
	if _, err := os.Stat(filepath.Join(dir, old+".jwk")); err != nil {
		t.Error(err)
	}
}
