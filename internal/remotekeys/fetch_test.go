package remotekeys

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/passgate/passgate/internal/keyset"
)

// issuer is a real server whose handler changes.
type issuer struct {
	*httptest.Server
	handler atomic.Pointer[http.HandlerFunc]
}

func newIssuer(t *testing.T) *issuer {
	i := new(issuer)
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*i.handler.Load())(w, r) }))
	t.Cleanup(i.Close)
	i.set(writes(jwks("a")))
	return i
}

func (i *issuer) set(h http.HandlerFunc) { i.handler.Store(&h) }

// keys returns a set that asks the server, at a path, with the client that is the product's.
func (i *issuer) keys(t *testing.T, change ...func(*Options)) *Set {
	client := NewClient()
	t.Cleanup(client.CloseIdleConnections)
	return newSet(nil, append([]func(*Options){func(o *Options) { o.URL, o.Client = i.URL+"/jwks", client }}, change...)...)
}

func writes(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) }
}

// hijacked gives the handler the connection, for answers that no server of good will gives.
func hijacked(write func(w *bufio.ReadWriter)) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		c, buffer, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		defer c.Close()
		write(buffer)
		buffer.Flush()
	}
}

func endless(w interface{ Write([]byte) (int, error) }, text string) {
	chunk := bytes.Repeat([]byte(text), 1+4096/len(text))
	for {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}

func gzipped(text string, times int) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	for range times {
		_, _ = z.Write([]byte(text))
	}
	_ = z.Close()
	return b.Bytes()
}

// hostile are answers that must change nothing, and a part of what is said of them.
func hostile(i *issuer, elsewhere string) map[string]struct {
	handler http.HandlerFunc
	want    string
} {
	good, bomb := jwks("a", "b"), bomb()
	redirect := func(to string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) }
	}
	return map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"500":                 {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, good, 500) }, "status 500"},
		"404":                 {http.NotFound, "status 404"},
		"201 with keys":       {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(201); fmt.Fprint(w, good) }, "status 201"},
		"204":                 {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, "status 204"},
		"304":                 {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(304) }, "status 304"},
		"302 without a place": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(302) }, "status 302"},
		"empty":               {writes(""), "not strict JSON"},
		"HTML":                {writes("<!DOCTYPE html><title>Sign in</title>"), "not strict JSON"},
		"a lone JWK":          {writes(`{"kty":"OKP","crv":"Ed25519","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`), "not a JWKS"},
		"truncated JSON":      {writes(good[:len(good)-3]), "not strict JSON"},
		"a repeated name":     {writes(good[:len(good)-1] + `,"keys":[]}`), "a name is repeated"},
		"no key":              {writes(jwks()), "no usable key: 0 cannot be used, 0 are for other algorithms"},
		"all keys bad":        {writes(strings.ReplaceAll(good, `"OKP"`, `"oct"`)), "no usable key: 2 cannot be used"},
		"101 keys":            {writes(`{"keys":[` + strings.Repeat("{},", 100) + "{}]}"), "more than 100 keys"},
		"a byte too many":     {writes(good + strings.Repeat(" ", maxBody+1-len(good))), "more than 524288 bytes"},
		"endless white space": {func(w http.ResponseWriter, _ *http.Request) { endless(w, " ") }, "more than 524288 bytes"},
		"endless keys":        {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"keys":[`); endless(w, "1,") }, "more than 524288 bytes"},
		"many small values":   {writes(`{"keys":[` + strings.Repeat("1,", maxBody/2-10) + "1]}"), "more than 100 keys"},
		"many names":          {writes(manyNames()), "not a JWKS"},
		"many names in a key": {writes(`{"keys":[` + manyNames() + `]}`), "no usable key"},
		"deeply nested":       {writes(`{"keys":` + strings.Repeat("[", maxBody-10)), "not strict JSON"},
		"a body cut short": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9999")
			fmt.Fprint(w, good)
		}, "cut short"},
		"no answer":             {hijacked(func(*bufio.ReadWriter) {}), "cut short"},
		"no HTTP":               {hijacked(func(w *bufio.ReadWriter) { fmt.Fprint(w, "test-secret\r\n\r\n") }), "not of the protocol"},
		"endless status line":   {hijacked(func(w *bufio.ReadWriter) { fmt.Fprint(w, "HTTP/1.1 200 "); endless(w, "test-secret") }), "not of the protocol"},
		"endless header":        {hijacked(func(w *bufio.ReadWriter) { fmt.Fprint(w, "HTTP/1.1 200 OK\r\n"); endless(w, "X-A: test-secret\r\n") }), "not of the protocol"},
		"endless early answers": {hijacked(func(w *bufio.ReadWriter) { endless(w, "HTTP/1.1 103 Early Hints\r\nX-A: b\r\n\r\n") }), "not of the protocol"},
		"endless chunk extension": {hijacked(func(w *bufio.ReadWriter) {
			fmt.Fprint(w, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;")
			endless(w, "x")
		}), "not of the protocol"},
		"endless trailer": {hijacked(func(w *bufio.ReadWriter) {
			fmt.Fprint(w, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")
			endless(w, "X-A: b\r\n")
		}), "not of the protocol"},
		"a gzip bomb": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb)
		}, "not strict JSON"},
		"gzip that was not asked": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(gzipped(good, 1))
		}, "not strict JSON"},
		"302 to another port":   {redirect(elsewhere + "/jwks"), "another scheme, host or port"},
		"302 to another host":   {redirect(strings.Replace(i.URL, "127.0.0.1", "localhost", 1) + "/jwks"), "another scheme, host or port"},
		"302 to another scheme": {redirect(strings.Replace(i.URL, "http:", "https:", 1) + "/jwks"), "another scheme, host or port"},
		"302 to a file":         {redirect("file:///etc/hostname"), "another scheme, host or port"},
		"302 to nonsense": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://test-secret:x:y/")
			w.WriteHeader(302)
		}, "not of the protocol"},
		"four redirects": {func(w http.ResponseWriter, r *http.Request) {
			if len(r.URL.Path) < len("/jwks")+4 {
				http.Redirect(w, r, r.URL.Path+"x", http.StatusFound)
				return
			}
			fmt.Fprint(w, good)
		}, "more than 3 redirects"},
		"302 in a circle": {redirect("/jwks"), "more than 3 redirects"},
		"307 to another port": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere, http.StatusTemporaryRedirect)
		}, "another scheme, host or port"},
		"302 elsewhere at the end": {func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/jwks" {
				http.Redirect(w, r, "/other", http.StatusFound)
				return
			}
			http.Redirect(w, r, elsewhere, http.StatusFound)
		}, "another scheme, host or port"},
	}
}

// bomb is 16 MiB in a 1000th of it.
var bomb = sync.OnceValue(func() []byte { return gzipped(strings.Repeat(" ", 1<<20), 16) })

// manyNames is the object of the most names that an answer has room for.
func manyNames() string {
	var b strings.Builder
	b.WriteString(`{"":0`)
	for i := 0; b.Len() < maxBody-40; i++ {
		fmt.Fprintf(&b, `,"%d":0`, i)
	}
	return b.String() + "}"
}

func TestKnownKeysWorkOn(t *testing.T) {
	var stolen atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		stolen.Add(1)
		fmt.Fprint(w, jwks("a", "b"))
	}))
	defer elsewhere.Close()
	i := newIssuer(t)
	for name, test := range hostile(i, elsewhere.URL) {
		t.Run(name, func(t *testing.T) {
			i.set(writes(jwks("a")))
			s := i.keys(t)
			if err := s.Fetch(t.Context()); err != nil {
				t.Fatal(err)
			}
			wantKey(t, s, "a")
			before := s.State()
			i.set(test.handler)
			err := s.Fetch(t.Context())
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("it says %v, want %s", err, test.want)
			}
			if text := err.Error(); !strings.Contains(text, i.Listener.Addr().String()+"/jwks") || strings.Contains(text, "test-secret") || strings.Contains(text, "Sign in") || len(text) > 250 {
				t.Errorf("it says %s", text)
			}
			wantKey(t, s, "a")
			wantNoKey(t, s, "b")
			if state := s.State(); state.Keys != 1 || state.Fetched != before.Fetched || state.Err == nil {
				t.Errorf("then %+v", state)
			}
			i.set(writes(jwks("a", "b")))
			if err := s.Fetch(t.Context()); err != nil {
				t.Error(err)
			}
			wantKey(t, s, "b")
		})
	}
	if n := stolen.Load(); n != 0 {
		t.Errorf("another server was asked %d times", n)
	}
}

// blanks is a body of blanks that has no end.
type blanks struct{ read int }

func (b *blanks) Close() error { return nil }

func (b *blanks) Read(p []byte) (int, error) {
	b.read += len(p)
	return copy(p, bytes.Repeat([]byte(" "), len(p))), nil
}

func TestBodyIsReadToItsLimit(t *testing.T) {
	body := new(blanks)
	s := newSet(&server{reply: func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Body: body, Request: r}, nil
	}})
	if err := s.Fetch(t.Context()); err == nil || body.read != maxBody+1 {
		t.Errorf("%d bytes were read: %v", body.read, err)
	}
}

// TestMemoryIsFlat: whatever a server sends, a fetch makes a bounded amount of garbage and keeps nothing.
func TestMemoryIsFlat(t *testing.T) {
	i := newIssuer(t)
	var before, after runtime.MemStats
	for name, test := range hostile(i, i.URL) {
		s := i.keys(t)
		i.set(test.handler)
		_ = s.Fetch(t.Context())
		runtime.GC()
		runtime.ReadMemStats(&before)
		const times = 5
		for range times {
			_ = s.Fetch(t.Context())
		}
		runtime.ReadMemStats(&after)
		if each := (after.TotalAlloc - before.TotalAlloc) / times; each > 32<<20 {
			t.Errorf("%s: %d KiB for each fetch", name, each>>10)
		}
		runtime.GC()
		runtime.GC() // pools of the JSON reader outlive one
		runtime.ReadMemStats(&after)
		if kept := int64(after.HeapAlloc) - int64(before.HeapAlloc); kept > 2<<20 {
			t.Errorf("%s: %d KiB kept", name, kept>>10)
		}
	}
}

func TestGoodAnswers(t *testing.T) {
	i := newIssuer(t)
	good := jwks("a")
	for name, handler := range map[string]http.HandlerFunc{
		"plain": writes(good),
		"as HTML, which it is not": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, good)
		},
		"as long as may be":         writes(good + strings.Repeat(" ", maxBody-len(good))),
		"one bad key among good":    writes(strings.Replace(jwks("z", "a"), `"kid":"z"`, `"kid":"z","use":"enc"`, 1)),
		"keys for other algorithms": writes(strings.Replace(good, `"keys":[`, `"keys":[{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"},`, 1)),
		"three redirects here": func(w http.ResponseWriter, r *http.Request) {
			if to := map[string]string{"/jwks": "/1", "/1": "/2", "/2": i.URL + "/3?x=y"}[r.URL.Path]; to != "" {
				http.Redirect(w, r, to, http.StatusFound)
				return
			}
			fmt.Fprint(w, good)
		},
	} {
		t.Run(name, func(t *testing.T) {
			var accept, encoding string
			i.set(func(w http.ResponseWriter, r *http.Request) {
				accept, encoding = r.Header.Get("Accept"), r.Header.Get("Accept-Encoding")
				handler(w, r)
			})
			s := i.keys(t)
			if err := s.Fetch(t.Context()); err != nil {
				t.Fatal(err)
			}
			wantKey(t, s, "a")
			if key, err := s.Key(t.Context(), "", false, keyset.EdDSA); err != nil || key.ID != "a" {
				t.Errorf("without a kid: got %v, %v", key, err)
			}
			if key, err := s.Key(t.Context(), "", false, keyset.ES256); err == nil {
				t.Errorf("of another algorithm: got %v", key)
			}
			if state := s.State(); state.Keys != 1 {
				t.Errorf("%d keys", state.Keys)
			}
			if accept != "application/jwk-set+json, application/json" || encoding != "identity" {
				t.Errorf("asked for %q, %q", accept, encoding)
			}
		})
	}
}

func TestDownThenUp(t *testing.T) {
	i := newIssuer(t)
	i.Close()
	s := i.keys(t)
	err := s.Fetch(t.Context())
	if err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("it says %v", err)
	}
	if err := wantUnknown(t, s, "a"); !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("it says %v", err)
	}
	l, err := net.Listen("tcp", i.Listener.Addr().String())
	if err != nil {
		t.Skip("the port is taken by now:", err)
	}
	up := httptest.NewUnstartedServer(writes(jwks("a")))
	up.Listener.Close()
	up.Listener = l
	up.Start()
	defer up.Close()
	if err := s.Fetch(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantKey(t, s, "a")
}

func TestDiscovery(t *testing.T) {
	i := newIssuer(t)
	const iss = "https://idp.partner.example"
	metadata := func(issuer, uri string) string { return fmt.Sprintf(`{"issuer":%q,"jwks_uri":%q,"x":[]}`, issuer, uri) }
	u, _ := url.Parse(i.URL)
	for name, test := range map[string]struct{ metadata, want string }{
		"good":                       {metadata(iss, i.URL+"/keys?v=1"), ""},
		"host in capitals":           {metadata(iss, "HTTP://"+u.Host+"/keys"), ""},
		"another issuer":             {metadata("https://idp.partner.example/", i.URL+"/keys"), "are those of the issuer"},
		"issuer in capitals":         {metadata("https://IDP.partner.example", i.URL+"/keys"), "are those of the issuer"},
		"no issuer":                  {`{"jwks_uri":"` + i.URL + `/keys"}`, `"issuer" is missing`},
		"issuer an array":            {`{"issuer":["` + iss + `"],"jwks_uri":"` + i.URL + `/keys"}`, `"issuer" is not a string`},
		"issuer twice":               {`{"issuer":"` + iss + `","issuer":"` + iss + `","jwks_uri":"` + i.URL + `/keys"}`, "a name is repeated"},
		"no jwks_uri":                {`{"issuer":"` + iss + `"}`, `"jwks_uri" is missing`},
		"jwks_uri empty":             {metadata(iss, ""), "write it as jwks_url"},
		"jwks_uri without a host":    {metadata(iss, "/keys"), "write it as jwks_url"},
		"jwks_uri at another host":   {metadata(iss, "http://localhost:"+u.Port()+"/test-secret"), "write it as jwks_url"},
		"jwks_uri at another port":   {metadata(iss, "http://"+u.Hostname()+"/test-secret"), "write it as jwks_url"},
		"jwks_uri by another scheme": {metadata(iss, "https://"+u.Host+"/test-secret"), "write it as jwks_url"},
		"jwks_uri with a user":       {metadata(iss, "http://test-secret@"+u.Host+"/keys"), "write it as jwks_url"},
		"jwks_uri of the metadata":   {metadata(iss, "http://169.254.169.254/test-secret"), "write it as jwks_url"},
		"jwks_uri nonsense":          {metadata(iss, "http://[test-secret"), "write it as jwks_url"},
		"jwks_uri that is not there": {metadata(iss, i.URL+"/none?test-secret"), "/none: status 404"},
		"no metadata":                {jwks("a"), `"issuer" is missing`},
		"HTML":                       {"<html>", "not strict JSON"},
		"empty":                      {"", "not strict JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			i.set(func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/.well-known/openid-configuration":
					fmt.Fprint(w, test.metadata)
				case "/keys":
					fmt.Fprint(w, jwks("a"))
				default:
					http.NotFound(w, r)
				}
			})
			s := i.keys(t, func(o *Options) {
				o.URL, o.Discovery, o.Issuer = i.URL+"/.well-known/openid-configuration", true, iss
			})
			err := s.Fetch(t.Context())
			if test.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				wantKey(t, s, "a")
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "test-secret") || !strings.Contains(err.Error(), u.Host) {
				t.Errorf("it says %v", err)
			}
			wantUnknown(t, s, "a")
		})
	}
}

func TestErrorsHoldNoSecretOfTheURL(t *testing.T) {
	i := newIssuer(t)
	i.set(http.NotFound)
	u, _ := url.Parse(i.URL)
	closed := httptest.NewServer(nil)
	closed.Close()
	secret := "test-secret-not-for-production"
	for _, address := range []string{
		"http://user:" + secret + "@" + u.Host + "/jwks?key=" + secret + "#" + secret,
		strings.Replace(closed.URL, "//", "//"+secret+"@", 1) + "/jwks?" + secret,
		"http://" + secret + "@" + u.Host + "/%zz" + secret, "http://" + secret + "@/", "ftp://" + secret + "@" + u.Host, secret + ":x", "//" + secret, secret, "",
		"https://" + secret + "@" + u.Host + "/?" + secret, // no TLS there
	} {
		for _, discovery := range []bool{false, true} {
			s := i.keys(t, func(o *Options) { o.URL, o.Discovery = address, discovery })
			err := s.Fetch(t.Context())
			if err == nil || strings.Contains(err.Error(), secret) {
				t.Errorf("it says %v", err)
			}
			if err := wantUnknown(t, s, "a"); strings.Contains(err.Error(), secret) {
				t.Errorf("it says %v", err)
			}
		}
	}
}

func TestPlainErrors(t *testing.T) {
	lookup := &net.DNSError{Err: "read udp 10.0.0.2:40001->10.0.0.1:53: i/o timeout", Name: "idp.partner.example", Server: "10.0.0.1:53", IsTimeout: true}
	reset := &net.OpError{
		Op: "read", Net: "tcp", Err: errors.New("connection reset by peer"),
		Source: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 40001}, Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 3), Port: 443},
	}
	for _, test := range []struct {
		err  error
		want string
	}{
		{lookup, "the host's name cannot be looked up (not found: false, timeout: true)"},
		{&net.OpError{Op: "dial", Net: "tcp", Err: lookup}, "the host's name cannot be looked up (not found: false, timeout: true)"},
		{reset, "read tcp 10.0.0.3:443: connection reset by peer"}, // without a port that is another each time
		{context.DeadlineExceeded, "no whole answer within 5s"},
		{errors.New("malformed HTTP response: test-secret"), "the answer is not of the protocol that the URL names"},
	} {
		err := fmt.Errorf("test: %w", &url.Error{Op: "Get", URL: "https://test-secret@idp.partner.example", Err: test.err})
		if got := plain(err).Error(); got != test.want {
			t.Errorf("%v: it says %s, want %s", test.err, got, test.want)
		}
	}
}

func TestCertificateOfAStranger(t *testing.T) {
	srv := httptest.NewUnstartedServer(writes(jwks("a")))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	defer srv.Close()
	client := NewClient()
	defer client.CloseIdleConnections()
	s := newSet(nil, func(o *Options) { o.URL, o.Client = srv.URL, client })
	if err := s.Fetch(t.Context()); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("it says %v", err)
	}
	wantUnknown(t, s, "a")
	s = newSet(nil, func(o *Options) { o.URL, o.Client = srv.URL, srv.Client() })
	if err := s.Fetch(t.Context()); err != nil {
		t.Error(err)
	}
	wantKey(t, s, "a")
}

// TestClientOfTheOwnerIsNotChanged: the rule for redirects is put on a copy of it.
func TestClientOfTheOwnerIsNotChanged(t *testing.T) {
	client := &http.Client{}
	New(Options{Client: client})
	if client.CheckRedirect != nil {
		t.Error("it has another rule for redirects")
	}
}

func TestSameOrigin(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"https://a.example/x", "https://a.example/y?z", true},
		{"https://a.example", "https://A.Example:443", true},
		{"http://a.example:80", "http://a.example", true},
		{"http://[::1]:8080/x", "http://[::1]:8080", true},
		{"https://a.example", "http://a.example", false},
		{"https://a.example:443", "http://a.example:443", false},
		{"https://a.example", "https://a.example:80", false},
		{"https://a.example", "https://a.example:8443", false},
		{"https://a.example", "https://b.a.example", false},
		{"https://a.example", "https://a.example.", false},
		{"https://a.example", "https://a.example@b.example", false},
		{"https://a.example", "//a.example", false},
		{"https://a.example", "/x", false},
	} {
		a, errA := url.Parse(test.a)
		b, errB := url.Parse(test.b)
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		if sameOrigin(a, b) != test.want || sameOrigin(b, a) != test.want {
			t.Errorf("%s and %s: want %t", a, b, test.want)
		}
	}
}

// TestSlowServer is a server in the bubble of a synctest, at the other end of a pipe.
func TestSlowServer(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"never answers": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"a byte a second": func(w http.ResponseWriter, r *http.Request) {
			for _, b := range []byte(jwks("a", "b")) {
				if _, err := w.Write([]byte{b}); err != nil {
					return
				}
				_ = http.NewResponseController(w).Flush()
				select {
				case <-time.After(time.Second):
				case <-r.Context().Done():
					return
				}
			}
		},
		"redirects that take their time": func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-time.After(2 * time.Second):
			case <-r.Context().Done():
			}
			http.Redirect(w, r, "/jwks", http.StatusFound)
		},
		"metadata, and then nothing": func(w http.ResponseWriter, r *http.Request) {
			wait := 4 * time.Second
			if r.URL.Path == "/keys" {
				wait = 2 * time.Second
			}
			select {
			case <-time.After(wait):
			case <-r.Context().Done():
			}
			fmt.Fprint(w, `{"issuer":"i","jwks_uri":"http://idp.partner.example/keys"}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPipe(writes(jwks("a")))
				defer p.close()
				s := newSet(nil, func(o *Options) { o.URL, o.Client = "http://idp.partner.example/jwks", p.client })
				wantKey(t, s, "a")
				p.client.CloseIdleConnections()
				p.handler = handler
				s.o.Discovery, s.o.Issuer = strings.HasPrefix(name, "metadata"), "i"
				time.Sleep(interval)

				began, asked := time.Now(), make(chan error)
				go func() { asked <- s.Fetch(t.Context()) }()
				synctest.Wait()
				wantKey(t, s, "a")
				wantUnknown(t, s, "b") // it did not see the fetch end
				err := <-asked
				if err == nil || !strings.Contains(err.Error(), "no whole answer within 5s") || time.Since(began) != maxFetch {
					t.Errorf("after %s it says %v", time.Since(began), err)
				}
				wantKey(t, s, "a")
			})
		})
	}
}

// pipe is a server whose connections are in memory, and a client of it.
type pipe struct {
	handler http.HandlerFunc
	server  *http.Server
	client  *http.Client
	wg      sync.WaitGroup
	conns   chan net.Conn
	closed  chan struct{}
}

func newPipe(handler http.HandlerFunc) *pipe {
	p := &pipe{handler: handler, client: NewClient(), conns: make(chan net.Conn), closed: make(chan struct{})}
	p.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.handler(w, r) })}
	p.client.Transport.(*http.Transport).DialContext = func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		p.conns <- theirs
		return ours, nil
	}
	p.wg.Go(func() { _ = p.server.Serve(p) })
	return p
}

func (p *pipe) close() {
	p.client.CloseIdleConnections()
	_ = p.server.Close()
	p.wg.Wait()
}

func (p *pipe) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipe) Close() error   { close(p.closed); return nil }
func (p *pipe) Addr() net.Addr { return &net.TCPAddr{} }
