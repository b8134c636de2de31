package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/passgate/passgate/internal/keyset"
	"github.com/passgate/passgate/internal/terminal"
	"github.com/passgate/passgate/passport"
)

type passportCommand struct {
	Decode passportDecodeCommand `cmd:"" help:"Show the content of an X-Passport value. Exit status 1: it is not one."`
	Verify passportVerifyCommand `cmd:"" help:"Show the content of an X-Passport value whose signature verifies. Exit status 1: it does not; 3: the keys cannot be had."`
}

type passportDecodeCommand struct {
	Value string `arg:"" help:"Value of the X-Passport header."`
}

func (c *passportDecodeCommand) Run(p *program) error {
	decoded, err := passport.Decode(c.Value)
	if err != nil {
		fmt.Fprintln(p.stderr, "passgate:", err)
		return errNo
	}
	return printJSON(p.stdout, decoded)
}

type passportVerifyCommand struct {
	Value     string `arg:"" help:"Value of the X-Passport header."`
	Signature string `arg:"" help:"Value of the X-Passport-Signature header."`
	configFlag
	// Pointers, as an empty value must not stand for the absence of the flag.
	JWKSURL *string        `name:"jwks-url" placeholder:"URL" xor:"keys" help:"Where passgate serves its keys, as http://127.0.0.1:8080/.well-known/jwks.json. Without it and --keys: the configured signing key."`
	Keys    *string        `placeholder:"FILE" xor:"keys" help:"File with the keys: a JWKS or a public key in PEM."`
	MaxAge  *time.Duration `placeholder:"DURATION" help:"Refuse a passport that is older, as services do. Without it the age is not judged."`
}

// maxVerifyWait is how long a key set is waited for.
const maxVerifyWait = 10 * time.Second

func (c *passportVerifyCommand) Run(ctx context.Context, p *program) error {
	ctx, cancel := context.WithTimeout(ctx, maxVerifyWait)
	defer cancel()
	o, err := c.options(p)
	if err != nil {
		return err
	}
	v, err := passport.NewVerifier(ctx, o)
	if err != nil {
		return usageError{err}
	}
	if err := v.FetchKeys(ctx); err != nil {
		return err
	}
	verified, err := v.Verify(ctx, c.Value, c.Signature)
	if errors.Is(err, passport.ErrKeys) {
		return err
	}
	if err != nil {
		fmt.Fprintln(p.stderr, "passgate:", terminal.Line(err.Error()))
		return errNo
	}
	keyID, err := passport.KeyID(c.Signature)
	if err != nil {
		return err // it was verified
	}
	made := "ago"
	age := p.now().Sub(verified.Issued()).Truncate(time.Second)
	if age < 0 {
		age, made = -age, "ahead of this clock"
	}
	fmt.Fprintf(p.stderr, "passgate: signed with the key %q, %s %s\n", keyID, age, made)
	return printJSON(p.stdout, verified)
}

func (c *passportVerifyCommand) options(p *program) (o passport.Options, err error) {
	o = passport.Options{Now: p.now, MaxAge: math.MaxInt64, Skew: math.MaxInt64}
	if c.MaxAge != nil {
		if *c.MaxAge <= 0 {
			return o, usagef("--max-age: %s is not a time that a passport could be good for", *c.MaxAge)
		}
		o.MaxAge, o.Skew = *c.MaxAge, 0
	}
	switch {
	case c.JWKSURL != nil:
		if *c.JWKSURL == "" {
			return o, usagef("--jwks-url: the URL is empty")
		}
		o.JWKSURL = *c.JWKSURL
	case c.Keys != nil:
		if o.Keys, err = os.ReadFile(*c.Keys); err != nil {
			return o, usagef("--keys: %w", err)
		}
		if len(o.Keys) == 0 {
			return o, usagef("--keys: the file %s is empty", *c.Keys)
		}
	default:
		cfg, err := c.loadOrDefault(p)
		if err != nil {
			return o, err
		}
		if cfg.Passport == nil {
			return o, usagef("passport.signing_key_file is not set: say with --jwks-url URL or --keys FILE whose signature it is")
		}
		o.Keys = keyset.PublicJWKS(cfg.Passport.All()...)
	}
	return o, nil
}

// printJSON writes a value as indented JSON.
func printJSON(w io.Writer, v any) error {
	return writeJSON(w, v, jsontext.WithIndent("  "))
}

// printJSONLine prints v as one line of JSON.
func printJSONLine(w io.Writer, v any) error { return writeJSON(w, v) }

func writeJSON(w io.Writer, v any, form ...json.Options) error {
	text, err := json.Marshal(v, append(form, jsontext.AllowInvalidUTF8(true))...)
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, terminal.Text(string(text))+"\n")
	return err
}
