package config

import (
	"fmt"
	"log/slog"
	"reflect"
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

// maskSecrets overwrites every secret in a value of the file's types. A configuration keeps what was in the file,
// to show it, but a printed struct shows its unexported fields without asking their methods.
func maskSecrets(v reflect.Value) {
	switch {
	case v.Type() == reflect.TypeFor[Secret]():
		if v.Len() > 0 {
			v.SetString(redacted)
		}
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			maskSecrets(v.Field(i))
		}
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			maskSecrets(v.Index(i))
		}
	}
}
