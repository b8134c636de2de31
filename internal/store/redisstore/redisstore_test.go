package redisstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/passgate/passgate/internal/idempotency"
	"github.com/passgate/passgate/internal/idempotency/storetest"
	"github.com/passgate/passgate/internal/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func openAt(t testing.TB, url string) *Store {
	t.Helper()
	return openBy(t, url, time.Now)
}

// openBy opens a store whose breaker goes by a clock, and whose calls have time enough on a machine that is busy.
func openBy(t testing.TB, url string, now func() time.Time) *Store {
	t.Helper()
	s, err := open(url, now)
	if err != nil {
		t.Fatal(err)
	}
	s.timeout = 20 * time.Second
	t.Cleanup(func() { s.Close() })
	return s
}

// clientOf returns a client of the test's own.
func clientOf(t testing.TB, url string) *redis.Client {
	t.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(o)
	t.Cleanup(func() { c.Close() })
	return c
}

func TestContract(t *testing.T) {
	t.Run("miniredis", func(t *testing.T) {
		m := miniredis.RunT(t)
		now := time.Unix(1_700_000_000, 0)
		m.SetTime(now)
		storetest.Run(t, func(t *testing.T) idempotency.Store { return openAt(t, "redis://"+m.Addr()) }, func(d time.Duration) {
			now = now.Add(d)
			m.SetTime(now)
			m.FastForward(d)
		})
	})
	t.Run("redis", func(t *testing.T) {
		server := redistest.Start(t)
		c := clientOf(t, server.URL())
		storetest.Run(t, func(t *testing.T) idempotency.Store { return openAt(t, server.SocketURL()) }, func(d time.Duration) {
			for end := timeOf(t, c).Add(d); timeOf(t, c).Before(end); {
				time.Sleep(time.Millisecond)
			}
		})
	})
}

// timeOf returns what the clock says that leases and lives go by.
func timeOf(t testing.TB, c *redis.Client) time.Time {
	t.Helper()
	now, err := c.Time(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	return now
}

// servers runs a test over miniredis and over a real Redis.
func servers(t *testing.T, test func(t *testing.T, url string)) {
	t.Run("miniredis", func(t *testing.T) { test(t, "redis://"+miniredis.RunT(t).Addr()) })
	t.Run("redis", func(t *testing.T) { test(t, redistest.Start(t).URL()) })
}

func someClaim() idempotency.Claim {
	return idempotency.Claim{Digest: []byte("digest"), Plan: []byte("plan"), Owner: "owner", Lease: time.Minute, TTL: 5 * time.Minute}
}

// calls are the calls of a store, on the entry of a key.
var calls = map[string]func(ctx context.Context, s *Store, key string) error{
	"Claim": func(ctx context.Context, s *Store, key string) error {
		_, err := s.Claim(ctx, key, someClaim())
		return err
	},
	"Finish": func(ctx context.Context, s *Store, key string) error {
		return s.Finish(ctx, key, "owner", []byte("answer"))
	},
	"Release": func(ctx context.Context, s *Store, key string) error { return s.Release(ctx, key, "owner") },
	"Ping":    func(ctx context.Context, s *Store, _ string) error { return s.Ping(ctx) },
}

func TestOneKeyThatEnds(t *testing.T) {
	servers(t, func(t *testing.T, url string) {
		s, c := openAt(t, url), clientOf(t, url)
		for _, call := range []string{"Claim", "Finish", "Claim", "Release"} {
			if err := calls[call](t.Context(), s, "key"); err != nil {
				t.Fatalf("%s: %v", call, err)
			}
			keys, err := c.Keys(t.Context(), "*").Result()
			if err != nil || len(keys) != 1 || keys[0] != "passgate:idem:v1:key" {
				t.Errorf("after %s: the keys are %q, %v", call, keys, err)
			}
			if ttl, err := c.PTTL(t.Context(), keys[0]).Result(); err != nil || ttl <= 4*time.Minute || ttl > 5*time.Minute {
				t.Errorf("after %s: it lives for %v, %v", call, ttl, err)
			}
		}
	})
}

// What is under a key may be another program's, or another version's. It is an error, and is left as it is.
func TestUnreadable(t *testing.T) {
	good := map[string]any{"v": "1", "digest": "digest", "plan": "plan", "owner": "owner", "leased": "0", "answer": "answer"}
	without := func(field string) map[string]any {
		m := maps.Clone(good)
		delete(m, field)
		return m
	}
	with := func(field, value string) map[string]any {
		m := maps.Clone(good)
		m[field] = value
		return m
	}
	servers(t, func(t *testing.T, url string) {
		s, c := openAt(t, url), clientOf(t, url)
		ctx := t.Context()
		for name, put := range map[string]func(key string) error{
			"string":     func(key string) error { return c.Set(ctx, key, "1", 0).Err() },
			"list":       func(key string) error { return c.RPush(ctx, key, "1", "digest", "plan").Err() },
			"set":        func(key string) error { return c.SAdd(ctx, key, "1").Err() },
			"other hash": func(key string) error { return c.HSet(ctx, key, "some", "thing").Err() },
			"no version": func(key string) error { return c.HSet(ctx, key, without("v")).Err() },
			"no digest":  func(key string) error { return c.HSet(ctx, key, without("digest")).Err() },
			"no plan":    func(key string) error { return c.HSet(ctx, key, without("plan")).Err() },
			"no owner":   func(key string) error { return c.HSet(ctx, key, without("owner")).Err() },
			"no lease":   func(key string) error { return c.HSet(ctx, key, without("leased")).Err() },
			"version 2":  func(key string) error { return c.HSet(ctx, key, with("v", "2")).Err() },
			"bad lease":  func(key string) error { return c.HSet(ctx, key, with("leased", "soon")).Err() },
			"void lease": func(key string) error { return c.HSet(ctx, key, with("leased", "")).Err() },
		} {
			t.Run(name, func(t *testing.T) {
				if err := put(prefix + name); err != nil {
					t.Fatal(err)
				}
				before := contents(t, c, prefix+name)
				for call, do := range calls {
					if err := do(ctx, s, name); (err == nil) != (call == "Ping") || errors.Is(err, idempotency.ErrLost) || errors.Is(err, errOpen) {
						t.Errorf("%s = %v", call, err)
					}
				}
				if after := contents(t, c, prefix+name); after != before {
					t.Errorf("it was changed: %s, was %s", after, before)
				}
			})
		}
		if err := c.HSet(ctx, prefix+"good", good).Err(); err != nil {
			t.Fatal(err)
		}
		if e, err := s.Claim(ctx, "good", someClaim()); err != nil || string(e.Answer) != "answer" {
			t.Errorf("what the others were made of is not good itself: %q, %v", e.Answer, err)
		}
	})
}

// contents returns what is under a key, for a comparison.
func contents(t *testing.T, c *redis.Client, key string) string {
	t.Helper()
	kind, err := c.Type(t.Context(), key).Result()
	if err != nil {
		t.Fatal(err)
	}
	read := map[string][]any{"string": {"GET", key}, "list": {"LRANGE", key, 0, -1}, "set": {"SMEMBERS", key}, "hash": {"HGETALL", key}}
	value, err := c.Do(t.Context(), read[kind]...).Result()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(kind, " ", value)
}

func TestEntryOf(t *testing.T) {
	for _, good := range []any{
		[]any{int64(1), "digest", "plan", nil}, []any{int64(0), "digest", "plan", "answer"}, []any{int64(0), "", "", ""},
	} {
		if e, ok := entryOf(good); !ok || e.Owned != (good.([]any)[0] == int64(1)) || (e.Answer == nil) != (good.([]any)[3] == nil) {
			t.Errorf("entryOf(%q) = %v, %t", good, e, ok)
		}
	}
	for _, bad := range []any{
		nil, "OK", int64(1), []any{}, []any{int64(1), "digest", "plan"}, []any{int64(1), "digest", "plan", nil, nil},
		[]any{int64(2), "digest", "plan", nil}, []any{"1", "digest", "plan", nil}, []any{nil, "digest", "plan", nil},
		[]any{int64(1), nil, "plan", nil}, []any{int64(1), "digest", nil, nil}, []any{int64(1), "digest", int64(0), nil},
		[]any{int64(0), "digest", "plan", int64(0)}, []any{int64(0), "digest", "plan", []any{}}, []any{true, "digest", "plan", nil},
		[]any{int64(1), "digest", redis.ErrNoScript, nil}, map[any]any{"owned": int64(1)},
	} {
		if e, ok := entryOf(bad); ok || e.Owned {
			t.Errorf("entryOf(%v) = %v, %t", bad, e, ok)
		}
	}
}

// What Redis's clock does has no lasting effect: neither a lease nor an entry becomes longer than it was to be.
func TestClockThatIsSetBack(t *testing.T) {
	m := miniredis.RunT(t)
	now := time.Unix(1_700_000_000, 0)
	m.SetTime(now)
	s := openAt(t, "redis://"+m.Addr())
	first, second := someClaim(), someClaim()
	second.Owner = "second"
	if e, err := s.Claim(t.Context(), "key", first); err != nil || !e.Owned {
		t.Fatalf("%+v, %v", e, err)
	}
	if e, err := s.Claim(t.Context(), "key", second); err != nil || e.Owned {
		t.Fatalf("while the lease runs: %+v, %v", e, err)
	}
	m.SetTime(now.Add(-time.Hour))
	m.SetTTL(prefix+"key", time.Hour+5*time.Minute) // as that of a real one then is
	if e, err := s.Claim(t.Context(), "key", second); err != nil || !e.Owned {
		t.Errorf("an hour back: %+v, %v", e, err)
	}
	if ttl := m.TTL(prefix + "key"); ttl > second.TTL {
		t.Errorf("the entry lives for %v", ttl)
	}
	if err := clientOf(t, "redis://"+m.Addr()).Persist(t.Context(), prefix+"key").Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Claim(t.Context(), "key", second); err != nil || m.TTL(prefix+"key") <= 0 {
		t.Errorf("the entry lives for ever (%v)", err)
	}
}

// Redis forgets scripts when it starts anew, and when it is told to.
func TestScriptsAreSentAgain(t *testing.T) {
	servers(t, func(t *testing.T, url string) {
		s, c := openAt(t, url), clientOf(t, url)
		for _, call := range []string{"Claim", "Release", "Claim", "Finish"} {
			if err := c.ScriptFlush(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			if err := calls[call](t.Context(), s, "key"); err != nil {
				t.Errorf("%s: %v", call, err)
			}
		}
	})
}

func TestCommandsAreCounted(t *testing.T) {
	m := miniredis.RunT(t)
	s := openAt(t, "redis://"+m.Addr())
	for name, call := range calls {
		before := s.Commands()
		if err := call(t.Context(), s, name); err != nil && !errors.Is(err, idempotency.ErrLost) {
			t.Errorf("%s: %v", name, err)
		}
		want := int64(1)
		if name == "Ping" {
			want = 0
		}
		if n := s.Commands() - before; n != want {
			t.Errorf("%s was counted %d times, want %d", name, n, want)
		}
	}
}

func BenchmarkClaimFinish(b *testing.B) {
	server := redistest.Start(b)
	for name, url := range map[string]string{"tcp": server.URL(), "unix": server.SocketURL()} {
		b.Run(name, func(b *testing.B) {
			s := openAt(b, url)
			answer := []byte(strings.Repeat("a", 800))
			c := someClaim()
			c.TTL = time.Second
			run := time.Now().UnixNano() // keys of this run alone
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				key := fmt.Sprint(run, " ", i)
				if e, err := s.Claim(b.Context(), key, c); err != nil || !e.Owned {
					b.Fatalf("Claim: owned %t, %v", e.Owned, err)
				}
				if err := s.Finish(b.Context(), key, "owner", answer); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
