package yamlstrict

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// FuzzRead: whatever the text, all faults have a place in it and one line each, and show nothing of a variable.
// Reading it twice gives the same. What is read is what a lax reader finds there, and nothing that it finds is
// passed over.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		"name: a\nitems: [{name: b}]\n", "free: &a [*a]\n", "a: b: c\n", "- x\n", "---\n---\n", "? [a]\n: b\n", "words: any\n",
		"free: {a: !!binary x, <<: y}\n", "name: \"${X}\"\n", "\ufefffree: |\n  a\n", "items:\n\t- x\n", "name: *x\n", "{a, b}\n", "%YAML 1.1\n---\na: 1\n",
		"count: ${X}\non: \"${ON:-true}\"\nwait: ${X}\n", "words: &w [a, 'b', \"c\", |-\n  d]\nsorts: *w\n", "headers: {a: ~, b: '', c: 0x1f}\nlevel: high\n",
		"address: !!str 1\nsize: 8KiB\nitems:\n- name: a\n  kind: >\n    b\n", "on: yes\ncount: 0o17\nsmall: 1_0\n", "level: ${X}\naddress: \"a:${UNSET:-}\"\n",
	} {
		f.Add([]byte(seed))
	}
	const marker = "the value of "
	env := func(name string) (string, bool) { return marker + name, name != "UNSET" }
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 4<<10 {
			return
		}
		var first, second sample
		err := Read("f", data, env, &first).Err()
		again := Read("f", data, env, &second).Err()
		if fmt.Sprint(err) != fmt.Sprint(again) || !reflect.DeepEqual(first, second) {
			t.Errorf("read twice: %v, then %v", err, again)
		}
		text := string(data)
		if err == nil {
			agrees(t, text, &first)
			return
		}
		var faults Faults
		if !errors.As(err, &faults) || len(faults) == 0 {
			t.Fatalf("Err is %T", err)
		}
		lines := 1 + strings.Count(strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n"), "\n") +
			strings.Count(text, "\u2028") + strings.Count(text, "\u2029") + strings.Count(text, "\u0085")
		for _, fault := range faults {
			if fault.Line < 1 || fault.Column < 1 || fault.Line > lines {
				t.Errorf("no such place: %v", fault)
			}
			if strings.ContainsAny(fault.Error(), "\n\r") {
				t.Errorf("a fault of several lines: %q", fault.Error())
			}
			if strings.Contains(fault.Error(), marker) && !strings.Contains(text, marker) {
				t.Errorf("a fault shows a variable: %v", fault)
			}
		}
	})
}

// agrees holds what was read against the library's own way, which knows no variables.
func agrees(t *testing.T, text string, got *sample) {
	t.Helper()
	var lax map[string]any
	if err := yaml.Unmarshal([]byte(text), &lax); err != nil {
		t.Fatalf("%q is read, and is no YAML: %v", text, err)
	}
	fields := map[string]any{"name": got.Name, "level": got.Level, "address": got.Address, "on": got.On, "count": got.Count, "small": int(got.Small)}
	for name, value := range lax {
		if value == nil {
			continue // as if it were not there
		}
		switch name {
		case "name", "level", "address", "on", "count", "small":
			s, isText := value.(string)
			if isText && strings.Contains(s, "$") || !isText && name == "address" { // a number there is the text as written
				continue
			}
			if value != fields[name] {
				t.Errorf("%q: %s is read as %#v; to a lax reader it is %#v", text, name, fields[name], value)
			}
		case "words":
			if list, isList := value.([]any); isList != (got.Words != nil) || len(list) != len(got.Words) {
				t.Errorf("%q: words are read as %q; to a lax reader they are %#v", text, got.Words, value)
			}
		case "headers":
			if list, _ := value.(map[string]any); len(list) != len(got.Headers) {
				t.Errorf("%q: headers are read as %q; to a lax reader they are %#v", text, got.Headers, value)
			}
		case "items":
			list, _ := value.([]any)
			if len(list) != len(got.Items) {
				t.Fatalf("%q: items are read as %v; to a lax reader they are %#v", text, got.Items, value)
			}
			for i, element := range list {
				fields, _ := element.(map[string]any)
				if s, isText := fields["name"].(string); !isText || got.Items[i].Name != s && !strings.Contains(s, "$") {
					t.Errorf("%q: items[%d] is read as %v; to a lax reader it is %#v", text, i, got.Items[i], element)
				}
			}
		case "wait", "size", "free", "free_map", "sorts":
		default:
			t.Errorf("%q: the field %s is passed over", text, name)
		}
	}
}
