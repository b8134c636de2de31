package main

import (
	"context"
	"fmt"
	"io"
	stdlog "log"
	"log/slog"
	"os/signal"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/passgate/passgate/internal/audit"
	"github.com/passgate/passgate/internal/config"
	"github.com/passgate/passgate/internal/logsink"
	"github.com/passgate/passgate/internal/terminal"
)

// logBytes is how much of the log is held while its reader is slow.
const logBytes = 4 << 20

// processLog is the log of a process that serves.
type processLog struct {
	*slog.Logger
	sink  *logsink.Writer
	level *slog.LevelVar
}

// newLog returns a log of JSON lines to standard error that never blocks.
func (p *program) newLog(cfg *config.Config) *processLog {
	// Losing the reader of the log must not end the process, as Go has SIGPIPE do for standard error.
	signal.Ignore(syscall.SIGPIPE)
	// There net/http writes what an upstream sent unasked, byte for byte.
	stdlog.SetOutput(io.Discard)
	l := &processLog{sink: logsink.New(p.stderr, logBytes), level: new(slog.LevelVar)}
	l.Logger = slog.New(slog.NewJSONHandler(terminal.JSON(l.sink), &slog.HandlerOptions{Level: l.level}))
	l.follow(cfg)
	return l
}

// follow takes the level from a configuration.
func (l *processLog) follow(cfg *config.Config) {
	if err := l.level.UnmarshalText([]byte(cfg.Log.Level)); err != nil {
		panic(fmt.Sprintf("the configuration was accepted with the log level %q", cfg.Log.Level))
	}
}

// close writes out what is held, for a second at most.
func (l *processLog) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = l.sink.Close(ctx) // what could not be written cannot be told either
}

func newRecorder(cfg *config.Config, log *slog.Logger, registry prometheus.Registerer) *audit.Recorder {
	return audit.New(audit.Options{Log: log, Decisions: audit.Decisions(cfg.Log.Decisions), Registerer: registry})
}
