package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func TestShowFillsInDefaultsAndMasksSecrets(t *testing.T) {
	for _, name := range []string{"good", "unwise"} {
		c, err := Load("testdata/"+name+".yaml", testEnv)
		if err != nil {
			t.Fatal(err)
		}
		shown, err := c.Show()
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "testdata/"+name+".show.yaml", string(shown))
		if holdsSecret(string(shown)) || holdsSecret(fmt.Sprintf("%v %+v %#v", c, c, c)) {
			t.Error("a secret is shown")
		}
	}
}

func TestShowCanBeLoadedAgain(t *testing.T) {
	for _, name := range []string{"good", "unwise"} {
		c, err := Load("testdata/"+name+".yaml", testEnv)
		if err != nil {
			t.Fatal(err)
		}
		first, err := c.Show()
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(first), "redis: <redacted>", "redis: redis://localhost")
		text = strings.ReplaceAll(text, "<redacted>", "${SECRET}")
		text = strings.ReplaceAll(text, "keys/", "testdata/keys/")
		l := loader{dir: "."}
		again, err := l.load("shown", []byte(text), testEnv)
		if err != nil {
			t.Fatal(err)
		}
		second, err := again.Show()
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.ReplaceAll(string(second), "testdata/keys/", "keys/"); got != string(first) {
			t.Errorf("shown again:\n%s\nwant:\n%s", got, first)
		}
	}
}

func TestDollarBraceIsLiteralAndStaysSo(t *testing.T) {
	c, err := Load(write(t, "roles: {a: [\"$${SECRET}\", \"$5\", \"$$\"]}\n"), testEnv)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(c.Roles["a"], " "); got != "${SECRET} $5 $$" {
		t.Errorf("permissions = %q", got)
	}
	shown, err := c.Show()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(shown, []byte("$${SECRET}")) {
		t.Errorf("what is shown reads as a variable:\n%s", shown)
	}
}

func TestSecretNeverPrints(t *testing.T) {
	type holder struct{ S Secret }
	s := Secret(testSecret)
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%!"} {
		fmt.Fprintf(&out, verb+" "+verb+"\n", s, holder{s})
	}
	fmt.Fprintln(&out, s, s.String(), []Secret{s}, map[Secret]int{s: 1})
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "s", s, "h", holder{s})
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "s", s, "h", holder{s})
	for _, marshal := range []func(any) ([]byte, error){json.Marshal, yaml.Marshal} {
		b, err := marshal(holder{s})
		if err != nil {
			t.Fatal(err)
		}
		out.Write(b)
	}
	text := strings.ToLower(out.String())
	if strings.Contains(text, testSecret) || strings.Contains(text, fmt.Sprintf("%x", testSecret)) {
		t.Errorf("the secret prints:\n%s", text)
	}
	if !strings.Contains(text, redacted) {
		t.Errorf("nothing says that it was redacted:\n%s", text)
	}
}
