package e2e

import (
	"bufio"
	"context"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/passgate/passgate/internal/redistest"
)

// spilled looks at the end of a test for secrets where they must not be: in the logs of passgate, in every
// command that Redis was sent during the whole test, and in what Redis then holds.
type spilled struct {
	mu      sync.Mutex
	people  int
	secrets []string
	logs    []string // names of files
	monitor strings.Builder
}

func newSpilled(t *testing.T) *spilled {
	s := &spilled{}
	t.Cleanup(func() { s.look(t) })
	return s
}

func (s *spilled) add(secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secrets = append(s.secrets, secret)
}

func (s *spilled) watchLog(file string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logs = append(s.logs, file)
}

// watchRedis listens to all that Redis is sent, until it ends.
func (s *spilled) watchRedis(t *testing.T, server *redistest.Server) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", server.Addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "MONITOR\r\n"); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	if line, err := r.ReadString('\n'); err != nil || line != "+OK\r\n" {
		t.Fatalf("MONITOR: %q, %v", line, err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			s.mu.Lock()
			s.monitor.WriteString(line)
			s.mu.Unlock()
		}
	}()
	t.Cleanup(func() { // before [spilled.look], which was registered earlier
		for _, held := range dump(t, server) {
			s.mu.Lock()
			s.monitor.WriteString(held + "\n")
			s.mu.Unlock()
		}
		conn.Close()
		<-done
	})
}

// dump returns every key and value of a Redis; nothing if it does not answer any more.
func dump(t *testing.T, server *redistest.Server) []string {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: server.Addr, MaxRetries: -1, DialTimeout: time.Second})
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience) // the test's own ends before its cleanups
	defer cancel()
	keys, err := client.Keys(ctx, "*").Result()
	if err != nil {
		return nil
	}
	all := keys
	for _, key := range keys {
		switch kind := client.Type(ctx, key).Val(); kind {
		case "hash":
			for field, value := range client.HGetAll(ctx, key).Val() {
				all = append(all, field, value)
			}
		case "string":
			all = append(all, client.Get(ctx, key).Val())
		case "none": // it has run out
		default:
			t.Errorf("the key %s is a %s, which this test does not read", key, kind)
		}
	}
	return all
}

// look fails the test if a secret has been spilled.
func (s *spilled) look(t *testing.T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, file := range s.logs {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Error(err)
		}
		s.search(t, "the log", string(text))
	}
	s.search(t, "Redis", s.monitor.String())
}

func (s *spilled) search(t *testing.T, where, text string) {
	for _, secret := range append(s.secrets, secret) {
		if i := strings.Index(text, secret); i >= 0 {
			t.Errorf("%s holds %q: …%s", where, secret, text[max(0, i-200):i])
		}
	}
	// Whatever a token, a hash or a user's id is, it begins so.
	for _, mark := range []string{"eyJ", "$2a$10$"} {
		if i := strings.Index(text, mark); i >= 0 {
			t.Errorf("%s holds what looks like a secret: …%s", where, text[max(0, i-200):min(len(text), i+40)])
		}
	}
	if where == "Redis" {
		if i := strings.Index(text, "user_"); i >= 0 {
			t.Errorf("Redis holds a user id: …%s", text[max(0, i-200):i])
		}
	}
}
