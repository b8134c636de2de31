package keyset

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

const pemBegin = "-----BEGIN "

// LooksPublic reports whether material looks like a public key: PEM, a JWK or a JWKS, an OpenSSH key, or the DER
// of a key or certificate, however broken, and wrapped as tools and people wrap them. What does must never be
// taken as an HMAC secret: the secret would be known to all who know the public key.
func LooksPublic(material []byte) bool {
	const layers = 3 // base64 of the hexadecimal of DER, with escaped line breaks
	return looksPublic(string(material), layers)
}

func looksPublic(text string, layers int) bool {
	if publicMark.MatchString(text) || looksJSON([]byte(text)) || isDER([]byte(text)) {
		return true
	}
	if layers > 0 {
		for _, unwrap := range unwrappings {
			if inner := unwrap(text); inner != text && looksPublic(inner, layers-1) {
				return true
			}
		}
	}
	return false
}

// publicMark is what a key in text cannot do without: a line of PEM's armour, the kty of a JWK, or the type that
// an OpenSSH key begins with (RFC 4253 §6.6), also in its base64.
var publicMark = regexp.MustCompile(`(?i)\b(BEGIN|END)[ _+-]([A-Z0-9]+[ _+-])*(PUBLIC[ _+-]KEY|PRIVATE[ _+-]KEY|CERTIFICATE)\b|["'` + "`" + `]kty\\*["'` + "`" + `]|\bkty[ \t]*[:=]|` +
	`\bssh-(rsa|dss|ed25519)[ \t]|\becdsa-sha2-nistp|AAAAB3NzaC1|AAAAC3NzaC1|AAAAE2VjZHNh`)

// unwrappings undo one layer each, and leave as it is what is not wrapped so.
var unwrappings = []func(string) string{
	strings.NewReplacer(`\n`, "\n", `\r`, "", `\"`, `"`).Replace,
	unwrapping(url.PathUnescape),
	unwrapping(bare(base64.RawStdEncoding.DecodeString)),
	unwrapping(bare(base64.RawURLEncoding.DecodeString)),
	unwrapping(bare(hex.DecodeString)),
}

func unwrapping(undo func(string) (string, error)) func(string) string {
	return func(s string) string {
		if inner, err := undo(s); err == nil {
			return inner
		}
		return s
	}
}

// bare decodes a text without the quotes, padding, colons and line breaks that the tool which wrote it likes.
func bare(decode func(string) ([]byte, error)) func(string) (string, error) {
	return func(s string) (string, error) {
		s = strings.Trim(strings.Join(strings.Fields(s), ""), `"'`)
		inner, err := decode(strings.ReplaceAll(strings.TrimRight(strings.TrimPrefix(s, "0x"), "="), ":", ""))
		return string(inner), err
	}
}

// isDER reports whether data is a public key or a certificate.
func isDER(data []byte) bool {
	_, spki := x509.ParsePKIXPublicKey(data)
	_, pkcs1 := x509.ParsePKCS1PublicKey(data)
	_, certificate := x509.ParseCertificate(data)
	return spki == nil || pkcs1 == nil || certificate == nil
}

// looksJSON reports whether material is a JSON object, or begins like one and has a name of a JWK or JWKS.
func looksJSON(material []byte) bool {
	text := trim(bytes.TrimPrefix(material, []byte("\uFEFF")))
	return bytes.HasPrefix(text, []byte("{")) &&
		(jsontext.Value(text).IsValid() || bytes.Contains(text, []byte(`"kty"`)) || bytes.Contains(text, []byte(`"keys"`)))
}

// Parse returns the keys in material, which is one public key in PEM, a JWK or a JWKS (RFC 7517). Every key
// must be usable: one that is private, weak, meant for something else or of an unknown type is an error, and
// never left out. An oct JWK is an HS256 key.
func Parse(material []byte) ([]*Key, error) {
	switch {
	case looksJSON(material):
		return parseJSON(material)
	case bytes.Contains(material, []byte(pemBegin)):
		k, err := parsePEM(trim(material))
		if err != nil {
			return nil, fmt.Errorf("PEM: %w", err)
		}
		return []*Key{k}, nil
	}
	return nil, errors.New("neither PEM (BEGIN PUBLIC KEY) nor a JWK nor a JWKS")
}

func parsePEM(text []byte) (*Key, error) {
	// The decoder would skip what stands before a block, a broken block included.
	if n := bytes.Count(text, []byte(pemBegin)); n != 1 || !bytes.HasPrefix(text, []byte(pemBegin)) {
		return nil, errors.New("exactly one block is accepted, with no text around it")
	}
	block, rest := pem.Decode(text)
	if block == nil {
		return nil, errors.New("the block is broken")
	}
	if len(trim(rest)) != 0 {
		return nil, errors.New("there is text after the block")
	}
	if strings.HasSuffix(block.Type, "PRIVATE KEY") {
		return nil, errors.New("this is a private key; give the public one, as written by: openssl pkey -pubout")
	}
	if len(block.Headers) != 0 {
		return nil, errors.New("headers in the block are not accepted")
	}
	if block.Type != "PUBLIC KEY" {
		return nil, fmt.Errorf("the block is %.64q; give the key itself, as PUBLIC KEY", block.Type)
	}
	material, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	return public(material)
}

// trim cuts white space as JSON and PEM know it, and no other.
func trim(text []byte) []byte { return bytes.Trim(text, " \t\r\n") }
