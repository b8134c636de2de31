package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

// gateway runs the command over these messages, in a folder without a configuration, and returns its output.
func gateway(t *testing.T, messages ...string) string {
	t.Helper()
	return runGateway(t, nil, messages...).stdout
}

func runGateway(t *testing.T, args []string, messages ...string) outcome {
	t.Helper()
	t.Chdir(t.TempDir())
	c := newCLI()
	c.stdin = strings.Join(messages, "\n") + "\n"
	return c.run(t, append([]string{"gateway"}, args...)...).must(t, exitOK)
}

// hmacToken signs claims with a shared secret; those that every token needs are filled in.
func hmacToken(t *testing.T, secret string, claims jwt.MapClaims) string {
	t.Helper()
	return signedToken(t, jwt.SigningMethodHS256, []byte(secret), "", claims)
}

func signedToken(t *testing.T, method jwt.SigningMethod, key any, kid string, claims jwt.MapClaims) string {
	t.Helper()
	all := jwt.MapClaims{"iss": "https://auth.example.com", "sub": "user123", "exp": newCLI().now.Unix() + 60}
	for name, value := range claims {
		all[name] = value
	}
	token := jwt.NewWithClaims(method, all)
	if kid != "" {
		token.Header["kid"] = kid
	}
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// initWith returns an init message whose key is any JSON value.
func initWith(t *testing.T, key any) string {
	t.Helper()
	message, err := json.Marshal(map[string]any{"type": "init", "msg_id": 0, "jwt_public_key": key})
	if err != nil {
		t.Fatal(err)
	}
	return string(message)
}

// get returns a request by a token.
func get(id int, token string) string {
	return fmt.Sprintf(`{"type": "api_request", "msg_id": %d, "method": "GET", "path": "/api/users/123", "headers": {"Authorization": "Bearer %s"}}`, id, token)
}

const initOK = `{"type": "init_ok", "in_reply_to": 0}` + "\n"

// allowed is the answer to get by a token that names no role and no permission.
func allowed(id int) string {
	return fmt.Sprintf(`{"type": "api_response", "in_reply_to": %d, "status": 200, "service": "users-service", "user_context": {"user_id": "user123", "role": "", "permissions": []}}`+"\n", id)
}

func denied(id, status int, text string) string {
	return fmt.Sprintf(`{"type": "api_response", "in_reply_to": %d, "status": %d, "error": %q}`+"\n", id, status, text)
}

func invalid(id int) string { return denied(id, 401, "Invalid or expired token") }

// The messages of the exercise, under its names and in its order. Its placeholders are no tokens; where it
// wants an answer that only a token can have, a real one takes their place.
func TestGatewayExercise(t *testing.T) {
	const key = "public_key_here"
	start := initWith(t, key)
	admin := hmacToken(t, key, jwt.MapClaims{"name": "Ann", "role": "admin", "permissions": []string{"read", "write"}})
	expired := hmacToken(t, key, jwt.MapClaims{"exp": newCLI().now.Unix()})
	reader := hmacToken(t, key, jwt.MapClaims{"permissions": []string{"read"}})

	for _, test := range []struct {
		name     string
		messages []string
		want     string
	}{
		{
			name:     "Request with valid JWT",
			messages: []string{start, `{"type": "api_request", "msg_id": 1, "method": "GET", "path": "/api/users/123", "headers": {"Authorization": "Bearer ` + admin + `"}}`},
			want:     initOK + `{"type": "api_response", "in_reply_to": 1, "status": 200, "service": "users-service", "user_context": {"user_id": "user123", "role": "admin", "permissions": ["read", "write"]}}` + "\n",
		},
		{
			name:     "Request with valid JWT, as written",
			messages: []string{start, `{"type": "api_request", "msg_id": 1, "method": "GET", "path": "/api/users/123", "headers": {"Authorization": "Bearer eyJhbGciOiJIUzI1NiIs..."}}`},
			want:     initOK + `{"type": "api_response", "in_reply_to": 1, "status": 401, "error": "Invalid or expired token"}` + "\n",
		},
		{
			name:     "Request with expired token",
			messages: []string{start, `{"type": "api_request", "msg_id": 2, "method": "GET", "path": "/api/users/123", "headers": {"Authorization": "Bearer ` + expired + `"}}`},
			want:     initOK + `{"type": "api_response", "in_reply_to": 2, "status": 401, "error": "Token expired"}` + "\n",
		},
		{
			name:     "Request with expired token, as written",
			messages: []string{start, `{"type": "api_request", "msg_id": 2, "method": "GET", "path": "/api/users/123", "headers": {"Authorization": "Bearer expired_token..."}}`},
			want:     initOK + `{"type": "api_response", "in_reply_to": 2, "status": 401, "error": "Invalid or expired token"}` + "\n",
		},
		{
			name:     "Request without permission",
			messages: []string{start, `{"type": "api_request", "msg_id": 3, "method": "DELETE", "path": "/api/users/123", "headers": {"Authorization": "Bearer ` + reader + `"}, "required_permission": "delete"}`},
			want:     initOK + `{"type": "api_response", "in_reply_to": 3, "status": 403, "error": "Insufficient permissions: required [delete], have [read]"}` + "\n",
		},
		{
			name:     "Request without permission, as written",
			messages: []string{start, `{"type": "api_request", "msg_id": 3, "method": "DELETE", "path": "/api/users/123", "headers": {"Authorization": "Bearer user_token..."}, "required_permission": "delete"}`},
			want:     initOK + `{"type": "api_response", "in_reply_to": 3, "status": 401, "error": "Invalid or expired token"}` + "\n",
		},
		{
			name: "Valid JWT passes through gateway",
			messages: []string{
				`{"src":"client","dest":"gateway","body":{"type":"init","msg_id":1,"jwt_public_key":"public_key_here"}}`,
				`{"src":"client","dest":"gateway","body":{"type":"api_request","msg_id":2,"method":"GET","path":"/api/users/123","headers":{"Authorization":"Bearer ` + admin + `"}}}`,
			},
			want: `{"src": "gateway", "dest": "client", "body": {"type": "init_ok", "in_reply_to": 1}}` + "\n" +
				`{"src": "gateway", "dest": "client", "body": {"type": "api_response", "in_reply_to": 2, "status": 200, "service": "users-service", "user_context": {"user_id": "user123", "role": "admin", "permissions": ["read", "write"]}}}` + "\n",
		},
		{
			name: "Valid JWT passes through gateway, as written",
			messages: []string{
				`{"src":"client","dest":"gateway","body":{"type":"init","msg_id":1,"jwt_public_key":"public_key_here"}}`,
				`{"src":"client","dest":"gateway","body":{"type":"api_request","msg_id":2,"method":"GET","path":"/api/users/123","headers":{"Authorization":"Bearer valid_jwt_here"}}}`,
			},
			want: `{"src": "gateway", "dest": "client", "body": {"type": "init_ok", "in_reply_to": 1}}` + "\n" +
				`{"src": "gateway", "dest": "client", "body": {"type": "api_response", "in_reply_to": 2, "status": 401, "error": "Invalid or expired token"}}` + "\n",
		},
		{
			name: "Invalid JWT returns 401",
			messages: []string{`{
"src": "client",
"dest": "gateway",
"body": {
"type": "api_request",
"msg_id": 1,
"method": "GET",
"path": "/api/users/123",
"headers": {
"Authorization": "Bearer invalid_jwt"
}
}
}`},
			want: `{"src": "gateway", "dest": "client", "body": {"type": "api_response", "in_reply_to": 1, "status": 401, "error": "Invalid or expired token"}}` + "\n",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := gateway(t, test.messages...); got != test.want {
				t.Errorf("got\n%swant\n%s", got, test.want)
			}
		})
	}
}

func TestGatewayServesEveryNameUnderAPI(t *testing.T) {
	token := hmacToken(t, "k", nil)
	request := func(id int, rest string) string {
		return fmt.Sprintf(`{"type": "api_request", "msg_id": %d, "method": "POST", %s, "headers": {"authorization": "bearer %s"}}`, id, rest, token)
	}
	got := gateway(t, initWith(t, "k"),
		request(1, `"path": "/api/orders/7/items?all=1"`),
		request(2, `"path": "/api/orders"`),
		request(3, `"path": "/other"`),
		request(4, `"path": "/api//orders"`),
		request(5, `"path": "/api/orders", "host": "a,b"`),
		`{"type": "api_request", "msg_id": 6, "method": "GET", "path": "/other"}`,
		`{"type": "api_request", "msg_id": 7, "method": "GET", "path": "/api/orders", "headers": {"Authorization": ["Bearer a", "Bearer b"]}}`,
	)
	service := strings.ReplaceAll(allowed(1), "users-", "orders-")
	want := initOK + service + strings.Replace(service, ": 1,", ": 2,", 1) +
		denied(3, 404, "No service for path") + denied(4, 400, "Ambiguous request path") + denied(5, 400, "Ambiguous request host") +
		denied(6, 401, "Missing credentials") + denied(7, 400, "More than one credential")
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestGatewayKeyOfAnInitMessage(t *testing.T) {
	one, two := hmacToken(t, "one", nil), hmacToken(t, "two", nil)
	for _, test := range []struct {
		name     string
		messages []string
		want     string
	}{
		{"none before the first", []string{get(1, one), get(2, hmacToken(t, "x", nil))}, invalid(1) + invalid(2)},
		{"takes effect at once", []string{get(1, one), initWith(t, "one"), get(2, one)}, invalid(1) + initOK + allowed(2)},
		{"a second replaces the first", []string{initWith(t, "one"), initWith(t, "two"), get(1, one), get(2, two)}, initOK + initOK + invalid(1) + allowed(2)},
		{"a broken one replaces the first too", []string{initWith(t, "one"), initWith(t, "-----BEGIN "), get(1, one)}, initOK + initOK + invalid(1)},
		{"an empty one replaces the first too", []string{initWith(t, "one"), initWith(t, ""), get(1, one)}, initOK + initOK + invalid(1)},
		{"a number is none, and replaces the first too", []string{initWith(t, "one"), initWith(t, 1), get(1, one), get(2, hmacToken(t, "1", nil))}, initOK + initOK + invalid(1) + invalid(2)},
		{"a list is none, and replaces the first too", []string{initWith(t, "one"), initWith(t, []string{"one"}), get(1, one), get(2, hmacToken(t, `["one"]`, nil))}, initOK + initOK + invalid(1) + invalid(2)},
		{"an init without a key leaves the first", []string{initWith(t, "one"), `{"type": "init", "msg_id": 0}`, get(1, one)}, initOK + initOK + allowed(1)},
		{"tokens of other issuers stay refused", []string{initWith(t, "one"), get(1, hmacToken(t, "one", jwt.MapClaims{"iss": "https://other.example"}))}, initOK + invalid(1)},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := gateway(t, test.messages...); got != test.want {
				t.Errorf("got\n%swant\n%s", got, test.want)
			}
		})
	}
}

func TestGatewayWithAConfiguration(t *testing.T) {
	file := tempFile(t, "passgate.yaml", cliConfig)
	permissions := jwt.MapClaims{"permissions": []string{"read"}}
	configured := hmacToken(t, cliSecret, permissions)
	initial := hmacToken(t, "init", permissions)
	partner := func(secret string) string {
		return hmacToken(t, secret, jwt.MapClaims{"iss": "https://idp.partner.example", "aud": "api", "permissions": []string{"read"}})
	}
	answer := func(id int, user string) string {
		return fmt.Sprintf(`{"type": "api_response", "in_reply_to": %d, "status": 200, "service": "users-service", "user_context": {"user_id": %q, "role": "", "permissions": ["read"]}}`+"\n", id, user)
	}
	got := runGateway(t, []string{"--config", file},
		get(1, configured),
		get(2, partner(cliOtherSecret)),
		initWith(t, "init"),
		get(3, configured),
		get(4, initial),
		get(5, partner(cliOtherSecret)),
		get(6, partner("init")),
		get(7, hmacToken(t, "init", nil)),
		`{"type": "api_request", "msg_id": 8, "method": "GET", "path": "/docs/a"}`,
		`{"type": "api_request", "msg_id": 9, "method": "GET", "path": "/elsewhere"}`,
	).stdout
	want := answer(1, "user123") + answer(2, "partner:user123") + initOK +
		invalid(3) + answer(4, "user123") + answer(5, "partner:user123") + invalid(6) +
		denied(7, 403, "Insufficient permissions: required [read], have []") +
		denied(8, 404, "No service for path") + denied(9, 403, "Forbidden")
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestGatewayWithAConfigurationWithoutIssuers(t *testing.T) {
	file := tempFile(t, "passgate.yaml", "routes: [{path: /api/users/123, service: users-service}]\n")
	got := runGateway(t, []string{"--config", file}, get(1, hmacToken(t, "k", nil)), initWith(t, "k"), get(2, hmacToken(t, "k", nil))).stdout
	if want := invalid(1) + initOK + allowed(2); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestGatewayLogsToStandardErrorAndNoSecret(t *testing.T) {
	const key = "secret-of-the-init-message"
	good, expired := hmacToken(t, key, nil), hmacToken(t, key, jwt.MapClaims{"exp": 1})
	o := runGateway(t, nil, initWith(t, key), get(1, good), get(2, expired), get(3, "opaque_token_of_a_user"), get(4, good+","+good), `{"type": `)
	if lines := strings.Count(o.stdout, "\n"); lines != 6 {
		t.Errorf("%d lines on standard output, want 6:\n%s", lines, o.stdout)
	}
	for line := range strings.Lines(o.stdout) {
		var reply struct{ Type string }
		if err := json.Unmarshal([]byte(line), &reply); err != nil || reply.Type == "" {
			t.Errorf("standard output has %q: %v", line, err)
		}
	}
	var got []string
	for line := range strings.Lines(o.stderr) {
		var entry struct{ Msg, Door, Code string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("standard error has %q: %v", line, err)
		}
		if entry.Msg == "decision" && entry.Door == "jsonlines" {
			got = append(got, entry.Code)
		}
	}
	if want := "ok token_expired invalid_token multiple_credentials"; strings.Join(got, " ") != want {
		t.Errorf("decisions %v were logged, want %s", got, want)
	}
	for _, secret := range []string{key, good, expired, "opaque_token_of_a_user", strings.Split(good, ".")[1], strings.Split(good, ".")[2]} {
		o.mustNotHold(t, secret)
	}
}

func TestGatewayExitCodes(t *testing.T) {
	for _, test := range []struct {
		name, stdin string
		args        []string
		want        int
		stderr      string
	}{
		{name: "no input", want: exitOK},
		{name: "input that ends inside a value", stdin: `{"type": "init"`, want: exitOK},
		{name: "nothing but refusals", stdin: get(1, "x"), want: exitOK},
		{name: "a configuration that is missing", args: []string{"--config", "gone.yaml"}, want: exitUsage, stderr: "gone.yaml: "},
		{name: "a configuration that is broken", args: []string{"--config", tempFile(t, "broken.yaml", "routs: []\n")}, want: exitUsage, stderr: "broken.yaml:1:1: routs: unknown key"},
		{name: "an unknown flag", args: []string{"--nope"}, want: exitUsage, stderr: "--nope"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			c := newCLI()
			c.stdin = test.stdin
			o := c.run(t, append([]string{"gateway"}, test.args...)...).must(t, test.want)
			if test.want != exitOK && (!strings.Contains(o.stderr, test.stderr) || strings.Count(o.stderr, "\n") != 1 || o.stdout != "") {
				t.Errorf("printed %q and %q, want one line with %q", o.stdout, o.stderr, test.stderr)
			}
		})
	}
}

type brokenStream struct{}

func (brokenStream) Read([]byte) (int, error)  { return 0, errors.New("the stream broke") }
func (brokenStream) Write([]byte) (int, error) { return 0, errors.New("the stream broke") }

func TestGatewayEndsWithAFaultWhenAStreamBreaks(t *testing.T) {
	for _, broken := range []string{"input", "output"} {
		t.Run(broken, func(t *testing.T) {
			t.Chdir(t.TempDir())
			var stdout, stderr syncBuffer
			c := newCLI()
			c.stdin = get(1, "x")
			p := c.program(&stdout, &stderr)
			if broken == "input" {
				p.stdin = brokenStream{}
			} else {
				p.stdout = brokenStream{}
			}
			code := p.run(t.Context(), []string{"gateway"})
			outcome{code, stdout.String(), stderr.String()}.must(t, exitFault).mustFail(t, "the stream broke")
		})
	}
}

func TestGatewayAnswersEachMessageAtOnceAndEndsOnASignal(t *testing.T) {
	t.Chdir(t.TempDir())
	var stdout, stderr syncBuffer
	p := newCLI().program(&stdout, &stderr)
	in, client := io.Pipe()
	defer client.Close() // ends the read that the command left behind
	p.stdin = in
	ctx, signal := context.WithCancel(t.Context())
	defer signal()
	ended := make(chan int, 1)
	go func() { ended <- p.run(ctx, []string{"gateway"}) }()
	if _, err := io.WriteString(client, initWith(t, "k")); err != nil { // no newline: the value is complete
		t.Fatal(err)
	}
	eventually(t, "the answer while the input stays open", func() bool { return stdout.String() == initOK })
	signal()
	if code := <-ended; code != exitOK {
		t.Errorf("exit status %d after a signal", code)
	}
}
