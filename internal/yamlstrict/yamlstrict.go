// Package yamlstrict reads YAML into Go values, naming every fault by line and column.
//
// It takes one document with a mapping at its root, and reports all that is wrong at once: unknown and
// repeated keys, values of another type, missing fields. What YAML offers beyond plain data (several
// documents, tags, merge keys) is refused; anchors are followed, within bounds. No fault shows the value of
// a field, which may be a secret.
//
// Fields are bound by struct tags:
//
//	yaml:"name"        the key; fields without it are left alone
//	required:"true"    the key must be there
//	oneof:"a|b"        the words that a string, or each string of a list, may be
//	word:"any"         a []string may be this word instead, which leaves it nil
//	nonempty:"true"    a list that is there must hold something
//	plain:"true"       a string may be written without quotes even where it reads as a number or a bool
//	want:"a b of c"    what faults say is wanted, in place of the words for the type
//
// A field that is left empty is as good as absent. A struct with a method SetDefaults has it called before
// its fields are read. Types: string, bool, int, [time.Duration], [Size], slices, maps with string keys,
// structs, and any for free data (map[string]any, []any, string, int64, float64, bool, nil).
package yamlstrict

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Bounds of what is read: a file is configuration, written by hand.
const (
	MaxBytes = 4 << 20 // size of a file
	maxDepth = 64      // nesting
	maxKey   = 256     // bytes in a key
	maxPath  = 1024    // bytes in a dotted path, of which one is kept for each value

	maxAliased = 1 << 15 // values reached through aliases; others are as many as the file has room for
	maxFaults  = 1000    // reported of one file
)

// Lookup finds a variable of the environment, as [os.LookupEnv] does.
type Lookup func(name string) (string, bool)

// Document is a file that was read. It remembers where each field stands, so that the reader of its values
// can add faults of its own.
type Document struct {
	file   string
	text   string
	lines  []int               // where each begins; made when it is asked for
	empty  map[string]Pos      // by dotted path, of fields that are there and empty
	places map[string]Pos      // by dotted path, of fields that are there and not empty
	faulty map[string]bool     // paths that have a fault of their own
	inside map[string]bool     // paths that have a fault, or hold one that has
	from   map[string][]string // by dotted path, the variables that were read for a value
	values map[string]string   // by name, what those variables hold
	faults []*Fault
	unwise []*Fault
}

// Read reads a YAML file into the struct that into points to. The faults are in the document's Err, to which
// a reader that goes on to judge the values adds its own. With env, ${NAME} and ${NAME:-default} in values
// are replaced from it, after the YAML was parsed.
func Read(file string, data []byte, env Lookup, into any) *Document {
	doc := &Document{file: file, text: string(data), places: map[string]Pos{}, empty: map[string]Pos{}, faulty: map[string]bool{}, inside: map[string]bool{}, from: map[string][]string{}, values: map[string]string{}}
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		panic(fmt.Sprintf("yamlstrict: cannot decode into %T, only into a pointer to a struct", into))
	}
	setDefaults(v.Elem())
	d := decoder{doc: doc, env: env}
	if root := doc.parse(data, wanted(v.Elem().Type(), rules{})); root != nil {
		d.left = size(root) + maxAliased
		d.decode(root, "", v.Elem(), rules{})
		if d.left < 0 { // what was read has holes, of which nothing is to be said
			v.Elem().SetZero()
			setDefaults(v.Elem())
		}
	}
	return doc
}

// weight counts a node by itself: a long text as several.
func weight(n *yaml.Node) int { return 1 + len(n.Value)/64 }

// size counts a node and those in it, but for aliases.
func size(n *yaml.Node) int {
	nodes := weight(n)
	if n.Kind == yaml.AliasNode {
		nodes = 0
	}
	for _, inner := range n.Content {
		nodes += size(inner)
	}
	return nodes
}

// Err returns all faults so far as [Faults], in the order of lines, or nil.
func (doc *Document) Err() error {
	if len(doc.faults) == 0 {
		return nil
	}
	sortByPlace(doc.faults)
	return Faults(doc.faults)
}

// Has reports whether a field is in the file and not empty, with a fault or without.
func (doc *Document) Has(field string) bool {
	_, ok := doc.places[field]
	return ok
}

// LeftEmpty reports whether a field is in the file with nothing in it, which is as good as absent.
func (doc *Document) LeftEmpty(field string) bool {
	_, ok := doc.empty[field]
	return ok
}

// FromEnvironment reports whether the value of a field, or a part of it, is that of a variable.
func (doc *Document) FromEnvironment(field string) bool { return len(doc.from[field]) > 0 }

// Sound reports whether a field, and what is in it, was read without a fault.
func (doc *Document) Sound(field string) bool { return !doc.inside[field] }

// Pos returns where a field stands, or else the nearest field around it.
func (doc *Document) Pos(field string) Pos {
	for {
		if pos, ok := doc.places[field]; ok || field == "" {
			return pos
		}
		if pos, ok := doc.empty[field]; ok {
			return pos
		}
		field = parent(field)
	}
}

func (doc *Document) faultAt(pos Pos, field, format string, args ...any) *Fault {
	text := doc.withoutValues(fmt.Sprintf(format, args...))
	// Whoever mends it has to look at the environment and not at this line.
	switch from := doc.from[field]; {
	case len(from) > 1 && doc.LeftEmpty(field):
		text += " (" + strings.Join(from, " and ") + " are empty)"
	case len(from) > 0 && doc.LeftEmpty(field):
		text += " (" + strings.Join(from, " and ") + " is empty)"
	case len(from) > 0:
		text += " (the value is that of " + strings.Join(from, " and ") + ")"
	}
	return &Fault{File: doc.file, Pos: pos, Field: field, Text: text}
}

// withoutValues puts ${NAME} in place of what a variable holds: a secret may stand in any field, by mistake.
func (doc *Document) withoutValues(text string) string {
	// What is shorter is hardly a secret, and may be a word of the sentence itself.
	const shortest = 16
	// The longest first: one value may hold another.
	names := slices.SortedFunc(maps.Keys(doc.values), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(doc.values[b]), len(doc.values[a])), cmp.Compare(a, b))
	})
	for _, name := range names {
		value, quoted := doc.values[name], strconv.Quote(doc.values[name])
		for _, form := range []string{value, quoted[1 : len(quoted)-1]} {
			if len(form) >= shortest {
				text = strings.ReplaceAll(text, form, "${"+name+"}")
			}
		}
	}
	return text
}

// Fault adds a fault of a field. A field that has one already keeps the first: the others follow from it.
func (doc *Document) Fault(field, format string, args ...any) {
	if !doc.faulty[field] {
		doc.add(doc.faultAt(doc.Pos(field), field, format, args...))
	}
}

// Warn adds a warning of a field: what is valid and unwise.
func (doc *Document) Warn(field, format string, args ...any) {
	doc.warn(doc.faultAt(doc.Pos(field), field, format, args...))
}

func (doc *Document) warn(f *Fault) {
	if len(doc.unwise) < maxFaults {
		doc.unwise = append(doc.unwise, f)
	}
}

// Warnings returns all warnings so far, in the order of lines.
func (doc *Document) Warnings() []*Fault {
	sortByPlace(doc.unwise)
	return doc.unwise
}

func (doc *Document) add(f *Fault) {
	if len(doc.faults) < maxFaults {
		doc.faults = append(doc.faults, f)
	}
	doc.faulty[f.Field] = true
	for field := f.Field; !doc.inside[field]; field = parent(field) {
		doc.inside[field] = true
	}
}

// parent returns the path of what holds a field, "" for the file itself.
func parent(field string) string {
	if strings.HasSuffix(field, `"]`) { // a quoted key, which may hold anything
		return field[:strings.LastIndex(field, `["`)]
	}
	return field[:max(strings.LastIndexAny(field, ".["), 0)]
}
