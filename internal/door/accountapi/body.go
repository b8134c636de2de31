package accountapi

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/passgate/passgate/internal/account"
	"github.com/passgate/passgate/internal/strict"
)

// judgeMediaType returns an error if a request's header does not say that its body is plain JSON.
func judgeMediaType(h http.Header) error {
	types := h.Values("Content-Type")
	if len(types) != 1 {
		return errMediaType
	}
	mediaType, parameters, err := mime.ParseMediaType(types[0])
	if err != nil || mediaType != jsonType {
		return errMediaType
	}
	for name, value := range parameters {
		if name != "charset" || !strings.EqualFold(value, "utf-8") {
			return errMediaType
		}
	}
	for _, line := range h.Values("Content-Encoding") {
		for coding := range strings.SplitSeq(line, ",") {
			if coding = strings.Trim(coding, " \t"); coding != "" && !strings.EqualFold(coding, "identity") {
				return errEncoding
			}
		}
	}
	return nil
}

// readBody returns the whole body of a request.
func (h *Handler) readBody(x *exchange) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(x.w, x.r.Body, h.maxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, errTooLarge
	}
	if err != nil {
		return nil, fmt.Errorf("%w: it ends early", errMalformed)
	}
	return body, nil
}

// members are those of a body, read by name; what is wrong with them gathers in faults.
type members struct {
	object strict.Object
	faults []account.Field
}

func parseBody(body []byte) (*members, error) {
	object, err := strict.ParseObject(body)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errMalformed, err)
	}
	return &members{object: object}, nil
}

// optional returns a member that is a string, "" if it is not there.
func (m *members) optional(name string) string {
	s, _, err := m.object.String(name)
	if err != nil {
		m.faults = append(m.faults, account.Field{Name: name, Message: "want a string"})
	}
	return s
}

// required returns a member that has to be there and a string.
func (m *members) required(name string) string {
	if _, ok := m.object[name]; !ok {
		m.faults = append(m.faults, account.Field{Name: name, Message: "is required"})
	}
	return m.optional(name)
}

// err returns what is wrong with the members that were read, an [*account.InvalidError].
func (m *members) err() error {
	if len(m.faults) == 0 {
		return nil
	}
	return &account.InvalidError{Fields: m.faults}
}

func readSignUp(body []byte) (account.SignUp, error) {
	m, err := parseBody(body)
	if err != nil {
		return account.SignUp{}, err
	}
	in := account.SignUp{
		Email: m.required("email"), Password: m.required("password"),
		Name: m.optional("name"), Country: m.optional("country"), Platform: m.optional("platform"),
	}
	return in, m.err()
}

func readLogIn(body []byte) (account.LogIn, error) {
	m, err := parseBody(body)
	if err != nil {
		return account.LogIn{}, err
	}
	in := account.LogIn{Email: m.required("email"), Password: m.required("password")}
	return in, m.err()
}
