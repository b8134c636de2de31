package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/passgate/passgate/internal/account"
	"github.com/passgate/passgate/passport"
)

// tourStep is one request of the tour and what must come of it.
type tourStep struct {
	title   string
	address string // "": Envoy's
	method  string
	path    string
	headers []string   // "Name: value"
	body    string     // JSON, "" for none
	token   *demoToken // nil: none
	status  int
	want    []string // parts of the answer
	wantNot []string
	header  string     // "Name: value" of the answer, "" for any
	gives   *demoToken // takes the token that the answer holds
	again   *tourStep  // whose answer this one is, byte for byte

	answer []byte
}

// demoToken is a token that is shown by its name once it was printed.
type demoToken struct {
	name, value string
	header      string // what stands before it in a request, "" for that of a bearer token
}

// line returns the header that carries value, the token or what stands for it.
func (t *demoToken) line(value string) string {
	if t.header == "" {
		return "Authorization: Bearer " + value
	}
	return t.header + value
}

// tour walks through the steps and prints each with its real answer. The error is errNo if an answer is
// not the expected one.
func (d *demo) tour(ctx context.Context) error {
	steps, err := d.steps()
	if err != nil {
		return err
	}
	if !waitForPort(ctx, demoUpstream) {
		return ctx.Err()
	}
	if err := waitForCheck(ctx); err != nil {
		return err
	}
	d.printf("passgate stands behind Envoy on http://%s; the upstream answers with what it was sent.\nTwo tokens and an API key, for the lines below:\n\n", demoEnvoy)
	for _, t := range d.tokens {
		d.printf("%s=%s\n", t.name, t.value)
	}
	failed := 0
	for i := range steps {
		s := &steps[i]
		d.printf("\n%d. %s\n   %s\n", i+1, s.title, s.curl())
		if err := s.run(ctx, d.printf); err != nil {
			failed++
			d.printf("   UNEXPECTED: %v\n", err)
		}
	}
	if err := d.explainDenial(ctx, len(steps)+1); err != nil {
		failed++
		d.printf("   UNEXPECTED: %v\n", err)
	}
	if failed > 0 {
		d.printf("\n%d of %d steps did not answer as expected\n", failed, len(steps)+1)
		return errNo
	}
	d.printf("\nAll %d steps answered as expected.\n", len(steps)+1)
	return nil
}

func (d *demo) printf(format string, args ...any) { fmt.Fprintf(d.program.stdout, format, args...) }

func (d *demo) steps() ([]tourStep, error) {
	reader, err := d.mint("READER", time.Hour)
	if err != nil {
		return nil, err
	}
	expired, err := d.mint("EXPIRED", -time.Minute)
	if err != nil {
		return nil, err
	}
	key := &demoToken{name: "KEY", value: string(d.apiKey), header: "X-API-Key: "}
	d.tokens = []*demoToken{reader, expired, key}
	forged := passport.Passport{UserID: "root", TokenStatus: passport.StatusValid, IssuedAt: d.program.now().Unix()}.Encode()
	ann := &demoToken{name: "ANN"}
	const user = "/api/users/123"
	once := "Idempotency-Key: " + uuid.NewString()
	const signUp = `{"email":"ann@example.com","password":"a long and private sentence","country":"IN","platform":"android"}`
	steps := []tourStep{
		{title: "No token: refused before the upstream sees anything.", method: "GET", path: user, status: 401,
			want: []string{`"code":"missing_credentials"`}},
		{title: "A good token: the upstream gets the caller's identity, and needs to verify nothing.", method: "GET", path: user, token: reader, status: 200,
			want: []string{`"X-User-Id: user_123"`, `"X-User-Permissions: read"`, `"X-Proxy-State: ZnJlZTpJTjphbmRyb2lk"`, `"X-Passport: `, `"passport_verified": true`}},
		{title: "Forged identity headers: replaced, and look-alikes removed.", method: "GET", path: user, token: reader, status: 200,
			headers: []string{"X-User-ID: root", "X.User.ID: root", "X-Passport: forged"},
			want:    []string{`"X-User-Id: user_123"`}, wantNot: []string{"root", "forged"}},
		{title: "Around Envoy, with a passport of one's own: the upstream verifies who signed it, and refuses.", address: demoUpstream, method: "GET", path: user, status: 401,
			headers: []string{"X-Passport: " + forged}, want: []string{`"status":401`}},
		{title: "An API key in place of a token. The upstream never sees it.", method: "GET", path: user, token: key, status: 200,
			want: []string{`"X-User-Id: key:build"`, `"passport_verified": true`}, wantNot: []string{"pgk_", "$" + key.name}},
		{title: "A forged header on a public route: nobody is named.", method: "GET", path: "/docs/intro", status: 200,
			headers: []string{"X-User-ID: root"},
			want:    []string{`"uri": "/docs/intro"`}, wantNot: []string{"root", "X-User"}},
		{title: "X_User_ID, which some servers read as X-User-ID: Envoy refuses the request itself.", method: "GET", path: user, token: reader, status: 400,
			headers: []string{"X_User_ID: root"}, wantNot: []string{"root"}},
		{title: "A permission that the token lacks.", method: "DELETE", path: user, token: reader, status: 403,
			want: []string{`"code":"insufficient_permissions"`, "Insufficient permissions: required [delete], have [read]"}},
		{title: "A token that has expired.", method: "GET", path: user, token: expired, status: 401,
			want: []string{`"code":"token_expired"`, "Token expired"}},
		{title: "A route that nobody has written down.", method: "GET", path: "/admin", token: reader, status: 403,
			want: []string{`"code":"forbidden"`}},
		{title: "Sign up. The Idempotency-Key is for the case that the answer gets lost.", method: "POST", path: account.SignUpPath, headers: []string{once}, body: signUp, status: 201,
			want: []string{`"user_id":"user_`, `"token_type":"Bearer"`}, gives: ann},
		{title: "Sign up again by the same key, as a client does that heard nothing: no second account, the same answer.", method: "POST", path: account.SignUpPath, headers: []string{once}, body: signUp, status: 201, gives: ann,
			header: "Idempotent-Replayed: true"},
		{title: "Log in.", method: "POST", path: account.LogInPath, body: `{"email":"ann@example.com","password":"a long and private sentence"}`, status: 200,
			want: []string{`"expires_in":86400`}, gives: ann},
		{title: "The token that it gave, through Envoy.", method: "GET", path: user, token: ann, status: 200,
			want: []string{`"X-User-Id: user_`, `"X-User-Role: user"`, `"X-Proxy-State: ZnJlZTpJTjphbmRyb2lk"`, `"email": "ann@example.com"`}},
		{title: "The same without Envoy, through passgate's own proxy.", address: demoHTTP, method: "GET", path: "/v1/proxy" + user, token: ann, status: 200,
			want: []string{`"uri": "/api/users/123"`, `"X-User-Role: user"`}},
	}
	for i := range steps {
		if steps[i].header != "" {
			steps[i].again = &steps[i-1]
		}
	}
	return steps, nil
}

// mint signs a token of the demo's one issuer, for a user who may read.
func (d *demo) mint(name string, ttl time.Duration) (*demoToken, error) {
	c := tokenMintCommand{Sub: "user_123", TTL: ttl, Claim: map[string]string{
		"email": `"user@example.com"`, "subscription": `"free"`, "country": `"IN"`, "platform": `"android"`,
		"role": `"member"`, "permissions": `["read"]`,
	}}
	signer, err := mintSigner(d.config, d.config.Issuers[0], d.program.now)
	if err != nil {
		return nil, err
	}
	value, err := c.mint(d.config.Issuers[0], signer, d.program.now())
	return &demoToken{name: name, value: value}, err
}

// waitForCheck returns when Envoy has found passgate healthy, so that the tour's first answer is real.
func waitForCheck(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	probe := &tourStep{method: "GET", path: "/", status: 401}
	for {
		response, err := probe.send(ctx)
		if err == nil {
			response.Body.Close()
			if response.StatusCode == 401 || response.StatusCode == 403 {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return errors.New("one of Envoy, passgate and the upstream did not come up")
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// url returns where a step's request goes.
func (s *tourStep) url() string {
	if s.address != "" {
		return "http://" + s.address + s.path
	}
	return "http://" + demoEnvoy + s.path
}

func (s *tourStep) curl() string {
	var b strings.Builder
	b.WriteString("curl -s")
	if s.method != "GET" && s.body == "" {
		b.WriteString(" -X " + s.method)
	}
	for _, h := range s.headers {
		fmt.Fprintf(&b, " -H '%s'", h)
	}
	if s.token != nil {
		fmt.Fprintf(&b, ` -H "%s"`, s.token.line("$"+s.token.name))
	}
	if s.body != "" {
		fmt.Fprintf(&b, " -H 'Content-Type: application/json' -d '%s'", s.body)
	}
	return b.String() + " " + s.url()
}

func (s *tourStep) send(ctx context.Context) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, s.method, s.url(), strings.NewReader(s.body))
	if err != nil {
		return nil, err
	}
	if s.body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, h := range s.headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header[name] = []string{value} // as written: Set would change the name's case
	}
	if s.token != nil {
		name, value, _ := strings.Cut(s.token.line(s.token.value), ": ")
		r.Header.Set(name, value)
	}
	return http.DefaultClient.Do(r)
}

// run sends the request, prints the answer, and compares.
func (s *tourStep) run(ctx context.Context, printf func(string, ...any)) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	response, err := s.send(ctx)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return err
	}
	s.answer = body
	printf("   → %s\n", response.Status)
	name, value, _ := strings.Cut(s.header, ": ")
	if got := response.Header.Get(name); name != "" && got != "" {
		printf("     %s: %s\n", name, got)
	}
	text := string(body)
	for _, t := range []*demoToken{s.token, s.takeToken()} {
		if t != nil {
			text = strings.ReplaceAll(text, t.value, "$"+t.name)
		}
	}
	printIndented(printf, text)
	if s.gives != nil {
		printf("   %s=%s\n", s.gives.name, s.gives.value)
	}
	switch {
	case response.StatusCode != s.status:
		return fmt.Errorf("the status is not %d", s.status)
	case response.Header.Get(name) != value:
		return fmt.Errorf("the answer has no header %s", s.header)
	case s.again != nil && !bytes.Equal(body, s.again.answer):
		return errors.New("it is not the answer that was given before")
	}
	for _, part := range s.want {
		if !strings.Contains(text, part) {
			return fmt.Errorf("the answer lacks %s", part)
		}
	}
	for _, part := range s.wantNot {
		if strings.Contains(text, part) {
			return fmt.Errorf("the answer has %s", part)
		}
	}
	return nil
}

// takeToken keeps the token of the answer, and returns it if there is one.
func (s *tourStep) takeToken() *demoToken {
	var session struct{ Token string }
	if json.Unmarshal(s.answer, &session) != nil || session.Token == "" {
		return nil
	}
	if s.gives != nil {
		s.gives.value = session.Token
		return s.gives
	}
	return nil
}

func printIndented(printf func(string, ...any), text string) {
	for line := range strings.Lines(strings.TrimSpace(text)) {
		printf("     %s\n", strings.TrimRight(line, "\n"))
	}
}

// explainDenial shows how to learn why a request was refused, from the request_id that its client was shown.
func (d *demo) explainDenial(ctx context.Context, number int) error {
	refused := &tourStep{method: "DELETE", path: "/api/users/123", token: d.tokens[0]}
	d.printf("\n%d. Why was the DELETE refused? Its answer names a request_id: one grep in passgate's log and one command tell.\n", number)
	response, err := refused.send(ctx)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	var body struct {
		RequestID string `json:"request_id"`
	}
	if err := json.NewDecoder(response.Body).Decode(&body); err != nil {
		return err
	}
	line, err := waitForLine(ctx, d.file("passgate.log"), body.RequestID)
	if err != nil {
		return err
	}
	d.printf("   %s\n   → request_id %s\n", refused.curl(), body.RequestID)
	d.printf("   grep %s %s | bin/passgate explain --config %s --log -\n", body.RequestID, d.file("passgate.log"), d.file("demo.yaml"))
	var out strings.Builder
	p := *d.program
	p.stdin, p.stdout = strings.NewReader(line), &out
	file := d.file("demo.yaml")
	c := explainCommand{configFlag: configFlag{Config: &file}, Log: "-"}
	err = c.Run(ctx, &p)
	printIndented(d.printf, out.String())
	if !errors.Is(err, errNo) || !strings.Contains(out.String(), "DENY 403 insufficient_permissions") {
		return fmt.Errorf("it was not explained as a denial: %v", err)
	}
	return nil
}

// waitForLine returns the line of a log that holds a text, which is written soon after the answer.
func waitForLine(ctx context.Context, file, text string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		log, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		for line := range strings.Lines(string(log)) {
			if strings.Contains(line, text) && strings.HasSuffix(line, "\n") {
				return line, nil
			}
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("no line of %s holds %s", file, text)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// printMore prints what to try while the demo stays up.
func (d *demo) printMore() {
	d.printf(`
It stays up until Ctrl-C. Lines to try in another terminal (make tools puts grpcurl at .tools/bin/grpcurl):

  READER=%[6]s
  curl -i http://%[1]s/api/users/123 -H "Authorization: Bearer $READER"
  curl -i http://%[1]s/api/users/123 -H "Authorization: Bearer $READER" -X DELETE
  curl -i --path-as-is 'http://%[1]s/docs/..%%3b/api/users/123'
  curl -i http://%[1]s/v1/auth/login -H 'Content-Type: application/json' -d '{"email":"ann@example.com","password":"a long and private sentence"}'
  bin/passgate users grant --config %[4]s ann@example.com --role admin
  curl -s http://%[7]s/.well-known/jwks.json
  curl -s http://%[2]s/metrics | grep ^passgate_
  grpcurl -plaintext %[3]s list
  grpcurl -plaintext -d '{"service": "envoy.service.auth.v3.Authorization"}' %[3]s grpc.health.v1.Health/Check
  bin/passgate token inspect --config %[4]s $READER
  tail -f %[5]s
`, demoEnvoy, demoOps, demoCheck, d.file("demo.yaml"), d.file("passgate.log"), d.tokens[0].value, demoHTTP)
}
