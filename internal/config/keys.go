package config

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

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
	remote bool // the value is a URL
}

func keySources(in *issuer) []keySource {
	return []keySource{
		{field: "secret", value: string(in.Secret), secret: true},
		{field: "secret_file", value: in.SecretFile, isFile: true, secret: true},
		{field: "public_key", value: in.PublicKey},
		{field: "public_key_file", value: in.PublicKeyFile, isFile: true},
		{field: "jwks_file", value: in.JWKSFile, isFile: true},
		{field: "jwks_url", value: in.JWKSURL, remote: true},
		{field: "discovery_url", value: in.DiscoveryURL, remote: true},
	}
}

// judgeKeys gives the issuer whose path is at its keys. Those in dir may be its own, too.
func (l *loader) judgeKeys(at string, in *issuer, out *Issuer, dir *Keys) {
	hasRing := dir != nil && dir.Issuer == in.Name
	if hasRing {
		l.judgeRing(at, in, dir.Ring)
	}
	out.Keys = &keyset.Set{}
	source, ok := l.keySource(at, in, hasRing)
	if !ok {
		return
	}
	field := at + "." + source.field
	if source.remote && hasRing {
		l.doc.Fault(field, "stands beside keys.dir, whose keys are this issuer's, too; keys that are fetched cannot: take one of them out")
	}
	if source.remote {
		out.Remote = l.judgeRemote(at, field, in, source)
		return
	}
	for _, name := range []string{".jwks_refresh", ".jwks_max_age"} {
		if l.doc.Has(at + name) {
			l.doc.Fault(at+name, "is for keys that are fetched, with jwks_url or discovery_url; take it out")
		}
	}
	material, ok := l.material(field, source)
	if !ok {
		return
	}
	keys, ok := l.parseKeys(field, source, material)
	if !ok {
		return
	}
	if in.KeyID != "" {
		l.nameKey(at, source, keys, in.KeyID)
	}
	if !hasRing {
		l.judgeAlgorithms(at, field, in, keys)
	} else {
		for _, key := range keys {
			l.judgeTaken(at, in, key, source.field+" is for; add it, or take the key out")
		}
	}
	set, err := keyset.NewSet(keys...)
	if err != nil {
		l.doc.Fault(field, "%v; give each key one of its own", err)
		return
	}
	if hasRing {
		if _, err := keyset.NewRing(time.Now, set, dir.Ring...); err != nil {
			l.doc.Fault(field, "%v, one of them in keys.dir; take it out here", err)
			return
		}
	}
	out.Keys = set
	for _, key := range keys {
		if key.Algorithm == keyset.HS256 {
			out.MintKey = key
			return
		}
	}
}

// keySource returns the one source that an issuer has. It is false without one, which is a fault except in
// an embedded configuration and where it has others.
func (l *loader) keySource(at string, in *issuer, others bool) (keySource, bool) {
	var given []keySource
	for _, s := range keySources(in) {
		if l.doc.Has(at + "." + s.field) {
			given = append(given, s)
		}
	}
	if len(given) == 0 {
		if !l.embedded && !others {
			l.noKey(at, in)
		}
		return keySource{}, false
	}
	for _, extra := range given[1:] {
		l.doc.Fault(at+"."+extra.field, "stands beside %s; an issuer has one source of keys: take one of them out", given[0].field)
	}
	return given[0], given[0].value != ""
}

// noKey adds the fault of an issuer without a key. Where one was left empty, that is the place to mend.
func (l *loader) noKey(at string, in *issuer) {
	for _, s := range keySources(in) {
		if field := at + "." + s.field; l.doc.LeftEmpty(field) {
			l.doc.Fault(field, "is empty, and the issuer has no other key; give it a value")
			return
		}
	}
	l.doc.Fault(at, "has no key; want one of secret, secret_file, public_key, public_key_file, jwks_file, jwks_url or discovery_url, or keys.dir")
}

// material returns the bytes of a key source: its value, or what is in its file.
func (l *loader) material(field string, s keySource) ([]byte, bool) {
	if isBareVariable(s.value) && !l.doc.FromEnvironment(field) {
		l.doc.Fault(field, sayBraces)
		return nil, false
	}
	if !s.isFile {
		return []byte(s.value), true
	}
	data, err := l.read(l.path(s.value), maxKeyFile)
	switch {
	case err != nil && strings.Contains(s.value, "://"):
		l.doc.Fault(field, "names a file, and not a URL; write jwks_url for keys that are to be fetched")
		return nil, false
	case err != nil:
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
		l.doc.Fault(field, "%s, and not a secret; give public keys in public_key, public_key_file or jwks_file", form(material))
		return nil, false
	case s.secret && len(material) < minSecret:
		l.doc.Fault(field, "is shorter than %d bytes, the least for HS256 (RFC 7518 §3.2); write a random one", minSecret)
		return nil, false
	case s.secret:
		l.weighSecret(field, s, material)
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

// weighSecret warns of a secret that is valid and easily had.
func (l *loader) weighSecret(field string, s keySource, secret []byte) {
	const fewBytes = 8 // different ones; 32 random letters of any alphabet have more
	different := map[byte]bool{}
	for _, c := range secret {
		different[c] = true
	}
	if len(different) < fewBytes {
		l.doc.Warn(field, "is made of fewer than %d different characters, so it can be guessed; generate a random one, for example: head -c 32 /dev/urandom | base64", fewBytes)
	}
	if !s.isFile {
		if !l.doc.FromEnvironment(field) {
			l.doc.Warn(field, "whoever reads this file can sign tokens; write ${NAME} for a variable of the environment, or secret_file")
		}
		return
	}
	const writable, readable = 0o022, 0o004
	info, err := os.Stat(l.path(s.value))
	switch {
	case err != nil: // it was there a moment ago
	case info.Mode()&writable != 0:
		l.doc.Warn(field, "others may write the file, and so choose whose tokens are taken: chmod 600")
	case info.Mode()&readable != 0 && !isMountedSecret(l.path(s.value)):
		l.doc.Warn(field, "every user of this machine may read the file, and so sign tokens: chmod 600")
	}
}

// isMountedSecret reports whether a file is where Kubernetes or Docker put the secrets of a container: readable
// by all by default, and nobody else is there.
func isMountedSecret(path string) bool {
	target, err := os.Readlink(path)
	return err == nil && strings.HasPrefix(target, "..data/") || strings.HasPrefix(path, "/run/secrets/")
}

// form says what material is that [keyset.LooksPublic] refuses as a secret.
func form(material []byte) string {
	switch {
	case bytes.Contains(material, []byte("-----BEGIN CERTIFICATE")):
		return "is a certificate"
	case bytes.Contains(material, []byte("PRIVATE KEY-----")):
		return "is a private key"
	case bytes.Contains(material, []byte("-----BEGIN ")):
		return "is a key in PEM"
	case bytes.HasPrefix(bytes.TrimSpace(material), []byte("{")), bytes.Contains(material, []byte(`kty`)):
		return "is a JWK, a JWKS or other JSON"
	}
	return "is a public key or certificate, perhaps in another encoding"
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
	if own := string(keys[0].Algorithm); len(keys) == 1 && !slices.Equal(in.Algorithms, []string{own}) {
		// One line for both sides of it: what is listed without a key, and the key that is not listed.
		orElse := "a key for " + strings.Join(in.Algorithms, " and ")
		if slices.Contains(in.Algorithms, own) {
			orElse = "the keys for all in jwks_file"
		}
		l.doc.Fault(at+".algorithms", "the issuer's %s is for %s alone; write [%s], or give %s", strings.TrimPrefix(field, at+"."), own, own, orElse)
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
