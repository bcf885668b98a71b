package planner_test

import (
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/planner/plannertest"
	"github.com/cofferhq/coffer/providers/memory"
	"github.com/cofferhq/coffer/providers/secret"
)

const keyB = key + "@memory.b"

// pair is a world with a primary and a replica, applied.
func pair(t *testing.T, hcl string) (w *plannertest.World, b *memory.World) {
	w = full(t)
	b = w.AddStore("b", memory.Full())
	w.Configure(hcl).Apply()
	return w, b
}

// alike fails unless primary and replica hold the same value.
func alike(t *testing.T, w *plannertest.World) {
	t.Helper()
	if w.Value("memory", "shop/dev/key") != w.Value("memory.b", "shop/dev/key") {
		t.Errorf("the copy is not the primary's value")
	}
}

func TestReplicaGenerations(t *testing.T) {
	w, b := pair(t, replicated)
	alike(t, w)
	b.Inject(memory.Outage(0))
	mustTry(t, w, plannertest.Settle(key, planner.SettleRotate))
	b.Heal()
	mustTry(t, w, plannertest.Settle(key, planner.SettleRotate), plannertest.Exclude(keyB))
	p := w.Plan()
	expect(t, p, "update "+keyB+" replica_behind reads")
	c := change(t, p, keyB)
	if c.Generation != 3 || c.GenerationLive != 1 {
		t.Errorf("the skew is shown as %d behind %d, want 1 behind 3", c.GenerationLive, c.Generation)
	}
	w.Apply()
	alike(t, w)
	expect(t, w.Plan())
}

func TestARotationReachesTheReplicaFromMemory(t *testing.T) {
	w, _ := pair(t, replicated)
	p := w.Plan(plannertest.Settle(key, planner.SettleRotate))
	expect(t, p, "rotate "+key+" rotation_requested new-value", "update "+keyB+" replica_behind")
	if r := w.Apply(plannertest.Settle(key, planner.SettleRotate)); r.ValuesRead != 0 {
		t.Errorf("%d values were read", r.ValuesRead)
	}
	alike(t, w)
}

func TestAReplicaIsSkippedWhenItsPrimaryFails(t *testing.T) {
	w := full(t)
	b := w.AddStore("b", memory.Full())
	w.Configure(replicated)
	w.Stores["memory"].Inject(memory.Deny("write", ""))
	expectEnd(t, mustTry(t, w), "create "+key+" failed", "create "+keyB+" skipped: it depends on "+key+", which was not done")
	if len(b.Paths()) != 0 {
		t.Errorf("the replica has a value that the primary has not")
	}
}

func TestAReplicaAddedLater(t *testing.T) {
	w := full(t)
	w.Configure(gen).Apply()
	w.AddStore("b", memory.Full())
	w.Configure(replicated)
	expect(t, w.Plan(), "create "+keyB+" new reads")
	w.Apply()
	alike(t, w)
	expect(t, w.Plan())
}

func TestAReplicaRemoved(t *testing.T) {
	w, b := pair(t, replicated)
	w.Configure(gen)
	expect(t, w.Plan(), "delete "+keyB+" removed")
	w.Apply()
	if len(b.Paths()) != 0 {
		t.Errorf("the copy is still there")
	}
	w.Value("memory", "shop/dev/key")
	expect(t, w.Plan())
}

func TestPrimaryAndReplicaSwapped(t *testing.T) {
	w, _ := pair(t, replicated)
	was := w.Value("memory", "shop/dev/key")
	swapped := with(replicated, "store    = memory\n", "store    = memory.b\n", "[memory.b]", "[memory]")
	w.Configure(swapped)
	expect(t, w.Plan(), "rename "+key+" moved", "rename "+key+"@memory moved")
	if r := w.Apply(); r.ValuesRead != 0 {
		t.Errorf("a swap read %d values", r.ValuesRead)
	}
	if alike(t, w); w.Value("memory", "shop/dev/key") != was {
		t.Errorf("a swap changed the value")
	}
	expect(t, w.Plan())
	w.Apply(plannertest.Settle(key, planner.SettleRotate)) // and values flow the other way now
	alike(t, w)
	expect(t, w.Plan())
}

// A copy that is behind must not become the value by a swap: the newer one
// would be lost.
func TestACopyThatIsBehindDoesNotBecomePrimary(t *testing.T) {
	w, b := pair(t, replicated)
	b.Inject(memory.Outage(0))
	mustTry(t, w, plannertest.Settle(key, planner.SettleRotate))
	b.Heal()
	newest := w.Value("memory", "shop/dev/key")
	w.Configure(with(replicated, "store    = memory\n", "store    = memory.b\n", "[memory.b]", "[memory]"))
	p := w.Plan()
	expect(t, p, "conflict "+key+" replica_behind")
	mustTry(t, w)
	if w.Value("memory", "shop/dev/key") != newest {
		t.Fatalf("the newest value was overwritten by an older copy")
	}
	restore := plannertest.RestoreFrom(key, "memory")
	expect(t, w.Plan(restore), "restore "+key+" changed_outside reads", "rename "+key+"@memory moved")
	w.Apply(restore)
	if alike(t, w); w.Value("memory.b", "shop/dev/key") != newest {
		t.Errorf("restore -from did not bring the newest value")
	}
	w.Apply()
	expect(t, w.Plan())
}

func TestTheStoreMovesAndTheOldOneBecomesTheReplica(t *testing.T) {
	w := full(t)
	w.Configure(gen).Apply()
	was := w.Value("memory", "shop/dev/key")
	w.AddStore("b", memory.Full())
	w.Configure(with(replicated, "store    = memory\n", "store    = memory.b\n", "[memory.b]", "[memory]"))
	expect(t, w.Plan(), "relocate "+key+" moved reads", "rename "+key+"@memory moved")
	w.Apply()
	if alike(t, w); w.Value("memory.b", "shop/dev/key") != was {
		t.Errorf("another value after the move")
	}
	expect(t, w.Plan())
}

func TestRestoreFromTheReplica(t *testing.T) {
	w, _ := pair(t, replicated)
	was := w.Value("memory", "shop/dev/key")
	w.Stores["memory"].Remove("shop/dev/key", 0)
	expect(t, w.Plan(), "conflict "+key+" missing")
	w.Apply(plannertest.RestoreFrom(key, "memory.b"))
	if w.Value("memory", "shop/dev/key") != was {
		t.Errorf("the copy did not become the value")
	}
	w.Apply()
	expect(t, w.Plan())
}

func TestRestoreFromTheReplicaOverAnOutsideVersion(t *testing.T) {
	w, _ := pair(t, replicated)
	was := w.Value("memory", "shop/dev/key")
	edit(w)
	w.Apply(plannertest.RestoreFrom(key, "memory.b"))
	if alike(t, w); w.Value("memory", "shop/dev/key") != was {
		t.Errorf("the copy did not become the value")
	}
	expect(t, w.Plan())
}

func TestALostPrimaryIsRotatedOnAPersonsWord(t *testing.T) {
	w, _ := pair(t, replicated)
	w.Stores["memory"].Remove("shop/dev/key", 0)
	rotate := plannertest.Settle(key, planner.SettleRotate)
	expect(t, w.Plan(rotate), "rotate "+key+" rotation_requested new-value", "update "+keyB+" replica_behind")
	w.Apply(rotate)
	alike(t, w)
	expect(t, w.Plan())
}

func TestARestoredPrimaryReachesTheReplicas(t *testing.T) {
	w, b := pair(t, replicated)
	was := w.Value("memory", "shop/dev/key")
	edit(w)
	b.Edit("shop/dev/key", secret.String("x"), "mallory")
	w.Apply(plannertest.Settle(key, planner.SettleRestore))
	if alike(t, w); w.Value("memory", "shop/dev/key") != was {
		t.Errorf("not the recorded value")
	}
	expect(t, w.Plan())
}

// A replica on a store without versions is written only from the version that
// the primary is recorded at.
func TestAFanOutNeverCopiesAVersionThatIsNotOurs(t *testing.T) {
	files := memory.Files()
	w := plannertest.New(t, files)
	b := w.AddStore("b", files)
	w.Configure(replicated).Apply()
	b.Remove("shop/dev/key", 0)
	l := w.Look()
	w.Knobs["memory"] = on(files, "before read", func() { edit(w) })
	l.Stores = w.Connect(nil)
	r, err := applyPlan(w, l)
	if err != nil {
		t.Fatal(err)
	}
	expectEnd(t, r, "create "+keyB+" failed")
	if text := r.Outcomes[0].Err.Error(); !strings.Contains(text, "another version") {
		t.Errorf("error: %s", text)
	}
	if len(b.Paths()) != 0 {
		t.Errorf("somebody else's value was spread")
	}
}

// The primary's outcome is durable before a copy is made where a re-write is
// not harmless.
func TestThePrimaryIsOnRecordBeforeItsCopies(t *testing.T) {
	knobs := memory.Full()
	knobs.Settle = 2 * time.Minute
	w := plannertest.New(t, knobs)
	w.AddStore("b", memory.Full())
	recorded := false
	w.Knobs["memory.b"] = on(memory.Full(), "before write", func() {
		s, err := w.State.Load(t.Context())
		if err != nil {
			t.Error(err)
			return
		}
		for loc, e := range s.Entries {
			recorded = recorded || loc.Provider == "mem-1" && e.Version != "" && e.Pending == nil
		}
	})
	w.Configure(replicated).Apply()
	if !recorded {
		t.Errorf("the copy was made before the primary was on record")
	}
}

func TestThePersonsWordOnACopyThatIsBehind(t *testing.T) {
	for name, tt := range map[string]struct {
		kind planner.SettleKind
		want string
	}{
		"accept": {planner.SettleAccept, "rename " + key + " moved"},
		"rotate": {planner.SettleRotate, "rotate " + key + " rotation_requested new-value"},
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := pair(t, replicated)
			older := w.Value("memory.b", "shop/dev/key")
			for range 2 {
				mustTry(t, w, plannertest.Settle(key, planner.SettleRotate), plannertest.Exclude(keyB))
			}
			newer := w.Value("memory", "shop/dev/key")
			w.Configure(with(replicated, "store    = memory\n", "store    = memory.b\n", "[memory.b]", "[memory]"))
			if got := lines(w.Plan(plannertest.Settle(key, tt.kind)))[0]; got != tt.want {
				t.Fatalf("plan: %s", got)
			}
			w.Apply(plannertest.Settle(key, tt.kind))
			alike(t, w)
			if got := w.Value("memory.b", "shop/dev/key"); (got == older) != (tt.kind == planner.SettleAccept) || got == newer {
				t.Errorf("not the value that the person chose")
			}
			expect(t, w.Plan())
		})
	}
}

// The copy knows of its value what the primary knows: promoting it neither
// makes it due nor looks like a new template.
func TestAPromotedCopyIsAsOldAsItsValue(t *testing.T) {
	hcl := copies(app(sec("key", "value = random_hex()", monthly("regenerate")) + sec("url", `value = "u-${secret.key}"`)))
	w, _ := pair(t, hcl)
	w.Now = w.Now.Add(31 * day)
	w.Apply()
	expect(t, w.Plan())
	w.Configure(with(hcl, "store    = memory\n", "store    = memory.b\n", "[memory.b]", "[memory]"))
	expect(t, w.Plan(), "rename "+key+" moved", "rename "+key+"@memory moved", "rename "+at("url")+" moved", "rename "+at("url")+"@memory moved")
	w.Apply()
	expect(t, w.Plan())
}

// TestAnothersCopyIsNotTaken: a copy of another secret that still lies where one
// of ours is to be is not restored from, and not written over while it may be the
// last of its value.
func TestAnothersCopyIsNotTaken(t *testing.T) {
	const b = "@memory.b"
	w := plannertest.New(t, memory.Files())
	store := w.AddStore("b", memory.Files())
	w.Configure(copies(placesOf("old", "p/a"))).Apply()
	was, _ := store.Value("p/a")
	w.Configure(copies(placesOf("old", "p/c", "new", "p/a")))
	for range 3 {
		mustTry(t, w, plannertest.Exclude(at("old")+b), plannertest.Exclude(at("new")+b))
	}
	expect(t, w.Plan(), "update "+at("new")+b+" moved reads", "create "+at("old")+b+" new reads")
	p := w.Plan(plannertest.RestoreFrom(at("new"), "memory.b"))
	if len(p.Diagnostics) != 1 || !strings.Contains(p.Diagnostics[0].Summary, "is not the one that was written") {
		t.Errorf("plan %q", lines(p))
	}
	w.Stores["memory"].Remove("p/c", 0)
	expect(t, w.Plan(), "conflict "+at("old")+" missing", "note "+at("new")+b+" moved")
	w.Apply()
	if v, _ := store.Value("p/a"); plannertest.Text(v) != plannertest.Text(was) {
		t.Error("the last copy was written over")
	}
}
