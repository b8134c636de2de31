package passport_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/passgate/passgate/passport"
)

// gateway stands in for passgate: it serves its key and signs a passport of this second.
func gateway() (server *httptest.Server, value, signature string) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		log.Fatal(err)
	}
	signer := passport.NewSigner(private, "")
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"keys":[{"kty":"OKP","crv":"Ed25519","use":"sig","alg":"EdDSA","kid":%q,"x":%q}]}`,
			signer.KeyID(), base64.RawURLEncoding.EncodeToString(public))
	}))
	value = passport.Passport{UserID: "user_123", Subscription: "free", TokenStatus: passport.StatusValid, IssuedAt: time.Now().Unix()}.Encode()
	if signature, err = signer.Sign(value); err != nil {
		log.Fatal(err)
	}
	return server, value, signature
}

func ExampleVerifier_Middleware() {
	passgate, value, signature := gateway()
	defer passgate.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	v, err := passport.NewVerifier(ctx, passport.Options{JWKSURL: passgate.URL + "/.well-known/jwks.json"})
	if err != nil {
		log.Fatal(err)
	}
	if err := v.FetchKeys(ctx); err != nil {
		log.Fatal(err)
	}
	orders := v.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, _ := passport.FromContext(r.Context())
		fmt.Fprintf(w, "orders of %s", p.UserID)
	}))

	r := httptest.NewRequest("GET", "/orders", nil)
	r.Header.Set(passport.Header, value)
	r.Header.Set(passport.SignatureHeader, signature)
	w := httptest.NewRecorder()
	orders.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Body)

	r.Header.Del(passport.SignatureHeader)
	w = httptest.NewRecorder()
	orders.ServeHTTP(w, r)
	fmt.Print(w.Code, " ", w.Body)
	// Output:
	// 200 orders of user_123
	// 401 {"type":"about:blank","title":"Unauthorized","status":401}
}

// health is a gRPC service, of which a unary call says who calls.
type health struct {
	grpc_health_v1.UnimplementedHealthServer
}

func (health) Check(ctx context.Context, _ *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	p, _ := passport.FromContext(ctx)
	fmt.Println("called by", p.UserID)
	return &grpc_health_v1.HealthCheckResponse{}, nil
}

func ExampleVerifier_UnaryServerInterceptor() {
	passgate, value, signature := gateway()
	defer passgate.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	v, err := passport.NewVerifier(ctx, passport.Options{JWKSURL: passgate.URL + "/.well-known/jwks.json"})
	if err != nil {
		log.Fatal(err)
	}
	if err := v.FetchKeys(ctx); err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer(
		grpc.UnaryInterceptor(v.UnaryServerInterceptor()),
		grpc.StreamInterceptor(v.StreamServerInterceptor()),
	)
	grpc_health_v1.RegisterHealthServer(server, health{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go server.Serve(listener)
	defer server.Stop()

	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	client := grpc_health_v1.NewHealthClient(conn)
	signed := metadata.AppendToOutgoingContext(ctx, "x-passport", value, "x-passport-signature", signature)
	_, err = client.Check(signed, nil)
	fmt.Println(status.Code(err))
	_, err = client.Check(ctx, nil)
	fmt.Println(status.Code(err))
	// Output:
	// called by user_123
	// OK
	// Unauthenticated
}

func ExampleVerifier_Verify() {
	passgate, value, signature := gateway()
	defer passgate.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	v, err := passport.NewVerifier(ctx, passport.Options{JWKSURL: passgate.URL + "/.well-known/jwks.json", MaxAge: 10 * time.Second})
	if err != nil {
		log.Fatal(err)
	}
	if err := v.FetchKeys(ctx); err != nil {
		log.Fatal(err)
	}
	p, err := v.Verify(ctx, value, signature)
	fmt.Println(p.UserID, p.Subscription, err)

	_, err = v.Verify(ctx, passport.Passport{UserID: "root", TokenStatus: passport.StatusValid, IssuedAt: p.IssuedAt}.Encode(), signature)
	fmt.Println(errors.Is(err, passport.ErrSignature))
	// Output:
	// user_123 free <nil>
	// true
}

func ExampleFromContext() {
	passgate, value, signature := gateway()
	defer passgate.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	// Routes that passgate leaves open arrive without a passport.
	v, err := passport.NewVerifier(ctx, passport.Options{JWKSURL: passgate.URL + "/.well-known/jwks.json", Optional: true})
	if err != nil {
		log.Fatal(err)
	}
	if err := v.FetchKeys(ctx); err != nil {
		log.Fatal(err)
	}
	home := v.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p, ok := passport.FromContext(r.Context()); ok {
			fmt.Println("welcome back,", p.UserID)
		} else {
			fmt.Println("welcome")
		}
	}))

	r := httptest.NewRequest("GET", "/", nil)
	home.ServeHTTP(httptest.NewRecorder(), r)
	r.Header.Set(passport.Header, value)
	r.Header.Set(passport.SignatureHeader, signature)
	home.ServeHTTP(httptest.NewRecorder(), r)
	// Output:
	// welcome
	// welcome back, user_123
}
