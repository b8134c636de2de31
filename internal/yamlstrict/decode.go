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
	left  int // nodes that may still be decoded
	depth int
}

// rules are what the tags of a struct field ask of its value.
type rules struct {
	oneof    []string
	word     string
	want     string
	plain    bool
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
	at := n
	for n.Kind == yaml.AliasNode { // the parser makes no alias of an alias
		n = n.Alias
	}
	before := d.left
	d.left -= weight(n)
	switch {
	case before >= 0 && d.left < 0:
		d.fault(at, path, "the anchors of the file stand for more than %d values: write less by them", maxAliased)
		return n, false
	case d.left < 0:
		return n, false // said once is enough
	case len(path) > maxPath:
		d.fault(at, path[:strings.IndexAny(path+".", ".[")], "the keys down to a value have more than %d characters", maxPath)
		return n, false
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
		there[key.Value] = d.decode(value, Join(path, key.Value), v.Field(i), rulesOf(v.Type().Field(i)))
	}
	for _, name := range names {
		f := v.Type().Field(fields[name])
		if r := rulesOf(f); r.required && !there[name] {
			d.absent(n, Join(path, name), wanted(f.Type, r))
		}
	}
}

// absent adds the fault of a required field of a mapping, which is missing or left empty.
func (d *decoder) absent(mapping *yaml.Node, path, want string) {
	if pos, ok := d.doc.empty[path]; ok {
		d.doc.add(d.doc.faultAt(pos, path, "is empty; want %s", want))
		return
	}
	d.fault(mapping, path, "is missing; want %s", want)
}

func (d *decoder) mapping(n *yaml.Node, path string, v reflect.Value, r rules) {
	v.Set(reflect.MakeMap(v.Type()))
	for key, value := range d.pairs(n, path) {
		item := reflect.New(v.Type().Elem()).Elem()
		d.decode(value, Join(path, key.Value), item, r)
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
	items := n.Content[:min(len(n.Content), max(0, d.left)+1)] // one more, to be refused
	v.Set(reflect.MakeSlice(v.Type(), len(items), len(items)))
	for i, item := range items {
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
	switch {
	case isBare(n, value) && gluedPair.MatchString(key.Value):
		d.fault(key, path, "a key without a value; write a blank after the colon")
		return
	case isBare(n, value):
		d.fault(key, path, "a key without a value; put values that hold a comma in quotes")
		return
	}
	if near := Nearest(key.Value, known); near != "" {
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
	return Join(path, key.Value)
}

func setDefaults(v reflect.Value) {
	if s, ok := v.Addr().Interface().(defaulter); ok {
		s.SetDefaults()
	}
}

func rulesOf(f reflect.StructField) rules {
	r := rules{
		word: f.Tag.Get("word"), want: f.Tag.Get("want"), plain: f.Tag.Get("plain") == "true",
		nonempty: f.Tag.Get("nonempty") == "true", required: f.Tag.Get("required") == "true",
	}
	if words := f.Tag.Get("oneof"); words != "" {
		r.oneof = strings.Split(words, "|")
	}
	return r
}

var plainKey = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// Join returns the dotted path of a key in a mapping. A key that is no plain word is quoted, so that paths stay one line.
func Join(path, key string) string {
	if !plainKey.MatchString(key) {
		return path + "[" + strconv.QuoteToASCII(key) + "]"
	}
	if path == "" {
		return key
	}
	return path + "." + key
}
