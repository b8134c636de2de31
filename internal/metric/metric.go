// Package metric registers the metrics of parts that are built anew in a process, as when its configuration is
// reloaded: what was counted goes on.
package metric

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Of registers c and returns it, or the collector that is registered as the same metric already. Without a registerer
// c counts for nobody. It panics if the metric is there with another shape, which is a fault of the program.
func Of[C prometheus.Collector](r prometheus.Registerer, c C) C {
	if r == nil {
		return c
	}
	err := r.Register(c)
	if there := (prometheus.AlreadyRegisteredError{}); errors.As(err, &there) {
		if earlier, ok := there.ExistingCollector.(C); ok {
			return earlier
		}
	}
	if err != nil {
		panic(fmt.Sprintf("metric: %v", err))
	}
	return c
}
