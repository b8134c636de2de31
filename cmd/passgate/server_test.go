package main

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"strings"
	"syscall"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/passgate/passgate/internal/keyset"
	"github.com/passgate/passgate/internal/verifier/jwtauth"
)

// server is `passgate serve` in this process.
type server struct {
	*cli
	config    string // the name of its file
	stderr    *syncBuffer
	grpc, ops string // addresses
	stop      context.CancelFunc
	exited    chan int // gets its exit code
}

// startServer serves cliConfig with more lines, a listen section among them, and returns when it is ready.
// What it has not ended by itself ends with the test.
func startServer(t *testing.T, c *cli, more string) *server {
	t.Helper()
	return startServerWith(t, c, cliConfig+more)
}

// startServerWith is startServer with a configuration of the test's own.
func startServerWith(t *testing.T, c *cli, text string) *server {
	t.Helper()
	return startServerOf(t, c, tempFile(t, "passgate.yaml", text))
}

// startServerOf is startServer with a file that is there.
func startServerOf(t *testing.T, c *cli, file string) *server {
	t.Helper()
	return startServerArgs(t, c, file, "serve", "--config", file)
}

// startServerArgs is startServerOf by another command line.
func startServerArgs(t *testing.T, c *cli, file string, args ...string) *server {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	s := &server{cli: c, config: file, stderr: new(syncBuffer), stop: stop, exited: make(chan int, 1)}
	go func() {
		s.exited <- c.program(new(syncBuffer), s.stderr).run(ctx, args)
	}()
	t.Cleanup(stop)
	serving := s.waitForLog(t, "serving")
	s.grpc, s.ops = serving["grpc"].(string), serving["ops"].(string)
	eventually(t, "readiness", func() bool { status, _ := httpGet(t, "http://"+s.ops+"/readyz"); return status == 200 })
	return s
}

// end asks the server to go and returns its exit code once it has gone.
func (s *server) end() int {
	s.stop()
	return <-s.exited
}

// logs returns the lines of its log with this message. Each line is JSON.
func (s *server) logs(t *testing.T, message string) []map[string]any {
	t.Helper()
	var found []map[string]any
	for line := range strings.Lines(s.stderr.String()) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("%v in the line %q", err, line)
		}
		if entry["msg"] == message {
			found = append(found, entry)
		}
	}
	return found
}

// waitForLog returns the first line with this message.
func (s *server) waitForLog(t *testing.T, message string) map[string]any {
	t.Helper()
	var found []map[string]any
	eventually(t, "the log line "+message, func() bool {
		select {
		case code := <-s.exited:
			t.Fatalf("serve ended with %d:\n%s", code, s.stderr)
		default:
		}
		found = s.logs(t, message)
		return len(found) > 0
	})
	return found[0]
}

// dial returns a connection to a gRPC address, host:port or unix:///path.
func dial(t *testing.T, address string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// check asks for a GET of path with this token, "" for none.
func check(t *testing.T, conn *grpc.ClientConn, path, token string) *authv3.CheckResponse {
	t.Helper()
	if token == "" {
		return checkWith(t, conn, path, nil)
	}
	return checkWith(t, conn, path, map[string]string{"authorization": "Bearer " + token})
}

// checkWith is check with headers, whose names are in lower case.
func checkWith(t *testing.T, conn *grpc.ClientConn, path string, more map[string]string) *authv3.CheckResponse {
	t.Helper()
	headers := map[string]string{":path": path, ":method": "GET", ":authority": "localhost"}
	maps.Copy(headers, more)
	var list []*corev3.HeaderValue
	for name, value := range headers {
		list = append(list, &corev3.HeaderValue{Key: name, RawValue: []byte(value)})
	}
	answer, err := authv3.NewAuthorizationClient(conn).Check(t.Context(), &authv3.CheckRequest{
		Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{Http: &authv3.AttributeContext_HttpRequest{
			Method: "GET", Path: path, Host: "localhost", HeaderMap: &corev3.HeaderMap{Headers: list},
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// httpGet returns status and body, status 0 where nobody answers.
func httpGet(t *testing.T, url string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Close = true // an idle connection would be a goroutine left behind
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// hangUp sends this process, and so the server in it, a SIGHUP.
func hangUp(t *testing.T) {
	t.Helper()
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}

// mintWith returns a token of these claims.
func mintWith(t *testing.T, s *keyset.Signer, claims map[string]any) string {
	t.Helper()
	token, err := jwtauth.Mint(s, claims)
	if err != nil {
		t.Fatal(err)
	}
	return token
}
