//go:build peers

package peers

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/providers/vault/vaulttest"
)

// concurrency is what the bare client has in flight: as many as the driver.
const concurrency = 16

// looks is how often a plan with the scan runs at any size: it is short, and
// noise is large beside it.
const looks = 7

// rounds is how often each other arm runs at a size; the table shows medians.
func rounds(size int) int {
	switch {
	case size <= 1000:
		return 7
	case size <= 5000:
		return 3
	}
	return 1
}

// TestPeers prints a table for each size of COFFER_PEERS_SIZES. It asserts what
// is not noise: how many requests were made. Times are for people.
func TestPeers(t *testing.T) {
	for _, size := range sizes(t) {
		b := newBench(t, size)
		applies, plans, walks := b.applies(), b.plans(), b.walks()
		rows := slices.Concat(applies, plans, walks, b.tofu())
		fmt.Printf("\n%d secrets, %s storage, %d rounds, %d of the plan with the scan\n\n%s\n", size, b.storage, rounds(size), looks, table(rows))
		fmt.Printf("Ratios of the medians: apply beside the same calls %s, apply beside the values alone %s, plan with the scan %s, plan without the scan %s.\n",
			ratio(applies[0], applies[2]), ratio(applies[0], applies[1]), ratio(plans[0], plans[1]), ratio(walks[0], walks[1]))
	}
}

func sizes(t *testing.T) []int {
	text := os.Getenv("COFFER_PEERS_SIZES")
	if text == "" {
		text = "1000,5000,20000"
	}
	var out []int
	for part := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(part)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, n)
	}
	return out
}

// bench is one server with what is measured on it.
type bench struct {
	t       *testing.T
	size    int
	storage vaulttest.Storage
	server  *vaulttest.Server
	coffer  string
	// dir is a workspace whose secrets exist, on mount.
	dir, mount string
}

func newBench(t *testing.T, size int) *bench {
	b := &bench{t: t, size: size, storage: vaulttest.File, coffer: cofferBinary(t)}
	b.server = vaulttest.Start(t, vaulttest.Options{Storage: b.storage, NoAudit: true})
	return b
}

func cofferBinary(t *testing.T) string {
	path := os.Getenv("COFFER_TEST_BINARY")
	if path == "" {
		t.Fatal("COFFER_TEST_BINARY is not set: it is the path of coffer, which `make bench-peers` builds")
	}
	return path
}

// workspace writes a configuration of b.size secrets on a mount, a file an app.
func (b *bench) workspace(mount string) string {
	dir := b.t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			b.t.Fatal(err)
		}
	}
	write("coffer.hcl", fmt.Sprintf("coffer {\n  project = \"peers-1a2b3c4d\"\n}\nvariable \"address\" {}\nprovider \"vault\" {\n  address = var.address\n  mount = %q\n  prefix = \"peers/\"\n}\nenvironment \"dev\" {\n  store = vault\n}\n", mount))
	for app := range (b.size + 99) / 100 {
		var text strings.Builder
		fmt.Fprintf(&text, "app \"app%d\" {\n  environments = [\"dev\"]\n", app)
		for n := range min(100, b.size-100*app) {
			fmt.Fprintf(&text, "  secret \"s%d\" {\n    value = random_password({ length = 32 })\n  }\n", n)
		}
		text.WriteString("}\n")
		write(fmt.Sprintf("app%d.hcl", app), text.String())
	}
	return dir
}

// sample is one run of one arm.
type sample struct {
	wall, cpu time.Duration
	requests  int64
}

// program runs coffer (or a peer) to its end. Through a counting address the
// requests are counted, which costs time: those runs are not timed.
func (b *bench) program(dir, address string, want int, name string, args ...string) sample {
	b.t.Helper()
	return program(b.t, dir, []string{"VAULT_ADDR=" + address, "VAULT_TOKEN=" + b.server.RootToken, "COFFER_VAR_address=" + address}, want, name, args...)
}

func program(t *testing.T, dir string, env []string, want int, name string, args ...string) sample {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = append(append(os.Environ(), env...), "HOME="+dir)
	start := time.Now()
	out, err := cmd.CombinedOutput()
	wall := time.Since(start)
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != want {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, last(string(out), 2000))
	}
	s := sample{wall: wall, cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
	_, _ = fmt.Sscanf(string(out), "requests %d", &s.requests) // of the bare client
	return s
}

func last(s string, n int) string { return s[max(0, len(s)-n):] }

// applies measures the first apply of b.size new secrets.
func (b *bench) applies() []row {
	apply, writes, marked := row{name: "coffer apply, all new"}, row{name: "bare client, the writes"}, row{name: "bare client, the writes and their metadata"}
	for range rounds(b.size) {
		b.mount = b.server.KV()
		b.dir = b.workspace(b.mount)
		apply.add(b.program(b.dir, b.server.Address, 0, b.coffer, "apply", "-auto-approve"))
		writes.add(b.bare("write", b.server.Address, b.server.KV()))
		marked.add(b.bare("mark", b.server.Address, b.server.KV()))
	}
	p := newProxy(b.t, b.server.Address, false)
	mount := b.server.KV()
	b.program(b.workspace(mount), p.address, 0, b.coffer, "apply", "-auto-approve")
	apply.requests = p.count()
	return []row{apply, writes, marked}
}

// plans measures a plan without changes where the server scans.
func (b *bench) plans() []row {
	plan, bare := row{name: "coffer plan, no changes, scan"}, row{name: "bare client, the same calls"}
	for range looks {
		plan.add(b.program(b.dir, b.server.Address, 0, b.coffer, "plan", "-detailed-exitcode"))
		bare.add(b.bare("scan", b.server.Address, b.mount))
	}
	p := newProxy(b.t, b.server.Address, false)
	b.program(b.dir, p.address, 0, b.coffer, "plan", "-detailed-exitcode")
	if plan.requests = p.count(); plan.requests > 3 {
		b.t.Errorf("a plan without changes made %d requests, want at most 3:\n%s", plan.requests, strings.Join(p.paths(), "\n"))
	}
	return []row{plan, bare}
}

// walks is plans where the server has no scan, as HashiCorp Vault.
func (b *bench) walks() []row {
	plan, bare := row{name: "coffer plan, no changes, without the scan"}, row{name: "bare client, the same calls (lists, metadata reads)"}
	p := newProxy(b.t, b.server.Address, true)
	for range rounds(b.size) {
		p.reset()
		plan.add(b.program(b.dir, p.address, 0, b.coffer, "plan", "-detailed-exitcode"))
		plan.requests = p.count()
		bare.add(b.bare("walk", p.address, b.mount))
	}
	return []row{plan, bare}
}
