package account

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Bounds of what an account may say of itself, in characters.
const (
	maxName     = 200
	maxPlatform = 32
)

// Field is one thing that is wrong with what a client sent.
type Field struct {
	Name    string // of the field, as the client wrote it
	Message string // one line that says what to write; never the field's value
}

// InvalidError says which fields are at fault, each of them once.
type InvalidError struct{ Fields []Field }

// Error names the fields.
func (e *InvalidError) Error() string {
	names := make([]string, len(e.Fields))
	for i, f := range e.Fields {
		names[i] = f.Name
	}
	return "invalid fields: " + strings.Join(names, ", ")
}

// SignUp is what a client may say of a new account. Name, Country and Platform are "" if it does not.
type SignUp struct{ Email, Password, Name, Country, Platform string }

// judge returns the fields as they are stored: the address canonical, password and name in NFC, the name without
// the blanks around it, the country in upper case. The error is an [*InvalidError] with every field at fault.
func (s SignUp) judge(r PasswordRules) (SignUp, error) {
	var faults []Field
	refuse := func(name, message string) {
		if message != "" {
			faults = append(faults, Field{name, message})
		}
	}
	email, err := CanonicalEmail(s.Email)
	if err != nil {
		refuse("email", err.Error())
	}
	password, message := r.judge(s.Password)
	refuse("password", message)
	name, message := judgeName(s.Name)
	refuse("name", message)
	country, message := judgeCountry(s.Country)
	refuse("country", message)
	refuse("platform", judgePlatform(s.Platform))
	if faults != nil {
		return SignUp{}, &InvalidError{faults}
	}
	return SignUp{email, password, name, country, s.Platform}, nil
}

// judgeName returns a name in NFC and without the blanks around it, or a message about what is wrong with it. A
// name is shown on one line beside other text, which its characters must not reorder.
func judgeName(name string) (normal, message string) {
	if name == "" {
		return "", ""
	}
	normal = strings.TrimSpace(norm.NFC.String(name))
	switch {
	case !utf8.ValidString(name):
		return "", "want text in UTF-8"
	case strings.ContainsFunc(name, breaksLine):
		return "", "want no control characters, line breaks or changes of the writing direction"
	case !strings.ContainsFunc(normal, isVisible):
		return "", "want a name that can be seen, or none"
	case utf8.RuneCountInString(normal) > maxName:
		return "", fmt.Sprintf("want %d characters or fewer", maxName)
	}
	return normal, ""
}

// breaksLine reports whether a character does not stay in its place on a line: controls, line and paragraph
// separators, and the embeddings, overrides and isolates of bidirectional text.
func breaksLine(r rune) bool {
	return unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp) || '\u202a' <= r && r <= '\u202e' || '\u2066' <= r && r <= '\u2069'
}

func isVisible(r rune) bool { return unicode.IsPrint(r) && r != ' ' }

// judgeCountry returns a country code as ISO 3166-1 writes its alpha-2 ones, or a message. Which of them are in
// use is not asked: that changes.
func judgeCountry(country string) (upper, message string) {
	if country != "" && (len(country) != 2 || strings.ContainsFunc(country, func(r rune) bool { return !isASCIILetter(r) })) {
		return "", "want two letters such as IN"
	}
	return strings.ToUpper(country), ""
}

// judgePlatform returns what is wrong with a platform.
func judgePlatform(platform string) (message string) {
	if len(platform) > maxPlatform || strings.ContainsFunc(platform, func(r rune) bool {
		return !isASCIIAlphanumeric(r) && !strings.ContainsRune("._-", r)
	}) {
		return fmt.Sprintf("want %d or fewer ASCII letters, digits, dots, hyphens and underscores, such as android", maxPlatform)
	}
	return ""
}
