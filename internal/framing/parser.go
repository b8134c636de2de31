package framing

import (
	"math"
	"strings"
)

// maxTrailerBytes bounds the trailers of a request. Go's server reads about 4 KiB of them.
const maxTrailerBytes = 2 << 10

// maxSizeDigits bounds the size of a chunk to what an int64 holds.
const maxSizeDigits = 15

// preface begins every connection of HTTP/2 (RFC 9113 §3.4). No request of HTTP/1 begins with all of it.
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// state is what the next byte belongs to.
type state uint8

const (
	inPreface   state = iota // HTTP/2's, unless it is a request line
	inMethod                 // the request line up to its first blank
	inTarget                 // up to its second
	inVersion                // up to its CR
	lineLF                   // the LF of a line
	lineStart                // the name of a header, or the CR of the empty line
	inName                   // the rest of the name, or its colon
	inValue                  // a value that says nothing about the framing, up to its CR
	inLength                 // the value of Content-Length
	inCoding                 // the value of Transfer-Encoding
	headLF                   // the LF of the empty line
	inBody                   // what Content-Length says
	inSize                   // the size of a chunk
	sizeLF                   // its LF
	inChunk                  // the data of a chunk
	chunkCR                  // the CR behind it
	chunkLF                  // and the LF
	inUntouched              // not ours to judge
)

const (
	lengthName = "content-length"
	codingName = "transfer-encoding"
	coding     = "chunked"
	version    = "HTTP/1."
)

// parser follows the requests of one connection, byte by byte, and keeps no more than where it is.
type parser struct {
	state   state
	maxHead int
	room    int // how many bytes the head or the trailers may still have

	at      int // bytes, digits or characters seen of the part that state says
	ended   bool
	name    [len(codingName)]byte // of the header, in lower case
	trailer bool                  // the headers are trailers
	old     bool                  // HTTP/1.0

	length  int64 // of the body or chunk, what is left of it
	sized   bool  // there was a Content-Length
	chunked bool  // there was a Transfer-Encoding
}

func newParser(maxHead int) parser {
	return parser{maxHead: maxHead, room: maxHead}
}

// feed takes the next bytes of the client and returns how many are good: all of them, or those before the
// first that is at fault, after which feed is not called again.
func (f *parser) feed(p []byte) (good int, ok bool) {
	i := 0
	for i < len(p) {
		switch f.state {
		case inUntouched:
			return len(p), true
		case inPreface:
			if !f.matchPreface(p[i]) {
				return i, false
			}
			i++
		case inBody, inChunk:
			n := int(min(int64(len(p)-i), f.length))
			i += n
			f.length -= int64(n)
			if f.length == 0 {
				f.endOfData()
			}
		default:
			if f.state == inValue { // most of a head: values, at once
				n := countValue(p[i:min(len(p), i+f.room)])
				i += n
				f.room -= n
				if i == len(p) {
					return i, true
				}
			}
			if !f.step(p[i]) {
				return i, false
			}
			i++
		}
	}
	return i, true
}

// matchPreface takes a byte of a connection that may be HTTP/2's. What was taken for the preface, and is
// none, is judged as a request.
func (f *parser) matchPreface(c byte) bool {
	if c == preface[f.at] {
		f.at++
		if f.at == len(preface) {
			f.state = inUntouched
		}
		return true
	}
	begun := preface[:f.at]
	f.startRequest()
	for i := range len(begun) {
		if !f.step(begun[i]) {
			return false
		}
	}
	return f.step(c)
}

func (f *parser) startRequest() {
	*f = parser{maxHead: f.maxHead, room: f.maxHead, state: inMethod}
}

// enter makes s the state, at its beginning.
func (f *parser) enter(s state) bool {
	f.state = s
	f.at = 0
	f.ended = false
	return true
}

// step takes one byte of a head, of trailers, or of what stands around a chunk, and reports whether it can
// stand there.
func (f *parser) step(c byte) bool {
	if f.room == 0 {
		return false
	}
	f.room--
	switch f.state {
	case inMethod:
		return f.word(c, isToken(c), inTarget)
	case inTarget:
		return f.word(c, c > ' ' && c != 0x7f, inVersion)
	case inVersion:
		return f.stepVersion(c)
	case lineLF:
		return c == '\n' && f.enter(lineStart)
	case lineStart:
		if c == '\r' {
			return f.enter(headLF)
		}
		f.enter(inName)
		return f.stepName(c)
	case inName:
		return f.stepName(c)
	case inValue:
		return c == '\r' && f.enter(lineLF) || isValue(c)
	case inLength:
		return f.stepLength(c)
	case inCoding:
		return f.stepCoding(c)
	case headLF:
		return c == '\n' && f.endOfHead()
	}
	return f.stepChunk(c)
}

// word takes a byte of a part of the request line that is not empty and ends with one blank.
func (f *parser) word(c byte, member bool, next state) bool {
	if c == ' ' && f.at > 0 {
		return f.enter(next)
	}
	f.at = 1
	return member
}

func (f *parser) stepVersion(c byte) bool {
	switch {
	case f.at < len(version):
		if c != version[f.at] {
			return false
		}
	case f.at == len(version):
		f.old = c == '0'
		if c != '0' && c != '1' {
			return false
		}
	default:
		return c == '\r' && f.enter(lineLF)
	}
	f.at++
	return true
}

func (f *parser) stepName(c byte) bool {
	if c == ':' {
		return f.at > 0 && f.endOfName()
	}
	if f.at < len(f.name) {
		f.name[f.at] = lower(c)
	}
	f.at = min(f.at+1, len(f.name)+1)
	return isToken(c)
}

// endOfName finds out whether a header has a say in the framing, and whether it may have it.
func (f *parser) endOfName() bool {
	switch {
	case f.at == len(lengthName) && string(f.name[:f.at]) == lengthName:
		if f.sized || f.chunked || f.trailer {
			return false
		}
		f.sized = true
		return f.enter(inLength)
	case f.at == len(codingName) && string(f.name[:f.at]) == codingName:
		if f.sized || f.chunked || f.trailer || f.old {
			return false
		}
		f.chunked = true
		return f.enter(inCoding)
	}
	return f.enter(inValue)
}

func (f *parser) stepLength(c byte) bool {
	switch {
	case '0' <= c && c <= '9' && !f.ended:
		digit := int64(c - '0')
		if f.length > (math.MaxInt64-digit)/10 {
			return false
		}
		f.length = f.length*10 + digit
		f.at = 1
		return true
	case c == '\r':
		return f.at > 0 && f.enter(lineLF)
	}
	f.ended = f.at > 0
	return c == ' ' || c == '\t'
}

func (f *parser) stepCoding(c byte) bool {
	switch {
	case c == '\r':
		return f.at == len(coding) && f.enter(lineLF)
	case c == ' ' || c == '\t':
		return f.at == 0 || f.at == len(coding)
	case f.at == len(coding) || lower(c) != coding[f.at]:
		return false
	}
	f.at++
	return true
}

// endOfHead takes the empty line behind a head or behind trailers.
func (f *parser) endOfHead() bool {
	switch {
	case f.trailer:
		f.startRequest()
	case f.chunked:
		f.startChunk()
	case f.length > 0:
		f.enter(inBody)
	default:
		f.startRequest()
	}
	return true
}

func (f *parser) endOfData() {
	if f.state == inBody {
		f.startRequest()
		return
	}
	f.enter(chunkCR)
}

func (f *parser) startChunk() bool {
	f.length = 0
	f.room = maxSizeDigits + len("\r\n") // the line has no room for more digits
	return f.enter(inSize)
}

func (f *parser) stepChunk(c byte) bool {
	switch f.state {
	case inSize:
		if c == '\r' {
			return f.at > 0 && f.enter(sizeLF)
		}
		digit := strings.IndexByte("0123456789abcdef", lower(c))
		if digit < 0 {
			return false
		}
		f.length = f.length<<4 | int64(digit)
		f.at++
		return true
	case sizeLF:
		f.room = len("\r\n")
		if f.length > 0 {
			return c == '\n' && f.enter(inChunk)
		}
		f.room = maxTrailerBytes
		f.trailer = true
		return c == '\n' && f.enter(lineStart)
	case chunkCR:
		return c == '\r' && f.enter(chunkLF)
	case chunkLF:
		return c == '\n' && f.startChunk()
	}
	return false
}

// countValue returns how many bytes at the beginning of p are those of a value.
func countValue(p []byte) int {
	for i, c := range p {
		if !isValue(c) {
			return i
		}
	}
	return len(p)
}

// isValue reports whether c may stand in the value of a header (RFC 9110 §5.5).
func isValue(c byte) bool { return c >= ' ' && c != 0x7f || c == '\t' }

// isToken reports whether c may stand in a method or in the name of a header (RFC 9110 §5.6.2).
func isToken(c byte) bool { return tokens[c] }

var tokens = func() (t [256]bool) {
	const all = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	for i := range len(all) {
		t[all[i]] = true
	}
	return t
}()

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c | 0x20
	}
	return c
}
