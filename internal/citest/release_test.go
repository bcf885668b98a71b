//go:build unix

package citest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const version = "0.1.0"

// program is what a release of the tests has in place of coffer: it writes down
// what it was asked, and answers as FAKE_EXIT says.
const program = `#!/bin/sh
if [ -n "${FAKE_DIR:-}" ]; then
	pwd >"$FAKE_DIR/pwd"
	printf '%s\n' "$@" >"$FAKE_DIR/args"
	env >"$FAKE_DIR/env"
fi
if [ -n "${FAKE_OUTPUTS:-}" ]; then printf '%b' "$FAKE_OUTPUTS" >>"$GITHUB_OUTPUT"; fi
echo "coffer of the tests"
exit "${FAKE_EXIT:-0}"
`

// site is a server of releases. Files are by their path.
type site struct {
	*httptest.Server
	plain *httptest.Server // the same without TLS, which nobody is to ask
	ca    string           // file with the certificate
	mu    sync.Mutex
	files map[string][]byte
	asked []string // "GET /v0.1.0/name", in order
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{files: map[string][]byte{}}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	s.plain = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.plain.Close)
	s.ca = filepath.Join(t.TempDir(), "ca.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(s.ca, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *site) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, r.Method+" "+r.URL.Path)
	switch data, ok := s.files[r.URL.Path]; {
	case !ok:
		http.NotFound(w, r)
	case bytes.HasPrefix(data, []byte("redirect ")):
		http.Redirect(w, r, strings.TrimPrefix(string(data), "redirect "), http.StatusFound)
	case bytes.HasPrefix(data, []byte("status 403")):
		http.Error(w, "no", http.StatusForbidden)
	default:
		_, _ = w.Write(data) // a client that is gone
	}
}

// requests returns the paths that were asked for since the last call.
func (s *site) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.asked
	s.asked = nil
	return asked
}

func (s *site) put(name string, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files["/v"+version+"/"+name] = data
}

func (s *site) remove(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.files, "/v"+version+"/"+name)
}

func archiveName(system string) string { return "coffer_" + version + "_" + system + ".tar.gz" }

const sumsName = "coffer_" + version + "_checksums.txt"

// systems are those that a release has archives for.
var systems = []string{"darwin_amd64", "darwin_arm64", "linux_amd64", "linux_arm64"}

// publish puts up a release whose archives hold the entries, and returns the sum
// of its list of sums.
func (s *site) publish(t *testing.T, entries ...tar.Header) string {
	t.Helper()
	var sums strings.Builder
	for _, system := range systems {
		data := archive(t, entries...)
		s.put(archiveName(system), data)
		sums.WriteString(sum(data) + "  " + archiveName(system) + "\n")
	}
	sums.WriteString(sum([]byte("bill")) + "  coffer_" + version + "_sbom.spdx.json\n")
	s.put(sumsName, []byte(sums.String()))
	return sum([]byte(sums.String()))
}

// archive packs entries; without any, what a release has: documents around the
// program.
func archive(t *testing.T, entries ...tar.Header) []byte {
	t.Helper()
	if len(entries) == 0 {
		entries = []tar.Header{{Name: "coffer", Mode: 0o755}, {Name: "LICENSE", Mode: 0o644}, {Name: "man/coffer.1", Mode: 0o644}}
	}
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	w := tar.NewWriter(zip)
	for _, h := range entries {
		body := []byte("text\n")
		if h.Name == "coffer" && h.Typeflag == 0 {
			body = []byte(program)
		}
		if h.Typeflag == 0 {
			h.Size = int64(len(body))
		}
		must(t, w.WriteHeader(&h))
		if h.Typeflag == 0 {
			_, err := w.Write(body)
			must(t, err)
		}
	}
	must(t, w.Close())
	must(t, zip.Close())
	return packed.Bytes()
}

func sum(data []byte) string {
	digest := sha256.Sum256(data)
	return hex.EncodeToString(digest[:])
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// machine is where scripts run: a home, folders of a runner, and programs that
// come before those of the system.
type machine struct {
	t                     *testing.T
	home, bin, temp, logs string
	environ               map[string]string
}

func newMachine(t *testing.T, s *site) *machine {
	t.Helper()
	m := &machine{t: t, home: t.TempDir(), bin: t.TempDir(), temp: t.TempDir(), logs: t.TempDir()}
	m.environ = map[string]string{
		"HOME": m.home, "TMPDIR": m.temp, "PATH": m.bin + ":" + os.Getenv("PATH"), "FAKE_DIR": m.logs,
		"CURL_CA_BUNDLE": s.ca, "COFFER_RELEASES": s.URL,
	}
	m.stub("uname", "case $1 in -s) echo Linux ;; -m) echo x86_64 ;; esac")
	return m
}

// stub puts a program in front of the system's.
func (m *machine) stub(name, body string) {
	m.t.Helper()
	must(m.t, os.WriteFile(filepath.Join(m.bin, name), []byte("#!/bin/sh\n"+body+"\n"), 0o755))
}

// run runs a program in dir and returns what it printed, both streams together,
// and its exit code. more wins over the machine's environment; "" takes away.
func (m *machine) run(dir string, more map[string]string, name string, args ...string) (string, int) {
	m.t.Helper()
	env := map[string]string{}
	for _, from := range []map[string]string{m.environ, more} {
		for k, v := range from {
			env[k] = v
		}
	}
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	for k, v := range env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	slices.Sort(cmd.Env)
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		m.t.Fatalf("%s: %v", name, err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// told returns what the program of the tests wrote down, "" where it did not run.
func (m *machine) told(what string) string {
	data, err := os.ReadFile(filepath.Join(m.logs, what))
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(string(data), "\n")
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	abs, err := filepath.Abs(filepath.Join(root, path))
	must(t, err)
	return abs
}
