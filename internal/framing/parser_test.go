package framing

import (
	"strings"
	"testing"
)

// host ends the head of a request that needs no more.
const host = "Host: h\r\n\r\n"

// chunkedHead begins a request whose body comes in chunks.
const chunkedHead = "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: h\r\n\r\n"

var refused = []struct{ name, bytes string }{
	{"a length beside chunks", "POST /a HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n" + host},
	{"chunks beside a length", "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n" + host},
	{"a length of zero beside chunks", "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n" + host},
	{"two lengths", "POST /a HTTP/1.1\r\nContent-Length: 4\r\nContent-Length: 5\r\n" + host},
	{"two equal lengths", "POST /a HTTP/1.1\r\nContent-Length: 4\r\nContent-Length: 4\r\n" + host},
	{"two lengths of zero", "POST /a HTTP/1.1\r\nContent-Length: 0\r\ncontent-length: 0\r\n" + host},
	{"a list of lengths", "POST /a HTTP/1.1\r\nContent-Length: 4, 4\r\n" + host},
	{"a length with a sign", "POST /a HTTP/1.1\r\nContent-Length: +4\r\n" + host},
	{"a negative length", "POST /a HTTP/1.1\r\nContent-Length: -4\r\n" + host},
	{"a length in hex", "POST /a HTTP/1.1\r\nContent-Length: 0x4\r\n" + host},
	{"a length with a blank in it", "POST /a HTTP/1.1\r\nContent-Length: 4 4\r\n" + host},
	{"an empty length", "POST /a HTTP/1.1\r\nContent-Length: \r\n" + host},
	{"a length past int64", "POST /a HTTP/1.1\r\nContent-Length: 9223372036854775808\r\n" + host},
	{"a length of twenty digits", "POST /a HTTP/1.1\r\nContent-Length: 18446744073709551620\r\n" + host},
	{"a length in full-width digits", "POST /a HTTP/1.1\r\nContent-Length: \xef\xbc\x94\r\n" + host},
	{"two transfer codings", "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n" + host},
	{"a list of transfer codings", "POST /a HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n" + host},
	{"chunked twice", "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked, chunked\r\n" + host},
	{"another transfer coding", "POST /a HTTP/1.1\r\nTransfer-Encoding: gzip\r\n" + host},
	{"identity", "POST /a HTTP/1.1\r\nTransfer-Encoding: identity\r\n" + host},
	{"an empty transfer coding", "POST /a HTTP/1.1\r\nTransfer-Encoding:\r\n" + host},
	{"a coding that begins like chunked", "POST /a HTTP/1.1\r\nTransfer-Encoding: chunkedx\r\n" + host},
	{"a coding cut short", "POST /a HTTP/1.1\r\nTransfer-Encoding: chunke\r\n" + host},
	{"a coding with a vertical tab", "POST /a HTTP/1.1\r\nTransfer-Encoding: \x0bchunked\r\n" + host},
	{"a quoted coding", "POST /a HTTP/1.1\r\nTransfer-Encoding: \"chunked\"\r\n" + host},
	{"a coding with a blank in it", "POST /a HTTP/1.1\r\nTransfer-Encoding: chun ked\r\n" + host},
	{"chunks in HTTP/1.0", "POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n" + host},
	{"a blank before the colon", "POST /a HTTP/1.1\r\nTransfer-Encoding : chunked\r\n" + host},
	{"a tab before the colon", "POST /a HTTP/1.1\r\nContent-Length\t: 4\r\n" + host},
	{"a folded header", "GET /a HTTP/1.1\r\nX-A: b\r\n c\r\n" + host},
	{"a folded transfer coding", "POST /a HTTP/1.1\r\nTransfer-Encoding:\r\n chunked\r\n" + host},
	{"a folded line of nothing", "GET /a HTTP/1.1\r\nX-A: b\r\n \r\n" + host},
	{"a blank before the first header", "GET /a HTTP/1.1\r\n Content-Length: 4\r\n" + host},
	{"a bare LF after the request line", "GET /a HTTP/1.1\nHost: h\r\n\r\n"},
	{"a bare LF after a header", "GET /a HTTP/1.1\r\nX-A: b\nHost: h\r\n\r\n"},
	{"a bare LF as the empty line", "GET /a HTTP/1.1\r\nHost: h\r\n\n"},
	{"a bare CR in a value", "GET /a HTTP/1.1\r\nX-A: b\rContent-Length: 4\r\n" + host},
	{"a bare CR in the target", "GET /a\r HTTP/1.1\r\n" + host},
	{"a bare CR after the request line", "GET /a HTTP/1.1\rHost: h\r\n\r\n"},
	{"a bare CR as the empty line", "GET /a HTTP/1.1\r\nHost: h\r\n\rx"},
	{"two CRs", "GET /a HTTP/1.1\r\r\n" + host},
	{"an empty line before the request", "\r\nGET /a HTTP/1.1\r\n" + host},
	{"an empty line between requests", "GET /a HTTP/1.1\r\n" + host + "\r\n"},
	{"a bare LF before the request", "\nGET /a HTTP/1.1\r\n" + host},
	{"NUL in a value", "GET /a HTTP/1.1\r\nX-A: b\x00c\r\n" + host},
	{"NUL in a name", "GET /a HTTP/1.1\r\nX\x00A: b\r\n" + host},
	{"NUL in the target", "GET /a\x00 HTTP/1.1\r\n" + host},
	{"DEL in the target", "GET /a\x7f HTTP/1.1\r\n" + host},
	{"a tab in the target", "GET /a\tb HTTP/1.1\r\n" + host},
	{"DEL in a value", "GET /a HTTP/1.1\r\nX-A: b\x7f\r\n" + host},
	{"a control byte in a value", "GET /a HTTP/1.1\r\nX-A: b\x01\r\n" + host},
	{"an empty name", "GET /a HTTP/1.1\r\n: b\r\n" + host},
	{"a line without a colon", "GET /a HTTP/1.1\r\nX-A\r\n" + host},
	{"a name that is no token", "GET /a HTTP/1.1\r\nX(A: b\r\n" + host},
	{"a name that is not ASCII", "GET /a HTTP/1.1\r\nX\xc4\xb0A: b\r\n" + host},
	{"no version", "GET /a\r\n" + host},
	{"a version of old", "GET /a HTTP/0.9\r\n" + host},
	{"HTTP/1.2", "GET /a HTTP/1.2\r\n" + host},
	{"HTTP/1.10", "GET /a HTTP/1.10\r\n" + host},
	{"HTTP/2.0 without the preface", "GET /a HTTP/2.0\r\n" + host},
	{"the preface with a header", "PRI * HTTP/2.0\r\nHost: h\r\n\r\nSM\r\n\r\n"},
	{"the preface of a second request", "GET /a HTTP/1.1\r\n" + host + preface},
	{"a version in lower case", "GET /a http/1.1\r\n" + host},
	{"four parts", "GET /a b HTTP/1.1\r\n" + host},
	{"two blanks after the method", "GET  /a HTTP/1.1\r\n" + host},
	{"two blanks after the target", "GET /a  HTTP/1.1\r\n" + host},
	{"a blank after the version", "GET /a HTTP/1.1 \r\n" + host},
	{"no method", " /a HTTP/1.1\r\n" + host},
	{"no target", "GET  HTTP/1.1\r\n" + host},
	{"a blank before the method", " GET /a HTTP/1.1\r\n" + host},
	{"a tab after the method", "GET\t/a HTTP/1.1\r\n" + host},
	{"a method that is no token", "G{T /a HTTP/1.1\r\n" + host},
	{"a TLS handshake", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"},
	{"a head over the limit", "GET /a HTTP/1.1\r\nX-A: " + strings.Repeat("b", testHeadBytes) + "\r\n" + host},
	{"a target over the limit", "GET /" + strings.Repeat("a", testHeadBytes) + " HTTP/1.1\r\n" + host},
	{"many headers over the limit", "GET /a HTTP/1.1\r\n" + strings.Repeat("A:\r\n", testHeadBytes/4) + host},
	{"a chunk without a size", chunkedHead + "\r\n"},
	{"a chunk size that is not hex", chunkedHead + "g\r\n"},
	{"a chunk size with 0x", chunkedHead + "0x4\r\n"},
	{"a chunk size with a sign", chunkedHead + "+4\r\n"},
	{"a negative chunk size", chunkedHead + "-4\r\n"},
	{"a chunk size of sixteen digits", chunkedHead + "0000000000000004\r\n"},
	{"a chunk size that wraps around", chunkedHead + "10000000000000004\r\n"},
	{"a chunk extension", chunkedHead + "4;a=b\r\nabcd\r\n0\r\n\r\n"},
	{"a chunk extension with a bare LF", chunkedHead + "4;a\nb\r\nabcd\r\n0\r\n\r\n"},
	{"a blank behind a chunk size", chunkedHead + "4 \r\nabcd\r\n0\r\n\r\n"},
	{"a blank before a chunk size", chunkedHead + " 4\r\nabcd\r\n0\r\n\r\n"},
	{"a bare LF behind a chunk size", chunkedHead + "4\nabcd\r\n0\r\n\r\n"},
	{"a bare CR behind a chunk size", chunkedHead + "4\rabcd\r\n0\r\n\r\n"},
	{"a chunk longer than its size", chunkedHead + "4\r\nabcde\r\n0\r\n\r\n"},
	{"a chunk that ends with a bare LF", chunkedHead + "4\r\nabcd\n0\r\n\r\n"},
	{"a chunk that ends with a bare CR", chunkedHead + "4\r\nabcd\r0\r\n\r\n"},
	{"a chunk without its end", chunkedHead + "4\r\nabcd0\r\n\r\n"},
	{"a length among the trailers", chunkedHead + "0\r\nContent-Length: 4\r\n\r\n"},
	{"a transfer coding among the trailers", chunkedHead + "0\r\nTransfer-Encoding: chunked\r\n\r\n"},
	{"a folded trailer", chunkedHead + "0\r\nX-A: b\r\n c\r\n\r\n"},
	{"a trailer without a colon", chunkedHead + "0\r\nX-A\r\n\r\n"},
	{"a bare LF behind the trailers", chunkedHead + "0\r\nX-A: b\r\n\n"},
	{"trailers over the limit", chunkedHead + "0\r\nX-A: " + strings.Repeat("b", maxTrailerBytes) + "\r\n\r\n"},
}

// testHeadBytes is the limit of a head in the tests.
const testHeadBytes = 4 << 10

func TestParserRefuses(t *testing.T) {
	for _, c := range refused {
		t.Run(c.name, func(t *testing.T) {
			f := newParser(testHeadBytes)
			if good, ok := f.feed([]byte(c.bytes)); ok {
				t.Errorf("%q passes whole, %d bytes", c.bytes, good)
			}
		})
	}
}

// passing are inputs and how many whole requests they hold.
var passing = []struct {
	name, bytes string
	requests    int
}{
	{"no body", "GET /a?b=c HTTP/1.1\r\n" + host, 1},
	{"HTTP/1.0", "GET /a HTTP/1.0\r\n\r\n", 1},
	{"HTTP/1.0 with a length", "POST /a HTTP/1.0\r\nContent-Length: 2\r\n\r\nab", 1},
	{"a length", "POST /a HTTP/1.1\r\nContent-Length: 4\r\n" + host + "abcd", 1},
	{"a length of zero", "POST /a HTTP/1.1\r\nContent-Length: 0\r\n" + host, 1},
	{"a length with leading zeros", "POST /a HTTP/1.1\r\nContent-Length: 0004\r\n" + host + "abcd", 1},
	{"a length among blanks", "POST /a HTTP/1.1\r\nContent-Length: \t4 \t\r\n" + host + "abcd", 1},
	{"a length without a blank", "POST /a HTTP/1.1\r\nCONTENT-LENGTH:4\r\n" + host + "abcd", 1},
	{"the longest length", "POST /a HTTP/1.1\r\nContent-Length: 9223372036854775807\r\n" + host, 0},
	{"chunks", chunkedHead + "4\r\nabcd\r\n1A\r\n" + strings.Repeat("\x00", 26) + "\r\n0\r\n\r\n", 1},
	{"a coding among blanks, in capitals", "POST /a HTTP/1.1\r\ntransfer-encoding: CHUNKED\t \r\n" + host + "0\r\n\r\n", 1},
	{"chunk sizes with zeros", chunkedHead + "004\r\nabcd\r\n000\r\n\r\n", 1},
	{"trailers", chunkedHead + "0\r\nX-A: b\r\nX-B: c\r\n\r\n", 1},
	{"a body that looks like a request", "POST /a HTTP/1.1\r\nContent-Length: 19\r\n" + host + "GET /b HTTP/1.1\r\n\r\n", 1},
	{"requests in a row", "GET /a HTTP/1.1\r\n" + host + chunkedHead + "1\r\na\r\n0\r\n\r\nPOST /a HTTP/1.1\r\nContent-Length: 1\r\n" + host + "aGET /b HTTP/1.1\r\n" + host, 4},
	{"names that are nearly of the framing", "GET /a HTTP/1.1\r\nContent-Lengthy: x\r\nTransfer-Encodings: y\r\nX-Content-Length: z\r\nContent-Lengt: w\r\n" + host, 1},
	{"an empty value", "GET /a HTTP/1.1\r\nX-A:\r\n" + host, 1},
	{"bytes that are not ASCII in a value and in the target", "GET /\xc3\xa4 HTTP/1.1\r\nX-A: \xff\r\n" + host, 1},
	{"a method that begins like the preface", "PRI /a HTTP/1.1\r\n" + host, 1},
	{"CONNECT", "CONNECT h:1 HTTP/1.1\r\n" + host, 1},
	{"half a request", "GET /a HTTP/1.1\r\nHos", 0},
	{"the preface of HTTP/2, and anything", preface + "\x00\x00\n\r", 0},
	{"part of the preface", preface[:10], 0},
}

func TestParserPasses(t *testing.T) {
	for _, c := range passing {
		t.Run(c.name, func(t *testing.T) {
			f := newParser(testHeadBytes)
			if good, ok := f.feed([]byte(c.bytes)); !ok {
				t.Fatalf("refused at byte %d, %q", good, c.bytes[good:])
			}
			if got := len(split([]byte(c.bytes))); got != c.requests {
				t.Errorf("%d whole requests, want %d", got, c.requests)
			}
		})
	}
}

func TestParserAllocatesNothing(t *testing.T) {
	request := []byte("POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\nAccept: */*\r\n" + host + "4\r\nabcd\r\n0\r\nX-A: b\r\n\r\n")
	f := newParser(testHeadBytes)
	if n := testing.AllocsPerRun(100, func() {
		if _, ok := f.feed(request); !ok {
			t.Fatal("refused")
		}
	}); n != 0 {
		t.Errorf("%v allocations per request", n)
	}
}

func BenchmarkParser(b *testing.B) {
	request := []byte("GET /v1/proxy/api/users/1?x=y HTTP/1.1\r\nHost: api.example.com\r\nAccept: */*\r\nUser-Agent: benchmark/1.0\r\n" +
		"Authorization: Bearer " + strings.Repeat("a", 600) + "\r\nX-Request-ID: 0b9a6d7e-0000-4000-8000-000000000000\r\n\r\n")
	b.ReportAllocs()
	b.SetBytes(int64(len(request)))
	f := newParser(defaultMaxHeaderBytes)
	for b.Loop() {
		if _, ok := f.feed(request); !ok {
			b.Fatal("refused")
		}
	}
}
