package main

import (
	"fmt"
	"io"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/passgate/passgate/internal/terminal"
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
