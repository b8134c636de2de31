package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/passgate/passgate/internal/keydir"
	"github.com/passgate/passgate/internal/keyset"
	"github.com/passgate/passgate/internal/yamlstrict"
)

// judgeKeyDirectory returns the keys of keys.dir, nil where the file names none.
func (l *loader) judgeKeyDirectory() *Keys {
	if !l.doc.Has("keys") {
		return nil
	}
	in := l.file.Keys
	k := &Keys{Dir: l.path(in.Dir), Issuer: in.Issuer}
	if k.Issuer == "" {
		k.Issuer = l.file.Accounts.Issuer
	}
	isIssuer := func(i issuer) bool { return i.Name == k.Issuer }
	switch {
	case k.Issuer == "":
		l.doc.Fault("keys.issuer", "is missing, and there are no accounts; name the issuer that the keys are of")
	case l.doc.Has("keys.issuer") && !slices.ContainsFunc(l.file.Issuers, isIssuer):
		l.doc.Fault("keys.issuer", "no issuer has this name")
	}
	if !l.doc.Has("keys.dir") {
		return k
	}
	l.remember(k.Dir, digestOf(k.Dir)) // before it is read: what changes in between is seen as a change
	dir, err := keydir.Load(k.Dir)
	var at *keydir.FileError
	switch {
	case errors.As(err, &at) && at.File == k.Dir:
		l.doc.Fault("keys.dir", "%s: %s", at.File, at.Text)
		return k
	case errors.As(err, &at):
		l.others = append(l.others, &yamlstrict.Fault{File: at.File, Text: at.Text, Err: err})
		return k
	case err != nil:
		l.doc.Fault("keys.dir", "%v", err)
		return k
	}
	k.Ring, k.Seal = dir.Keys, dir.Seal
	const writable = 0o022
	_, mounted := os.Lstat(filepath.Join(k.Dir, "..data")) // by Kubernetes: nobody else is there
	if info, err := os.Stat(k.Dir); err == nil && info.Mode()&writable != 0 && mounted != nil {
		l.doc.Warn("keys.dir", "others may write to the directory, and so sign tokens with a key of their own: chmod 700")
	}
	for _, file := range dir.Exposed {
		if isMountedSecret(file) {
			continue
		}
		l.doc.Warn("keys.dir", "other users of this machine may read %s, and so sign tokens: chmod 600", file)
	}
	return k
}

// judgeRing sees to it that an issuer takes what the keys of the directory sign.
func (l *loader) judgeRing(at string, in *issuer, ring []keyset.RingKey) {
	for _, k := range ring {
		l.judgeTaken(at, in, k.Signer.Key(), fmt.Sprintf("the key %q in keys.dir is for; add it", k.Signer.KeyID()))
	}
}

// judgeTaken adds a fault where an issuer with a directory does not take what a key signs; which says whose it is.
func (l *loader) judgeTaken(at string, in *issuer, key *keyset.Key, which string) {
	if l.doc.Sound(at+".algorithms") && !slices.Contains(in.Algorithms, string(key.Algorithm)) {
		l.doc.Fault(at+".algorithms", "lacks %s, which %s", key.Algorithm, which)
	}
}

// judgePassport returns what passports are signed with, nil where nothing is.
func (l *loader) judgePassport() *PassportKeys {
	const field = "passport.signing_key_file"
	if !l.doc.Has("passport") || !l.doc.Has(field) {
		return nil
	}
	source := keySource{field: "signing_key_file", value: l.file.Passport.SigningKeyFile, isFile: true}
	material, ok := l.material(field, source)
	if !ok {
		return nil
	}
	signer, also, err := keyset.ParseSigningKeys(material)
	if err != nil {
		l.doc.Fault(field, "%v", err)
		return nil
	}
	keys := &PassportKeys{Signer: signer, Also: also}
	for i, key := range keys.All() {
		if key.Algorithm != keyset.EdDSA {
			l.doc.Fault(field, "its key %d is for %s; passports are signed with Ed25519 (EdDSA), as passgate keys new --out makes them", i+1, key.Algorithm)
			return nil
		}
	}
	l.weighSecret(field, keySource{isFile: true, value: source.value, secret: true}, material)
	return keys
}
