package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/identity"
	"github.com/passgate/passgate/internal/keyset"
	"github.com/passgate/passgate/internal/yamlstrict"
)

// Bounds of what is asked of other servers.
const (
	usualRefresh   = 5 * time.Minute
	minRefresh     = 10 * time.Second
	maxRefresh     = 24 * time.Hour
	usualKeyAge    = 24 * time.Hour
	maxKeyAge      = 7 * 24 * time.Hour
	maxCache       = time.Hour
	maxNegative    = time.Minute
	minAsk, maxAsk = 10 * time.Millisecond, 150 * time.Millisecond // Envoy waits 200 ms
	maxCalls       = 128                                           // connections that a client has to one server
)

// judgeRemote returns where the keys of an issuer are fetched.
func (l *loader) judgeRemote(at, field string, in *issuer, s keySource) *Remote {
	l.judgeURL(field, s.value, "https://idp.example.com/jwks")
	if in.KeyID != "" {
		l.doc.Fault(at+".kid", "stands beside %s, whose keys have their own; take it out", s.field)
	}
	// Whoever can fetch the set would know the secret.
	if i := slices.Index(in.Algorithms, string(keyset.HS256)); i >= 0 {
		l.doc.Fault(fmt.Sprintf("%s.algorithms[%d]", at, i), "a key that is fetched is no secret; take HS256 out")
	}
	if !l.doc.Has(at + ".audiences") {
		l.doc.Fault(at+".audiences", "is missing; such an issuer makes tokens for many services: list the audiences of this one, or write any")
	}
	r := &Remote{URL: s.value, Discovery: s.field == "discovery_url", Refresh: usualRefresh, MaxAge: usualKeyAge}
	if in.JWKSRefresh != 0 {
		r.Refresh = in.JWKSRefresh
	}
	if in.JWKSMaxAge != 0 {
		r.MaxAge = in.JWKSMaxAge
	}
	if r.Refresh < minRefresh || r.Refresh > maxRefresh {
		l.doc.Fault(at+".jwks_refresh", "want a duration from %v to %v", minRefresh, maxRefresh)
	}
	if r.MaxAge < r.Refresh || r.MaxAge > maxKeyAge {
		l.doc.Fault(at+".jwks_max_age", "want a duration from jwks_refresh, which is %v, to %v", r.Refresh, maxKeyAge)
	}
	return r
}

// judgeURL adds a fault to the address of a server that is none.
func (l *loader) judgeURL(field, value, example string) {
	if isBareVariable(value) && !l.doc.FromEnvironment(field) {
		l.doc.Fault(field, sayBraces)
		return
	}
	u, err := url.Parse(value)
	if value != "" && (err != nil || !slices.Contains([]string{"http", "https"}, u.Scheme) || u.Hostname() == "" || u.Opaque != "" || u.User != nil || u.Fragment != "") {
		l.doc.Fault(field, "want a URL such as %s", example)
	}
}

// judgeIntrospection returns the servers that are asked about opaque tokens.
func (l *loader) judgeIntrospection() []Introspection {
	names := map[string]string{}
	for i, in := range l.file.Issuers {
		names[in.Name] = fmt.Sprintf("issuers[%d]", i)
	}
	var all []Introspection
	for i, in := range l.file.Introspection {
		at := fmt.Sprintf("introspection[%d]", i)
		l.judgeName(at+".name", in.Name, "idp")
		if earlier, taken := names[in.Name]; taken && in.Name != "" {
			l.doc.Fault(at+".name", "%s has this name; give each source its own", earlier)
		}
		names[in.Name] = at
		l.judgeURL(at+".url", in.URL, "https://idp.example.com/introspect")
		if !token68.MatchString(in.TokenPrefix) {
			l.doc.Fault(at+".token_prefix", "holds a character that no token has (RFC 6750 §2.1); write how the tokens begin, such as %q", "idp_")
		}
		for _, bound := range []struct {
			field              string
			value, least, most time.Duration
			why                string
		}{
			{".cache", in.Cache, 0, maxCache, ""},
			{".negative_cache", in.NegativeCache, 0, maxNegative, ""},
			{".timeout", in.Timeout, minAsk, maxAsk, ": Envoy waits 200ms for the whole decision, unless it is told otherwise"},
		} {
			if bound.value < bound.least || bound.value > bound.most {
				l.doc.Fault(at+bound.field, "want a duration from %v to %v%s", bound.least, bound.most, bound.why)
			}
		}
		l.within(at+".max_calls", in.MaxCalls, 1, maxCalls)
		l.judgeTolerance(at+".clock_skew", in.ClockSkew)
		all = append(all, Introspection{
			Name: in.Name, URL: in.URL, TokenPrefix: in.TokenPrefix, ClientID: in.ClientID, ClientSecret: l.clientSecret(at, &in),
			Audiences: in.Audiences, Cache: in.Cache, NegativeCache: in.NegativeCache, Timeout: in.Timeout, MaxCalls: in.MaxCalls,
			ClockSkew: in.ClockSkew, UserPrefix: in.UserPrefix, Claims: in.Claims,
		})
	}
	return all
}

// clientSecret returns what passgate proves itself with to an introspection server.
func (l *loader) clientSecret(at string, in *introspection) Secret {
	value, file := at+".client_secret", at+".client_secret_file"
	switch {
	case l.doc.Has(value) && l.doc.Has(file):
		l.doc.Fault(file, "stands beside client_secret; take one of them out")
	case l.doc.Has(file):
		text, _ := l.material(file, keySource{field: "client_secret_file", value: in.ClientSecretFile, isFile: true, secret: true})
		return Secret(text)
	case l.doc.Has(value):
		if isBareVariable(string(in.ClientSecret)) && !l.doc.FromEnvironment(value) {
			l.doc.Fault(value, sayBraces)
		}
		return in.ClientSecret
	default:
		l.doc.Fault(file, "is missing, and so is client_secret; an introspection server answers nobody that it does not know (RFC 7662 §2.1)")
	}
	return ""
}

// token68 is a text that a token may begin with, the empty one among them.
var token68 = regexp.MustCompile(`^[A-Za-z0-9._~+/=-]*$`)

// apiKeyFile is the file that api_keys names.
type apiKeyFile struct {
	Keys []apiKeyEntry `yaml:"keys" want:"the entries that passgate apikey new prints"`
}

type apiKeyEntry struct {
	Name        string   `yaml:"name" required:"true" want:"a word of a-z, 0-9, _ and -, such as ci"`
	SHA256      string   `yaml:"sha256" required:"true" plain:"true" want:"the digest of the key, as passgate apikey new prints it"`
	UserID      string   `yaml:"user_id" required:"true" plain:"true" want:"the user that the key stands for"`
	Roles       []string `yaml:"roles"`
	Permissions []string `yaml:"permissions"`
	Expires     string   `yaml:"expires" plain:"true" want:"a time such as 2030-01-02T15:04:05Z (RFC 3339)"`
	Disabled    bool     `yaml:"disabled"`
}

const maxAPIKeyFile = 4 << 20 // bytes; some ten thousand keys

// judgeAPIKeys returns the API keys, nil where the file has none.
func (l *loader) judgeAPIKeys(c *Config) *APIKeys {
	if !l.doc.Has("api_keys") {
		l.file.APIKeys = apiKeys{} // not shown, as it is of no effect
		return nil
	}
	in := l.file.APIKeys
	if err := identity.CheckCredentialHeader(in.Header); err != nil && l.doc.Sound("api_keys.header") {
		l.doc.Fault("api_keys.header", "%v", err)
	}
	if !l.doc.Has("api_keys.file") {
		return nil
	}
	path := l.path(in.File)
	data, err := l.read(path, maxAPIKeyFile)
	if err != nil {
		l.doc.Fault("api_keys.file", "cannot read the file: %s; a relative name counts from the folder %s", cause(err), l.dir)
		return nil
	}
	out := &APIKeys{Header: in.Header, UserPrefix: in.UserPrefix}
	var content apiKeyFile
	doc := yamlstrict.Read(path, data, nil, &content)
	names, digests, prefixes := map[string]int{}, map[string]int{}, c.Directory().Prefixes
	for i, e := range content.Keys {
		at := fmt.Sprintf("keys[%d]", i)
		out.Keys = append(out.Keys, e.judge(doc, at))
		for _, once := range []struct {
			field, value string
			seen         map[string]int
		}{{"name", e.Name, names}, {"sha256", strings.ToLower(e.SHA256), digests}} {
			if earlier, taken := once.seen[once.value]; taken && once.value != "" {
				doc.Fault(at+"."+once.field, "keys[%d] has this %s; give each entry its own", earlier, once.field)
			}
			once.seen[once.value] = i
		}
		if in.UserPrefix == "" {
			for _, foreign := range prefixes {
				if strings.HasPrefix(e.UserID, foreign) {
					doc.Fault(at+".user_id", "begins with %q, the user_prefix of another source; give api_keys a user_prefix", foreign)
				}
			}
		}
	}
	var faults Errors
	_ = errors.As(doc.Err(), &faults)
	for _, f := range faults {
		if strings.Contains(f.Field+f.Text, authz.APIKeyPrefix) { // the name of a field is shown
			f.Field, f.Text = "keys", "a key stands where none belongs; an entry holds a key's digest, as passgate apikey new prints it"
		}
		l.others = append(l.others, f)
	}
	return out
}

// judge returns the key of the entry whose path is at, by itself.
func (e *apiKeyEntry) judge(doc *yamlstrict.Document, at string) APIKey {
	key := APIKey{Name: e.Name, UserID: e.UserID, Roles: e.Roles, Permissions: e.Permissions, Disabled: e.Disabled}
	if e.Name != "" && !issuerName.MatchString(e.Name) {
		doc.Fault(at+".name", "want a word of a-z, 0-9, _ and -, such as ci")
	}
	digest, err := hex.DecodeString(e.SHA256)
	copy(key.SHA256[:], digest)
	if (err != nil || len(digest) != len(key.SHA256) || key.SHA256 == [sha256.Size]byte{}) && doc.Has(at+".sha256") {
		doc.Fault(at+".sha256", "want the 64 hexadecimal digits of the key's digest, as passgate apikey new prints them; never the key")
	}
	if e.Expires != "" {
		if key.Expires, err = time.Parse(time.RFC3339, e.Expires); err != nil {
			doc.Fault(at+".expires", "want a time such as 2030-01-02T15:04:05Z (RFC 3339)")
		}
	}
	return key
}

// maskQueries overwrites the queries of URLs, which may hold a secret, in what is shown of the file.
func (l *loader) maskQueries() {
	mask := func(address *string) {
		if before, _, has := strings.Cut(*address, "?"); has {
			*address = before + "?" + redacted
		}
	}
	for i := range l.file.Issuers {
		mask(&l.file.Issuers[i].JWKSURL)
		mask(&l.file.Issuers[i].DiscoveryURL)
	}
	for i := range l.file.Introspection {
		mask(&l.file.Introspection[i].URL)
	}
}
