package accountapi

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/passgate/passgate/internal/account"
	"github.com/passgate/passgate/internal/idempotency"
)

// counted returns the counts of a registry as "call code": n.
func counted(t *testing.T, r *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]float64{}
	for _, f := range families {
		if f.GetName() != "passgate_account_requests_total" {
			t.Errorf("there is a metric %s", f.GetName())
		}
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			counts[strings.Join(labels, " ")] = m.GetCounter().GetValue()
		}
	}
	return counts
}

func TestCallsAreCounted(t *testing.T) {
	d := newDoor()
	d.do(t, signUpCall(good))
	d.do(t, signUpCall(good, "Idempotency-Key: k"))
	d.do(t, signUpCall(good, "Idempotency-Key: k"))
	d.do(t, logInCall(`{`))
	d.do(t, meCall())
	d.do(t, call{"HEAD", account.MePath, []string{bearer}, ""})
	d.do(t, call{"ODD", "/chosen/by/a/client", nil, ""})
	logInEnds(errDown)(d)
	d.do(t, logInCall(good))
	want := map[string]float64{
		"call=signup code=ok": 3, "call=login code=malformed_body": 1, "call=me code=missing_credentials": 1, "call=me code=ok": 1,
		"call=unknown code=not_found": 1, "call=login code=unavailable": 1,
	}
	if diff := cmp.Diff(want, counted(t, d.registry)); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
}

func TestHandlersOfOneRegistererCountTogether(t *testing.T) {
	first := newDoor()
	second := newDoor(func(o *Options) { o.Registerer = first.registry })
	first.do(t, meCall(bearer))
	second.do(t, meCall(bearer))
	if diff := cmp.Diff(map[string]float64{"call=me code=ok": 2}, counted(t, first.registry)); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	newDoor(func(o *Options) { o.Registerer = nil }).do(t, meCall(bearer))
}

func TestNameTakenByAnotherMetricIsAFault(t *testing.T) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "passgate_account_requests_total", Help: "Another."}))
	defer func() {
		if recover() == nil {
			t.Error("a handler was made")
		}
	}()
	newDoor(func(o *Options) { o.Registerer = registry })
}

func TestLine(t *testing.T) {
	for _, o := range outcomes {
		t.Run(o.want, func(t *testing.T) {
			d := newDoor()
			if o.change != nil {
				o.change(d)
			}
			w := d.do(t, o.call)
			lines := d.log.of(t, "account")
			if len(lines) != 1 {
				t.Fatalf("logged %s", d.log)
			}
			line, code := lines[0], codeOf(t, w)
			names := []string{"call", "code", "duration_us", "level", "msg", "replayed", "request_id", "status", "time"}
			if code == "ok" {
				names = append(names, "user_id")
				if id := line["user_id"]; id != "user_1" && id != "acct:user_ann" {
					t.Errorf("user_id = %v", id)
				}
			}
			if got := slices.Sorted(maps.Keys(line)); !slices.Equal(got, names) {
				t.Errorf("the line has %q", got)
			}
			call, _, _ := strings.Cut(o.want, " ")
			if line["call"] != call || line["code"] != code || line["status"] != float64(w.Code) || line["request_id"] != "new-id-1" || line["replayed"] != false {
				t.Errorf("logged %v", line)
			}
		})
	}
}

// No line holds what must stay between the caller and the accounts, however the call ends.
func TestLogHoldsNoSecret(t *testing.T) {
	const body = `{"email":"hidden@example.com","password":"hidden password","name":"hidden name","x":"hidden"}`
	calls := []call{
		signUpCall(body), logInCall(body), signUpCall(body, "Idempotency-Key: hidden-key"), logInCall(body, "Idempotency-Key: hidden-key"),
		logInCall(body, "Idempotency-Key: hidden key"), logInCall("hidden"), logInCall(`{"hidden":1,"hidden":2}`), logInCall(`{"email":{"hidden":1},"hidden":1}`),
		{"POST", account.LogInPath, []string{"Content-Type: hidden/hidden; hidden=hidden"}, body},
		{"GET", "/hidden?hidden", []string{"X-Request-ID: hidden,hidden", "Cookie: hidden"}, ""}, meCall("Authorization: Bearer hidden.hidden.hidden"), meCall(bearer),
		{"HIDDEN", "/v1/auth/me?hidden", nil, ""},
	}
	for _, change := range []func(*door){
		func(*door) {}, signUpEnds(account.ErrEmailTaken), signUpEnds(errDown), logInEnds(account.ErrCredentials), logInEnds(errDown),
		guardEnds(errDown), guardEnds(idempotency.ErrReused),
	} {
		d := newDoor()
		change(d)
		for _, c := range calls {
			d.do(t, c)
			d.do(t, c)
		}
		for _, secret := range []string{"hidden", "HIDDEN", "secret", "ann@"} {
			if strings.Contains(d.log.String(), secret) {
				t.Errorf("%q is in the log:\n%s", secret, d.log)
			}
		}
	}
}
