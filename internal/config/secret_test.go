package config

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// field is a field of the file, with its dotted path.
type field struct {
	path  string
	value reflect.Value
}

// fieldsOf returns the fields of a value of the file's types that hold no others. Lists of structs get one
// element.
func fieldsOf(path string, v reflect.Value) []field {
	switch {
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		return fieldsOf(path+"[]", v.Index(0))
	case v.Kind() != reflect.Struct:
		return []field{{path, v}}
	}
	var all []field
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		all = append(all, fieldsOf(strings.TrimPrefix(path+"."+name, "."), v.Field(i))...)
	}
	return all
}

func isSecret(f field) bool { return f.value.Type() == reflect.TypeFor[Secret]() }

// A field that is new and holds a secret fails this test until it has the type that hides it.
func TestWhatIsNamedLikeASecretIsOne(t *testing.T) {
	// Credentials are names of issuers, the database is a file, and how tokens begin is no secret.
	public := []string{"issuers[].public_key", "routes[].credentials", "accounts.database", "introspection[].token_prefix"}
	suspicious := regexp.MustCompile(`secret|passw|passphrase|private|key|token|credential|dsn|database|redis`)
	found := 0
	for _, f := range fieldsOf("", reflect.ValueOf(&file{}).Elem()) {
		kind := f.value.Kind()
		switch {
		case isSecret(f):
			found++
		case kind != reflect.String && kind != reflect.Slice && kind != reflect.Map, strings.HasSuffix(f.path, "_file"), slices.Contains(public, f.path):
		case suspicious.MatchString(f.path[strings.LastIndex(f.path, ".")+1:]):
			t.Errorf("%s is of type %v: make it a Secret, or name it here as public", f.path, f.value.Type())
		}
	}
	if found == 0 {
		t.Error("there is no secret in the file")
	}
}

func TestEverySecretIsMasked(t *testing.T) {
	var c Config
	var markers []string
	mark := func() {
		markers = nil
		for _, f := range fieldsOf("", reflect.ValueOf(&c.file).Elem()) {
			if isSecret(f) {
				markers = append(markers, fmt.Sprintf("marker-%d-of-%s", len(markers), f.path))
				f.value.SetString(markers[len(markers)-1])
			}
		}
	}
	look := func(where, text string) {
		t.Helper()
		for _, marker := range markers {
			if strings.Contains(text, marker) {
				t.Errorf("%s shows the %s:\n%s", where, marker, text)
			}
		}
	}
	mark()
	shown, err := c.Show()
	if err != nil {
		t.Fatal(err)
	}
	look("Show", string(shown))
	if n := strings.Count(string(shown), "<redacted>"); n != len(markers) {
		t.Errorf("%d masks for %d secrets in\n%s", n, len(markers), shown)
	}
	if !strings.Contains(fmt.Sprintf("%+v", c), markers[0]) {
		t.Error("a print that asks no method does not show an unmasked secret: the rest of this test proves nothing")
	}
	maskSecrets(reflect.ValueOf(&c.file).Elem())
	look("a print", fmt.Sprintf("%v %+v %#v", c, c, c))
}

func TestLoadMasksTheSecretsThatItKeeps(t *testing.T) {
	c, err := Load("testdata/good.yaml", testEnv)
	if err != nil {
		t.Fatal(err)
	}
	if c.file.Issuers[0].Secret != redacted || c.file.Issuers[1].Secret != "" {
		t.Error("a secret is kept as it is, or made where there is none")
	}
}

// In whatever broken way a secret is written, no fault shows a part of it.
func TestFaultsShowNoSecret(t *testing.T) {
	const marker = "markerofasecretthatislongenough00001"
	for _, f := range fieldsOf("", reflect.ValueOf(&file{}).Elem()) {
		if !isSecret(f) {
			continue
		}
		for _, value := range []string{
			"[M]", "{M: x}", "{x: M}", "M, M", "M,M", "\"M", "'M", "\"M${\"", "${M M}", "*M", "*M M", "!M x", "!!str M", "!<M", "&M", "&M x: M", "@M", "`M`", "%M",
			"M: M", "- M", "|M", ">M", "? M", "\"\\M\"", "M]", "M}", "[M", "{M", "\"M\" M", "M\n M: x", "M\n\tM", "M\nM\n", "\x01M", "M\xff", "$M", "$(M)", "0xM", "<<: M", "-----BEGIN M", "{\"kty\": M}",
		} {
			value = strings.ReplaceAll(value, "M", marker)
			text := value + "\n"
			names := strings.Split(f.path, ".")
			for i := len(names) - 1; i >= 0; i-- {
				if name, isList := strings.CutSuffix(names[i], "[]"); isList {
					text = name + ": [{" + text + "}]"
				} else if i == len(names)-1 {
					text = name + ": " + text
				} else {
					text = name + ": {" + text + "}"
				}
			}
			for _, text := range []string{text, strings.NewReplacer("[{", "\n  - ", "}]", "").Replace(text)} {
				l := loader{dir: "/nonexistent"}
				c, err := l.load("f.yaml", []byte(text), testEnv)
				if strings.Contains(fmt.Sprint(err), marker) || c != nil && strings.Contains(fmt.Sprintf("%+v %v", c, c.Warnings), marker) {
					t.Errorf("%s\nis shown: %v", text, err)
				}
			}
		}
	}
}

// A variable may stand in any field, and its value in no fault: whole, quoted, in parts or in lower case.
func TestFaultsShowNoVariable(t *testing.T) {
	const secret = "Secret/{of}/{of}/a*\"test"
	env := func(string) (string, bool) { return secret, true }
	for _, text := range []string{
		"routes: [{path: \"${S}\"}]",
		"routes: [{path: \"/${S}\"}]",
		"routes: [{path: /, hosts: [\"${S}\"]}]",
		"routes: [{path: /, methods: [\"${S}\"]}]",
		"routes: [{path: /, service: \"${S}\"}]",
		"routes: [{path: /, when: \"'${S}\"}]",
		"routes: [{path: /, access: \"${S}\"}]",
		"headers: {keep: [\"${S}\"]}",
		"proxy_state: {template: \"${S}\"}",
		"listen: {grpc: \"${S}\"}",
		"drain: {wait: \"${S}\"}",
	} {
		_, err := (&loader{dir: t.TempDir()}).load("f", []byte(text), env)
		if err == nil || !strings.Contains(err.Error(), "(the value is that of ${S})") {
			t.Errorf("%s: %v", text, err)
			continue
		}
		for _, part := range []string{"Secret", "secret", "{of}", "a*", "test"} {
			if strings.Contains(err.Error(), part) {
				t.Errorf("%s: the fault shows %q of the variable: %v", text, part, err)
			}
		}
	}
}

// A fault of one field may name another, such as an issuer: one of a variable by the variable.
func TestFaultsOfOtherFieldsShowNoVariable(t *testing.T) {
	const secret = "secret-of-a-test-in-a-name"
	env := func(string) (string, bool) { return secret, true }
	_, err := (&loader{dir: t.TempDir()}).load("f", []byte("issuers: [{name: \"${S}\", issuer: b, algorithms: [HS256], secret: x}]\nroutes: [{path: /, credentials: [b]}]\n"), env)
	if err == nil || strings.Contains(err.Error(), secret) || !strings.Contains(err.Error(), "want one of ${S}") {
		t.Errorf("got %v", err)
	}
}
