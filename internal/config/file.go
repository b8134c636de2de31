package config

import (
	"time"

	"github.com/passgate/passgate/internal/identity"
)

// file is the configuration as it is written. The order of fields is that of Show.
type file struct {
	Listen        Listen              `yaml:"listen"`
	Issuers       []issuer            `yaml:"issuers,omitempty"`
	Keys          keys                `yaml:"keys,omitempty"`
	APIKeys       apiKeys             `yaml:"api_keys,omitempty"`
	Introspection []introspection     `yaml:"introspection,omitempty"`
	Roles         map[string][]string `yaml:"roles,omitempty"`
	DefaultAccess string              `yaml:"default_access" oneof:"deny|authenticated|public"`
	Routes        []route             `yaml:"routes,omitempty"`
	Headers       headers             `yaml:"headers,omitempty"`
	Passport      passportKeys        `yaml:"passport,omitempty"`
	ProxyState    proxyState          `yaml:"proxy_state"`
	Proxy         proxy               `yaml:"proxy,omitempty"`
	Accounts      accounts            `yaml:"accounts,omitempty"`
	Idempotency   Idempotency         `yaml:"idempotency,omitempty"`
	Redis         Secret              `yaml:"redis,omitempty"`
	RedisFile     string              `yaml:"redis_file,omitempty"`
	TrustedProxy  []string            `yaml:"trusted_proxies,omitempty"`
	Log           Log                 `yaml:"log"`
	Limits        Limits              `yaml:"limits"`
	Paths         paths               `yaml:"paths,omitempty"`
	Drain         Drain               `yaml:"drain"`
	GRPC          GRPC                `yaml:"grpc"`
}

type issuer struct {
	Name          string        `yaml:"name" required:"true" want:"a word of a-z, 0-9, _ and -, such as accounts"`
	Issuer        string        `yaml:"issuer" required:"true" want:"the iss of its tokens, byte for byte, such as https://auth.example.com"`
	Algorithms    []string      `yaml:"algorithms" required:"true" nonempty:"true" oneof:"HS256|RS256|ES256|EdDSA"`
	Secret        Secret        `yaml:"secret,omitempty"`
	SecretFile    string        `yaml:"secret_file,omitempty"`
	PublicKey     string        `yaml:"public_key,omitempty"`
	PublicKeyFile string        `yaml:"public_key_file,omitempty"`
	JWKSFile      string        `yaml:"jwks_file,omitempty"`
	JWKSURL       string        `yaml:"jwks_url,omitempty"`
	DiscoveryURL  string        `yaml:"discovery_url,omitempty"`
	JWKSRefresh   time.Duration `yaml:"jwks_refresh,omitempty"`
	JWKSMaxAge    time.Duration `yaml:"jwks_max_age,omitempty"`
	KeyID         string        `yaml:"kid,omitempty"`
	Audiences     audiences     `yaml:"audiences" word:"any" nonempty:"true"`
	Leeway        time.Duration `yaml:"leeway"`
	ClockSkew     time.Duration `yaml:"clock_skew"`
	UserPrefix    string        `yaml:"user_prefix,omitempty"`
	Claims        Claims        `yaml:"claims"`
}

// keys are those in a directory, of the issuer of accounts unless another is named.
type keys struct {
	Dir    string `yaml:"dir" required:"true" want:"a directory that passgate keys new has made"`
	Issuer string `yaml:"issuer,omitempty"`
}

type apiKeys struct {
	Header     string `yaml:"header" want:"the name of a request header, such as X-API-Key"`
	File       string `yaml:"file" required:"true" want:"a file of the entries that passgate apikey new prints"`
	UserPrefix string `yaml:"user_prefix,omitempty"`
}

// introspection is a server that says what an opaque token is (RFC 7662).
type introspection struct {
	Name             string        `yaml:"name" required:"true" want:"a word of a-z, 0-9, _ and -, such as idp"`
	URL              string        `yaml:"url" required:"true" want:"the URL of the server's introspection endpoint"`
	TokenPrefix      string        `yaml:"token_prefix,omitempty"`
	ClientID         string        `yaml:"client_id" required:"true" want:"the id by which the server knows passgate"`
	ClientSecret     Secret        `yaml:"client_secret,omitempty"`
	ClientSecretFile string        `yaml:"client_secret_file,omitempty"`
	Audiences        audiences     `yaml:"audiences" word:"any" nonempty:"true"`
	Cache            time.Duration `yaml:"cache"`
	NegativeCache    time.Duration `yaml:"negative_cache"`
	Timeout          time.Duration `yaml:"timeout"`
	MaxCalls         int           `yaml:"max_calls"`
	ClockSkew        time.Duration `yaml:"clock_skew"`
	UserPrefix       string        `yaml:"user_prefix,omitempty"`
	Claims           Claims        `yaml:"claims"`
}

type passportKeys struct {
	SigningKeyFile string `yaml:"signing_key_file" required:"true" want:"a file with an Ed25519 private key in PEM, as passgate keys new --out makes it"`
}

type route struct {
	Name             string   `yaml:"name,omitempty"`
	Hosts            []string `yaml:"hosts,omitempty" nonempty:"true"`
	Methods          []string `yaml:"methods,omitempty" nonempty:"true"`
	Path             string   `yaml:"path" required:"true" want:"a path such as /api/users/{id}, or /** for all"`
	Access           string   `yaml:"access" oneof:"authenticated|optional|public|deny"`
	Service          string   `yaml:"service,omitempty"`
	Permissions      []string `yaml:"permissions,omitempty"`
	Credentials      []string `yaml:"credentials,omitempty" nonempty:"true"`
	When             string   `yaml:"when,omitempty"`
	StripCredentials bool     `yaml:"strip_credentials,omitempty"`
}

type headers struct {
	Keep []string `yaml:"keep,omitempty"`
}

type proxyState struct {
	Template string `yaml:"template"`
}

type proxy struct {
	Upstreams map[string]string `yaml:"upstreams,omitempty" want:"a URL for each service, such as default: http://127.0.0.1:8081"`
	Timeout   time.Duration     `yaml:"timeout"`
}

type accounts struct {
	Issuer              string        `yaml:"issuer" required:"true" want:"the name of the issuer whose tokens are given out"`
	Database            string        `yaml:"database" want:"sqlite:FILE, such as sqlite:passgate.db"`
	TokenTTL            time.Duration `yaml:"token_ttl"`
	BcryptCost          int           `yaml:"bcrypt_cost"`
	HashQueue           int           `yaml:"hash_queue"`
	DefaultRole         string        `yaml:"default_role"`
	DefaultSubscription string        `yaml:"default_subscription"`
	Password            Password      `yaml:"password"`
}

type paths struct {
	Allow []string `yaml:"allow,omitempty" oneof:"semicolon|double_slash"`
}

// audiences are nil for any.
type audiences []string

// SetDefaults fills in what a file need not say. default_access hangs on the routes: see settleDefaultAccess.
func (f *file) SetDefaults() {
	f.Listen = Listen{GRPC: "127.0.0.1:9191", HTTP: "127.0.0.1:8080", Ops: "127.0.0.1:9090"}
	f.ProxyState.Template = identity.DefaultTemplate
	f.Log = Log{Level: "info", Decisions: "all"}
	f.Limits = Limits{Token: 8 << 10, Headers: 64 << 10, Body: 64 << 10}
	f.Idempotency.TTL = 5 * time.Minute
	f.Proxy.SetDefaults()
	f.Drain = Drain{Wait: 5 * time.Second, Timeout: 30 * time.Second}
	f.GRPC.Reflection = true
}

// SetDefaults fills in what an issuer need not say.
func (i *issuer) SetDefaults() {
	i.ClockSkew = time.Minute
	i.Claims = usualClaims
}

var usualClaims = Claims{
	UserID: "sub", Roles: "roles", Permissions: "permissions", Scope: "scope", Email: "email",
	Subscription: "subscription", Country: "country", Platform: "platform",
}

// SetDefaults fills in what API keys need not be told.
func (a *apiKeys) SetDefaults() { a.Header = "X-API-Key" }

// SetDefaults fills in what an introspection server need not be told.
func (i *introspection) SetDefaults() {
	i.Cache, i.NegativeCache, i.Timeout, i.MaxCalls = 30*time.Second, 5*time.Second, 100*time.Millisecond, 64
	i.ClockSkew = time.Minute
	i.Claims = usualClaims
}

// SetDefaults fills in what the proxy need not be told.
func (p *proxy) SetDefaults() { p.Timeout = 30 * time.Second }

// SetDefaults fills in what accounts need not be told.
func (a *accounts) SetDefaults() {
	*a = accounts{
		Database: "sqlite:passgate.db", TokenTTL: 24 * time.Hour, BcryptCost: usualCost, HashQueue: 256,
		DefaultRole: "user", DefaultSubscription: "free", Password: Password{MinLength: 8, RefuseCommon: true},
	}
}

// SetDefaults fills in what a route need not say.
func (r *route) SetDefaults() { r.Access = "authenticated" }
