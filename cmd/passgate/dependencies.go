package main

import (
	"context"
	"log/slog"
	"time"
)

// How often what accounts need is asked whether it is there, and how long it may take to say so.
const (
	askEvery = 2 * time.Second
	askTime  = time.Second
)

// watch asks every dependency in turns until ctx ends, and reports each answer. A change is logged.
func watch(ctx context.Context, dependencies map[string]func(context.Context) error, log *slog.Logger, report func(name string, err error)) {
	down := map[string]bool{}
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for {
		for name, ask := range dependencies {
			asking, cancel := context.WithTimeout(ctx, askTime)
			err := ask(asking)
			cancel()
			if ctx.Err() != nil {
				return
			}
			report(name, err)
			switch {
			case err != nil && !down[name]:
				log.Error("a store of accounts cannot be reached", "store", name, "error", err.Error())
			case err == nil && down[name]:
				log.Info("a store of accounts can be reached again", "store", name)
			}
			down[name] = err != nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
