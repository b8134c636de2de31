package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	"github.com/passgate/passgate/internal/config"
	"github.com/passgate/passgate/internal/door/extauthz"
)

const anyPorts = `
listen: {grpc: "127.0.0.1:0", ops: "127.0.0.1:0"}
drain: {wait: 0s, timeout: 5s}
`

func TestServeAnswersCheck(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	s := startServer(t, newCLI(), anyPorts)
	reader := s.mint(t, s.config, "--claim", `permissions=["read"]`)
	conn := dial(t, s.grpc)

	if answer := check(t, conn, "/api/users/1?token=hidden", reader); answer.GetStatus().GetCode() != int32(codes.OK) || answer.GetOkResponse() == nil {
		t.Errorf("a reader was answered %v", answer)
	}
	if answer := check(t, conn, "/api/users/1", ""); answer.GetStatus().GetCode() != int32(codes.Unauthenticated) || answer.GetDeniedResponse().GetStatus().GetCode() != 401 {
		t.Errorf("nobody was answered %v", answer)
	}
	if answer := check(t, conn, "/admin", reader); answer.GetStatus().GetCode() != int32(codes.PermissionDenied) {
		t.Errorf("a path without a route was answered %v", answer)
	}

	status, page := httpGet(t, "http://"+s.ops+"/metrics")
	if status != 200 {
		t.Errorf("/metrics answered %d", status)
	}
	for _, want := range []string{
		`passgate_decisions_total{code="ok",decision="allow",door="extauthz"} 1`,
		`passgate_decisions_total{code="missing_credentials",decision="deny",door="extauthz"} 1`,
		`passgate_decision_duration_seconds_count{door="extauthz"} 3`,
		`grpc_server_handled_total{grpc_code="OK",grpc_method="Check",grpc_service="envoy.service.auth.v3.Authorization",grpc_type="unary"} 3`,
		"passgate_log_dropped_total 0", "passgate_build_info{", "go_goroutines ",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the metrics have no %s", want)
		}
	}

	conn.Close()
	if code := s.end(); code != exitOK {
		t.Errorf("exit status %d\n%s", code, s.stderr)
	}
	decisions := s.logs(t, "decision")
	if len(decisions) != 3 {
		t.Errorf("%d decisions were logged, want 3", len(decisions))
	}
	ids := map[any]bool{}
	for _, d := range decisions {
		if id, _ := d["request_id"].(string); id == "" {
			t.Errorf("a decision without request_id: %v", d)
		}
		ids[d["request_id"]] = true
	}
	if len(ids) != len(decisions) {
		t.Errorf("%d decisions share %d request ids", len(decisions), len(ids))
	}
	signature := reader[strings.LastIndex(reader, ".")+1:]
	for _, secret := range []string{cliSecret, cliOtherSecret, signature, "hidden"} {
		if strings.Contains(s.stderr.String()+page, secret) {
			t.Errorf("%q is in the log or the metrics", secret)
		}
	}
}

func TestServeTellsItsHealthAndServices(t *testing.T) {
	s := startServer(t, newCLI(), anyPorts)
	conn := dial(t, s.grpc)
	for _, service := range []string{"", extauthz.Service} {
		answer, err := healthv1.NewHealthClient(conn).Check(t.Context(), &healthv1.HealthCheckRequest{Service: service})
		if err != nil || answer.GetStatus() != healthv1.HealthCheckResponse_SERVING {
			t.Errorf("the health of %q is %v, %v", service, answer, err)
		}
	}
	services, err := listServices(t.Context(), conn)
	if err != nil || !slices.Contains(services, extauthz.Service) || !slices.Contains(services, "grpc.health.v1.Health") {
		t.Errorf("reflection lists %q, %v", services, err)
	}
	if code := s.end(); code != exitOK {
		t.Errorf("exit status %d", code)
	}

	s = startServer(t, newCLI(), anyPorts+"grpc: {reflection: false}\n")
	if services, err := listServices(t.Context(), dial(t, s.grpc)); status.Code(err) != codes.Unimplemented {
		t.Errorf("turned off, reflection lists %q, %v", services, err)
	}
	s.end()
}

// listServices asks for the services by reflection, as grpcurl does.
func listServices(ctx context.Context, conn *grpc.ClientConn) ([]string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // a stream that stays open holds up the end of the server
	stream, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
	if err != nil {
		return nil, err
	}
	ask := &reflectionv1.ServerReflectionRequest_ListServices{}
	if err := stream.Send(&reflectionv1.ServerReflectionRequest{MessageRequest: ask}); err != nil && !errors.Is(err, io.EOF) {
		return nil, err // io.EOF: Recv tells why
	}
	answer, err := stream.Recv()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, service := range answer.GetListServicesResponse().GetService() {
		names = append(names, service.GetName())
	}
	return names, nil
}

func TestServeDrains(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	s := startServer(t, newCLI(), `
listen: {grpc: "127.0.0.1:0", ops: "127.0.0.1:0"}
drain: {wait: 2s, timeout: 5s}
`)
	conn := dial(t, s.grpc)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	watch, err := healthv1.NewHealthClient(conn).Watch(ctx, &healthv1.HealthCheckRequest{Service: extauthz.Service})
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := watch.Recv(); err != nil || answer.GetStatus() != healthv1.HealthCheckResponse_SERVING {
		t.Fatalf("healthy at first: %v, %v", answer, err)
	}
	s.stop()
	if answer, err := watch.Recv(); err != nil || answer.GetStatus() != healthv1.HealthCheckResponse_NOT_SERVING {
		t.Fatalf("healthy while draining: %v, %v", answer, err)
	}
	if status, body := httpGet(t, "http://"+s.ops+"/readyz"); status != 503 || body != "draining\n" {
		t.Errorf("/readyz answered %d %q", status, body)
	}
	// Callers that have not noticed are answered, on new connections too.
	late := dial(t, s.grpc)
	for name, conn := range map[string]*grpc.ClientConn{"the old connection": conn, "a new connection": late} {
		if answer := check(t, conn, "/docs/x", ""); answer.GetOkResponse() == nil {
			t.Errorf("on %s, draining, Check answered %v", name, answer)
		}
	}
	late.Close()
	select {
	case code := <-s.exited:
		t.Fatalf("it ended with %d before drain.wait had passed", code)
	default:
	}
	conn.Close()
	if code := <-s.exited; code != exitOK {
		t.Errorf("exit status %d", code)
	}
	if status, _ := httpGet(t, "http://"+s.ops+"/livez"); status != 0 {
		t.Errorf("/livez answers %d after the end", status)
	}
}

func TestServeThatIsStoppedBeforeItStarted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := newCLI()
	file := tempFile(t, "passgate.yaml", cliConfig+anyPorts)
	for range 50 { // the order in which its parts start is left to chance
		c.runContext(ctx, t, "serve", "--config", file).must(t, exitOK)
	}
}

func TestServeWithAPortInUseLeavesNothingBehind(t *testing.T) {
	taken := occupy(t, "127.0.0.1:0")
	for _, test := range []struct{ name, listen string }{
		{"grpc", `listen: {grpc: "` + taken + `", ops: "127.0.0.1:0"}`},
		{"ops", `listen: {grpc: "unix://SOCKET", ops: "` + taken + `"}`},
		{"debug", `listen: {grpc: "unix://SOCKET", ops: "127.0.0.1:0", debug: "` + taken + `"}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
			socket := filepath.Join(socketDir(t), "grpc.sock")
			file := tempFile(t, "passgate.yaml", cliConfig+strings.ReplaceAll(test.listen, "SOCKET", socket))
			o := newCLI().run(t, "serve", "--config", file).must(t, exitFault)
			o.mustFail(t, taken+": bind: address already in use")
			if strings.Contains(o.stderr, `"msg":"serving"`) {
				t.Errorf("it said that it serves:\n%s", o.stderr)
			}
			if _, err := os.Lstat(socket); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the socket is left behind: %v", err)
			}
		})
	}
}

func TestServeWithABadConfigurationDoesNotListen(t *testing.T) {
	socket := filepath.Join(socketDir(t), "grpc.sock")
	c := newCLI()
	c.env["SECRET"] = "short"
	file := tempFile(t, "passgate.yaml", cliConfig+onSocket(socket))
	c.run(t, "serve", "--config", file).must(t, exitUsage).mustComplain(t, "issuers[0].secret: is shorter than 32 bytes")
	if _, err := os.Lstat(socket); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it listened: %v", err)
	}
}

func TestServeShowsProfilesWhereAskedTo(t *testing.T) {
	s := startServer(t, newCLI(), `
listen: {grpc: "127.0.0.1:0", ops: "127.0.0.1:0", debug: "127.0.0.1:0"}
drain: {wait: 0s, timeout: 5s}
`)
	debug := s.waitForLog(t, "serving")["debug"].(string)
	if status, _ := httpGet(t, "http://"+debug+"/debug/pprof/goroutine?debug=1"); status != 200 {
		t.Errorf("the profile answered %d", status)
	}
	if status, _ := httpGet(t, "http://"+s.ops+"/debug/pprof/"); status != 404 {
		t.Errorf("listen.ops answered %d for a profile", status)
	}
	if code := s.end(); code != exitOK {
		t.Errorf("exit status %d", code)
	}
}

func TestServeWithoutAFileMakesAKeyOnce(t *testing.T) {
	t.Chdir(t.TempDir())
	c := newCLI()
	c.run(t, "token", "mint", "--issuer", "accounts", "--sub", "ann").must(t, exitUsage).mustComplain(t, "running on the embedded default", "is made by passgate serve")

	start := func() (cfg *config.Config, key, said string) {
		t.Helper()
		var stderr syncBuffer
		cfg, err := defaultWithKey(c.program(nil, &stderr))
		if err != nil {
			t.Fatal(err)
		}
		if want := "passgate: no passgate.yaml here and no --config: running on the embedded default (passgate config show --default prints it)\n"; !strings.HasSuffix(stderr.String(), want) {
			t.Errorf("it said %q, want %q", stderr.String(), want)
		}
		text, err := os.ReadFile(config.KeyFile)
		if err != nil {
			t.Fatal(err)
		}
		return cfg, string(text), stderr.String()
	}
	cfg, first, said := start()
	if !strings.Contains(said, "made the key passgate.key") {
		t.Errorf("it said %q, and nothing of the key", said)
	}
	if len(strings.TrimSpace(first)) < 43 || cfg.Issuers[0].MintKey == nil {
		t.Errorf("the key file holds %d bytes", len(first))
	}
	if info, err := os.Stat(config.KeyFile); err != nil || info.Mode() != 0o600 {
		t.Errorf("the key file is %v, %v", info, err)
	}
	if _, second, said := start(); second != first || strings.Contains(said, "made the key") {
		t.Errorf("the second start made another key, saying %q", said)
	}

	o := c.run(t, "token", "mint", "--issuer", "accounts", "--sub", "ann").must(t, exitOK)
	c.run(t, "token", "inspect", strings.TrimSpace(o.stdout)).must(t, exitOK).mustNotHold(t, strings.TrimSpace(first))
}

func TestServeWithoutAFileTakesTheKeyOfTheEnvironment(t *testing.T) {
	t.Chdir(t.TempDir())
	c := newCLI()
	c.env["PASSGATE_JWT_SECRET"] = cliSecret
	if cfg, err := defaultWithKey(c.program(nil, new(syncBuffer))); err != nil || cfg.Issuers[0].MintKey == nil {
		t.Errorf("configured as %v, %v", cfg, err)
	}
	c.env["PASSGATE_JWT_SECRET"] = "short"
	o := c.run(t, "serve").must(t, exitUsage)
	o.mustComplain(t, "running on the embedded default", "default.yaml:13:13: issuers[0].secret: is shorter than 32 bytes")
	if _, err := os.Lstat(config.KeyFile); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a key was made: %v", err)
	}
}
