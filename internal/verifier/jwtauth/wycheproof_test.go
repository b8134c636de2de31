package jwtauth

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/passgate/passgate/internal/keyset"
	"github.com/passgate/passgate/internal/strict"
)

// TestWycheproof runs the published JWS vectors through everything but the claims, which theirs are not.
func TestWycheproof(t *testing.T) {
	dir := wycheproofDir(t)
	var vectors struct {
		TestGroups []struct {
			Private, Public json.RawMessage
			Tests           []struct {
				ID      int `json:"tcId"`
				JWS     json.RawMessage
				Comment string
			}
		}
	}
	var overlay struct {
		Tests []struct {
			ID           int `json:"tcId"`
			Product, Why string
		}
	}
	readJSON(t, filepath.Join(dir, "json_web_signature_test.json"), &vectors)
	readJSON(t, filepath.Join(dir, "expected_overlay.json"), &overlay)
	want := make(map[int]string)
	for _, test := range overlay.Tests {
		want[test.ID] = test.Product
	}
	count := make(map[string]int)
	for _, group := range vectors.TestGroups {
		material := group.Public
		if material == nil { // a shared secret
			material = group.Private
		}
		keys, keyErr := keyset.Parse(material)
		for _, test := range group.Tests {
			err := keyErr
			if err == nil {
				var jws string
				if json.Unmarshal(test.JWS, &jws) != nil {
					jws = string(test.JWS) // JSON serialization
				}
				err = verifySignature(t, keys, jws)
			}
			got := "accept"
			if err != nil {
				got = "reject"
			}
			count[want[test.ID]]++
			if want[test.ID] != "skip" && got != want[test.ID] {
				t.Errorf("%d, %s: %s, want %q (%v)", test.ID, test.Comment, got, want[test.ID], err)
			}
		}
	}
	if count["accept"] == 0 || count["reject"] == 0 {
		t.Fatal("no vectors were read")
	}
	t.Logf("%v", count)
}

func verifySignature(t *testing.T, keys []*keyset.Key, jws string) error {
	parts, err := decode(jws)
	if err != nil {
		return err
	}
	header, err := strict.ParseObject(parts[0])
	if err != nil {
		return err
	}
	token := newToken(jws, parts)
	if err := token.readHeader(header); err != nil {
		return err
	}
	set, err := keyset.NewSet(keys...)
	if err != nil {
		return err
	}
	key, err := set.Key(t.Context(), token.keyID, token.hasKeyID, token.algorithm)
	if err != nil {
		return err
	}
	return key.Verify(token.signed, token.signature)
}

// wycheproofDir returns the folder of the vectors, which lie beside the checkout and are no part of it.
func wycheproofDir(t *testing.T) string {
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			t.Skip("no go.mod above: not run from a checkout")
		}
		dir = filepath.Dir(dir)
	}
	dir = filepath.Join(filepath.Dir(dir), "shared", "wycheproof")
	if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
		t.Skip("the vectors are not beside the checkout, in ../shared/wycheproof")
	}
	return dir
}

func readJSON(t *testing.T, name string, v any) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err == nil {
		err = json.Unmarshal(text, v)
	}
	if err != nil {
		t.Fatal(err)
	}
}
