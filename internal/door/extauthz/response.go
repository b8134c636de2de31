package extauthz

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/problem"
)

// granted is the answer to an allowed request, and the one place that writes status code 0.
func granted(d *authz.Decision) *authv3.CheckResponse {
	ok := &authv3.OkHttpResponse{HeadersToRemove: d.Remove}
	for _, h := range d.Stamp.Set {
		ok.Headers = append(ok.Headers, header(h.Name, h.Value))
	}
	return &authv3.CheckResponse{
		Status:          &status.Status{Code: int32(codes.OK)},
		HttpResponse:    &authv3.CheckResponse_OkResponse{OkResponse: ok},
		DynamicMetadata: metadata(d),
	}
}

// denied is the answer to a refused request. For a gRPC client Envoy makes the body its grpc-message.
func denied(d *authz.Decision, grpc bool) *authv3.CheckResponse {
	p := problem.Of(d)
	headers, body := p.Answer(grpc)
	refusal := &authv3.DeniedHttpResponse{Status: &typev3.HttpStatus{Code: typev3.StatusCode(p.Status)}, Body: body}
	for _, h := range headers {
		refusal.Headers = append(refusal.Headers, header(h.Name, h.Value))
	}
	return &authv3.CheckResponse{
		Status:          &status.Status{Code: int32(denialCode(p.Status)), Message: p.Code},
		HttpResponse:    &authv3.CheckResponse_DeniedResponse{DeniedResponse: refusal},
		DynamicMetadata: metadata(d),
	}
}

// denialCode is the gRPC code beside an HTTP status. It is never OK.
func denialCode(status int) codes.Code {
	switch status {
	case 400:
		return codes.InvalidArgument
	case 401:
		return codes.Unauthenticated
	case 403:
		return codes.PermissionDenied
	case 404:
		return codes.NotFound
	}
	return codes.Unavailable
}

// header replaces every header of that name. Envoy 1.40 looks at the legacy append alone, other versions
// at the action, whose own default is to append: so the action is written out and append stays unset.
func header(name, value string) *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{
		Header:       &corev3.HeaderValue{Key: name, Value: value},
		AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
	}
}

// metadata is what Envoy's access log can read of the decision, as
// %DYNAMIC_METADATA(envoy.filters.http.ext_authz:passgate:user_id)%.
func metadata(d *authz.Decision) *structpb.Struct {
	var principal authz.Principal
	if d.Identity != nil {
		principal = d.Identity.Principal
	}
	return object(map[string]*structpb.Value{
		"passgate": structpb.NewStructValue(object(map[string]*structpb.Value{
			"user_id":     structpb.NewStringValue(principal.UserID),
			"roles":       stringList(principal.Roles),
			"permissions": stringList(principal.Permissions),
			"issuer":      structpb.NewStringValue(principal.Issuer),
			"route":       structpb.NewStringValue(d.Rule.Route),
			"service":     structpb.NewStringValue(d.Rule.Service),
			"code":        structpb.NewStringValue(problem.Code(d)),
			"request_id":  structpb.NewStringValue(d.RequestID),
		})),
	})
}

func object(fields map[string]*structpb.Value) *structpb.Struct {
	return &structpb.Struct{Fields: fields}
}

func stringList(list []string) *structpb.Value {
	values := make([]*structpb.Value, len(list))
	for i, s := range list {
		values[i] = structpb.NewStringValue(s)
	}
	return structpb.NewListValue(&structpb.ListValue{Values: values})
}
