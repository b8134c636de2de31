package e2e

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/passgate/passgate/passport"
)

const passportConfig = apiKeyIssuer + "passport: {signing_key_file: passport.key}\nlog: {level: debug}\n" + policy

// startSigning runs a passgate that signs passports.
func startSigning(t *testing.T, file string) *configured {
	t.Helper()
	p := newConfigured(t, file)
	p.put(t, "accounts.secret", secret)
	p.passportKey(t, "passport.key")
	p.start(t)
	return p
}

// passportKey makes a new key that signs passports, and returns the text of its file.
func (c *configured) passportKey(t *testing.T, name string) string {
	t.Helper()
	c.command(t, "keys", "new", "--out", name)
	text, err := os.ReadFile(filepath.Join(c.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (c *configured) jwksURL() string { return "http://" + c.http + "/.well-known/jwks.json" }

// verifier returns one of the package that services use, with the keys that this passgate shows.
func (c *configured) verifier(t *testing.T, o passport.Options) *passport.Verifier {
	t.Helper()
	o.JWKSURL = c.jwksURL()
	v, err := passport.NewVerifier(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.FetchKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	return v
}

// service is an upstream that takes its caller from the passport, and answers who that is.
func service(v *passport.Verifier) http.Handler {
	return v.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, ok := passport.FromContext(r.Context())
		if !ok {
			p.UserID = "nobody"
		}
		fmt.Fprint(w, p.UserID)
	}))
}

// startService serves a [service], and returns its address.
func startService(t *testing.T, v *passport.Verifier) string {
	t.Helper()
	s := httptest.NewServer(service(v))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// signedPassport is what an upstream got.
type signedPassport struct{ value, signature string }

// passportOf returns what the upstream gets for a request through Envoy with these header lines.
func passportOf(t *testing.T, addr string, u *upstream, headers ...string) signedPassport {
	t.Helper()
	if answer := get(t, addr, "/private/page", headers...); answer.status != 200 {
		t.Fatalf("status %d: %s", answer.status, answer.body)
	}
	request := u.one(t, "request")
	values, signatures := request.values("x-passport"), request.values("x-passport-signature")
	if len(values) != 1 || len(signatures) != 1 {
		t.Fatalf("the upstream got %d passports and %d signatures", len(values), len(signatures))
	}
	return signedPassport{values[0], signatures[0]}
}

// at is a delivery to a service, by whom ever.
func (p signedPassport) at(s http.Handler) int {
	r := httptest.NewRequest("GET", "/", nil)
	for name, value := range map[string]string{passport.Header: p.value, passport.SignatureHeader: p.signature} {
		if value != "" {
			r.Header.Set(name, value)
		}
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Code
}

func TestServiceTakesThePassportThatPassgateSignedAndNoOther(t *testing.T) {
	needPrograms(t)
	p, u := startSigning(t, passportConfig), startUpstream(t)
	e := p.behind(t, shippedFile(t), u.addr)
	ann := passportOf(t, e.addr, u, bearer(t, user("read")))
	bob := passportOf(t, e.addr, u, bearer(t, with(user("read"), map[string]any{"sub": "user-2"})))
	s := service(p.verifier(t, passport.Options{}))
	for _, good := range []signedPassport{ann, bob} {
		if got := good.at(s); got != 200 {
			t.Errorf("as it was delivered: status %d", got)
		}
	}

	altered := func(text string, i int) string {
		b := []byte(text)
		b[i] = map[bool]byte{true: 'B', false: 'A'}[b[i] == 'A'] // of base64, so that only the signature tells
		return string(b)
	}
	tried := 0
	for i := range ann.value {
		tried++
		if got := (signedPassport{altered(ann.value, i), ann.signature}).at(s); got != 401 {
			t.Errorf("byte %d of the passport altered: status %d", i, got)
		}
	}
	for i := range ann.signature {
		tried++
		if got := (signedPassport{ann.value, altered(ann.signature, i)}).at(s); got != 401 {
			t.Errorf("byte %d of the signature altered: status %d", i, got)
		}
	}
	t.Logf("%d altered bytes: all of the passport and of its signature", tried)

	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	id, err := passport.KeyID(ann.signature)
	if err != nil {
		t.Fatal(err)
	}
	forge := func(id string) string {
		signature, err := passport.NewSigner(private, id).Sign(ann.value)
		if err != nil {
			t.Fatal(err)
		}
		return signature
	}
	for what, forged := range map[string]signedPassport{
		"with the signature of another user": {ann.value, bob.signature},
		"of another user":                    {bob.value, ann.signature},
		"unsigned":                           {ann.value, ""},
		"without a passport":                 {"", ann.signature},
		"signed by another key":              {ann.value, forge("")},
		"the same under the kid":             {ann.value, forge(id)},
		"cut":                                {ann.value[:len(ann.value)-4], ann.signature},
		"longer":                             {ann.value + "AAAA", ann.signature},
		"neither":                            {},
	} {
		if got := forged.at(s); got != 401 {
			t.Errorf("%s: status %d", what, got)
		}
	}
	for what, later := range map[string]time.Duration{"an old one": 30 * time.Second, "one of the future": -30 * time.Second} {
		v := p.verifier(t, passport.Options{MaxAge: 10 * time.Second, Now: func() time.Time { return time.Now().Add(later) }})
		if got := ann.at(service(v)); got != 401 {
			t.Errorf("%s: status %d", what, got)
		}
	}
}

func TestPassportVerifyCommandAgrees(t *testing.T) {
	needPrograms(t)
	p, u := startSigning(t, passportConfig), startUpstream(t)
	e := p.behind(t, shippedFile(t), u.addr)
	ann := passportOf(t, e.addr, u, bearer(t, user("read")))
	bob := passportOf(t, e.addr, u, bearer(t, with(user("read"), map[string]any{"sub": "user-2"})))
	out := p.command(t, "passport", "verify", ann.value, ann.signature, "--jwks-url", p.jwksURL(), "--max-age", "1m")
	var told map[string]any
	if err := json.Unmarshal([]byte(out), &told); err != nil || told["user_id"] != "user-1" {
		t.Errorf("it says %q (%v)", out, err)
	}
	for what, bad := range map[string]signedPassport{
		"swapped": {ann.value, bob.signature}, "altered": {ann.value[:8] + "AAAA" + ann.value[12:], ann.signature},
	} {
		cmd := exec.Command(programs.passgate, "passport", "verify", bad.value, bad.signature, "--jwks-url", p.jwksURL())
		out, err := cmd.Output()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 1 || len(out) > 0 {
			t.Errorf("%s: it says %q (%v), want the exit status 1", what, out, err)
		}
	}
}

// The keys that passgate shows are public through Envoy, too, as its shipped file has a route for them.
func TestKeysForPassportsAreShownThroughEnvoy(t *testing.T) {
	needPrograms(t)
	p, u := startSigning(t, passportConfig), startUpstream(t)
	e := p.behind(t, shippedFile(t), u.addr)
	ann := passportOf(t, e.addr, u, bearer(t, user("read")))
	p.command(t, "passport", "verify", ann.value, ann.signature, "--jwks-url", "http://"+e.addr+"/.well-known/jwks.json")
}

// Whoever has got hold of a passport cannot use it through Envoy.
func TestForgedPassportNeverReachesTheService(t *testing.T) {
	needPrograms(t)
	p, u := startSigning(t, passportConfig), startUpstream(t)
	stolen := passportOf(t, p.behind(t, shippedFile(t), u.addr).addr, u, bearer(t, with(user("read"), map[string]any{"sub": "admin"})))
	for _, optional := range []bool{false, true} {
		e := p.behind(t, shippedFile(t), startService(t, p.verifier(t, passport.Options{Optional: optional})))
		c := newCaller(t, e.addr)
		forged := []string{"X-Passport: " + stolen.value, "X-Passport-Signature: " + stolen.signature}
		for _, test := range []struct {
			path, credential, want string
		}{
			{"/private/page", bearer(t, user("read")), "200 user-1"},
			{"/optional/page", bearer(t, user("read")), "200 user-1"},
			{"/optional/page", "", map[bool]string{false: "401", true: "200 nobody"}[optional]},
			{"/public/page", bearer(t, user("read")), map[bool]string{false: "401", true: "200 nobody"}[optional]},
		} {
			headers := forged
			if test.credential != "" {
				headers = append(headers[:2:2], test.credential)
			}
			answer, err := c.do(t.Context(), "GET", test.path, headers...)
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprintf("%d %s", answer.status, answer.body); !strings.HasPrefix(got, test.want) {
				t.Errorf("optional %t, %s, %.13s: %s, want %s", optional, test.path, test.credential, got, test.want)
			}
		}
	}
}

func TestRotatedPassportKeyFailsNoRequestOfAService(t *testing.T) {
	needPrograms(t)
	p := startSigning(t, passportConfig)
	v := p.verifier(t, passport.Options{})
	e := p.behind(t, shippedFile(t), startService(t, v))
	echo := startUpstream(t)
	shown := p.behind(t, shippedFile(t), echo.addr)
	keyInUse := func() string {
		id, err := passport.KeyID(passportOf(t, shown.addr, echo, bearer(t, user("read"))).signature)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	load := startLoad(t, "http://"+e.addr+"/private/page", bearer(t, user("read")), bearer(t, with(user("read"), map[string]any{"sub": "user-2"})))
	load.more(t, 200)
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(p.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}

	// As the README says: the new key is shown, then it signs, then the old one goes. A service fetches the keys
	// every minute; here it does when it is told.
	first, old, second := keyInUse(), read("passport.key"), p.passportKey(t, "second.key")
	step := func(content string) {
		p.reloaded(t, func() { p.put(t, "passport.key", content) })
		load.more(t, 100)
	}
	step(old + second)
	if got := keyInUse(); got != first {
		t.Errorf("a key that was appended signs: %s", got)
	}
	if err := v.FetchKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	step(second + old)
	if got := keyInUse(); got == first {
		t.Error("the key that was moved to the front does not sign")
	}
	fetched := time.Now()
	if err := v.FetchKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	step(second)

	// At once, the old key kept behind: a service that has not fetched for 5 s does so for the first signature that
	// names the new one.
	waitFor(t, "a service to be allowed to fetch again", func() bool { return time.Since(fetched) > 6*time.Second })
	before := keyInUse()
	third := p.passportKey(t, "third.key")
	step(third + second)
	if got := keyInUse(); got == before {
		t.Error("the third key does not sign")
	}
	load.more(t, 200)
	load.mustOnly(t, "200")
}
