package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/door/proxy"
	"github.com/passgate/passgate/internal/policytest"
	"github.com/passgate/passgate/internal/problem"
	"github.com/passgate/passgate/internal/sample"
)

// overheard remembers the latest decision. What a door does not show of it, the tables compare all the same.
type overheard struct {
	authz.Decider
	mu     sync.Mutex
	latest *authz.Decision
}

func (o *overheard) Decide(ctx context.Context, r *authz.Request) authz.Decision {
	d := o.Decider.Decide(ctx, r)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.latest = &d
	return d
}

// take returns the latest decision since the last call, nil if there was none.
func (o *overheard) take() *authz.Decision {
	o.mu.Lock()
	defer o.mu.Unlock()
	d := o.latest
	o.latest = nil
	return d
}

// askProxy sends each call over a socket to the proxy as it is served, in front of a sample upstream. Calls that
// cannot be sent are answered as the engine answers them.
func askProxy(t *testing.T, decider authz.Decider, calls []call) []answer {
	t.Helper()
	upstream := httptest.NewServer(sample.Handler())
	defer upstream.Close()
	base, err := url.Parse(upstream.URL)
	if err != nil {
		t.Fatal(err)
	}
	heard := &overheard{Decider: decider}
	handler := proxy.New(proxy.Options{Decider: heard, Upstreams: map[string]*url.URL{"default": base}, Log: slog.New(slog.DiscardHandler)})
	defer handler.CloseIdleConnections()
	addr := serveWeb(t, webHandlers{proxied: handler}, func(*webServer) {})
	return askOverSocket(t, decider, calls, func(c call) answer { return askProxyOnce(t, addr, heard, c) })
}

// askOverSocket has each call sent that can be, and makes sure that the door has judged the table, and not the engine
// in its place.
func askOverSocket(t *testing.T, decider authz.Decider, calls []call, send func(call) answer) []answer {
	t.Helper()
	answers := make([]answer, len(calls))
	sent := 0
	for i, c := range calls {
		if cannotBeSent(c) {
			answers[i] = askEngine(t, decider, c)
			continue
		}
		answers[i] = send(c)
		sent++
	}
	t.Logf("%d of %d calls were sent", sent, len(calls))
	if len(calls) > 100 && sent*10 < len(calls)*9 {
		t.Errorf("%d of %d calls were sent, want nine in ten", sent, len(calls))
	}
	return answers
}

// serveWeb serves these handlers as they are served, until the test ends, and returns the address.
func serveWeb(t *testing.T, handlers webHandlers, prepare func(*webServer)) string {
	t.Helper()
	const maxHead = 64 << 10
	l, err := listenHTTP("127.0.0.1:0", maxHead, nil)
	if err != nil {
		t.Fatal(err)
	}
	server := newWebServer(func() webHandlers { return handlers }, maxHead, slog.New(slog.DiscardHandler))
	prepare(server)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Close()
		<-served
	})
	return l.Addr().String()
}

// sendRaw writes the head of a request as it is, and returns the answer with its body read.
func sendRaw(t *testing.T, addr, method, target string, lines []string) (*http.Response, []byte) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	head := append([]string{method + " " + target + " HTTP/1.1"}, lines...)
	if _, err := io.WriteString(conn, strings.Join(head, "\r\n")+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%s %q: %v", method, target, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, body
}

// askProxyOnce writes a call as it is.
func askProxyOnce(t *testing.T, addr string, heard *overheard, c call) answer {
	t.Helper()
	lines := []string{"Host: " + c.host, "Connection: close"}
	for _, h := range c.headers {
		lines = append(lines, h.Name+": "+h.Value)
	}
	response, body := sendRaw(t, addr, c.method, "/v1/proxy"+c.path, lines)
	d := heard.take()
	if d == nil {
		return refusedByServer(t, c, response)
	}
	a := answer{Answer: policytest.Answer{Status: response.StatusCode, Code: problem.Code(d)}}
	if response.StatusCode == 200 && response.Header.Get("Grpc-Status") == "" {
		return allowedByProxy(t, c, d, a, body)
	}
	if status := response.Header.Get("Grpc-Status"); status != "" { // of a gRPC client, whose outcome is there
		if message, err := url.PathUnescape(response.Header.Get("Grpc-Message")); err == nil {
			a.Status, a.text = problem.Status(d), message
		}
		return a
	}
	a.told = toldBy(func(name string) string { return strings.Join(response.Header.Values(name), " and ") })
	var p struct {
		Status      int
		Code, Error string
	}
	if c.method != http.MethodHead {
		if err := json.Unmarshal(body, &p); err != nil || p.Status != a.Status || p.Code != a.Code {
			t.Errorf("%s %q: body %s beside %d %s", c.method, c.path, body, a.Status, a.Code)
		}
		a.text = p.Error
	} else {
		a.text = problem.Of(d).Text
	}
	return a
}

// refusedByServer is the answer of Go's server to what the engine is not even asked about.
func refusedByServer(t *testing.T, c call, response *http.Response) answer {
	t.Helper()
	if response.StatusCode != http.StatusBadRequest || response.Header.Get("Content-Type") == problem.ContentType {
		t.Errorf("%s %q: %d without a decision", c.method, c.path, response.StatusCode)
	}
	// Whatever was wrong with it, the table has it as one of the two.
	reason := authz.ReasonPathAmbiguous
	if strings.ContainsAny(c.host, ", /\\@") {
		reason = authz.ReasonHostAmbiguous
	}
	p := problem.Of(&authz.Decision{Reason: reason})
	return answer{Answer: policytest.Answer{Status: p.Status, Code: p.Code}, text: p.Text}
}

// allowedByProxy reads what the upstream has seen.
func allowedByProxy(t *testing.T, c call, d *authz.Decision, a answer, body []byte) answer {
	t.Helper()
	a.service, a.user = d.Rule.Service, userOf(d)
	if c.method == http.MethodHead { // the upstream's account of it is a body
		a.Headers = append(a.Headers, d.Stamp.Set...)
		return a
	}
	var seen sample.Seen
	if err := json.Unmarshal(body, &seen); err != nil {
		t.Fatalf("%s %q: %v in %s", c.method, c.path, err, body)
	}
	// What is no URI as it came is sent as one.
	if seen.Method != c.method || seen.URI != strings.NewReplacer("é", "%C3%A9", "#", "%23").Replace(c.path) {
		t.Errorf("%s %q arrived as %s %q", c.method, c.path, seen.Method, seen.URI)
	}
	for _, line := range seen.Headers {
		name, value, _ := strings.Cut(line, ": ")
		a.Headers = append(a.Headers, authz.Header{Name: name, Value: value})
	}
	slices.SortFunc(a.Headers, func(x, y authz.Header) int { return strings.Compare(x.Name, y.Name) })
	return a
}

// userOf returns the principal of a decision, nil without one.
func userOf(d *authz.Decision) *user {
	if d.Identity == nil {
		return nil
	}
	return &user{d.Identity.UserID, strings.Join(d.Identity.Roles, ","), append([]string{}, d.Identity.Permissions...)}
}

// cannotBeSent reports whether no HTTP client can make a call: it has a context, which is Envoy's to give, or lacks a
// part, or its path is none behind another.
func cannotBeSent(c call) bool {
	return len(c.context) > 0 || c.method == "" || c.host == "" || !strings.HasPrefix(c.path, "/")
}

// askEngine answers a call as a door would that changes nothing of it.
func askEngine(t *testing.T, decider authz.Decider, c call) answer {
	t.Helper()
	r := &authz.Request{Method: c.method, Host: c.host, Headers: c.headers, Context: c.context}
	r.Path, _, _ = strings.Cut(c.path, "?")
	d := decider.Decide(t.Context(), r)
	a := answer{Answer: policytest.Answer{Status: problem.Status(&d), Code: problem.Code(&d)}}
	if !d.Allowed() {
		a.text = problem.Of(&d).Text
		return a
	}
	a.service, a.user = d.Rule.Service, userOf(&d)
	a.Headers = slices.DeleteFunc(slices.Clone(c.headers), func(h authz.Header) bool {
		return slices.ContainsFunc(d.Remove, func(name string) bool { return strings.EqualFold(name, h.Name) }) ||
			slices.ContainsFunc(d.Stamp.Set, func(set authz.Header) bool { return strings.EqualFold(set.Name, h.Name) })
	})
	a.Headers = append(a.Headers, d.Stamp.Set...)
	return a
}
