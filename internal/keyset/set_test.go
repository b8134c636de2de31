package keyset

import (
	"errors"
	"testing"
)

func TestSetSelectsTheKey(t *testing.T) {
	key := func(a Algorithm, id string) *Key { return &Key{ID: id, Algorithm: a} }
	const absent = "\x00" // stands for a token without kid
	tests := []struct {
		name string
		keys []*Key
		id   string
		alg  Algorithm
		want int // index in keys, or none
	}{
		{"the ID selects", []*Key{key(RS256, "a"), key(RS256, "b")}, "b", RS256, 1},
		{"no kid, the only key of its algorithm", []*Key{key(RS256, "a"), key(ES256, "b")}, absent, ES256, 1},
		{"no kid, the only key, without ID", []*Key{key(HS256, "")}, absent, HS256, 0},
		{"any kid, the only key, without ID", []*Key{key(HS256, "")}, "x", HS256, 0},
		{"empty kid, the only key, without ID", []*Key{key(HS256, "")}, "", HS256, 0},
		{"the ID selects beside a key without ID", []*Key{key(HS256, "a"), key(HS256, "")}, "a", HS256, 0},
		{"one key without ID for each of two algorithms", []*Key{key(HS256, ""), key(RS256, "")}, "x", RS256, 1},

		{"empty set", nil, absent, HS256, none},
		{"unknown ID", []*Key{key(RS256, "a")}, "b", RS256, none},
		{"ID in other case", []*Key{key(RS256, "a")}, "A", RS256, none},
		{"ID with a blank", []*Key{key(RS256, "a")}, "a ", RS256, none},
		{"ID in another Unicode form", []*Key{key(RS256, "\u00e9")}, "e\u0301", RS256, none},
		{"empty kid is not an absent one", []*Key{key(RS256, "a")}, "", RS256, none},
		{"ID of a key of another algorithm", []*Key{key(RS256, "a"), key(HS256, "b")}, "a", HS256, none},
		{"ID of a key of another algorithm, beside a key without ID", []*Key{key(RS256, "a"), key(HS256, "")}, "a", HS256, none},
		{"no kid, two keys of the algorithm", []*Key{key(RS256, "a"), key(RS256, "b")}, absent, RS256, none},
		{"no kid, two keys, one without ID", []*Key{key(RS256, "a"), key(RS256, "")}, absent, RS256, none},
		{"unknown ID, two keys, one without ID", []*Key{key(RS256, "a"), key(RS256, "")}, "b", RS256, none},
		{"two keys without ID", []*Key{key(RS256, ""), key(RS256, "")}, absent, RS256, none},
		{"no key of the algorithm", []*Key{key(RS256, "a")}, absent, ES256, none},
		{"the algorithm none", []*Key{key(RS256, "a"), key(HS256, "")}, absent, "none", none},
		{"no algorithm", []*Key{key(RS256, "a"), key(HS256, "")}, "a", "", none},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, err := NewSet(test.keys...)
			if err != nil {
				t.Fatal(err)
			}
			id, hasID := test.id, true
			if id == absent {
				id, hasID = "", false
			}
			got, err := s.Key(t.Context(), id, hasID, test.alg)
			if test.want == none {
				if !errors.Is(err, ErrNoKey) || got != nil {
					t.Errorf("got %v, %v", got, err)
				}
				return
			}
			if err != nil || got != test.keys[test.want] {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

const none = -1

func TestSetSaysWhyItHasNoKey(t *testing.T) {
	s, err := NewSet(&Key{ID: "a", Algorithm: RS256}, &Key{ID: "b", Algorithm: RS256})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		id    string
		hasID bool
		alg   Algorithm
		want  string
	}{
		{"a", true, ES256, `kid "a" is a key for RS256, not "ES256"`},
		{"c", true, RS256, `kid "c", for "RS256"`},
		{"", true, RS256, `kid "", for "RS256"`},
		{"", false, RS256, `the token has no kid, and there are 2 keys for "RS256"`},
		{"", false, ES256, `no key for "ES256"`},
		{"a", false, ES256, `no key for "ES256"`}, // an ID that the token has not is not looked at
	} {
		if _, err := s.Key(t.Context(), test.id, test.hasID, test.alg); err == nil || err.Error() != ErrNoKey.Error()+": "+test.want {
			t.Errorf("kid %q (%v) for %s: %v", test.id, test.hasID, test.alg, err)
		}
	}
}

func TestSetRefusesOneIDTwice(t *testing.T) {
	for _, other := range []Algorithm{RS256, ES256} {
		if _, err := NewSet(&Key{ID: "a", Algorithm: RS256}, &Key{ID: "a", Algorithm: other}); err == nil {
			t.Errorf("two keys with one ID, for RS256 and %s, were accepted", other)
		}
	}
}
