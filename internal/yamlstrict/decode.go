package yamlstrict

import (
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// decoder walks a file's nodes and the Go value beside them.
type decoder struct {
	doc   *Document
	env   Lookup
	nodes int
	depth int
}

// rules are what the tags of a struct field ask of its value.
type rules struct {
	oneof    []string
	word     string
	nonempty bool
	required bool
}

type defaulter interface{ SetDefaults() }

var (
	durationType = reflect.TypeFor[time.Duration]()
	sizeType     = reflect.TypeFor[Size]()
)

// decode reads n into v. It reports whether there was a value, good or bad, and not an empty one.
func (d *decoder) decode(n *yaml.Node, path string, v reflect.Value, r rules) bool {
	at := Pos{n.Line, n.Column}
	n, ok := d.enter(n, path)
	defer d.leave()
	there := true
	switch {
	case !ok:
	case n.Kind == yaml.ScalarNode:
		there = d.scalar(n, path, v, r)
	default:
		d.composite(n, path, v, r)
	}
	if there {
		d.doc.places[path] = at
	} else {
		d.doc.empty[path] = at
	}
	return there
}

// enter follows an alias and counts the node against the bounds.
func (d *decoder) enter(n *yaml.Node, path string) (*yaml.Node, bool) {
	d.depth++
	d.nodes++
	at := n
	for n.Kind == yaml.AliasNode { // the parser makes no alias of an alias
		n = n.Alias
	}
	switch {
	case d.nodes == maxNodes:
		d.fault(at, path, "the file holds more than %d values, counting each use of an anchor", maxNodes)
		return n, false
	case d.nodes > maxNodes:
		return n, false // said once is enough
	case d.depth > maxDepth:
		d.fault(at, path, "values are nested more than %d deep", maxDepth)
		return n, false
	case n.Style&yaml.TaggedStyle != 0:
		d.fault(at, path, "tags such as !!str are not read here: leave it out")
		return n, false
	}
	return n, true
}

func (d *decoder) leave() { d.depth-- }

func (d *decoder) fault(n *yaml.Node, path, format string, args ...any) {
	d.doc.add(d.doc.faultAt(Pos{n.Line, n.Column}, path, format, args...))
}

// composite reads a mapping or a list.
func (d *decoder) composite(n *yaml.Node, path string, v reflect.Value, r rules) {
	isMap := n.Kind == yaml.MappingNode
	switch {
	case v.Kind() == reflect.Interface:
		v.Set(reflect.ValueOf(d.free(n, path)))
	case isMap && v.Kind() == reflect.Struct:
		d.structure(n, path, v)
	case isMap && v.Kind() == reflect.Map:
		d.mapping(n, path, v, r)
	case !isMap && v.Kind() == reflect.Slice:
		d.list(n, path, v, r)
	default:
		d.fault(n, path, "want %s", wanted(v.Type(), r))
	}
}

func (d *decoder) structure(n *yaml.Node, path string, v reflect.Value) {
	setDefaults(v)
	fields := map[string]int{}
	var names []string
	for i := range v.NumField() {
		if name := v.Type().Field(i).Tag.Get("yaml"); name != "" && name != "-" {
			name, _, _ = strings.Cut(name, ",")
			fields[name] = i
			names = append(names, name)
		}
	}
	there := map[string]bool{}
	for key, value := range d.pairs(n, path) {
		i, known := fields[key.Value]
		if !known {
			d.unknownKey(n, key, value, path, names)
			continue
		}
		there[key.Value] = d.decode(value, join(path, key.Value), v.Field(i), rulesOf(v.Type().Field(i)))
	}
	for _, name := range names {
		f := v.Type().Field(fields[name])
		if r := rulesOf(f); r.required && !there[name] {
			d.fault(n, join(path, name), "is missing; want %s", wanted(f.Type, r))
		}
	}
}

func (d *decoder) mapping(n *yaml.Node, path string, v reflect.Value, r rules) {
	v.Set(reflect.MakeMap(v.Type()))
	for key, value := range d.pairs(n, path) {
		item := reflect.New(v.Type().Elem()).Elem()
		d.decode(value, join(path, key.Value), item, r)
		v.SetMapIndex(reflect.ValueOf(key.Value).Convert(v.Type().Key()), item)
	}
}

func (d *decoder) list(n *yaml.Node, path string, v reflect.Value, r rules) {
	if r.nonempty && len(n.Content) == 0 {
		orElse := ", or leave the field out"
		if r.required {
			orElse = ""
		}
		d.fault(n, path, "an empty list: want %s%s", wanted(v.Type(), r), orElse)
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, item := range n.Content {
		at := fmt.Sprintf("%s[%d]", path, i)
		if !d.decode(item, at, v.Index(i), rules{oneof: r.oneof}) {
			d.fault(item, at, "is empty; want %s, or take the entry out", wanted(v.Type().Elem(), r))
		}
	}
}

// pairs returns the keys of a mapping with their values, leaving out those with a fault.
func (d *decoder) pairs(n *yaml.Node, path string) func(yield func(key, value *yaml.Node) bool) {
	return func(yield func(key, value *yaml.Node) bool) {
		first := map[string]int{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, value := n.Content[i], n.Content[i+1]
			line, repeated := first[key.Value]
			switch {
			case key.Kind != yaml.ScalarNode || key.Style&yaml.TaggedStyle != 0 || key.Tag != "!!str" && key.Tag != "!!merge":
				d.fault(key, path, "want text for a key: put other words, such as numbers, true or null, in quotes")
			case key.Tag == "!!merge":
				d.fault(key, path, "merge keys << are not read here: write the fields out")
			case key.Value == "" || len(key.Value) > maxKey:
				d.fault(key, path, "a key has 1 to %d characters", maxKey)
			case d.env != nil && strings.Contains(key.Value, "${"):
				d.fault(key, path, "the environment is read in values only: write the key out")
			case repeated:
				d.fault(key, keyPath(n, key, value, path), "stands here again, after line %d; take one of them out", line)
			default:
				first[key.Value] = key.Line
				if !yield(key, value) {
					return
				}
			}
		}
	}
}

// unknownKey adds the fault of a key that no field has.
func (d *decoder) unknownKey(n, key, value *yaml.Node, path string, known []string) {
	if isBare(n, value) {
		d.fault(key, path, "a key without a value; put values that hold a comma in quotes")
		return
	}
	if near := nearest(key.Value, known); near != "" {
		d.fault(key, keyPath(n, key, value, path), "unknown key; did you mean %s?", near)
		return
	}
	d.fault(key, keyPath(n, key, value, path), "unknown key; the keys here are %s", strings.Join(known, ", "))
}

// isBare reports whether value is what a key without a value has in { }. Such a key may be half of a
// secret, as cd is in {secret: ab,cd}, so it is not shown.
func isBare(mapping, value *yaml.Node) bool {
	return mapping.Style&yaml.FlowStyle != 0 && value.Kind == yaml.ScalarNode && value.Value == "" && value.Style == 0
}

// keyPath returns the path of a key to name in a fault, or that of its mapping where the key is not shown.
func keyPath(mapping, key, value *yaml.Node, path string) string {
	if isBare(mapping, value) || !plainKey.MatchString(key.Value) {
		return path
	}
	return join(path, key.Value)
}

func setDefaults(v reflect.Value) {
	if s, ok := v.Addr().Interface().(defaulter); ok {
		s.SetDefaults()
	}
}

func rulesOf(f reflect.StructField) rules {
	r := rules{word: f.Tag.Get("word"), nonempty: f.Tag.Get("nonempty") == "true", required: f.Tag.Get("required") == "true"}
	if words := f.Tag.Get("oneof"); words != "" {
		r.oneof = strings.Split(words, "|")
	}
	return r
}

var plainKey = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// join returns the dotted path of a key. A key that is no plain word is quoted, so that paths stay one line.
func join(path, key string) string {
	if !plainKey.MatchString(key) {
		return path + "[" + strconv.QuoteToASCII(key) + "]"
	}
	if path == "" {
		return key
	}
	return path + "." + key
}
