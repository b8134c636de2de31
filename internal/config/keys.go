package config

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/passgate/passgate/internal/keyset"
)

const (
	maxKeyFile = 1 << 20 // bytes
	minSecret  = 32      // bytes of an HS256 key (RFC 7518 §3.2)
)

// keySource is one of the fields that an issuer's keys can come from.
type keySource struct {
	field  string
	value  string
	isFile bool
	secret bool // the value, or the file, is an HMAC key
}

func keySources(in *issuer) []keySource {
	return []keySource{
		{field: "secret", value: string(in.Secret), secret: true},
		{field: "secret_file", value: in.SecretFile, isFile: true, secret: true},
		{field: "public_key", value: in.PublicKey},
		{field: "public_key_file", value: in.PublicKeyFile, isFile: true},
		{field: "jwks_file", value: in.JWKSFile, isFile: true},
	}
}

// judgeKeys returns the keys of the issuer whose path is at, and the first that can sign, if there is one.
func (l *loader) judgeKeys(at string, in *issuer) (*keyset.Set, *keyset.Key) {
	source, ok := l.keySource(at, in)
	if !ok {
		return &keyset.Set{}, nil
	}
	// The configuration keeps what was in the file, to show it, but no secret: a printed struct shows its
	// unexported fields without asking their methods.
	defer func() {
		if in.Secret != "" {
			in.Secret = redacted
		}
	}()
	field := at + "." + source.field
	material, ok := l.material(field, source)
	if !ok {
		return nil, nil
	}
	keys, ok := l.parseKeys(field, source, material)
	if !ok {
		return nil, nil
	}
	if in.KeyID != "" {
		l.nameKey(at, source, keys, in.KeyID)
	}
	l.judgeAlgorithms(at, field, in, keys)
	set, err := keyset.NewSet(keys...)
	if err != nil {
		l.doc.Fault(field, "%v", err)
	}
	for _, key := range keys {
		if key.Algorithm == keyset.HS256 {
			return set, key
		}
	}
	return set, nil
}

// keySource returns the one source that an issuer has. It is false without one, which is a fault except in
// an embedded configuration.
func (l *loader) keySource(at string, in *issuer) (keySource, bool) {
	var given []keySource
	for _, s := range keySources(in) {
		if l.doc.Has(at + "." + s.field) {
			given = append(given, s)
		}
	}
	if len(given) == 0 {
		if !l.embedded {
			l.doc.Fault(at, "has no key; want one of secret, secret_file, public_key, public_key_file or jwks_file")
		}
		return keySource{}, false
	}
	for _, extra := range given[1:] {
		l.doc.Fault(at+"."+extra.field, "stands beside %s; an issuer has one source of keys: take one of them out", given[0].field)
	}
	return given[0], given[0].value != ""
}

// material returns the bytes of a key source: its value, or what is in its file.
func (l *loader) material(field string, s keySource) ([]byte, bool) {
	if !s.isFile {
		return []byte(s.value), true
	}
	data, err := readFile(l.path(s.value), maxKeyFile)
	if err != nil {
		// The name is not shown: someone may have put the secret itself there.
		l.doc.Fault(field, "cannot read the file: %s; a relative name counts from the folder %s", cause(err), l.dir)
		return nil, false
	}
	if s.secret {
		data = withoutFinalNewline(data)
	}
	return data, true
}

// withoutFinalNewline takes off what an editor or echo has put at the end, and no more.
func withoutFinalNewline(data []byte) []byte {
	if rest, found := bytes.CutSuffix(data, []byte("\n")); found {
		return bytes.TrimSuffix(rest, []byte("\r"))
	}
	return data
}

func (l *loader) parseKeys(field string, s keySource, material []byte) ([]*keyset.Key, bool) {
	switch {
	case s.secret && keyset.LooksPublic(material):
		l.doc.Fault(field, "is a PEM or JWK and not a secret; use public_key, public_key_file or jwks_file")
		return nil, false
	case s.secret && len(material) < minSecret:
		l.doc.Fault(field, "is shorter than %d bytes, the least for HS256 (RFC 7518 §3.2); write a random one", minSecret)
		return nil, false
	case s.secret:
		return []*keyset.Key{keyset.Secret(material)}, true
	}
	keys, err := keyset.Parse(material)
	switch {
	case err != nil:
		l.doc.Fault(field, "%v", err)
	case len(keys) == 0:
		l.doc.Fault(field, "holds no key")
	case len(keys) > 1 && s.field != "jwks_file":
		l.doc.Fault(field, "holds %d keys; want one, or a JWKS in jwks_file", len(keys))
	case keys[0].Algorithm == keyset.HS256 && s.field != "jwks_file":
		l.doc.Fault(field, "holds a symmetric key, which is a secret; use secret, secret_file or jwks_file")
	default:
		return keys, true
	}
	return nil, false
}

// nameKey gives the issuer's key its kid.
func (l *loader) nameKey(at string, s keySource, keys []*keyset.Key, kid string) {
	switch {
	case s.field == "jwks_file":
		l.doc.Fault(at+".kid", "stands beside jwks_file, whose keys have their own; take it out")
	case keys[0].ID != "" && keys[0].ID != kid:
		l.doc.Fault(at+".kid", "differs from the kid in the key itself; take one of them out")
	default:
		keys[0].ID = kid
	}
}

// judgeAlgorithms sees to it that the algorithms of an issuer are those of its keys.
func (l *loader) judgeAlgorithms(at, field string, in *issuer, keys []*keyset.Key) {
	if !l.doc.Sound(at + ".algorithms") {
		return
	}
	for i, algorithm := range in.Algorithms {
		if !slices.ContainsFunc(keys, func(k *keyset.Key) bool { return string(k.Algorithm) == algorithm }) {
			l.doc.Fault(fmt.Sprintf("%s.algorithms[%d]", at, i), "no key of this issuer is for %s; take it out, or add the key", algorithm)
		}
	}
	for i, key := range keys {
		if !slices.Contains(in.Algorithms, string(key.Algorithm)) {
			l.doc.Fault(field, "its key %d%s is for %s, which algorithms does not list; add it there, or take the key out", i+1, named(key.ID), key.Algorithm)
		}
	}
}

func named(kid string) string {
	if kid == "" {
		return ""
	}
	return fmt.Sprintf(" (kid %q)", kid)
}
