// Package logsink writes log lines without ever making their writer wait.
//
// A decision must not hang on who reads its log: a full disk, a stopped terminal or a pipe that nobody
// reads costs lines, which are counted, and nothing else.
package logsink

import (
	"bytes"
	"context"
	"io"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// Writer passes what is written to it on to a slower writer. It is safe for concurrent use; make one with
// [New].
type Writer struct {
	out  io.Writer
	max  int
	wake chan struct{} // holds one token while there may be something to do
	done chan struct{} // closed when nothing more is passed on

	mu      sync.Mutex
	pending []byte // whole lines, in order
	dropped uint64
	closed  bool
}

// New returns a writer to out that holds up to maxBytes of lines, and as much again while they are being
// written. It runs until [Writer.Close].
func New(out io.Writer, maxBytes int) *Writer {
	w := &Writer{
		out:  out,
		max:  maxBytes,
		wake: make(chan struct{}, 1),
		done: make(chan struct{}),
	}
	go w.run()
	return w
}

// Write takes a copy of p, which is one or more whole lines, or drops all of it where it does not fit. It
// never blocks and never fails: there is nothing that the writer of a log line could do about it.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	if w.closed || len(w.pending)+len(p) > w.max {
		w.dropped += countLines(p)
		w.mu.Unlock()
		return len(p), nil
	}
	w.pending = append(w.pending, p...)
	w.mu.Unlock()
	w.notify()
	return len(p), nil
}

// Dropped returns how many lines were not written, for want of room or because the writer behind failed.
func (w *Writer) Dropped() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dropped
}

// Collector returns the number of dropped lines as a metric.
func (w *Writer) Collector() prometheus.Collector {
	return prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "passgate_log_dropped_total",
		Help: "Log lines that were dropped because their reader was too slow or failed.",
	}, func() float64 { return float64(w.Dropped()) })
}

// Close passes on what is held and returns; what is written from now on is dropped. The error is that of
// ctx, where it ends first: then out is still blocked in a Write, and what it holds is lost.
func (w *Writer) Close(ctx context.Context) error {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.notify()
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *Writer) notify() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// run writes what is pending, all of it at once, while the next lines gather in a second buffer.
func (w *Writer) run() {
	defer close(w.done)
	var batch []byte
	for range w.wake {
		w.mu.Lock()
		batch, w.pending = w.pending, batch[:0]
		closed := w.closed
		w.mu.Unlock()
		if lost := w.pass(batch); lost > 0 {
			w.mu.Lock()
			w.dropped += lost
			w.mu.Unlock()
		}
		if closed {
			return
		}
	}
}

// pass writes a batch and returns how many of its lines were lost.
func (w *Writer) pass(batch []byte) uint64 {
	if len(batch) == 0 {
		return 0
	}
	n, err := w.out.Write(batch)
	if err == nil && n == len(batch) {
		return 0
	}
	return countLines(batch[min(max(n, 0), len(batch)):])
}

// countLines returns how many lines p holds, one without its newline included.
func countLines(p []byte) uint64 {
	n := uint64(bytes.Count(p, []byte("\n")))
	if len(p) > 0 && p[len(p)-1] != '\n' {
		n++
	}
	return n
}
