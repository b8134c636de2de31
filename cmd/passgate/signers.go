package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/passgate/passgate/internal/config"
	"github.com/passgate/passgate/internal/keyset"
)

// signers are keys of an issuer that follow each other.
type signers interface {
	Signer() (*keyset.Signer, error)               // of what is begun now
	SignerOf(keyID string) (*keyset.Signer, error) // of what was begun with that key
}

// signersOf returns what signs the tokens of an issuer: the keys of the directory, where it is theirs, else its secret.
func signersOf(cfg *config.Config, issuer config.Issuer, ring *keyset.Ring, now func() time.Time) (signers, error) {
	var secret *keyset.Signer
	if issuer.MintKey != nil {
		var err error
		if secret, err = issuer.MintKey.Signer(); err != nil {
			return nil, err
		}
	}
	switch {
	case cfg.Keys != nil && cfg.Keys.Issuer == issuer.Name:
		r := ringSigners{Ring: ring, before: secret, now: now}
		for i, k := range cfg.Keys.Ring {
			if i == 0 || k.Signs.Before(r.until) {
				r.until = k.Signs
			}
		}
		return r, nil
	case secret == nil:
		return nil, fmt.Errorf("%s: the issuer %s has no key to sign with", cfg.File, issuer.Name)
	}
	return soleSigner{secret}, nil
}

// ringSigners are the keys of a directory, and what signs until the first of them does: the secret that they follow.
type ringSigners struct {
	*keyset.Ring
	before *keyset.Signer // nil: nothing does
	until  time.Time
	now    func() time.Time
}

// Signer implements [signers].
func (r ringSigners) Signer() (*keyset.Signer, error) {
	if r.before != nil && r.now().Before(r.until) {
		return r.before, nil
	}
	return r.Ring.Signer()
}

// SignerOf implements [signers].
func (r ringSigners) SignerOf(keyID string) (*keyset.Signer, error) {
	if r.before != nil && r.before.KeyID() == keyID {
		return r.before, nil
	}
	return r.Ring.SignerOf(keyID)
}

// soleSigner is a key that none follows.
type soleSigner struct{ sole *keyset.Signer }

// Signer implements [signers].
func (s soleSigner) Signer() (*keyset.Signer, error) { return s.sole, nil }

// SignerOf implements [signers].
func (s soleSigner) SignerOf(keyID string) (*keyset.Signer, error) {
	if keyID != s.sole.KeyID() {
		return nil, errors.New("the key that the token was to be signed with is gone")
	}
	return s.sole, nil
}
