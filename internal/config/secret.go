package config

import (
	"fmt"
	"log/slog"
)

const redacted = "redacted"

// Secret is text that never prints: in every format and encoding it is the word redacted. Its value is had
// by conversion to string.
type Secret string

// Format implements [fmt.Formatter], for every verb, %#v among them.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// String implements [fmt.Stringer].
func (Secret) String() string { return redacted }

// LogValue implements [slog.LogValuer].
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements [encoding.TextMarshaler], for JSON and YAML.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
