package e2e

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/passgate/passgate/internal/sample"
)

// load is a steady stream of requests over kept connections, counted by their outcome.
type load struct {
	done    atomic.Int64
	stop    chan struct{}
	workers sync.WaitGroup

	mu       sync.Mutex
	outcomes map[string]int // status, or error
}

// startLoad sends requests until the test ends or [load.end] is called: some 400 a second, which leaves a busy
// machine the time to answer each. The headers are sent in turns.
func startLoad(t *testing.T, url string, headers ...string) *load {
	t.Helper()
	const workers, pause = 8, 20 * time.Millisecond
	l := &load{stop: make(chan struct{}), outcomes: map[string]int{}}
	client := &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: workers}}
	for i := range workers {
		l.workers.Go(func() {
			tick := time.NewTicker(pause)
			defer tick.Stop()
			for n := i; ; n++ {
				l.count(request(client, url, headers[n%len(headers)]))
				select {
				case <-l.stop:
					return
				case <-tick.C:
				}
			}
		})
	}
	t.Cleanup(func() {
		l.end()
		client.CloseIdleConnections()
	})
	return l
}

func request(client *http.Client, url, header string) string {
	r, err := http.NewRequest("GET", url, nil)
	if err != nil {
		return err.Error()
	}
	if name, value, ok := strings.Cut(header, ": "); ok {
		r.Header.Set(name, value)
	}
	answer, err := client.Do(r)
	if err != nil {
		return err.Error()
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return err.Error()
	}
	return fmt.Sprint(answer.StatusCode)
}

func (l *load) count(outcome string) {
	l.mu.Lock()
	l.outcomes[outcome]++
	l.mu.Unlock()
	l.done.Add(1)
}

// more waits until n more requests have been answered.
func (l *load) more(t *testing.T, n int64) {
	t.Helper()
	until := l.done.Load() + n
	waitFor(t, fmt.Sprintf("%d more answers", n), func() bool { return l.done.Load() >= until })
}

// seen reports whether a request ended like this.
func (l *load) seen(outcome string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.outcomes[outcome] > 0
}

// end stops the load and returns how the requests ended. It may be called twice.
func (l *load) end() map[string]int {
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	l.workers.Wait()
	return l.outcomes
}

// mustOnly fails the test if a request ended in any other way.
func (l *load) mustOnly(t *testing.T, outcomes ...string) {
	t.Helper()
	seen := l.end()
	t.Logf("outcomes: %v", seen)
	for outcome, n := range seen {
		if !strings.Contains(" "+strings.Join(outcomes, " ")+" ", " "+outcome+" ") {
			t.Errorf("%d of %d requests ended with %s, want only %v", n, l.done.Load(), outcome, outcomes)
		}
	}
}

// startSample serves the sample upstream, which takes any load.
func startSample(t *testing.T) (addr string) {
	t.Helper()
	l := listen(t)
	server := &http.Server{Handler: sample.Handler()}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return l.Addr().String()
}

// twoReplicas starts two passgates behind one Envoy, with the second replica that a comment of the shipped file
// shows, and a load of requests that are all allowed.
func twoReplicas(t *testing.T, f *envoyFile) (*envoy, [2]*passgate, *load) {
	t.Helper()
	if testing.Short() {
		t.Skip("takes a while")
	}
	replicas := [2]*passgate{startPassgate(t, policy), startPassgate(t, policy)}
	e := startEnvoy(t, f, startSample(t), replicas[0].grpc, replicas[1].grpc)
	e.waitHealthy(t, 2)
	l := startLoad(t, "http://"+e.addr+"/api/users/1", bearer(t, user("read")))
	l.more(t, 200)
	return e, replicas, l
}

func TestKilledReplicaFailsNoRequest(t *testing.T) {
	e, replicas, l := twoReplicas(t, shippedFile(t))
	for _, replica := range replicas {
		replica.kill(t)
		e.waitHealthy(t, 1)
		l.more(t, 200)
		replica.start(t)
		e.waitHealthy(t, 2)
		l.more(t, 200)
	}
	l.mustOnly(t, "200")
}

func TestTerminatedReplicaFailsNoRequestAndExitsZero(t *testing.T) {
	for _, config := range []struct {
		name string
		file *envoyFile
	}{
		{"shipped", shippedFile(t)},
		// Then it is passgate alone that has to go in good order: unready, answering on, then GOAWAY.
		{"shipped without retries", shippedFile(t).replace("num_retries: 1", "num_retries: 0")},
	} {
		t.Run(config.name, func(t *testing.T) {
			e, replicas, l := twoReplicas(t, config.file)
			for _, replica := range replicas {
				replica.signal(t, syscall.SIGTERM)
				waitFor(t, "the replica to say that it is not ready", func() bool { return !replica.ready() })
				e.waitHealthy(t, 1)
				if !replica.running() {
					t.Error("the replica was gone before Envoy knew")
				}
				waitFor(t, "the replica to end", func() bool { return !replica.running() })
				if code := replica.cmd.ProcessState.ExitCode(); code != 0 {
					t.Errorf("exit code %d, want 0", code)
				}
				l.more(t, 200)
				replica.start(t)
				e.waitHealthy(t, 2)
				l.more(t, 200)
			}
			l.mustOnly(t, "200")
		})
	}
}

// A replica that hangs without closing its connections shows only in that a try takes too long: the other one
// has to be asked while there is time. The shipped times are drawn out tenfold, in their proportion.
func TestFrozenReplicaFailsNoRequest(t *testing.T) {
	replicas := [2]*passgate{startPassgate(t, policy), startPassgate(t, policy)}
	file := shippedAsIs(t).
		replace("timeout: 0.25s # of the whole decision", "timeout: 2.5s #").
		replace("max_interval: 0.12s", "max_interval: 1.2s").
		replace("- timeout: 0.25s\n", "- timeout: 20s\n") // so that health checks do not notice first
	e := startEnvoy(t, file, startSample(t), replicas[0].grpc, replicas[1].grpc)
	e.waitHealthy(t, 2)
	replicas[0].signal(t, syscall.SIGSTOP) // the test ends it with SIGKILL, which needs no SIGCONT
	l := startLoad(t, "http://"+e.addr+"/api/users/1", bearer(t, user("read")))
	l.more(t, 24)
	l.mustOnly(t, "200")
	if n, err := strconv.Atoi(e.stat("cluster.passgate.upstream_rq_retry_success")); err != nil || n == 0 {
		t.Errorf("%d calls were tried again (%v), want some: no request met the frozen replica", n, err)
	}
}

// The promise that matters most: with nobody to ask, nobody gets in.
func TestKilledPassgateLetsNothingThrough(t *testing.T) {
	const denyAll = `
routes: [{name: closed, path: "/closed/**", permissions: [nobody-has-this]}]
default_access: deny
`
	for _, config := range []struct {
		name  string
		file  func(*testing.T) *envoyFile
		fault string // Envoy's status for a passgate that does not answer
	}{
		{"shipped", shippedAsIs, "503"},
		{"careless", carelessFile, "403"},
	} {
		t.Run(config.name, func(t *testing.T) {
			s := startStack(t, config.file(t), denyAll)
			closed := startLoad(t, "http://"+s.addr+"/closed/page", bearer(t, user("read")), "", "X-User-ID: evil")
			elsewhere := startLoad(t, "http://"+s.addr+"/elsewhere", bearer(t, user("read")), "")
			closed.more(t, 100)
			elsewhere.more(t, 100)
			for range 2 {
				s.passgate.kill(t)
				closed.more(t, 100)
				elsewhere.more(t, 100)
				waitFor(t, "Envoy to notice", func() bool { return closed.seen(config.fault) })
				s.passgate.start(t)
				closed.more(t, 100)
				elsewhere.more(t, 100)
			}
			closed.mustOnly(t, "401", "403", config.fault)
			elsewhere.mustOnly(t, "403", config.fault)
			s.upstream.untouched(t, "load")
		})
	}
}

func TestEnvoyStartedFirstRefusesUntilPassgateIsThere(t *testing.T) {
	p := newPassgate(t, freeAddr(t), policy)
	u := startUpstream(t)
	e := startEnvoy(t, shippedFile(t), u.addr, p.grpc)
	for _, request := range [][]string{{"/public/page"}, {"/private/page"}, {"/private/page", bearer(t, user())}} {
		if answer := get(t, e.addr, request[0], request[1:]...); answer.status != 503 || answer.body != "" {
			t.Errorf("%s: status %d %q, want Envoy's 503", request[0], answer.status, answer.body)
		}
	}
	u.untouched(t, "before passgate is there")

	p.start(t)
	e.waitHealthy(t, 1)
	if answer := get(t, e.addr, "/private/page", bearer(t, user())); answer.status != 200 {
		t.Errorf("with a credential: status %d, want 200: %s", answer.status, answer.body)
	}
	get(t, e.addr, "/private/page").mustDeny(t, "no credential", 401, "missing_credentials")
}
