package extauthz

import (
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	grpcencoding "google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers the codec that newCodec stands on
	"google.golang.org/grpc/mem"
)

// codec is gRPC's own for protobuf but in one thing: a CheckRequest that cannot be read is an empty one,
// which Check denies. gRPC would answer it with an error, which Envoy may be told to take as an allow.
type codec struct{ grpcencoding.CodecV2 }

func newCodec() codec { return codec{grpcencoding.GetCodecV2("proto")} }

func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	err := c.CodecV2.Unmarshal(data, v)
	if in, ok := v.(*authv3.CheckRequest); ok && err != nil {
		in.Reset()
		return nil
	}
	return err
}
