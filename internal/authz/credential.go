package authz

import (
	"regexp"
	"slices"
	"strings"
)

// Kind is the kind of a credential. The zero value is no kind, and no verifier serves it.
type Kind uint8

// The kinds of credential that a request can carry.
const (
	KindJWT    Kind = iota + 1 // a bearer token of three dot-separated parts (RFC 7519)
	KindOpaque                 // any other bearer token (RFC 6750)
	KindAPIKey                 // Authorization: ApiKey …, or the header for it alone
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
	// Sources are the names of those whose credentials the route takes; empty: anybody's. A verifier that would show
	// the credential to somebody asks nobody else.
	Sources []string
	Trace   *Trace // takes the steps of the verification; nil when nobody asks
}

// credentialLine is a header that carries a credential, as far as it was found.
type credentialLine struct {
	name, value string
	lines       int
}

func (l *credentialLine) see(h *Header) {
	if strings.EqualFold(h.Name, l.name) {
		l.value = strings.Trim(h.Value, " \t") // RFC 9110 §5.5: not part of a header's value
		l.lines++
	}
}

// repeated returns why the header counts as more than one, or "".
func (l *credentialLine) repeated() string {
	switch {
	case l.lines > 1:
		return "more than one " + l.name + " header"
	case strings.Contains(l.value, ","): // Envoy and many servers join repeats so, and no credential contains it
		return "a comma in the " + l.name + " header, as if two were joined"
	}
	return ""
}

// findCredential returns the credential among the headers of a request; apiKeyHeader is the one that holds an API
// key and nothing else, "" for none. The reason is ReasonGranted if there is exactly one credential,
// ReasonCredentialMissing if there is none.
func findCredential(headers []Header, apiKeyHeader string) (Credential, Reason, string) {
	authorization, apiKey := credentialLine{name: "Authorization"}, credentialLine{name: apiKeyHeader}
	for i := range headers {
		authorization.see(&headers[i])
		if apiKeyHeader != "" {
			apiKey.see(&headers[i])
		}
	}
	for _, l := range []*credentialLine{&authorization, &apiKey} {
		if why := l.repeated(); why != "" {
			return Credential{}, ReasonCredentialsMultiple, why
		}
	}
	var c Credential
	switch scheme, rest, _ := strings.Cut(authorization.value, " "); {
	case authorization.value != "" && apiKey.value != "":
		return Credential{}, ReasonCredentialsMultiple, "both an Authorization and an " + apiKeyHeader + " header"
	case apiKey.value != "":
		c = Credential{Kind: KindAPIKey, Value: apiKey.value}
	case authorization.value == "":
		if apiKeyHeader != "" {
			return Credential{}, ReasonCredentialMissing, "neither an Authorization nor an " + apiKeyHeader + " header"
		}
		return Credential{}, ReasonCredentialMissing, "no Authorization header"
	case strings.EqualFold(scheme, "Bearer"):
		c = Credential{Kind: KindOpaque, Value: rest}
		if strings.Count(rest, ".") == 2 {
			c.Kind = KindJWT
		}
	case strings.EqualFold(scheme, apiKeyScheme):
		c = Credential{Kind: KindAPIKey, Value: rest}
	default:
		return Credential{}, ReasonCredentialInvalid, "the Authorization scheme is neither Bearer nor ApiKey"
	}
	if c.Kind != KindAPIKey && strings.HasPrefix(c.Value, APIKeyPrefix) { // nobody is shown it as a token
		return Credential{}, ReasonCredentialInvalid, "an API key stands where a bearer token does; its scheme is ApiKey"
	}
	if !isToken68(c.Value) {
		return Credential{}, ReasonCredentialInvalid, "the " + c.Kind.String() + " is empty or holds a character that no credential has"
	}
	return c, ReasonGranted, ""
}

const apiKeyScheme = "ApiKey"

// APIKeyPrefix begins every API key of passgate's own.
const APIKeyPrefix = "pgk_"

// apiKeyHeaders appends to dst the headers of a request that hold an API key, well-formed or not, under the name of
// their header or one that a careless server takes for it. Unlike a token, which has a short life, a key never goes
// on to the upstream. Headers that were not shown are named unseen.
func apiKeyHeaders(dst []string, r *Request, apiKeyHeader string) []string {
	if apiKeyHeader != "" && r.HeadersFiltered {
		dst = append(dst, strings.ToLower(apiKeyHeader), strings.ReplaceAll(strings.ToLower(apiKeyHeader), "-", "_"))
	}
	for i := range r.Headers {
		h := &r.Headers[i]
		if apiKeyHeader != "" && readsAs(h.Name, apiKeyHeader) || strings.EqualFold(h.Name, "authorization") && holdsAPIKey(h.Value) {
			if name := strings.ToLower(h.Name); !slices.Contains(dst, name) {
				dst = append(dst, name)
			}
		}
	}
	return dst
}

// readsAs reports whether a header name could be taken for another: in any case, and with any character that is neither
// letter nor digit in the place of a dash, as CGI turns a dash into an underscore.
func readsAs(name, other string) bool {
	if len(name) != len(other) {
		return false
	}
	for i := range len(name) {
		a, b := name[i]|0x20, other[i]|0x20
		if a != b && !(other[i] == '-' && !('a' <= a && a <= 'z' || '0' <= name[i] && name[i] <= '9')) {
			return false
		}
	}
	return true
}

// apiKeyInside finds an API key in a text. Within a token its first letters may stand by chance.
var apiKeyInside = regexp.MustCompile(`(^|[^A-Za-z0-9._~+/-])` + APIKeyPrefix)

// holdsAPIKey reports whether one of the credentials that may have been joined in an Authorization header is an API
// key, whatever its scheme.
func holdsAPIKey(authorization string) bool {
	if strings.Contains(authorization, APIKeyPrefix) && apiKeyInside.MatchString(authorization) {
		return true
	}
	for part := range strings.SplitSeq(authorization, ",") {
		part = strings.Trim(part, " \t")
		if i := strings.IndexAny(part, " \t"); i > 0 && strings.EqualFold(part[:i], apiKeyScheme) {
			return true
		}
	}
	return false
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
