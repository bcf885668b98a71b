// Command fakegcs is the storage server of fake-gcs-server, in memory, at
// http://ADDRESS: fakegcs 127.0.0.1:4443. It replaces that project's own command,
// whose gRPC server and message client would be most of the build.
package main

import (
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/fsouza/fake-gcs-server/fakestorage"
)

func main() {
	if err := serve(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "fakegcs:", err)
		os.Exit(1)
	}
}

func serve(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("want one argument, the address to listen on, not %d", len(args))
	}
	server, err := fakestorage.NewServerWithOptions(fakestorage.Options{
		NoListener:      true,
		ExternalURL:     "http://" + args[0],
		PublicHost:      args[0],
		BucketsLocation: "US-CENTRAL1",
		Writer:          os.Stderr, // one line a request
	})
	if err != nil {
		return err
	}
	listener := http.Server{Addr: args[0], Handler: server.HTTPHandler(), ReadHeaderTimeout: time.Minute}
	return listener.ListenAndServe()
}
