package main

import (
	"encoding/json"
	"fmt"

	"github.com/passgate/passgate/passport"
)

type passportCommand struct {
	Decode passportDecodeCommand `cmd:"" help:"Show the content of an X-Passport value. Exit status 1: it is not one."`
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

func printJSON(w interface{ Write([]byte) (int, error) }, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
