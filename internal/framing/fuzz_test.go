package framing

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

// message is a request as one of two readers sees it.
type message struct {
	body string
	end  int // offset of the first byte behind it
}

// split returns the whole requests in p as the parser sees them, up to where it refuses.
func split(p []byte) []message {
	var found []message
	var body []byte
	f := newParser(testHeadBytes)
	for i := range p {
		data := f.state == inBody || f.state == inChunk
		if _, ok := f.feed(p[i : i+1]); !ok {
			break
		}
		if data {
			body = append(body, p[i])
		}
		if f.state == inMethod && f.at == 0 && f.room == f.maxHead {
			found = append(found, message{string(body), i + 1})
			body = nil
		}
	}
	return found
}

// referee returns the whole requests in p as Go's own reader sees them, and whether it stopped because it
// would not have the next one, rather than for want of bytes.
func referee(p []byte) (found []message, strict bool) {
	input := bytes.NewReader(p)
	buffered := bufio.NewReader(input)
	for {
		r, err := http.ReadRequest(buffered)
		if err != nil {
			return found, !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF)
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return found, !errors.Is(err, io.ErrUnexpectedEOF) && !strings.Contains(err.Error(), "unexpected EOF")
		}
		found = append(found, message{string(body), len(p) - input.Len() - buffered.Buffered()})
	}
}

// FuzzGuard states that what the guard lets through holds the same requests for it and for Go's server,
// with the same bodies, ending at the same bytes, and that this does not hang on how the bytes arrive.
func FuzzGuard(f *testing.F) {
	for _, c := range refused {
		f.Add([]byte(c.bytes), uint64(1))
	}
	for _, c := range passing {
		f.Add([]byte(c.bytes), uint64(0x1234_5678_9abc_def0))
	}
	f.Fuzz(func(t *testing.T, input []byte, pieces uint64) {
		if len(input) > 1<<16 {
			return
		}
		parser := newParser(testHeadBytes)
		good, ok := parser.feed(input)

		if got, gotErr := deliver(input, pieces); !ok {
			if want := string(input[:good]) + poison; got != want || !errors.Is(gotErr, ErrRefused) {
				t.Fatalf("in pieces %q, %v arrives, whole %q and refused", got, gotErr, want)
			}
		} else if got != string(input) || gotErr != io.EOF {
			t.Fatalf("in pieces %q, %v arrives of %q", got, gotErr, input)
		}
		// Half a preface is a request to Go, PRI * HTTP/2.0, after which its server closes the connection.
		if bytes.HasPrefix(input, []byte(preface[:len("PRI * HTTP/2.0\r\n\r\n")])) {
			return
		}
		ours := split(input[:good])
		theirs, strict := referee(input[:good])
		if len(theirs) > len(ours) || len(theirs) < len(ours) && !strict {
			t.Fatalf("the guard sees %d requests in %q, Go sees %d", len(ours), input[:good], len(theirs))
		}
		for i := range theirs {
			if ours[i] != theirs[i] {
				t.Fatalf("request %d of %q is %+v for the guard and %+v for Go", i, input[:good], ours[i], theirs[i])
			}
		}
		// What the server gets in place of the rest is no request, nor the end of one.
		if !ok {
			if all, strict := referee(append(input[:good:good], poison...)); len(all) != len(theirs) || !strict {
				t.Fatalf("behind %q Go takes the poison for something", input[:good])
			}
		}
	})
}

// deliver returns what a server reads of input, which arrives in pieces.
func deliver(input []byte, pieces uint64) (string, error) {
	c := newConn(&scripted{rest: input, pieces: pieces}, Options{MaxHeaderBytes: testHeadBytes})
	var got strings.Builder
	buf := make([]byte, 1+pieces%7)
	for {
		n, err := c.Read(buf)
		got.Write(buf[:n])
		if err != nil {
			return got.String(), err
		}
	}
}
