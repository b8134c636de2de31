package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/passgate/passgate/internal/yamlstrict"
)

// The schema is made from the types of the file and from this table: by dotted path, what an editor shows of a
// field, and what the types do not say of its values. A field and its line here come and go together.
var schemaNotes = map[string]note{
	"": {text: "Configuration of passgate, external authorization for Envoy. ${NAME} and ${NAME:-default} in a value read the environment."},

	"listen":            {text: "Addresses of the servers."},
	"listen.grpc":       {text: "Check for Envoy: host:port or unix:///path. Keep it on loopback, a unix socket, or behind a mesh's enforced mTLS.", pattern: `^unix:///.|:[0-9]+$`, examples: []any{"unix:///run/passgate/grpc.sock"}},
	"listen.http":       {text: "Signup and login, the proxy, and public keys: host:port. Used where accounts, proxy.upstreams, keys or passport are set.", pattern: `:[0-9]+$`},
	"listen.ops":        {text: "/livez, /readyz and /metrics: host:port.", pattern: `:[0-9]+$`},
	"listen.authz_http": {text: "ext_authz over HTTP, Envoy's http_service: host:port. Off unless set; it hands out passports, so keep it on loopback or behind a mesh.", pattern: `:[0-9]+$`, examples: []any{"127.0.0.1:9192"}},
	"listen.debug":      {text: "Profiles (pprof), on loopback only: host:port. Off unless set.", pattern: `:[0-9]+$`, examples: []any{"127.0.0.1:6060"}},

	"issuers":                       {text: "Whose JWTs are accepted. The token's iss picks the entry."},
	"issuers[]":                     {text: "An issuer with its keys, which come from one of secret, secret_file, public_key, public_key_file, jwks_file, jwks_url and discovery_url.", single: []string{"secret", "secret_file", "public_key", "public_key_file", "jwks_file", "jwks_url", "discovery_url"}},
	"issuers[].name":                {text: "Its name in routes, logs and commands.", pattern: issuerName.String(), examples: []any{"accounts"}},
	"issuers[].issuer":              {text: "The iss of its tokens, byte for byte.", pattern: `^\S(.*\S)?$`, examples: []any{"https://auth.example.com"}},
	"issuers[].algorithms":          {text: "The algorithms of its keys. A token's alg must be one of them and its key's own.", examples: []any{[]any{"RS256", "ES256"}}},
	"issuers[].secret":              {text: "HS256 key, 32 bytes at least. Write a variable of the environment here, or use secret_file.", examples: []any{"${JWT_SECRET}"}},
	"issuers[].secret_file":         {text: "File with the HS256 key, its bytes as they are, less one final newline."},
	"issuers[].public_key":          {text: "One public key, in PEM (BEGIN PUBLIC KEY) or as a JWK."},
	"issuers[].public_key_file":     {text: "File with one public key, in PEM (BEGIN PUBLIC KEY) or as a JWK.", examples: []any{"issuer.pem"}},
	"issuers[].jwks_file":           {text: "File with a set of keys (JWKS).", examples: []any{"jwks.json"}},
	"issuers[].jwks_url":            {text: "URL of a set of keys (JWKS), which is fetched and kept fresh.", pattern: `^https?://`, examples: []any{"https://idp.example.com/jwks"}},
	"issuers[].discovery_url":       {text: "URL of OpenID provider metadata that names such a set, on the same host.", pattern: `^https?://`, examples: []any{"https://idp.example.com/.well-known/openid-configuration"}},
	"issuers[].jwks_refresh":        {text: "Time between fetches, from 10s to 24h; 0: 5m."},
	"issuers[].jwks_max_age":        {text: "How long a set is used when no other can be had, from jwks_refresh to 168h; 0: 24h."},
	"issuers[].kid":                 {text: "Key ID of the key, where it has none of its own."},
	"issuers[].audiences":           {text: "One of these must be in aud; any takes every token of the issuer, those for other services too.", examples: []any{[]any{"api"}}},
	"issuers[].leeway":              {text: "How long past exp a token is taken, 60s at most."},
	"issuers[].clock_skew":          {text: "How far ahead nbf and iat may be, 60s at most."},
	"issuers[].user_prefix":         {text: "Stands before sub in user ids. Every source of users but one must have its own, none the beginning of another.", examples: []any{"partner:"}},
	"issuers[].claims":              {text: "Names of the claims that hold what is known of a user."},
	"issuers[].claims.user_id":      {text: "Claim with the user id."},
	"issuers[].claims.roles":        {text: "Claim with the roles: a list of texts, or one text."},
	"issuers[].claims.permissions":  {text: "Claim with the permissions: a list of texts."},
	"issuers[].claims.scope":        {text: "Claim with permissions in one text, with blanks between (OAuth2)."},
	"issuers[].claims.email":        {text: "Claim with the e-mail address."},
	"issuers[].claims.subscription": {text: "Claim with the subscription."},
	"issuers[].claims.country":      {text: "Claim with the country."},
	"issuers[].claims.platform":     {text: "Claim with the platform."},

	"keys":        {text: "Keys in a directory, for rotation without an outage."},
	"keys.dir":    {text: "The directory, as passgate keys new makes it. Its newest key signs, and all that are not retired verify.", examples: []any{"keys"}},
	"keys.issuer": {text: "Name of the issuer that they are of. Left out: accounts.issuer."},

	"api_keys":             {text: "API keys. Left out: none are taken."},
	"api_keys.header":      {text: "Request header that holds a key and nothing else. It never reaches an upstream.", pattern: `^[A-Za-z0-9-]+$`},
	"api_keys.file":        {text: "File of the entries that passgate apikey new prints.", examples: []any{"api-keys.yaml"}},
	"api_keys.user_prefix": {text: "Stands before user ids. Every source of users but one must have its own, none the beginning of another.", examples: []any{"key:"}},

	"introspection":                       {text: "Servers that are asked about opaque tokens (RFC 7662)."},
	"introspection[]":                     {text: "A server. A token that could go to two is refused and shown to neither: bind it by token_prefix or by a route's credentials.", single: []string{"client_secret", "client_secret_file"}},
	"introspection[].name":                {text: "Its name in routes and logs.", pattern: issuerName.String(), examples: []any{"idp"}},
	"introspection[].url":                 {text: "Its introspection endpoint.", pattern: `^https?://`, examples: []any{"https://idp.example.com/introspect"}},
	"introspection[].token_prefix":        {text: "How its tokens begin. Left out: in any way.", pattern: token68.String(), examples: []any{"idp_"}},
	"introspection[].client_id":           {text: "The id by which it knows passgate.", examples: []any{"passgate"}},
	"introspection[].client_secret":       {text: "What passgate proves itself with. Write a variable of the environment here, or use client_secret_file.", examples: []any{"${IDP_SECRET}"}},
	"introspection[].client_secret_file":  {text: "File with what passgate proves itself with, less one final newline."},
	"introspection[].audiences":           {text: "One of these must be in aud; any takes every token.", examples: []any{[]any{"api"}}},
	"introspection[].cache":               {text: "How long an active token is remembered, and never past its expiry; 1h at most."},
	"introspection[].negative_cache":      {text: "How long one that is not active is remembered; 1m at most."},
	"introspection[].timeout":             {text: "How long a call may take, from 10ms to 150ms. Envoy waits 200ms in all."},
	"introspection[].max_calls":           {text: "Calls at a time, 128 at most.", least: 1, most: maxCalls},
	"introspection[].clock_skew":          {text: "How far ahead nbf and iat may be, 60s at most."},
	"introspection[].user_prefix":         {text: "Stands before sub in user ids. Every source of users but one must have its own, none the beginning of another.", examples: []any{"idp:"}},
	"introspection[].claims":              {text: "Names of the members of an answer that hold what is known of a user."},
	"introspection[].claims.user_id":      {text: "Member with the user id."},
	"introspection[].claims.roles":        {text: "Member with the roles: a list of texts, or one text."},
	"introspection[].claims.permissions":  {text: "Member with the permissions: a list of texts."},
	"introspection[].claims.scope":        {text: "Member with permissions in one text, with blanks between."},
	"introspection[].claims.email":        {text: "Member with the e-mail address."},
	"introspection[].claims.subscription": {text: "Member with the subscription."},
	"introspection[].claims.country":      {text: "Member with the country."},
	"introspection[].claims.platform":     {text: "Member with the platform."},

	"roles":   {text: "Permissions by role. They add to a token's own.", examples: []any{map[string]any{"admin": []any{"read", "write", "delete"}}}},
	"roles[]": {text: "The permissions that the role grants."},

	"default_access": {text: "Where no route matches. Left out: deny as soon as there is a route, authenticated without any."},

	"routes":                     {text: "What requests require. The first that matches by method, host and path decides."},
	"routes[]":                   {text: "A route."},
	"routes[].name":              {text: "Its name in logs and traces, of its own."},
	"routes[].hosts":             {text: "The hosts that it takes, in lower case, without port and trailing dot. Left out: any.", examples: []any{[]any{"api.example.com"}}},
	"routes[].methods":           {text: "The methods that it takes. GET takes HEAD too, unless HEAD is named. Left out: any.", pattern: `^[^a-z\s*]+$`, examples: []any{[]any{"GET", "POST"}}},
	"routes[].path":              {text: "The path that it takes, decoded: {name} stands for one segment, ** at the end for the rest.", pattern: `^/`, examples: []any{"/api/users/{id}", "/docs/**"}},
	"routes[].access":            {text: "public reads no credential, optional verifies one if there is one, deny refuses all."},
	"routes[].service":           {text: "The service that it leads to. It may hold {name} of the path.", examples: []any{"users-service"}},
	"routes[].permissions":       {text: "Permissions that are required, all of them. Each is compared whole.", examples: []any{[]any{"orders:read"}}},
	"routes[].credentials":       {text: "Names of the issuers, introspection servers and api_keys whose credentials it takes. Left out: any.", examples: []any{[]any{"accounts"}}},
	"routes[].when":              {text: "Condition in CEL over request, path, principal and context, asked last. What is not true denies.", examples: []any{"path.user == principal.user_id || 'admin' in principal.roles"}},
	"routes[].strip_credentials": {text: "Whether the credential is kept from the upstream."},

	"headers":                   {text: "Headers of requests."},
	"headers.keep":              {text: "Client headers that are not removed although their names begin as those of passgate's own do.", examples: []any{[]any{"x-user-agent"}}},
	"passport":                  {text: "Signatures over passports, in X-Passport-Signature."},
	"passport.signing_key_file": {text: "File with an Ed25519 private key in PEM, as passgate keys new --out makes it. Keys after the first are shown to those who verify, and sign nothing.", examples: []any{"passport.key"}},
	"proxy_state":               {text: "The X-Proxy-State header."},
	"proxy_state.template":      {text: "Its form, of {subscription}, {country} and {platform}."},

	"proxy":             {text: "The built-in reverse proxy, at /v1/proxy/ of listen.http."},
	"proxy.upstreams":   {text: "URLs by service: http, https, or h2c for HTTP/2 without TLS. default is for services without one.", pattern: `^(http|https|h2c)://[^?#\s]+$`, examples: []any{map[string]any{"default": "http://127.0.0.1:8081"}}},
	"proxy.upstreams[]": {text: "Where the service is."},
	"proxy.timeout":     {text: "How long an upstream may take to begin its answer, 1h at most."},

	"accounts":                        {text: "Signup, login and accounts, at /v1/auth/ of listen.http. Left out: there are none."},
	"accounts.issuer":                 {text: "Name of the issuer whose tokens are given out. It has an HS256 secret, or its keys are in keys.dir.", examples: []any{"accounts"}},
	"accounts.database":               {text: "Where accounts are kept: sqlite:FILE.", pattern: `^sqlite:[^:?#]`},
	"accounts.token_ttl":              {text: "How long a token is good, whole seconds, from 1m to 8784h."},
	"accounts.bcrypt_cost":            {text: "Cost of a password's hash, from 10 to 14.", least: minCost, most: maxCost},
	"accounts.hash_queue":             {text: "How many passwords may wait to be hashed, 10000 at most; past it the answer is 503.", least: 1, most: maxQueue},
	"accounts.default_role":           {text: "Role of a new account.", pattern: `^[^,\s]+$`},
	"accounts.default_subscription":   {text: "Subscription of a new account.", pattern: `^[^,\s]+$`},
	"accounts.password":               {text: "What a new password has to be."},
	"accounts.password.min_length":    {text: "Characters at least, from 8 to 64.", least: minPassword, most: maxMinimum},
	"accounts.password.refuse_common": {text: "Whether the commonest passwords are refused."},
	"idempotency":                     {text: "Answers to requests with an Idempotency-Key."},
	"idempotency.ttl":                 {text: "How long they are kept, from 1m to 5m."},
	"redis":                           {text: "URL of Redis, which replicas share for Idempotency-Keys. Left out: each process has its own.", examples: []any{"redis://127.0.0.1:6379/0"}},
	"redis_file":                      {text: "File with the URL of Redis, less one final newline."},
	"trusted_proxies":                 {text: "Addresses and networks whose X-Forwarded-For is believed.", examples: []any{[]any{"10.0.0.0/8"}}},

	"log":             {text: "What is logged."},
	"log.level":       {text: "The least level that is logged."},
	"log.decisions":   {text: "Which decisions are logged, a line each."},
	"limits":          {text: "Bounds of what a request may bring."},
	"limits.token":    {text: "Size of a bearer token, from 256 to 64KiB.", least: 256, most: 64 << 10},
	"limits.headers":  {text: "Size of the head of a request to listen.http, from 4KiB to 1MiB.", least: 4 << 10, most: 1 << 20},
	"limits.body":     {text: "Size of the body of an account call, from 1KiB to 1MiB.", least: 1 << 10, most: 1 << 20},
	"paths":           {text: "How paths are read."},
	"paths.allow":     {text: "Forms of a path that are refused otherwise, as servers read them in different ways."},
	"drain":           {text: "How a server goes when it is told to."},
	"drain.wait":      {text: "How long it accepts requests after it said so, 1h at most: more than Envoy's health check interval times its unhealthy threshold."},
	"drain.timeout":   {text: "How long requests in flight have then, 1h at most."},
	"grpc":            {text: "The gRPC server."},
	"grpc.reflection": {text: "Whether it answers reflection, for tools such as grpcurl."},
}

type note struct {
	text        string
	pattern     string   // of a text, or of each text of a list
	least, most int      // of a number
	single      []string // keys of which one at most is there
	examples    []any
}

// object is a JSON object that keeps its order, which is that in which editors propose keys.
type object []member

type member struct {
	key   string
	value any
}

func (o object) MarshalJSON() ([]byte, error) {
	var members [][]byte
	for _, m := range o {
		key, err := json.Marshal(m.key)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(m.value)
		if err != nil {
			return nil, err
		}
		members = append(members, append(append(key, ':'), value...))
	}
	return slices.Concat([]byte("{"), bytes.Join(members, []byte(",")), []byte("}")), nil
}

// schemaWriter makes the schema. It notes which lines of the table it has used.
type schemaWriter struct {
	used map[string]bool
	lost []string // fields that the table lacks
}

func (w *schemaWriter) note(path string) note {
	n, ok := schemaNotes[path]
	if !ok {
		w.lost = append(w.lost, path)
	}
	w.used[path] = true
	return n
}

// variable is any text with a variable in it, which may stand for a value of every type.
var variable = object{{"$ref", "#/$defs/variable"}}

func orVariable(pattern string) string { return pattern + `|\$\{` }

// field returns the schema of a field, whose default is in v.
func (w *schemaWriter) field(path string, v reflect.Value, tag reflect.StructTag) object {
	n := w.note(path)
	s := object{{"description", n.text}}
	words := tag.Get("oneof")
	switch {
	case v.Type() == reflect.TypeFor[time.Duration]():
		// A bare 0 is the one duration without a unit.
		s = append(s, member{"type", []any{"string", "integer", "null"}}, member{"maximum", 0}, member{"minimum", 0},
			member{"pattern", orVariable(`^(0|([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h))+$`)}, member{"default", v.Interface().(time.Duration).String()})
	case v.Type() == reflect.TypeFor[Size]():
		s = append(s, member{"type", []any{"string", "integer", "null"}}, member{"minimum", n.least}, member{"maximum", n.most},
			member{"pattern", orVariable(`^[0-9]+(B|KiB|MiB|GiB)?$`)}, member{"default", v.Interface().(Size).String()})
	case v.Kind() == reflect.Bool:
		s = append(s, member{"anyOf", []any{object{{"type", []any{"boolean", "null"}}}, variable}}, member{"default", v.Bool()})
	case v.Kind() == reflect.Int:
		s = append(s, member{"anyOf", []any{object{{"type", []any{"integer", "null"}}, {"minimum", n.least}, {"maximum", n.most}}, variable}}, member{"default", v.Int()})
	case v.Kind() == reflect.String && words != "":
		s = append(s, member{"anyOf", []any{object{{"enum", append(enum(words), nil)}}, variable}})
	case v.Kind() == reflect.String:
		s = append(s, text(n, tag)...)
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct:
		item := reflect.New(v.Type().Elem()).Elem()
		s = append(s, member{"type", []any{"array", "null"}}, member{"items", w.structure(path+"[]", item, "object")})
	case v.Kind() == reflect.Slice:
		s = append(s, list(n, tag)...)
	case v.Kind() == reflect.Map:
		w.used[path+"[]"] = true
		inner := object{{"description", schemaNotes[path+"[]"].text}}
		values := list(note{}, tag)
		if v.Type().Elem().Kind() == reflect.String {
			values = text(n, tag)
		}
		s = append(s, member{"type", []any{"object", "null"}}, member{"additionalProperties", append(inner, values...)})
	case v.Kind() == reflect.Struct:
		return w.structure(path, v, "object", "null")
	default:
		panic("no schema for " + v.Type().String())
	}
	if v.Kind() == reflect.String && v.String() != "" {
		s = append(s, member{"default", v.String()})
	}
	if len(n.examples) > 0 {
		s = append(s, member{"examples", n.examples})
	}
	return s
}

func enum(words string) []any {
	var all []any
	for word := range strings.SplitSeq(words, "|") {
		all = append(all, word)
	}
	return all
}

func text(n note, tag reflect.StructTag) object {
	s := object{{"type", []any{"string", "null"}}}
	if tag.Get("required") == "true" {
		s = object{{"type", "string"}, {"minLength", 1}}
	}
	if n.pattern != "" {
		s = append(s, member{"pattern", orVariable(n.pattern)})
	}
	return s
}

// list returns the schema of a list of texts. The text of a variable stands for one that is left empty.
func list(n note, tag reflect.StructTag) object {
	item := object{{"type", "string"}, {"minLength", 1}}
	if words := tag.Get("oneof"); words != "" {
		item = object{{"anyOf", []any{object{{"enum", enum(words)}}, variable}}}
	} else if n.pattern != "" {
		item = append(item, member{"pattern", orVariable(n.pattern)})
	}
	array := object{{"type", []any{"array", "null"}}, {"items", item}}
	if tag.Get("required") == "true" {
		array[0].value = "array"
	}
	if tag.Get("nonempty") == "true" {
		array = append(array, member{"minItems", 1})
	}
	forms := []any{array, variable}
	if word := tag.Get("word"); word != "" {
		forms = []any{object{{"const", word}}, array, variable}
	}
	return object{{"anyOf", forms}}
}

func (w *schemaWriter) structure(path string, v reflect.Value, types ...any) object {
	n := w.note(path)
	if d, ok := v.Addr().Interface().(interface{ SetDefaults() }); ok {
		d.SetDefaults()
	}
	var properties object
	var required []any
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		properties = append(properties, member{name, w.field(strings.TrimPrefix(path+"."+name, "."), v.Field(i), f.Tag)})
		if f.Tag.Get("required") == "true" {
			required = append(required, name)
		}
	}
	s := object{{"description", n.text}, {"type", types}}
	if len(types) == 1 {
		s[1].value = types[0]
	}
	s = append(s, member{"properties", properties}, member{"additionalProperties", false})
	if len(required) > 0 {
		s = append(s, member{"required", required})
	}
	if len(n.single) > 0 {
		var each, none []any
		for _, key := range n.single {
			each = append(each, object{{"required", []any{key}}})
		}
		none = []any{object{{"not", object{{"anyOf", each}}}}}
		s = append(s, member{"oneOf", append(none, each...)})
	}
	return s
}

func TestSchemaIsThatOfTheFile(t *testing.T) {
	w := &schemaWriter{used: map[string]bool{}}
	s := object{
		{"$schema", "https://json-schema.org/draft/2020-12/schema"},
		{"$id", "https://raw.githubusercontent.com/passgate/passgate/main/internal/config/schema.json"},
		{"title", "passgate.yaml"},
	}
	s = append(s, w.structure("", reflect.ValueOf(&file{}).Elem(), "object")...)
	s = append(s, member{"$defs", object{{"variable", object{
		{"description", "A text that reads the environment."}, {"type", "string"}, {"pattern", `\$\{`},
	}}}})
	for _, path := range w.lost {
		t.Errorf("the table says nothing of %s", path)
	}
	for path := range schemaNotes {
		if !w.used[path] {
			t.Errorf("the table speaks of %s, which is no field", path)
		}
	}
	compact, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := json.Indent(&b, compact, "", "  "); err != nil {
		t.Fatal(err)
	}
	golden(t, "schema.json", b.String()+"\n")
}

func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func parsed(t *testing.T, text []byte) (any, error) {
	t.Helper()
	var v any
	err := yaml.Unmarshal(text, &v)
	return v, err
}

func TestSchemaTakesWhatIsValid(t *testing.T) {
	s := compileSchema(t)
	files := []string{"default.yaml", "gateway.yaml"}
	for _, pattern := range []string{"testdata/*.yaml", "../../examples/passgate.yaml", "../../cmd/passgate/*.yaml", "../../cmd/passgate/testdata/decisions/passgate.yaml"} {
		more, err := filepath.Glob(pattern)
		if err != nil || len(more) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		files = append(files, more...)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		v, err := parsed(t, text)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(v); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestSchemaTakesVariablesInEveryValue(t *testing.T) {
	s := compileSchema(t)
	for _, text := range []string{
		"grpc: {reflection: \"${X}\"}", "drain: {wait: \"${X}\", timeout: \"${X:-5s}\"}", "limits: {token: \"${X}KiB\"}", "limits: {token: \"${X}\"}",
		"log: {level: \"${X}\", decisions: \"${X:-all}\"}", "default_access: ${X}", "listen: {grpc: \"${X}\", ops: \"${HOST}:${PORT}\"}",
		"issuers: [{name: \"${X}\", issuer: \"${X}\", algorithms: [\"${X}\"], secret: \"${X}\", audiences: [\"${X}\"], leeway: \"${X}\"}]",
		"routes: [{path: \"${X}/b\", methods: [\"${X}\"], hosts: \"${X:-}\", access: \"${X}\", strip_credentials: \"${X}\"}]", "paths: {allow: [\"${X}\"]}",
	} {
		v, err := parsed(t, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Validate(v); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// What the schema refuses is refused by Load too. Of the broken files it refuses those whose fault is one of form:
// keys, the environment, conditions and what fields have to do with each other are left to Load.
func TestSchemaAgreesWithLoad(t *testing.T) {
	s := compileSchema(t)
	files, err := filepath.Glob("testdata/broken/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	readable, refused := 0, 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		v, err := parsed(t, text)
		if err != nil {
			continue // no schema sees what is not YAML
		}
		readable++
		if s.Validate(v) != nil {
			refused++
		}
	}
	if refused*5 < readable*2 {
		t.Errorf("of %d broken files the schema refuses %d, want two in five at least", readable, refused)
	}
	t.Logf("of %d broken files, %d are YAML and the schema refuses %d", len(files), readable, refused)
	for _, text := range []string{
		"drain: {wait: 5}", "drain: {wait: -5s}", "drain: {wait: 5 s}", "limits: {token: 100}", "limits: {token: 8KB}", "grpc: {reflection: \"yes\"}", "log: {level: Info}",
		"default_access: optional", "routes: [{}]", "routes: [{path: a}]", "routes: [null]", "routes: [{path: /, acess: public}]", "roles: {a: b}", "roles: {a: [5]}",
		"listen: {grpc: 9191}", "listen: {grpc: localhost}", "issuers: [{name: a}]", "issuers: [{name: A, issuer: b, algorithms: [HS256]}]",
		"issuers: [{name: a, issuer: b, algorithms: []}]", "issuers: [{name: a, issuer: b, algorithms: [HS256], audiences: all}]",
		"issuers: [{name: a, issuer: b, algorithms: [HS256], secret: c, secret_file: d}]", "issuers: [{name: a, issuer: \"b \", algorithms: [HS256]}]",
		"routes: [{path: /, methods: [get]}]", "routes: [{path: /, methods: []}]", "paths: {allow: [dots]}",
	} {
		v, err := parsed(t, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if s.Validate(v) == nil {
			t.Errorf("the schema takes %s", text)
		}
		l := loader{dir: "/nonexistent", embedded: true}
		var faults Errors
		if _, err := l.load("f.yaml", []byte(text), testEnv); !errors.As(err, &faults) {
			t.Errorf("Load takes %s", text)
		}
	}
}

func TestDefaultsOfTheSchemaAreThoseOfLoad(t *testing.T) {
	var given struct {
		Properties struct {
			Limits, Drain, Log, GRPC struct {
				Properties map[string]struct{ Default any }
			}
		}
	}
	if err := json.Unmarshal(Schema(), &given); err != nil {
		t.Fatal(err)
	}
	p := given.Properties
	text := fmt.Sprintf("limits: {token: %v}\ndrain: {wait: %v, timeout: %v}\nlog: {level: %v, decisions: %v}\ngrpc: {reflection: %v}\n",
		p.Limits.Properties["token"].Default, p.Drain.Properties["wait"].Default, p.Drain.Properties["timeout"].Default,
		p.Log.Properties["level"].Default, p.Log.Properties["decisions"].Default, p.GRPC.Properties["reflection"].Default)
	var written, none file
	if err := errors.Join(yamlstrict.Read("f", []byte(text), nil, &written).Err(), yamlstrict.Read("f", []byte("roles: {}"), nil, &none).Err()); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	none.Roles = nil
	if !reflect.DeepEqual(written, none) {
		t.Errorf("with the defaults written out the file is %+v, want %+v", written, none)
	}
}
