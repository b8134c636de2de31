package proxy

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// errTimeout says that an upstream did not answer in time.
var errTimeout = errors.New("the upstream did not answer in time")

// patience measures how long an upstream keeps a request waiting: from the start, or from the last piece of
// the body that the client sent, to the headers of the answer. While it is the client that is waited for,
// it stands still. It is safe for concurrent use.
type patience struct {
	limit time.Duration
	ended func()

	mu    sync.Mutex
	timer *time.Timer
	due   time.Time
	idle  bool // the client is waited for
	over  bool // the answer is there
}

// newPatience starts to measure; ended is called, in a goroutine of its own, if the limit is reached.
func newPatience(limit time.Duration, ended func()) *patience {
	p := &patience{limit: limit, ended: ended}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.due = time.Now().Add(limit)
	p.timer = time.AfterFunc(limit, p.expire)
	return p
}

func (p *patience) expire() {
	p.mu.Lock()
	// The timer may have gone off just before it was stopped or set anew.
	late := !p.idle && !p.over && !time.Now().Before(p.due)
	p.over = p.over || late
	p.mu.Unlock()
	if late {
		p.ended()
	}
}

func (p *patience) pause() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = true
	p.timer.Stop()
}

func (p *patience) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = false
	if !p.over {
		p.due = time.Now().Add(p.limit)
		p.timer.Reset(p.limit)
	}
}

func (p *patience) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	p.timer.Stop()
}

// upload is the body of a request on its way to the upstream.
type upload struct {
	io.ReadCloser
	wait   *patience
	failed atomic.Pointer[error] // why the client's body could not be read
}

func (u *upload) Read(p []byte) (int, error) {
	u.wait.pause()
	n, err := u.ReadCloser.Read(p)
	u.wait.resume()
	if err != nil && err != io.EOF {
		u.failed.CompareAndSwap(nil, &err)
	}
	return n, err
}

// failure returns why the client's body could not be read, nil if it could.
func (u *upload) failure() error {
	if u == nil {
		return nil
	}
	if err := u.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// nothing is the body of a request without one. To Go's transports it could be something that they cannot
// send a second time.
type nothing struct{}

func (nothing) Read([]byte) (int, error) { return 0, io.EOF }
func (nothing) Close() error             { return nil }
