package config

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/passgate/passgate/internal/account"
	"github.com/passgate/passgate/internal/keyset"
)

// Bounds of the settings of accounts.
const (
	maxTokenTTL   = 366 * 24 * time.Hour
	usualCost     = 10 // of bcrypt
	minCost       = 10 // less is guessed too fast
	maxCost       = 14 // a second and more for each password
	maxQueue      = 10_000
	minPassword   = 8  // characters (NIST SP 800-63B §3.1.1.2)
	maxMinimum    = 64 // a longer least length would refuse what has to be allowed
	minKeptAnswer = time.Minute
	maxKeptAnswer = 5 * time.Minute
	minTokenLimit = Size(8 << 10) // the largest token of an account has some 7 KiB
)

// judgeAccounts returns the settings of accounts, nil where the file has none.
func (l *loader) judgeAccounts(issuers []Issuer, dir *Keys) *Accounts {
	if !l.doc.Has("accounts") {
		l.file.Accounts = accounts{} // not shown, as it is of no effect
		l.file.Idempotency = l.unusedIdempotency()
		return nil
	}
	in := l.file.Accounts
	if in == (accounts{}) { // no mapping, which is a fault already
		return nil
	}
	file, isFile := strings.CutPrefix(in.Database, "sqlite:")
	if !isFile || file == "" || strings.ContainsAny(file, "?#\x00") || strings.HasPrefix(file, ":") {
		l.doc.Fault("accounts.database", "want sqlite:FILE, such as sqlite:passgate.db")
	}
	if t := in.TokenTTL; t < time.Minute || t > maxTokenTTL || t%time.Second != 0 {
		l.doc.Fault("accounts.token_ttl", "want a duration of whole seconds from 1m to %v", maxTokenTTL)
	}
	l.within("accounts.bcrypt_cost", in.BcryptCost, minCost, maxCost)
	l.within("accounts.hash_queue", in.HashQueue, 1, maxQueue)
	l.within("accounts.password.min_length", in.Password.MinLength, minPassword, maxMinimum)
	for _, field := range []struct{ name, value string }{
		{"accounts.default_role", in.DefaultRole}, {"accounts.default_subscription", in.DefaultSubscription},
	} {
		if !account.IsWord(field.value) {
			l.doc.Fault(field.name, "want a word of ASCII, without a comma or a blank")
		}
	}
	if l.file.Limits.Token < minTokenLimit && l.doc.Sound("limits.token") {
		l.doc.Fault("limits.token", "tokens of accounts may be longer; want %v or more", minTokenLimit)
	}
	if t := l.file.Idempotency.TTL; t < minKeptAnswer || t > maxKeptAnswer {
		l.doc.Fault("idempotency.ttl", "want a duration from %v to %v", minKeptAnswer, maxKeptAnswer)
	}
	return &Accounts{
		Issuer: l.accountIssuer(issuers, dir), Database: "sqlite:" + l.path(file), TokenTTL: in.TokenTTL, BcryptCost: in.BcryptCost,
		HashQueue: in.HashQueue, DefaultRole: in.DefaultRole, DefaultSubscription: in.DefaultSubscription, Password: in.Password,
	}
}

// unusedIdempotency returns what is shown of idempotency where nothing uses it: what the file says.
func (l *loader) unusedIdempotency() Idempotency {
	if l.doc.Has("idempotency") {
		return l.file.Idempotency
	}
	return Idempotency{}
}

// accountIssuer returns the issuer whose tokens are given out. It has to be one that accounts can sign for, and
// that reads its tokens as they are written.
func (l *loader) accountIssuer(issuers []Issuer, dir *Keys) Issuer {
	var names []string
	for _, issuer := range issuers {
		names = append(names, issuer.Name)
	}
	i := slices.Index(names, l.file.Accounts.Issuer)
	if i < 0 {
		if l.doc.Sound("accounts.issuer") {
			l.doc.Fault("accounts.issuer", "no issuer has this name; want %s", oneOf(names))
		}
		return Issuer{}
	}
	ring := dir != nil && dir.Issuer == issuers[i].Name
	switch issuer := issuers[i]; {
	case issuer.MintKey == nil && !ring && !l.embedded && l.doc.Sound("issuers"):
		l.doc.Fault("accounts.issuer", "nothing here signs tokens for this issuer; give it secret or secret_file, write keys: {dir: …}, or name another")
	case issuer.MintKey != nil && !ring && !takesItsOwn(issuer):
		l.doc.Fault("accounts.issuer", "the issuer has several HS256 keys, and the first has no kid, so its tokens could not be told apart; give each key one")
	case issuer.Claims != usualClaims:
		l.doc.Fault("accounts.issuer", "the issuer's claims have other names than those in the tokens of accounts; take out its claims")
	}
	return issuers[i]
}

// takesItsOwn reports whether an issuer finds the key of the tokens that are signed for it.
func takesItsOwn(i Issuer) bool {
	signer, err := i.MintKey.Signer()
	if err != nil {
		return false
	}
	key, err := i.Keys.Key(context.Background(), signer.KeyID(), true, keyset.HS256)
	return err == nil && key == i.MintKey
}

// within adds a fault if a number is out of bounds.
func (l *loader) within(field string, n, least, most int) {
	if n < least || n > most {
		l.doc.Fault(field, "want a number from %d to %d", least, most)
	}
}

// judgeRedis returns the URL of Redis. Nothing of it is shown: it may hold a password.
func (l *loader) judgeRedis() Secret {
	field, url := "redis", string(l.file.Redis)
	if l.doc.Has("redis_file") {
		field = "redis_file"
		if l.doc.Has("redis") {
			l.doc.Fault(field, "stands beside redis; take one of them out")
			return ""
		}
		text, ok := l.material(field, keySource{field: field, value: l.file.RedisFile, isFile: true, secret: true})
		if !ok {
			return ""
		}
		url = string(text)
	}
	if url == "" && !l.doc.Has(field) {
		return ""
	}
	if !slices.ContainsFunc([]string{"redis://", "rediss://", "unix://"}, func(scheme string) bool { return strings.HasPrefix(url, scheme) }) {
		l.doc.Fault(field, "want a URL such as redis://127.0.0.1:6379/0, rediss://… for TLS, or unix:///path")
	}
	return Secret(url)
}

// KeysPath is where public keys are shown (RFC 8615).
const KeysPath = "/.well-known/jwks.json"

// ownPaths returns the paths that passgate serves itself.
func (c *Config) ownPaths() []string {
	var paths []string
	if c.Accounts != nil {
		paths = account.Paths()
	}
	if c.ServesKeys() {
		paths = append(slices.Clip(paths), KeysPath)
	}
	return paths
}
