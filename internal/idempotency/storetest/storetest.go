// Package storetest is the contract of an [idempotency.Store], as tests that every store has to pass.
//
// A store may run by a real clock: what a test needs to last is given a minute and more, what it needs to end
// some milliseconds. Where a test needs both of one entry, and the machine is too slow for it, it tries again
// with more time.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/passgate/passgate/internal/idempotency"
)

const (
	long  = time.Minute           // does not end while a test runs
	short = 20 * time.Millisecond // is waited for
	grain = 2 * time.Millisecond  // a store may count in milliseconds, and end something at the end of one
)

// Run asks of a store all that [idempotency.Store] promises. Whatever open returns, tests use keys of their own.
// The function advance returns once the clock that the store goes by is later by d or more.
func Run(t *testing.T, open func(t *testing.T) idempotency.Store, advance func(d time.Duration)) {
	for _, test := range []struct {
		name string
		run  func(s *suite)
	}{
		{"the first claim owns", (*suite).firstClaim},
		{"another claim sees the first", (*suite).secondClaim},
		{"another digest never takes over", (*suite).otherDigest},
		{"of many claims one owns", (*suite).manyClaims},
		{"of many takers one owns", (*suite).manyTakers},
		{"a lease that has run out is taken over with the first plan", (*suite).takeover},
		{"who is refused does not lengthen a lease", (*suite).refusalKeepsLease},
		{"what is finished is not taken over", (*suite).finished},
		{"who lost the lease cannot finish", (*suite).finishLost},
		{"a lease that has run out still finishes", (*suite).finishLate},
		{"to finish twice is no error", (*suite).finishTwice},
		{"released, it is taken over at once", (*suite).release},
		{"a stranger releases nothing", (*suite).releaseByStranger},
		{"what is finished is not released", (*suite).releaseFinished},
		{"an entry lives from its first claim on, finished or not", (*suite).lifeOfFinished},
		{"a takeover does not lengthen an entry's life", (*suite).lifeOfTakenOver},
		{"what is gone stays gone", (*suite).gone},
		{"values are any bytes", (*suite).values},
		{"what a caller does with its bytes is its own affair", (*suite).noAliases},
		{"keys have nothing to do with each other", (*suite).keys},
		{"a cancelled call changes nothing", (*suite).cancelled},
		{"it answers", (*suite).ping},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.run(&suite{T: t, store: open(t), advance: advance, key: t.Name()})
		})
	}
}

// suite is one test of a store.
type suite struct {
	*testing.T
	store   idempotency.Store
	advance func(d time.Duration)
	key     string // an entry that is the test's own
}

// by returns a claim of an owner, with a plan that shows whose it is.
func by(owner string) idempotency.Claim {
	return idempotency.Claim{Digest: []byte("digest"), Plan: []byte("plan of " + owner), Owner: owner, Lease: long, TTL: 10 * long}
}

func (s *suite) claim(c idempotency.Claim) idempotency.Entry {
	s.Helper()
	e, err := s.store.Claim(s.Context(), s.key, c)
	if err != nil {
		s.Fatalf("Claim by %s: %v", c.Owner, err)
	}
	return e
}

// own claims and must own; what it sees is under the plan of another owner, or its own.
func (s *suite) own(c idempotency.Claim, plan string) {
	s.Helper()
	s.check(s.claim(c), true, plan, "")
}

// see claims and must not own.
func (s *suite) see(c idempotency.Claim, plan, answer string) {
	s.Helper()
	s.check(s.claim(c), false, plan, answer)
}

func (s *suite) check(e idempotency.Entry, owned bool, plan, answer string) {
	s.Helper()
	if e.Owned != owned || string(e.Digest) != "digest" || string(e.Plan) != plan || string(e.Answer) != answer || (e.Answer != nil) != (answer != "") {
		s.Errorf("the entry is %s; want owned %t, %q, answer %q", show(e), owned, plan, answer)
	}
}

func show(e idempotency.Entry) string {
	return fmt.Sprintf("{digest %.64q, plan %.64q, answer %.64q (nil %t), owned %t}", e.Digest, e.Plan, e.Answer, e.Answer == nil, e.Owned)
}

func (s *suite) finish(owner, answer string) {
	s.Helper()
	if err := s.store.Finish(s.Context(), s.key, owner, []byte(answer)); err != nil {
		s.Errorf("Finish by %s: %v", owner, err)
	}
}

func (s *suite) finishIsLost(owner, answer string) {
	s.Helper()
	if err := s.store.Finish(s.Context(), s.key, owner, []byte(answer)); !errors.Is(err, idempotency.ErrLost) {
		s.Errorf("Finish by %s = %v, want %v", owner, err, idempotency.ErrLost)
	}
}

func (s *suite) releaseBy(owner string) {
	s.Helper()
	if err := s.store.Release(s.Context(), s.key, owner); err != nil {
		s.Errorf("Release by %s: %v", owner, err)
	}
}

// inTime runs a test with ever longer times and keys of their own, until what had to come before they ran out did.
func (s *suite) inTime(try func(span time.Duration) bool) {
	s.Helper()
	key := s.key
	for span := 2 * short; span <= 1000*short; span *= 2 {
		s.key = fmt.Sprint(key, " in ", span)
		if try(span) {
			return
		}
	}
	s.Error("what had to last ended too early, however much time it was given")
}

func (s *suite) firstClaim() {
	s.own(by("A"), "plan of A")
	s.own(by("A"), "plan of A") // its answer may have been lost on the way, and it asks again
}

func (s *suite) secondClaim() {
	s.own(by("A"), "plan of A")
	s.see(by("B"), "plan of A", "")
	s.finish("A", "answer of A")
	s.see(by("B"), "plan of A", "answer of A")
	s.see(by("A"), "plan of A", "answer of A")
}

func (s *suite) otherDigest() {
	first := by("A")
	first.Lease = short
	s.own(first, "plan of A")
	s.advance(short + grain)
	for _, owner := range []string{"B", "A"} {
		other := by(owner)
		other.Digest = []byte("digest of another body")
		s.see(other, "plan of A", "")
	}
	s.finish("A", "answer of A")
}

func (s *suite) manyClaims() {
	s.oneOwns("")
}

func (s *suite) manyTakers() {
	first := by("A")
	first.Lease = short
	s.own(first, "plan of A")
	s.advance(short + grain)
	s.oneOwns("plan of A")
}

// oneOwns has 32 owners claim at a time. All must see one plan, that of the one who owns if none is given.
func (s *suite) oneOwns(plan string) {
	s.Helper()
	entries := make([]idempotency.Entry, 32)
	var group sync.WaitGroup
	for i := range entries {
		group.Go(func() {
			var err error
			if entries[i], err = s.store.Claim(s.Context(), s.key, by(fmt.Sprint("owner ", i))); err != nil {
				s.Errorf("Claim by owner %d: %v", i, err)
			}
		})
	}
	group.Wait()
	var owners []string
	for i, e := range entries {
		if e.Owned {
			owners = append(owners, fmt.Sprint("owner ", i))
		}
	}
	if len(owners) != 1 {
		s.Fatalf("%q own, want one", owners)
	}
	if plan == "" {
		plan = "plan of " + owners[0]
	}
	for _, e := range entries {
		s.check(e, e.Owned, plan, "")
	}
	s.finish(owners[0], "answer")
}

func (s *suite) takeover() {
	first := by("A")
	first.Lease = short
	s.own(first, "plan of A")
	s.advance(short + grain)
	s.own(by("B"), "plan of A")
	s.see(by("C"), "plan of A", "")
	s.see(by("A"), "plan of A", "")
	s.finish("B", "answer of B")
	s.see(by("C"), "plan of A", "answer of B")
}

func (s *suite) refusalKeepsLease() {
	s.inTime(func(lease time.Duration) bool {
		first := by("A")
		first.Lease = lease
		s.own(first, "plan of A")
		if s.claim(by("B")).Owned {
			return false
		}
		s.advance(lease + grain)
		s.own(by("C"), "plan of A")
		return true
	})
}

func (s *suite) finished() {
	first := by("A")
	first.Lease = short
	s.own(first, "plan of A")
	s.finish("A", "answer of A")
	s.advance(short + grain)
	s.see(by("B"), "plan of A", "answer of A")
	s.see(by("A"), "plan of A", "answer of A")
}

func (s *suite) finishLost() {
	first := by("A")
	first.Lease = short
	s.own(first, "plan of A")
	s.finishIsLost("stranger", "answer of a stranger")
	s.advance(short + grain)
	s.own(by("B"), "plan of A")
	s.finishIsLost("A", "answer of A")
	s.see(by("C"), "plan of A", "")
	s.finish("B", "answer of B")
	s.finishIsLost("A", "answer of B") // the answer is the same by chance; the lease is another's
	s.see(by("C"), "plan of A", "answer of B")
}

func (s *suite) finishLate() {
	first := by("A")
	first.Lease = short
	s.own(first, "plan of A")
	s.advance(short + grain)
	s.finish("A", "answer of A")
	s.see(by("B"), "plan of A", "answer of A")
}

func (s *suite) finishTwice() {
	s.own(by("A"), "plan of A")
	s.finish("A", "answer of A")
	s.finish("A", "answer of A")
	s.finishIsLost("A", "another answer")
	s.see(by("B"), "plan of A", "answer of A")
}

func (s *suite) release() {
	s.own(by("A"), "plan of A")
	s.releaseBy("A")
	s.releaseBy("A")
	s.finishIsLost("A", "answer of A")
	other := by("B")
	other.Digest = []byte("digest of another body")
	s.see(other, "plan of A", "")
	s.own(by("B"), "plan of A")
	s.releaseBy("A")
	s.see(by("C"), "plan of A", "")
	s.finish("B", "answer of B")
}

func (s *suite) releaseByStranger() {
	s.releaseBy("stranger") // of an entry that there is not, and that there is not afterwards
	s.own(by("A"), "plan of A")
	s.releaseBy("stranger")
	s.see(by("B"), "plan of A", "")
	s.finish("A", "answer of A")
}

func (s *suite) releaseFinished() {
	s.own(by("A"), "plan of A")
	s.finish("A", "answer of A")
	s.releaseBy("A")
	s.see(by("B"), "plan of A", "answer of A")
	s.finish("A", "answer of A")
}

func (s *suite) lifeOfFinished() {
	s.inTime(func(life time.Duration) bool {
		first := by("A")
		first.TTL = life
		s.own(first, "plan of A")
		s.advance(life / 2)
		if err := s.store.Finish(s.Context(), s.key, "A", []byte("answer of A")); errors.Is(err, idempotency.ErrLost) {
			return false
		} else if err != nil {
			s.Fatalf("Finish: %v", err)
		}
		s.advance(life/2 + grain)
		s.own(by("B"), "plan of B")
		return true
	})
}

func (s *suite) lifeOfTakenOver() {
	s.inTime(func(life time.Duration) bool {
		first := by("A")
		first.Lease, first.TTL = life/4, life
		s.own(first, "plan of A")
		s.advance(life/4 + grain)
		if string(s.claim(by("B")).Plan) != "plan of A" {
			return false
		}
		s.advance(life)
		s.finishIsLost("B", "answer of B")
		s.own(by("C"), "plan of C")
		return true
	})
}

func (s *suite) gone() {
	first := by("A")
	first.TTL = short
	s.own(first, "plan of A")
	s.advance(short + grain)
	s.finishIsLost("A", "answer of A")
	s.releaseBy("A")
	other := by("B")
	other.Digest = []byte("digest of another body")
	if e := s.claim(other); !e.Owned || !bytes.Equal(e.Digest, other.Digest) || e.Answer != nil {
		s.Errorf("the entry is %s, want a new one", show(e))
	}
}

func (s *suite) values() {
	key := s.key
	for i, value := range [][]byte{
		{}, {0}, []byte("\x00\r\n\x00"), []byte("0"), []byte("false"), []byte(`{"json":"\u0000"}`), {0xff, 0xfe, 0x80},
		[]byte("$-1\r\n"), bytes.Repeat([]byte{0}, 64<<10), []byte(strings.Repeat("é\r\n", 16<<10)),
	} {
		s.key = fmt.Sprint(key, " ", i)
		c := by("A")
		c.Digest, c.Plan, c.Owner = value, value, "A"+string(value)
		if e := s.claim(c); !e.Owned || !bytes.Equal(e.Digest, value) || !bytes.Equal(e.Plan, value) {
			s.Errorf("value %d: the entry is %s", i, show(e))
		}
		s.finish(c.Owner, string(value))
		e := s.claim(c)
		if e.Owned || !bytes.Equal(e.Digest, value) || !bytes.Equal(e.Plan, value) || !bytes.Equal(e.Answer, value) || e.Answer == nil {
			s.Errorf("value %d, finished: the entry is %s", i, show(e))
		}
	}
}

func (s *suite) noAliases() {
	c := by("A")
	e := s.claim(c)
	scribble(c.Digest, c.Plan, e.Digest, e.Plan)
	answer := []byte("answer of A")
	if err := s.store.Finish(s.Context(), s.key, "A", answer); err != nil {
		s.Fatal(err)
	}
	scribble(answer)
	e = s.claim(by("B"))
	s.check(e, false, "plan of A", "answer of A")
	scribble(e.Digest, e.Plan, e.Answer)
	s.see(by("B"), "plan of A", "answer of A")
}

func scribble(values ...[]byte) {
	for _, v := range values {
		for i := range v {
			v[i] = '#'
		}
	}
}

func (s *suite) keys() {
	base := s.key
	all := []string{"", " ", "\x00", "\x00\x00", "{a}", "{a}b", "a:b", "a b", "*", "é", "\xff", strings.Repeat("k", 1000)}
	for i, k := range all {
		s.key = base + k
		owner := fmt.Sprint("owner ", i)
		s.own(by(owner), "plan of "+owner)
	}
	for i, k := range all {
		s.key = base + k
		owner := fmt.Sprint("owner ", i)
		s.see(by("stranger"), "plan of "+owner, "")
		s.finish(owner, "answer of "+owner)
	}
}

func (s *suite) cancelled() {
	ctx, cancel := context.WithCancel(s.Context())
	cancel()
	if _, err := s.store.Claim(ctx, s.key, by("A")); !errors.Is(err, context.Canceled) {
		s.Errorf("Claim = %v, want %v", err, context.Canceled)
	}
	s.own(by("B"), "plan of B")
	if err := s.store.Finish(ctx, s.key, "B", []byte("answer of B")); !errors.Is(err, context.Canceled) {
		s.Errorf("Finish = %v, want %v", err, context.Canceled)
	}
	if err := s.store.Release(ctx, s.key, "B"); !errors.Is(err, context.Canceled) {
		s.Errorf("Release = %v, want %v", err, context.Canceled)
	}
	s.see(by("C"), "plan of B", "")
	s.finish("B", "answer of B")
}

func (s *suite) ping() {
	if err := s.store.Ping(s.Context()); err != nil {
		s.Errorf("Ping: %v", err)
	}
}
