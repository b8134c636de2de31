package keyset

import (
	"errors"
	"slices"
	"testing"
	"time"
)

var noon = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

// ringKey returns a key that signs from so many minutes after noon and is retired after others; 0: never.
func ringKey(t testing.TB, a Algorithm, signs, retired int) RingKey {
	k := RingKey{Signer: newSigner(t, a, ""), Made: noon, Signs: noon.Add(time.Duration(signs) * time.Minute)}
	if retired != 0 {
		k.Retired = noon.Add(time.Duration(retired) * time.Minute)
	}
	return k
}

// ringAt returns a ring and a function that moves its clock to minutes after noon.
func ringAt(t testing.TB, also *Set, keys ...RingKey) (*Ring, func(minute int)) {
	t.Helper()
	now := noon
	r, err := NewRing(func() time.Time { return now }, also, keys...)
	if err != nil {
		t.Fatal(err)
	}
	return r, func(minute int) { now = noon.Add(time.Duration(minute) * time.Minute) }
}

func setWith(t testing.TB, keys ...*Key) *Set {
	t.Helper()
	s, err := NewSet(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRingThroughARotation(t *testing.T) {
	old, next := ringKey(t, EdDSA, -100, 30), ringKey(t, ES256, 10, 0)
	r, at := ringAt(t, nil, old, next)
	oldID, nextID := old.Signer.KeyID(), next.Signer.KeyID()
	for _, test := range []struct {
		minute    int
		signs     string
		oldIsGood bool
		public    []string
	}{
		{-101, "", true, []string{nextID, oldID}},
		{-100, oldID, true, []string{nextID, oldID}},
		{9, oldID, true, []string{nextID, oldID}},
		{10, nextID, true, []string{nextID, oldID}},
		{29, nextID, true, []string{nextID, oldID}},
		{30, nextID, false, []string{nextID}},
		{10000, nextID, false, []string{nextID}},
	} {
		at(test.minute)
		s, err := r.Signer()
		if test.signs == "" {
			if s != nil || !errors.Is(err, ErrNoKey) {
				t.Errorf("minute %d: %v signs, %v", test.minute, s, err)
			}
		} else if err != nil || s.KeyID() != test.signs || s.Key().ID != test.signs {
			t.Errorf("minute %d: %v signs, %v", test.minute, s, err)
		}
		if k, err := r.Key(t.Context(), nextID, true, ES256); err != nil || k.ID != nextID || k.Verify(text, sign(t, next.Signer)) != nil {
			t.Errorf("minute %d: the next key: %v, %v", test.minute, k, err)
		}
		k, err := r.Key(t.Context(), oldID, true, EdDSA)
		if good := err == nil && k.Verify(text, sign(t, old.Signer)) == nil; good != test.oldIsGood || !good && (k != nil || !errors.Is(err, ErrNoKey)) {
			t.Errorf("minute %d: the old key: %v, %v", test.minute, k, err)
		}
		s, err = r.SignerOf(oldID)
		if good := err == nil && s.KeyID() == oldID; good != test.oldIsGood || !good && (s != nil || !errors.Is(err, ErrNoKey)) {
			t.Errorf("minute %d: the old signer: %v, %v", test.minute, s, err)
		}
		var public []string
		for _, k := range r.Public() {
			public = append(public, k.ID)
		}
		if !slices.Equal(public, test.public) {
			t.Errorf("minute %d: shown are %q", test.minute, public)
		}
	}
	for _, id := range []string{"", "x", oldID + " "} {
		if s, err := r.SignerOf(id); s != nil || !errors.Is(err, ErrNoKey) {
			t.Errorf("SignerOf(%q) = %v, %v", id, s, err)
		}
	}
}

func TestRingSignsWithTheNewest(t *testing.T) {
	older, newer := ringKey(t, HS256, -10, 0), ringKey(t, HS256, -5, 0)
	madeLater := ringKey(t, EdDSA, -5, 0)
	madeLater.Made = noon.Add(time.Second)
	retired := ringKey(t, EdDSA, -1, -1) // it never signs
	for _, keys := range [][]RingKey{{older, newer, madeLater, retired}, {retired, madeLater, newer, older}} {
		r, _ := ringAt(t, nil, keys...)
		if s, err := r.Signer(); err != nil || s.KeyID() != madeLater.Signer.KeyID() {
			t.Errorf("%v signs, %v", s, err)
		}
		if public := r.Public(); len(public) != 1 || public[0].ID != madeLater.Signer.KeyID() {
			t.Errorf("shown are %v", public)
		}
	}
	var many []RingKey
	for i := range 20 {
		k := ringKey(t, EdDSA, 0, 0)
		k.Made = noon.Add(-time.Duration(i) * time.Second)
		many = append(many, k)
	}
	r, _ := ringAt(t, nil, many...)
	if s, err := r.Signer(); err != nil || s.KeyID() != many[0].Signer.KeyID() {
		t.Errorf("of keys that sign from one time on, %v signs, %v, and not the one made last", s, err)
	}
	a, b := ringKey(t, HS256, 0, 0), ringKey(t, HS256, 0, 0)
	first, _ := ringAt(t, nil, a, b)
	second, _ := ringAt(t, nil, b, a)
	s1, _ := first.Signer()
	s2, _ := second.Signer()
	if s1.KeyID() != s2.KeyID() {
		t.Error("two replicas that read the keys in another order sign with different ones")
	}
	empty, _ := ringAt(t, nil)
	if s, err := empty.Signer(); s != nil || !errors.Is(err, ErrNoKey) || empty.Public() != nil {
		t.Errorf("of no keys %v signs, %v", s, err)
	}
}

func TestRingSelectsTheKey(t *testing.T) {
	const absent, unknown = "\x00", "unknown"
	good, retired, other := ringKey(t, HS256, -10, 0), ringKey(t, HS256, -20, -1), ringKey(t, EdDSA, -10, 0)
	secret, named := newSigner(t, HS256, "").Key(), newSigner(t, HS256, "named").Key()
	goodID, retiredID := good.Signer.KeyID(), retired.Signer.KeyID()
	for _, test := range []struct {
		name string
		also []*Key
		keys []RingKey
		id   string
		alg  Algorithm
		want string // thumbprint
	}{
		{"the kid selects", nil, []RingKey{good, retired}, goodID, HS256, goodID},
		{"no kid, the only key of its algorithm", nil, []RingKey{good, other}, absent, HS256, goodID},
		{"a named key beside", []*Key{named}, []RingKey{good}, "named", HS256, named.Thumbprint()},
		{"the thumbprint of a secret beside", []*Key{secret}, []RingKey{good, retired}, secret.Thumbprint(), HS256, secret.Thumbprint()},
		{"unknown kid, a secret beside, alone in its algorithm", []*Key{secret}, []RingKey{other}, unknown, HS256, secret.Thumbprint()},
		{"no kid, a secret beside, alone in its algorithm", []*Key{secret}, []RingKey{other}, absent, HS256, secret.Thumbprint()},

		{"a retired kid", nil, []RingKey{good, retired}, retiredID, HS256, ""},
		{"a retired kid alone", nil, []RingKey{retired}, retiredID, HS256, ""},
		{"a retired kid, for another algorithm", nil, []RingKey{retired, other}, retiredID, EdDSA, ""},
		{"a retired kid beside a secret", []*Key{secret}, []RingKey{retired}, retiredID, HS256, ""},
		{"no kid, the only key is retired", nil, []RingKey{retired}, absent, HS256, ""},
		{"no kid, one of two is retired", nil, []RingKey{good, retired}, absent, HS256, ""},
		{"no kid, a retired key beside a secret", []*Key{secret}, []RingKey{retired}, absent, HS256, ""},
		{"unknown kid, a retired key beside a secret", []*Key{secret}, []RingKey{retired}, unknown, HS256, ""},
		{"unknown kid, a ring of one key", nil, []RingKey{good}, unknown, HS256, ""},
		{"empty kid, a ring of one key", nil, []RingKey{good}, "", HS256, ""},
		{"the kid with a blank", nil, []RingKey{good}, goodID + " ", HS256, ""},
		{"the kid for another algorithm", nil, []RingKey{good, other}, goodID, EdDSA, ""},
		{"the thumbprint of a named key beside", []*Key{named}, []RingKey{good}, named.Thumbprint(), HS256, ""},
		{"the thumbprint of a secret beside, for another algorithm", []*Key{secret}, []RingKey{good}, secret.Thumbprint(), EdDSA, ""},
		{"no keys", nil, nil, absent, HS256, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, _ := ringAt(t, setWith(t, test.also...), test.keys...)
			id, hasID := test.id, true
			if id == absent {
				id, hasID = "", false
			}
			k, err := r.Key(t.Context(), id, hasID, test.alg)
			if test.want == "" {
				if k != nil || !errors.Is(err, ErrNoKey) {
					t.Errorf("got %v, %v", k, err)
				}
				return
			}
			if err != nil || k.Thumbprint() != test.want {
				t.Errorf("got %v, %v", k, err)
			}
		})
	}
}

// A key that retires stays refused, though a key beside the ring, of the same material, has no kid.
func TestRetiredKeyIsRefusedForGood(t *testing.T) {
	k := ringKey(t, HS256, -10, 5)
	r, at := ringAt(t, setWith(t, k.Signer.Key()), k)
	if _, err := r.Key(t.Context(), k.Signer.KeyID(), true, HS256); err != nil {
		t.Fatal(err)
	}
	for _, minute := range []int{5, 6, 1000000} {
		at(minute)
		if got, err := r.Key(t.Context(), k.Signer.KeyID(), true, HS256); got != nil || !errors.Is(err, ErrNoKey) {
			t.Errorf("minute %d: %v, %v", minute, got, err)
		}
	}
}

func TestRingLooksAtNoKidThatTheTokenHasNot(t *testing.T) {
	secret, k := newSigner(t, HS256, "").Key(), ringKey(t, HS256, 0, 0)
	r, _ := ringAt(t, setWith(t, secret), k)
	for _, id := range []string{secret.Thumbprint(), k.Signer.KeyID()} {
		if got, err := r.Key(t.Context(), id, false, HS256); got != nil || !errors.Is(err, ErrNoKey) {
			t.Errorf("got %v, %v", got, err)
		}
	}
}

func TestNewRingRefuses(t *testing.T) {
	k, foreign := ringKey(t, EdDSA, 0, 0), RingKey{Signer: newSigner(t, EdDSA, "named")}
	inSet := *k.Signer.Key()
	inSet.ID = k.Signer.KeyID()
	for name, new := range map[string]func() (*Ring, error){
		"a key twice":              func() (*Ring, error) { return NewRing(time.Now, nil, k, k) },
		"a kid of its own":         func() (*Ring, error) { return NewRing(time.Now, nil, foreign) },
		"a kid beside that is its": func() (*Ring, error) { return NewRing(time.Now, setWith(t, &inSet), k) },
	} {
		if r, err := new(); r != nil || err == nil {
			t.Errorf("%s: %v, %v", name, r, err)
		}
	}
}
