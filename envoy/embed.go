// Package envoy holds the Envoy configuration that ships with passgate: the demo, compose.yaml and the
// end-to-end tests load this one file, so what is tried is what is copied into production.
package envoy

import _ "embed"

// Config is envoy.yaml: a listener on 0.0.0.0:10000, Envoy's admin port on 127.0.0.1:9901, passgate on
// 127.0.0.1:9191 and the upstream on 127.0.0.1:8081.
//
//go:embed envoy.yaml
var Config []byte
