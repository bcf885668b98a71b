package cli

import (
	"errors"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/state/remote"
)

// fileFirst is a project that was applied with its state in a file, and has a
// backend block since.
func fileFirst(t *testing.T, secrets int) *shared {
	t.Helper()
	p := newShared(t, secrets)
	config := p.read(t, "coffer.hcl")
	p.write(t, "coffer.hcl", strings.Replace(config, "backend \"kept\" {\n  }", "", 1))
	p.run(t, ExitDone, "apply", "-auto-approve")
	p.write(t, "coffer.hcl", config)
	return p
}

// Killed after the new state was written and before the old one was marked, a
// migration is gone on with; what else lies there is not taken for that.
func TestAMigrationThatWasInterrupted(t *testing.T) {
	for name, c := range map[string]struct {
		between []string // what happened to the new state meanwhile
		code    int
		says    string
	}{
		"gone on with":       {nil, ExitDone, "read back and compared"},
		"another one by now": {[]string{"state", "rm", "app.shop.secret.s0"}, ExitError, "there is a state at memory already"},
	} {
		t.Run(name, func(t *testing.T) {
			p := fileFirst(t, 2)
			died := false
			p.environ.Seams.At = func(point string) error {
				died = died || point == "after-write-state"
				if died && !strings.HasPrefix(point, "lock.") {
					return errors.New("killed")
				}
				return nil
			}
			p.run(t, ExitError, "state", "migrate", "-from", "local", "-auto-approve")
			p.environ.Seams.At = nil
			if strings.Contains(p.read(t, stateFile), "moved") {
				t.Fatal("the old state was marked")
			}
			written := p.serial(t)
			_, errs := p.run(t, ExitError, "state", "migrate", "-from", "local", "-auto-approve", "-lock-timeout", "0s")
			_, id, found := strings.Cut(errs, "coffer state unlock ")
			if !found {
				t.Fatalf("no lock was left: %s", errs)
			}
			p.run(t, ExitDone, "state", "unlock", strings.Fields(id)[0])
			if c.between != nil {
				p.run(t, ExitDone, c.between...)
			}
			if _, errs := p.run(t, c.code, "state", "migrate", "-from", "local", "-auto-approve"); !strings.Contains(flat(errs), c.says) {
				t.Errorf("migrating again: %s", errs)
			}
			if c.code != ExitDone {
				return
			}
			if p.serial(t) != written {
				t.Error("it was written again")
			}
			if _, errs := p.run(t, ExitError, "state", "migrate", "-from", "local", "-auto-approve"); !strings.Contains(flat(errs), "was migrated to memory") {
				t.Errorf("the old one is not marked: %s", errs)
			}
			p.run(t, ExitDone, "plan", "-detailed-exitcode")
		})
	}
}

// An empty shared state beside a full file is a migration that nobody made.
func TestAMigrationThatWasForgotten(t *testing.T) {
	p := fileFirst(t, 2)
	const advice = "coffer state migrate -from local"
	if out, _ := p.run(t, ExitDone, "init"); !strings.Contains(flat(out), advice) {
		t.Errorf("init says:\n%s", out)
	}
	if _, errs := p.run(t, ExitDone, "plan"); !strings.Contains(flat(errs), advice) {
		t.Errorf("plan says: %s", errs)
	}
	for _, args := range [][]string{{"apply"}, {"rotate", "app.shop"}, {"state", "rebuild"}} {
		if _, errs := p.run(t, ExitError, append(args, "-auto-approve")...); !strings.Contains(flat(errs), advice) {
			t.Errorf("%v says: %s", args, errs)
		}
	}
	if _, err := p.blobs.Get(t.Context(), remote.StateBlob); !errors.Is(err, remote.ErrNotFound) {
		t.Errorf("something was saved: %v", err)
	}
	p.run(t, ExitDone, "state", "migrate", "-from", "local", "-auto-approve")
	for _, args := range [][]string{{"init"}, {"plan"}, {"apply", "-auto-approve"}} {
		if out, errs := p.run(t, ExitDone, args...); strings.Contains(flat(out+errs), advice) {
			t.Errorf("%v after it: %s%s", args, out, errs)
		}
	}

	p = newShared(t, 1) // another project's file is no matter
	other := fileFirst(t, 1).read(t, stateFile)
	p.write(t, "coffer.hcl", strings.Replace(p.read(t, "coffer.hcl"), "shared-1", "shared-2", 1))
	p.write(t, stateFile, other)
	p.run(t, ExitDone, "apply", "-auto-approve")
}

// From a state that is older than one that was seen nothing is brought along.
func TestMigratingAnOlderState(t *testing.T) {
	p := newShared(t, 1)
	p.run(t, ExitDone, "apply", "-auto-approve")
	old, config := p.stored(t), p.read(t, "coffer.hcl")
	p.configure(t, "", 2)
	p.run(t, ExitDone, "apply", "-auto-approve")
	p.put(t, old)
	before := t.TempDir()
	q := &shared{dir: before, blobs: p.blobs, environ: p.environ}
	q.write(t, "coffer.hcl", config)
	p.write(t, "coffer.hcl", strings.Replace(config, "backend \"kept\" {\n  }", "", 1))
	if _, errs := p.run(t, ExitError, "state", "migrate", "-from", before, "-auto-approve"); !strings.Contains(flat(errs), "serial 2 was saved") {
		t.Errorf("it says: %s", errs)
	}
}

// A variable that somebody forgot goes past the backend; every command says so.
func TestAStateFileThatGoesPastTheBackend(t *testing.T) {
	p := newShared(t, 1)
	p.run(t, ExitDone, "-state", "other.json", "apply", "-auto-approve")
	for _, args := range [][]string{{"plan"}, {"state", "list"}, {"state", "mv", "app.shop.secret.s0", "app.shop.secret.s1"}, {"state", "pull"}} {
		if _, errs := p.run(t, ExitDone, append([]string{"-state", "other.json"}, args...)...); !strings.Contains(flat(errs), "is not used: -state names the file") {
			t.Errorf("%v says: %s", args, errs)
		}
	}
	p.environ.Vars["COFFER_STATE"] = "other.json"
	if _, errs := p.run(t, ExitDone, "plan"); !strings.Contains(flat(errs), "is not used: COFFER_STATE names the file") {
		t.Errorf("plan says: %s", errs)
	}
	p.write(t, "coffer.hcl", strings.Replace(p.read(t, "coffer.hcl"), "backend \"kept\" {\n  }", "", 1))
	if _, errs := p.run(t, ExitDone, "plan"); strings.Contains(flat(errs), "is not used") {
		t.Errorf("without a backend: %s", errs)
	}
}
