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
	"slices"
	"strings"
	"unicode"

	"github.com/go-json-experiment/json/jsontext"
)

const pemBegin = "-----BEGIN "

// LooksPublic reports whether material looks like a public key or certificate: PEM, a JWK or a JWKS, an OpenSSH
// key, what openssl prints, or DER, broken or cut, and wrapped as tools and people wrap them. What does must never
// be taken as an HMAC secret: the secret would be known to all who know the public key.
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

// publicMark is what a key in text cannot do without: a line of PEM's armour, the kty of a JWK, the type that an
// OpenSSH key begins with (RFC 4253 §6.6), also in its base64, or the names of an RSA key's number.
var publicMark = regexp.MustCompile(`\b(BEGIN|END)[\s\x{a0}_+-]*([A-Z0-9]+[\s\x{a0}_+-]+)*(PUBLIC[\s\x{a0}_+-]*KEY|PRIVATE[\s\x{a0}_+-]*KEY|CERTIFICATE|PKCS7|CMS)|` +
	`["'` + "`" + `]kty\\*["'` + "`" + `]|\bkty[ \t]*[:=]|` +
	`\bssh-(rsa|dss|ed25519)[ \t]|\becdsa-sha2-nistp|AAAAB3NzaC1|AAAAC3NzaC1|AAAAE2VjZHNh|` +
	`\b[Mm]odulus[ \t]*[:=]|<Modulus>|\bPublic-Key:`)

// unwrappings undo one layer each; what is not wrapped so becomes what it is, or nothing. What stands around the
// text of an encoding is passed over: a name, quotes, the lines of a certificate in words.
var unwrappings = []func(string) string{
	strings.NewReplacer("\x00", "", "\uFEFF", "", "\xff\xfe", "", "\xfe\xff", "").Replace, // UTF-16
	strings.NewReplacer(`\n`, "\n", `\r`, "", `\"`, `"`, `\/`, "/").Replace,
	func(s string) string { inner, _ := url.PathUnescape(s); return inner },
	runsOf(`[A-Za-z0-9+/]{20,}`, "", 4, base64.RawStdEncoding.DecodeString),
	runsOf(`[A-Za-z0-9_-]{20,}`, "", 4, base64.RawURLEncoding.DecodeString),
	runsOf(`[A-Fa-f0-9]{20,}`, ":-", 2, hex.DecodeString),
}

// runsOf decodes the runs of an encoding's characters, white space and those of between aside, in whole groups:
// what is cut at its end counts too.
func runsOf(run, between string, group int, decode func(string) ([]byte, error)) func(string) string {
	runs := regexp.MustCompile(run)
	return func(s string) string {
		packed := strings.Map(func(r rune) rune {
			if unicode.IsSpace(r) || strings.ContainsRune(between, r) {
				return -1
			}
			return r
		}, s)
		var inner []byte
		for _, found := range runs.FindAllString(packed, -1) {
			decoded, _ := decode(found[:len(found)-len(found)%group])
			inner = append(inner, decoded...)
		}
		return string(inner)
	}
}

// keyOIDs are the algorithms of a public key in DER (RFC 8017 appendix C, RFC 5480 §2.1.1, RFC 8410 §3): RSA, EC,
// and the curves of Edwards and Montgomery.
var keyOIDs = []string{"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01", "\x06\x07\x2a\x86\x48\xce\x3d\x02\x01", "\x30\x05\x06\x03\x2b\x65"}

// isDER reports whether data holds a public key, by its algorithm or as PKCS #1 has it.
func isDER(data []byte) bool {
	_, err := x509.ParsePKCS1PublicKey(data)
	return err == nil || slices.ContainsFunc(keyOIDs, func(oid string) bool { return bytes.Contains(data, []byte(oid)) })
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
	return Public(material)
}

// trim cuts white space as JSON and PEM know it, and no other.
func trim(text []byte) []byte { return bytes.Trim(text, " \t\r\n") }
