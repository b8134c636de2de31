package main

import (
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"

	"github.com/passgate/passgate/internal/config"
	"github.com/passgate/passgate/internal/door/extauthz"
)

// TestAttackSize puts tokens to Check that are made to cost: deep and long ones. It measures what one call
// takes and holds the memory to a bound; time is shown only, as machines differ.
func TestAttackSize(t *testing.T) {
	deep := func(depth int, open, shut string) string {
		return strings.Repeat(open, depth) + strings.Repeat(shut, depth)
	}
	inHeader := func(value string) string {
		return forge(`{"alg":"HS256","kid":"a1","x":`+value+`}`, claimsOf(accountsISS), byAccounts)
	}
	inClaims := func(value string) string {
		return forge(accountsHeader, claimsOf(accountsISS, `"x":`+value), byAccounts)
	}
	const mega = 1 << 20
	good := controls()[0].token
	// 100,000 levels fit into no limit that a configuration can set, so one engine has a limit beyond it, to show
	// what the reader itself does.
	tokens := []struct {
		name, token string
		ok          [3]bool // at the default limit, at the largest of a configuration, beyond
	}{
		{"control", good, [3]bool{true, true, true}},
		{"100 arrays in the header", inHeader(deep(100, "[", "]")), [3]bool{true, true, true}},
		{"100 arrays in the claims", inClaims(deep(100, "[", "]")), [3]bool{true, true, true}},
		{"5,000 arrays in the claims", inClaims(deep(5_000, "[", "]")), [3]bool{false, true, true}},
		{"20,000 arrays in the header", inHeader(deep(20_000, "[", "]")), [3]bool{}},
		{"20,000 arrays in the claims", inClaims(deep(20_000, "[", "]")), [3]bool{}},
		{"8,000 objects in the claims", inClaims(strings.Repeat(`{"":`, 8_000) + "1" + strings.Repeat("}", 8_000)), [3]bool{false, true, true}},
		{"100,000 arrays in the header", inHeader(deep(100_000, "[", "]")), [3]bool{}},
		{"100,000 arrays in the claims", inClaims(deep(100_000, "[", "]")), [3]bool{}},
		{"100,000 objects in the header", inHeader(strings.Repeat(`{"a":`, 100_000) + "1" + strings.Repeat("}", 100_000)), [3]bool{}},
		{"100,000 objects in the claims", inClaims(strings.Repeat(`{"a":`, 100_000) + "1" + strings.Repeat("}", 100_000)), [3]bool{}},
		{"100,000 arrays never shut, in the claims", inClaims(strings.Repeat("[", 100_000)), [3]bool{}},
		{"100,000 arrays as the roles", forge(accountsHeader, claimsOf(accountsISS, `"roles":`+deep(100_000, "[", "]")), byAccounts), [3]bool{}},
		{"1 MB of claims", inClaims(`"` + strings.Repeat("x", mega*3/4) + `"`), [3]bool{false, false, true}},
		{"1 MB of names", inClaims("{" + manyNames(60_000) + "}"), [3]bool{false, false, true}},
		{"1 MB of one name repeated", inClaims(`{` + strings.Repeat(`"a":1,`, 120_000) + `"a":1}`), [3]bool{}},
		{"1 MB of digits as exp", forge(accountsHeader, objectWith(accountsISS, "exp", strings.Repeat("9", mega*3/4)), byAccounts), [3]bool{}},
		{"1 MB of dots", strings.Repeat(".", mega), [3]bool{}},
		{"1 MB of A", strings.Repeat("A", mega), [3]bool{}},
		{"1 MB of A and two dots", strings.Repeat("A", mega) + "..", [3]bool{}},
		{"a header that never ends", base64url([]byte(`{"alg":"HS256","x":"` + strings.Repeat("x", mega*3/4))), [3]bool{}},
		{"a header that never ends, of three parts", base64url([]byte(`{"alg":"HS256","x":"`+strings.Repeat("x", mega*3/4))) + ".e30.AA", [3]bool{}},
		{"a signature of 1 MB", good[:strings.LastIndexByte(good, '.')+1] + strings.Repeat("A", mega), [3]bool{}},
		{"a kid of 1 MB", forge(`{"alg":"HS256","kid":"`+strings.Repeat("k", mega*3/4)+`"}`, claimsOf(accountsISS), byAccounts), [3]bool{}},
	}
	const beyond = 4 << 20
	for i, limit := range []struct {
		name  string
		bytes int
	}{{"at the default limit", 8 << 10}, {"at the largest limit", 64 << 10}, {"beyond all limits", beyond}} {
		t.Run(limit.name, func(t *testing.T) {
			engine := attackEngine(t, config.Size(limit.bytes))
			server := extauthz.New(engine, slog.New(slog.DiscardHandler))
			var attacks []attack
			for _, token := range tokens {
				want := "invalid_token"
				if token.ok[i] {
					want = "ok"
				}
				attacks = append(attacks, attack{token.name, token.token, want})
				took, allocated := costOf(t, server, token.token)
				t.Logf("%-45s %8d bytes: %8s, %9d bytes allocated", token.name, len(token.token), took.Round(time.Microsecond), allocated)
				// What is too long is not read at all; the rest is read in a few copies of bounded length.
				bound := uint64(64<<10 + 48*len(token.token))
				if len(token.token) > limit.bytes {
					bound = 64 << 10
				}
				if allocated > bound {
					t.Errorf("%s: %d bytes allocated for a token of %d, want %d at most", token.name, allocated, len(token.token), bound)
				}
			}
			runAttacksOn(t, checkClient(t, engine), attacks)
		})
	}
}

func manyNames(n int) string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf(`"%06x":1`, i)
	}
	return strings.Join(names, ",")
}

// costOf returns the time of one call of Check, without the network, and the memory that it allocates: the
// least of a few calls, as other goroutines allocate beside it.
func costOf(t *testing.T, server *extauthz.Server, token string) (took time.Duration, allocated uint64) {
	t.Helper()
	in := &authv3.CheckRequest{Attributes: &authv3.AttributeContext{Request: &authv3.AttributeContext_Request{
		Http: &authv3.AttributeContext_HttpRequest{
			Method: "GET", Host: "localhost", Path: "/api", Headers: map[string]string{":path": "/api", "authorization": "Bearer " + token},
		},
	}}}
	for i := range 3 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		if _, err := server.Check(t.Context(), in); err != nil {
			t.Fatal(err)
		}
		d := time.Since(start)
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; i == 0 || n < allocated {
			allocated = n
		}
		if i == 0 || d < took {
			took = d
		}
	}
	return took, allocated
}
