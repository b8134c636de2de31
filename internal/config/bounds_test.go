package config

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// loaded returns how many bytes are allocated to load a file: no less than are held at any time.
func loaded(text string) (c *Config, bytes uint64, err error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	l := loader{dir: "."}
	c, err = l.load("f.yaml", []byte(text), testEnv)
	runtime.ReadMemStats(&after)
	return c, after.TotalAlloc - before.TotalAlloc, err
}

func TestAliasesCostLittleMemory(t *testing.T) {
	// A build that looks for races allocates twice what another does, and without a bound it would be gigabytes.
	const most = 128 << 20
	for _, test := range []struct{ name, text string }{
		{"routes", "routes: [&r {path: /a, permissions: &p [a, b, c, d, e, f]}" + strings.Repeat(",*r", 86_000) + "]\n"},
		{"permissions of roles", "roles:\n  a: &a [" + strings.Repeat("x,", 60_000) + "x]\n" + strings.Repeat("  b: *a\n", 15_000)},
		{"issuers", "issuers: [&i {name: a, issuer: b, algorithms: [HS256], secret: \"${SECRET}\"}" + strings.Repeat(",*i", 86_000) + "]\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, bytes, err := loaded(test.text)
			if err == nil || len(test.text) > 265_000 {
				t.Errorf("%d bytes of aliases are taken", len(test.text))
			}
			if bytes > most {
				t.Errorf("%d MiB are allocated, want %d at most", bytes>>20, most>>20)
			}
			t.Logf("%d bytes of file, %d MiB allocated, %.200v", len(test.text), bytes>>20, err)
		})
	}
}

func TestTenThousandRoutesCanBeLoaded(t *testing.T) {
	var b strings.Builder
	b.WriteString("routes:\n  - {name: first, path: /, permissions: &read [things:read, things:list]}\n")
	for i := range 10_000 {
		fmt.Fprintf(&b, "  - {name: route-%d, hosts: [h%d.example.com], methods: [GET, POST], path: \"/api/things/%d/{id}/**\", service: things, permissions: *read}\n", i, i%100, i)
	}
	c, bytes, err := loaded(b.String())
	if err != nil || len(c.Routes) != 10_001 {
		t.Fatalf("Load: %.300v", err)
	}
	t.Logf("%d bytes of file, %d MiB allocated", b.Len(), bytes>>20)
}
