package yamlstrict

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
)

type bounded struct {
	Roles map[string][]string `yaml:"roles"`
	Free  any                 `yaml:"free"`
	List  []struct {
		Name        string   `yaml:"name"`
		Hosts       []string `yaml:"hosts"`
		Methods     []string `yaml:"methods"`
		Path        string   `yaml:"path"`
		Service     string   `yaml:"service"`
		Permissions []string `yaml:"permissions"`
		Credentials []string `yaml:"credentials"`
		Strip       bool     `yaml:"strip"`
	} `yaml:"list"`
}

// allocated returns how many bytes it takes to read a file: no less than are held at any time.
func allocated(text string) (bytes uint64, err error) {
	var into bounded
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err = Read("f.yaml", []byte(text), nil, &into).Err()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc, err
}

func TestAliasesCostLittleMemory(t *testing.T) {
	const bytes, most = 260_000, 64 << 20
	names := func(n int) string { return strings.TrimSuffix(strings.Repeat("x, ", n), ", ") }
	uses := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "  r%d: *a\n", i)
		}
		return b.String()
	}
	deep := "&d [" + names(500) + "]"
	for range 3 {
		deep = "{" + strings.Repeat("k", 240) + ": " + deep + "}"
	}
	for _, test := range []struct{ name, text string }{
		{"long list, few uses", "roles:\n  a: &a [" + names(60_000) + "]\n" + uses(1000)},
		{"short list, many uses", "roles:\n  a: &a [" + names(20) + "]\n" + uses(20_000)},
		{"doubling", bomb() + "#" + strings.Repeat(" ", 200_000)},
		{"long text, many uses", "list:\n  - {path: &a '" + strings.Repeat("x", 100_000) + "'}\n" + strings.Repeat("  - {path: *a}\n", 1000)},
		{"long names above", "free:\n  a: " + deep + "\n  b: {" + strings.Repeat("k", 240) + ": [" + strings.TrimSuffix(strings.Repeat("*d, ", 2000), ", ") + "]}\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if len(test.text) > bytes {
				t.Fatalf("the file has %d bytes", len(test.text))
			}
			used, err := allocated(test.text)
			if err == nil || !strings.Contains(err.Error(), "the anchors of the file stand for more than 32768 values") {
				t.Errorf("Err = %.300v", err)
			}
			if used > most {
				t.Errorf("%d MiB were allocated, want %d at most", used>>20, most>>20)
			}
			t.Logf("%d bytes of file, %d MiB allocated", len(test.text), used>>20)
		})
	}
}

func TestTenThousandRoutesAreWithinTheBounds(t *testing.T) {
	var b strings.Builder
	b.WriteString("list:\n")
	for i := range 10_000 {
		fmt.Fprintf(&b, "  - {name: route-%d, hosts: [a%d.example.com, b.example.com], methods: [GET, POST], path: \"/api/things/%d/{id}/**\", service: things, permissions: &p%d [things:read, things:write], credentials: [accounts, partner], strip: true}\n", i, i, i, i)
		fmt.Fprintf(&b, "  - {path: \"/api/others/%d\", permissions: *p%d}\n", i, i)
	}
	if len(b.String()) > MaxBytes {
		t.Fatalf("the file has %d bytes", b.Len())
	}
	if used, err := allocated(b.String()); err != nil {
		t.Error(err)
	} else {
		t.Logf("%d bytes of file, %d MiB allocated", b.Len(), used>>20)
	}
}

func TestPathsAreBounded(t *testing.T) {
	text := "x"
	for range 5 {
		text = "{" + strings.Repeat("k", 250) + ": " + text + "}"
	}
	var into bounded
	err := Read("f.yaml", []byte("free: "+text), nil, &into).Err()
	var faults Faults
	if !errors.As(err, &faults) || len(faults) != 1 || !strings.HasSuffix(err.Error(), ": free: the keys down to a value have more than 1024 characters") {
		t.Errorf("Err = %v", err)
	}
}
