package envoy_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/passgate/passgate/envoy"
)

func TestIstioFilesAreYAML(t *testing.T) {
	documents := 0
	err := filepath.WalkDir("istio", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for d := yaml.NewDecoder(bytes.NewReader(b)); ; documents++ {
			var document map[string]any
			if err := d.Decode(&document); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				t.Errorf("%s: %v", path, err)
				return nil
			}
		}
	})
	if err != nil || documents == 0 {
		t.Fatalf("%d documents read, error %v", documents, err)
	}
}

// The gateway's patches are settings of envoy.yaml: what is tried there is only worth something here if they
// are the same.
func TestIstioGatewayHasTheSettingsOfTheEnvoyFile(t *testing.T) {
	gateway, err := os.ReadFile("istio/gateway.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, setting := range []string{`regex: '.*'`, `retry_on: \S+`, `num_retries: \d+`, `max_interval: [\d.]+s`, `base_interval: [\d.]+s`, `host_selection_retry_max_attempts: \d+`} {
		re := regexp.MustCompile(setting)
		want := re.FindString(string(envoy.Config))
		found := re.FindAllString(string(gateway), -1)
		if want == "" || len(found) == 0 {
			t.Errorf("%s: envoy.yaml has %q, gateway.yaml has %q", setting, want, found)
		}
		for _, got := range found {
			if got != want {
				t.Errorf("gateway.yaml has %s, envoy.yaml %s", got, want)
			}
		}
	}
}
