package idempotency

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"golang.org/x/crypto/chacha20poly1305"
)

// What a sealed value is. One cannot stand in the place of the other.
const (
	sealedPlan   = "plan"
	sealedAnswer = "answer"
)

var errSeal = errors.New("what is stored under the key was not sealed for it")

// sealer names and seals what the store keeps.
type sealer struct {
	names []byte      // keys the digests
	aead  cipher.AEAD // nonces of 24 bytes are drawn at random without fear of a repeat
}

func newSealer(secret []byte) (*sealer, error) {
	if len(secret) < sha256.Size {
		return nil, fmt.Errorf("idempotency: a secret of %d bytes; want %d or more", len(secret), sha256.Size)
	}
	names, err := hkdf.Key(sha256.New, secret, nil, "passgate idempotency v1: names", sha256.Size)
	if err != nil {
		return nil, err
	}
	seals, err := hkdf.Key(sha256.New, secret, nil, "passgate idempotency v1: seals", chacha20poly1305.KeySize)
	if err != nil {
		return nil, err
	}
	aead, err := chacha20poly1305.NewX(seals)
	return &sealer{names, aead}, err
}

// entry is the place of one use in the store.
type entry struct {
	name   string
	digest []byte // of the body
	aead   cipher.AEAD
}

// entry returns the place of a use. Its name hangs on route and key, its digest on the body as well.
func (s *sealer) entry(u Use) entry {
	name := s.digest("name", []byte(u.Route), []byte(u.Key))
	return entry{name: hex.EncodeToString(name), digest: s.digest("body", name, u.Body), aead: s.aead}
}

// digest returns a keyed digest of parts. The length of each stands before it, so that no two lists are alike.
func (s *sealer) digest(kind string, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, s.names)
	h.Write([]byte(kind))
	for _, part := range parts {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		h.Write(part)
	}
	return h.Sum(nil)
}

// bound is what a sealed value is good for: this entry and body, this kind.
func (e *entry) bound(kind string) []byte {
	return append([]byte(kind+" "+e.name+" "), e.digest...)
}

// reused returns what is to be said of a use whose key is held by a use with another body: that it is a misuse, if
// there was such a use, and the store did not make it up.
func (e *entry) reused(held Entry) error {
	other := entry{name: e.name, digest: held.Digest, aead: e.aead}
	if _, err := other.open(sealedPlan, held.Plan); err != nil {
		return err
	}
	return ErrReused
}

func (e *entry) seal(kind string, plain []byte) []byte {
	nonce := make([]byte, e.aead.NonceSize(), e.aead.NonceSize()+len(plain)+e.aead.Overhead())
	rand.Read(nonce) // never fails: see its documentation
	return e.aead.Seal(nonce, nonce, plain, e.bound(kind))
}

func (e *entry) open(kind string, sealed []byte) ([]byte, error) {
	n := e.aead.NonceSize()
	if len(sealed) < n {
		return nil, fmt.Errorf("open the %s: %w", kind, errSeal)
	}
	plain, err := e.aead.Open(nil, sealed[:n], sealed[n:], e.bound(kind))
	if err != nil {
		return nil, fmt.Errorf("open the %s: %w", kind, errSeal)
	}
	return plain, nil
}

func (e *entry) sealAnswer(a Answer) []byte {
	plain, err := json.Marshal(a)
	if err != nil {
		panic(fmt.Sprintf("idempotency: an answer cannot be written: %v", err)) // an int, a string and bytes
	}
	return e.seal(sealedAnswer, plain)
}

func (e *entry) openAnswer(sealed []byte) (Answer, error) {
	plain, err := e.open(sealedAnswer, sealed)
	if err != nil {
		return Answer{}, err
	}
	var a Answer
	if err := json.Unmarshal(plain, &a); err != nil {
		return Answer{}, fmt.Errorf("read the answer: %w", err)
	}
	return a, nil
}
