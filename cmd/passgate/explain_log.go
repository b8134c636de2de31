package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/config"
	"github.com/passgate/passgate/internal/problem"
)

// loggedDecision is a line of passgate's log about a denial. It has who was proven, but no credential and no
// header: what came of those is taken from the line, and all else is decided anew.
type loggedDecision struct {
	Time      time.Time `json:"time"`
	Message   string    `json:"msg"`
	RequestID string    `json:"request_id"`
	Door      string    `json:"door"`
	Decision  string    `json:"decision"`
	Status    int       `json:"status"`
	Code      string    `json:"code"`
	Service   string    `json:"service"`
	Cause     string    `json:"cause"`
	Method    string    `json:"method"`
	Host      string    `json:"host"`
	Path      string    `json:"path"`
	Requires  []string  `json:"context_requires"`
	principal
}

// maxLogLine is the longest line of a log that is read, in bytes.
const maxLogLine = 1 << 20

// explainLog explains each denial whose line is in the log.
func (c *explainCommand) explainLog(ctx context.Context, p *program, cfg *config.Config) error {
	in := p.stdin
	if c.Log != "-" {
		f, err := os.Open(c.Log)
		if err != nil {
			return usagef("--log: %w", err)
		}
		defer f.Close()
		in = f
	}
	denials, err := readDenials(in)
	if err != nil {
		return err
	}
	var failed error // by a decision that could not be made; the others are explained all the same
	for i, line := range denials {
		if i > 0 && !c.JSON {
			fmt.Fprintln(p.stdout)
		}
		r := line.request()
		d := line.engine(cfg, p.now).Decide(ctx, r)
		if problem.Code(&d) != line.Code {
			r.Trace.Add("log", "differs", "the configuration has changed since, or the decision depended on something that is not logged")
		}
		err = c.print(p, &d, r.Trace)
		var usage usageError
		switch {
		case errors.As(err, &usage):
			failed = err
		case err != nil && !errors.Is(err, errNo):
			return err
		}
	}
	return cmp.Or(failed, err)
}

// readDenials returns the denials among the lines of a log.
func readDenials(in io.Reader) ([]*loggedDecision, error) {
	var denials []*loggedDecision
	allowed, calls := 0, 0
	lines := bufio.NewReaderSize(in, maxLogLine)
	for {
		line, tooLong, err := lines.ReadLine()
		text := line[max(0, bytes.IndexByte(line, '{')):] // what a collector has put before the line is not read
		d := &loggedDecision{}
		if json.Unmarshal(text, d) == nil {
			switch {
			case d.Message == "account":
				calls++
			case d.Message == "decision" && d.Decision == "allow":
				allowed++
			case d.Message == "decision":
				denials = append(denials, d)
			}
		}
		for tooLong && err == nil { // no line of ours, so its rest is none either
			_, tooLong, err = lines.ReadLine()
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, usagef("--log: %w", err)
		}
	}
	switch {
	case len(denials) == 0 && allowed > 0:
		return nil, usagef("--log: the request was allowed; only denials are logged with what it takes to repeat them")
	case len(denials) == 0 && calls > 0:
		return nil, usagef("--log: this is a call of the account API, which no decision is about; its line has the code")
	case len(denials) == 0:
		return nil, usagef("--log: there is no line of a decision; grep passgate's log for the request_id that the client was shown")
	}
	return denials, nil
}

// request returns the request of the line, with a credential where one was looked at.
func (l *loggedDecision) request() *authz.Request {
	r := &authz.Request{Method: l.Method, Host: l.Host, Path: l.Path, Trace: &authz.Trace{}}
	r.Context = map[string]string{authz.RequiredPermission: strings.Join(l.Requires, ",")}
	if l.Code == problem.CodeOf(authz.ReasonNoService) {
		r.Reaches = func(service string) bool { return service != l.Service } // another one may be reached
	}
	if l.Code == problem.CodeOf(authz.ReasonPathAmbiguous) && !strings.HasPrefix(l.Cause, "path: ") {
		r.Malformed = l.Cause // it was the door that could not read the path
	}
	r.Headers = append(r.Headers, authz.Header{Name: "X-Request-ID", Value: l.RequestID})
	r.Trace.Add("log", "read", fmt.Sprintf("%s: %d %s, %s", l.Time.Format(time.RFC3339), l.Status, l.Code, l.Cause))
	if strings.HasSuffix(l.Path, "…") || strings.HasSuffix(l.Method, "…") || strings.HasSuffix(l.Host, "…") {
		r.Trace.Add("log", "cut", "the method, host or path was longer than the log keeps: what follows is not judged here")
	}
	credential := authz.Header{Name: "Authorization", Value: "Bearer that.was.logged"}
	switch l.Code {
	case problem.CodeOf(authz.ReasonCredentialsMultiple):
		r.Headers = append(r.Headers, credential, credential)
	case problem.CodeOf(authz.ReasonCredentialExpired), problem.CodeOf(authz.ReasonCredentialInvalid), problem.CodeOf(authz.ReasonUnavailable):
		r.Headers = append(r.Headers, credential)
	default:
		if l.UserID != "" {
			r.Headers = append(r.Headers, credential)
		}
	}
	return r
}

// engine returns the engine of a configuration in which the line stands for what it does not hold: the
// credential, and what the condition looked at.
func (l *loggedDecision) engine(cfg *config.Config, now func() time.Time) *authz.Engine {
	var routes authz.Policy = cfg.Policy
	if l.Door == accountsDoor && cfg.Accounts != nil { // which asks what it asks of everyone, whatever the routes are
		routes = accountPolicy(cfg)
	}
	return authz.New(authz.Options{
		Policy:    loggedPolicy{routes, l},
		Verifiers: map[authz.Kind]authz.Verifier{authz.KindJWT: l},
		Stamper:   cfg.Stamper,
		Now:       now,
		NewID:     func() string { return l.RequestID },
	})
}

// Verify implements [authz.Verifier] with what the line says of the credential.
func (l *loggedDecision) Verify(context.Context, authz.Credential, time.Time) (*authz.Identity, error) {
	switch {
	case l.UserID != "":
		return &authz.Identity{Principal: authz.Principal{
			Source: l.Source, Issuer: l.Issuer, UserID: l.UserID, Roles: l.Roles, Permissions: l.Permissions,
		}}, nil
	case l.Code == problem.CodeOf(authz.ReasonCredentialExpired):
		return nil, loggedError{l.Cause, &authz.ExpiredError{}}
	case l.Code == problem.CodeOf(authz.ReasonCredentialInvalid):
		return nil, loggedError{l.Cause, authz.ErrCredentialInvalid}
	}
	return nil, errors.New(l.Cause)
}

// loggedError is an error of a kind, in the words of the log.
type loggedError struct {
	cause string
	kind  error
}

func (e loggedError) Error() string { return e.cause + " (as logged)" }
func (e loggedError) Unwrap() error { return e.kind }

// loggedPolicy is the policy of a configuration, with conditions that answer as they did.
type loggedPolicy struct {
	authz.Policy
	line *loggedDecision
}

// Match implements [authz.Policy].
func (p loggedPolicy) Match(r *authz.Request) (authz.Rule, authz.Reason, string) {
	rule, reason, why := p.Policy.Match(r)
	if rule.When != nil {
		rule.When = p.line.when
	}
	if p.line.UserID == "" {
		rule.Sources = nil // whose credential it was is not logged; the cause says if it was refused for that
	}
	return rule, reason, why
}

// when is the condition of the line's route: it looked at headers and claims, which are not logged.
func (l *loggedDecision) when(context.Context, *authz.Principal) (bool, string, error) {
	if compared, isFalse := strings.CutPrefix(l.Cause, authz.CauseWhenFalse); isFalse {
		return false, compared + " (as logged)", nil
	}
	if text, fails := strings.CutPrefix(l.Cause, authz.CauseWhenFails); fails {
		return false, "", errors.New(text + " (as logged)")
	}
	return true, "", nil
}
