package extauthz

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	grpcprom "github.com/grpc-ecosystem/go-grpc-middleware/providers/prometheus"
	"github.com/grpc-ecosystem/go-grpc-middleware/v2/interceptors/recovery"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	"github.com/passgate/passgate/internal/authz"
)

const (
	// maxMessageBytes bounds a CheckRequest. gRPC itself answers a larger one, by an error, which Envoy may
	// be told to take as an allow: so it is far above Envoy's own limit of headers, 60 KiB, and what a
	// sensible with_request_body adds.
	maxMessageBytes = 16 << 20
	// maxHeaderListBytes bounds the metadata of a call, after decompression. Envoy sends well under 1 KiB.
	maxHeaderListBytes = 64 << 10
)

// GRPC is the gRPC server of this door: Check, health and, if asked for, reflection.
type GRPC struct {
	server     *grpc.Server
	health     *health.Server
	endStreams context.CancelFunc
}

// GRPCOptions make a [GRPC].
type GRPCOptions struct {
	Decider    authz.Decider
	Log        *slog.Logger
	Registerer prometheus.Registerer // takes the grpc_server_* metrics
	Reflection bool                  // v1 and v1alpha
}

// NewGRPC returns a server that is healthy from the first call on.
func NewGRPC(o GRPCOptions) *GRPC {
	metrics := grpcprom.NewServerMetrics(grpcprom.WithServerHandlingTimeHistogram(
		grpcprom.WithHistogramBuckets([]float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .2, .5, 1})))
	o.Registerer.MustRegister(metrics)
	// Check recovers by itself, into a denial; this keeps a fault of the other services from ending the
	// process.
	recovered := recovery.WithRecoveryHandlerContext(func(ctx context.Context, p any) error {
		o.Log.ErrorContext(ctx, "a gRPC handler panicked", "panic", fmt.Sprint(p))
		return status.Error(codes.Internal, "internal error")
	})
	streams, endStreams := context.WithCancel(context.Background())
	g := &GRPC{
		endStreams: endStreams,
		health:     health.NewServer(),
		server: grpc.NewServer(
			grpc.ChainUnaryInterceptor(metrics.UnaryServerInterceptor(), recovery.UnaryServerInterceptor(recovered)),
			grpc.ChainStreamInterceptor(metrics.StreamServerInterceptor(), endWith(streams), recovery.StreamServerInterceptor(recovered)),
			grpc.ForceServerCodecV2(newCodec()),
			grpc.MaxRecvMsgSize(maxMessageBytes),
			grpc.MaxHeaderListSize(maxHeaderListBytes),
			grpc.MaxConcurrentStreams(1000),
			grpc.ConnectionTimeout(5*time.Second),
			// A dead peer is noticed within half a minute; Envoy's own pings, every ten seconds at the most,
			// are not an offence.
			grpc.KeepaliveParams(keepalive.ServerParameters{Time: 20 * time.Second, Timeout: 10 * time.Second}),
			grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		),
	}
	authv3.RegisterAuthorizationServer(g.server, New(o.Decider, o.Log))
	healthv1.RegisterHealthServer(g.server, g.health)
	if o.Reflection {
		reflection.Register(g.server)
	}
	metrics.InitializeMetrics(g.server)
	g.health.SetServingStatus("", healthv1.HealthCheckResponse_SERVING)
	g.health.SetServingStatus(Service, healthv1.HealthCheckResponse_SERVING)
	return g
}

// Serve answers calls on l until [GRPC.Stop], even one that came first, and then returns nil.
func (g *GRPC) Serve(l net.Listener) error {
	if err := g.server.Serve(l); !errors.Is(err, grpc.ErrServerStopped) {
		return err
	}
	return nil
}

// SetHealth says whether another service of the process, which Check does without, can be had.
func (g *GRPC) SetHealth(service string, serving bool) {
	status := healthv1.HealthCheckResponse_NOT_SERVING
	if serving {
		status = healthv1.HealthCheckResponse_SERVING
	}
	g.health.SetServingStatus(service, status)
}

// Drain makes every health check fail from now on, while calls are still answered.
func (g *GRPC) Drain() { g.health.Shutdown() }

// Stop closes the listener, tells clients to go elsewhere and waits for calls in flight, at most until
// ctx ends; then it cuts them off. Streams, of health watches and reflection, end at once.
func (g *GRPC) Stop(ctx context.Context) {
	g.endStreams()
	done := make(chan struct{})
	go func() {
		g.server.GracefulStop()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		g.server.Stop()
		<-done
	}
}

// endWith ends streams with a context: they last as long as their client likes, and would hold an orderly
// stop for all of its time.
func endWith(streams context.Context) grpc.StreamServerInterceptor {
	return func(service any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		ended := make(chan error, 1)
		go func() { ended <- handler(service, stream) }()
		select {
		case err := <-ended:
			return err
		case <-streams.Done():
			return status.Error(codes.Unavailable, "the server is going away")
		}
	}
}
