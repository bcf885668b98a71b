// Package servers runs the real servers that tests of shared state and of
// Kubernetes need: PostgreSQL, azurite, fake-gcs-server, and a Kubernetes API
// server with its etcd. It reads the path of each from an environment variable
// and fails where that is not set: a test that needs a server is never skipped.
//
// Every function starts one server on a free port of 127.0.0.1, returns when it
// serves, and stops it when the test ends; with a [Package], all tests of a
// package share one. A server dies with the test process where that ends badly,
// and its log is printed when a test failed. The package knows nothing of Coffer.
package servers

import (
	"crypto/rand"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// The environment variables with the servers' paths; `make test-servers` builds
// and sets them.
const (
	PostgresVariable      = "COFFER_TEST_POSTGRES" // the folder with initdb and postgres
	AzuriteVariable       = "COFFER_TEST_AZURITE"
	FakeGCSVariable       = "COFFER_TEST_FAKEGCS"
	EtcdVariable          = "COFFER_TEST_ETCD"
	KubeAPIServerVariable = "COFFER_TEST_KUBEAPISERVER"
)

// Life is how long a server runs, and who is told what goes wrong: a testing.TB.
type Life interface {
	Helper()
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
	Failed() bool
	Cleanup(f func())
	TempDir() string
}

// deadline bounds every wait for a server to get somewhere. A cold machine that
// runs other tests beside is slow.
const deadline = 3 * time.Minute

func must(l Life, what string, err error) {
	l.Helper()
	if err != nil {
		l.Fatalf("%s: %v", what, err)
	}
}

// Await asks until done, again and again in short steps.
func Await(l Life, what string, done func() bool) {
	l.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	end := time.After(deadline)
	for !done() {
		select {
		case <-end:
			l.Fatalf("waited %v until %s", deadline, what)
		case <-tick.C:
		}
	}
}

// variable returns the path in an environment variable.
func variable(l Life, name string) string {
	l.Helper()
	path := os.Getenv(name)
	if path == "" {
		l.Fatalf("%s is not set: `make test-servers` builds what it names", name)
	}
	return path
}

// freePorts returns ports that nobody uses; all are held until all are known.
func freePorts(l Life, n int) []int {
	l.Helper()
	var ports []int
	for range n {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		must(l, "free port", err)
		defer listener.Close()
		ports = append(ports, listener.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

// password returns a new random one.
func password() string { return rand.Text() }

// tail returns the last lines of a log.
func tail(file string, lines int) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	return filepath.Base(file) + ":\n" + strings.Join(all[max(0, len(all)-lines):], "\n")
}
