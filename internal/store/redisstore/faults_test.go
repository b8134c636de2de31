package redisstore

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/passgate/passgate/internal/idempotency"
	"github.com/passgate/passgate/internal/redistest"
)

// middle stands between a client and a Redis, and does to the answers what a test wants.
type middle struct {
	addr string

	mu      sync.Mutex
	change  func(reply []byte) []byte // what becomes of a reply
	hang    bool                      // none comes
	cut     bool                      // the connection ends after it
	held    chan struct{}             // what comes waits for this to be closed, nil if it need not
	waiting chan struct{}             // gets one for each reply that waits
}

// between starts a middle before the Redis at an address. It lets everything through until it is told otherwise.
func between(t *testing.T, redis string) *middle {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &middle{addr: l.Addr().String(), waiting: make(chan struct{}, 100)}
	ctx, stop := context.WithCancel(context.Background())
	var group sync.WaitGroup
	t.Cleanup(func() {
		stop()
		l.Close()
		group.Wait()
	})
	group.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", redis)
			if err != nil {
				client.Close()
				continue
			}
			closeBoth := func() { client.Close(); server.Close() }
			context.AfterFunc(ctx, closeBoth)
			group.Go(func() { defer closeBoth(); io.Copy(server, client) })
			group.Go(func() { defer closeBoth(); m.answer(ctx, client, server) })
		}
	})
	return m
}

func (m *middle) answer(ctx context.Context, client, server net.Conn) {
	reply := make([]byte, 128<<10)
	for {
		n, err := server.Read(reply)
		if err != nil {
			return
		}
		m.mu.Lock()
		change, hang, cut, held := m.change, m.hang, m.cut, m.held
		m.mu.Unlock()
		out := reply[:n]
		if held != nil {
			m.waiting <- struct{}{}
			select {
			case <-held:
			case <-ctx.Done():
			}
		}
		if hang {
			continue
		}
		if change != nil {
			out = change(out)
		}
		if _, err := client.Write(out); err != nil || cut {
			return
		}
	}
}

func (m *middle) set(change func([]byte) []byte, hang, cut bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.change, m.hang, m.cut = change, hang, cut
}

func (m *middle) hold(until chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held = until
}

// quick makes time-outs short enough to be waited for, and long enough for a machine that is busy.
const quick = "?read_timeout=250ms"

// patient gives a machine that is busy, with TLS above all, what time a call has.
const patient = "dial_timeout=1h&read_timeout=1h&write_timeout=1h&pool_timeout=1h"

// working claims and finishes a key of its own, and must be the first to do so.
func working(t *testing.T, s *Store, key string) {
	t.Helper()
	if e, err := s.Claim(t.Context(), key, someClaim()); err != nil || !e.Owned {
		t.Errorf("Claim of %s = %+v, %v", key, e, err)
	}
	if err := s.Finish(t.Context(), key, "owner", []byte("answer")); err != nil {
		t.Errorf("Finish of %s: %v", key, err)
	}
}

// failing makes every call, and each must fail: with an error that says so, by itself.
func failing(t *testing.T, s *Store, key string) {
	t.Helper()
	for name, call := range calls {
		if err := call(t.Context(), s, key); err == nil || errors.Is(err, idempotency.ErrLost) {
			t.Errorf("%s = %v, while Redis is at fault", name, err)
		}
	}
}

// faulty runs a test with stores over a faulty Redis: calls fail while the fault lasts, whether connections were
// made before it or not, and the first one after it works.
func faulty(t *testing.T, url string, bring, end func()) {
	t.Helper()
	before, during := openAt(t, url), openAt(t, url)
	working(t, before, t.Name()+" 1")
	bring()
	var group sync.WaitGroup
	group.Go(func() { failing(t, before, t.Name()+" 2") })
	group.Go(func() { failing(t, during, t.Name()+" 3") })
	group.Wait()
	end()
	working(t, before, t.Name()+" 4")
	working(t, during, t.Name()+" 5")
}

func TestFaultyAnswers(t *testing.T) {
	m := miniredis.RunT(t)
	always := func(reply string) func([]byte) []byte { return func([]byte) []byte { return []byte(reply) } }
	for _, fault := range []struct {
		name      string
		change    func([]byte) []byte
		hang, cut bool
	}{
		{name: "none", hang: true},
		{name: "hang-up", change: always(""), cut: true},
		{name: "half", change: func(b []byte) []byte { return b[:len(b)/2] }, cut: true},
		{name: "half and no more", change: func(b []byte) []byte { return b[:len(b)/2] }},
		{name: "nothing but ends of lines", change: always("\r\n\r\n\r\n")},
		{name: "another protocol", change: always("HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n\r\n400 Bad Request")},
		{name: "TLS alert", change: always("\x15\x03\x01\x00\x02\x02\x0a")},
		{name: "bytes that are turned", change: func(b []byte) []byte {
			turned := make([]byte, len(b))
			for i := range b {
				turned[i] = b[i] ^ 0x55
			}
			return turned
		}},
		{name: "good status", change: always("+OK\r\n")},
		{name: "a number that no call returns", change: always(":7\r\n")},
		{name: "nil", change: always("$-1\r\n")},
		{name: "nil list", change: always("*-1\r\n")},
		{name: "empty list", change: always("*0\r\n")},
		{name: "too short a list", change: always("*2\r\n:1\r\n$6\r\ndigest\r\n")},
		{name: "owned with an answer", change: always("*4\r\n:1\r\n$6\r\ndigest\r\n$4\r\nplan\r\n$6\r\nanswer\r\n")},
		{name: "owned with another digest", change: always("*4\r\n:1\r\n$6\r\nDIGEST\r\n$4\r\nplan\r\n$-1\r\n")},
		{name: "list of errors", change: always("*4\r\n-ERR\r\n-ERR\r\n-ERR\r\n-ERR\r\n")},
		{name: "map", change: always("%1\r\n+owned\r\n:1\r\n")},
		{name: "longer than memory", change: always("$9223372036854775807\r\n")},
		{name: "more than memory has", change: always("*9223372036854775807\r\n")},
		{name: "deeper than a stack", change: always(strings.Repeat("*1\r\n", 100_000))},
		{name: "without an end", change: always(strings.Repeat("+", 4<<20))},
		{name: "starting", change: always("-LOADING Redis is loading the dataset in memory\r\n")},
		{name: "read only", change: always("-READONLY You can't write against a read only replica.\r\n")},
		{name: "out of memory", change: always("-OOM command not allowed when used memory > 'maxmemory'.\r\n")},
		{name: "moved", change: always("-MOVED 3999 127.0.0.1:1\r\n")},
	} {
		t.Run(fault.name, func(t *testing.T) {
			middle := between(t, m.Addr())
			faulty(t, "redis://"+middle.addr+quick,
				func() { middle.set(fault.change, fault.hang, fault.cut) },
				func() { middle.set(nil, false, false) })
		})
	}
}

func TestFaultyServer(t *testing.T) {
	server := redistest.Start(t)
	t.Run("gone", func(t *testing.T) { faulty(t, server.URL(), server.Stop, server.Restart) })
	t.Run("still", func(t *testing.T) { faulty(t, server.URL()+quick, server.Pause, server.Resume) })
	t.Run("still, with the times that it has by itself", func(t *testing.T) {
		s := openAt(t, server.URL())
		s.timeout = callTimeout
		server.Pause()
		failing(t, s, "key")
		server.Resume()
	})
	c := clientOf(t, server.URL())
	tell := func(t *testing.T, words ...any) func() {
		return func() {
			if err := c.Do(t.Context(), words...).Err(); err != nil {
				t.Error(err)
			}
		}
	}
	// These answer at once; what only reads still works.
	for name, fault := range map[string][2][]any{
		"a replica":     {{"REPLICAOF", "127.0.0.1", "1"}, {"REPLICAOF", "NO", "ONE"}},
		"out of memory": {{"CONFIG", "SET", "maxmemory", "1"}, {"CONFIG", "SET", "maxmemory", "0"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := openAt(t, server.URL())
			tell(t, fault[0]...)()
			for range 2 * mostFailures {
				if _, err := s.Claim(t.Context(), name, someClaim()); err == nil || errors.Is(err, errOpen) {
					t.Errorf("Claim = %v", err)
				}
			}
			tell(t, fault[1]...)()
			working(t, s, name)
		})
	}
}

// Open does not need Redis, and neither does a call that comes after it is there.
func TestRedisComesLater(t *testing.T) {
	server := redistest.Start(t)
	server.Stop()
	s := openAt(t, server.URL())
	failing(t, s, "key")
	server.Restart()
	working(t, s, "key")
}

// overTLS starts a Redis that speaks TLS, by a certificate that nobody knows, and returns what it was started with.
func overTLS(t *testing.T) (*miniredis.Miniredis, *tls.Config) {
	t.Helper()
	ts := httptest.NewUnstartedServer(nil)
	ts.StartTLS()
	defer ts.Close()
	config := &tls.Config{Certificates: ts.TLS.Certificates}
	m := miniredis.NewMiniRedis()
	if err := m.StartTLS(config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m, config
}

func TestTLS(t *testing.T) {
	m, _ := overTLS(t)
	if err := openAt(t, "rediss://"+m.Addr()+"?"+patient).Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("Ping of a server that nobody knows = %v", err)
	}
	if err := openAt(t, "redis://"+m.Addr()).Ping(t.Context()); err == nil {
		t.Error("Ping without TLS did")
	}
	working(t, openAt(t, "rediss://"+m.Addr()+"?skip_verify=true&"+patient), "key")
}

// Connections that ended while they were idle are not used again: no call pays for a Redis that was started anew.
// The others are.
func TestIdleConnections(t *testing.T) {
	server := redistest.Start(t)
	plain := miniredis.RunT(t)
	secured, config := overTLS(t)
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		url     string
		restart func()
		m       *miniredis.Miniredis
	}{
		"tcp":  {server.URL() + "?" + patient, server.Restart, nil},
		"unix": {server.SocketURL() + "?" + patient, server.Restart, nil},
		"mini": {"redis://" + plain.Addr() + "?" + patient, func() { plain.Close(); must(plain.Restart()) }, plain},
		"tls": {"rediss://" + secured.Addr() + "?skip_verify=true&" + patient, func() {
			addr := secured.Addr()
			secured.Close()
			must(secured.StartAddrTLS(addr, config))
		}, secured},
	} {
		t.Run(name, func(t *testing.T) {
			s := openAt(t, test.url)
			var group sync.WaitGroup
			for i := range poolSize {
				group.Go(func() { working(t, s, fmt.Sprint(name, " before ", i)) })
			}
			group.Wait()
			test.restart()
			for i := range 2 * poolSize {
				working(t, s, fmt.Sprint(name, " after ", i))
			}
			if test.m != nil && test.m.TotalConnectionCount() > poolSize+2 {
				t.Errorf("%d connections were made", test.m.TotalConnectionCount())
			}
		})
	}
}

// An answer that comes when nobody waits for it any more is not taken for that of the next call.
func TestLateAnswer(t *testing.T) {
	m := miniredis.RunT(t)
	middle := between(t, m.Addr())
	s := openAt(t, "redis://"+middle.addr+quick)
	working(t, s, "before")
	release := make(chan struct{})
	middle.hold(release)
	if _, err := s.Claim(t.Context(), "late", someClaim()); err == nil {
		t.Fatal("Claim took an answer that did not come")
	}
	<-middle.waiting
	middle.hold(nil)
	close(release)
	stranger := someClaim()
	stranger.Owner = "stranger"
	for range 10 {
		// The claim was heard all the same.
		if e, err := s.Claim(t.Context(), "late", stranger); err != nil || e.Owned {
			t.Errorf("Claim = %+v, %v", e, err)
		}
		if err := s.Finish(t.Context(), "late", "stranger", nil); !errors.Is(err, idempotency.ErrLost) {
			t.Errorf("Finish = %v", err)
		}
	}
	// And whoever asks again finds that the lease is its own.
	if e, err := s.Claim(t.Context(), "late", someClaim()); err != nil || !e.Owned {
		t.Errorf("Claim = %+v, %v", e, err)
	}
}

func TestDeadlineOfTheCaller(t *testing.T) {
	server := redistest.Start(t)
	s := openAt(t, server.URL()+"?pool_size=1&"+patient)
	working(t, s, "key")
	server.Pause()
	defer server.Resume()
	for name, call := range calls {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if err := call(ctx, s, "key"); err == nil || errors.Is(err, idempotency.ErrLost) {
			t.Errorf("%s = %v", name, err)
		}
		cancel()
	}
	s.timeout = callTimeout
	if err := s.Ping(t.Context()); err == nil { // a second, whatever the URL says
		t.Error("Ping did")
	}
}

func TestOpenBreakerSendsNothing(t *testing.T) {
	c := newClock()
	m := miniredis.RunT(t)
	middle := between(t, m.Addr())
	s := openBy(t, "redis://"+middle.addr+quick, c.Now)
	middle.set(nil, true, false)
	for range mostFailures {
		if err := s.Ping(t.Context()); err == nil || errors.Is(err, errOpen) {
			t.Fatalf("Ping = %v", err)
		}
	}
	before := s.Commands()
	failing(t, s, "key")
	if err := s.Ping(t.Context()); !errors.Is(err, errOpen) || s.Commands() != before {
		t.Errorf("Ping = %v, after %d calls of Redis", err, s.Commands()-before)
	}
	middle.set(nil, false, false)
	if err := s.Ping(t.Context()); !errors.Is(err, errOpen) {
		t.Errorf("Ping before the pause is over = %v", err)
	}
	c.advance(pause)
	working(t, s, "key")
}

// Callers that go away do not open the breaker, and neither do answers that are errors.
func TestWhatTheBreakerDoesNotCount(t *testing.T) {
	m := miniredis.RunT(t)
	middle := between(t, m.Addr())
	s := openAt(t, "redis://"+middle.addr+"?"+patient)
	middle.set(func([]byte) []byte { return nil }, false, true)
	for range 2 * mostFailures {
		hangUp := make(chan struct{})
		middle.hold(hangUp)
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan error)
		go func() { gone <- s.Ping(ctx) }()
		<-middle.waiting
		cancel()
		close(hangUp)
		if err := <-gone; err == nil || errors.Is(err, errOpen) {
			t.Fatalf("Ping = %v", err)
		}
	}
	middle.hold(nil)
	middle.set(nil, false, false)
	working(t, s, "key")
	late, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	for range 2 * mostFailures {
		if err := s.Ping(late); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Ping = %v", err)
		}
	}
	m.SetError("ERR not today")
	for range 2 * mostFailures {
		if err := s.Ping(t.Context()); err == nil || errors.Is(err, errOpen) {
			t.Fatalf("Ping = %v", err)
		}
	}
	m.SetError("")
	for range 2 * mostFailures {
		if err := s.Finish(t.Context(), "no such key", "owner", nil); !errors.Is(err, idempotency.ErrLost) {
			t.Fatalf("Finish = %v", err)
		}
	}
	working(t, s, "another key")
}
