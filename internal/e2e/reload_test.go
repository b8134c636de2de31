package e2e

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// However a file comes to hold something else, it is followed; what cannot be used changes nothing.
func TestChangedFilesAreFollowed(t *testing.T) {
	needPrograms(t)
	page := func(access string) string {
		return apiKeyIssuer + "routes: [{name: page, path: /page, access: " + access + "}]\n"
	}
	p := newConfigured(t, page("public"))
	p.put(t, "accounts.secret", secret)
	file := func() string {
		text, err := os.ReadFile(p.config)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	public := file()
	p.configure(t, page("authenticated"))
	private := file()
	p.configure(t, page("public"))
	p.start(t)
	c := newCaller(t, p.behind(t, shippedFile(t), startSample(t)).addr)
	must := func(what, want string) {
		t.Helper()
		if got := c.outcome("/page"); got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	refusals := func() float64 { return metric(t, p.ops, `passgate_config_loads_total{result="refused"}`) }
	must("at the start", "200")

	p.reloaded(t, func() { p.put(t, "passgate.yaml", private) })
	must("a rename", "401")
	p.reloaded(t, func() {
		if err := os.WriteFile(p.config, []byte(public), 0o600); err != nil {
			t.Fatal(err)
		}
	})
	must("written in place", "200")

	// As Kubernetes mounts a ConfigMap: the name leads through a link to a folder, which is swapped.
	link := func(to, name string) {
		t.Helper()
		if err := os.Symlink(to, filepath.Join(p.dir, "new")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(p.dir, "new"), filepath.Join(p.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for version, text := range map[string]string{"v1": private, "v2": public} {
		if err := os.Mkdir(filepath.Join(p.dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		p.put(t, version+"/passgate.yaml", text)
	}
	p.reloaded(t, func() {
		link("v1", "..data")
		link("..data/passgate.yaml", "passgate.yaml")
	})
	must("a link", "401")
	p.reloaded(t, func() { link("v2", "..data") })
	must("a swapped link", "200")

	p.reloaded(t, func() { p.signal(t, syscall.SIGHUP) })
	must("SIGHUP", "200")

	before := refusals()
	p.put(t, "v2/passgate.yaml", private+"routes: nonsense\n")
	waitFor(t, "the file to be refused", func() bool { return refusals() > before })
	must("a file that cannot be used", "200")
	if !p.ready() {
		t.Error("passgate is not ready")
	}
	p.reloaded(t, func() { p.put(t, "v2/passgate.yaml", private) })
	must("a file that was mended", "401")
	before = refusals()
	p.put(t, "accounts.secret", "")
	waitFor(t, "the empty secret to be refused", func() bool { return refusals() > before })
	if got := c.outcome("/page", bearer(t, user("read"))); got != "200" {
		t.Errorf("a secret that is emptied: %s", got)
	}
	p.reloaded(t, func() { p.put(t, "accounts.secret", "test-secret-not-for-production-another-one") })
	if got := c.outcome("/page", bearer(t, user("read"))); got != "401" {
		t.Errorf("a token by the secret of before: %s", got)
	}
}
