package yamlstrict

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Size is a number of bytes, written as 8KiB, 1MiB or 8192.
type Size int64

var sizeUnits = []struct {
	name  string
	bytes Size
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}

// String returns the size in the largest unit that divides it.
func (s Size) String() string {
	for _, unit := range sizeUnits {
		if s != 0 && s%unit.bytes == 0 && unit.bytes > 1 {
			return fmt.Sprintf("%d%s", s/unit.bytes, unit.name)
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// parseSize reads what [Size.String] writes, and plain bytes.
func parseSize(text string) (Size, bool) {
	factor := Size(1)
	for _, unit := range sizeUnits {
		if digits, found := strings.CutSuffix(text, unit.name); found {
			text, factor = digits, unit.bytes
			break
		}
	}
	n, err := strconv.ParseUint(text, 10, 32) // no sign, no overflow with any unit
	return Size(n) * factor, err == nil
}

// scalar reads one value. It reports whether there is one, good or bad: an empty one counts as absent.
func (d *decoder) scalar(n *yaml.Node, path string, v reflect.Value, r rules) bool {
	text, replaced, ok := d.replace(n, path)
	if !ok {
		return true
	}
	if v.Kind() == reflect.Interface {
		if value := d.freeScalar(n, path, text, replaced); value != nil {
			v.Set(reflect.ValueOf(value))
		}
		return true
	}
	empty := n.Tag == "!!null" || text == ""
	isText := n.Tag == "!!str" || replaced || r.plain
	switch {
	case empty && path != "":
		return false
	case v.Kind() == reflect.String && !isText:
		d.fault(n, path, "want %s; put what reads as a number, a date, true or false in quotes", wanted(v.Type(), r))
	case r.word != "" && v.Kind() == reflect.Slice && text == r.word:
		v.SetZero()
	case !convert(n, text, replaced, v, r):
		d.fault(n, path, "want %s%s", wanted(v.Type(), r), hint(text, v, r))
	}
	return true
}

// gluedPair is a key and its value with no blank between, which YAML reads as one text.
var gluedPair = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*:[^\s/]`)

// hint says what a value that was refused is likely to be a slip of.
func hint(text string, v reflect.Value, r rules) string {
	near := Nearest(text, r.oneof)
	switch {
	case v.Type() == durationType && strings.HasPrefix(text, "-"):
		return ", and not a negative one"
	case v.Kind() == reflect.Slice && slices.Contains(r.oneof, near):
		return fmt.Sprintf("; did you mean [%s]?", near)
	case near != "":
		return fmt.Sprintf("; did you mean %s?", near)
	case (v.Kind() == reflect.Struct || v.Kind() == reflect.Map) && gluedPair.MatchString(text):
		return "; write a blank after the colon"
	}
	return ""
}

// convert sets v from the text of a scalar and reports whether it could.
func convert(n *yaml.Node, text string, replaced bool, v reflect.Value, r rules) bool {
	quoted := n.Style != 0 && !replaced // "5" and "true" in quotes are text
	switch {
	case v.Type() == durationType:
		duration, err := time.ParseDuration(text)
		v.SetInt(int64(duration))
		return err == nil && duration >= 0
	case v.Type() == sizeType:
		size, ok := parseSize(text)
		v.SetInt(int64(size))
		return ok
	case v.Kind() == reflect.String:
		v.SetString(text)
		return len(r.oneof) == 0 || slices.Contains(r.oneof, text)
	case quoted:
		return false
	case v.Kind() == reflect.Bool:
		v.SetBool(text == "true")
		return text == "true" || text == "false"
	case v.CanInt():
		i, err := strconv.ParseInt(text, 10, v.Type().Bits())
		v.SetInt(i)
		return err == nil
	}
	return false
}

// wanted says in words what a field takes.
func wanted(t reflect.Type, r rules) string {
	switch {
	case r.want != "":
		return r.want
	case r.word != "":
		return fmt.Sprintf("the word %s, or a list of texts such as [a, b]", r.word)
	case t == durationType:
		return "a duration with its unit, such as 0s, 500ms or 1m30s"
	case t == sizeType:
		return "a size such as 8KiB, 1MiB or a plain number of bytes"
	case t.Kind() == reflect.String && len(r.oneof) > 0:
		return alternatives(r.oneof)
	case t.Kind() == reflect.Slice && len(r.oneof) > 0:
		return fmt.Sprintf("a list of %s, such as [%s]", alternatives(r.oneof), r.oneof[0])
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.String:
		return "a list of texts, such as [a, b]"
	}
	switch t.Kind() {
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false, in lower case and without quotes"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "a whole number"
	case reflect.Slice:
		return "a list, each entry on a line that begins with -"
	case reflect.Interface:
		return "a value"
	}
	if key := firstKey(t); key != "" {
		return fmt.Sprintf("a mapping, such as {%s: …}", key)
	}
	return "a mapping, such as {key: value}"
}

// firstKey returns the key of the first field of a struct.
func firstKey(t reflect.Type) string {
	if t.Kind() != reflect.Struct {
		return ""
	}
	for i := range t.NumField() {
		if key, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ","); key != "" && key != "-" {
			return key
		}
	}
	return ""
}

// alternatives returns "a, b or c".
func alternatives(words []string) string {
	last := len(words) - 1
	if last < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

var variable = regexp.MustCompile(`^\$\{([A-Za-z_][A-Za-z0-9_]*)(:-([^{}]*))?\}`)

// replace returns the text of a scalar with ${NAME} and ${NAME:-default} read from the environment, and
// whether any was. $${ stands for ${ itself. The default stands for an empty variable too, as in a shell.
func (d *decoder) replace(n *yaml.Node, path string) (text string, replaced, ok bool) {
	if d.env == nil || !strings.Contains(n.Value, "${") {
		return n.Value, false, true
	}
	var b strings.Builder
	for rest := n.Value; rest != ""; {
		if strings.HasPrefix(rest, "$${") {
			b.WriteString("${")
			rest = rest[len("$${"):]
			continue
		}
		if !strings.HasPrefix(rest, "${") {
			b.WriteByte(rest[0])
			rest = rest[1:]
			continue
		}
		m := variable.FindStringSubmatch(rest)
		if m == nil {
			d.fault(n, path, "write ${NAME} or ${NAME:-default} to read the environment, $${ for these characters themselves")
			return "", false, false
		}
		name, hasDefault := m[1], m[2] != ""
		value, set := d.env(name)
		switch {
		case !set && !hasDefault:
			d.fault(n, path, "the environment variable %s is not set; set it, or write ${%s:-default}", name, name)
			return "", false, false
		case !utf8.ValidString(value) || strings.ContainsRune(value, 0):
			d.fault(n, path, "the environment variable %s is not text in UTF-8", name)
			return "", false, false
		case value == "" && m[3] != "":
			value = m[3]
		default:
			d.doc.from[path] = append(d.doc.from[path], "${"+name+"}")
			d.doc.values[name] = value
		}
		b.WriteString(value)
		rest, replaced = rest[len(m[0]):], true
	}
	return b.String(), replaced, true
}
