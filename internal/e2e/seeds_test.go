package e2e

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// frontend is one of the two ways to passgate: its own server, with the proxy in it, or a real Envoy.
type frontend struct {
	name  string
	addr  string
	proxy string // what stands before the path of the upstream
}

// TestSeeds are the ten cases of the document that the product comes from, under their own names: on what one
// gets without any configuration and with a real Redis, straight and through Envoy.
func TestSeeds(t *testing.T) {
	for _, variant := range []struct {
		name  string
		start func(*testing.T) *accounts
	}{{"embedded default", startDefault}, {"Redis", startWithRedis}} {
		t.Run(variant.name, func(t *testing.T) {
			a := variant.start(t)
			e := startEnvoy(t, shippedFile(t).accounts(a.http), a.upstream.addr, a.grpc)
			e.waitHealthy(t, 1)
			for _, f := range []frontend{{"proxy", a.http, "/v1/proxy"}, {"Envoy", e.addr, ""}} {
				t.Run(f.name, func(t *testing.T) { runSeeds(t, a, f) })
			}
		})
	}
}

func runSeeds(t *testing.T, a *accounts, f frontend) {
	ann := a.spilled.newPerson()
	post := func(t *testing.T, status int, path, body string, headers ...string) response {
		t.Helper()
		return must(t, status)(postTo(f.addr, path, body, headers...))
	}
	var signedUp, loggedIn session
	upstreamHeader := func(t *testing.T, name string) string {
		t.Helper()
		answer := get(t, f.addr, f.proxy+"/api/orders/1?x=y", "Authorization: Bearer "+loggedIn.Token, "X-Passport: forged")
		if answer.status != 200 {
			t.Fatalf("status %d: %s", answer.status, answer.body)
		}
		r := a.upstream.one(t, "the call")
		if r.target != "/api/orders/1?x=y" {
			t.Errorf("the upstream was asked for %s", r.target)
		}
		values := r.values(strings.ToLower(name))
		if len(values) != 1 {
			t.Fatalf("%s arrived as %q, want one", name, values)
		}
		return values[0]
	}

	t.Run("Signup with valid data", func(t *testing.T) {
		r := post(t, 201, signUpPath, ann.signUp())
		signedUp = a.session(t, r)
		claims := a.claims(t, signedUp.Token)
		exp, _ := claims.GetExpirationTime()
		iat, _ := claims.GetIssuedAt()
		if signedUp.TokenType != "Bearer" || signedUp.ExpiresIn != 86400 || claims["sub"] != signedUp.UserID || exp.Sub(iat.Time) != 24*time.Hour {
			t.Errorf("%+v with the claims %v", signedUp, claims)
		}
	})
	t.Run("Signup with duplicate email", func(t *testing.T) {
		again := ann
		again.email = strings.ToUpper(ann.email)
		r := post(t, 409, signUpPath, again.signUp())
		r.mustDeny(t, "a duplicate", 409, "email_taken")
	})
	t.Run("Signup with same idempotency key twice", func(t *testing.T) {
		bob := a.spilled.newPerson()
		first := post(t, 201, signUpPath, bob.signUp(), bob.keyed())
		a.session(t, first)
		second := post(t, 201, signUpPath, bob.signUp(), `Idempotency-Key: "`+bob.key+`"`)
		if second.body != first.body || second.header.Get("Content-Type") != first.header.Get("Content-Type") {
			t.Errorf("the first answer is %q, the second %q", first.body, second.body)
		}
		if first.header.Get("Idempotent-Replayed") != "" || second.header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("Idempotent-Replayed is %q and then %q", first.header.Get("Idempotent-Replayed"), second.header.Get("Idempotent-Replayed"))
		}
		other := bob
		other.email = "other-" + bob.email
		post(t, 422, signUpPath, other.signUp(), bob.keyed()).mustDeny(t, "another body", 422, "idempotency_key_reused")
	})
	t.Run("Login with correct credentials", func(t *testing.T) {
		loggedIn = a.session(t, post(t, 200, logInPath, ann.logIn()))
		claims := a.claims(t, loggedIn.Token)
		if claims["sub"] != signedUp.UserID || claims["email"] != ann.email || loggedIn.UserID != signedUp.UserID {
			t.Errorf("the claims are %v", claims)
		}
	})
	t.Run("Login with wrong password", func(t *testing.T) {
		wrong := ann
		wrong.password += "!"
		post(t, 401, logInPath, wrong.logIn()).mustDeny(t, "a wrong password", 401, "invalid_credentials")
	})
	a.upstream.untouched(t, "signup and login")
	t.Run("Proxy with valid JWT", func(t *testing.T) {
		if value := upstreamHeader(t, "X-Passport"); value == "forged" {
			t.Error("a forged passport reached the upstream")
		}
	})
	t.Run("Proxy with expired JWT", func(t *testing.T) {
		expired := bearer(t, jwt.MapClaims{"iss": a.issuer, "sub": signedUp.UserID, "exp": time.Now().Add(-time.Minute).Unix()})
		get(t, f.addr, f.proxy+"/api/orders/1", expired).mustDeny(t, "an expired token", 401, "token_expired")
		a.upstream.untouched(t, "an expired token")
	})
	t.Run("Proxy with no Authorization header", func(t *testing.T) {
		get(t, f.addr, f.proxy+"/api/orders/1").mustDeny(t, "no token", 401, "missing_credentials")
		a.upstream.untouched(t, "no token")
	})
	t.Run("Decode X-Passport from upstream", func(t *testing.T) {
		before := time.Now().Unix()
		passport := decodePassport(t, upstreamHeader(t, "X-Passport"))
		issued, _ := passport["issued_at"].(float64)
		delete(passport, "issued_at")
		want := map[string]any{"user_id": signedUp.UserID, "email": ann.email, "subscription": "free", "country": "IN", "platform": "android", "token_status": "valid"}
		got, _ := json.Marshal(passport)
		wanted, _ := json.Marshal(want)
		if string(got) != string(wanted) || int64(issued) < before-1 || int64(issued) > time.Now().Unix() {
			t.Errorf("the passport is %s, issued at %v; want %s", got, issued, wanted)
		}
	})
	t.Run("X-Proxy-State header", func(t *testing.T) {
		if got, want := upstreamHeader(t, "X-Proxy-State"), base64.StdEncoding.EncodeToString([]byte("free:IN:android")); got != want || want != "ZnJlZTpJTjphbmRyb2lk" {
			t.Errorf("X-Proxy-State is %q, want %q", got, want)
		}
	})
}
