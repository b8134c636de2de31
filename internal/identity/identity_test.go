package identity

import (
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/passport"
)

var now = time.Unix(1_710_000_000, 0)

func stamper(t testing.TB, keep ...string) *Stamper {
	t.Helper()
	state, err := ParseTemplate(DefaultTemplate)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range keep {
		if err := CheckKeep(name); err != nil {
			t.Fatal(err)
		}
	}
	return New(state, keep)
}

func stampOf(t *testing.T, p authz.Principal) (set map[string]string, unset []string) {
	t.Helper()
	stamp, err := stamper(t).Stamp(&authz.Identity{Principal: p}, now)
	if err != nil {
		t.Fatal(err)
	}
	set = map[string]string{}
	for _, h := range stamp.Set {
		set[h.Name] = h.Value
	}
	return set, stamp.Unset
}

func TestStamp(t *testing.T) {
	set, unset := stampOf(t, authz.Principal{
		UserID: "user_123", Email: "user@example.com", Subscription: "free", Country: "IN", Platform: "android",
		Roles: []string{"admin", "ops"}, Permissions: []string{"read", "write"},
	})
	want := map[string]string{
		"X-User-ID":          "user_123",
		"X-User-Role":        "admin,ops",
		"X-User-Permissions": "read,write",
		"X-Proxy-State":      "ZnJlZTpJTjphbmRyb2lk",
		"X-Passport": base64.StdEncoding.EncodeToString([]byte(`{"user_id":"user_123","email":"user@example.com","subscription":"free",` +
			`"country":"IN","platform":"android","token_status":"valid","issued_at":1710000000}`)),
	}
	for name, value := range want {
		if set[name] != value {
			t.Errorf("%s = %q, want %q", name, set[name], value)
		}
	}
	if len(set) != len(want) || !slices.Equal(unset, []string{PassportSignatureHeader}) {
		t.Errorf("set %v, unset %q", set, unset)
	}
}

func TestEveryNameIsSetOrUnset(t *testing.T) {
	for _, p := range []authz.Principal{
		{UserID: "a"},
		{UserID: "a", Roles: []string{"r"}},
		{UserID: "a", Permissions: []string{"p"}, Subscription: "free"},
	} {
		set, unset := stampOf(t, p)
		for _, name := range names {
			if _, isSet := set[name]; isSet == slices.Contains(unset, name) {
				t.Errorf("%+v: %s is set %v and unset %v", p, name, isSet, !isSet)
			}
		}
	}
	stamp, err := stamper(t).Stamp(nil, now)
	if err != nil || len(stamp.Set) != 0 || !slices.Equal(stamp.Unset, names) {
		t.Errorf("without a principal: %+v, %v", stamp, err)
	}
}

func TestValuesAreEncoded(t *testing.T) {
	tests := []struct{ name, value, plain, inList string }{
		{"ordinary", "ann@example.com", "ann@example.com", "ann@example.com"},
		{"newline", "a\r\nX-User-ID: b", "a%0D%0AX-User-ID: b", "a%0D%0AX-User-ID: b"},
		{"NUL and DEL", "a\x00\x7f", "a%00%7F", "a%00%7F"},
		{"tab", "a\tb", "a%09b", "a%09b"},
		{"percent", "100%41", "100%2541", "100%2541"},
		{"not ASCII", "é", "%C3%A9", "%C3%A9"},
		{"blanks at either end", "  a b ", "%20%20a b%20", "%20%20a b%20"},
		{"blank alone", " ", "%20", "%20"},
		{"comma", "a,b", "a,b", "a%2Cb"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			set, _ := stampOf(t, authz.Principal{UserID: tt.value, Roles: []string{tt.value, "r"}, Permissions: []string{"p", tt.value}})
			if set[UserIDHeader] != tt.plain || set[UserRoleHeader] != tt.inList+",r" || set[UserPermissionsHeader] != "p,"+tt.inList {
				t.Errorf("headers = %q", set)
			}
		})
	}
}

func TestProxyState(t *testing.T) {
	tests := []struct {
		name, subscription, country, platform, want string
	}{
		{"all", "free", "IN", "android", "free:IN:android"},
		{"some empty", "free", "", "", "free::"},
		{"all empty", "", "", "", "::"},
		{"a field cannot forge a separator", "a:b", "c d", "é%", "a%3Ab:c%20d:%C3%A9%25"},
		{"unreserved characters stay", "az-AZ._~09", "", "", "az-AZ._~09::"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			set, _ := stampOf(t, authz.Principal{UserID: "u", Subscription: tt.subscription, Country: tt.country, Platform: tt.platform})
			got, err := base64.StdEncoding.DecodeString(set[ProxyStateHeader])
			if err != nil || string(got) != tt.want {
				t.Errorf("state = %q (%v), want %q", got, err, tt.want)
			}
		})
	}
}

func TestParseTemplate(t *testing.T) {
	for _, text := range []string{"{country}", "v1/{subscription}-{country}", "{platform}{platform}"} {
		if _, err := ParseTemplate(text); err != nil {
			t.Errorf("ParseTemplate(%q): %v", text, err)
		}
	}
	for _, text := range []string{"", "static", "{email}", "{}", "{country", "country}", "{{country}}"} {
		if _, err := ParseTemplate(text); err == nil {
			t.Errorf("ParseTemplate(%q) accepted it", text)
		}
	}
}

func TestStampIsBounded(t *testing.T) {
	_, err := stamper(t).Stamp(&authz.Identity{Principal: authz.Principal{UserID: strings.Repeat("é", 2<<10)}}, now)
	if !errors.Is(err, authz.ErrStampTooLarge) {
		t.Errorf("err = %v, want ErrStampTooLarge", err)
	}
	if _, err := stamper(t).Stamp(&authz.Identity{Principal: authz.Principal{UserID: strings.Repeat("a", 4<<10)}}, now); err != nil {
		t.Errorf("4 KiB id: %v", err)
	}
}

func spoofed(s *Stamper, filtered bool, names ...string) []string {
	r := &authz.Request{HeadersFiltered: filtered}
	for _, n := range names {
		r.Headers = append(r.Headers, authz.Header{Name: n, Value: "evil"})
	}
	return s.Spoofed(nil, r)
}

func TestSpoofed(t *testing.T) {
	removed := []string{
		"x_user_id", "X.User.ID", "X-User~ID", "X-User'ID", "x-user|id", "x+user+id", "X-User_ID", "x-user-", "x-user-email", "X-USER-AGENT",
		"x_passport", "x.passport", "X-Passport_Signature", "x-passport-foo", "x-passportfoo", "x~passport",
		"x_proxy_state", "x-proxy_state", "x-proxy-state2", "X.Proxy-State-Old",
		"x-http-method-override", "X-HTTP-Method", "X_HTTP_Method_Override", "x-method-override", "X-Original-URL", "x-rewrite-url",
	}
	kept := []string{
		"accept", "authorization", "x", "x-", "x-request-id", "x-userid", "xuser-id", "y-user-id", "x-forwarded-for", "x-proxy", "x-proxy-auth",
		"x-original-host", "x-user", "x-forwarded-user-id", "x-pass", "x-api-key", "",
		// Ours as we write them: set or removed by the stamp.
		"X-User-ID", "x-user-role", "X-USER-PERMISSIONS", "x-passport", "X-Proxy-State", "x-passport-signature",
	}
	if got := spoofed(stamper(t), false, append(slices.Clone(kept), removed...)...); !slices.Equal(got, removed) {
		t.Errorf("removed %q, want %q", got, removed)
	}
	if got := spoofed(stamper(t, "x-user-agent"), false, "X-User-Agent", "x_user_agent"); !slices.Equal(got, []string{"x_user_agent"}) {
		t.Errorf("with keep: removed %q", got)
	}
}

func TestSpoofedUnseen(t *testing.T) {
	got := spoofed(stamper(t), true, "x-user-seen")
	for _, name := range []string{"x_user_id", "x.user.id", "x-user_id", "x_user.permissions", "x_passport", "x.passport_signature", "x_proxy-state", "x-original-url", "x-user-seen"} {
		if !slices.Contains(got, name) {
			t.Errorf("%s is not removed", name)
		}
	}
	for _, name := range names {
		if slices.ContainsFunc(got, func(g string) bool { return strings.EqualFold(g, name) }) {
			t.Errorf("%s could be set and is removed", name)
		}
	}
	// 9-1 spellings of the four names with two dashes and X-Passport-Signature, 3-1 of X-Passport.
	if want := 5*8 + 2 + len(overrides) + 1; len(got) != want {
		t.Errorf("%d names, want %d", len(got), want)
	}
}

func TestCheckKeep(t *testing.T) {
	for _, name := range []string{"x-user-agent", "x-passport-hint", "x_user_agent"} {
		if err := CheckKeep(name); err != nil {
			t.Errorf("CheckKeep(%q): %v", name, err)
		}
	}
	for _, name := range []string{"", "x-user-id", "x_user_id", "X-Passport", "x.proxy.state", "x-original-url", "X-User-Agent", "accept"} {
		if err := CheckKeep(name); err == nil {
			t.Errorf("CheckKeep(%q) accepted it", name)
		}
	}
}

func TestPassportHeaderDecodes(t *testing.T) {
	set, _ := stampOf(t, authz.Principal{UserID: "a<b>&é", Email: "x@example.com"})
	p, err := passport.Decode(set[passport.Header])
	if err != nil || p.UserID != "a<b>&é" || !p.Issued().Equal(now) {
		t.Errorf("passport = %+v, %v", p, err)
	}
}
