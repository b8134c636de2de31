package e2e

import (
	"os"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// No container engine is at hand where the tests run, so the file is held to what makes it safe.
func TestComposeKeepsPassgateOnEnvoysLoopback(t *testing.T) {
	b, err := os.ReadFile("../../compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Services map[string]struct {
			Build struct {
				Target string
			}
			NetworkMode string `yaml:"network_mode"`
			Ports       []string
			Volumes     []string
			Image       string
			Command     []string
			Environment map[string]string
		}
	}
	if err := yaml.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	envoy := file.Services["envoy"]
	if !slices.Contains(envoy.Volumes, "./envoy/envoy.yaml:/etc/envoy/envoy.yaml:ro") {
		t.Errorf("Envoy mounts %q, want the file that ships", envoy.Volumes)
	}
	dockerfile, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	for name, service := range file.Services {
		for _, port := range service.Ports {
			if !strings.HasPrefix(port, "127.0.0.1:10000:") {
				t.Errorf("%s publishes %q, want Envoy's listener on loopback alone", name, port)
			}
		}
		if name == "envoy" {
			continue
		}
		if service.NetworkMode != "service:envoy" {
			t.Errorf("%s has network mode %q, want Envoy's own", name, service.NetworkMode)
		}
		if name == "redis" {
			// Whoever reaches it without a password could make every keyed signup fail.
			if i := slices.Index(service.Command, "--bind"); i < 0 || service.Command[i+1] != "127.0.0.1" {
				t.Errorf("Redis is started by %q, want it bound to loopback", service.Command)
			}
			continue
		}
		if !strings.Contains(string(dockerfile), " AS "+service.Build.Target+"\n") {
			t.Errorf("%s is built from the target %q, which the Dockerfile has not", name, service.Build.Target)
		}
	}
	if url := file.Services["passgate"].Environment["PASSGATE_REDIS"]; url != "redis://127.0.0.1:6379/0" || file.Services["redis"].Image == "" {
		t.Errorf("passgate uses Redis at %q, want the one beside it", url)
	}
	if secret := file.Services["passgate"].Environment["PASSGATE_JWT_SECRET"]; !strings.HasPrefix(secret, "${PASSGATE_JWT_SECRET:?") {
		t.Errorf("the secret is %q, want one that has to be given", secret)
	}
}
