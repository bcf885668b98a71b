package cli

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"filippo.io/age"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/memory"
	"github.com/cofferhq/coffer/state/remote"
	"github.com/cofferhq/coffer/state/statetest"
)

// kept is the backend of the tests here: blobs in memory.
type kept struct {
	blobs *statetest.Memory
	Name  string `hcl:"name,optional"`
}

func (k *kept) Open(context.Context, remote.Env) (remote.Blobs, error) { return k.blobs, nil }
func (k *kept) Permissions(bool) string                                { return "none" }

// shared is a project whose state is shared, with its secrets in memory.
type shared struct {
	dir     string
	blobs   *statetest.Memory
	environ Environ
}

func newShared(t *testing.T, secrets int) *shared {
	t.Helper()
	p := &shared{dir: t.TempDir(), blobs: &statetest.Memory{Now: time.Now}}
	p.configure(t, "", secrets)
	world := memory.NewWorld("mem-1")
	inMemory := providers.Factory{
		Type:      "memory",
		NewConfig: func() any { return &struct{}{} },
		Open: func(context.Context, providers.Env, any) (providers.Driver, error) {
			return memory.New(world, memory.Full()), nil
		},
	}
	p.environ = Environ{
		Vars: map[string]string{"HOME": p.dir}, Now: time.Now, Random: rand.Reader,
		Seams: Seams{
			Registry: providers.NewRegistry(inMemory),
			Backends: map[string]func() remote.Backend{"kept": func() remote.Backend { return &kept{blobs: p.blobs} }},
		},
	}
	return p
}

func (p *shared) configure(t *testing.T, settings string, secrets int) {
	t.Helper()
	var hcl strings.Builder
	fmt.Fprintf(&hcl, "coffer {\n  project = \"shared-1\"\n  backend \"kept\" {\n  }\n%s}\nprovider \"memory\" {\n}\nenvironment \"dev\" { store = memory }\napp \"shop\" {\n  environments = [\"dev\"]\n", settings)
	for i := range secrets {
		fmt.Fprintf(&hcl, "  secret \"s%d\" { value = random_hex() }\n", i)
	}
	hcl.WriteString("}\n")
	if err := os.WriteFile(filepath.Join(p.dir, "coffer.hcl"), []byte(hcl.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (p *shared) run(t *testing.T, want int, args ...string) (out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	args = append([]string{"coffer", "-chdir", p.dir}, args...)
	if code := Main(context.Background(), args, Streams{In: strings.NewReader(""), Out: &o, Err: &e}, p.environ); code != want {
		t.Fatalf("%v ends with %d, want %d:\n%s%s", args, code, want, o.String(), e.String())
	}
	return o.String(), e.String()
}

// An apply of 1,000 changes costs at most 12 requests to the backend, a plan
// three at once.
func TestRequestsOfASharedState(t *testing.T) {
	p := newShared(t, 1000)
	p.run(t, ExitDone, "apply", "-auto-approve")
	if n := len(p.blobs.Calls()); n > 12 {
		t.Errorf("an apply made %d requests to the backend: %v", n, p.blobs.Calls())
	}
	before := len(p.blobs.Calls())
	out, _ := p.run(t, ExitDone, "plan")
	if n := len(p.blobs.Calls()) - before; n != 3 {
		t.Errorf("a plan made %d requests to the backend", n)
	}
	if !strings.Contains(out, "1000 secrets unchanged") {
		t.Errorf("plan says:\n%s", out)
	}
}

// A store that takes a second for each request costs an apply of 200 secrets at
// most ten seconds.
func TestASlowStoreOfState(t *testing.T) {
	p := newShared(t, 200)
	synctest.Test(t, func(t *testing.T) {
		p.blobs.Fault = func(_ statetest.Call, after bool) error {
			if !after {
				<-time.After(time.Second)
			}
			return nil
		}
		began := time.Now()
		p.run(t, ExitDone, "apply", "-auto-approve")
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("the apply took %s", took)
		}
	})
}

// A job that dies in the middle leaves its lock, which names it; the next run
// takes it over once it is broken, and finishes what was begun.
func TestASharedStateOfADeadJob(t *testing.T) {
	p := newShared(t, 3)
	gone := errors.New("killed")
	died := false
	p.environ.Seams.At = func(point string) error {
		died = died || point == "after-write-journal"
		if died {
			return gone
		}
		return nil
	}
	p.run(t, ExitError, "apply", "-auto-approve")
	p.environ.Seams.At = nil
	_, errs := p.run(t, ExitError, "apply", "-auto-approve", "-lock-timeout", "0s")
	_, id, found := strings.Cut(errs, "coffer state unlock ")
	if !found {
		t.Fatalf("the error names no way on:\n%s", errs)
	}
	p.run(t, ExitDone, "state", "unlock", strings.Fields(id)[0])
	out, _ := p.run(t, ExitDone, "plan")
	if !strings.Contains(out, "interrupted") {
		t.Errorf("the plan does not say what was interrupted:\n%s", out)
	}
	p.run(t, ExitDone, "apply", "-auto-approve")
	p.run(t, ExitDone, "plan", "-detailed-exitcode")
}

// The state moves from the file to the backend and back; each time the old
// place says where it is, and nothing uses it any more.
func TestStateMigrate(t *testing.T) {
	p := newShared(t, 3)
	remoteConfig := p.read(t, "coffer.hcl")
	local := strings.Replace(remoteConfig, "backend \"kept\" {\n  }", "", 1)
	p.write(t, "coffer.hcl", local)
	p.run(t, ExitDone, "apply", "-auto-approve")
	p.write(t, "coffer.hcl", remoteConfig)
	if _, errs := p.run(t, ExitError, "state", "migrate"); !strings.Contains(errs, "-from local") {
		t.Errorf("without -from: %s", errs)
	}
	_, errs := p.run(t, ExitDone, "state", "migrate", "-from", "local", "-auto-approve")
	if !strings.Contains(errs, "read back and compared") {
		t.Errorf("the migration says: %s", errs)
	}
	if out, _ := p.run(t, ExitDone, "plan", "-detailed-exitcode"); !strings.Contains(out, "3 secrets unchanged") {
		t.Errorf("plan with the new backend:\n%s", out)
	}
	if _, errs := p.run(t, ExitError, "state", "migrate", "-from", "local", "-auto-approve"); !strings.Contains(errs, "was migrated to memory") {
		t.Errorf("migrating again: %s", errs)
	}
	before := t.TempDir()
	if err := os.WriteFile(filepath.Join(before, "coffer.hcl"), []byte(remoteConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	p.write(t, "coffer.hcl", local)
	if _, errs := p.run(t, ExitError, "plan"); !strings.Contains(errs, "was migrated to memory") {
		t.Errorf("plan with the old backend: %s", errs)
	}
	p.run(t, ExitDone, "state", "migrate", "-from", before, "-auto-approve")
	if out, _ := p.run(t, ExitDone, "plan", "-detailed-exitcode"); !strings.Contains(out, "3 secrets unchanged") {
		t.Errorf("plan after the way back:\n%s", out)
	}
	p.write(t, "coffer.hcl", remoteConfig)
	if _, errs := p.run(t, ExitError, "apply", "-auto-approve"); !strings.Contains(errs, "was migrated to ") {
		t.Errorf("apply with the backend that was left: %s", errs)
	}
}

func (p *shared) read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(p.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func (p *shared) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Older contents are listed and shown where the store keeps them.
func TestStateHistory(t *testing.T) {
	p := newShared(t, 1)
	p.run(t, ExitDone, "apply", "-auto-approve")
	if _, errs := p.run(t, ExitError, "state", "history"); !strings.Contains(errs, "keeps no older versions") {
		t.Errorf("history of a store without: %s", errs)
	}
	p.blobs.Keep = true
	for n := 2; n <= 4; n++ {
		p.configure(t, "", n)
		p.run(t, ExitDone, "apply", "-auto-approve")
	}
	out, _ := p.run(t, ExitDone, "state", "history", "-limit", "2")
	if lines := strings.Split(strings.TrimSpace(out), "\n"); len(lines) != 3 || !strings.HasPrefix(lines[1], "4 ") || !strings.HasPrefix(lines[2], "3 ") {
		t.Errorf("history:\n%s", out)
	}
	out, _ = p.run(t, ExitDone, "state", "show", "-serial", "3", "-json")
	if n := strings.Count(out, `"address"`); n != 3 {
		t.Errorf("serial 3 shows %d secrets:\n%s", n, out)
	}
	if _, errs := p.run(t, ExitError, "state", "show", "-serial", "9"); !strings.Contains(errs, "serial 9 is not kept") {
		t.Errorf("a serial that is not kept: %s", errs)
	}
}

// An encrypted state shows no name to whoever reads the bucket, what is not
// encrypted is refused, and the key is changed with a fallback.
func TestStateEncryption(t *testing.T) {
	first, second := ageIdentity(t), ageIdentity(t)
	p := newShared(t, 2)
	p.configure(t, fmt.Sprintf("  encryption \"age\" {\n    recipients = [%q]\n  }\n", first.Recipient()), 2)
	p.environ.Vars["SOPS_AGE_KEY"] = first.String()
	p.run(t, ExitDone, "apply", "-auto-approve")
	for _, name := range []string{remote.StateBlob, remote.JournalBlob} {
		b, err := p.blobs.Get(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{"shop/dev", "random_hex", "entries"} {
			if bytes.Contains(b.Data, []byte(word)) {
				t.Errorf("the %s shows %q", name, word)
			}
		}
	}
	sealed, err := p.blobs.Get(t.Context(), remote.StateBlob)
	if err != nil {
		t.Fatal(err)
	}

	p.environ.Vars["SOPS_AGE_KEY"] = second.String()
	if _, errs := p.run(t, ExitError, "plan"); !strings.Contains(errs, "none of the age identities at hand") {
		t.Errorf("with another key: %s", errs)
	}
	p.configure(t, fmt.Sprintf("  encryption \"age\" {\n    recipients = [%q]\n    identity = from_env(\"NEW\")\n  }\n  encryption \"age\" {\n    identity = from_env(\"OLD\")\n    fallback = true\n  }\n", second.Recipient()), 3)
	p.environ.Vars = map[string]string{"HOME": p.dir, "OLD": first.String(), "NEW": second.String()}
	p.run(t, ExitDone, "apply", "-auto-approve")
	p.configure(t, fmt.Sprintf("  encryption \"age\" {\n    recipients = [%q]\n    identity = from_env(\"NEW\")\n  }\n", second.Recipient()), 3)
	if out, _ := p.run(t, ExitDone, "plan", "-detailed-exitcode"); !strings.Contains(out, "3 secrets unchanged") {
		t.Errorf("after the change of keys:\n%s", out)
	}

	tampered := bytes.Replace(sealed.Data, []byte(`"serial":1`), []byte(`"serial":9`), 1)
	p.blobs.Set(remote.StateBlob, tampered)
	p.environ.Vars["NEW"] = first.String()
	if _, errs := p.run(t, ExitError, "plan"); !strings.Contains(errs, "was changed since it was encrypted") {
		t.Errorf("with an edited header: %s", errs)
	}
	p.blobs.Set(remote.StateBlob, []byte("{\n\"version\": 1"))
	if _, errs := p.run(t, ExitError, "plan"); !strings.Contains(errs, "is not encrypted") {
		t.Errorf("with a clear state: %s", errs)
	}
	p.blobs.Set(remote.StateBlob, sealed.Data)
	p.configure(t, "", 3)
	if _, errs := p.run(t, ExitError, "plan"); !strings.Contains(errs, "has no encryption block") {
		t.Errorf("without an encryption block: %s", errs)
	}
}

func ageIdentity(t *testing.T) *age.X25519Identity {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// init tries the conditions of the store, and refuses one that has none.
func TestInitProvesTheBackend(t *testing.T) {
	p := newShared(t, 1)
	out, _ := p.run(t, ExitDone, "init")
	if !strings.Contains(out, "kept at memory, no state yet") {
		t.Errorf("init says:\n%s", out)
	}
	p.blobs.Ignore = []string{"delete"}
	out, _ = p.run(t, ExitDone, "init")
	if !strings.Contains(out, "does not enforce a stale delete") {
		t.Errorf("init says:\n%s", out)
	}
	p.blobs.Ignore = []string{"create"}
	if _, errs := p.run(t, ExitError, "init"); !strings.Contains(errs, "create twice") || !strings.Contains(errs, "racing creators") {
		t.Errorf("init of a store without conditions: %s", errs)
	}
}

// A state that somebody put back from an older copy is noticed, and nothing is
// deleted on its word; an apply catches up.
func TestARestoredSharedState(t *testing.T) {
	p := newShared(t, 2)
	p.run(t, ExitDone, "apply", "-auto-approve")
	old, err := p.blobs.Get(t.Context(), remote.StateBlob)
	if err != nil {
		t.Fatal(err)
	}
	p.configure(t, "", 4)
	p.run(t, ExitDone, "apply", "-auto-approve")
	p.write(t, "coffer.hcl", strings.Replace(p.read(t, "coffer.hcl"), "  secret \"s0\" { value = random_hex() }\n", "", 1))
	p.blobs.Set(remote.StateBlob, old.Data)
	p.blobs.Set(remote.JournalBlob, nil)

	out, errs := p.run(t, ExitDone, "plan")
	if out, _ := p.run(t, ExitDone, "plan", "-json"); !strings.Contains(out, `"delete": 0`) || !strings.Contains(out, `"state_behind"`) {
		t.Errorf("plan -json from the restored state:\n%s", out)
	}
	if !strings.Contains(out+errs, "serial 2 was saved") || strings.Contains(out, "1 to delete") {
		t.Errorf("plan from the restored state:\n%s%s", out, errs)
	}
	p.run(t, ExitDone, "apply", "-auto-approve")
	out, errs = p.run(t, ExitDone, "plan")
	if strings.Contains(out+errs, "older than one that was seen") || !strings.Contains(out, "1 to delete") {
		t.Errorf("plan after it caught up:\n%s%s", out, errs)
	}
}

// What the backend needs is told before anybody may reach it, and a store that
// does not answer is named once, with what to do.
func TestABackendThatDoesNotAnswer(t *testing.T) {
	p := newShared(t, 1)
	synctest.Test(t, func(t *testing.T) {
		p.blobs.Fault = func(statetest.Call, bool) error {
			return &remote.Error{Code: remote.Unreachable, Place: "memory", Op: "read", Unchanged: true, Err: errors.New("refused")}
		}
		if out, errs := p.run(t, ExitDone, "permissions", "-phase", "plan", "-provider", "backend"); out != "none\n" || errs != "" {
			t.Errorf("permissions: %q, %q", out, errs)
		}
		_, errs := p.run(t, ExitError, "plan")
		if strings.Count(errs, "Waiting for the state") != 1 || !strings.Contains(errs, "run the command again") {
			t.Errorf("plan says:\n%s", errs)
		}
	})
}
