package config

import (
	_ "embed"
	"slices"
)

// A test writes it, from the types of the file: see schema_test.go.
//
//go:embed schema.json
var schema []byte

// Schema returns the JSON Schema (draft 2020-12) of a configuration file, for editors. It takes what [Load]
// takes as far as a schema can tell, a variable of the environment in every value included.
func Schema() []byte { return slices.Clone(schema) }
