package policy

import (
	"testing"

	"github.com/passgate/passgate/internal/authz"
)

func TestOwnPathsArePublicAheadOfEveryRoute(t *testing.T) {
	p, err := New(Options{
		Own:     []string{"/v1/auth/login"},
		Routes:  []Route{{Name: "all", Path: "/**", Access: authz.AccessDeny}},
		Default: authz.AccessDeny,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, method, host, path string
		own                      bool
	}{
		{"as written", "POST", "localhost", "/v1/auth/login", true},
		{"any method", "DELETE", "localhost", "/v1/auth/login", true},
		{"any host", "POST", "api.example.com:8443", "/v1/auth/login", true},
		{"in another case", "POST", "localhost", "/v1/auth/Login", false},
		{"with a slash at the end", "POST", "localhost", "/v1/auth/login/", false},
		{"with more behind it", "POST", "localhost", "/v1/auth/login/x", false},
		{"in part", "POST", "localhost", "/v1/auth", false},
		// The API compares bytes: another server would get this one.
		{"with an escape", "POST", "localhost", "/v1/auth/%6cogin", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			trace := &authz.Trace{}
			rule, reason, why := p.Match(&authz.Request{Method: test.method, Host: test.host, Path: test.path, Trace: trace})
			if reason != authz.ReasonGranted {
				t.Fatalf("refused: %s", why)
			}
			if own := rule.Access == authz.AccessPublic && rule.Service == authz.OwnService && rule.Route == test.path; own != test.own {
				t.Errorf("the rule is %+v, want passgate's own: %t", rule, test.own)
			}
		})
	}
	for _, path := range []string{"//v1/auth/login", "/v1/auth/./login", "/v1/auth/login;x", "/x/../v1/auth/login"} {
		if _, reason, _ := p.Match(&authz.Request{Method: "POST", Host: "localhost", Path: path}); reason != authz.ReasonPathAmbiguous {
			t.Errorf("%s: reason %d, want an ambiguous path", path, reason)
		}
	}
	if _, reason, _ := p.Match(&authz.Request{Method: "POST", Host: "a,b", Path: "/v1/auth/login"}); reason != authz.ReasonHostAmbiguous {
		t.Error("an ambiguous host was taken on a path of passgate's own")
	}
}
