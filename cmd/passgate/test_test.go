package main

import (
	"encoding/xml"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const passingTests = `tests:
  - name: a reader reads
    request: {path: "/api/users/1?x=y", token: {sub: ann, permissions: [read]}}
    expect: {status: 200, code: ok, headers: {X-User-ID: ann, X-User-Role: ""}}
  - name: the second issuer's user has its prefix
    request: {path: /api/users/1, token: {iss: "https://idp.partner.example", aud: api, sub: bob, permissions: [read]}}
    expect: {status: 200, headers: {X-User-ID: "partner:bob"}}
  - name: a token of nobody here is refused
    request: {path: /api/users/1, token: {iss: "https://other.example", sub: bob}}
    expect: {status: 401, code: invalid_token}
  - name: an old token is refused
    request: {path: /api/users/1, token: {sub: ann, exp: 1}}
    expect: {status: 401, code: token_expired}
  - name: Envoy's route asks for more
    request: {path: /docs/x, context: {required_permission: write}, token: {sub: ann, permissions: [read]}}
    expect: {status: 403}
`

const failingTests = `tests:
  - name: a reader may delete
    request: {method: DELETE, path: /api/users/1, token: {sub: ann, permissions: [read]}}
    expect: {status: 200, code: ok}
  - name: without a token
    request: {path: /api/users/1}
    expect: {status: 401}
`

func TestPolicyTestsThatPass(t *testing.T) {
	o := newCLI().run(t, "test", "--config", tempFile(t, "passgate.yaml", cliConfig), tempFile(t, "t.yaml", passingTests)).must(t, exitOK)
	if o.stdout != "5 passed, 0 failed\n" || o.stderr != "" {
		t.Errorf("printed %q and %q", o.stdout, o.stderr)
	}
}

func TestPolicyTestsThatFail(t *testing.T) {
	bad := tempFile(t, "bad.yaml", failingTests)
	report := filepath.Join(t.TempDir(), "report.xml")
	o := newCLI().run(t, "test", "--config", tempFile(t, "passgate.yaml", cliConfig), tempFile(t, "good.yaml", passingTests), bad, "--junit", report).must(t, exitNo)
	o.mustHold(t,
		bad+": FAIL a reader may delete (line 2)\n",
		"  status: got 403, want 200\n",
		"  code: got insufficient_permissions, want ok\n",
		"matched       users-delete", `cause: permission "delete" is missing`,
		"6 passed, 1 failed\n")

	var written struct {
		Suites []struct {
			Name     string `xml:"name,attr"`
			Tests    int    `xml:"tests,attr"`
			Failures int    `xml:"failures,attr"`
			Cases    []struct {
				Name    string `xml:"name,attr"`
				Failure *struct {
					Message string `xml:"message,attr"`
				} `xml:"failure"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	data, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	if err := xml.Unmarshal(data, &written); err != nil {
		t.Fatal(err)
	}
	if len(written.Suites) != 2 {
		t.Fatalf("%d suites in %s", len(written.Suites), data)
	}
	good, failed := written.Suites[0], written.Suites[1]
	if good.Tests != 5 || good.Failures != 0 || failed.Tests != 2 || failed.Failures != 1 || failed.Name != bad ||
		failed.Cases[0].Failure == nil || failed.Cases[1].Failure != nil {
		t.Errorf("wrote %s", data)
	}
}

func TestPolicyTestFilesThatAreBroken(t *testing.T) {
	config := tempFile(t, "passgate.yaml", cliConfig)
	for _, test := range []struct {
		name, text string
		want       []string
	}{
		{"unknown field", "tests:\n  - {name: a, request: {path: /}, expect: {status: 200}, expects: 1}\n", []string{":2:58: tests[0].expects: unknown key; did you mean expect?"}},
		{"two faults", "tests:\n  - name: a\n    request: {path: 1}\n    expect: {}\n", []string{":3:21: tests[0].request.path: ", ":4:13: tests[0].expect.status: is missing"}},
		{"header that is no text", "tests:\n  - {name: a, request: {path: /, headers: {X: 1}}, expect: {status: 200}}\n", []string{`:2:43: tests[0].request.headers: "X": want a string or a list of strings`}},
		{"no tests", "tests: []\n", []string{":1:8: tests: an empty list"}},
		{"empty", "", []string{":1:1: the file is empty"}},
		{"not YAML", "tests: [", []string{":1:"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := tempFile(t, "t.yaml", test.text)
			for i := range test.want {
				test.want[i] = file + test.want[i]
			}
			newCLI().run(t, "test", "--config", config, file).must(t, exitUsage).mustComplain(t, test.want...)
		})
	}
	newCLI().run(t, "test", "--config", config, "gone.yaml").must(t, exitUsage).mustComplain(t, "gone.yaml: cannot")
}

func TestReportThatCannotBeWritten(t *testing.T) {
	report := filepath.Join(t.TempDir(), "gone", "report.xml")
	o := newCLI().run(t, "test", "--config", tempFile(t, "passgate.yaml", cliConfig), tempFile(t, "t.yaml", passingTests), "--junit", report)
	o.must(t, exitFault).mustHold(t, "5 passed")
}

// A test names an API key, and holds none.
func TestPolicyTestsNameAPIKeys(t *testing.T) {
	c := newCLI()
	_, entry, _ := strings.Cut(c.run(t, "apikey", "new", "--name", "ci", "--user-id", "ci", "--permission", "read").must(t, exitOK).stdout, "\n")
	keys := tempFile(t, "api-keys.yaml", "keys:\n"+entry)
	file := tempFile(t, "passgate.yaml", cliConfig+"api_keys: {file: \""+keys+"\", user_prefix: \"key:\"}\n")
	tests := tempFile(t, "tests.yaml", `
tests:
  - {name: a key may read, request: {path: /api/users/1, api_key: ci}, expect: {status: 200, headers: {X-User-ID: "key:ci", Authorization: ""}}}
  - {name: a key may not delete, request: {method: DELETE, path: /api/users/1, api_key: ci}, expect: {status: 403}}
  - {name: a key beside a token, request: {path: /api/users/1, api_key: ci, token: {sub: ann}}, expect: {status: 400}}
`)
	c.run(t, "test", "--config", file, tests).must(t, exitOK).mustHold(t, "3 passed, 0 failed")
	tests = tempFile(t, "tests.yaml", "tests:\n- {name: a, request: {path: /, api_key: other}, expect: {status: 200}}\n")
	c.run(t, "test", "--config", file, tests).must(t, exitUsage).mustComplain(t, "tests.yaml:2:1: tests[0].request.api_key: the configuration has no API key of this name")
}
