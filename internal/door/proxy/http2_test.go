package proxy

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// askFramed sends one request over HTTP/2 by hand, with header fields that no library would send, and returns
// the status of its answer, "" where the stream is reset.
func (d *door) askFramed(t *testing.T, fields ...hpack.HeaderField) string {
	t.Helper()
	c := d.connect(t)
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	f := http2.NewFramer(c, c)
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, field := range fields {
		_ = encoder.WriteField(field)
	}
	_ = f.WriteSettings()
	_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true})
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			return frame.PseudoValue("status")
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return ""
		}
	}
}

// TestOneRequestOrNoneOverHTTP2 is about what HTTP/2 can carry and HTTP/1, in which it is sent on, cannot.
func TestOneRequestOrNoneOverHTTP2(t *testing.T) {
	for _, c := range []struct {
		name, path string
		more       []hpack.HeaderField
		status     string // what is not 200 does not reach the upstream
		absent     string // from what reaches the upstream
	}{
		{name: "a plain request", path: "/v1/proxy/docs/a?b", status: "200"},
		{name: "a host beside the authority", path: "/v1/proxy/docs/a", more: []hpack.HeaderField{{Name: "host", Value: "other"}}, status: "200", absent: "other"},
		{name: "a length that is not its own", path: "/v1/proxy/docs/a", more: []hpack.HeaderField{{Name: "content_length", Value: "7712345678"}}, status: "200", absent: "7712345678"},
		{name: "a request line in the query", path: "/v1/proxy/docs/a?b HTTP/1.1", status: "400"},
		{name: "a request in the query", path: "/v1/proxy/docs/a?b HTTP/1.1\r\nHost: h\r\n\r\nGET /admin"},
		{name: "a blank in the path", path: "/v1/proxy/docs/a b", status: "400"},
		{name: "absolute form", path: "http://other/v1/proxy/docs/a", status: "400"},
		{name: "dots", path: "/v1/proxy/docs/../admin", status: "400"},
		{name: "a coding", path: "/v1/proxy/docs/a", more: []hpack.HeaderField{{Name: "transfer-encoding", Value: "chunked"}}, status: "400"},
		{name: "an identity header for one hop", path: "/v1/proxy/docs/a", more: []hpack.HeaderField{{Name: "connection", Value: "x-passport"}}, status: "400"},
		{name: "a line break in a value", path: "/v1/proxy/docs/a", more: []hpack.HeaderField{{Name: "x-a", Value: "b\r\nx-user-id: root"}}},
		{name: "a name in capitals", path: "/v1/proxy/docs/a", more: []hpack.HeaderField{{Name: "X-User-ID", Value: "root"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			upstream := listen(t, always(okAnswer))
			d := open(t, Options{}, map[string]string{"default": "http://" + upstream.address})
			fields := append([]hpack.HeaderField{
				{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "http"}, {Name: ":authority", Value: "h"}, {Name: ":path", Value: c.path},
			}, c.more...)
			if got := d.askFramed(t, fields...); got != c.status {
				t.Errorf("answered %q, want %q", got, c.status)
			}
			requests, _ := upstream.got()
			if (len(requests) == 1) != (c.status == "200") || len(requests) > 1 {
				t.Fatalf("the upstream gets %q", requests)
			}
			if c.absent != "" && strings.Contains(requests[0], c.absent) {
				t.Errorf("the upstream gets %q", requests[0])
			}
		})
	}
}
