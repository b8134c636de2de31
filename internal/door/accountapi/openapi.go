package accountapi

import _ "embed" // the description is a file that other tools read, too

//go:embed openapi.yaml
var description string

// OpenAPI returns the description of the API for clients, an OpenAPI 3.0 document in YAML.
func OpenAPI() string { return description }
