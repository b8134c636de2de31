package jsonlines

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/passgate/passgate/internal/authz"
)

// The types of a message's body.
const (
	typeInit        = "init"
	typeInitOK      = "init_ok"
	typeAPIRequest  = "api_request"
	typeAPIResponse = "api_response"
	typeError       = "error"
)

// message is what was understood of one value; what was not is nil.
type message struct {
	enveloped bool
	src, dest jsontext.Value
	body      body
}

// body holds each field as it was written: its type is judged where the field is used.
type body struct {
	Type               jsontext.Value `json:"type"`
	MsgID              jsontext.Value `json:"msg_id"`
	JWTPublicKey       jsontext.Value `json:"jwt_public_key"`
	Method             jsontext.Value `json:"method"`
	Host               jsontext.Value `json:"host"`
	Path               jsontext.Value `json:"path"`
	Headers            jsontext.Value `json:"headers"`
	RequiredPermission jsontext.Value `json:"required_permission"`
}

// reply is a body that is written; its order is that of the fields.
type reply struct {
	Type        string         `json:"type"`
	InReplyTo   jsontext.Value `json:"in_reply_to,omitzero"`
	Status      int            `json:"status,omitzero"`
	Service     string         `json:"service,omitzero"`
	UserContext *userContext   `json:"user_context,omitzero"`
	Error       string         `json:"error,omitzero"`
	Text        string         `json:"text,omitzero"`
}

// userContext says who was proven, in values as they are: nothing is encoded as for a header.
type userContext struct {
	UserID      string   `json:"user_id"`
	Role        string   `json:"role"`
	Permissions []string `json:"permissions"`
}

// read fills m from a value. The error is for the sender; m holds what was understood before it.
func (m *message) read(value jsontext.Value) error {
	if value.Kind() != '{' {
		return errors.New("the message is not an object")
	}
	var top struct {
		Src  jsontext.Value `json:"src"`
		Dest jsontext.Value `json:"dest"`
		Body jsontext.Value `json:"body"`
		Type jsontext.Value `json:"type"`
	}
	if err := json.Unmarshal(value, &top); err != nil {
		return fmt.Errorf("malformed JSON: %w", err)
	}
	// A bare body has a type; one that also has a field "body" is still a bare body.
	if top.Type == nil && (top.Src != nil || top.Dest != nil || top.Body != nil) {
		m.enveloped, m.src, m.dest = true, top.Src, top.Dest
		value = top.Body
		if value.Kind() != '{' {
			return errors.New("body is missing or not an object")
		}
	}
	if err := json.Unmarshal(value, &m.body); err != nil {
		return fmt.Errorf("malformed JSON: %w", err)
	}
	return nil
}

// line returns a reply to m as one line of output, written as the exercise writes it.
func (m *message) line(r reply) ([]byte, error) {
	var value any = r
	if m.enveloped {
		value = struct {
			Src  jsontext.Value `json:"src,omitzero"`
			Dest jsontext.Value `json:"dest,omitzero"`
			Body reply          `json:"body"`
		}{m.dest, m.src, r}
	}
	line, err := json.Marshal(value,
		jsontext.SpaceAfterColon(true), jsontext.SpaceAfterComma(true),
		jsontext.PreserveRawStrings(true), // a msg_id goes back as it came
		jsontext.AllowInvalidUTF8(true),   // replaced; a name in the configuration must not cost the answer
	)
	if err != nil {
		return nil, fmt.Errorf("write a reply: %w", err)
	}
	return append(line, '\n'), nil
}

// request returns what an api_request asks. A field of the wrong type is an error and never ignored: it
// might have asked for more than what would be left.
func (b *body) request() (*authz.Request, error) {
	r := &authz.Request{Host: "localhost", NeedService: true}
	var err error
	if r.Method, err = text("method", b.Method); err != nil {
		return nil, err
	}
	if r.Path, err = text("path", b.Path); err != nil {
		return nil, err
	}
	r.Path, _, _ = strings.Cut(r.Path, "?")
	if !isNone(b.Host) {
		if r.Host, err = text("host", b.Host); err != nil {
			return nil, err
		}
	}
	if !isNone(b.RequiredPermission) {
		list, err := text("required_permission", b.RequiredPermission)
		if err != nil {
			return nil, err
		}
		r.Require = authz.SplitPermissions(list)
	}
	if !isNone(b.Headers) {
		if r.Headers, err = headers(b.Headers); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// isNone reports whether a field is absent or null.
func isNone(v jsontext.Value) bool { return v == nil || v.Kind() == 'n' }

// text returns the string that a field holds.
func text(field string, v jsontext.Value) (string, error) {
	if v == nil {
		return "", fmt.Errorf("%s is missing", field)
	}
	if v.Kind() != '"' {
		return "", fmt.Errorf("%s is not a string", field)
	}
	s, err := jsontext.AppendUnquote(nil, v)
	if err != nil {
		return "", fmt.Errorf("%s is not a string: %w", field, err)
	}
	return string(s), nil
}

// headers returns the header lines of an object in its order, a list being repeats. Names that differ only
// in case are lines of their own, so the engine sees them as the repeats that they are.
func headers(v jsontext.Value) ([]authz.Header, error) {
	if v.Kind() != '{' {
		return nil, errors.New("headers is not an object")
	}
	var lines []authz.Header
	d := jsontext.NewDecoder(strings.NewReader(string(v)))
	if _, err := d.ReadToken(); err != nil { // {
		return nil, fmt.Errorf("read headers: %w", err)
	}
	for d.PeekKind() != '}' {
		token, err := d.ReadToken()
		if err != nil {
			return nil, fmt.Errorf("read headers: %w", err)
		}
		name := token.String()
		value, err := d.ReadValue()
		if err != nil {
			return nil, fmt.Errorf("read headers: %w", err)
		}
		values := []jsontext.Value{value}
		if value.Kind() == '[' {
			values = nil
			if err := json.Unmarshal(value, &values); err != nil {
				return nil, fmt.Errorf("read headers: %w", err)
			}
		}
		for _, v := range values {
			s, err := text("a header's value", v)
			if err != nil {
				return nil, fmt.Errorf("%w or a list of strings", err)
			}
			lines = append(lines, authz.Header{Name: name, Value: s})
		}
	}
	return lines, nil
}
