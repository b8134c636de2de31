package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/config"
	"github.com/passgate/passgate/internal/door/extauthz"
	"github.com/passgate/passgate/internal/door/jsonlines"
	"github.com/passgate/passgate/internal/policytest"
)

// texts are the words of the contract for each refusal. That of insufficient_permissions goes on with lists.
var texts = map[string]string{
	"ambiguous_path":           "Ambiguous request path",
	"ambiguous_host":           "Ambiguous request host",
	"multiple_credentials":     "More than one credential",
	"missing_credentials":      "Missing credentials",
	"token_expired":            "Token expired",
	"invalid_token":            "Invalid or expired token",
	"insufficient_permissions": "Insufficient permissions: required [",
	"forbidden":                "Forbidden",
	"unavailable":              "Authorization temporarily unavailable",
	"no_service":               "No service for path",
}

var grpcCodes = map[int]codes.Code{400: codes.InvalidArgument, 401: codes.Unauthenticated, 403: codes.PermissionDenied, 404: codes.NotFound, 503: codes.Unavailable}

// codeOf returns the code whose text a door has shown, for a door that shows no code.
func codeOf(text string) string {
	for code, want := range texts {
		if text == want || code == "insufficient_permissions" && strings.HasPrefix(text, want) && strings.HasSuffix(text, "]") {
			return code
		}
	}
	return fmt.Sprintf("none for the text %q", text)
}

// call is a request on its way to a door, with nothing left out and its token signed.
type call struct {
	method, host, path string // path with its query
	headers            []authz.Header
	context            map[string]string
}

func callOf(t *testing.T, q policytest.Request, mint policytest.Minter) call {
	t.Helper()
	r, err := q.Authz(mint)
	if err != nil {
		t.Fatal(err)
	}
	return call{r.Method, r.Host, q.Path, r.Headers, q.Context}
}

// answer is what one door made of a call. What a door does not show is taken from the others' likeness: it
// is left empty and not compared.
type answer struct {
	policytest.Answer
	text    string // of a refusal
	told    string // of a refusal, the headers of toldNames; "" where a door cannot show them
	service string // of an allow
	user    *user  // of an allow; nil without a principal
}

// toldNames are the headers that tell a client of a refusal.
var toldNames = []string{"WWW-Authenticate", "Retry-After", "Content-Type", "Cache-Control"}

func toldBy(value func(name string) string) string {
	lines := make([]string, len(toldNames))
	for i, name := range toldNames {
		lines[i] = name + ": " + value(name)
	}
	return strings.Join(lines, "\n")
}

type user struct {
	UserID      string   `json:"user_id"`
	Role        string   `json:"role"`
	Permissions []string `json:"permissions"`
}

// door puts calls to one of passgate's doors.
type door struct {
	name         string
	showsHeaders bool
	ask          func(t *testing.T, calls []call) []answer
}

// doorHTTPAuthz is the door that differs in one thing.
const doorHTTPAuthz = "ext_authz over HTTP"

// doors returns every door of an engine.
func doors(t *testing.T, decider authz.Decider) []door {
	client := checkClient(t, decider)
	check := func(encode func(*authv3.AttributeContext_HttpRequest, []authz.Header)) func(*testing.T, []call) []answer {
		return func(t *testing.T, calls []call) []answer {
			answers := make([]answer, len(calls))
			for i, c := range calls {
				answers[i] = askCheck(t, client, c, encode)
			}
			return answers
		}
	}
	return []door{
		{"Check with headers", true, check(asHeaders)},
		{"Check with header_map", true, check(asHeaderMap)},
		{"JSON lines", false, func(t *testing.T, calls []call) []answer { return askJSONLines(t, decider, calls) }},
		{"proxy", true, func(t *testing.T, calls []call) []answer { return askProxy(t, decider, calls) }},
		{doorHTTPAuthz, true, func(t *testing.T, calls []call) []answer { return askHTTPAuthz(t, decider, calls) }},
	}
}

// checkClient returns a client of a gRPC server that runs until the test ends.
func checkClient(t *testing.T, decider authz.Decider) authv3.AuthorizationClient {
	t.Helper()
	server := extauthz.NewGRPC(extauthz.GRPCOptions{Decider: decider, Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		server.Stop(ctx)
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return authv3.NewAuthorizationClient(conn)
}

// envoyRequestID is what Envoy adds to every request.
const envoyRequestID = "0198f2f4-0000-7000-8000-000000000000"

// wireLines returns all lines of a call as Envoy has them: names in lower case, its own and the pseudo-headers
// among them, Authorization inline, that is, its repeats joined.
func wireLines(c call) []authz.Header {
	lines := []authz.Header{{Name: ":method", Value: c.method}, {Name: ":scheme", Value: "http"}, {Name: ":authority", Value: c.host}, {Name: ":path", Value: c.path}}
	authorization := -1
	for _, h := range c.headers {
		h.Name = strings.ToLower(h.Name)
		if h.Name == "authorization" && authorization >= 0 {
			lines[authorization].Value += "," + h.Value
			continue
		}
		if h.Name == "authorization" {
			authorization = len(lines)
		}
		lines = append(lines, h)
	}
	return append(lines, authz.Header{Name: "x-forwarded-proto", Value: "http"}, authz.Header{Name: "x-request-id", Value: envoyRequestID})
}

// asHeaders is the encoding that Envoy uses unless told otherwise: all repeats joined.
func asHeaders(http *authv3.AttributeContext_HttpRequest, lines []authz.Header) {
	http.Headers = map[string]string{}
	for _, h := range lines {
		if earlier, repeated := http.Headers[h.Name]; repeated {
			h.Value = earlier + "," + h.Value
		}
		http.Headers[h.Name] = h.Value
	}
}

// asHeaderMap is the encoding of encode_raw_headers: repeats apart, values as bytes.
func asHeaderMap(http *authv3.AttributeContext_HttpRequest, lines []authz.Header) {
	http.HeaderMap = &corev3.HeaderMap{}
	for _, h := range lines {
		http.HeaderMap.Headers = append(http.HeaderMap.Headers, &corev3.HeaderValue{Key: h.Name, RawValue: []byte(h.Value)})
	}
}

func askCheck(t *testing.T, client authv3.AuthorizationClient, c call, encode func(*authv3.AttributeContext_HttpRequest, []authz.Header)) answer {
	t.Helper()
	http := &authv3.AttributeContext_HttpRequest{Id: "1", Method: c.method, Host: c.host, Path: c.path, Scheme: "http", Protocol: "HTTP/1.1"}
	encode(http, wireLines(c))
	out, err := client.Check(t.Context(), &authv3.CheckRequest{Attributes: &authv3.AttributeContext{
		Request:           &authv3.AttributeContext_Request{Http: http},
		ContextExtensions: c.context,
	}})
	if err != nil {
		t.Fatalf("Check ended in an error: %v", err)
	}
	metadata := out.GetDynamicMetadata().GetFields()["passgate"].GetStructValue().GetFields()
	if id := metadata["request_id"].GetStringValue(); id != envoyRequestID {
		t.Errorf("request_id is %q, not Envoy's", id)
	}
	a := answer{Answer: policytest.Answer{Code: metadata["code"].GetStringValue()}}
	if out.GetStatus().GetCode() == int32(codes.OK) { // all that Envoy looks at
		a.Status, a.Headers = 200, upstreamHeaders(t, c.headers, out.GetOkResponse())
		a.service = metadata["service"].GetStringValue()
		if id := metadata["user_id"].GetStringValue(); id != "" {
			a.user = &user{id, strings.Join(stringsOf(metadata["roles"].GetListValue().AsSlice()), ","), stringsOf(metadata["permissions"].GetListValue().AsSlice())}
		}
		return a
	}
	denied := out.GetDeniedResponse()
	a.Status, a.text = int(denied.GetStatus().GetCode()), denied.GetBody()
	a.told = toldBy(func(name string) string {
		var values []string
		for _, o := range denied.GetHeaders() {
			if strings.EqualFold(o.GetHeader().GetKey(), name) {
				values = append(values, o.GetHeader().GetValue())
			}
		}
		return strings.Join(values, " and ")
	})
	if got := codes.Code(out.GetStatus().GetCode()); got != grpcCodes[a.Status] {
		t.Errorf("status code %v beside HTTP %d", got, a.Status)
	}
	if isGRPC := slices.ContainsFunc(c.headers, func(h authz.Header) bool { return strings.HasPrefix(h.Value, "application/grpc") }); isGRPC {
		return a
	}
	var body struct {
		Status    int    `json:"status"`
		Code      string `json:"code"`
		Error     string `json:"error"`
		RequestID string `json:"request_id"`
	}
	if err := json.Unmarshal([]byte(denied.GetBody()), &body); err != nil {
		t.Errorf("body %q: %v", denied.GetBody(), err)
	}
	if body.Status != a.Status || body.Code != a.Code || body.RequestID != envoyRequestID {
		t.Errorf("body %+v beside HTTP %d and code %s", body, a.Status, a.Code)
	}
	a.text = body.Error
	return a
}

// upstreamHeaders does to a client's lines what Envoy does by an answer: it sets, then it removes.
func upstreamHeaders(t *testing.T, client []authz.Header, ok *authv3.OkHttpResponse) []authz.Header {
	t.Helper()
	if ok == nil {
		t.Error("an allow without ok_response: forged headers would pass")
	}
	lines := slices.Clone(client)
	remove := func(name string) {
		lines = slices.DeleteFunc(lines, func(h authz.Header) bool { return strings.EqualFold(h.Name, name) })
	}
	for _, o := range ok.GetHeaders() {
		//lint:ignore SA1019 Envoy 1.40 looks at append alone
		if o.GetAppend() != nil || o.GetAppendAction() != corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD || len(o.GetHeader().GetRawValue()) > 0 {
			t.Errorf("header %v would not overwrite the client's", o)
		}
		remove(o.GetHeader().GetKey())
		lines = append(lines, authz.Header{Name: o.GetHeader().GetKey(), Value: o.GetHeader().GetValue()})
	}
	for _, name := range ok.GetHeadersToRemove() {
		remove(name)
	}
	return lines
}

func stringsOf(list []any) []string {
	texts := []string{}
	for _, v := range list {
		texts = append(texts, fmt.Sprint(v))
	}
	return texts
}

// askJSONLines sends all calls as one stream.
func askJSONLines(t *testing.T, decider authz.Decider, calls []call) []answer {
	t.Helper()
	var in, out bytes.Buffer
	for i, c := range calls {
		message := map[string]any{"type": "api_request", "msg_id": i, "method": c.method, "host": c.host, "path": c.path}
		headers := map[string][]string{}
		for _, h := range c.headers {
			headers[h.Name] = append(headers[h.Name], h.Value)
		}
		message["headers"] = headers
		if required, ok := c.context[authz.RequiredPermission]; ok {
			message["required_permission"] = required
		}
		if err := json.NewEncoder(&in).Encode(message); err != nil {
			t.Fatal(err)
		}
	}
	server := jsonlines.New(jsonlines.Options{
		Decider: decider,
		Init:    func(string) authz.Decider { t.Error("no message is an init"); return nil },
		Log:     slog.New(slog.DiscardHandler),
	})
	if err := server.Serve(t.Context(), &in, &out); err != nil {
		t.Fatal(err)
	}
	var answers []answer
	for d := json.NewDecoder(&out); ; {
		var reply struct {
			Type    string `json:"type"`
			MsgID   int    `json:"in_reply_to"`
			Status  int    `json:"status"`
			Service string `json:"service"`
			User    *user  `json:"user_context"`
			Error   string `json:"error"`
		}
		if err := d.Decode(&reply); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if reply.Type != "api_response" || reply.MsgID != len(answers) {
			t.Fatalf("answer %d is %+v", len(answers), reply)
		}
		a := answer{Answer: policytest.Answer{Status: reply.Status, Code: "ok"}, text: reply.Error, service: reply.Service, user: reply.User}
		if reply.Status != 200 {
			a.Code = codeOf(reply.Error)
		}
		answers = append(answers, a)
	}
	if len(answers) != len(calls) {
		t.Fatalf("%d answers to %d messages", len(answers), len(calls))
	}
	return answers
}

// BenchmarkCheck is one decision over the gRPC door, without the network: an HS256 token, a route with a
// permission, the headers of an ordinary request.
func BenchmarkCheck(b *testing.B) {
	cfg, err := config.Load(filepath.Join("testdata", "decisions", "passgate.yaml"), os.LookupEnv)
	if err != nil {
		b.Fatal(err)
	}
	engine, mint, err := newTestEngine(cfg, &policytest.File{}, time.Now)
	if err != nil {
		b.Fatal(err)
	}
	token, err := mint(map[string]any{"sub": "ann", "permissions": []string{"read"}})
	if err != nil {
		b.Fatal(err)
	}
	server := extauthz.New(engine, slog.New(slog.DiscardHandler))
	in := &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{
		Http: &authv3.AttributeContext_HttpRequest{
			Method: "GET", Host: "localhost", Path: "/api/users/1",
			Headers: map[string]string{
				":path": "/api/users/1", ":method": "GET", ":authority": "localhost", "accept": "*/*", "user-agent": "bench",
				"x-request-id": "4b1d", "authorization": "Bearer " + token,
			},
		},
	}}}
	b.ReportAllocs()
	for b.Loop() {
		out, err := server.Check(b.Context(), in)
		if err != nil || out.GetStatus().GetCode() != 0 {
			b.Fatalf("%v, %v", out, err)
		}
	}
}
