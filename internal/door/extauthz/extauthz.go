// Package extauthz is the door that Envoy and Istio call: envoy.service.auth.v3.Authorization over gRPC.
//
// It translates Envoy's CheckRequest into a request of the engine and the decision into a CheckResponse,
// and has no rules of its own. Envoy takes any answer with status code 0 as an allow, an empty one
// included, and under failure_mode_allow any gRPC error too. So every answer starts as a denial, one
// place writes the code 0, and no call ends in a gRPC error.
package extauthz

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/passgate/passgate/internal/authz"
)

// Service is the gRPC service name, by which Envoy's health check asks for it.
const Service = "envoy.service.auth.v3.Authorization"

// Server answers Check. Make one with [New].
type Server struct {
	authv3.UnimplementedAuthorizationServer
	decider      authz.Decider
	log          *slog.Logger
	warnFiltered sync.Once
}

var _ authv3.AuthorizationServer = (*Server)(nil)

// New returns a server that asks decider.
func New(decider authz.Decider, log *slog.Logger) *Server {
	return &Server{decider: decider, log: log}
}

// Check implements envoy.service.auth.v3.Authorization. Its error is always nil, so that the outcome does
// not hang on Envoy's failure_mode_allow.
func (s *Server) Check(ctx context.Context, in *authv3.CheckRequest) (out *authv3.CheckResponse, _ error) {
	defer func() {
		if p := recover(); p != nil {
			s.log.ErrorContext(ctx, "check panicked", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			out = denied(&authz.Decision{}, false)
		}
	}()
	r := requestFrom(in)
	if r.HeadersFiltered {
		s.warnFiltered.Do(func() {
			s.log.WarnContext(ctx, "Envoy shows Check only some of the request's headers: aliases of identity headers are removed unseen, others pass; take allowed_headers out of its ext_authz filter")
		})
	}
	d := s.decider.Decide(ctx, r)
	if !d.Allowed() {
		return denied(&d, isGRPC(r)), nil
	}
	return granted(&d), nil
}
