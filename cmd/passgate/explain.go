package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"strings"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/door/proxy"
	"github.com/passgate/passgate/internal/problem"
	"github.com/passgate/passgate/internal/terminal"
)

type explainCommand struct {
	configFlag
	Method  string            `default:"GET" help:"Request method."`
	Path    string            `help:"Request path; a query is cut off."`
	Host    string            `default:"localhost" help:"Request host."`
	Header  []string          `short:"H" sep:"none" placeholder:"'NAME: VALUE'" help:"Request header; may be repeated."`
	Token   string            `help:"Sent as Authorization: Bearer TOKEN; - reads it from standard input, where no process list shows it."`
	Require string            `placeholder:"PERMISSION,..." help:"Permissions that Envoy's route asks for (required_permission in context_extensions)."`
	Context map[string]string `placeholder:"NAME=VALUE" mapsep:"none" help:"What else Envoy's route says in context_extensions, for when; may be repeated."`
	Log     string            `placeholder:"FILE" help:"In place of a request: explain the denials whose lines of passgate's log are in FILE, - for standard input."`
	JSON    bool              `name:"json" help:"Print the explanation as JSON."`
}

// explanation is the answer of explain --json.
type explanation struct {
	Decision  string       `json:"decision"` // allow or deny
	Status    int          `json:"status"`
	Code      string       `json:"code"`
	Error     string       `json:"error,omitempty"` // what the client is shown
	Cause     string       `json:"cause,omitempty"` // what failed
	Route     string       `json:"route"`
	Service   string       `json:"service,omitempty"`
	RequestID string       `json:"request_id"`
	Principal *principal   `json:"principal,omitempty"` // who was proven
	Required  []string     `json:"required,omitempty"`  // permissions
	Steps     []authz.Step `json:"steps"`
	Set       []string     `json:"set,omitempty"`    // headers that the upstream gets, as NAME: VALUE
	Remove    []string     `json:"remove,omitempty"` // client headers that it does not get
}

// principal is who was proven, as explain --json tells it.
type principal struct {
	Source      string   `json:"source"`
	Issuer      string   `json:"issuer"`
	UserID      string   `json:"user_id"`
	Roles       []string `json:"roles"`
	Permissions []string `json:"permissions"`
}

func (c *explainCommand) Run(ctx context.Context, p *program) error {
	switch {
	case c.Path == "" && c.Log == "":
		return usagef("--path: is missing; write the path of the request, or --log for lines of the log")
	case c.Log != "" && (c.Path != "" || c.Token != "" || len(c.Header) > 0 || c.Require != "" || len(c.Context) > 0):
		return usagef("--log: replaces the request; drop --path, --token, -H, --require and --context")
	}
	cfg, err := c.loadOrDefault(p)
	if err != nil {
		return err
	}
	if c.Log != "" {
		return c.explainLog(ctx, p, cfg)
	}
	r, err := c.request(p, cfg.Proxy != nil)
	if err != nil {
		return err
	}
	from, err := p.commandSources(ctx, cfg)
	if err != nil {
		return err
	}
	d := newEngine(cfg, from, p.now).Decide(ctx, r)
	return c.print(p, &d, r.Trace)
}

// print explains a decision. Its error is errNo for a denial.
func (c *explainCommand) print(p *program, d *authz.Decision, trace *authz.Trace) error {
	e := explain(d, trace)
	var err error
	if c.JSON {
		err = printJSON(p.stdout, e)
	} else {
		_, err = io.WriteString(p.stdout, e.text())
	}
	switch {
	case err != nil:
		return err
	case d.Allowed():
		return nil
	case d.Reason == authz.ReasonUnavailable:
		cause, _, _ := strings.Cut(d.Cause, "\n") // of a panic, the stack follows
		return usagef("could not decide: %s", cause)
	}
	return errNo
}

// request returns the request of the flags. With proxied, a path of the built-in proxy is what that would judge.
func (c *explainCommand) request(p *program, proxied bool) (*authz.Request, error) {
	r := &authz.Request{Method: c.Method, Host: c.Host, Context: map[string]string{}, Trace: &authz.Trace{}}
	maps.Copy(r.Context, c.Context)
	if c.Require != "" {
		r.Context[authz.RequiredPermission] += "," + c.Require
	}
	r.Path, _, _ = strings.Cut(c.Path, "?")
	if judged, ok := strings.CutPrefix(r.Path, proxy.Prefix); ok && proxied {
		r.Path = "/" + judged
		r.Trace.Add("proxy", "judges", r.Path)
	}
	for i, line := range c.Header {
		name, value, ok := strings.Cut(line, ":")
		if !ok || name == "" || strings.ContainsAny(name, " \t") {
			// The line is not shown: it may hold a credential.
			return nil, usagef("-H number %d: write it as 'Name: value'", i+1)
		}
		r.Headers = append(r.Headers, authz.Header{Name: name, Value: strings.Trim(value, " \t")})
	}
	token, err := p.secretArgument(c.Token)
	if token != "" {
		r.Headers = append(r.Headers, authz.Header{Name: "Authorization", Value: "Bearer " + token})
	}
	return r, err
}

// explain gathers all that is known of a decision. It holds no secret: tokens are never part of one.
func explain(d *authz.Decision, trace *authz.Trace) explanation {
	e := explanation{
		Decision: "deny", Status: problem.Status(d), Code: problem.Code(d), Cause: d.Cause,
		Route: d.Rule.Route, Service: d.Rule.Service, RequestID: d.RequestID, Required: d.Required, Steps: trace.Steps, Remove: d.Remove,
	}
	if id := d.Identity; id != nil {
		e.Principal = &principal{id.Source, id.Issuer, id.UserID, id.Roles, id.Permissions}
	}
	if !d.Allowed() {
		e.Error = problem.Of(d).Text
		return e
	}
	e.Decision = "allow"
	for _, h := range d.Stamp.Set {
		e.Set = append(e.Set, h.Name+": "+h.Value)
	}
	return e
}

// text is for a terminal. Paths, claims and causes are a stranger's: none begins a line of its own.
func (e explanation) text() string {
	var b strings.Builder
	for _, s := range e.Steps {
		b.WriteString(terminal.Line(s.String()) + "\n")
	}
	result := fmt.Sprintf("%s %d %s", strings.ToUpper(e.Decision), e.Status, e.Code)
	if e.Error != "" {
		result += ": " + e.Error
	}
	b.WriteString("\n" + terminal.Line(result) + "\n")
	if e.Error != "" {
		b.WriteString("  " + strings.ReplaceAll(terminal.Text(e.Cause), "\n", "\n  ") + "\n")
	}
	for _, h := range e.Set {
		b.WriteString("  " + terminal.Line(h) + "\n")
	}
	return b.String()
}
