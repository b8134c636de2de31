package passport_test

import (
	"context"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/passgate/passgate/passport"
)

// callee notes who calls it. It implements the health service, as that one has a unary call and a stream.
type callee struct {
	grpc_health_v1.UnimplementedHealthServer
	user string // of the last call; "nobody" without a passport
}

func (c *callee) note(ctx context.Context) *grpc_health_v1.HealthCheckResponse {
	c.user = "nobody"
	if p, ok := passport.FromContext(ctx); ok {
		c.user = p.UserID
	}
	return &grpc_health_v1.HealthCheckResponse{Status: grpc_health_v1.HealthCheckResponse_SERVING}
}

func (c *callee) Check(ctx context.Context, _ *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	return c.note(ctx), nil
}

func (c *callee) Watch(_ *grpc_health_v1.HealthCheckRequest, s grpc.ServerStreamingServer[grpc_health_v1.HealthCheckResponse]) error {
	return s.Send(c.note(s.Context()))
}

// startGRPC serves a callee behind the verifier and returns a client of it.
func startGRPC(tb testing.TB, v *passport.Verifier) (*callee, grpc_health_v1.HealthClient) {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	c := new(callee)
	server := grpc.NewServer(grpc.UnaryInterceptor(v.UnaryServerInterceptor()), grpc.StreamInterceptor(v.StreamServerInterceptor()))
	grpc_health_v1.RegisterHealthServer(server, c)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		conn.Close()
		server.Stop()
		if err := <-served; err != nil {
			tb.Error(err)
		}
	})
	return c, grpc_health_v1.NewHealthClient(conn)
}

// call makes the unary call and the stream with these lines and returns how each ended, and as whom it arrived.
func call(t *testing.T, c *callee, client grpc_health_v1.HealthClient, l lines) (results [2]codes.Code, users [2]string) {
	t.Helper()
	md := metadata.MD{"x-passport": l.values, "x-passport-signature": l.signatures}
	ctx := metadata.NewOutgoingContext(t.Context(), md)
	c.user = ""
	_, err := client.Check(ctx, nil)
	results[0], users[0] = status.Code(err), c.user

	c.user = ""
	stream, err := client.Watch(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = stream.Recv()
	results[1], users[1] = status.Code(err), c.user
	return results, users
}

func TestInterceptors(t *testing.T) {
	for _, optional := range []bool{false, true} {
		c, client := startGRPC(t, newVerifier(t, func(o *passport.Options) { o.Optional = optional }))
		for _, tt := range arrivals() {
			t.Run(tt.name, func(t *testing.T) {
				code, user := codes.OK, tt.user
				if tt.optional && optional {
					user = "nobody"
				}
				if user == "" {
					code = codes.Unauthenticated
				}
				if got, users := call(t, c, client, tt.lines); got != [2]codes.Code{code, code} || users != [2]string{user, user} {
					t.Errorf("optional %t: a call and a stream end with %v as %q, want %v as %q", optional, got, users, code, user)
				}
			})
		}
	}
}

func TestInterceptorsWithoutKeys(t *testing.T) {
	c, client := startGRPC(t, new(passport.Verifier))
	value := ann.Encode()
	l := lines{[]string{value}, []string{sign('k', "k", value)}}
	if got, users := call(t, c, client, l); got != [2]codes.Code{codes.Unavailable, codes.Unavailable} || users != [2]string{} {
		t.Errorf("a call and a stream end with %v as %q", got, users)
	}
}

// A handler that calls interceptors itself, or a server without metadata, is refused.
func TestInterceptorWithoutMetadata(t *testing.T) {
	unary := newVerifier(t, nil).UnaryServerInterceptor()
	_, err := unary(t.Context(), nil, nil, func(context.Context, any) (any, error) {
		t.Error("it was called")
		return nil, nil
	})
	if status.Code(err) != codes.Unauthenticated {
		t.Errorf("it ended with %v", err)
	}
}
