// Package vaulttest runs a real OpenBao server for tests. It reads the path of
// the binary from COFFER_TEST_BAO and fails where that is not set: a test that
// needs the server is never skipped.
//
// Read [Start] first. A server starts in about a second, so each top-level test
// has its own and shares it among its subtests; it is stopped when that test
// ends, and dies with the test process where it ends badly. The package knows
// nothing of Coffer.
package vaulttest

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// BinaryVariable names the environment variable with the path of the server.
const BinaryVariable = "COFFER_TEST_BAO"

// Storage is where a server keeps its data.
type Storage string

const (
	// Memory is fast, gets slow beyond some thousand secrets and is lost with
	// the process.
	Memory Storage = "inmem"
	File   Storage = "file"
	Raft   Storage = "raft"
)

// Options choose a server. The zero value is one in memory without TLS.
type Options struct {
	Storage Storage
	// TLS serves https with a certificate of a new authority, see Server.CACert.
	TLS bool
	// RequireClientCert asks every client for Server.ClientCert; it needs TLS.
	RequireClientCert bool
	// NoAudit leaves the audit device out, for measurements.
	NoAudit bool
}

// Server is one server, unsealed, seen from one namespace. Its methods end the
// test when something is wrong.
type Server struct {
	*instance
	// Namespace is the one that every call goes to, "" is the root.
	Namespace string
}

// instance is what the views of one server share.
type instance struct {
	t       testing.TB
	options Options

	Address   string // https://127.0.0.1:8200
	RootToken string
	Dir       string // all its files; the server's log is server.log
	// CACert, ClientCert and ClientKey are files, with TLS only.
	CACert, ClientCert, ClientKey string

	unsealKey string
	http      *http.Client
	names     atomic.Int64

	mu      sync.Mutex
	process *process
}

// Start starts, initialises and unseals a server, and stops it when t ends.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	if o.Storage == "" {
		o.Storage = Memory
	}
	binary := os.Getenv(BinaryVariable)
	if binary == "" {
		t.Fatalf("%s is not set: it is the path of an OpenBao server (bao), which `make test-servers` builds", BinaryVariable)
	}
	s := &Server{instance: &instance{t: t, options: o, Dir: t.TempDir(), http: http.DefaultClient}}
	s.configure()
	t.Cleanup(s.Kill)
	s.run(binary)
	s.initialise()
	s.Unseal()
	return s
}

// configure chooses ports and writes the server's files.
func (s *Server) configure() {
	s.t.Helper()
	ports := s.freePorts(2)
	scheme, tls := "http", "tls_disable = true"
	if s.options.TLS {
		scheme = "https"
		tls = s.writeCertificates()
	}
	s.Address = fmt.Sprintf("%s://127.0.0.1:%d", scheme, ports[0])
	data := filepath.Join(s.Dir, "data")
	s.must(os.Mkdir(data, 0o700))
	storage := map[Storage]string{
		Memory: `storage "inmem" {}`,
		File:   fmt.Sprintf("storage \"file\" { path = %q }", data),
		Raft:   fmt.Sprintf("storage \"raft\" {\n  path    = %q\n  node_id = \"one\"\n  performance_multiplier = 1\n}", data),
	}[s.options.Storage]
	text := fmt.Sprintf("disable_mlock = true\nlog_level = \"warn\"\napi_addr = %q\ncluster_addr = \"https://127.0.0.1:%d\"\n%s\nlistener \"tcp\" {\n  address = \"127.0.0.1:%d\"\n  cluster_address = \"127.0.0.1:%d\"\n  %s\n}\n",
		s.Address, ports[1], storage, ports[0], ports[1], tls)
	if !s.options.NoAudit {
		text += fmt.Sprintf("audit \"file\" \"main\" {\n  options { file_path = %q }\n}\n", s.auditFile())
	}
	s.must(os.WriteFile(s.configFile(), []byte(text), 0o600))
}

func (s *Server) configFile() string { return filepath.Join(s.Dir, "server.hcl") }
func (s *Server) auditFile() string  { return filepath.Join(s.Dir, "audit.log") }

// freePorts returns ports that nobody uses; all are held until all are known.
func (s *Server) freePorts(n int) []int {
	s.t.Helper()
	var ports []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		s.must(err)
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

func (s *Server) run(binary string) {
	s.t.Helper()
	p, err := startProcess(binary, s.configFile(), filepath.Join(s.Dir, "server.log"), s.Dir)
	s.must(err)
	s.mu.Lock()
	s.process = p
	s.mu.Unlock()
	s.await("the server answers", func() (bool, error) {
		select {
		case <-p.ended:
			return false, fmt.Errorf("the server ended: %w\n%s", p.err, s.serverLog())
		default:
		}
		_, err := s.health()
		return err == nil, nil
	})
}

// Kill ends the process at once, as a crash would. It may be called twice.
func (s *Server) Kill() {
	s.mu.Lock()
	p := s.process
	s.process = nil
	s.mu.Unlock()
	if p != nil {
		p.kill()
	}
}

// Restart kills the server if it runs, starts it again on the same data and
// unseals it.
func (s *Server) Restart() {
	s.t.Helper()
	if s.options.Storage == Memory {
		s.t.Fatalf("a server in memory cannot be restarted: use File or Raft")
	}
	s.Kill()
	s.run(os.Getenv(BinaryVariable))
	s.Unseal()
}

func (s *Server) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("openbao: %v", err)
	}
}

func (s *Server) serverLog() string {
	text, err := os.ReadFile(filepath.Join(s.Dir, "server.log"))
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}
