package main

import (
	"net"
	"testing"
	"time"
)

func TestConnectionsAreBounded(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := newBoundedListener(inner, 2)
	accepted := make(chan net.Conn)
	go func() {
		defer close(accepted)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	dial := func() net.Conn {
		t.Helper()
		c, err := net.DialTimeout("tcp", inner.Addr().String(), patience)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	dial()
	first := <-accepted
	dial()
	second := <-accepted
	refused := dial()
	refused.SetDeadline(time.Now().Add(patience))
	if _, err := refused.Read(make([]byte, 1)); err == nil {
		t.Error("a third client is served")
	}
	first.Close()
	first.Close() // makes room once
	dial()
	third := <-accepted
	another := dial()
	another.SetDeadline(time.Now().Add(patience))
	if _, err := another.Read(make([]byte, 1)); err == nil {
		t.Error("one connection that was closed made room for two")
	}
	second.Close()
	third.Close()
	l.Close()
	<-accepted
}
