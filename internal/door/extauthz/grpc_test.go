package extauthz

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	grpcmetadata "google.golang.org/grpc/metadata"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/door/doortest"
	"github.com/passgate/passgate/internal/policy"
)

// serve runs a server on a free port until the test ends, and returns a connection to it.
func serve(t *testing.T, d authz.Decider, reflection bool) (*GRPC, *grpc.ClientConn, *prometheus.Registry) {
	t.Helper()
	registry := prometheus.NewRegistry()
	g := NewGRPC(GRPCOptions{Decider: d, Log: slog.New(slog.DiscardHandler), Registerer: registry, Reflection: reflection})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- g.Serve(l) }()
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		g.Stop(ctx)
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return g, conn, registry
}

func TestHealthFollowsDrainWhileCallsAreAnswered(t *testing.T) {
	defer goleak.VerifyNone(t)
	t.Run("server", func(t *testing.T) {
		g, conn, _ := serve(t, doortest.Engine(t, routes), false)
		health := healthv1.NewHealthClient(conn)
		for _, service := range []string{"", Service} {
			out, err := health.Check(t.Context(), &healthv1.HealthCheckRequest{Service: service})
			if err != nil || out.GetStatus() != healthv1.HealthCheckResponse_SERVING {
				t.Errorf("health of %q: %v, %v", service, out, err)
			}
		}
		g.Drain()
		for _, service := range []string{"", Service} {
			out, err := health.Check(t.Context(), &healthv1.HealthCheckRequest{Service: service})
			if err != nil || out.GetStatus() != healthv1.HealthCheckResponse_NOT_SERVING {
				t.Errorf("health of %q while draining: %v, %v", service, out, err)
			}
		}
		out, err := authv3.NewAuthorizationClient(conn).Check(t.Context(), checkRequest(encodings[0], "GET", "/docs/a"))
		if err != nil || out.GetStatus().GetCode() != 0 {
			t.Errorf("Check while draining: %v, %v", out, err)
		}
	})
}

func TestHealthOfWhatCheckDoesWithoutIsItsOwn(t *testing.T) {
	g, conn, _ := serve(t, doortest.Engine(t, routes), false)
	health := healthv1.NewHealthClient(conn)
	const other = "passgate.accounts"
	if _, err := health.Check(t.Context(), &healthv1.HealthCheckRequest{Service: other}); status.Code(err) != codes.NotFound {
		t.Errorf("before it is known: %v", err)
	}
	for _, serving := range []bool{false, true} {
		g.SetHealth(other, serving)
		out, err := health.Check(t.Context(), &healthv1.HealthCheckRequest{Service: other})
		if err != nil || (out.GetStatus() == healthv1.HealthCheckResponse_SERVING) != serving {
			t.Errorf("serving %t: %v, %v", serving, out, err)
		}
		if out, err := health.Check(t.Context(), &healthv1.HealthCheckRequest{Service: Service}); err != nil || out.GetStatus() != healthv1.HealthCheckResponse_SERVING {
			t.Errorf("Check beside it: %v, %v", out, err)
		}
	}
}

func TestStopCutsOffWhatDoesNotEnd(t *testing.T) {
	entered := make(chan struct{})
	g, conn, _ := serve(t, doortest.DecideFunc(func(ctx context.Context, _ *authz.Request) authz.Decision {
		close(entered)
		<-ctx.Done()
		return authz.Decision{}
	}), false)
	called := make(chan error, 1)
	go func() {
		_, err := authv3.NewAuthorizationClient(conn).Check(context.Background(), &authv3.CheckRequest{})
		called <- err
	}()
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	g.Stop(ctx)
	if err := <-called; status.Code(err) != codes.Unavailable {
		t.Errorf("the call in flight ended with %v", err)
	}
}

func TestOpenStreamsDoNotHoldTheStop(t *testing.T) {
	g, conn, _ := serve(t, doortest.Engine(t, routes), true)
	watch, err := healthv1.NewHealthClient(conn).Watch(t.Context(), &healthv1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	reflection, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := reflection.Send(&reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}); err != nil {
		t.Fatal(err)
	}
	for _, receive := range []func() error{
		func() error { _, err := watch.Recv(); return err },
		func() error { _, err := reflection.Recv(); return err },
	} {
		if err := receive(); err != nil {
			t.Fatalf("the stream is not open: %v", err)
		}
	}
	g.Stop(t.Context()) // returns: nothing else bounds it
	if _, err := watch.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("the watch ended with %v", err)
	}
}

func TestServeAfterStopIsNoError(t *testing.T) {
	g := NewGRPC(GRPCOptions{Decider: doortest.Engine(t, routes), Log: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry()})
	g.Stop(t.Context())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Serve(l); err != nil {
		t.Errorf("Serve = %v, want nil", err)
	}
}

func TestMessagesAreBounded(t *testing.T) {
	_, conn, _ := serve(t, doortest.Engine(t, routes), false)
	in := checkRequest(encodings[0], "GET", "/docs/a", "X: "+string(make([]byte, maxMessageBytes)))
	_, err := authv3.NewAuthorizationClient(conn).Check(t.Context(), in)
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("err = %v, want ResourceExhausted", err)
	}
}

// rawCodec sends bytes as they are.
type rawCodec struct{}

func (rawCodec) Marshal(v any) ([]byte, error) { return v.([]byte), nil }
func (rawCodec) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = data
	return nil
}
func (rawCodec) Name() string { return "proto" }

func TestCheckRequestThatCannotBeReadIsADenial(t *testing.T) {
	_, conn, _ := serve(t, doortest.Engine(t, policy.Options{Default: authz.AccessPublic}), false)
	good, err := proto.Marshal(checkRequest(encodings[0], "GET", "/a"))
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"not protobuf":      {0xff, 0xff, 0xff},
		"cut short":         good[:len(good)-1],
		"more after it":     append(bytes.Clone(good), 0xff),
		"text not in UTF-8": bytes.Replace(bytes.Clone(good), []byte("localhost"), []byte("local\xffost"), 1),
	} {
		t.Run(name, func(t *testing.T) {
			var answer []byte
			if err := conn.Invoke(t.Context(), authv3.Authorization_Check_FullMethodName, data, &answer, grpc.ForceCodec(rawCodec{})); err != nil {
				t.Fatalf("a gRPC error, which Envoy may take as an allow: %v", err)
			}
			out := &authv3.CheckResponse{}
			if err := proto.Unmarshal(answer, out); err != nil {
				t.Fatal(err)
			}
			checkDenied(t, out, codes.InvalidArgument, 400)
		})
	}
}

func TestMetadataIsBounded(t *testing.T) {
	_, conn, _ := serve(t, doortest.Engine(t, routes), false)
	ctx := grpcmetadata.AppendToOutgoingContext(t.Context(), "x", strings.Repeat("a", maxHeaderListBytes))
	if _, err := authv3.NewAuthorizationClient(conn).Check(ctx, checkRequest(encodings[0], "GET", "/docs/a")); err == nil {
		t.Error("a call with too much metadata was answered")
	}
}

func TestMetricsHaveTheUsualNames(t *testing.T) {
	_, conn, registry := serve(t, doortest.Engine(t, routes), true)
	if _, err := authv3.NewAuthorizationClient(conn).Check(t.Context(), checkRequest(encodings[0], "GET", "/docs/a")); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range families {
		names = append(names, f.GetName())
	}
	for _, want := range []string{"grpc_server_started_total", "grpc_server_handled_total", "grpc_server_handling_seconds"} {
		if !slices.Contains(names, want) {
			t.Errorf("no %s among %q", want, names)
		}
	}
}
