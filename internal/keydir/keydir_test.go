package keydir

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/passgate/passgate/internal/keyset"
)

var noon = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

// newDir returns a directory that holds one key, which signs from noon on.
func newDir(t testing.TB, a keyset.Algorithm) (dir, kid string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "deep", "keys")
	kid, err := New(dir, a, noon, noon)
	if err != nil {
		t.Fatal(err)
	}
	return dir, kid
}

func load(t testing.TB, dir string) *Dir {
	t.Helper()
	d, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// fill puts n keys into a directory.
func fill(t *testing.T, dir string, n int) {
	t.Helper()
	for range n {
		text, err := keyset.NewPrivateJWK(keyset.HS256)
		if err != nil {
			t.Fatal(err)
		}
		var m struct{ Kid string }
		if err := json.Unmarshal(text, &m); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, m.Kid+suffix), strings.TrimSuffix(string(text), "}")+`,"iat":1,"nbf":1}`)
	}
}

// kids returns those of keys, in their order.
func kids(keys []keyset.RingKey) (ids []string) {
	for _, k := range keys {
		ids = append(ids, k.Signer.KeyID())
	}
	return ids
}

func TestNewMakesWhatLoadReads(t *testing.T) {
	for _, a := range []keyset.Algorithm{keyset.EdDSA, keyset.ES256, keyset.HS256} {
		t.Run(string(a), func(t *testing.T) {
			dir, kid := newDir(t, a)
			d := load(t, dir)
			if len(d.Keys) != 1 || len(d.Seal) != 32 || d.Exposed != nil {
				t.Fatalf("%+v", d)
			}
			k := d.Keys[0]
			if s := k.Signer; s.KeyID() != kid || s.Key().ID != kid || s.Key().Thumbprint() != kid || s.Key().Algorithm != a {
				t.Errorf("the key is %s", s.Key())
			}
			if !k.Made.Equal(noon) || !k.Signs.Equal(noon) || !k.Retired.IsZero() {
				t.Errorf("its times are %v, %v, %v", k.Made, k.Signs, k.Retired)
			}
			for path, want := range map[string]fs.FileMode{dir: 0o700 | fs.ModeDir, filepath.Join(dir, kid+".jwk"): 0o600, filepath.Join(dir, "seal.key"): 0o600} {
				if info, err := os.Stat(path); err != nil || info.Mode() != want {
					t.Errorf("%s has mode %v, want %v (%v)", path, info.Mode(), want, err)
				}
			}
			if entries, err := os.ReadDir(dir); err != nil || len(entries) != 3 { // the key, the seal, the lock
				t.Errorf("the directory holds %v, %v", entries, err)
			}
		})
	}
}

func TestNewKeepsWhatIsThere(t *testing.T) {
	dir, first := newDir(t, keyset.EdDSA)
	before, seal := read(t, filepath.Join(dir, first+".jwk")), load(t, dir).Seal
	second, err := New(dir, keyset.HS256, noon.Add(time.Minute), noon.Add(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	d := load(t, dir)
	if got := kids(d.Keys); !slices.Equal(got, []string{second, first}) { // newest first
		t.Errorf("the keys are %q", got)
	}
	if read(t, filepath.Join(dir, first+".jwk")) != before || !bytes.Equal(d.Seal, seal) {
		t.Error("the first key or the seal has changed")
	}
	if !d.Keys[0].Made.Equal(noon.Add(time.Second)) || !d.Keys[0].Signs.Equal(noon.Add(time.Minute)) {
		t.Errorf("the times are %v, %v", d.Keys[0].Made, d.Keys[0].Signs)
	}
	if err := os.Remove(filepath.Join(dir, "seal.key")); err != nil {
		t.Fatal(err)
	}
	if _, err := New(dir, keyset.HS256, noon, noon); err != nil || len(load(t, dir).Seal) != 32 {
		t.Errorf("a lost seal is not made again: %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	for _, a := range []keyset.Algorithm{keyset.RS256, "none", ""} {
		if kid, err := New(t.TempDir(), a, noon, noon); err == nil {
			t.Errorf("%q: made %s", a, kid)
		}
	}
	if kid, err := New(t.TempDir(), keyset.EdDSA, time.Time{}, noon); err == nil {
		t.Errorf("a key that signs from the year 1: made %s", kid)
	}
	dir, _ := newDir(t, keyset.EdDSA)
	write(t, filepath.Join(dir, "x.jwk"), "{}")
	var at *FileError
	if kid, err := New(dir, keyset.EdDSA, noon, noon); !errors.As(err, &at) || at.File != filepath.Join(dir, "x.jwk") {
		t.Errorf("beside a broken file: %s, %v", kid, err)
	}
	full, _ := newDir(t, keyset.EdDSA)
	fill(t, full, maxFiles-1)
	if kid, err := New(full, keyset.EdDSA, noon, noon); err == nil {
		t.Errorf("a directory that has all keys that it may: made %s", kid)
	}
	if len(load(t, full).Keys) != maxFiles {
		t.Error("the full directory does not load")
	}
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, "")
	if _, err := New(file, keyset.EdDSA, noon, noon); err == nil {
		t.Error("a file was taken for a directory")
	}
}

// A Secret is mounted as links to files in a folder that is swapped as a whole.
func TestLoadFollowsLinksAndIgnoresOtherFiles(t *testing.T) {
	source, kid := newDir(t, keyset.ES256)
	dir := t.TempDir()
	data := filepath.Join(dir, "..2030_01_01")
	if err := errors.Join(os.Mkdir(data, 0o755), os.Symlink("..2030_01_01", filepath.Join(dir, "..data"))); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{kid + ".jwk", "seal.key"} {
		write(t, filepath.Join(data, name), read(t, filepath.Join(source, name)))
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, other := range []string{"README", "notes.json", ".hidden.jwk", kid, kid + ".jwk.bak"} {
		write(t, filepath.Join(dir, other), "no key")
	}
	if got := kids(load(t, dir).Keys); !slices.Equal(got, []string{kid}) {
		t.Errorf("the keys are %q", got)
	}
}

func TestLoadNamesTheFileAtFault(t *testing.T) {
	const itself = ""
	for _, test := range []struct {
		name   string
		change func(t *testing.T, dir, key string) // key is the path of the one key file
		file   string                              // the one at fault, in the directory; KEY: that of the key
		want   string
	}{
		{"no directory", func(t *testing.T, dir, key string) { os.RemoveAll(dir) }, itself, "there is no such directory; run: passgate keys new --dir "},
		{"no key", func(t *testing.T, dir, key string) { os.Remove(key) }, itself, "there is no key in it; run: passgate keys new --dir "},
		{"no seal", func(t *testing.T, dir, key string) { os.Remove(filepath.Join(dir, sealFile)) }, sealFile, "passgate keys new --dir "},
		{"a link to nowhere as seal", func(t *testing.T, dir, key string) {
			os.Remove(filepath.Join(dir, sealFile))
			os.Symlink("nowhere", filepath.Join(dir, sealFile))
		}, sealFile, "the file is missing"},
		{"a short seal", func(t *testing.T, dir, key string) { write(t, filepath.Join(dir, sealFile), "AAAA\n") }, sealFile, "32 bytes in base64url"},
		{"an empty seal", func(t *testing.T, dir, key string) { write(t, filepath.Join(dir, sealFile), "") }, sealFile, "32 bytes in base64url"},
		{"a seal with a blank line", func(t *testing.T, dir, key string) {
			write(t, filepath.Join(dir, sealFile), read(t, filepath.Join(dir, sealFile))+"\n")
		}, sealFile, "32 bytes in base64url"},
		{"a name that is not the kid", func(t *testing.T, dir, key string) { os.Rename(key, filepath.Join(dir, "other.jwk")) }, "other.jwk", "not named after its kid"},
		{"a key under two names", func(t *testing.T, dir, key string) { write(t, filepath.Join(dir, "copy.jwk"), read(t, key)) }, "copy.jwk", "not named after its kid"},
		{"an empty file", func(t *testing.T, dir, key string) { write(t, key, "") }, "KEY", "not strict JSON"},
		{"half a file", func(t *testing.T, dir, key string) { write(t, key, read(t, key)[:40]) }, "KEY", "not strict JSON"},
		{"a folder", func(t *testing.T, dir, key string) { os.Mkdir(filepath.Join(dir, "a.jwk"), 0o700) }, "a.jwk", "it is not a file"},
		{"a link to nowhere", func(t *testing.T, dir, key string) { os.Symlink("nowhere", filepath.Join(dir, "a.jwk")) }, "a.jwk", "cannot read the file: no such file"},
		{"a link to a device", func(t *testing.T, dir, key string) { os.Symlink("/dev/zero", filepath.Join(dir, "a.jwk")) }, "a.jwk", "it is not a file"},
		{"a huge file", func(t *testing.T, dir, key string) { write(t, key, strings.Repeat(" ", maxBytes)+read(t, key)) }, "KEY", "larger than 64 KiB"},
		{"too many", func(t *testing.T, dir, key string) {
			fill(t, dir, maxFiles)
		}, itself, "more than 1000 keys"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir, kid := newDir(t, keyset.EdDSA)
			key := filepath.Join(dir, kid+".jwk")
			test.change(t, dir, key)
			file := filepath.Join(dir, strings.Replace(test.file, "KEY", kid+".jwk", 1))
			d, err := Load(dir)
			var at *FileError
			if d != nil || !errors.As(err, &at) {
				t.Fatalf("got %v, %v", d, err)
			}
			if at.File != file || !strings.Contains(at.Text, test.want) || !strings.HasPrefix(err.Error(), file+": ") {
				t.Errorf("got %q of %q, want %q of %q", at.Text, at.File, test.want, file)
			}
		})
	}
}

func TestLoadRefusesTheMember(t *testing.T) {
	for _, test := range []struct {
		name, old, new string
		want           string
	}{
		{"unknown", `"use"`, `"note": 1, "use"`, `the member "note"`},
		{"no kid", `"kid": "KID",`, ``, "kid is missing"},
		{"another kid", `"kid": "KID"`, `"kid": "a"`, "not the key's thumbprint"},
		{"no alg", `"alg": "EdDSA",`, ``, "alg, use or kid is missing"},
		{"another alg", `"alg": "EdDSA"`, `"alg": "ES256"`, "alg is"},
		{"no use", `"use": "sig",`, ``, "alg, use or kid is missing"},
		{"key_ops", `"use"`, `"key_ops": ["sign"], "use"`, `the member "key_ops"`},
		{"no iat", `"iat": NOON,`, ``, "iat has to be"},
		{"no nbf", `"nbf": NOON`, `"exp": NOON`, "nbf has to be"},
		{"a time in text", `"nbf": NOON`, `"nbf": "NOON"`, "nbf has to be"},
		{"a part of a second", `"nbf": NOON`, `"nbf": NOON.5`, "nbf has to be"},
		{"a time in powers", `"nbf": NOON`, `"nbf": 1e9`, "nbf has to be"},
		{"a time before 1970", `"nbf": NOON`, `"nbf": -1`, "nbf has to be"},
		{"milliseconds", `"nbf": NOON`, `"nbf": NOON000`, "nbf has to be"},
		{"a null exp", `"nbf"`, `"exp": null, "nbf"`, "exp has to be"},
		{"an exp of zero", `"nbf"`, `"exp": 0, "nbf"`, "exp has to be"},
		{"a name twice", `"nbf"`, `"iat": NOON, "nbf"`, "a name is repeated"},
		{"another x", `"x": "`, `"x": "AAAA`, "x has 32 octets"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir, kid := newDir(t, keyset.EdDSA)
			path := filepath.Join(dir, kid+".jwk")
			filled := strings.NewReplacer("KID", kid, "NOON", fmt.Sprint(noon.Unix())).Replace
			before := read(t, path)
			after := strings.Replace(before, filled(test.old), filled(test.new), 1)
			if after == before {
				t.Fatalf("no %s in %s", filled(test.old), before)
			}
			write(t, path, after)
			var at *FileError
			if d, err := Load(dir); d != nil || !errors.As(err, &at) || !strings.Contains(at.Text, test.want) {
				t.Fatalf("got %v, %v; want %q", d, err, test.want)
			}
			var m struct{ D string }
			if json.Unmarshal([]byte(before), &m) != nil || m.D == "" || strings.Contains(at.Error(), m.D) {
				t.Errorf("the error holds the key: %v", at)
			}
		})
	}
}

func TestPEMIsNoKeyFile(t *testing.T) {
	dir, kid := newDir(t, keyset.EdDSA)
	write(t, filepath.Join(dir, kid+".jwk"), "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n")
	if d, err := Load(dir); d != nil || err == nil {
		t.Errorf("got %v, %v", d, err)
	}
}

func TestLoadSaysWhatIsExposed(t *testing.T) {
	for mode, want := range map[fs.FileMode]bool{0o600: false, 0o400: false, 0o640: true, 0o604: true, 0o620: true, 0o602: true} {
		dir, kid := newDir(t, keyset.EdDSA)
		var paths []string
		for _, name := range []string{kid + ".jwk", sealFile} {
			paths = append(paths, filepath.Join(dir, name))
			if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
				t.Fatal(err)
			}
		}
		if !want {
			paths = nil
		}
		if got := load(t, dir).Exposed; !slices.Equal(got, paths) {
			t.Errorf("mode %o: exposed are %q", mode, got)
		}
	}
}

func TestListNeedsNoSealAndNoKey(t *testing.T) {
	dir, kid := newDir(t, keyset.EdDSA)
	os.Remove(filepath.Join(dir, sealFile))
	if keys, err := List(dir); err != nil || !slices.Equal(kids(keys), []string{kid}) {
		t.Errorf("without the seal: %v, %v", keys, err)
	}
	if keys, err := List(t.TempDir()); err != nil || len(keys) != 0 {
		t.Errorf("an empty directory: %v, %v", keys, err)
	}
	if keys, err := List(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: %v, %v", keys, err)
	}
}

// FuzzLoad: a key file that loads prints back to an equal key, whose text then stays the same; and the file of another
// key's name is refused.
func FuzzLoad(f *testing.F) {
	dir, kid := newDir(f, keyset.EdDSA)
	_, other := newDir(f, keyset.EdDSA)
	f.Add([]byte(read(f, filepath.Join(dir, kid+".jwk"))))
	for _, a := range []keyset.Algorithm{keyset.ES256, keyset.HS256} {
		dir, kid := newDir(f, a)
		text := read(f, filepath.Join(dir, kid+".jwk"))
		f.Add([]byte(text))
		f.Add([]byte(strings.Replace(text, `"nbf"`, `"exp": 1900000000, "nbf"`, 1)))
	}
	f.Add([]byte(`{"kty":"oct","k":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","alg":"HS256","use":"sig","kid":"` +
		keyset.Secret(make([]byte, 32)).Thumbprint() + `","iat":1,"nbf":2,"exp":3}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		first, err := parseKeyFile(text)
		if err != nil {
			if first.signer != nil {
				t.Error("a signer beside an error")
			}
			return
		}
		printed, err := first.text()
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		write(t, filepath.Join(dir, first.Kid+".jwk"), string(printed))
		keys, err := List(dir)
		if err != nil || len(keys) != 1 {
			t.Fatalf("%s printed as %s: %v", text, printed, err)
		}
		a, b := first.ringKey(), keys[0]
		if a.Signer.KeyID() != b.Signer.KeyID() || !a.Made.Equal(b.Made) || !a.Signs.Equal(b.Signs) || !a.Retired.Equal(b.Retired) {
			t.Errorf("%+v became %+v", a, b)
		}
		signature, err := a.Signer.Sign("x")
		if err != nil || b.Signer.Key().Verify("x", signature) != nil {
			t.Errorf("the key printed is another one (%v)", err)
		}
		second, err := parseKeyFile(printed)
		if again, _ := second.text(); err != nil || !bytes.Equal(again, printed) {
			t.Errorf("%s printed again is %s, %v", printed, again, err)
		}
		write(t, filepath.Join(dir, other+".jwk"), string(printed))
		if _, err := List(dir); err == nil && first.Kid != other {
			t.Error("a file named after another key was read")
		}
	})
}
