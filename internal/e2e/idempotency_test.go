package e2e

import (
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/passgate/passgate/internal/redistest"
)

// crowd is how many ask at once.
const crowd = 200

// atOnce sends one call from many clients and returns the answers.
func atOnce(t *testing.T, call func(i int) (response, error)) []response {
	t.Helper()
	answers := make([]response, crowd)
	failures := make([]error, crowd)
	var all sync.WaitGroup
	begin := make(chan struct{})
	for i := range crowd {
		all.Go(func() {
			<-begin
			answers[i], failures[i] = call(i)
		})
	}
	close(begin)
	all.Wait()
	if err := errors.Join(failures...); err != nil {
		t.Fatal(err)
	}
	return answers
}

// variants are the two places where keys can be kept.
var variants = []struct {
	name  string
	start func(*testing.T) *accounts
}{
	{"in the process", func(t *testing.T) *accounts { return startAccounts(t, "") }},
	{"in Redis", startWithRedis},
}

func TestCrowdWithOneKeyIsAnsweredOnce(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			a := v.start(t)
			ann := a.spilled.newPerson()
			answers := atOnce(t, func(int) (response, error) { return a.post(signUpPath, ann.signUp(), ann.keyed()) })
			a.session(t, answers[0])
			replays := 0
			for _, answer := range answers {
				if answer.status != 201 || answer.body != answers[0].body || answer.header.Get("Content-Type") != answers[0].header.Get("Content-Type") {
					t.Fatalf("answers differ: %d %q and %d %q", answer.status, answer.body, answers[0].status, answers[0].body)
				}
				if answer.header.Get("Idempotent-Replayed") == "true" {
					replays++
				}
			}
			if replays != crowd-1 {
				t.Errorf("%d answers are replays, want all but one", replays)
			}
			if n := a.hashes(t); n != 1 {
				t.Errorf("%v passwords were hashed, want 1", n)
			}
			if users := a.users(t); len(users) != 1 {
				t.Errorf("there are %d accounts: %v", len(users), users)
			}
		})
	}
}

func TestCrowdThatWantsOneAddress(t *testing.T) {
	for _, v := range variants {
		t.Run(v.name, func(t *testing.T) {
			a := v.start(t)
			ann := a.spilled.newPerson()
			count := map[int]int{}
			for _, answer := range atOnce(t, func(int) (response, error) { return a.post(signUpPath, ann.signUp()) }) {
				count[answer.status]++
				if answer.status == 201 {
					a.session(t, answer)
				}
			}
			if count[201] != 1 || count[409] != crowd-1 {
				t.Errorf("by status: %v, want one 201 and %d times 409", count, crowd-1)
			}
			if users := a.users(t); len(users) != 1 {
				t.Errorf("there are %d accounts", len(users))
			}
		})
	}
}

// buildFaulty builds a passgate that can be told where to die.
var buildFaulty = sync.OnceValues(func() (string, error) {
	program := filepath.Join(filepath.Dir(programs.passgate), "passgate-faults")
	out, err := exec.Command("go", "build", "-buildvcs=false", "-tags", "faults", "-o", program, "github.com/passgate/passgate/cmd/passgate").CombinedOutput()
	if err != nil {
		return "", errors.New(string(out))
	}
	return program, nil
})

// A process that dies at any point of a signup with a key leaves nothing half done: who asks again, after a
// restart, has one account and one answer.
func TestSignUpSurvivesDeathAtEachStep(t *testing.T) {
	needPrograms(t)
	program, err := buildFaulty()
	if err != nil {
		t.Fatal(err)
	}
	for _, point := range []struct {
		name string
		// fixed says that the claim was made before: what it fixed is in the answer of whoever resumes.
		fixed, made, kept bool
	}{
		{"before claim", false, false, false},
		{"after claim", true, false, false},
		{"before create", true, false, false},
		{"after create", true, true, false},
		{"before finish", true, true, false},
		{"after finish", true, true, true},
	} {
		t.Run(point.name, func(t *testing.T) {
			t.Parallel() // each waits for a lease to run out
			redis := redistest.Start(t)
			a := newAccounts(t, redis.URL(), program)
			a.spilled.watchRedis(t, redis)
			a.environment = append(a.environment, "PASSGATE_FAULT="+point.name, "PASSGATE_FAULT_ONCE="+filepath.Join(a.dir, "died"))
			a.start(t)
			ann := a.spilled.newPerson()
			begun := time.Now()
			if answer, err := a.post(signUpPath, ann.signUp(), ann.keyed()); err == nil {
				t.Fatalf("it was answered: %d %s", answer.status, answer.body)
			}
			<-a.gone
			died := time.Now()
			if _, err := os.Stat(filepath.Join(a.dir, "died")); err != nil {
				t.Fatalf("it did not die where it was told to: %v", err)
			}
			if users := a.users(t); (len(users) == 1) != point.made {
				t.Errorf("after its death there are the accounts %v, want one: %t", users, point.made)
			}

			a.start(t)
			var answer response
			waitFor(t, "the signup to be resumed", func() bool {
				answer, err = a.post(signUpPath, ann.signUp(), ann.keyed())
				if err != nil {
					t.Fatal(err)
				}
				if answer.status == 409 {
					answer.mustDeny(t, "while the lease runs", 409, "request_in_progress")
					return false
				}
				return true
			})
			if answer.status != 201 {
				t.Fatalf("status %d: %s", answer.status, answer.body)
			}
			s := a.session(t, answer)
			users := a.users(t)
			if len(users) != 1 || users[0]["user_id"] != s.UserID {
				t.Errorf("there are the accounts %v, want that of %s", users, s.UserID)
			}
			// What the first attempt chose is what the answer says, though nobody has seen that one's.
			claims := a.claims(t, s.Token)
			iat, _ := claims.GetIssuedAt()
			for what, at := range map[string]time.Time{"jti": timeOf(t, claims["jti"].(string)), "user_id": timeOf(t, s.UserID[len("user_"):])} {
				if early := !at.After(died); early != point.fixed {
					t.Errorf("%s is of %v; the first attempt began at %v and died at %v", what, at, begun, died)
				}
			}
			if point.fixed && iat.After(died) {
				t.Errorf("iat is %v; the first attempt died at %v", iat, died)
			}
			if replayed := answer.header.Get("Idempotent-Replayed") == "true"; replayed != point.kept {
				t.Errorf("replayed %t, want %t", replayed, point.kept)
			}
			again := must(t, 201)(a.post(signUpPath, ann.signUp(), ann.keyed()))
			if again.body != answer.body || again.header.Get("Idempotent-Replayed") != "true" {
				t.Errorf("asked again the answer is %q, was %q", again.body, answer.body)
			}
			a.session(t, must(t, http.StatusOK)(a.post(logInPath, ann.logIn())))
		})
	}
}

// timeOf returns the time in a UUIDv7.
func timeOf(t *testing.T, id string) time.Time {
	t.Helper()
	u, err := uuid.Parse(id)
	if err != nil || u.Version() != 7 {
		t.Fatalf("%q is no UUIDv7 (%v)", id, err)
	}
	sec, nsec := u.Time().UnixTime()
	return time.Unix(sec, nsec)
}
