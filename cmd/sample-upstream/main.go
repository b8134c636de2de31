// Command sample-upstream serves package sample: an upstream that shows what it was sent.
package main

import (
	"flag"
	"log"
	"net/http"

	"github.com/passgate/passgate/internal/sample"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8081", "address to listen on")
	flag.Parse()
	log.Fatal(http.ListenAndServe(*listen, sample.Handler()))
}
