package authz

import "strings"

// Kind is the kind of a credential. The zero value is no kind, and no verifier serves it.
type Kind uint8

// The kinds of credential that a request can carry.
const (
	KindJWT    Kind = iota + 1 // a bearer token of three dot-separated parts (RFC 7519)
	KindOpaque                 // any other bearer token (RFC 6750)
	KindAPIKey                 // Authorization: ApiKey …
)

// String returns the kind as written in traces and logs.
func (k Kind) String() string {
	switch k {
	case KindJWT:
		return "JWT"
	case KindOpaque:
		return "opaque token"
	case KindAPIKey:
		return "API key"
	}
	return "unknown credential"
}

// Credential is what the caller presented. Value is secret: it is never logged.
type Credential struct {
	Kind  Kind
	Value string
	Trace *Trace // takes the steps of the verification; nil when nobody asks
}

// findCredential returns the credential among the headers of a request. The reason is ReasonGranted if
// there is exactly one, ReasonCredentialMissing if there is none.
func findCredential(headers []Header) (Credential, Reason, string) {
	value, lines := "", 0
	for i := range headers {
		if strings.EqualFold(headers[i].Name, "authorization") {
			value = headers[i].Value
			lines++
		}
	}
	// Envoy and many servers join repeats with a comma, which no credential contains.
	switch {
	case lines > 1:
		return Credential{}, ReasonCredentialsMultiple, "more than one Authorization header"
	case strings.Contains(value, ","):
		return Credential{}, ReasonCredentialsMultiple, "a comma in the Authorization header, as if two were joined"
	}
	value = strings.Trim(value, " \t") // RFC 9110 §5.5: not part of a header's value
	if value == "" {
		return Credential{}, ReasonCredentialMissing, "no Authorization header"
	}
	scheme, rest, _ := strings.Cut(value, " ")
	var c Credential
	switch {
	case strings.EqualFold(scheme, "Bearer"):
		c = Credential{Kind: KindOpaque, Value: rest}
		if strings.Count(rest, ".") == 2 {
			c.Kind = KindJWT
		}
	case strings.EqualFold(scheme, "ApiKey"):
		c = Credential{Kind: KindAPIKey, Value: rest}
	default:
		return Credential{}, ReasonCredentialInvalid, "the Authorization scheme is neither Bearer nor ApiKey"
	}
	if !isToken68(c.Value) {
		return Credential{}, ReasonCredentialInvalid, "the " + c.Kind.String() + " is empty or holds a character that no credential has"
	}
	return c, ReasonGranted, ""
}

// isToken68 reports whether s is a non-empty run of the characters that RFC 6750 §2.1 (b64token) and
// RFC 9110 §11.2 (token68) give a credential. They are safe in a header, a log line and a shell alike.
func isToken68(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '-', c == '.', c == '_', c == '~', c == '+', c == '/', c == '=':
		default:
			return false
		}
	}
	return s != ""
}
