package apikey

import (
	"errors"
	"testing"

	"github.com/passgate/passgate/internal/authz"
)

// FuzzVerify: of all texts, the keys that were generated are accepted, each for its own entry, and nothing else is;
// neither with a right checksum. What is not well-formed is not accepted.
func FuzzVerify(f *testing.F) {
	v := newVerifier(f)
	accepted := map[string]string{testKey(plainKey): "key:ci", testKey(richKey): "key:ops", testKey(endingKey): "key:ci"}
	for n := range byte(unknownKey + 1) {
		key := testKey(n)
		for _, text := range []string{key, key + "\n", " " + key, key[:len(key)-1], key + "0", key[len(Prefix):], "PGK_" + key[len(Prefix):], "ApiKey " + key} {
			f.Add(text, false)
			f.Add(text, true)
		}
	}
	f.Add("", false)
	f.Fuzz(func(t *testing.T, text string, mend bool) {
		if body := keyLength - checksumWidth; mend && len(text) >= body {
			text = text[:body] + checksum(text[:body])
		}
		id, err := verify(t, v, text)
		user, known := accepted[text]
		switch {
		case known && (err != nil || id.UserID != user):
			t.Errorf("%q: got %v, %v, want the user %s", text, id, err, user)
		case !known && (err == nil || id != nil):
			t.Errorf("%q is accepted, and was never generated", text)
		case err == nil && !WellFormed(text):
			t.Errorf("%q is accepted, and is not well-formed", text)
		case err != nil && !errors.Is(err, authz.ErrCredentialInvalid) && !errors.Is(err, &authz.ExpiredError{}):
			t.Errorf("%q: the error does not blame the credential: %v", text, err)
		}
	})
}
