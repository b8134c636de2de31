package proxy

import (
	"bufio"
	"io"
	"testing"
	"time"
)

// Who announces a body and does not send it is answered at once where the answer does not hang on it, and holds
// nothing for longer than a client may pause.
func TestBodyThatDoesNotComeEndsTheConnection(t *testing.T) {
	const head = " /v1/proxy/api/users/1 HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n"
	for _, c := range []struct {
		name, request string
		status        int // 0: none, as the request never came whole
	}{
		{"a denied one", "GET" + head + "\r\n", 401},
		{"an allowed one", "GET" + head + reader + "\r\n\r\nhalf", 0},
		{"an allowed one of chunks", "GET /v1/proxy/api/users/1 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n" + reader + "\r\n\r\n5\r\nha", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			upstream := listen(t, always(okAnswer))
			d := open(t, Options{ClientIdle: 50 * time.Millisecond}, map[string]string{"default": "http://" + upstream.address})
			conn := d.connect(t)
			if _, err := io.WriteString(conn, c.request); err != nil {
				t.Fatal(err)
			}
			r := bufio.NewReader(conn)
			if c.status != 0 {
				if answer, _ := readAnswer(t, r, "GET"); answer.StatusCode != c.status {
					t.Errorf("answered %d, want %d", answer.StatusCode, c.status)
				}
			}
			if _, err := r.ReadByte(); err != io.EOF {
				t.Errorf("the connection is still there: %v", err)
			}
		})
	}
}

// A client that sends slowly, and does send, is not cut off.
func TestSlowBodyIsNoIdleOne(t *testing.T) {
	upstream := listen(t, always(okAnswer))
	const idle = 2 * time.Second
	d := open(t, Options{ClientIdle: idle}, map[string]string{"default": "http://" + upstream.address})
	conn := d.connect(t)
	if _, err := io.WriteString(conn, "GET /v1/proxy/api/users/1 HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n"+reader+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(idle / 8)
	defer tick.Stop()
	for range 10 { // longer in all than it may pause
		<-tick.C
		if _, err := io.WriteString(conn, "x"); err != nil {
			t.Fatal(err)
		}
	}
	if answer, _ := readAnswer(t, bufio.NewReader(conn), "GET"); answer.StatusCode != 200 {
		t.Errorf("answered %d", answer.StatusCode)
	}
}
