// Package policytest runs policy test files: requests, and the decisions that are expected of them.
//
// A file is the readable form of a policy's meaning. Here is one test:
//
//	tests:
//	  - name: a reader may not delete
//	    request:
//	      method: DELETE
//	      path: /api/users/1
//	      token: {sub: ann, permissions: [read]}
//	    expect:
//	      status: 403
//	      code: insufficient_permissions
//
// A token given as claims is signed with a key that stands in for its issuer's, for the run alone. What introspection
// servers say of opaque tokens is in the file, too: no server is asked.
//
//	tokens:
//	  idp_ann: {sub: ann, scope: read}
//	  idp_down: unavailable
//
// An API key is named, as api_key: ci, and a key that stands in for that of the entry is sent: a file holds none.
package policytest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/identity"
	"github.com/passgate/passgate/internal/problem"
	"github.com/passgate/passgate/internal/yamlstrict"
)

// File is what a policy test file holds.
type File struct {
	Name  string
	Tests []Test
	// Tokens are the opaque tokens that are known, with what a server says of each (RFC 7662 §2.2): members of its
	// answer, "active" true if absent, or [Unavailable]. Of any other token it says that it is not active.
	Tokens map[string]any
}

// Unavailable stands for a server that gives no answer about a token.
const Unavailable = "unavailable"

// Answer returns what a server says of an opaque token. An error says that there is no answer.
func (f *File) Answer(token string) ([]byte, error) {
	switch said := f.Tokens[token].(type) {
	case nil:
		return []byte(`{"active":false}`), nil
	case map[string]any:
		answer := map[string]any{"active": true}
		maps.Copy(answer, said)
		return json.Marshal(answer)
	}
	return nil, errors.New("the test has the server give no answer")
}

// UseAPIKeys has every request that names an API key send the one that keyOf returns for it.
func (f *File) UseAPIKeys(keyOf func(name string) (key string, ok bool)) error {
	var faults yamlstrict.Faults
	for i := range f.Tests {
		t := &f.Tests[i]
		if t.Request.APIKey == "" {
			continue
		}
		key, ok := keyOf(t.Request.APIKey)
		if !ok {
			faults = append(faults, &yamlstrict.Fault{File: f.Name, Pos: yamlstrict.Pos{Line: t.Line, Column: 1}, Field: fmt.Sprintf("tests[%d].request.api_key", i), Text: "the configuration has no API key of this name"})
			continue
		}
		headers := map[string]any{"Authorization": "ApiKey " + key}
		maps.Copy(headers, t.Request.Headers)
		t.Request.Headers = headers
	}
	if len(faults) > 0 {
		return faults
	}
	return nil
}

// Test is one request and what is expected of it.
type Test struct {
	Name    string  `yaml:"name" required:"true"`
	Request Request `yaml:"request" required:"true"`
	Expect  Expect  `yaml:"expect" required:"true"`

	Line int // in its file
}

// Request is a request as a client and Envoy make it.
type Request struct {
	Method  string            `yaml:"method"` // GET if absent
	Host    string            `yaml:"host"`   // localhost if absent
	Path    string            `yaml:"path" required:"true"`
	Headers map[string]any    `yaml:"headers"` // a string, or a list of strings for repeats
	Context map[string]string `yaml:"context"` // Envoy's context_extensions
	Token   any               `yaml:"token"`   // claims, or a token as it is
	APIKey  string            `yaml:"api_key"` // name of an entry; a key that stands in for its own is sent
}

// Expect is what is expected of the decision. What is absent is not compared.
type Expect struct {
	Status  int               `yaml:"status" required:"true"`
	Code    string            `yaml:"code"`
	Headers map[string]string `yaml:"headers"` // of the request that the upstream gets, repeats joined by ", "; "" for one that it must not get
}

// Load reads a policy test file. Its errors are of the type [yamlstrict.Faults].
func Load(file string) (*File, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, yamlstrict.Faults{{File: file, Text: "cannot be read: " + err.Error(), Err: err}}
	}
	var content struct {
		Tests  []Test         `yaml:"tests" required:"true" nonempty:"true"`
		Tokens map[string]any `yaml:"tokens"`
	}
	doc := yamlstrict.Read(file, data, nil, &content)
	for i := range content.Tests {
		t, at := &content.Tests[i], fmt.Sprintf("tests[%d]", i)
		t.Line = doc.Pos(at).Line
		if _, err := lines(t.Request.Headers); err != nil && doc.Sound(at+".request.headers") {
			doc.Fault(at+".request.headers", "%v", err)
		}
		if err := t.Request.judgeToken(); err != nil {
			doc.Fault(at+".request.token", "%v", err)
		}
		t.judgeSlips(doc, at)
	}
	for token, answer := range content.Tokens {
		if _, ok := answer.(map[string]any); !ok && answer != Unavailable {
			doc.Fault(yamlstrict.Join("tokens", token), "want what the server answers, such as {sub: ann, scope: read}, or %s", Unavailable)
		}
	}
	if err := doc.Err(); err != nil {
		return nil, err
	}
	return &File{file, content.Tests, content.Tokens}, nil
}

// codes are the words that expect.code may be.
var codes = problem.Codes()

// judgeSlips adds the faults of what could be read, and cannot be meant.
func (t Test) judgeSlips(doc *yamlstrict.Document, at string) {
	if code := t.Expect.Code; code != "" && !slices.Contains(codes, code) {
		field := at + ".expect.code"
		if near := yamlstrict.Nearest(code, codes); near != "" {
			doc.Fault(field, "no decision has this code; did you mean %s?", near)
		} else {
			doc.Fault(field, "no decision has this code; the codes are %s", strings.Join(codes, ", "))
		}
	}
	claims, _ := t.Request.Token.(map[string]any)
	for _, claim := range []string{"exp", "nbf", "iat"} {
		text, _ := claims[claim].(string)
		if _, err := time.ParseDuration(text); err == nil && strings.ContainsAny(text, "hms") {
			doc.Fault(at+".request.token."+claim, "want seconds since 1970, such as 4102444800; left out, exp is an hour ahead")
		}
	}
	sent := slices.AppendSeq(identity.Names(), maps.Keys(t.Request.Headers))
	if t.Request.Token != nil || t.Request.APIKey != "" {
		sent = append(sent, "Authorization")
	}
	for name, value := range t.Expect.Headers {
		if value == "" && !slices.ContainsFunc(sent, func(s string) bool { return strings.EqualFold(s, name) }) {
			field, text := yamlstrict.Join(at+".expect.headers", name), "the request has no such header, so this proves nothing"
			if near := yamlstrict.Nearest(name, identity.Names()); near != "" {
				text += "; did you mean " + near + "?"
			}
			doc.Fault(field, "%s", text)
		}
	}
	for name := range t.Request.Context { // any name is good for a condition, but not a slip of this one
		near := yamlstrict.Nearest(name, []string{authz.RequiredPermission})
		if near != "" && near != name && strings.Contains(strings.ToLower(name), "perm") {
			doc.Fault(yamlstrict.Join(at+".request.context", name), "asks for no permission; did you mean %s?", near)
		}
	}
}

// Minter signs claims for the issuer that they name, or for the first one.
type Minter func(claims map[string]any) (token string, err error)

// Result is what came of one test.
type Result struct {
	Test     Test
	Failures []string // a line for each difference; none: passed
	Trace    *authz.Trace
	Cause    string
}

// Run decides the request of a test and compares.
func (t Test) Run(ctx context.Context, decider authz.Decider, mint Minter) Result {
	result := Result{Test: t, Trace: &authz.Trace{}}
	r, err := t.Request.Authz(mint)
	if err != nil {
		result.Failures = []string{err.Error()}
		return result
	}
	r.Trace = result.Trace
	d := decider.Decide(ctx, r)
	result.Cause = d.Cause
	got := Answer{Status: problem.Status(&d), Code: problem.Code(&d)}
	if d.Allowed() {
		got.Headers = upstream(r.Headers, &d)
	}
	result.Failures = got.Compare(t.Expect)
	return result
}

// Authz returns the request in the engine's form.
func (q Request) Authz(mint Minter) (*authz.Request, error) {
	headers, err := q.Lines(mint)
	if err != nil {
		return nil, err
	}
	r := &authz.Request{
		Method:  q.Method,
		Host:    q.Host,
		Headers: headers,
		Context: q.Context,
	}
	r.Path, _, _ = strings.Cut(q.Path, "?")
	if r.Method == "" {
		r.Method = "GET"
	}
	if r.Host == "" {
		r.Host = "localhost"
	}
	return r, nil
}

// Lines returns the header lines of the request, its token among them.
func (q Request) Lines(mint Minter) ([]authz.Header, error) {
	headers, err := lines(q.Headers)
	if err != nil {
		return nil, err
	}
	if err := q.judgeToken(); err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	token, written := q.Token.(string)
	if claims, ok := q.Token.(map[string]any); ok {
		if token, err = mint(claims); err != nil {
			return nil, fmt.Errorf("token: %w", err)
		}
		written = true
	}
	if !written {
		return headers, nil
	}
	return append(headers, authz.Header{Name: "Authorization", Value: "Bearer " + token}), nil
}

// judgeToken refuses a token that is neither absent nor of a type that can be sent.
func (q Request) judgeToken() error {
	switch q.Token.(type) {
	case nil, string, map[string]any:
		return nil
	}
	return errors.New("want claims or a string; quote the value")
}

// lines returns headers as lines, in the order of their names.
func lines(headers map[string]any) ([]authz.Header, error) {
	var all []authz.Header
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		values, ok := headers[name].([]any)
		if !ok {
			values = []any{headers[name]}
		}
		for _, v := range values {
			s, ok := v.(string)
			if !ok {
				return nil, fmt.Errorf("%q: want a string or a list of strings; quote the value", name)
			}
			all = append(all, authz.Header{Name: name, Value: s})
		}
	}
	return all, nil
}

// upstream returns the header lines that the upstream gets of an allowed request. As in Envoy, what is set
// replaces the client's, and what is both set and removed is removed.
func upstream(client []authz.Header, d *authz.Decision) []authz.Header {
	got := slices.DeleteFunc(slices.Clone(client), func(h authz.Header) bool {
		return slices.ContainsFunc(d.Stamp.Set, func(s authz.Header) bool { return strings.EqualFold(s.Name, h.Name) })
	})
	return slices.DeleteFunc(append(got, d.Stamp.Set...), func(h authz.Header) bool {
		return slices.ContainsFunc(d.Remove, func(name string) bool { return strings.EqualFold(name, h.Name) })
	})
}

// Answer is what a door made of a decision.
type Answer struct {
	Status  int
	Code    string
	Headers []authz.Header // that the upstream gets
}

// Compare returns a line for each difference from what is expected.
func (a Answer) Compare(e Expect) []string {
	var failures []string
	fail := func(field string, got, want any) {
		failures = append(failures, fmt.Sprintf("%s: got %v, want %v", field, got, want))
	}
	if a.Status != e.Status {
		fail("status", a.Status, e.Status)
	}
	if e.Code != "" && a.Code != e.Code {
		fail("code", a.Code, e.Code)
	}
	for _, name := range slices.Sorted(maps.Keys(e.Headers)) {
		var got []string
		for _, h := range a.Headers {
			if strings.EqualFold(h.Name, name) {
				got = append(got, h.Value)
			}
		}
		if g, want := strings.Join(got, ", "), e.Headers[name]; g != want {
			fail("headers."+name, fmt.Sprintf("%q", g), fmt.Sprintf("%q", want))
		}
	}
	return failures
}
