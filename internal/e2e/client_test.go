package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// response is what a client got.
type response struct {
	status  int
	header  http.Header
	body    string
	trailer http.Header // of HTTP/2
	reset   bool        // the HTTP/2 stream was reset
}

// send writes a request over HTTP/1.1 as it is given and returns the answer. The request line and the header
// lines come without their ends.
func send(t *testing.T, addr, requestLine string, headers ...string) response {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	lines := append([]string{requestLine}, headers...)
	if !slices.ContainsFunc(headers, func(h string) bool { return strings.HasPrefix(h, "Host:") }) {
		lines = append(lines, "Host: api.example.com")
	}
	if _, err := io.WriteString(conn, strings.Join(lines, "\r\n")+"\r\n\r\n"); err != nil {
		t.Fatalf("%s: %v", requestLine, err)
	}
	method, _, _ := strings.Cut(requestLine, " ")
	answer, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%s: no answer: %v", requestLine, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusSwitchingProtocols {
		return response{status: answer.StatusCode, header: answer.Header}
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatalf("%s: answer cut short: %v", requestLine, err)
	}
	return response{status: answer.StatusCode, header: answer.Header, body: string(body)}
}

// get sends a GET of a path, byte for byte.
func get(t *testing.T, addr, path string, headers ...string) response {
	t.Helper()
	return send(t, addr, "GET "+path+" HTTP/1.1", headers...)
}

// fetch is a plain GET of what needs no raw socket: admin and operations ports.
func fetch(url string) (status int, body string, err error) {
	client := http.Client{Timeout: 2 * time.Second}
	answer, err := client.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(b), err
}

// problemBody is the body of a denial (RFC 9457).
type problemBody struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail"`
	Code      string `json:"code"`
	Error     string `json:"error"`
	RequestID string `json:"request_id"`
}

// problem returns the body of a denial by passgate.
func (r response) problem() (problemBody, error) {
	var p problemBody
	if got := r.header.Get("Content-Type"); got != "application/problem+json" {
		return p, fmt.Errorf("content type %q, want application/problem+json", got)
	}
	if err := json.Unmarshal([]byte(r.body), &p); err != nil {
		return p, fmt.Errorf("body %q: %v", r.body, err)
	}
	return p, nil
}

// mustDeny fails the test unless the answer is passgate's denial with this status and code.
func (r response) mustDeny(t *testing.T, what string, status int, code string) {
	t.Helper()
	p, err := r.problem()
	switch {
	case r.status != status:
		t.Errorf("%s: status %d, want %d (%s); body %q", what, r.status, status, code, r.body)
	case err != nil:
		t.Errorf("%s: %v", what, err)
	case p.Status != status || p.Code != code:
		t.Errorf("%s: body says %d %s, want %d %s", what, p.Status, p.Code, status, code)
	}
}
