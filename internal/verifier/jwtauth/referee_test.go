package jwtauth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/passgate/passgate/internal/authz"
	"github.com/passgate/passgate/internal/keyset"
)

// The referee is a second verifier, written from the contract alone: it shares no code with the first, and reads
// with the standard library and by hand. It judges for the fuzz targets.
type referee struct {
	issuers []refereeIssuer
}

type refereeIssuer struct {
	name, iss       string
	algorithms      []string
	keys            []refereeKey
	audiences       []string
	leeway, skew    int64
	prefix          string
	uid, roles      string // names of claims
	perms, scope    string
	foreignPrefixes []string // that no user id of this issuer may begin with
}

// refereeKey has one public half, and the private one, to sign with. All keys are the same in every run, so
// that what fuzzing finds in one process is found in the next.
type refereeKey struct {
	alg, kid string
	hmac     []byte
	rsa      *rsa.PrivateKey
	ec       *ecdsa.PrivateKey
	ed       ed25519.PrivateKey
}

// refereed is what the referee says of a token; the rest is set for a valid one.
type refereed struct {
	verdict                                string // valid, expired or invalid
	issuer, userID                         string
	roles, permissions                     []string
	email, subscription, country, platform string
}

var refereeRoles = map[string][]string{"admin": {"read", "write", "delete"}}

// theReferee has one issuer of each sort: without kid and prefix, of two algorithms, with a key that its list
// leaves out, and of two secrets with claims under other names.
var theReferee = sync.OnceValue(func() *referee {
	plain := refereeKey{alg: "HS256", hmac: []byte("the plain secret of a test, of no worth")}
	h1 := refereeKey{alg: "HS256", kid: "h1", hmac: []byte("the first secret of a test, of no worth")}
	h2 := refereeKey{alg: "HS256", kid: "h2", hmac: []byte("the second secret of a test, of no worth")}
	ed := refereeKey{alg: "EdDSA", kid: "d1", ed: ed25519.NewKeyFromSeed(bytes.Repeat([]byte("d"), 32))}
	scalar, _ := ecdsa.ParseRawPrivateKey(elliptic.P256(), bytes.Repeat([]byte("e"), 32))
	ec := refereeKey{alg: "ES256", kid: "e1", ec: scalar}
	rs := refereeKey{alg: "RS256", kid: "r1", rsa: fixedRSA()}
	return &referee{[]refereeIssuer{
		{name: "accounts", iss: accountsISS, algorithms: []string{"HS256"}, keys: []refereeKey{plain}, skew: 60, uid: "sub", roles: "roles", perms: "permissions", scope: "scope",
			foreignPrefixes: []string{"partner:", "device:", "roles:"}},
		{name: "partner", iss: partnerISS, algorithms: []string{"RS256", "ES256"}, keys: []refereeKey{rs, ec}, skew: 60, audiences: []string{"api", "web"},
			prefix: "partner:", uid: "sub", roles: "roles", perms: "permissions", scope: "scope"},
		{name: "devices", iss: devicesISS, algorithms: []string{"EdDSA"}, keys: []refereeKey{ed, rs}, leeway: 30,
			prefix: "device:", uid: "sub", roles: "roles", perms: "permissions", scope: "scope"},
		{name: "roles", iss: rolesISS, algorithms: []string{"HS256"}, keys: []refereeKey{h1, h2},
			prefix: "roles:", uid: "uid", roles: "groups", perms: "perms", scope: "scp"},
	}}
})

// fixedRSA returns an RSA key of 2048 bits that is the same in every run: its primes are the next after two
// fixed numbers.
func fixedRSA() *rsa.PrivateKey {
	next := func(fill byte) *big.Int {
		n := new(big.Int).SetBytes(bytes.Repeat([]byte{fill}, 128))
		for n.SetBit(n, 0, 1); ; n.Add(n, big.NewInt(2)) {
			if n.ProbablyPrime(8) {
				return n
			}
		}
	}
	p, q := next(0xe5), next(0xf1)
	one, e := big.NewInt(1), big.NewInt(65537)
	phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
	key := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: 65537}, D: new(big.Int).ModInverse(e, phi), Primes: []*big.Int{p, q}}
	key.Precompute()
	return key
}

// jwk returns the public half of a key, or the secret, as the product reads it.
func (k *refereeKey) jwk() []byte {
	m := map[string]string{"alg": k.alg}
	if k.kid != "" {
		m["kid"] = k.kid
	}
	encode := base64.RawURLEncoding.EncodeToString
	switch k.alg {
	case "HS256":
		m["kty"], m["k"] = "oct", encode(k.hmac)
	case "RS256":
		m["kty"], m["n"], m["e"] = "RSA", encode(k.rsa.N.Bytes()), "AQAB"
	case "ES256":
		point, _ := k.ec.PublicKey.Bytes()
		m["kty"], m["crv"], m["x"], m["y"] = "EC", "P-256", encode(point[1:33]), encode(point[33:])
	case "EdDSA":
		m["kty"], m["crv"], m["x"] = "OKP", "Ed25519", encode(k.ed.Public().(ed25519.PublicKey))
	}
	text, _ := json.Marshal(m)
	return text
}

// sign returns the signature over signed; it is the same each time.
func (k *refereeKey) sign(signed string) []byte {
	digest := sha256.Sum256([]byte(signed))
	switch k.alg {
	case "RS256":
		signature, _ := rsa.SignPKCS1v15(nil, k.rsa, crypto.SHA256, digest[:])
		return signature
	case "ES256":
		der, _ := k.ec.Sign(nil, digest[:], crypto.SHA256) // without a source of randomness: RFC 6979
		r, s := derNumbers(der)
		return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	case "EdDSA":
		return ed25519.Sign(k.ed, []byte(signed))
	}
	mac := hmac.New(sha256.New, k.hmac)
	mac.Write([]byte(signed))
	return mac.Sum(nil)
}

// derNumbers reads the two INTEGERs of a short SEQUENCE.
func derNumbers(der []byte) (r, s *big.Int) {
	n := int(der[3])
	return new(big.Int).SetBytes(der[4 : 4+n]), new(big.Int).SetBytes(der[6+n:])
}

// verify reports whether signature is the key's over signed.
func (k *refereeKey) verify(signed string, signature []byte) bool {
	digest := sha256.Sum256([]byte(signed))
	switch k.alg {
	case "RS256":
		return rsa.VerifyPKCS1v15(&k.rsa.PublicKey, crypto.SHA256, digest[:], signature) == nil
	case "ES256":
		return len(signature) == 64 && ecdsa.Verify(&k.ec.PublicKey, digest[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:]))
	case "EdDSA":
		return len(signature) == 64 && ed25519.Verify(k.ed.Public().(ed25519.PublicKey), []byte(signed), signature)
	}
	return hmac.Equal(signature, k.sign(signed))
}

// product returns the verifier under test, of the same issuers.
func (r *referee) product(t testing.TB) *Verifier {
	var o Options
	o.Directory = &authz.Directory{Roles: refereeRoles}
	for _, i := range r.issuers {
		var keys []*keyset.Key
		for _, k := range i.keys {
			parsed, err := keyset.Parse(k.jwk())
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, parsed...)
		}
		set, err := keyset.NewSet(keys...)
		if err != nil {
			t.Fatal(err)
		}
		issuer := Issuer{Name: i.name, Issuer: i.iss, Keys: set, Audiences: i.audiences, UserPrefix: i.prefix, Claims: standardNames,
			Leeway: time.Duration(i.leeway) * time.Second, ClockSkew: time.Duration(i.skew) * time.Second}
		issuer.Claims.UserID, issuer.Claims.Roles, issuer.Claims.Permissions, issuer.Claims.Scope = i.uid, i.roles, i.perms, i.scope
		for _, a := range i.algorithms {
			issuer.Algorithms = append(issuer.Algorithms, keyset.Algorithm(a))
		}
		if i.prefix != "" {
			o.Directory.Prefixes = append(o.Directory.Prefixes, i.prefix)
		}
		o.Issuers = append(o.Issuers, issuer)
	}
	return New(o)
}

var invalid = refereed{verdict: "invalid"}

// judge says what a token is at now, in seconds.
func (r *referee) judge(token string, now int64) refereed {
	if len(token) > 8192 {
		return invalid
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return invalid
	}
	var raw [3][]byte
	for i, part := range parts {
		var ok bool
		if raw[i], ok = refereeBase64(part); !ok {
			return invalid
		}
	}
	h, ok := refereeObject(raw[0])
	if !ok || !goodHeader(h) {
		return invalid
	}
	c, ok := refereeObject(raw[1])
	if !ok {
		return invalid
	}
	for i := range r.issuers {
		if issuer := &r.issuers[i]; c["iss"] == issuer.iss {
			if key := issuer.key(h); key != nil && key.verify(parts[0]+"."+parts[1], raw[2]) {
				return issuer.judge(c, now)
			}
		}
	}
	return invalid
}

// goodHeader reports whether the types in a header are right and nothing in it changes what the token means.
func goodHeader(h map[string]any) bool {
	for _, name := range []string{"crit", "b64", "zip", "enc", "cty"} {
		if _, ok := h[name]; ok {
			return false
		}
	}
	if kid, ok := h["kid"]; ok && !isText(kid) {
		return false
	}
	typ, ok := h["typ"]
	if !ok {
		return true
	}
	text, ok := typ.(string)
	lower := []byte(text)
	for i, b := range lower {
		if 'A' <= b && b <= 'Z' {
			lower[i] = b + 'a' - 'A'
		}
	}
	return ok && slices.Contains([]string{"jwt", "at+jwt", "application/at+jwt"}, string(lower))
}

// key returns the key that a token with this header is verified with, or nil.
func (i *refereeIssuer) key(h map[string]any) *refereeKey {
	alg, ok := h["alg"].(string)
	if !ok || !slices.Contains(i.algorithms, alg) {
		return nil
	}
	kid, hasKID := h["kid"]
	var named, only *refereeKey
	n := 0
	for j := range i.keys {
		if k := &i.keys[j]; k.alg == alg {
			only = k
			n++
		}
		if hasKID && kid != "" && kid == i.keys[j].kid {
			named = &i.keys[j]
		}
	}
	switch {
	case named != nil && named.alg == alg:
		return named
	case named != nil || n != 1 || hasKID && only.kid != "":
		return nil
	}
	return only
}

// judge reads the claims of a well signed token.
func (i *refereeIssuer) judge(c map[string]any, now int64) refereed {
	for _, name := range []string{"sub", "jti", "email", "subscription", "country", "platform", i.uid, i.scope} {
		if value, ok := c[name]; ok && !isText(value) {
			return invalid
		}
	}
	multiple := []string{"aud", i.roles}
	if i.roles == "roles" {
		multiple = append(multiple, "role")
	}
	for _, name := range multiple {
		if value, ok := c[name]; ok && !isTexts(value) && !isText(value) {
			return invalid
		}
	}
	if value, ok := c[i.perms]; ok && !isTexts(value) {
		return invalid
	}
	if c["sub"] == nil || c["sub"] == "" || c[i.uid] == nil || c[i.uid] == "" {
		return invalid
	}
	times := map[string]int64{}
	for _, name := range []string{"exp", "nbf", "iat"} {
		value, ok := c[name]
		if !ok {
			continue
		}
		number, isNumber := value.(json.Number)
		if !isNumber {
			return invalid
		}
		exact, ok := exactTime(string(number))
		if !ok {
			return invalid
		}
		times[name] = exact.Int64()
	}
	exp, ok := times["exp"]
	if !ok {
		return invalid
	}
	if now >= exp+i.leeway {
		return refereed{verdict: "expired"}
	}
	if times["nbf"] > now+i.skew || times["iat"] > now+i.skew {
		return invalid
	}
	if len(i.audiences) > 0 && !slices.ContainsFunc(textsOf(c["aud"]), func(a string) bool { return slices.Contains(i.audiences, a) }) {
		return invalid
	}
	uid := c[i.uid].(string)
	for _, prefix := range i.foreignPrefixes {
		if strings.HasPrefix(uid, prefix) {
			return invalid
		}
	}
	v := refereed{verdict: "valid", issuer: i.iss, userID: i.prefix + uid}
	v.email, _ = c["email"].(string)
	v.subscription, _ = c["subscription"].(string)
	v.country, _ = c["country"].(string)
	v.platform, _ = c["platform"].(string)
	for _, name := range multiple[1:] {
		v.roles = addNew(v.roles, textsOf(c[name])...)
	}
	scope, _ := c[i.scope].(string)
	v.permissions = addNew(addNew(nil, textsOf(c[i.perms])...), strings.Split(scope, " ")...)
	for _, role := range v.roles {
		v.permissions = addNew(v.permissions, refereeRoles[role]...)
	}
	return v
}

func isText(v any) bool { _, ok := v.(string); return ok }

func isTexts(v any) bool {
	list, ok := v.([]any)
	return ok && !slices.ContainsFunc(list, func(v any) bool { return !isText(v) })
}

// textsOf returns the strings of an array, or the one string.
func textsOf(v any) (texts []string) {
	if s, ok := v.(string); ok {
		return []string{s}
	}
	list, _ := v.([]any)
	for _, v := range list {
		texts = append(texts, v.(string))
	}
	return texts
}

// addNew adds what is not empty and not in list.
func addNew(list []string, more ...string) []string {
	for _, s := range more {
		if s != "" && !slices.Contains(list, s) {
			list = append(list, s)
		}
	}
	return list
}

// refereeBase64 reads base64url without padding, of which each value has one spelling (RFC 4648 §3.5, §5).
func refereeBase64(s string) ([]byte, bool) {
	var out []byte
	bits, n := 0, 0
	for i := range len(s) {
		var v int
		switch b := s[i]; {
		case 'A' <= b && b <= 'Z':
			v = int(b - 'A')
		case 'a' <= b && b <= 'z':
			v = int(b-'a') + 26
		case '0' <= b && b <= '9':
			v = int(b-'0') + 52
		case b == '-':
			v = 62
		case b == '_':
			v = 63
		default:
			return nil, false
		}
		bits, n = bits<<6|v, n+6
		if n >= 8 {
			n -= 8
			out = append(out, byte(bits>>n))
			bits &= 1<<n - 1
		}
	}
	return out, n < 6 && bits == 0
}

// refereeObject reads a JSON object with the standard library, which has to be told to be strict.
func refereeObject(text []byte) (map[string]any, bool) {
	if !utf8.Valid(text) || hasLoneSurrogate(text) {
		return nil, false
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var object map[string]any
	if d.Decode(&object) != nil || object == nil {
		return nil, false
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, false
	}
	d = json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return object, uniqueNames(d)
}

// hasLoneSurrogate reports whether JSON has an escape of half a surrogate pair (RFC 8259 §8.2), which the
// standard library takes for U+FFFD.
func hasLoneSurrogate(text []byte) bool {
	unit := func(i int) (u uint64) { // of the escape at i, 0 if there is none
		if i+6 <= len(text) && text[i] == '\\' && text[i+1] == 'u' {
			u, _ = strconv.ParseUint(string(text[i+2:i+6]), 16, 16)
		}
		return u
	}
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		switch u := unit(i); {
		case 0xd800 <= u && u < 0xdc00:
			if low := unit(i + 6); low < 0xdc00 || low > 0xdfff {
				return true
			}
			i += 11
		case 0xdc00 <= u && u < 0xe000:
			return true
		default:
			i++ // the character that is escaped
		}
	}
	return false
}

// uniqueNames reads one value and reports whether no object in it repeats a name.
func uniqueNames(d *json.Decoder) bool {
	t, _ := d.Token()
	delim, ok := t.(json.Delim)
	if !ok {
		return true
	}
	seen := map[any]bool{}
	for d.More() {
		if delim == '{' {
			name, _ := d.Token()
			if seen[name] {
				return false
			}
			seen[name] = true
		}
		if !uniqueNames(d) {
			return false
		}
	}
	d.Token()
	return true
}

// exactTime returns the value of a JSON number that is an integer from 0 to the last second of 9999.
func exactTime(s string) (*big.Int, bool) {
	// A big number with a large exponent would fill the memory. No token is long enough to make up for one.
	if _, exponent, ok := strings.Cut(strings.ToLower(s), "e"); ok {
		if n, err := strconv.Atoi(exponent); err != nil || n < -10_000 || n > 10_000 {
			return new(big.Int), !strings.ContainsAny(strings.ToLower(s)[:strings.IndexAny(s, "eE")], "123456789")
		}
	}
	r, ok := new(big.Rat).SetString(s)
	if !ok || !r.IsInt() || r.Sign() < 0 || r.Num().Cmp(big.NewInt(253402300799)) > 0 {
		return nil, false
	}
	return r.Num(), true
}
