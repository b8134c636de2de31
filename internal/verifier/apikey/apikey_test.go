package apikey

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/passgate/passgate/internal/authz"
)

var now = time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)

// testKey returns one of the keys of a test: the same in every run, so that what fuzzing finds can be run again.
func testKey(n byte) string {
	return string(keyOf(sha256.Sum256([]byte{n})))
}

const (
	plainKey = iota
	richKey
	endingKey
	endedKey
	disabledKey
	disabledAndEndedKey
	unknownKey
)

func testOptions() Options {
	entry := func(n byte, e Entry) Entry {
		e.SHA256 = Digest(testKey(n))
		return e
	}
	return Options{
		Source: "api_keys", UserPrefix: "key:",
		Directory: &authz.Directory{
			Roles:    map[string][]string{"deployer": {"deploy", "read"}, "viewer": {"read"}},
			Prefixes: []string{"key:", "partner:"},
		},
		Entries: []Entry{
			entry(plainKey, Entry{Name: "plain", UserID: "ci"}),
			entry(richKey, Entry{Name: "rich", UserID: "ops", Roles: []string{"viewer", "deployer", "viewer"}, Permissions: []string{"orders:write", "deploy"}}),
			entry(endingKey, Entry{Name: "ending", UserID: "ci", Expires: now.Add(time.Nanosecond)}),
			entry(endedKey, Entry{Name: "ended", UserID: "ci", Expires: now}),
			entry(disabledKey, Entry{Name: "disabled", UserID: "ci", Disabled: true}),
			entry(disabledAndEndedKey, Entry{Name: "disabled-and-ended", UserID: "ci", Disabled: true, Expires: now.Add(-time.Hour)}),
		},
	}
}

func newVerifier(t testing.TB) *Verifier {
	t.Helper()
	v, err := New(testOptions())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func verify(t testing.TB, v *Verifier, key string) (*authz.Identity, error) {
	t.Helper()
	return v.Verify(t.Context(), authz.Credential{Kind: authz.KindAPIKey, Value: key}, now)
}

func TestVerifyGrants(t *testing.T) {
	v := newVerifier(t)
	for _, test := range []struct {
		name string
		key  string
		want authz.Principal
	}{
		{"an entry with nothing but a user", testKey(plainKey), authz.Principal{UserID: "key:ci", Roles: []string{}, Permissions: []string{}}},
		{"roles add permissions after the entry's own, without repeats", testKey(richKey), authz.Principal{
			UserID: "key:ops", Roles: []string{"viewer", "deployer"}, Permissions: []string{"orders:write", "deploy", "read"},
		}},
		{"a nanosecond before its end", testKey(endingKey), authz.Principal{UserID: "key:ci", Roles: []string{}, Permissions: []string{}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.want.Source = "api_keys"
			id, err := verify(t, v, test.key)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, id.Principal); diff != "" {
				t.Error(diff)
			}
			if again, _ := verify(t, v, test.key); again != id {
				t.Error("the identity is made anew for each request")
			}
		})
	}
}

func TestVerifyRefuses(t *testing.T) {
	v := newVerifier(t)
	good := testKey(plainKey)
	body, sum := good[:keyLength-checksumWidth], good[keyLength-checksumWidth:]
	digest := Digest(good)
	// The largest number of 43 digits is more than 256 bits have.
	large := Prefix + strings.Repeat("Z", randomWidth)
	for _, test := range []struct{ name, key, says string }{
		{"empty", "", "it is empty"},
		{"the prefix alone", Prefix, "it has 4 bytes and not 53"},
		{"another prefix", "pgx_" + good[len(Prefix):], "it does not begin with pgk_"},
		{"another prefix with its own checksum", "pgx_" + body[len(Prefix):] + checksum("pgx_"+body[len(Prefix):]), "it does not begin with pgk_"},
		{"without its prefix", good[len(Prefix):], "it does not begin with pgk_"},
		{"prefix in upper case", "PGK_" + good[len(Prefix):], "it does not begin with pgk_"},
		{"in upper case", Prefix + strings.ToUpper(good[len(Prefix):]), "its checksum is wrong"},
		{"in lower case", strings.ToLower(good), "its checksum is wrong"},
		{"the checksum of another key", body + testKey(richKey)[len(body):], "its checksum is wrong"},
		{"the checksum first", Prefix + sum + body[len(Prefix):], "its checksum is wrong"},
		{"cut at the end", good[:len(good)-1], "it has 52 bytes and not 53"},
		{"cut at the front", good[1:], "it does not begin with pgk_"},
		{"without its checksum", body, "it has 47 bytes and not 53"},
		{"longer", good + "0", "it has 54 bytes and not 53"},
		{"twice", good + good, "it has 106 bytes and not 53"},
		{"a blank at the end", good + " ", "it has 54 bytes and not 53"},
		{"a blank ahead", " " + good, "it does not begin with pgk_"},
		{"a blank in it", good[:20] + " " + good[21:], "it holds a character that is neither a letter nor a digit"},
		{"a line feed at the end", good + "\n", "it has 54 bytes and not 53"},
		{"a NUL in it", good[:20] + "\x00" + good[21:], "it holds a character that is neither a letter nor a digit"},
		{"a dash in it", good[:20] + "-" + good[21:], "it holds a character that is neither a letter nor a digit"},
		{"a letter of another script", good[:20] + "а" + good[22:], "it holds a character that is neither a letter nor a digit"},
		{"a full-width digit", good[:20] + "０" + good[23:], "it holds a character that is neither a letter nor a digit"},
		{"not UTF-8", good[:20] + "\xff" + good[21:], "it holds a character that is neither a letter nor a digit"},
		{"with its scheme", "ApiKey " + good, "it does not begin with pgk_"},
		{"in quotes", `"` + good + `"`, "it does not begin with pgk_"},
		{"the digest in hex", hex.EncodeToString(digest[:]), "it does not begin with pgk_"},
		{"the digest as bytes", string(digest[:]), "it does not begin with pgk_"},
		{"the digest after the prefix", Prefix + hex.EncodeToString(digest[:])[:49], "its checksum is wrong"},
		{"the name of the entry", "plain", "it does not begin with pgk_"},
		{"very long", Prefix + strings.Repeat("0", 1<<20), "it has 1048580 bytes and not 53"},
		{"a key that nobody has", testKey(unknownKey), "no API key here has its digest"},
		{"more than 256 bits, with their checksum", large + checksum(large), "no API key here has its digest"},
		{"disabled", testKey(disabledKey), `the API key "disabled" is disabled`},
		{"disabled and expired", testKey(disabledAndEndedKey), `the API key "disabled-and-ended" is disabled`},
	} {
		t.Run(test.name, func(t *testing.T) {
			id, err := verify(t, v, test.key)
			if id != nil || !errors.Is(err, authz.ErrCredentialInvalid) || errors.Is(err, &authz.ExpiredError{}) {
				t.Fatalf("got %v, %v", id, err)
			}
			if !strings.Contains(err.Error(), test.says) {
				t.Errorf("the error is %q, want %q in it", err, test.says)
			}
			if len(test.key) > len("plain") && strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), test.key) {
				t.Errorf("the error shows what was presented: %v", err)
			}
		})
	}
}

func TestVerifyRefusesExpiredKeys(t *testing.T) {
	v := newVerifier(t)
	for _, test := range []struct {
		name string
		key  byte
		now  time.Time
	}{
		{"at the very instant", endedKey, now},
		{"a nanosecond after", endedKey, now.Add(1)},
		{"years after", endedKey, now.AddDate(10, 0, 0)},
		{"at the very instant, in another zone", endingKey, now.Add(1).In(time.FixedZone("", 5*3600))},
	} {
		t.Run(test.name, func(t *testing.T) {
			id, err := v.Verify(t.Context(), authz.Credential{Kind: authz.KindAPIKey, Value: testKey(test.key)}, test.now)
			var expired *authz.ExpiredError
			if id != nil || !errors.As(err, &expired) || errors.Is(err, authz.ErrCredentialInvalid) {
				t.Fatalf("got %v, %v", id, err)
			}
			if expired.Source != "api_keys" || !strings.Contains(expired.Detail, "2026-05-04T03:02:01Z") {
				t.Errorf("got %+v", *expired)
			}
		})
	}
}

func TestVerifyRefusesOtherKinds(t *testing.T) {
	v := newVerifier(t)
	for _, kind := range []authz.Kind{0, authz.KindJWT, authz.KindOpaque, 200} {
		id, err := v.Verify(t.Context(), authz.Credential{Kind: kind, Value: testKey(plainKey)}, now)
		if id != nil || !errors.Is(err, authz.ErrCredentialInvalid) {
			t.Errorf("kind %d: got %v, %v", kind, id, err)
		}
	}
}

func TestZeroVerifierKnowsNoKey(t *testing.T) {
	if id, err := verify(t, new(Verifier), testKey(plainKey)); id != nil || !errors.Is(err, authz.ErrCredentialInvalid) {
		t.Errorf("got %v, %v", id, err)
	}
	v, err := New(Options{Source: "api_keys"})
	if err != nil {
		t.Fatal(err)
	}
	if id, err := verify(t, v, testKey(plainKey)); id != nil || !errors.Is(err, authz.ErrCredentialInvalid) {
		t.Errorf("got %v, %v", id, err)
	}
}

func TestNewRefuses(t *testing.T) {
	for _, test := range []struct {
		name, says string
		change     func(*Options)
	}{
		{"no source", "the source has no name", func(o *Options) { o.Source = "" }},
		{"no name", "API key 2 has no name", func(o *Options) { o.Entries[1].Name = "" }},
		{"a name twice", `API key "plain": the name is taken`, func(o *Options) { o.Entries[3].Name = "plain" }},
		{"a digest twice", `API key "disabled" has the digest of "plain"`, func(o *Options) { o.Entries[4].SHA256 = o.Entries[0].SHA256 }},
		{"no digest", `API key "plain" has no digest`, func(o *Options) { o.Entries[0].SHA256 = [32]byte{} }},
		{"no user id", `API key "rich" has no user id`, func(o *Options) { o.Entries[1].UserID = "" }},
		{"the user of another source", `API key "plain": `, func(o *Options) { o.UserPrefix, o.Entries[0].UserID = "", "partner:ann" }},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := testOptions()
			test.change(&o)
			if v, err := New(o); v != nil || err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, %v", v, err)
			}
		})
	}
}

func TestNewTakesAnUnprefixedSource(t *testing.T) {
	o := testOptions()
	o.UserPrefix = ""
	v, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	if id, err := verify(t, v, testKey(plainKey)); err != nil || id.UserID != "ci" {
		t.Errorf("got %v, %v", id, err)
	}
}

// What a caller does with its options later changes nobody's rights.
func TestVerifierKeepsNothingOfItsOptions(t *testing.T) {
	o := testOptions()
	v, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	o.Entries[1].Permissions[0], o.Entries[1].Roles[0] = "everything", "root"
	o.Directory.Roles["viewer"][0] = "everything"
	o.Entries[4].Disabled, o.Entries[3].Expires = false, time.Time{}
	id, err := verify(t, v, testKey(richKey))
	if err != nil || !slices.Equal(id.Permissions, []string{"orders:write", "deploy", "read"}) || !slices.Equal(id.Roles, []string{"viewer", "deployer"}) {
		t.Errorf("got %+v, %v", id, err)
	}
	for _, n := range []byte{disabledKey, endedKey} {
		if id, err := verify(t, v, testKey(n)); err == nil {
			t.Errorf("key %d is taken: %+v", n, id)
		}
	}
}

// A trace shows how far a key came, and nothing of it.
func TestTrace(t *testing.T) {
	v := newVerifier(t)
	for _, test := range []struct {
		name, key string
		want      []authz.Step
	}{
		{"not a key", "pgk_test-secret-not-for-production", nil},
		{"unknown", testKey(unknownKey), []authz.Step{{Name: "key", Result: "read", Detail: "its checksum is right"}}},
		{"good", testKey(plainKey), []authz.Step{{Name: "key", Result: "read", Detail: "its checksum is right"}, {Name: "key", Result: "found", Detail: `"plain", never expires`}}},
		{"expired", testKey(endedKey), []authz.Step{
			{Name: "key", Result: "read", Detail: "its checksum is right"},
			{Name: "key", Result: "found", Detail: `"ended", now 2026-05-04T03:02:01Z: expires 2026-05-04T03:02:01Z`},
		}},
		{"disabled", testKey(disabledKey), []authz.Step{
			{Name: "key", Result: "read", Detail: "its checksum is right"}, {Name: "key", Result: "found", Detail: `"disabled", disabled`},
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var trace authz.Trace
			_, _ = v.Verify(t.Context(), authz.Credential{Kind: authz.KindAPIKey, Value: test.key, Trace: &trace}, now)
			if diff := cmp.Diff(test.want, trace.Steps); diff != "" {
				t.Error(diff)
			}
			if strings.Contains(fmt.Sprint(trace), test.key) {
				t.Error("the trace shows the key")
			}
		})
	}
}

// A verifier has seen each of its keys, and shows none.
func TestVerifierShowsNoKey(t *testing.T) {
	v := newVerifier(t)
	var printed strings.Builder
	for n := range byte(unknownKey + 1) {
		id, err := verify(t, v, testKey(n))
		fmt.Fprintf(&printed, "%v %+v %#v %v %+v %#v\n", id, id, id, err, err, err)
	}
	fmt.Fprintf(&printed, "%v %+v %#v", v, v, v)
	for _, k := range v.keys {
		fmt.Fprintf(&printed, "%v %+v %#v", *k, *k, *k)
	}
	for n := range byte(unknownKey + 1) {
		// Not a part of it either: the random number is as good as the whole.
		if number := testKey(n)[len(Prefix) : len(Prefix)+randomWidth]; strings.Contains(printed.String(), number) {
			t.Errorf("key %d is shown", n)
		}
	}
}
