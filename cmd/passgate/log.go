package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os/signal"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/passgate/passgate/internal/audit"
	"github.com/passgate/passgate/internal/config"
	"github.com/passgate/passgate/internal/logsink"
	"github.com/passgate/passgate/internal/terminal"
)

// logBytes is how much of the log is held while its reader is slow.
const logBytes = 4 << 20

// newLog returns a logger of JSON lines to standard error that never blocks. closeLog writes out what is
// held, for a second at most.
func (p *program) newLog(cfg *config.Config) (log *slog.Logger, sink *logsink.Writer, closeLog func()) {
	// Losing the reader of the log must not end the process, as Go has SIGPIPE do for standard error.
	signal.Ignore(syscall.SIGPIPE)
	sink = logsink.New(p.stderr, logBytes)
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.Log.Level)); err != nil {
		panic(fmt.Sprintf("the configuration was accepted with the log level %q", cfg.Log.Level))
	}
	log = slog.New(slog.NewJSONHandler(escaped{sink}, &slog.HandlerOptions{Level: level}))
	return log, sink, func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = sink.Close(ctx) // what could not be written cannot be told either
	}
}

// escaped writes JSON lines in which nothing moves a terminal: slog escapes what JSON asks for, and no more.
type escaped struct{ io.Writer }

func (w escaped) Write(line []byte) (int, error) {
	if !bytes.ContainsFunc(line, func(r rune) bool { return r >= utf8.RuneSelf && !unicode.IsPrint(r) }) {
		return w.Writer.Write(line)
	}
	if _, err := io.WriteString(w.Writer, terminal.Text(string(line))); err != nil {
		return 0, err
	}
	return len(line), nil
}

func newRecorder(cfg *config.Config, log *slog.Logger, registry prometheus.Registerer) *audit.Recorder {
	return audit.New(audit.Options{Log: log, Decisions: audit.Decisions(cfg.Log.Decisions), Registerer: registry})
}
