package keyset

import (
	"errors"
	"fmt"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/passgate/passgate/internal/strict"
)

// maxRemoteKeys is how many keys of a fetched set are looked at: far more than an issuer rotates through.
const maxRemoteKeys = 100

// ParseRemote returns the usable keys of a JWKS (RFC 7517 §5) that was fetched over the network, in order. Unlike
// [Parse] it leaves out a key that it cannot use, and says why in dropped: its owner may publish keys that are meant
// for others. A kid that a usable key before has makes a key unusable, and so does the type oct: a secret that
// everyone can fetch is none. It is an error, and no key is returned, if the text is no strict JSON, no JWKS, or one
// of more than 100 keys. The reasons quote members that name a type or a use, 64 characters of each at most, and
// never key material.
func ParseRemote(material []byte) (keys []*Key, dropped []error, err error) {
	o, err := strict.ParseObject(material)
	if err != nil {
		return nil, nil, err
	}
	if _, isSet := o["keys"]; !isSet {
		return nil, nil, errors.New("not a JWKS: it has no keys")
	}
	values, err := jwks(o, maxRemoteKeys)
	if err != nil {
		return nil, nil, err
	}
	ids := make(map[string]bool)
	for i, v := range values {
		k, err := remoteKey(v)
		if err == nil && k.ID != "" && ids[k.ID] {
			err = fmt.Errorf("the kid %.64q is that of a key before", k.ID)
		}
		if err != nil {
			dropped = append(dropped, fmt.Errorf("keys[%d]: %w", i, err))
			continue
		}
		ids[k.ID] = true
		keys = append(keys, k)
	}
	return keys, dropped, nil
}

// remoteKey returns the key that a value in a JWKS is.
func remoteKey(v jsontext.Value) (*Key, error) {
	o, err := strict.ParseObject(v)
	if err != nil {
		return nil, err
	}
	if _, isSet := o["keys"]; isSet { // as Parse has it
		return nil, errors.New("both a JWK (kty) and a JWKS (keys)")
	}
	k, err := parseJWK(members{o})
	if err != nil {
		return nil, err
	}
	if k.Algorithm == HS256 {
		return nil, errors.New("kty is oct: a secret that everyone can fetch is none")
	}
	return k, nil
}
