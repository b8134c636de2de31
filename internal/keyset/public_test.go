package keyset

import (
	"encoding/json"
	"testing"
)

// The example of RFC 7638 §3.1.
func TestThumbprintOfRFC7638(t *testing.T) {
	keys, err := Parse([]byte(`{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := keys[0].Thumbprint(); got != "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs" {
		t.Errorf("the thumbprint is %q", got)
	}
	if got := keys[0].KeyID(); got != "2011-04-29" {
		t.Errorf("the kid is %q, and not the key's own", got)
	}
}

func TestThumbprintIsOfTheMaterialAlone(t *testing.T) {
	for _, kty := range []string{"RSA", "EC", "OKP", "oct"} {
		a, err := Parse(with(kty))
		if err != nil {
			t.Fatal(err)
		}
		b, err := Parse(with(kty, "kid", "named", "use", "sig", "note", 1))
		if err != nil || a[0].Thumbprint() != b[0].Thumbprint() || len(a[0].Thumbprint()) != 43 {
			t.Errorf("%s: %q and %q, %v", kty, a[0].Thumbprint(), b[0].Thumbprint(), err)
		}
	}
	a, b := newSigner(t, ES256, "").Key(), newSigner(t, ES256, "").Key()
	if a.Thumbprint() == b.Thumbprint() {
		t.Error("two keys have one thumbprint")
	}
	if got := (&Key{}).Thumbprint() + Secret(nil).Thumbprint(); got != "" {
		t.Errorf("keys that verify nothing have the thumbprint %q", got)
	}
}

func TestPublicJWKSParsesBack(t *testing.T) {
	var keys []*Key
	for _, a := range Algorithms() {
		keys = append(keys, newSigner(t, a, "").Key(), newSigner(t, a, `"named" <é>`).Key())
	}
	text := PublicJWKS(append(keys, &Key{}, Secret(nil))...)
	var shown struct {
		Keys []map[string]string `json:"keys"`
	}
	if err := json.Unmarshal(text, &shown); err != nil {
		t.Fatal(err)
	}
	// RSA, EC and OKP in the order given; of HS256 nothing.
	if len(shown.Keys) != 6 {
		t.Fatalf("%d keys are shown", len(shown.Keys))
	}
	for i, want := range keys[2:] {
		m := shown.Keys[i]
		if m["use"] != "sig" || m["alg"] != string(want.Algorithm) || m["kid"] != want.KeyID() {
			t.Errorf("%s became %v", want, m)
		}
		for _, name := range privateMembers {
			if _, ok := m[name]; ok {
				t.Errorf("%s shows %s", want, name)
			}
		}
		parsed, err := Parse(encode(m))
		if err != nil || parsed[0].Thumbprint() != want.Thumbprint() || parsed[0].Algorithm != want.Algorithm || parsed[0].ID != want.KeyID() {
			t.Errorf("%s: %v, %v", want, parsed, err)
		}
	}
	for _, keys := range [][]*Key{nil, {newSigner(t, HS256, "").Key()}} {
		if got := string(PublicJWKS(keys...)); got != `{"keys":[]}` {
			t.Errorf("of no public key: %s", got)
		}
	}
}

func TestES256ThumbprintKeepsLeadingZeros(t *testing.T) {
	// A coordinate begins with a zero octet in one key of 128.
	for range 2000 {
		k := newSigner(t, ES256, "").Key()
		if k.public.X[0] != 'A' && k.public.Y[0] != 'A' {
			continue
		}
		parsed, err := Parse(PublicJWKS(k))
		if err != nil || parsed[0].Thumbprint() != k.Thumbprint() || len(k.public.X) != 43 || len(k.public.Y) != 43 {
			t.Fatalf("%+v: %v", k.public, err)
		}
		return
	}
	t.Error("no key with a short number was made")
}
