package main

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/door/httpauthz"
	"github.com/passgate/passgate/internal/policytest"
	"github.com/passgate/passgate/internal/problem"
)

// askHTTPAuthz asks about each call over a socket as Envoy's http_service does, and does with the answer what Envoy
// does by envoy/http_service.yaml. Calls that cannot be sent are answered as the engine answers them: this door is
// told no context.
func askHTTPAuthz(t *testing.T, decider authz.Decider, calls []call) []answer {
	t.Helper()
	heard := &overheard{Decider: decider}
	handler := httpauthz.New(httpauthz.Options{Decider: heard, Log: slog.New(slog.DiscardHandler)})
	addr := serveWeb(t, webHandlers{own: handler}, func(s *webServer) { s.DisableGeneralOptionsHandler = true })
	return askOverSocket(t, decider, calls, func(c call) answer { return askHTTPAuthzOnce(t, addr, heard, c) })
}

func askHTTPAuthzOnce(t *testing.T, addr string, heard *overheard, c call) answer {
	t.Helper()
	lines := []string{"Host: " + c.host, "Content-Length: 0"}
	for _, h := range wireLines(c) {
		if !strings.HasPrefix(h.Name, ":") {
			lines = append(lines, h.Name+": "+h.Value)
		}
	}
	response, body := sendRaw(t, addr, c.method, httpauthz.Prefix+c.path, lines)
	d := heard.take()
	if d == nil {
		return refusedByServer(t, c, response)
	}
	a := answer{Answer: policytest.Answer{Status: response.StatusCode, Code: problem.Code(d)}}
	if d.Allowed() != (response.StatusCode == http.StatusOK) {
		t.Errorf("%s %q: %d beside the decision %s", c.method, c.path, response.StatusCode, a.Code)
	}
	if response.StatusCode == http.StatusOK {
		a.Headers = upstreamOfHTTPAuthz(t, c.headers, response.Header)
		a.service, a.user = d.Rule.Service, userOf(d)
		return a
	}
	if response.StatusCode < 400 || response.StatusCode > 599 {
		t.Errorf("%s %q: %d is no denial to Envoy", c.method, c.path, response.StatusCode)
	}
	a.text, a.told = string(body), toldBy(func(name string) string { return strings.Join(response.Header.Values(name), " and ") })
	switch {
	case c.method == http.MethodHead:
		a.text = problem.Of(d).Text
	case response.Header.Get("Content-Type") == problem.ContentType:
		var p struct {
			Status      int
			Code, Error string
			RequestID   string `json:"request_id"`
		}
		if err := json.Unmarshal(body, &p); err != nil || p.Status != a.Status || p.Code != a.Code || p.RequestID != envoyRequestID {
			t.Errorf("%s %q: body %s beside %d %s", c.method, c.path, body, a.Status, a.Code)
		}
		a.text = p.Error
	}
	return a
}

// upstreamOfHTTPAuthz does to a client's lines what Envoy does by an answer over HTTP: it sets those of
// allowed_upstream_headers, then it removes.
func upstreamOfHTTPAuthz(t *testing.T, client []authz.Header, told http.Header) []authz.Header {
	t.Helper()
	lines := slices.Clone(client)
	remove := func(name string) {
		lines = slices.DeleteFunc(lines, func(h authz.Header) bool { return strings.EqualFold(h.Name, name) })
	}
	for name, values := range told {
		lower := strings.ToLower(name)
		if !strings.HasPrefix(lower, "x-user-") && !strings.HasPrefix(lower, "x-passport") && lower != "x-proxy-state" {
			continue
		}
		if len(values) != 1 {
			t.Errorf("%s is told %d times", name, len(values))
		}
		remove(name)
		lines = append(lines, authz.Header{Name: name, Value: values[0]})
	}
	for _, list := range told["X-Envoy-Auth-Headers-To-Remove"] {
		for name := range strings.SplitSeq(list, ",") {
			remove(name)
		}
	}
	return lines
}
