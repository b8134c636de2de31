package ops

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Readiness says whether requests should be sent here: a valid configuration is loaded and the process is
// not draining. Nothing else makes it unready, as a decision needs nothing else. Its zero value is unready;
// it is safe for concurrent use.
type Readiness struct {
	mu       sync.Mutex
	source   string // of the configuration, "" before one is loaded
	loaded   time.Time
	draining bool
	others   map[string]error // what readiness does not hang on, and why it cannot be had
	watched  func() map[string]error
	refused  error // why the configuration as it stands is not in use; nil: it is
}

// Dependency says whether something can be had that no decision needs, or not every one: err tells why not. It makes
// nothing unready, and is shown to those who ask for more.
func (r *Readiness) Dependency(name string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.others == nil {
		r.others = map[string]error{}
	}
	r.others[name] = err
}

// Watch is [Readiness.Dependency] for what comes and goes: states is asked each time, and is safe for concurrent use.
func (r *Readiness) Watch(states func() map[string]error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.watched = states
}

// ConfigurationLoaded says that the valid configuration of source, a file's path or another name for it,
// is in use since at.
func (r *Readiness) ConfigurationLoaded(source string, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.source, r.loaded, r.refused = source, at, nil
}

// ConfigurationRefused says that the configuration has changed and cannot be used: the one loaded before goes on.
func (r *Readiness) ConfigurationRefused(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused = err
}

// Drain makes r unready for good.
func (r *Readiness) Drain() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.draining = true
}

// unready returns why no request should be sent here, or "" if r is ready.
func (r *Readiness) unready() string {
	for _, c := range r.checks() {
		if !c.ok {
			return c.why
		}
	}
	return ""
}

// check is one thing that readiness hangs on.
type check struct {
	name string
	ok   bool
	why  string // what is wrong, or more about what is well
}

func (r *Readiness) checks() []check {
	r.mu.Lock()
	defer r.mu.Unlock()
	shutdown := check{name: "shutdown", ok: true}
	if r.draining {
		shutdown = check{name: "shutdown", why: "draining"}
	}
	configuration := check{name: "configuration", why: "no configuration is loaded"}
	if !r.loaded.IsZero() {
		configuration = check{name: "configuration", ok: true, why: r.source + " loaded at " + r.loaded.UTC().Format(time.RFC3339)}
	}
	return []check{shutdown, configuration}
}

// verbose lists the checks, one a line, in the form that Kubernetes uses for its own.
func (r *Readiness) verbose() string {
	var b strings.Builder
	result := "passed"
	for _, c := range r.checks() {
		mark, state := "[+]", " ok"
		if !c.ok {
			mark, state, result = "[-]", " failed", "failed"
		}
		b.WriteString(mark + c.name + state)
		if c.why != "" {
			b.WriteString(": " + c.why)
		}
		b.WriteString("\n")
	}
	for _, line := range r.dependencies() {
		b.WriteString(line + "\n")
	}
	b.WriteString("readyz check " + result)
	return b.String()
}

// dependencies lists what readiness does not hang on, one a line, in a form of its own: a failure is none of it.
func (r *Readiness) dependencies() []string {
	r.mu.Lock()
	others, watched, refused := maps.Clone(r.others), r.watched, r.refused
	r.mu.Unlock()
	if others == nil {
		others = map[string]error{}
	}
	if watched != nil {
		maps.Copy(others, watched())
	}
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(others)) {
		line := "[+]" + name + " ok"
		if err := others[name]; err != nil {
			line = "[!]" + name + " cannot be reached, which is no matter of readiness: " + err.Error()
		}
		lines = append(lines, line)
	}
	if refused != nil {
		for fault := range strings.SplitSeq(refused.Error(), "\n") {
			lines = append(lines, "[!]the configuration as it stands is not in use: "+fault)
		}
	}
	return lines
}
