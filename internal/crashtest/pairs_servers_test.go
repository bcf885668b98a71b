//go:build unix && servers

package crashtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"

	"github.com/cofferhq/coffer/providers/vault/vaulttest"
	azstate "github.com/cofferhq/coffer/state/azblob"
	"github.com/cofferhq/coffer/state/gcs"
	"github.com/cofferhq/coffer/state/kubernetes"
	"github.com/cofferhq/coffer/state/postgres"
	"github.com/cofferhq/coffer/state/remote"
	"github.com/cofferhq/coffer/state/statetest/servers"
)

// onAzurite, onGCS, onPostgres and onKube start a server each.
func onAzurite(t *testing.T) place {
	t.Helper()
	s := servers.Azurite(t)
	client, err := azblob.NewClientFromConnectionString(s.ConnectionString(), nil)
	must(t, err)
	_, err = client.CreateContainer(t.Context(), "states", nil)
	must(t, err)
	return place{
		block:   fmt.Sprintf("backend \"azblob\" {\n  account   = %q\n  endpoint  = %q\n  container = \"states\"\n  key       = \"shop\"\n}\n", s.Account, s.URL),
		backend: &azstate.Config{Account: s.Account, Endpoint: s.URL, Container: "states", Key: "shop"},
		env:     map[string]string{"AZURE_STORAGE_KEY": s.Key},
	}
}

func onGCS(t *testing.T) place {
	t.Helper()
	address := servers.FakeGCS(t)
	resp, err := http.Post(address+"/storage/v1/b?project=p", "application/json", strings.NewReader(`{"name":"states"}`))
	must(t, err)
	must(t, resp.Body.Close())
	return place{
		block:   "backend \"gcs\" {\n  bucket = \"states\"\n  key    = \"shop\"\n}\n",
		backend: &gcs.Config{Bucket: "states", Key: "shop"},
		env:     map[string]string{"STORAGE_EMULATOR_HOST": address},
	}
}

func onPostgres(t *testing.T) place {
	t.Helper()
	withPassword := servers.Postgres(t)
	password := regexp.MustCompile(`:([^:@]+)@`).FindStringSubmatch(withPassword)[1]
	connection := strings.Replace(withPassword, ":"+password+"@", "@", 1)
	return place{
		block:   fmt.Sprintf("backend \"postgres\" {\n  connection = %q\n  name       = \"shop\"\n}\n", connection),
		backend: &postgres.Config{Connection: connection, Name: "shop"},
		env:     map[string]string{"PGPASSWORD": password},
	}
}

func onKube(t *testing.T) place {
	t.Helper()
	c := servers.Kube(t)
	c.Namespace("states")
	file := t.TempDir() + "/kubeconfig"
	must(t, os.WriteFile(file, []byte(c.Kubeconfig(c.AdminToken)), 0o600))
	return place{
		block:   "backend \"kubernetes\" {\n  namespace = \"states\"\n  name      = \"shop\"\n}\n",
		backend: &kubernetes.Config{Namespace: "states", Name: "shop"},
		env:     map[string]string{"KUBECONFIG": file},
	}
}

// TestPairsOnASharedState lets pairs of processes apply the same configuration,
// with secrets that are new in it, at the same time; in half of them one is
// killed at a random moment. After each pair whoever comes next finds its way,
// and then nothing is lost, and no value was ever replaced.
func TestPairsOnASharedState(t *testing.T) {
	vault := vaulttest.Start(t, vaulttest.Options{Storage: vaulttest.File, NoAudit: true})
	for _, b := range []struct {
		name  string
		start func(t *testing.T) place
	}{
		{"s3", func(t *testing.T) place { return onS3(newS3(t), "shop") }},
		{"gcs", onGCS},
		{"azblob", onAzurite},
		{"postgres", onPostgres},
		{"kubernetes", onKube},
	} {
		t.Run(b.name, func(t *testing.T) {
			p := newPairs(t, vault, b.start(t))
			for range p.wanted {
				p.pair(t)
			}
			p.all(t)
		})
	}
}

// pairs is the test of one place.
type pairs struct {
	place
	vault  *vaulttest.Server
	mount  string
	store  *remote.Store
	jobs   [2]*folder
	random *rand.Rand
	wanted int // pairs
	made   int // of them
	serial uint64
	takes  time.Duration // an apply, by the last that was not killed

	killed, left, unfinished int
}

func newPairs(t *testing.T, vault *vaulttest.Server, at place) *pairs {
	t.Helper()
	p := &pairs{place: at, vault: vault, mount: vault.KV(), wanted: 20, takes: time.Second}
	seed := uint64(5)
	if soaking {
		p.wanted, seed = 200, rand.Uint64()
	}
	p.random = rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d, %d pairs", seed, p.wanted)
	for i := range p.jobs {
		p.jobs[i] = at.folder(t, map[string]string{"VAULT_TOKEN": vault.RootToken})
	}
	p.store = at.state(t, p.jobs[0])
	return p
}

// configure declares the secrets of all pairs so far, in each a random one and
// one that is made of it.
func (p *pairs) configure(t *testing.T) {
	t.Helper()
	var blocks []string
	for i := range p.made {
		blocks = append(blocks, fmt.Sprintf("  secret \"a%d\" {\n    value = random_hex()\n  }\n  secret \"b%d\" {\n    value = \"x-${secret.a%d}\"\n  }\n", i, i, i))
	}
	hcl := p.kept(onVault(p.vault, p.mount, "", strings.Join(blocks, "")))
	for _, f := range p.jobs {
		f.configure(t, strings.Replace(hcl, "  prefix  = \"\"\n", "", 1))
	}
}

// pair is one pair.
func (p *pairs) pair(t *testing.T) {
	t.Helper()
	p.made++
	p.configure(t)
	kill, writing, victim, share := p.random.IntN(2) == 0, p.random.IntN(3) > 0, p.random.IntN(2), p.random.Float64()
	wait := "60s"
	if kill {
		wait = "1s" // whoever is killed may keep the lock
	}
	where := fmt.Sprintf("pair %d", p.made)
	var running [2]*process
	planned := make(chan int, len(running))
	for i, f := range p.jobs {
		running[i] = f.launch(t, func() { planned <- i }, append([]string{"-lock-timeout", wait}, apply...)...)
	}
	if kill {
		// Most of the time passes before there is a lock: two of three moments
		// are looked for behind that.
		moment := time.Duration(1.2 * share * float64(p.takes))
		if writing {
			victim, moment = <-planned, moment/2
		}
		where += fmt.Sprintf(", process %d killed after %s, writing %t", victim, moment, writing)
		running[victim].kill(t, moment)
	}
	for i, r := range running {
		r.await(t)
		switch {
		case r.killed:
			p.killed++
		case r.code == 0:
		case kill && i != victim && r.isLocked():
			p.unfinished++
		default:
			t.Fatalf("%s: process %d: %s", where, i, r)
		}
		expected(t, where, r.out.String())
	}
	if !kill {
		p.takes = min(running[0].took, running[1].took) // the other one waited
	}
	p.after(t, where)
}

// after lets the next run find its way, and looks.
func (p *pairs) after(t *testing.T, where string) {
	t.Helper()
	next := p.jobs[p.random.IntN(2)]
	s, err := p.store.Read(t.Context())
	if err != nil && p.serial > 0 {
		t.Fatalf("%s: %v", where, err)
	}
	if s != nil {
		p.rises(t, where, s.Serial)
		if s.Holder != nil {
			p.left++
		}
	}
	r, err := next.recovered(apply...)
	if err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	expected(t, where+", afterwards", r.out+r.stderr)
	if err := next.nothingLeft(p.store); err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	s, err = p.store.Read(t.Context())
	must(t, err)
	p.rises(t, where, s.Serial)
	if len(s.Entries) != 2*p.made {
		t.Fatalf("%s: %d entries, want %d", where, len(s.Entries), 2*p.made)
	}
	p.once(t, where, p.made-1)
}

func (p *pairs) rises(t *testing.T, where string, serial uint64) {
	t.Helper()
	if serial < p.serial {
		t.Fatalf("%s: the serial went from %d to %d", where, p.serial, serial)
	}
	p.serial = serial
}

// once makes sure that the secrets of a pair were written once and fit.
func (p *pairs) once(t *testing.T, where string, pair int) {
	t.Helper()
	read := func(name string) string {
		data := p.vault.Must(http.MethodGet, p.mount+"/data/shop/dev/"+name, nil)
		if version := data["metadata"].(map[string]any)["version"]; version != 1.0 {
			t.Fatalf("%s: %s has version %v", where, name, version)
		}
		value, _ := data["data"].(map[string]any)["value"].(string)
		return value
	}
	a, b := read(fmt.Sprintf("a%d", pair)), read(fmt.Sprintf("b%d", pair))
	if a == "" || b != "x-"+a {
		t.Fatalf("%s: b%d is not made of a%d", where, pair, pair)
	}
}

// all looks at the secrets of all pairs.
func (p *pairs) all(t *testing.T) {
	t.Helper()
	for pair := range p.made {
		p.once(t, "at the end", pair)
	}
	t.Logf("%d killed, %d locks left, %d did not wait for one that was killed, serial %d, an apply takes %s",
		p.killed, p.left, p.unfinished, p.serial, p.takes)
	if p.killed == 0 || p.killed == p.made {
		t.Errorf("%d of %d pairs had a kill: the moments do not fit", p.killed, p.made)
	}
}

// process is a run of the program that goes on beside the test.
type process struct {
	cmd    *exec.Cmd
	out    output // both streams
	err    error
	ended  chan struct{} // closed when err and took are known
	took   time.Duration
	killed bool
	code   int
}

// output calls planned once a plan with changes, or without any, is there.
type output struct {
	text    strings.Builder
	planned func()
}

func (o *output) Write(b []byte) (int, error) {
	n, err := o.text.Write(b)
	if text := o.text.String(); o.planned != nil && (strings.Contains(text, "Create (") || strings.Contains(text, "No changes")) {
		o.planned()
		o.planned = nil
	}
	return n, err
}

func (o *output) String() string { return o.text.String() }

// launch starts the program as a process of its own.
func (f *folder) launch(t *testing.T, planned func(), command ...string) *process {
	t.Helper()
	p := &process{ended: make(chan struct{}), out: output{planned: planned}}
	p.cmd = exec.Command(os.Args[0], append([]string{"-chdir", f.dir}, command...)...)
	p.cmd.Env = append(f.environ(), childVariable+"=none")
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	began := time.Now()
	must(t, p.cmd.Start())
	go func() {
		defer close(p.ended)
		p.err = p.cmd.Wait()
		p.took = time.Since(began)
	}()
	return p
}

// kill ends it after some time, if it is still there.
func (p *process) kill(t *testing.T, after time.Duration) {
	t.Helper()
	timer := time.NewTimer(after)
	defer timer.Stop()
	select {
	case <-timer.C:
		if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Fatal(err)
		}
	case <-p.ended:
	}
}

func (p *process) await(t *testing.T) {
	t.Helper()
	<-p.ended
	var exit *exec.ExitError
	if p.err != nil && !errors.As(p.err, &exit) {
		t.Fatal(p.err)
	}
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok {
		t.Fatal("no wait status on this system")
	}
	p.killed, p.code = status.Signaled() && status.Signal() == syscall.SIGKILL, status.ExitStatus()
}

func (p *process) isLocked() bool {
	return strings.Contains(p.out.String(), "coffer: the state is locked by ")
}

func (p *process) String() string { return fmt.Sprintf("exit %d\n%s", p.code, p.out.String()) }

// said is what a run may say here.
var said = regexp.MustCompile(`^(` + strings.Join([]string{
	`No changes\. \d+ secrets unchanged since their recorded version\. Values read: 0\.`,
	`Plan: \d to create, (\d to adopt, )?0 to delete\. \d+ unchanged\. Values read: 0\.`,
	`Create \(\d\)`,
	`Adopt \(\d\): values are neither read nor written`,
	`  \+ app\.shop\.secret\.[ab]\d+\["dev"\]  (new|left by an interrupted apply(, reads value)?)`,
	`  = app\.shop\.secret\.[ab]\d+\["dev"\]  left by an interrupted apply, version 1`,
	`      written by the interrupted run`,
	`      in vault shop/dev/[ab]\d+  coffer\.hcl:\d+`,
	`      value  (random_hex\(\)|"x-\$\{app\.shop\.secret\.a\d+\}")`,
	`\[\d/\d\] (create|adopt) app\.shop\.secret\.[ab]\d+\["dev"\]: done`,
	`Applied: \d created, (\d adopted, )?0 deleted\. Values read: [01]\.`,
	`Waiting up to [0-9ms]+: the state is locked by (alice@\S+ \(apply, process \d+\)|another process)\.`,
	`coffer: the state is locked by another process.*`,
	`coffer: the state is locked by alice@\S+: apply, process \d+, .* coffer state unlock [0-9a-f-]+`,
	passedMark + `\d+`,
}, "|") + `)?$`)

// expected makes sure that nobody is told anything else.
func expected(t *testing.T, where, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if !said.MatchString(line) {
			t.Errorf("%s: it says %q", where, line)
		}
	}
}
