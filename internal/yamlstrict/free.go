package yamlstrict

import (
	"fmt"
	"math"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// free reads a mapping or list of any shape, as JSON would hold it.
func (d *decoder) free(n *yaml.Node, path string) any {
	if n.Kind == yaml.SequenceNode {
		list := make([]any, len(n.Content))
		for i, item := range n.Content {
			list[i] = d.freeValue(item, fmt.Sprintf("%s[%d]", path, i))
		}
		return list
	}
	object := make(map[string]any, len(n.Content)/2)
	for key, value := range d.pairs(n, path) {
		object[key.Value] = d.freeValue(value, Join(path, key.Value))
	}
	return object
}

func (d *decoder) freeValue(n *yaml.Node, path string) any {
	d.doc.places[path] = Pos{n.Line, n.Column}
	n, ok := d.enter(n, path)
	defer d.leave()
	switch {
	case !ok:
		return nil
	case n.Kind != yaml.ScalarNode:
		return d.free(n, path)
	}
	text, replaced, ok := d.replace(n, path)
	if !ok {
		return nil
	}
	return d.freeScalar(n, path, text, replaced)
}

// freeScalar returns text, a number, a bool or nil, as the plain scalar reads. Dates stay text.
func (d *decoder) freeScalar(n *yaml.Node, path, text string, replaced bool) any {
	if replaced {
		return text
	}
	switch n.Tag {
	case "!!null":
		return nil
	case "!!bool":
		return text == "true" || text == "True" || text == "TRUE"
	case "!!int":
		if i, err := strconv.ParseInt(text, 10, 64); err == nil {
			return i
		}
		d.fault(n, path, "want a whole number of 64 bits in decimal digits, or text in quotes")
		return nil
	case "!!float":
		f, err := strconv.ParseFloat(text, 64)
		if err == nil && !math.IsNaN(f) && !math.IsInf(f, 0) {
			return f
		}
		d.fault(n, path, "want a number as JSON has it, or text in quotes")
		return nil
	}
	return text
}
