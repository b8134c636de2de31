// Package jsonlines is the door that speaks JSON over a pair of streams: a message a value in, an answer a
// line out, in order.
//
// It translates messages into requests of the engine and decisions into answers; it has no rules of its own.
// Where a field has a type that the door does not know, the message is answered with an error and nothing is
// decided.
package jsonlines

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/problem"
	"github.com/passgate/passgate/internal/strict"
)

// Options are the parts of a [Server]. All are required.
type Options struct {
	// Decider judges until an init message brings a key.
	Decider authz.Decider
	// Init returns what judges with the key of an init message: the text of a JSON string, or a JSON object
	// (a JWK or JWKS) as it was written. It is "" where there is no usable key, an empty string or another
	// type, and then no token may be good.
	Init func(jwtPublicKey string) authz.Decider
	Log  *slog.Logger
}

// Server answers the messages of one stream. It is not safe for concurrent use.
type Server struct {
	decider authz.Decider
	init    func(string) authz.Decider
	log     *slog.Logger
}

// New returns a server of these parts. It panics if one is missing, which is a fault of the program.
func New(o Options) *Server {
	if o.Decider == nil || o.Init == nil || o.Log == nil {
		panic("jsonlines: a server needs a decider, an init and a log")
	}
	return &Server{o.Decider, o.Init, o.Log}
}

// Serve answers what it reads from in, one Write to out for each message, until the end of the input or,
// between two messages, of ctx. A Read that blocks is ended by whoever owns in. The error is that of a
// stream, or of ctx; no message causes one.
func (s *Server) Serve(ctx context.Context, in io.Reader, out io.Writer) error {
	f := newFramer(in)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		value, err := f.next()
		if err == io.EOF {
			return nil
		}
		var m message
		var r reply
		if broken := (*brokenError)(nil); errors.As(err, &broken) {
			r = failed(&m, broken)
		} else if err != nil {
			return fmt.Errorf("read a message: %w", err)
		} else {
			r = s.answer(ctx, &m, value)
		}
		line, err := m.line(r)
		if err != nil {
			return err
		}
		if _, err := out.Write(line); err != nil {
			return fmt.Errorf("write an answer: %w", err)
		}
	}
}

// answer returns the reply to a value, and fills m from it. A panic is a reply with 503.
func (s *Server) answer(ctx context.Context, m *message, value jsontext.Value) (r reply) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("panic while answering a message", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			r = refused(m, &authz.Decision{})
		}
	}()
	if err := m.read(value); err != nil {
		return failed(m, err)
	}
	kind, err := m.body.Required("type")
	if err != nil {
		return failed(m, err)
	}
	switch kind {
	case typeInit:
		if !isNone(m.body["jwt_public_key"]) {
			s.rekey(m.body)
		}
		return reply{Type: typeInitOK, InReplyTo: m.body["msg_id"]}
	case typeAPIRequest:
		request, err := request(m.body)
		if err != nil {
			return failed(m, err)
		}
		return decided(m, s.decider.Decide(ctx, request))
	}
	return failed(m, errors.New("the type is neither init nor api_request"))
}

// rekey replaces what judges. Whatever comes of it, the former key is not used any more.
func (s *Server) rekey(body strict.Object) {
	next := authz.Decider(unavailable{})
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("panic while taking the key of an init message", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		}
		s.decider = next
	}()
	key, _, _ := body.String("jwt_public_key") // "" of any other type
	if v := body["jwt_public_key"]; v.Kind() == '{' {
		key = string(v)
	}
	if d := s.init(key); d != nil {
		next = d
	}
}

// unavailable refuses every request as one that cannot be judged.
type unavailable struct{}

func (unavailable) Decide(context.Context, *authz.Request) authz.Decision {
	return authz.Decision{Cause: "the key of the init message could not be taken"}
}

// decided returns the reply that tells a decision. It is the one place that writes status 200.
func decided(m *message, d authz.Decision) reply {
	if !d.Allowed() {
		return refused(m, &d)
	}
	r := reply{Type: typeAPIResponse, InReplyTo: m.body["msg_id"], Status: 200, Service: d.Rule.Service}
	if id := d.Identity; id != nil {
		r.UserContext = &userContext{id.UserID, strings.Join(id.Roles, ","), id.Permissions}
	}
	return r
}

// refused returns the reply that tells a refusal.
func refused(m *message, d *authz.Decision) reply {
	p := problem.Of(d)
	return reply{Type: typeAPIResponse, InReplyTo: m.body["msg_id"], Status: p.Status, Error: p.Text}
}

// failed returns the reply to what is no message.
func failed(m *message, err error) reply {
	return reply{Type: typeError, InReplyTo: m.body["msg_id"], Text: err.Error()}
}
