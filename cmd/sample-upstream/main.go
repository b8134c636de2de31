// Command sample-upstream serves package sample: an upstream that shows what it was sent.
package main

import (
	"context"
	"flag"
	"log"
	"net/http"

	"github.com/passgate/passgate/internal/sample"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8081", "address to listen on")
	keys := flag.String("jwks-url", "", "where passgate serves its keys: passports are verified, and others refused")
	flag.Parse()
	handler := sample.Handler()
	if *keys != "" {
		var err error
		if handler, err = sample.VerifyingHandler(context.Background(), *keys); err != nil {
			log.Fatal(err)
		}
	}
	log.Fatal(http.ListenAndServe(*listen, handler))
}
