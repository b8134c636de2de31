package config

import (
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/condition"
	"github.com/passgate/passgate/internal/identity"
	"github.com/passgate/passgate/internal/policy"
	"github.com/passgate/passgate/internal/yamlstrict"
	"github.com/passgate/passgate/passport"
)

//go:embed default.yaml
var defaultYAML []byte

//go:embed gateway.yaml
var gatewayYAML []byte

// loader reads one configuration. Faults are gathered in doc.
type loader struct {
	doc  *yamlstrict.Document
	dir  string // relative file names count from here
	file file

	embedded bool // an issuer may be without a key

	seen   Snapshot // the files that were read
	others Errors   // faults of those that the configuration names
}

// Load reads and validates the configuration file at path. env is [os.LookupEnv] or stands in for it.
// A failure is of type [Errors]; it wraps [fs.ErrNotExist] if there is no such file.
func Load(path string, env func(string) (string, bool)) (*Config, error) {
	l := loader{dir: filepath.Dir(path)}
	data, err := l.read(path, yamlstrict.MaxBytes)
	if err != nil {
		return nil, Errors{{File: path, Text: "cannot read the file: " + cause(err), Err: err}}
	}
	return l.load(path, data, env)
}

// Default returns the embedded default configuration, for a run without a file. Its one issuer has the key
// in PASSGATE_JWT_SECRET, else that in [KeyFile], else none, and then takes no token: a server calls
// [GenerateKey] first.
func Default(env func(string) (string, bool)) (*Config, error) {
	l := loader{dir: ".", embedded: true}
	env, err := l.withKeyFile(env)
	if err != nil {
		return nil, err
	}
	return l.load("default.yaml", defaultYAML, env)
}

// DefaultYAML returns the text of the embedded default configuration.
func DefaultYAML() []byte { return slices.Clone(defaultYAML) }

// Gateway returns the configuration of the JSON-lines door without a file. Its one issuer has no key: it
// comes in the init message.
func Gateway() *Config {
	l := loader{dir: ".", embedded: true}
	c, err := l.load("gateway.yaml", gatewayYAML, noEnv)
	if err != nil {
		panic(fmt.Sprintf("config: the embedded configuration of the gateway: %v", err))
	}
	return c
}

// noEnv is an environment without variables.
func noEnv(string) (string, bool) { return "", false }

// load decodes a file and judges its values, all of them even after a fault.
func (l *loader) load(name string, data []byte, env yamlstrict.Lookup) (*Config, error) {
	if env == nil {
		env = noEnv
	}
	l.doc = yamlstrict.Read(name, data, env, &l.file)
	c := &Config{
		File:   name,
		Listen: l.file.Listen,
		Roles:  l.file.Roles,
		Log:    l.file.Log,
		Limits: l.file.Limits,
		Drain:  l.file.Drain,
		GRPC:   l.file.GRPC,
	}
	l.judgeListen()
	c.Keys = l.judgeKeyDirectory()
	c.Issuers = l.judgeIssuers(c.Keys)
	c.Introspection = l.judgeIntrospection()
	c.APIKeys = l.judgeAPIKeys(c)
	l.judgePrefixes()
	c.Accounts = l.judgeAccounts(c.Issuers, c.Keys)
	c.Redis = l.judgeRedis()
	c.Idempotency = l.file.Idempotency
	c.Proxy = l.judgeProxy()
	c.TrustedProxy = l.judgeTrustedProxies()
	c.Routes = l.judgeRoutes()
	c.DefaultAccess = l.settleDefaultAccess()
	c.Passport = l.judgePassport()
	c.Policy = l.compile(c) // the paths that passgate serves hang on what stands above
	c.Stamper = l.judgeIdentity(c.Passport)
	l.judgeBounds()
	if err := l.err(); err != nil {
		return nil, err
	}
	l.warnOf(c)
	c.Warnings = l.doc.Warnings()
	maskSecrets(reflect.ValueOf(&l.file).Elem())
	l.maskQueries()
	c.file = l.file
	c.Read = l.seen
	return c, nil
}

// err returns all faults of the file, and then those of the files that it names.
func (l *loader) err() error {
	var all Errors
	_ = errors.As(l.doc.Err(), &all)
	if all = append(all, l.others...); len(all) > 0 {
		return all
	}
	return nil
}

// settleDefaultAccess fills in default_access, whose default hangs on the routes.
func (l *loader) settleDefaultAccess() authz.Access {
	if l.file.DefaultAccess == "" {
		l.file.DefaultAccess = "authenticated"
		if len(l.file.Routes) > 0 {
			l.file.DefaultAccess = "deny"
		}
	}
	return access(l.file.DefaultAccess)
}

// access returns the level of that name: deny for an unknown one, which was a fault already.
func access(name string) authz.Access {
	for level := range authz.AccessDeny {
		if level.String() == name {
			return level
		}
	}
	return authz.AccessDeny
}

func (l *loader) judgeRoutes() []policy.Route {
	var names []string
	for _, s := range l.sources() {
		if s.name != "" && !slices.Contains(names, s.name) {
			names = append(names, s.name)
		}
	}
	routes := make([]policy.Route, len(l.file.Routes))
	for i, r := range l.file.Routes {
		for j, name := range r.Credentials {
			field := fmt.Sprintf("routes[%d].credentials[%d]", i, j)
			near := yamlstrict.Nearest(name, append(slices.Clone(names), APIKeysSource))
			switch {
			case slices.Contains(names, name):
			case name == APIKeysSource:
				l.doc.Fault(field, "no API keys are taken here; write api_keys: {file: …}")
			case near != "":
				l.doc.Fault(field, "no issuer or other source has this name; did you mean %s?", near)
			default:
				l.doc.Fault(field, "no issuer or other source has this name; want %s", oneOf(names))
			}
		}
		if r.Service == authz.OwnService {
			l.doc.Fault(fmt.Sprintf("routes[%d].service", i), "is the name of what passgate serves itself; choose another")
		}
		routes[i] = policy.Route{
			Name: r.Name, Hosts: r.Hosts, Methods: r.Methods, Path: r.Path, Access: access(r.Access),
			Service: r.Service, Permissions: r.Permissions, Sources: r.Credentials, When: r.When, StripCredentials: r.StripCredentials,
		}
	}
	return routes
}

// compile returns the policy of the routes, or gives its faults their lines.
func (l *loader) compile(c *Config) *policy.Policy {
	routes := c.Routes
	for i, form := range l.file.Paths.Allow {
		if slices.Contains(l.file.Paths.Allow[:i], form) {
			l.doc.Fault(fmt.Sprintf("paths.allow[%d]", i), "is a duplicate; remove it")
		}
	}
	// An expression that many routes share by an anchor is compiled once.
	compiled := map[string]policy.Condition{}
	compile := func(text string, parameters []string) (policy.Condition, error) {
		key := strings.Join(append(parameters, text), "\x00")
		if c, ok := compiled[key]; ok {
			return c, nil
		}
		c, err := condition.Compile(text, parameters, l.credentialHeaders()...)
		if err == nil {
			compiled[key] = c
		}
		return c, err
	}
	p, err := policy.New(policy.Options{
		Routes:           routes,
		Own:              c.ownPaths(),
		Default:          c.DefaultAccess,
		Compile:          compile,
		AllowSemicolon:   slices.Contains(l.file.Paths.Allow, "semicolon"),
		AllowDoubleSlash: slices.Contains(l.file.Paths.Allow, "double_slash"),
	})
	for _, err := range unjoin(err) {
		var fault *policy.RouteError
		if !errors.As(err, &fault) {
			l.doc.Fault("routes", "%v", err)
			continue
		}
		field := fmt.Sprintf("routes[%d].%s", fault.Route, fault.Field)
		if when := (*condition.Error)(nil); errors.As(fault.Err, &when) {
			text := l.quoting(fmt.Sprintf("routes[%d].path", fault.Route), when.Text) // it may name a parameter
			l.doc.FaultWithin(field, routes[fault.Route].When, when.Line, when.Column, "%s", l.quoting(field, text))
			continue
		}
		l.doc.Fault(field, "%s", l.quoting(field, fault.Text))
	}
	return p
}

// credentialHeaders returns the headers that carry credentials in this configuration and not in any.
func (l *loader) credentialHeaders() []string {
	if l.doc.Has("api_keys") {
		return []string{l.file.APIKeys.Header}
	}
	return nil
}

// quoting returns what another package says of a value, unless that may quote a part of a variable's.
func (l *loader) quoting(field, text string) string {
	if l.doc.FromEnvironment(field) {
		return "is not as it should be; try it without the variable, to see why"
	}
	return text
}

// unjoin returns the errors that errors.Join has put together.
func unjoin(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	if err != nil {
		return []error{err}
	}
	return nil
}

// judgeIdentity returns what writes the identity headers; it is of use only if there was no fault.
func (l *loader) judgeIdentity(passports *PassportKeys) *identity.Stamper {
	for i, name := range l.file.Headers.Keep {
		if err := identity.CheckKeep(name); err != nil {
			field := fmt.Sprintf("headers.keep[%d]", i)
			l.doc.Fault(field, "%s", l.quoting(field, err.Error()))
		}
	}
	template, err := identity.ParseTemplate(l.file.ProxyState.Template)
	if err != nil {
		l.doc.Fault("proxy_state.template", "%s", l.quoting("proxy_state.template", err.Error()))
	}
	stamper := identity.New(template, l.file.Headers.Keep)
	if passports != nil {
		signer := passports.Signer
		stamper = stamper.Signing(passport.NewSignerFunc(signer.KeyID(), signer.Sign).Sign)
	}
	return stamper
}

func (l *loader) judgeBounds() {
	const minToken, maxToken = 256, 64 << 10 // no token of use is smaller, no header passes Envoy that is larger
	if t := l.file.Limits.Token; t < minToken || t > maxToken {
		l.doc.Fault("limits.token", "want a size from %v to %v", Size(minToken), Size(maxToken))
	}
	const minHeaders, maxHeaders = 4 << 10, 1 << 20
	if h := l.file.Limits.Headers; h < minHeaders || h > maxHeaders {
		l.doc.Fault("limits.headers", "want a size from %v to %v", Size(minHeaders), Size(maxHeaders))
	}
	const minBody, maxBody = 1 << 10, 1 << 20
	if b := l.file.Limits.Body; b < minBody || b > maxBody {
		l.doc.Fault("limits.body", "want a size from %v to %v", Size(minBody), Size(maxBody))
	}
	const maxDrain = time.Hour
	if l.file.Drain.Wait > maxDrain {
		l.doc.Fault("drain.wait", "want a duration from 0s to 1h")
	}
	if t := l.file.Drain.Timeout; t <= 0 || t > maxDrain {
		l.doc.Fault("drain.timeout", "want a duration above 0s, up to 1h")
	}
}

// path returns where a file that the configuration names is.
func (l *loader) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(l.dir, name)
}

// read reads a file and remembers that it did.
func (l *loader) read(path string, limit int64) ([]byte, error) {
	data, err := readFile(path, limit)
	l.remember(path, sha256.Sum256(data))
	return data, err
}

// remember keeps what a file held. A pipe is not watched: it gives what it holds once.
func (l *loader) remember(path string, digest [sha256.Size]byte) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		return
	}
	if l.seen == nil {
		l.seen = Snapshot{}
	}
	l.seen[path] = digest
}

// maxPipeWait is how long a file that is a pipe may take to give what it holds.
const maxPipeWait = 5 * time.Second

// readFile reads a file of limit bytes at most. One that is a pipe, as <(…) of a shell, is not waited for for ever, and
// is empty if nobody writes to it.
func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	_ = f.SetReadDeadline(time.Now().Add(maxPipeWait)) // only a pipe has one
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("it is larger than %v", Size(limit))
	}
	return data, err
}

// cause returns what an error of the file system says apart from the file's name.
func cause(err error) string {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err.Error()
	}
	return err.Error()
}

// oneOf returns the names of issuers for a fault's text.
func oneOf(names []string) string {
	if len(names) == 0 {
		return "an issuer of that name first"
	}
	return "one of " + strings.Join(names, ", ")
}
