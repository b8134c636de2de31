package e2e

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// sendHTTP2 sends one request over HTTP/2 with prior knowledge, its fields byte for byte as given, and returns
// the answer. Pseudo-headers that are not among the fields are added. Trailers, if any, end the request.
func sendHTTP2(t *testing.T, addr string, fields, trailers []line) response {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	io.WriteString(conn, http2.ClientPreface)
	framer := newFramer(conn)
	framer.WriteSettings()
	framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: 1, EndHeaders: true, EndStream: len(trailers) == 0,
		BlockFragment: encode(append(pseudo(fields), fields...)),
	})
	if len(trailers) > 0 {
		framer.WriteData(1, false, []byte("body"))
		framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndHeaders: true, EndStream: true, BlockFragment: encode(trailers)})
	}
	return readAnswer(t, framer)
}

// pseudo returns the pseudo-headers that fields lack.
func pseudo(fields []line) []line {
	missing := []line{{":method", "GET"}, {":scheme", "http"}, {":authority", "api.example.com"}, {":path", "/"}}
	kept := missing[:0]
	for _, m := range missing {
		if (&received{headers: fields}).values(m.name) == nil {
			kept = append(kept, m)
		}
	}
	return kept
}

func newFramer(conn net.Conn) *http2.Framer {
	framer := http2.NewFramer(conn, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	return framer
}

func encode(fields []line) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for _, f := range fields {
		e.WriteField(hpack.HeaderField{Name: f.name, Value: f.value}) // into memory: cannot fail
	}
	return b.Bytes()
}

// readAnswer reads frames until stream 1 ends.
func readAnswer(t *testing.T, framer *http2.Framer) response {
	t.Helper()
	var answer response
	for {
		frame, err := framer.ReadFrame()
		if err == io.EOF {
			answer.reset = true // Envoy closes the connection on a broken request
			return answer
		}
		if err != nil {
			t.Fatalf("read HTTP/2 answer: %v", err)
		}
		ended := false
		switch f := frame.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				framer.WriteSettingsAck()
			}
		case *http2.RSTStreamFrame:
			answer.reset = true
			return answer
		case *http2.DataFrame:
			answer.body += string(f.Data())
			ended = f.StreamEnded()
		case *http2.MetaHeadersFrame:
			header := http.Header{}
			for _, field := range f.RegularFields() {
				header.Add(field.Name, field.Value)
			}
			if answer.header == nil {
				answer.header = header
				answer.status, _ = strconv.Atoi(f.PseudoValue("status"))
			} else {
				answer.trailer = header
			}
			ended = f.StreamEnded()
		}
		if ended {
			return answer
		}
	}
}

// upstream2 is an HTTP/2 server on a raw socket that records what it gets, trailers included, and answers 200.
type upstream2 struct {
	recorder
	addr string
}

func startHTTP2Upstream(t *testing.T) *upstream2 {
	t.Helper()
	u := &upstream2{}
	u.addr = serveConns(t, u.serve)
	return u
}

// serve answers the requests of one connection. A connection that breaks the protocol is dropped.
func (u *upstream2) serve(conn net.Conn) {
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(conn, preface); err != nil || string(preface) != http2.ClientPreface {
		return
	}
	framer := newFramer(conn)
	framer.WriteSettings()
	open := map[uint32]*received{}
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return
		}
		ended := false
		switch f := frame.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				framer.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				framer.WritePing(true, f.Data)
			}
		case *http2.DataFrame:
			ended = f.StreamEnded()
		case *http2.MetaHeadersFrame:
			if request := open[f.StreamID]; request != nil {
				request.trailers = lines(f.Fields)
			} else {
				open[f.StreamID] = &received{method: f.PseudoValue("method"), target: f.PseudoValue("path"), headers: lines(f.Fields)}
			}
			ended = f.StreamEnded()
		}
		if id := frame.Header().StreamID; ended && open[id] != nil {
			u.record(open[id])
			delete(open, id)
			framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, EndHeaders: true, EndStream: true, BlockFragment: encode([]line{{":status", "200"}})})
		}
	}
}

// lines are the fields without pseudo-headers.
func lines(fields []hpack.HeaderField) []line {
	var ls []line
	for _, f := range fields {
		if !strings.HasPrefix(f.Name, ":") {
			ls = append(ls, line{f.Name, f.Value})
		}
	}
	return ls
}
