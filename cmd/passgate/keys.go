package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/passgate/passgate/internal/config"
	"github.com/passgate/passgate/internal/keydir"
	"github.com/passgate/passgate/internal/keyset"
	"github.com/passgate/passgate/internal/terminal"
)

type keysCommand struct {
	New    keysNewCommand    `cmd:"" help:"Make a signing key in the key directory, or with --out a key that signs passports."`
	List   keysListCommand   `cmd:"" help:"List the keys of the key directory, newest first."`
	Rotate keysRotateCommand `cmd:"" help:"Make a key that follows the others, and set when these verify no more. Tokens that they signed are accepted until then."`
}

// keysDir returns the key directory of a configuration, or "".
func keysDir(cfg *config.Config) string {
	if cfg.Keys == nil {
		return ""
	}
	return cfg.Keys.Dir
}

const (
	// defaultSignAfter is when a key signs that follows another one: every replica has to have read it before.
	defaultSignAfter = time.Minute

	// The last token of a key lives as long as tokens do, and the clocks of those who verify it may be late.
	defaultTokenTTL = 24 * time.Hour
	verifyMargin    = time.Hour

	// keptRetired is how long a retired key is listed without a word.
	keptRetired = 30 * 24 * time.Hour
)

// keyDirFlags are embedded by the commands about the key directory.
type keyDirFlags struct {
	configFlag
	Dir *string `placeholder:"DIR" help:"Key directory. Without it: keys.dir of the configuration."`
}

// load returns the key directory, and the configuration where it is needed or asked for: with --dir alone there may be none.
func (f keyDirFlags) load(p *program) (dir string, cfg *config.Config, err error) {
	if f.Dir != nil && *f.Dir == "" {
		return "", nil, usagef("--dir: the name is empty")
	}
	if f.Dir != nil {
		cfg, err = f.configFlag.load(p, func() (*config.Config, error) { return nil, nil })
		return *f.Dir, cfg, err
	}
	if cfg, err = f.loadOrDefault(p); err != nil {
		return "", nil, err
	}
	if dir = keysDir(cfg); dir == "" {
		return "", nil, usagef("%s has no keys.dir; add keys: {dir: DIR} to it, or give --dir", cfg.File)
	}
	return dir, cfg, nil
}

// dirOnly is load for a command that can do without the configuration, which may not be valid before it ran: with
// --dir there is none.
func (f keyDirFlags) dirOnly(p *program) (dir string, cfg *config.Config, err error) {
	if f.Dir != nil && *f.Dir != "" {
		return *f.Dir, nil, nil
	}
	return f.load(p)
}

// algFlag is embedded by the commands that make a key.
type algFlag struct {
	Alg string `placeholder:"ALG" help:"EdDSA, ES256 or HS256. Without it: that of the newest key, or EdDSA."`
}

// algorithm returns the algorithm asked for, else that of the newest key. Where the configuration is known its issuer
// has to take it: a server would refuse a directory with such a key, and not start with it.
func (f algFlag) algorithm(newestFirst []keyset.RingKey, cfg *config.Config) (keyset.Algorithm, error) {
	a := keyset.Algorithm(f.Alg)
	switch {
	case a == "" && len(newestFirst) > 0:
		a = newestFirst[0].Signer.Key().Algorithm
	case a == "":
		a = keyset.EdDSA
	case a != keyset.EdDSA && a != keyset.ES256 && a != keyset.HS256:
		return "", usagef("--alg: %.64q is not one of EdDSA, ES256, HS256", f.Alg)
	}
	if cfg == nil || cfg.Keys == nil {
		return a, nil
	}
	for _, i := range cfg.Issuers {
		if i.Name == cfg.Keys.Issuer && !slices.Contains(i.Algorithms, a) {
			return "", usagef("--alg: the algorithms of the issuer %s in %s lack %s; add it there first", i.Name, cfg.File, a)
		}
	}
	return a, nil
}

// faultOf returns an error of a key directory as what it is: a file at fault is a matter of configuration.
func faultOf(err error) error {
	if file := (*keydir.FileError)(nil); errors.As(err, &file) && (file.Err == nil || errors.Is(file.Err, fs.ErrNotExist)) {
		return usageError{err}
	}
	return err
}

type keysNewCommand struct {
	keyDirFlags
	algFlag
	SignAfter *time.Duration `placeholder:"DURATION" help:"Time until the key signs. Without it: none for the first, 1m for one that follows another. Where a secret signs so far, long enough that every replica reads the directory by then."`
	Out       *string        `placeholder:"FILE" help:"Write an Ed25519 key in PEM to this new file, for passport.signing_key_file, and touch no key directory."`
}

func (c *keysNewCommand) Run(p *program) error {
	if c.Out != nil {
		return c.writePassportKey(p)
	}
	dir, cfg, err := c.dirOnly(p)
	if err != nil {
		return err
	}
	keys, err := keydir.List(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return faultOf(err)
	}
	algorithm, err := c.algorithm(keys, cfg)
	if err != nil {
		return err
	}
	now := p.now()
	signs := now
	switch {
	case c.SignAfter != nil && *c.SignAfter < 0:
		return usagef("--sign-after: %v is negative", *c.SignAfter)
	case c.SignAfter != nil:
		signs = now.Add(*c.SignAfter)
	case keydir.CanSign(keys, now):
		signs = now.Add(defaultSignAfter)
	}
	kid, err := keydir.New(dir, algorithm, signs, now)
	if err != nil {
		return faultOf(err)
	}
	return p.say("made the %s key %s in %s; it signs from %s", algorithm, kid, dir, stamp(signs))
}

// writePassportKey makes a file that did not exist.
func (c *keysNewCommand) writePassportKey(p *program) error {
	switch {
	case *c.Out == "":
		return usagef("--out: the file name is empty")
	case c.Dir != nil || c.Config != nil || c.SignAfter != nil:
		return usagef("--out: stands beside --dir, --config or --sign-after, which it has no use for; take one of them out")
	case c.Alg != "" && c.Alg != string(keyset.EdDSA):
		return usagef("--alg: passports are signed with EdDSA alone; take it out, or --out")
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	signer, err := keyset.ParseSigner(text)
	if err != nil {
		return err
	}
	switch err := keydir.Create(*c.Out, text); {
	case errors.Is(err, fs.ErrExist):
		return usagef("--out: %s exists, and is left as it is; name a new file", *c.Out)
	case err != nil:
		return err
	}
	return p.say("wrote the EdDSA key %s to %s", signer.KeyID(), *c.Out)
}

type keysRotateCommand struct {
	keyDirFlags
	algFlag
	SignAfter time.Duration  `default:"1m" help:"Time until the new key signs; every replica has to have read it by then."`
	VerifyFor *time.Duration `placeholder:"DURATION" help:"How long the keys before it verify from then on. Without it: accounts.token_ttl and 1h, so that no token ends early; 0s ends them all."`
}

func (c *keysRotateCommand) Run(p *program) error {
	if c.SignAfter < 0 {
		return usagef("--sign-after: %v is negative", c.SignAfter)
	}
	if c.VerifyFor != nil && *c.VerifyFor < 0 {
		return usagef("--verify-for: %v is negative", *c.VerifyFor)
	}
	dir, cfg, verifyFor, err := c.settings(p)
	if err != nil {
		return err
	}
	keys, err := keydir.List(dir)
	if err != nil {
		return faultOf(err)
	}
	if len(keys) == 0 {
		return usagef("%s has no key to follow; run: passgate keys new --dir %s", dir, dir)
	}
	algorithm, err := c.algorithm(keys, cfg)
	if err != nil {
		return err
	}
	r, err := keydir.Rotate(dir, algorithm, p.now(), c.SignAfter, verifyFor)
	if err != nil {
		return faultOf(err)
	}
	if err := p.say("made the %s key %s in %s; it signs from %s", algorithm, r.Made.Signer.KeyID(), dir, stamp(r.Made.Signs)); err != nil {
		return err
	}
	for _, k := range r.Retired {
		if err := p.say("the %s key %s verifies until %s", k.Signer.Key().Algorithm, k.Signer.KeyID(), stamp(k.Retired)); err != nil {
			return err
		}
	}
	return nil
}

// settings returns the key directory, the configuration if it is known, and how long keys verify after the new one
// signs.
func (c *keysRotateCommand) settings(p *program) (string, *config.Config, time.Duration, error) {
	if c.VerifyFor != nil {
		dir, cfg, err := c.dirOnly(p)
		return dir, cfg, *c.VerifyFor, err
	}
	dir, cfg, err := c.load(p)
	if err != nil {
		return "", nil, 0, err
	}
	ttl := defaultTokenTTL
	if cfg != nil && cfg.Accounts != nil {
		ttl = cfg.Accounts.TokenTTL
	}
	if c.Dir != nil { // it need not be that of the configuration
		cfg = nil
	}
	return dir, cfg, ttl + verifyMargin, nil
}

// say prints one line.
func (p *program) say(format string, args ...any) error {
	_, err := fmt.Fprintln(p.stdout, terminal.Line(fmt.Sprintf(format, args...)))
	return err
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
