package logsink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func closed(t *testing.T, w *Writer) {
	t.Helper()
	if err := w.Close(t.Context()); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func TestWritesEveryLineInOrder(t *testing.T) {
	var out bytes.Buffer
	w := New(&out, 1<<20)
	var want strings.Builder
	line := []byte{}
	for i := range 1000 {
		line = fmt.Appendf(line[:0], "line %d\n", i) // one buffer for all: Write must copy
		want.Write(line)
		if n, err := w.Write(line); n != len(line) || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
	}
	closed(t, w)
	if out.String() != want.String() {
		t.Errorf("wrote %d bytes, want %d, or another order", out.Len(), want.Len())
	}
	if n := w.Dropped(); n != 0 {
		t.Errorf("Dropped = %d", n)
	}
}

func TestConcurrentWritersKeepTheirLinesWhole(t *testing.T) {
	var out bytes.Buffer
	w := New(&out, 1<<20)
	log := slog.New(slog.NewTextHandler(w, nil))
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for range 100 {
				log.Info("hello", "from", i)
			}
		})
	}
	group.Wait()
	closed(t, w)
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != 800 {
		t.Errorf("%d lines, want 800", len(lines))
	}
	for _, line := range lines {
		if !strings.HasPrefix(line, "time=") || strings.Count(line, "msg=") != 1 {
			t.Fatalf("torn line %q", line)
		}
	}
}

// A pipe that nobody reads blocks whoever writes to it: Write must return all the same, and Close in time.
func TestNobodyReads(t *testing.T) {
	const maxBytes = 100
	reader, pipe := io.Pipe()
	w := New(pipe, maxBytes)
	line := []byte("0123456789\n")
	const lines = 1000
	for range lines {
		if n, err := w.Write(line); n != len(line) || err != nil {
			t.Fatalf("Write = %d, %v", n, err)
		}
	}
	// One batch may be in the blocked Write, one may wait; the rest was dropped.
	if held := lines - w.Dropped(); held == 0 || held > 2*maxBytes/uint64(len(line)) {
		t.Errorf("%d lines are held, in %d bytes each", held, maxBytes)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(w.Collector())
	families, err := registry.Gather()
	if err != nil || len(families) != 1 || families[0].GetName() != "passgate_log_dropped_total" {
		t.Fatalf("Gather = %v, %v", families, err)
	}
	if n := families[0].GetMetric()[0].GetCounter().GetValue(); n != float64(w.Dropped()) {
		t.Errorf("the metric is %v, want %d", n, w.Dropped())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Close = %v while the pipe blocks", err)
	}

	reader.Close() // lets the goroutine end; what it held is lost, and counted
	<-w.done
	if n := w.Dropped(); n != lines {
		t.Errorf("Dropped = %d, want %d", n, lines)
	}
}

func TestGoesOnWhenTheReaderDoes(t *testing.T) {
	reader, pipe := io.Pipe()
	w := New(pipe, 8)
	for w.Dropped() == 0 {
		fmt.Fprintln(w, "full")
	}
	var out bytes.Buffer
	read := make(chan error)
	go func() {
		_, err := io.Copy(&out, reader)
		read <- err
	}()
	for before := w.Dropped(); ; before = w.Dropped() {
		fmt.Fprintln(w, "again")
		if w.Dropped() == before {
			break
		}
	}
	closed(t, w)
	pipe.Close()
	if err := <-read; err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(out.String(), "again\n") {
		t.Errorf("wrote %q", out.String())
	}
}

func TestDrops(t *testing.T) {
	var out bytes.Buffer
	w := New(&out, 4)
	fmt.Fprint(w, "longer than the queue\n")
	if n := w.Dropped(); n != 1 {
		t.Errorf("Dropped = %d after a line that can never fit", n)
	}
	closed(t, w)
	fmt.Fprint(w, "a\nb")
	if n := w.Dropped(); n != 3 {
		t.Errorf("Dropped = %d after two lines to a closed writer", n)
	}
	closed(t, w)
	if out.Len() != 0 {
		t.Errorf("wrote %q", out.String())
	}
}

type shortWriter struct{ n int }

func (w shortWriter) Write([]byte) (int, error) { return w.n, io.ErrShortWrite }

func TestCountsWhatTheWriterBehindLost(t *testing.T) {
	for n, want := range map[int]uint64{-1: 2, 0: 2, 1: 2, 2: 1, 4: 0, 9: 0} {
		w := New(shortWriter{n}, 100)
		fmt.Fprint(w, "a\nb\n")
		closed(t, w)
		if got := w.Dropped(); got != want {
			t.Errorf("Dropped = %d after %d of 4 bytes were written, want %d", got, n, want)
		}
	}
}
