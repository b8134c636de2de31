// Package config turns a YAML file into one validated value, naming every fault with its line.
//
// It reads the file, the environment and the files that it names, once. What it returns is complete:
// defaults are filled in, keys parsed, routes compiled. The meaning of routes, keys and header names is
// judged by the packages that own them; their faults are given the line of the field they speak of.
package config

import (
	"crypto/sha256"
	"net/netip"
	"net/url"
	"time"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/identity"
	"github.com/passgate/passgate/internal/keyset"
	"github.com/passgate/passgate/internal/policy"
	"github.com/passgate/passgate/internal/yamlstrict"
)

// DefaultFile is the configuration in the working directory that is read where no other is named.
const DefaultFile = "passgate.yaml"

// Errors are all faults of a configuration, one to a line: FILE:LINE:COL: field: text. A failed [Load]
// returns this type.
type Errors = yamlstrict.Faults

// Warning is what is valid and unwise.
type Warning = yamlstrict.Fault

// Size is a number of bytes.
type Size = yamlstrict.Size

// Config is a valid configuration, with defaults filled in. It is not changed after it was loaded.
type Config struct {
	File string // as given to [Load], or the name of the embedded file

	Listen        Listen
	Issuers       []Issuer
	Keys          *Keys    // nil: there is no directory of keys
	APIKeys       *APIKeys // nil: they are not taken
	Introspection []Introspection
	Roles         map[string][]string // role → permissions
	DefaultAccess authz.Access
	Routes        []policy.Route
	Proxy         *Proxy    // nil: there is none
	Accounts      *Accounts // nil: they are not served
	Idempotency   Idempotency
	Redis         Secret         // URL, "" for none
	TrustedProxy  []netip.Prefix // whose word on the client's address is taken
	Log           Log
	Limits        Limits
	Drain         Drain
	GRPC          GRPC

	Passport *PassportKeys // nil: passports are not signed

	Policy  *policy.Policy    // Routes, DefaultAccess and paths.allow, compiled
	Stamper *identity.Stamper // headers.keep, proxy_state.template and the passport's key, compiled

	Read Snapshot // all files that it was read from

	Warnings []*Warning // what is valid and unwise, in the order of lines

	file file // for Show
}

// Directory returns what all sources of principals share.
func (c *Config) Directory() *authz.Directory {
	d := &authz.Directory{Roles: c.Roles}
	add := func(prefix string) {
		if prefix != "" {
			d.Prefixes = append(d.Prefixes, prefix)
		}
	}
	for _, i := range c.Issuers {
		add(i.UserPrefix)
	}
	for _, i := range c.Introspection {
		add(i.UserPrefix)
	}
	if c.APIKeys != nil {
		add(c.APIKeys.UserPrefix)
	}
	return d
}

// Issuer is a source of JWTs that are accepted.
type Issuer struct {
	Name       string             // for routes, logs and commands
	Issuer     string             // iss
	Algorithms []keyset.Algorithm // those of Keys, and of others that its tokens may be signed by
	Keys       *keyset.Set        // no keys in [Gateway], in [Default] before a key was made, and where they come from elsewhere
	Remote     *Remote            // where its keys are fetched; nil: nowhere
	MintKey    *keyset.Key        // its first HS256 key, which can sign; nil without one
	Audiences  []string           // one of which must be in aud; nil: any
	Leeway     time.Duration      // how long past exp a token is taken
	ClockSkew  time.Duration      // how far ahead nbf and iat may be
	UserPrefix string             // stands before sub in user ids
	Claims     Claims
}

// Remote is a key set behind a URL.
type Remote struct {
	URL       string // of the set, or of OpenID provider metadata that names it
	Discovery bool
	Refresh   time.Duration // between fetches
	MaxAge    time.Duration // how long a set is used when no other can be had
}

// Keys are those of a directory.
type Keys struct {
	Dir    string           // as the process finds it
	Issuer string           // name of the issuer that they are of
	Ring   []keyset.RingKey // what it holds
	Seal   []byte           // a secret that all replicas share, and no rotation changes
}

// APIKeysSource is the name of API keys among the sources of principals.
const APIKeysSource = "api_keys"

// APIKeys are keys that are known by their digests.
type APIKeys struct {
	Header     string // the request header that holds one and nothing else
	UserPrefix string // stands before user ids
	Keys       []APIKey
}

// APIKey is an entry of the file of API keys.
type APIKey struct {
	Name        string
	SHA256      [sha256.Size]byte // of the key
	UserID      string
	Roles       []string
	Permissions []string
	Expires     time.Time // zero: never
	Disabled    bool
}

// Introspection is a server that is asked about opaque tokens (RFC 7662).
type Introspection struct {
	Name          string
	URL           string
	TokenPrefix   string // how its tokens begin; "": in any way
	ClientID      string
	ClientSecret  Secret
	Audiences     []string      // one of which must be in aud; nil: any
	Cache         time.Duration // how long an active token is remembered, and never past exp
	NegativeCache time.Duration // how long one that is not active
	Timeout       time.Duration // of a call, and of one request's wait for it
	MaxCalls      int           // at a time
	ClockSkew     time.Duration
	UserPrefix    string
	Claims        Claims
}

// PassportKeys are what passports are signed with.
type PassportKeys struct {
	Signer *keyset.Signer // EdDSA
	Also   []*keyset.Key  // others that are shown to those who verify
}

// All returns all of them, the one that signs first; none of nil.
func (k *PassportKeys) All() []*keyset.Key {
	if k == nil {
		return nil
	}
	return append([]*keyset.Key{k.Signer.Key()}, k.Also...)
}

// ServesHTTP reports whether there is anything to serve at Listen.HTTP.
func (c *Config) ServesHTTP() bool { return c.Proxy != nil || c.Accounts != nil || c.ServesKeys() }

// ServesKeys reports whether there may be public keys to show.
func (c *Config) ServesKeys() bool { return c.Keys != nil || c.Passport != nil }

// Proxy is the built-in reverse proxy.
type Proxy struct {
	Upstreams map[string]*url.URL // by service; [authz.DefaultService] is for those without one
	Timeout   time.Duration       // until an upstream begins to answer
}

// Accounts are signup and login.
type Accounts struct {
	Issuer              Issuer // whose tokens are given out; its MintKey signs them, or what Keys holds
	Database            string // sqlite:FILE, as the process finds the file
	TokenTTL            time.Duration
	BcryptCost          int
	HashQueue           int // passwords that may wait to be hashed
	DefaultRole         string
	DefaultSubscription string
	Password            Password
}

// Password is what a new password has to be.
type Password struct {
	MinLength    int  `yaml:"min_length"` // characters
	RefuseCommon bool `yaml:"refuse_common"`
}

// Idempotency is how answers to requests with an Idempotency-Key are kept.
type Idempotency struct {
	TTL time.Duration `yaml:"ttl"`
}

// Listen holds the addresses of the servers.
type Listen struct {
	GRPC      string `yaml:"grpc" plain:"true" want:"host:port such as 127.0.0.1:9191, or unix:///path"`
	HTTP      string `yaml:"http" plain:"true" want:"host:port such as 127.0.0.1:8080"`
	Ops       string `yaml:"ops" plain:"true" want:"host:port such as 127.0.0.1:9090"`
	AuthzHTTP string `yaml:"authz_http,omitempty" plain:"true" want:"host:port such as 127.0.0.1:9192"`         // empty: off
	Debug     string `yaml:"debug,omitempty" plain:"true" want:"host:port on loopback, such as 127.0.0.1:6060"` // empty: off
}

// Claims are the names of the claims that hold what is known of a user.
type Claims struct {
	UserID       string `yaml:"user_id"`
	Roles        string `yaml:"roles"`
	Permissions  string `yaml:"permissions"`
	Scope        string `yaml:"scope"`
	Email        string `yaml:"email"`
	Subscription string `yaml:"subscription"`
	Country      string `yaml:"country"`
	Platform     string `yaml:"platform"`
}

// Log says what is logged.
type Log struct {
	Level     string `yaml:"level" oneof:"debug|info|warn|error"`
	Decisions string `yaml:"decisions" oneof:"all|denied|none"`
}

// Limits bound what a request may bring.
type Limits struct {
	Token   Size `yaml:"token"`   // bytes of a bearer token
	Headers Size `yaml:"headers"` // bytes of the head of a request to Listen.HTTP
	Body    Size `yaml:"body"`    // bytes of the body of an account call
}

// Drain is how a server goes: it stays Wait long after it said so, then gives requests in flight Timeout.
type Drain struct {
	Wait    time.Duration `yaml:"wait"`
	Timeout time.Duration `yaml:"timeout"`
}

// GRPC are settings of the gRPC server.
type GRPC struct {
	Reflection bool `yaml:"reflection"`
}
