package passport

import (
	"context"
	"errors"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// The keys of the two headers in gRPC's metadata, which are in lower case.
var (
	metadataKey          = strings.ToLower(Header)
	signatureMetadataKey = strings.ToLower(SignatureHeader)
)

// UnaryServerInterceptor is [Verifier.Middleware] for unary calls: those that are refused end with the code
// Unavailable for [ErrKeys], else Unauthenticated. It judges health checks and reflection too: where they have to
// answer without a passport, wrap it in one that looks at FullMethod, or give them a server of their own.
func (v *Verifier) UnaryServerInterceptor() grpc.UnaryServerInterceptor {
	return func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		ctx, err := v.admitCall(ctx)
		if err != nil {
			return nil, err
		}
		return handler(ctx, request)
	}
}

// StreamServerInterceptor is [Verifier.UnaryServerInterceptor] for streams. A stream is judged once, when it
// begins: it may outlive the age that its passport may have.
func (v *Verifier) StreamServerInterceptor() grpc.StreamServerInterceptor {
	return func(server any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		ctx, err := v.admitCall(stream.Context())
		if err != nil {
			return err
		}
		return handler(server, verifiedStream{stream, ctx})
	}
}

// verifiedStream is a stream with the passport in its context.
type verifiedStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s verifiedStream) Context() context.Context { return s.ctx }

// admitCall is admit for a call; its errors are those that the caller is shown.
func (v *Verifier) admitCall(ctx context.Context) (context.Context, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	ctx, err := v.admit(ctx, md.Get(metadataKey), md.Get(signatureMetadataKey))
	switch {
	case errors.Is(err, ErrKeys):
		return nil, status.Error(codes.Unavailable, "Passport cannot be verified now")
	case err != nil:
		return nil, status.Error(codes.Unauthenticated, "Passport refused")
	}
	return ctx, nil
}
