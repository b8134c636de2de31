package redisstore

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

const password = "hunter2"

func TestRefusesURL(t *testing.T) {
	for _, url := range []string{
		"", "hunter2", "redis", "127.0.0.1:6379", "http://:hunter2@h", "postgres://u:hunter2@h/db", "hunter2://h", "unix://", "unix://u:hunter2@",
		"redis://u:hunter2@h:port", "redis://u:hunter2@h:-1", "redis://u:hunter2@h/0/1", "redis://u:hunter2@h/database", "redis://u:hunter2@h/0?db=x",
		// what a password may do to a URL
		"redis://u:12/hunter2@h:6379", "redis://u:12?hunter2@h:6379", "redis://u:12#hunter2@h:6379", "redis://u:%zzhunter2@h", "redis://u:hunter2 @h",
		"redis://u:hunter2/@h", "redis://u:hunter2?@h", "redis://u:hunter2#@h", "redis://u:[hunter2@h", "redis://u:hunter2\x00@h", "redis://u:hunter2@@[h",
		// options
		"redis://u:hunter2@h?hunter2=1", "redis://u:hunter2@h?read_timeout=hunter2", "redis://u:hunter2@h?pool_size=hunter2", "redis://u:hunter2@h?pool_fifo=hunter2",
		"redis://u:hunter2@h?pool_size=-1", "redis://u:hunter2@h?pool_size=1000000000", "redis://u:hunter2@h?min_idle_conns=1000000000", "redis://u:hunter2@h?pool_size=9999999999999999999",
	} {
		s, err := Open(url)
		if err == nil {
			s.Close()
			t.Errorf("Open(%q) did", url)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("Open(%q): the error tells the password: %v", url, err)
		}
	}
}

func TestTakesURL(t *testing.T) {
	for _, url := range []string{
		"redis://h", "redis://h:6379/3", "redis://u:hunter2@h:6379/0", "redis://:hunter2@h", "redis://u:%2F%3F%23%40%25@h", "rediss://h", "unix:///s", "unix://u:p@/s?db=1",
		"redis://[::1]:1", "redis://h?read_timeout=-1&dial_timeout=0&pool_timeout=0", "redis://h?protocol=3&max_retries=9", "redis://h?pool_size=1&max_active_conns=-1&max_idle_conns=-1&min_idle_conns=-1",
		"redis://h?max_concurrent_dials=-1&conn_max_lifetime=1s&conn_max_lifetime_jitter=2s&pipeline_pool_size=9",
	} {
		s, err := Open(url)
		if err != nil {
			t.Errorf("Open(%q): %v", url, err)
			continue
		}
		s.Close()
	}
}

func TestBoundsOfAClient(t *testing.T) {
	optionsOf := func(url string) *redis.Options { return openAt(t, url).client.(*redis.Client).Options() }
	if s, err := Open("redis://h"); err != nil || s.timeout != callTimeout {
		t.Errorf("Open = %v, and a call takes %v", err, s.timeout)
	} else {
		s.Close()
	}
	o := optionsOf("redis://h")
	if o.DialTimeout != dialTimeout || o.ReadTimeout != ioTimeout || o.WriteTimeout != ioTimeout || o.PoolTimeout != poolTimeout || o.PoolSize != poolSize {
		t.Errorf("%v to dial, %v to read, %v to write, %v for one of %d connections", o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout, o.PoolSize)
	}
	o = optionsOf("redis://h?read_timeout=2s&pool_size=3&max_retries=9&protocol=3")
	if o.ReadTimeout != 2*time.Second || o.PoolSize != 3 {
		t.Errorf("%v to read, %d connections: the URL says otherwise", o.ReadTimeout, o.PoolSize)
	}
	if o.MaxRetries != 0 || o.DialerRetries != 1 || !o.ContextTimeoutEnabled || o.Protocol != 2 {
		t.Errorf("%d retries, %d tries to dial, contexts matter: %t, RESP%d", o.MaxRetries, o.DialerRetries, o.ContextTimeoutEnabled, o.Protocol)
	}
}

func TestLogsIn(t *testing.T) {
	m := miniredis.RunT(t)
	m.RequireUserAuth("ada", password)
	for url, want := range map[string]string{
		"redis://ada:hunter2@" + m.Addr(): "",
		"redis://ada:wrong@" + m.Addr():   "WRONGPASS",
		"redis://" + m.Addr():             "NOAUTH",
	} {
		err := openAt(t, url).Ping(t.Context())
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("Ping at %s = %v, want %q", url, err, want)
		}
	}
}

// answering starts a server that answers each of what a client sends at a time with what answer makes of it.
func answering(t *testing.T, answer func(asked string) string) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	t.Cleanup(func() {
		l.Close()
		group.Wait()
	})
	group.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			group.Go(func() {
				defer c.Close()
				stop := context.AfterFunc(t.Context(), func() { c.Close() })
				defer stop()
				asked := make([]byte, 64<<10)
				for {
					n, err := c.Read(asked)
					if err != nil {
						return
					}
					if _, err := c.Write([]byte(answer(string(asked[:n])))); err != nil {
						return
					}
				}
			})
		}
	})
	return l.Addr().String()
}

// A server that does not know a command repeats it. With HELLO and AUTH comes the password.
func TestErrorsTellNoPassword(t *testing.T) {
	long := strings.Repeat("x", 150) + password
	for _, secret := range []string{password, `hun"ter2`, "hun'ter2", "hun`ter2", long, "hunter2\n"} {
		for name, answer := range map[string]func(asked string) string{
			"as Redis does": func(asked string) string {
				return "-ERR unknown command `AUTH`, with args beginning with: `" + secret + "`, \r\n"
			},
			"in quotes": func(asked string) string {
				return "-ERR unknown command 'AUTH', with args beginning with: '" + secret + "' \r\n"
			},
			"cut short": func(asked string) string {
				return "-ERR unknown command 'AUTH', with args beginning with: '" + secret[:min(len(secret), 128)] + "' \r\n"
			},
			"bare":             func(asked string) string { return "-ERR what is AUTH " + secret + "\r\n" },
			"all it was asked": func(asked string) string { return asked },
			"as an error":      func(asked string) string { return "-" + asked },
			"as no reply":      func(asked string) string { return "?" + secret + "\r\n" },
			"as no line":       func(asked string) string { return "?" + secret + "\n\n" },
			"as a number":      func(asked string) string { return ":" + secret + "\r\n" },
			"as a length":      func(asked string) string { return "$" + secret + "\r\n" },
		} {
			t.Run(fmt.Sprintf("%.10q %s", secret, name), func(t *testing.T) {
				url := "redis://:" + strings.NewReplacer("\"", "%22", "`", "%60", "\n", "%0A").Replace(secret) + "@" + answering(t, answer)
				s := openAt(t, url)
				for call, do := range calls {
					err := do(t.Context(), s, "key")
					if err == nil {
						t.Errorf("%s did", call)
						continue
					}
					for _, part := range []string{"hunter2", "ter2", secret, strings.Repeat("x", 20)} {
						if strings.Contains(err.Error(), part) {
							t.Errorf("%s tells %.20q of the password: %v", call, part, err)
						}
					}
				}
			})
		}
	}
}

// recorder is a logger of go-redis.
type recorder struct {
	mu    sync.Mutex
	lines []string
}

func (r *recorder) Printf(_ context.Context, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, fmt.Sprintf(format, args...))
}

func TestTheClientLogsNothing(t *testing.T) {
	log := new(recorder)
	redis.SetLogger(log)
	o := &redis.Options{Addr: "127.0.0.1:1", DialerRetries: 1}
	loud := redis.NewClient(o)
	defer loud.Close()
	if err := loud.Ping(t.Context()).Err(); err == nil || len(log.lines) == 0 {
		t.Fatalf("the client has nothing to log: %v", err)
	}
	log.lines = nil
	s := openAt(t, "redis://:hunter2@127.0.0.1:1")
	for name, call := range calls {
		if err := call(t.Context(), s, "key"); err == nil {
			t.Errorf("%s did", name)
		}
	}
	log.mu.Lock()
	defer log.mu.Unlock()
	if len(log.lines) > 0 {
		t.Errorf("it logged %q", log.lines)
	}
}
