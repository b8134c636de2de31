package keydir

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/passgate/passgate/internal/keyset"
	"github.com/passgate/passgate/internal/strict"
)

// keyFile is one private JWK with the times of its life.
type keyFile struct {
	members       strict.Object // as they were read
	Kid           string
	Iat, Nbf, Exp int64 // no Exp: not retired by any time

	signer *keyset.Signer
	path   string
	mode   fs.FileMode
}

func (f keyFile) text() ([]byte, error) {
	o := maps.Clone(f.members)
	if f.Exp != 0 {
		o["exp"] = strconv.AppendInt(nil, f.Exp, 10)
	}
	text, err := json.Marshal(o, json.Deterministic(true), jsontext.WithIndent("  "))
	return append(text, '\n'), err
}

func (f keyFile) ringKey() keyset.RingKey {
	k := keyset.RingKey{Signer: f.signer, Made: time.Unix(f.Iat, 0), Signs: time.Unix(f.Nbf, 0)}
	if f.Exp != 0 {
		k.Retired = time.Unix(f.Exp, 0)
	}
	return k
}

// compare puts the newest first, as a ring does.
func (f keyFile) compare(other keyFile) int {
	return cmp.Or(cmp.Compare(other.Nbf, f.Nbf), cmp.Compare(other.Iat, f.Iat), cmp.Compare(f.Kid, other.Kid))
}

// parseKeyFile reads the text of a key file, which has to have every member that it is written with, and no other:
// it is written again when the key is retired.
func parseKeyFile(text []byte) (keyFile, error) {
	o, err := strict.ParseObject(text)
	if err != nil {
		return keyFile{}, err
	}
	signer, err := keyset.ParseSigner(text)
	if err != nil {
		return keyFile{}, err
	}
	f := keyFile{members: o, Kid: signer.KeyID(), signer: signer}
	for name := range o {
		if !isMember[name] {
			return keyFile{}, fmt.Errorf("the member %.64q is none of a key file", name)
		}
	}
	switch {
	case o["alg"] == nil || o["use"] == nil || o["kid"] == nil:
		return keyFile{}, errors.New("alg, use or kid is missing")
	case f.Kid != signer.Key().Thumbprint():
		return keyFile{}, errors.New("kid is not the key's thumbprint (RFC 7638)")
	}
	if f.Iat, err = seconds(o, "iat"); err != nil {
		return keyFile{}, err
	}
	if f.Nbf, err = seconds(o, "nbf"); err != nil {
		return keyFile{}, err
	}
	if _, ok := o["exp"]; ok {
		if f.Exp, err = seconds(o, "exp"); err != nil {
			return keyFile{}, err
		}
	}
	return f, nil
}

var isMember = map[string]bool{
	"kty": true, "crv": true, "x": true, "y": true, "d": true, "k": true, "alg": true, "use": true, "kid": true, "iat": true, "nbf": true, "exp": true,
}

// seconds reads a time. It has digits alone, as it is written.
func seconds(o strict.Object, name string) (int64, error) {
	const latest = 253402300799 // the last second of the year 9999
	n, err := strconv.ParseInt(string(o[name]), 10, 64)
	if err != nil || n < 1 || n > latest {
		return 0, fmt.Errorf("%s has to be a whole number of seconds since 1970", name)
	}
	return n, nil
}
