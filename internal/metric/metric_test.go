package metric

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func counter(label string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "calls_total", Help: "Calls."}, []string{label})
}

func TestOfGoesOnCounting(t *testing.T) {
	r := prometheus.NewRegistry()
	Of(r, counter("door")).WithLabelValues("a").Inc()
	Of(r, counter("door")).WithLabelValues("a").Inc()
	families, err := r.Gather()
	if err != nil || len(families) != 1 || len(families[0].Metric) != 1 {
		t.Fatalf("gathered %v, %v", families, err)
	}
	if n := families[0].Metric[0].Counter.GetValue(); n != 2 {
		t.Errorf("counted %v, want 2", n)
	}
}

func TestOfWithoutARegisterer(t *testing.T) {
	Of(nil, counter("door")).WithLabelValues("a").Inc()
}

func TestOfRefusesAnotherShape(t *testing.T) {
	r := prometheus.NewRegistry()
	Of(r, counter("door"))
	defer func() {
		if recover() == nil {
			t.Error("two shapes of one metric were taken")
		}
	}()
	Of(r, counter("code"))
}
