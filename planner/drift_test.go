package planner_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/planner/fingerprint"
	"github.com/cofferhq/coffer/planner/plannertest"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/memory"
	"github.com/cofferhq/coffer/providers/secret"
)

func all(addr.Address) bool { return true }

// drifts prints findings, one a line.
func drifts(r *planner.DriftReport) []string {
	var out []string
	for _, d := range r.Drift {
		out = append(out, fmt.Sprintf("%s %s", d.Kind, d.Address))
	}
	return out
}

func expectDrift(t *testing.T, r *planner.DriftReport, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, drifts(r)); diff != "" {
		t.Fatalf("drift (-want +got):\n%s", diff)
	}
}

// readable lets alice and bob read the secret key.
func readable(w *plannertest.World) *plannertest.World {
	a, _ := addr.Parse(key)
	var readers []lang.Reader
	for _, name := range []string{"alice", "bob"} {
		readers = append(readers, lang.Reader{Func: memory.ReaderFunc, Args: []string{name}})
	}
	w.Policies = []*lang.Policy{{Address: a, Secrets: []addr.Address{a}, Readers: readers}}
	return w
}

func TestDriftKinds(t *testing.T) {
	object := providers.ObjectRef{Kind: memory.ObjectKind, Path: "shop/dev/key"}
	const grants = `provider.memory.access["shop/dev/key"]`
	for name, tt := range map[string]struct {
		by   func(w *plannertest.World)
		want []string
	}{
		"nothing":       {func(*plannertest.World) {}, nil},
		"changed":       {edit, []string{"changed " + key}},
		"missing":       {func(w *plannertest.World) { w.Stores["memory"].Remove("shop/dev/key", 0) }, []string{"missing " + key}},
		"soft-deleted":  {func(w *plannertest.World) { w.Stores["memory"].Remove("shop/dev/key", day) }, []string{"missing " + key}},
		"mark gone":     {func(w *plannertest.World) { w.Stores["memory"].RemoveMark("shop/dev/key") }, []string{"metadata " + key}},
		"grant added":   {func(w *plannertest.World) { w.Stores["memory"].SetDocument(object, "alice\nbob\neve\n") }, []string{"grant_added " + grants}},
		"grant removed": {func(w *plannertest.World) { w.Stores["memory"].SetDocument(object, "alice\n") }, []string{"grant_removed " + grants}},
		"grants swapped": {
			func(w *plannertest.World) { w.Stores["memory"].SetDocument(object, "alice\neve\n") },
			[]string{"grant_added " + grants, "grant_removed " + grants},
		},
		"document": {func(w *plannertest.World) { w.Stores["memory"].SetDocument(object, "bob\nalice\n") }, []string{"document " + grants}},
		"orphan": {func(w *plannertest.World) {
			w.Stores["memory"].Edit("shop/dev/left", secret.String("x"), "")
			w.Stores["memory"].SetMark("shop/dev/left", providers.Mark{Project: "test-1"})
		}, []string{`orphan provider.memory.secret["shop/dev/left"]`}},
		"a stranger beside ours": {func(w *plannertest.World) { w.Stores["memory"].Edit("shop/dev/theirs", secret.String("x"), "") }, nil},
		"unknown": {func(w *plannertest.World) {
			w.Stores["memory"].Inject(memory.Deny("list", ""), memory.Deny("inspect", "shop/dev/key"))
		}, []string{"unknown " + key}},
		"unreachable": {
			func(w *plannertest.World) { w.Stores["memory"].Inject(memory.Outage(0)) },
			[]string{"unknown " + key, "unknown " + grants},
		},
		"an interrupted apply": {
			func(w *plannertest.World) { crashed(w, false, plannertest.Settle(key, planner.SettleRotate)) },
			[]string{"unknown " + key},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := readable(full(t)).Configure(gen)
			w.Apply()
			saves := w.State.Saves
			tt.by(w)
			reads := w.Stores["memory"].Reads()
			r := w.Drift()
			expectDrift(t, r, tt.want...)
			if w.Stores["memory"].Reads() != reads || r.ValuesRead != 0 || w.State.Saves != saves {
				t.Errorf("drift read a value or wrote state")
			}
			if len(tt.want) == 0 && r.Unchanged != 1 {
				t.Errorf("%d unchanged", r.Unchanged)
			}
		})
	}
}

func TestDriftSaysWhoAndWhen(t *testing.T) {
	w := full(t).Configure(gen)
	w.Apply()
	edit(w)
	d := w.Drift().Drift[0]
	if d.ChangedBy != "mallory" || d.ChangedAt.IsZero() || d.VersionRecorded != "1" || d.VersionLive != "2" || d.Range == nil {
		t.Errorf("finding: %+v", d)
	}
	if !strings.Contains(d.Detail, "mallory") {
		t.Errorf("detail: %s", d.Detail)
	}
}

// What may change outside is no drift, and neither is what a later run of ours
// wrote.
func TestExpectedChangesAreNoDrift(t *testing.T) {
	w := full(t)
	edit(w)
	w.Configure(with(gen, `random_hex({ bytes = 16 })`, `manual()`)).Apply()
	edit(w)
	expectDrift(t, w.Drift())

	w = full(t).Configure(bootstrap)
	w.Apply()
	edit(w)
	expectDrift(t, w.Drift())

	w = full(t).Configure(gen)
	w.Apply()
	old := w.State.Remember()
	w.Apply(plannertest.Settle(key, planner.SettleRotate))
	w.State.Recall(old)
	expectDrift(t, w.Drift())
}

func TestDriftOfWhatIsNoLongerDeclared(t *testing.T) {
	w := full(t).Configure(both)
	w.Apply()
	edit(w)
	w.Configure(without)
	expectDrift(t, w.Drift(), "changed "+key)
}

func TestDriftOfASelection(t *testing.T) {
	w := full(t).Configure(both)
	w.Apply()
	edit(w)
	l := w.Look(plannertest.Exclude(key))
	expectDrift(t, planner.DetectDrift(l.Desired, l.Snapshot, l.Live, l.Stores, l.Options, nil))
}

// verify reads and compares every value that has a fingerprint.
func verify(t *testing.T, w *plannertest.World, log planner.Auditor) *planner.DriftReport {
	t.Helper()
	l := w.Look()
	v := &planner.Verifier{Stores: l.Stores, Key: w.Key, Audit: log}
	verified, err := v.Verify(t.Context(), l.Snapshot, all)
	if err != nil {
		t.Fatal(err)
	}
	return planner.DetectDrift(l.Desired, l.Snapshot, l.Live, l.Stores, l.Options, verified)
}

// A whole file under another key: metadata alone cannot tell, the values can.
func TestVerifyTellsReencryptionFromAChange(t *testing.T) {
	w := plannertest.New(t, memory.Files()).Configure(both)
	w.Apply()
	w.Stores["memory"].Reencrypt(func(string) bool { return true })
	expectDrift(t, w.Drift(), "unknown "+key, "unknown "+at("other"))
	log := &auditor{}
	expectDrift(t, verify(t, w, log))
	if log.actions()["read"] != 2 {
		t.Errorf("records: %v", log.actions())
	}
	edit(w)
	w.Stores["memory"].Reencrypt(func(string) bool { return true })
	expectDrift(t, verify(t, w, nil), "changed "+key)
}

func TestVerifyFindsAnotherValueUnderTheSameVersion(t *testing.T) {
	w := supplied(t)
	s, err := w.State.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	edit(w)
	for _, e := range s.Entries { // a store that was put back to another past
		m, _ := w.Stores["memory"].Meta("shop/dev/key")
		e.Version, e.Created = m.Version, m.Created
	}
	if err := w.State.Save(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	expectDrift(t, w.Drift())
	expectDrift(t, verify(t, w, nil), "changed "+key)
}

func TestVerifyWithoutItsRecordReadsNothing(t *testing.T) {
	w := supplied(t)
	l := w.Look()
	v := &planner.Verifier{Stores: l.Stores, Key: w.Key, Audit: &auditor{fail: true}}
	if _, err := v.Verify(t.Context(), l.Snapshot, all); err == nil {
		t.Errorf("no error")
	}
	if n := w.Stores["memory"].Reads(); n != 0 {
		t.Errorf("%d values read without a record", n)
	}
}

func TestVerifyWithAnotherKeySaysNothing(t *testing.T) {
	w := supplied(t)
	w.Key = fingerprint.Key{}
	edit(w)
	expectDrift(t, verify(t, w, nil), "changed "+key) // by its version
}

func TestVerifyLeavesOutWhatCannotBeRead(t *testing.T) {
	w := full(t)
	w.Environ["K"], w.Environ["L"] = "one", "two"
	w.Configure(app(sec("key", `value = from_env("K")`) + sec("l", `value = from_env("L")`))).Apply()
	w.Stores["memory"].Inject(memory.Deny("read", "shop/dev/key"))
	expectDrift(t, verify(t, w, nil), "unknown "+key)
}
