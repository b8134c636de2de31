package config

import (
	"bytes"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Show returns the configuration as YAML, with defaults filled in and secrets masked. The sections come in
// one order, whatever that of the file. But for the masks it can be loaded again.
func (c *Config) Show() ([]byte, error) {
	var b bytes.Buffer
	out := yaml.NewEncoder(&b)
	out.SetIndent(2)
	if err := out.Encode(nodeOf(reflect.ValueOf(c.file))); err != nil {
		return nil, fmt.Errorf("show the configuration: %w", err)
	}
	return b.Bytes(), nil
}

// nodeOf returns a value of the file's types as YAML. The library's own way from values to nodes writes text
// and reads it back, and breaks on text that begins with a newline.
func nodeOf(v reflect.Value) *yaml.Node {
	switch value := v.Interface().(type) {
	case Secret:
		return word("<" + redacted + ">")
	case audiences:
		if value == nil {
			return word("any")
		}
	case time.Duration:
		return word(value.String())
	case Size:
		return word(value.String())
	}
	switch v.Kind() {
	case reflect.Struct:
		return structNode(v)
	case reflect.Map:
		n := &yaml.Node{Kind: yaml.MappingNode}
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, key := range keys {
			n.Content = append(n.Content, textNode(key.String()), nodeOf(v.MapIndex(key)))
		}
		return n
	case reflect.Slice:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		if v.Type().Elem().Kind() == reflect.String {
			n.Style = yaml.FlowStyle
		}
		for i := range v.Len() {
			n.Content = append(n.Content, nodeOf(v.Index(i)))
		}
		return n
	case reflect.Bool:
		return word(strconv.FormatBool(v.Bool()))
	case reflect.Int:
		return word(strconv.FormatInt(v.Int(), 10))
	}
	// What a file reads as a variable must not become one.
	return textNode(strings.ReplaceAll(v.String(), "${", "$${"))
}

func structNode(v reflect.Value) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for i := range v.NumField() {
		name, option, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		if option == "omitempty" && v.Field(i).IsZero() {
			continue
		}
		n.Content = append(n.Content, word(name), nodeOf(v.Field(i)))
	}
	return n
}

var plainText = regexp.MustCompile(`^[A-Za-z0-9/][A-Za-z0-9_./-]*(:[A-Za-z0-9_./-]+)*$`)

// textNode returns a string, in quotes unless it is plain text in any reading.
func textNode(s string) *yaml.Node {
	n := word(s)
	if n.ShortTag() != "!!str" || !plainText.MatchString(s) {
		n.Tag, n.Style = "!!str", yaml.DoubleQuotedStyle
	}
	return n
}

func word(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Value: s} }
