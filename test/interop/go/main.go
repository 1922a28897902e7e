// Calls a longhaul server as a client of grpc-go or connect-go and prints what it saw, one JSON object a step.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"log"
	"os"
)

func main() {
	protocol := flag.String("protocol", "grpc-go", "grpc-go, or connect-go's connect, grpc or grpcweb")
	address := flag.String("address", "", "host:port of the server")
	caFile := flag.String("ca", "", "PEM file of the authority to trust; plaintext without it")
	token := flag.String("token", "", "bearer token")
	addresses := flag.String("load", "", "host:port,host:port: puts load on these servers instead, until standard input ends")
	flag.Parse()
	if *addresses != "" {
		load(*addresses)
		return
	}

	var trusted *tls.Config
	if *caFile != "" {
		pem, err := os.ReadFile(*caFile)
		check(err)
		trusted = &tls.Config{RootCAs: x509.NewCertPool()}
		trusted.RootCAs.AppendCertsFromPEM(pem)
	}
	var api operations
	if *protocol == "grpc-go" {
		api = overGRPC(*address, trusted, *token)
	} else {
		api = overConnect(*protocol, *address, trusted, *token)
	}
	for _, step := range steps {
		facts := step.run(api)
		facts["step"] = step.name
		check(json.NewEncoder(os.Stdout).Encode(facts))
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
