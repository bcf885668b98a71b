package cli

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/memory"
	"github.com/cofferhq/coffer/state"
	"github.com/cofferhq/coffer/state/remote"
	"github.com/cofferhq/coffer/state/statetest"
)

// put is what an operator does who brings an older copy back.
func (p *shared) put(t *testing.T, data []byte) {
	t.Helper()
	p.blobs.Set(remote.StateBlob, data)
	p.blobs.Set(remote.JournalBlob, nil)
}

// flat undoes the line breaks of a message.
func flat(text string) string { return strings.Join(strings.Fields(text), " ") }

func (p *shared) stored(t *testing.T) []byte {
	t.Helper()
	b, err := p.blobs.Get(t.Context(), remote.StateBlob)
	if err != nil {
		t.Fatal(err)
	}
	return b.Data
}

func (p *shared) serial(t *testing.T) uint64 {
	t.Helper()
	s, err := state.Decode(p.stored(t))
	if err != nil {
		t.Fatal(err)
	}
	return s.Serial
}

// A plan that was saved before somebody put an older state back deletes nothing
// on that state's word, whoever confirmed it and how.
func TestASavedPlanDeletesNothingFromAnOlderState(t *testing.T) {
	p := newShared(t, 2)
	p.run(t, ExitDone, "apply", "-auto-approve")
	old := p.stored(t)
	p.configure(t, "", 3)
	p.run(t, ExitDone, "apply", "-auto-approve")
	newest := p.stored(t)
	p.configure(t, "", 1)
	_, said := p.run(t, ExitDone, "plan", "-out", "del.plan")
	_, digest, _ := strings.Cut(said, "digest ")
	digest = strings.TrimSuffix(strings.Fields(digest)[0], ".")
	p.put(t, old)
	for _, more := range [][]string{nil, {"-plan-digest", digest}, {"-confirm-deletes", "2"}} {
		_, errs := p.run(t, ExitError, append([]string{"apply", "del.plan"}, more...)...)
		if !strings.Contains(flat(errs), "serial 2 was saved") || !strings.Contains(flat(errs), "coffer state history") || !strings.Contains(flat(errs), "nothing was changed") {
			t.Errorf("%v: %s", more, errs)
		}
	}
	if got := p.stored(t); string(got) != string(old) {
		t.Error("a refused plan changed the state")
	}
	p.put(t, newest)
	p.run(t, ExitDone, "apply", "del.plan", "-confirm-deletes", "2")
}

// An apply that finds nothing to do from an older state saves it all the same:
// the next run is not warned again.
func TestAnOlderStateWithoutChangesIsSavedAboveTheNewer(t *testing.T) {
	p := newShared(t, 2)
	p.run(t, ExitDone, "apply", "-auto-approve")
	old := p.stored(t)
	p.configure(t, "", 3)
	p.run(t, ExitDone, "apply", "-auto-approve")
	p.configure(t, "", 2)
	p.run(t, ExitDone, "apply", "-auto-approve")
	p.put(t, old)
	if _, errs := p.run(t, ExitDone, "plan"); strings.Contains(flat(errs), "nothing was changed") || p.serial(t) != 1 {
		t.Errorf("a plan saved: %s", errs)
	}
	if _, errs := p.run(t, ExitDone, "apply", "-auto-approve"); !strings.Contains(flat(errs), "serial 4 now") {
		t.Errorf("apply says: %s", errs)
	}
	out, errs := p.run(t, ExitDone, "plan", "-detailed-exitcode")
	if strings.Contains(flat(out+errs), "older than one that was seen") || p.serial(t) != 4 {
		t.Errorf("serial %d: %s%s", p.serial(t), out, errs)
	}
}

// Whatever changes the state without a plan goes on above what was seen too.
func TestSurgeryOnAnOlderState(t *testing.T) {
	for name, args := range map[string][]string{
		"mv":      {"state", "mv", "app.shop.secret.s0", "app.shop.secret.other"},
		"rm":      {"state", "rm", "app.shop.secret.s0"},
		"push":    {"state", "push", "old.json"},
		"repin":   {"state", "repin", "memory", "-auto-approve"},
		"rebuild": {"state", "rebuild", "-auto-approve"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newShared(t, 2)
			p.run(t, ExitDone, "apply", "-auto-approve")
			old := p.stored(t)
			p.write(t, "old.json", string(old))
			for n := 3; n <= 4; n++ {
				p.configure(t, "", n)
				p.run(t, ExitDone, "apply", "-auto-approve")
			}
			p.put(t, old)
			switch name {
			case "repin":
				p.world(memory.NewWorld("mem-2"))
			case "rebuild":
				b, err := p.blobs.Get(t.Context(), remote.StateBlob)
				if err != nil {
					t.Fatal(err)
				}
				if err := p.blobs.Delete(t.Context(), remote.StateBlob, b.Tag); err != nil {
					t.Fatal(err)
				}
			}
			out, errs := p.run(t, ExitDone, args...)
			if !strings.Contains(flat(out+errs), "serial 3 was saved") {
				t.Errorf("it does not say so: %s%s", out, errs)
			}
			if n := p.serial(t); n != 4 {
				t.Errorf("saved as serial %d", n)
			}
			if seen := p.read(t, filepath.Join(".local", "state", "coffer", "seen", state.Lineage("shared-1")+".json")); !strings.Contains(seen, `"memory":4`) {
				t.Errorf("seen is %s", seen)
			}
		})
	}
}

// world puts another store of secrets in place.
func (p *shared) world(w *memory.World) {
	p.environ.Seams.Registry = providers.NewRegistry(providers.Factory{
		Type:      "memory",
		NewConfig: func() any { return &struct{}{} },
		Open: func(context.Context, providers.Env, any) (providers.Driver, error) {
			return memory.New(w, memory.Full()), nil
		},
	})
}

// What was seen is no condition of a run: without a place for it, or with
// something else in that place, a note says so.
func TestASeenFileThatCannotBeUsed(t *testing.T) {
	p := newShared(t, 1)
	p.environ.Vars["HOME"] = filepath.Join(p.dir, "coffer.hcl")
	for _, args := range [][]string{{"apply", "-auto-approve"}, {"plan"}, {"state", "mv", "app.shop.secret.s0", "app.shop.secret.s1"}} {
		_, errs := p.run(t, ExitDone, args...)
		if strings.Count(flat(errs), "was not kept or compared") != 1 {
			t.Errorf("%v says: %s", args, errs)
		}
	}
	p.environ.Vars["HOME"] = p.dir
	p.run(t, ExitDone, "plan")
	file := filepath.Join(".local", "state", "coffer", "seen", state.Lineage("shared-1")+".json")
	for _, garbage := range []string{"garbage", `{"places": {"memory": 9999999999999999}}`} {
		p.write(t, file, garbage)
		for _, args := range [][]string{{"plan"}, {"apply", "-auto-approve"}} {
			if _, errs := p.run(t, ExitDone, args...); !strings.Contains(flat(errs), "is not what coffer wrote there: remove it") {
				t.Errorf("%v says: %s", args, errs)
			}
		}
		if p.read(t, file) != garbage {
			t.Error("it was replaced")
		}
	}
}

// place is a backend of its own place.
type place struct {
	blobs remote.Blobs
	Name  string `hcl:"name"`
}

type named struct {
	*statetest.Memory
	name string
}

func (n named) String() string { return "memory://" + n.name }

func (b *place) Open(context.Context, remote.Env) (remote.Blobs, error) {
	return named{b.blobs.(*statetest.Memory), b.Name}, nil
}
func (b *place) Permissions(bool) string { return "none" }

// Two states of one project, such as one for each environment, do not stand in
// each other's way.
func TestTwoPlacesOfOneProject(t *testing.T) {
	p := newShared(t, 1)
	all := map[string]*statetest.Memory{"one": {}, "two": {}}
	worlds := map[string]*memory.World{"one": memory.NewWorld("mem-1"), "two": memory.NewWorld("mem-2")}
	at := func(name string, secrets int) {
		p.configure(t, "", secrets)
		p.write(t, "coffer.hcl", strings.Replace(p.read(t, "coffer.hcl"), "backend \"kept\" {\n", "backend \"kept\" {\n    name = \""+name+"\"\n", 1))
		p.environ.Seams.Backends = map[string]func() remote.Backend{"kept": func() remote.Backend { return &place{blobs: all[name]} }}
		p.world(worlds[name])
	}
	for n := 1; n <= 3; n++ {
		at("one", n)
		p.run(t, ExitDone, "apply", "-auto-approve")
	}
	at("two", 1)
	if _, errs := p.run(t, ExitDone, "apply", "-auto-approve"); strings.Contains(flat(errs), "older") {
		t.Errorf("the other place: %s", errs)
	}
	var seen seenSerials
	path := filepath.Join(".local", "state", "coffer", "seen", state.Lineage("shared-1")+".json")
	if err := json.Unmarshal([]byte(p.read(t, path)), &seen); err != nil || seen.Places["memory://one"] != 3 || seen.Places["memory://two"] != 1 {
		t.Errorf("seen is %+v, %v", seen, err)
	}
	keys := map[string]bool{}
	for name := range all {
		at(name, 1)
		inv := &invocation{Environ: p.environ, globals: globals{chdir: p.dir}, kept: &closers{}, Streams: Streams{Out: os.Stderr, Err: os.Stderr}}
		w, err := inv.openStateless(t.Context(), providers.PhasePlan)
		if err != nil {
			t.Fatal(err)
		}
		key := w.watermarkKey()
		if !strings.HasPrefix(key, "shared-1-") || keys[key] {
			t.Errorf("the mark of %s is kept as %q", name, key)
		}
		keys[key] = true
	}
}

// A version that does not open hides none of the others.
func TestHistoryGoesOnBehindWhatCannotBeRead(t *testing.T) {
	p := newShared(t, 1)
	p.blobs.Keep = true
	p.run(t, ExitDone, "apply", "-auto-approve")
	first := p.stored(t)
	p.blobs.Set(remote.StateBlob, []byte("{\n\"version\": 1"))
	p.blobs.Set(remote.StateBlob, []byte(remote.SealedPrefix+"1}\n"))
	p.put(t, first)
	p.configure(t, "", 2)
	p.run(t, ExitDone, "apply", "-auto-approve")
	p.put(t, first) // an older one is the newest version now
	out, _ := p.run(t, ExitDone, "state", "history")
	if strings.Count(out, "cannot be read: ") != 2 || !strings.Contains(out, "stops in the middle") || !strings.Contains(out, "is encrypted") || !strings.Contains(out, "\n2 ") {
		t.Errorf("history:\n%s", out)
	}
	for serial, secrets := range map[string]int{"1": 1, "2": 2} {
		out, _ := p.run(t, ExitDone, "state", "show", "-serial", serial, "-json")
		if n := strings.Count(out, `"address"`); n != secrets {
			t.Errorf("serial %s shows %d secrets:\n%s", serial, n, out)
		}
	}
	if _, errs := p.run(t, ExitError, "state", "show", "-serial", "7"); !strings.Contains(flat(errs), "the oldest is 1; 2 of what is kept could not be read") {
		t.Errorf("a serial that is not there: %s", errs)
	}
	out, _ = p.run(t, ExitDone, "state", "history", "-json")
	var doc struct {
		History []state.Past `json:"history"`
	}
	if err := json.Unmarshal([]byte(out), &doc); err != nil {
		t.Fatal(err)
	}
	for _, past := range doc.History {
		if (past.Problem == "") != (past.Serial > 0) || past.Where == "" || past.Written.IsZero() {
			t.Errorf("%+v", past)
		}
	}

	p.write(t, "coffer.hcl", strings.Replace(p.read(t, "coffer.hcl"), "backend \"kept\" {\n  }", "", 1))
	for n := 1; n <= 2; n++ {
		p.run(t, ExitDone, "apply", "-auto-approve")
		p.run(t, ExitDone, "state", "rm", "app.shop.secret.s0")
	}
	p.write(t, stateFile+".2.backup", "{")
	out, _ = p.run(t, ExitDone, "state", "history")
	if strings.Count(out, "cannot be read: ") != 1 || !strings.Contains(out, ".1.backup") {
		t.Errorf("history of a file:\n%s", out)
	}
	p.run(t, ExitDone, "state", "show", "-serial", "1")
}

// What keeps nothing says what to do about that, and no state is another matter.
func TestHistoryThatThereIsNot(t *testing.T) {
	p := newShared(t, 1)
	if _, errs := p.run(t, ExitError, "state", "history"); !strings.Contains(flat(errs), "there is no state yet") {
		t.Errorf("without a state: %s", errs)
	}
	p.run(t, ExitDone, "apply", "-auto-approve")
	if _, errs := p.run(t, ExitError, "state", "history"); !strings.Contains(flat(errs), "turn versioning on there") {
		t.Errorf("without versions: %s", errs)
	}
	type plain struct{ remote.Blobs }
	s := remote.New(plain{p.blobs}, remote.Options{Now: p.environ.Now})
	if _, err := s.History(t.Context(), 1); err == nil || strings.Contains(err.Error(), "versioning") || !strings.Contains(err.Error(), "keep backups") {
		t.Errorf("a store that never has versions: %v", err)
	}
}
