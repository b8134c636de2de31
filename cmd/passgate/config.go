package main

import (
	"fmt"

	"github.com/passgate/passgate/internal/config"
)

type configCommand struct {
	Check  configCheckCommand  `cmd:"" help:"Validate a configuration: errors with file, line and column, and warnings for what is unwise."`
	Show   configShowCommand   `cmd:"" help:"Print the effective configuration, secrets masked."`
	Schema configSchemaCommand `cmd:"" help:"Print the JSON Schema of the file, for editors."`
}

type configCheckCommand struct {
	configFlag
	File string `arg:"" optional:"" help:"Configuration file, in place of --config."`
}

func (c *configCheckCommand) Run(p *program) error {
	switch {
	case c.File != "" && c.Config != nil:
		return usagef("--config: stands beside the name of a file; take one of them out")
	case c.File != "":
		c.Config = &c.File
	}
	cfg, err := c.loadOrDefault(p)
	if err != nil {
		return err
	}
	if redis, err := openRedis(cfg); err != nil { // which asks nobody
		return err
	} else if redis != nil {
		defer redis.Close()
	}
	for _, w := range cfg.Warnings {
		fmt.Fprintln(p.stdout, "warning:", w)
	}
	_, err = fmt.Fprintf(p.stdout, "%s: ok; issuers: %d, routes: %d, warnings: %d\n", cfg.File, len(cfg.Issuers), len(cfg.Routes), len(cfg.Warnings))
	return err
}

type configShowCommand struct {
	configFlag
	Default bool `help:"Print the embedded default file as it is."`
}

func (c *configShowCommand) Run(p *program) error {
	text := config.DefaultYAML()
	if !c.Default {
		cfg, err := c.loadOrDefault(p)
		if err != nil {
			return err
		}
		if text, err = cfg.Show(); err != nil {
			return err
		}
	}
	_, err := p.stdout.Write(text)
	return err
}

type configSchemaCommand struct{}

func (configSchemaCommand) Run(p *program) error {
	_, err := p.stdout.Write(config.Schema())
	return err
}
