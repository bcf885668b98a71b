package planner_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/planner/plannertest"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/memory"
	"github.com/cofferhq/coffer/providers/secret"
)

func TestSomebodyElseWritesBetweenThePlanAndTheApply(t *testing.T) {
	w := full(t).Configure(gen)
	w.Apply()
	l := w.Look(plannertest.Settle(key, planner.SettleRotate))
	edit(w)
	var refused *planner.RefusedError
	if _, err := applyPlan(w, l); !errors.As(err, &refused) || len(refused.Changes) != 1 {
		t.Fatalf("want a refusal of one change, got %v", err)
	}
	if w.Value("memory", "shop/dev/key") != "by hand" || w.State.Saves != 1 {
		t.Errorf("a refused plan had an effect")
	}
}

// The last look and the write are not one moment: the store's precondition
// guards what is between them.
func TestSomebodyElseWritesBetweenTheLastLookAndTheWrite(t *testing.T) {
	w := full(t)
	w.Configure(gen).Apply()
	w.Knobs["memory"] = on(memory.Full(), "before write", func() { edit(w) })
	r := mustTry(t, w, plannertest.Settle(key, planner.SettleRotate))
	expectEnd(t, r, "rotate "+key+" failed")
	if text := r.Outcomes[0].Err.Error(); !strings.Contains(text, "somebody else wrote it first") {
		t.Errorf("the error does not say so: %s", text)
	}
	if w.Value("memory", "shop/dev/key") != "by hand" {
		t.Errorf("the other value was overwritten")
	}
	expect(t, w.Plan(), "conflict "+key+" changed_outside")
}

func TestTheSameForACreateAndADelete(t *testing.T) {
	w := full(t).Configure(gen)
	w.Knobs["memory"] = on(memory.Full(), "before write", func() { edit(w) })
	expectEnd(t, mustTry(t, w), "create "+key+" failed")
	if w.Value("memory", "shop/dev/key") != "by hand" {
		t.Errorf("a create overwrote what somebody else had made")
	}

	w = full(t).Configure(both)
	w.Apply()
	w.Configure(without)
	w.Knobs["memory"] = on(memory.Full(), "before delete", func() { edit(w) })
	expectEnd(t, mustTry(t, w), "delete "+key+" failed")
	if w.Value("memory", "shop/dev/key") != "by hand" {
		t.Errorf("a delete took away what somebody else had written")
	}
}

func TestALostAnswerIsAdoptedByTheNextRun(t *testing.T) {
	for name, knobs := range map[string]memory.Options{"full": memory.Full(), "versioned": memory.Versioned(), "files": memory.Files()} {
		t.Run(name, func(t *testing.T) {
			w := plannertest.New(t, knobs).Configure(gen)
			w.Stores["memory"].Inject(loseAnswer("write", ""), loseAnswer("batch", ""))
			r := mustTry(t, w)
			expectEnd(t, r, "create "+key+" failed")
			if text := r.Outcomes[0].Err.Error(); !strings.Contains(text, "outcome is not known") {
				t.Errorf("the error does not say so: %s", text)
			}
			e := entry(t, w, "shop/dev/key")
			if e.Pending == nil || e.Version != "" {
				t.Fatalf("the intent was not kept")
			}
			made := w.Value("memory", "shop/dev/key")
			p := w.Plan()
			expect(t, p, "adopt "+key+" interrupted")
			w.Stores["memory"].ResetCalls()
			w.Apply()
			if w.Value("memory", "shop/dev/key") != made || w.Stores["memory"].Calls("write")+w.Stores["memory"].Calls("batch") != 0 {
				t.Errorf("the value that was live is not the one that stays")
			}
			if e := entry(t, w, "shop/dev/key"); e.Pending != nil || e.Generation != 1 {
				t.Errorf("after the adoption: pending %v, generation %d", e.Pending, e.Generation)
			}
			expect(t, w.Plan())
		})
	}
}

func TestALostAnswerToADelete(t *testing.T) {
	w := full(t).Configure(both)
	w.Apply()
	w.Configure(without)
	w.Stores["memory"].Inject(loseAnswer("delete", ""))
	expectEnd(t, mustTry(t, w), "delete "+key+" failed")
	expect(t, w.Plan(), "forget "+key+" removed")
	w.Apply()
	expect(t, w.Plan())
}

// A platform whose writes take neither token nor precondition: a write that is
// still on its way is waited for, and never made twice.
func TestALateWriteIsWaitedFor(t *testing.T) {
	knobs := memory.Options{Versions: true, Attributes: true, OpID: true, List: true, Settle: 2 * time.Minute}
	w := plannertest.New(t, knobs).Configure(gen)
	w.Stores["memory"].Inject(memory.Fault{Op: "write", Times: 1, Effect: memory.Land, Calls: 1000})
	expectEnd(t, mustTry(t, w), "create "+key+" failed")
	w.Now = w.Now.Add(time.Minute)
	expect(t, w.Plan(), "unknown "+key+" interrupted")
	if r := mustTry(t, w); len(r.Outcomes) != 0 {
		t.Fatalf("something was done inside the window: %q", ended(r))
	}
	w.Stores["memory"].Settle()
	landed := w.Value("memory", "shop/dev/key")
	w.Now = w.Now.Add(2 * time.Minute)
	expect(t, w.Plan(), "adopt "+key+" interrupted")
	w.Apply()
	if w.Value("memory", "shop/dev/key") != landed {
		t.Errorf("the value that landed late was replaced")
	}
	expect(t, w.Plan())
}

func TestNoAuditRecordNoEffect(t *testing.T) {
	url := app(sec("key", "value = random_hex()") + sec("url", `value = "u-${secret.key}"`))
	log := &auditor{fail: true}
	w := full(t).Configure(url)
	w.Audit = log
	r := mustTry(t, w)
	expectEnd(t, r, "create "+key+" failed", "create "+at("url")+" skipped: it depends on "+key+", which was not done")
	if !strings.Contains(r.Outcomes[0].Err.Error(), "audit record") {
		t.Errorf("the error does not name the audit: %v", r.Outcomes[0].Err)
	}
	if n := effects(w.Stores["memory"]); n != 0 {
		t.Fatalf("%d calls changed the store without a record", n)
	}
	log.fail = false
	w.Apply()

	// A read needs its record too, and so does a delete.
	w.Stores["memory"].Edit("shop/dev/url", secret.String("x"), "mallory")
	w.Stores["memory"].ResetCalls()
	log.fail = true
	expectEnd(t, mustTry(t, w), "update "+at("url")+" failed")
	w.Configure(without)
	w.Stores["memory"].RemoveMark("shop/dev/url")
	r = mustTry(t, w, plannertest.Exclude(at("other")))
	expectEnd(t, r, "delete "+key+" failed", "forget "+at("url"))
	if n := w.Stores["memory"].Reads() + effects(w.Stores["memory"]); n != 0 {
		t.Fatalf("%d calls read or changed a value without a record", n)
	}
}

func TestAuditRecordsNameWhatHappens(t *testing.T) {
	log := &auditor{}
	w := full(t).Configure(plus(gen, urlSecret))
	w.Audit = log
	w.Apply()
	w.Stores["memory"].Edit("shop/dev/url", secret.String("x"), "mallory")
	w.Apply()
	if got := fmt.Sprint(log.actions()); got != "map[read:1 write:3]" {
		t.Fatalf("records: %s", got)
	}
	i := slices.IndexFunc(log.events, func(e planner.AuditEvent) bool { return e.Action == "read" })
	e := log.events[i]
	if e.Address.String() != key || e.Location.Path != "shop/dev/key" || e.Version != "1" {
		t.Errorf("the read is recorded as %+v", e)
	}
	w.Configure(without)
	w.Apply()
	if log.actions()["delete"] != 2 {
		t.Errorf("deletes are not recorded: %v", log.actions())
	}
}

func TestNothingIsWrittenWithoutTheJournal(t *testing.T) {
	w := full(t).Configure(both)
	w.State.Fail = func(string) error { return errors.New("disk full") }
	_, err := w.TryApply()
	if err == nil || !strings.Contains(err.Error(), "nothing was written") {
		t.Fatalf("want an error that says so, got %v", err)
	}
	if n := effects(w.Stores["memory"]); n != 0 {
		t.Fatalf("%d calls changed the store", n)
	}
	w.State.Fail = nil
	w.Apply()
}

func TestAStateThatCannotBeSavedIsRecoveredFromTheJournal(t *testing.T) {
	w := full(t).Configure(both)
	w.State.Fail = func(step string) error {
		if step == "save" {
			return errors.New("disk full")
		}
		return nil
	}
	r, err := w.TryApply()
	if err == nil || !strings.Contains(err.Error(), "could not be saved") || r == nil || r.Failed() {
		t.Fatalf("result %v, error %v", r, err)
	}
	w.State.Fail = nil
	made := w.Value("memory", "shop/dev/key")
	expect(t, w.Plan()) // the journal has it all
	w.Apply(plannertest.Settle(at("other"), planner.SettleRotate))
	if w.Value("memory", "shop/dev/key") != made || w.State.Saves != 1 {
		t.Errorf("the next run lost what the journal held")
	}
	expect(t, w.Plan())
}

func TestWhenOutcomesCannotBeJournalledNothingMoreIsStarted(t *testing.T) {
	w := full(t).Configure(app(sec("a", `value = "1-${secret.b}"`) + sec("b", `value = "2-${secret.c}"`) + sec("c", `value = random_hex()`)))
	appends, failed := 0, make(chan struct{})
	w.State.Fail = func(step string) error {
		if appends++; step == "append" && appends > 1 {
			if appends == 2 {
				close(failed)
			}
			return errors.New("disk full")
		}
		return nil
	}
	l := w.Look()
	a := w.Applier(l)
	a.Events = func(planner.Event) { <-failed } // the journal's writer comes first
	if _, err := a.Apply(context.Background(), l.Plan); err == nil {
		t.Fatalf("the error of the journal was lost")
	}
	w.State.Fail = nil
	for range 3 {
		w.Apply()
	}
	expect(t, w.Plan())
}

func TestCancelFinishesWhatRunsAndSaves(t *testing.T) {
	w := full(t).Configure(app(sec("a", `value = "1-${secret.b}"`) + sec("b", `value = random_hex()`) + sec("c", `value = "2-${secret.b}"`)))
	ctx, cancel := context.WithCancel(context.Background())
	w.Knobs["memory"] = on(memory.Full(), "before write", cancel)
	l := w.Look()
	r, err := w.Applier(l).Apply(ctx, l.Plan)
	if err != nil || !r.Interrupted {
		t.Fatalf("interrupted %v, error %v", r, err)
	}
	expectEnd(t, r, "create "+at("a")+" skipped: interrupted before it began", "create "+at("b"), "create "+at("c")+" skipped: interrupted before it began")
	if w.State.Saves != 1 || entry(t, w, "shop/dev/b").Version != "1" {
		t.Errorf("what was finished is not saved")
	}
	s, err := w.State.Load(context.Background())
	if err != nil || len(s.Pending()) != 0 {
		t.Errorf("open intents after a cancel: %v %v", s.Pending(), err)
	}
	w.Knobs["memory"] = memory.Full()
	expect(t, w.Plan(), "create "+at("a")+" new reads", "create "+at("c")+" new reads")
	w.Apply()
	expect(t, w.Plan())
}

func TestCancelBeforeTheFirstCall(t *testing.T) {
	w := full(t).Configure(gen)
	l := w.Look()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := w.Applier(l).Apply(ctx, l.Plan); !errors.Is(err, context.Canceled) {
		t.Fatalf("error: %v", err)
	}
	if effects(w.Stores["memory"]) != 0 || w.State.Appends != 0 {
		t.Errorf("a cancelled run did something")
	}
}

// The plan says which changes read a value; the apply reads as many and no
// more.
func TestValuesRead(t *testing.T) {
	w := full(t)
	w.AddStore("b", memory.Full())
	two := copies(plus(gen, urlSecret))
	w.Configure(two)
	check := func(what string, want int, opts ...plannertest.Option) {
		t.Helper()
		l := w.Look(opts...)
		says := 0
		for _, c := range l.Plan.Changes {
			if c.ReadsValue {
				says++
			}
		}
		r, err := applyPlan(w, l)
		if err != nil || r.Failed() {
			t.Fatalf("%s: %v %q", what, err, ended(r))
		}
		if says != want || r.ValuesRead != want || l.Plan.ValuesRead != 0 {
			t.Errorf("%s: the plan says %d and read %d, the apply read %d, want %d", what, says, l.Plan.ValuesRead, r.ValuesRead, want)
		}
	}
	check("create", 0)
	check("nothing", 0)
	check("rotate, with the template and the copies", 0, plannertest.Settle(key, planner.SettleRotate))
	w.Stores["memory.b"].Remove("shop/dev/key", 0)
	check("a lost copy", 1)
	edit(w)
	check("restore, the copy from memory; the template reads nothing twice", 1, plannertest.Settle(key, planner.SettleRestore))
	w.Configure(with(two, `{ value = random_hex({ bytes = 16 }) }`, "{\n    value = random_hex({ bytes = 16 })\n    path  = \"at/new\"\n  }"))
	check("relocate", 1)
}

func TestEventsCountEveryChange(t *testing.T) {
	w := full(t).Configure(app(sec("a", `value = "1-${secret.b}"`) + sec("b", `value = random_hex()`) + sec("c", `value = random_hex()`)))
	w.Stores["memory"].Inject(memory.Deny("write", "shop/dev/b"))
	l := w.Look()
	a := w.Applier(l)
	kinds := map[planner.EventKind]int{}
	done := 0
	a.Events = func(e planner.Event) {
		kinds[e.Kind]++
		if done++; e.Done != done || e.Total != 3 {
			t.Errorf("event %d says %d of %d", done, e.Done, e.Total)
		}
		if (e.Kind == planner.EventFailed) != (e.Err != nil) || (e.Kind == planner.EventSkipped) != (e.Because != "") {
			t.Errorf("event %+v", e)
		}
	}
	if _, err := a.Apply(context.Background(), l.Plan); err != nil {
		t.Fatal(err)
	}
	if kinds[planner.EventDone] != 1 || kinds[planner.EventFailed] != 1 || kinds[planner.EventSkipped] != 1 {
		t.Errorf("events: %v", kinds)
	}
}

// A throttled or unreachable store is asked again by the provider in front of
// it; what it refuses for good fails with its code.
func TestADefiniteRefusalLeavesNoIntent(t *testing.T) {
	for _, code := range []providers.Code{providers.Denied, providers.Invalid, providers.Unavailable} {
		w := full(t).Configure(gen)
		w.Stores["memory"].Inject(memory.Fault{Op: "write", Code: code})
		r := mustTry(t, w)
		expectEnd(t, r, "create "+key+" failed")
		if providers.CodeOf(r.Outcomes[0].Err) != code {
			t.Errorf("%v became %v", code, r.Outcomes[0].Err)
		}
		w.Stores["memory"].Heal()
		expect(t, w.Plan(), "create "+key+" new")
	}
}

func TestAFailedUpdateKeepsItsEntry(t *testing.T) {
	w := full(t).Configure(gen)
	w.Apply()
	before := entry(t, w, "shop/dev/key")
	w.Stores["memory"].Inject(refuseOnce("write", "", providers.Denied))
	expectEnd(t, mustTry(t, w, plannertest.Settle(key, planner.SettleRotate)), "rotate "+key+" failed")
	after := entry(t, w, "shop/dev/key")
	if after.Version != before.Version || after.Generation != before.Generation || !after.RotatedAt.Equal(before.RotatedAt) || after.Pending != nil {
		t.Errorf("a refused rotation left its trace: %+v", after)
	}
	expect(t, w.Plan())
}
