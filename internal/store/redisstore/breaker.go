package redisstore

import (
	"errors"
	"sync"
	"time"
)

const (
	mostFailures = 5           // one after another, until no call is made
	pause        = time.Second // until one is made to see
)

var errOpen = errors.New("redis has not answered of late, and is not asked for a moment")

// breaker spares calls that would only wait for a time-out. It is safe for concurrent use.
type breaker struct {
	now func() time.Time

	mu       sync.Mutex
	failures int       // since the last answer, mostFailures at most
	retry    time.Time // when a call may be made, once there are that many
	probing  bool      // that call is being made
}

// outcome is how a call went, seen from the breaker.
type outcome int

const (
	abandoned outcome = iota // by the caller: it says nothing
	answered                 // if only with an error
	failed
)

// enter says whether a call may be made. If so, probe goes with the call to leave, which has to follow.
func (b *breaker) enter() (probe bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures < mostFailures {
		return false, nil
	}
	if b.probing || b.now().Before(b.retry) {
		return false, errOpen
	}
	b.probing = true
	return true, nil
}

// leave tells how a call went. One that was under way before the breaker opened may still close it, and does not
// keep it open longer.
func (b *breaker) leave(probe bool, o outcome) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if probe {
		b.probing = false
	}
	switch {
	case o == answered:
		b.failures = 0
	case o == failed && b.failures < mostFailures:
		b.failures++
		b.retry = b.now().Add(pause)
	case o == failed && probe:
		b.retry = b.now().Add(pause)
	}
}
