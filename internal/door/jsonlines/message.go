package jsonlines

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/strict"
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
	body      strict.Object // the type of a field is judged where the field is used
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
	top, err := strict.ParseObject(value)
	if err != nil {
		return fmt.Errorf("the message is %w", err)
	}
	// A bare body has a type; one that also has a field "body" is still a bare body.
	if top["type"] != nil || top["src"] == nil && top["dest"] == nil && top["body"] == nil {
		m.body = top
		return nil
	}
	m.enveloped, m.src, m.dest = true, top["src"], top["dest"]
	if top["body"] == nil {
		return errors.New(`"body" is missing`)
	}
	if m.body, err = strict.ParseObject(top["body"]); err != nil {
		return fmt.Errorf(`"body" is %w`, err)
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
func request(body strict.Object) (*authz.Request, error) {
	r := &authz.Request{Reaches: authz.Named}
	var err error
	if r.Method, err = body.Required("method"); err != nil {
		return nil, err
	}
	if r.Path, err = body.Required("path"); err != nil {
		return nil, err
	}
	r.Path, _, _ = strings.Cut(r.Path, "?")
	if r.Host, err = optional(body, "host", "localhost"); err != nil {
		return nil, err
	}
	permissions, err := optional(body, authz.RequiredPermission, "")
	if err != nil {
		return nil, err
	}
	if permissions != "" {
		r.Context = map[string]string{authz.RequiredPermission: permissions}
	}
	r.Headers, err = headers(body["headers"])
	return r, err
}

// isNone reports whether a field is absent or null.
func isNone(v jsontext.Value) bool { return v == nil || v.Kind() == 'n' }

// optional returns the string that a field holds, or what stands for none.
func optional(body strict.Object, name, none string) (string, error) {
	if isNone(body[name]) {
		return none, nil
	}
	return body.Required(name)
}

// headers returns the header lines of an object, ordered by name, a list being repeats. Names that differ
// only in case are lines of their own, so the engine sees them as the repeats that they are.
func headers(v jsontext.Value) ([]authz.Header, error) {
	if isNone(v) {
		return nil, nil
	}
	object, err := strict.ParseObject(v)
	if err != nil {
		return nil, fmt.Errorf(`"headers" is %w`, err)
	}
	var lines []authz.Header
	for _, name := range slices.Sorted(maps.Keys(object)) {
		values, err := object.StringOrStrings(name)
		if err != nil {
			return nil, fmt.Errorf(`"headers": %.64q is neither a string nor an array of strings`, name)
		}
		for _, value := range values {
			lines = append(lines, authz.Header{Name: name, Value: value})
		}
	}
	return lines, nil
}
