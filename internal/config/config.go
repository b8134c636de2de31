// Package config turns a YAML file into one validated value, naming every fault with its line.
//
// It reads the file, the environment and the files that it names, once. What it returns is complete:
// defaults are filled in, keys parsed, routes compiled. The meaning of routes, keys and header names is
// judged by the packages that own them; their faults are given the line of the field they speak of.
package config

import (
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

// Size is a number of bytes.
type Size = yamlstrict.Size

// Config is a valid configuration, with defaults filled in. It is not changed after it was loaded.
type Config struct {
	File string // as given to [Load], or the name of the embedded file

	Listen        Listen
	Issuers       []Issuer
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

	Policy  *policy.Policy    // Routes, DefaultAccess and paths.allow, compiled
	Stamper *identity.Stamper // headers.keep and proxy_state.template, compiled

	Warnings []*yamlstrict.Fault // what is valid and unwise, in the order of lines

	file file // for Show
}

// Directory returns what all sources of principals share.
func (c *Config) Directory() *authz.Directory {
	d := &authz.Directory{Roles: c.Roles}
	for _, i := range c.Issuers {
		if i.UserPrefix != "" {
			d.Prefixes = append(d.Prefixes, i.UserPrefix)
		}
	}
	return d
}

// Issuer is a source of JWTs that are accepted.
type Issuer struct {
	Name       string             // for routes, logs and commands
	Issuer     string             // iss
	Algorithms []keyset.Algorithm // each has a key in Keys, if it has any
	Keys       *keyset.Set        // no keys in [Gateway], and in [Default] before a key was made
	MintKey    *keyset.Key        // its first HS256 key, which can sign; nil without one
	Audiences  []string           // one of which must be in aud; nil: any
	Leeway     time.Duration      // how long past exp a token is taken
	ClockSkew  time.Duration      // how far ahead nbf and iat may be
	UserPrefix string             // stands before sub in user ids
	Claims     Claims
}

// ServesHTTP reports whether there is anything to serve at Listen.HTTP.
func (c *Config) ServesHTTP() bool { return c.Proxy != nil || c.Accounts != nil }

// Proxy is the built-in reverse proxy.
type Proxy struct {
	Upstreams map[string]*url.URL // by service; [authz.DefaultService] is for those without one
	Timeout   time.Duration       // until an upstream begins to answer
}

// Accounts are signup and login.
type Accounts struct {
	Issuer              Issuer // whose tokens are given out; its MintKey signs them
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
	GRPC  string `yaml:"grpc" plain:"true" want:"host:port such as 127.0.0.1:9191, or unix:///path"`
	HTTP  string `yaml:"http" plain:"true" want:"host:port such as 127.0.0.1:8080"`
	Ops   string `yaml:"ops" plain:"true" want:"host:port such as 127.0.0.1:9090"`
	Debug string `yaml:"debug,omitempty" plain:"true" want:"host:port on loopback, such as 127.0.0.1:6060"` // empty: off
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
