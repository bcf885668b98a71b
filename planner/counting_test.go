package planner_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/planner/plannertest"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/memory"
	"github.com/cofferhq/coffer/providers/secret"
)

// unmarked is gen, created by a run that died between the value and its mark.
func unmarked(t *testing.T, hcl string) *plannertest.World {
	t.Helper()
	w := plannertest.New(t, memory.Counting()).Configure(hcl)
	died := memory.Counting()
	died.At = func(point string) error {
		if point == "before set_attributes shop/dev/key" {
			return context.Canceled
		}
		return nil
	}
	w.Knobs["memory"] = died
	if r := mustTry(t, w); !r.Failed() {
		t.Fatal("the apply did not fail")
	}
	w.Knobs["memory"] = memory.Counting()
	if m, _ := w.Stores["memory"].Meta("shop/dev/key"); m.Version != "1" || m.Attributes.Mark.Project != "" {
		t.Fatalf("cut at another place: %+v", m)
	}
	return w
}

// TestAMarkThatWasCutOff: what the version says is ours is adopted, and our mark
// written, without another version.
func TestAMarkThatWasCutOff(t *testing.T) {
	marked := func(t *testing.T, w *plannertest.World) {
		t.Helper()
		m, _ := w.Stores["memory"].Meta("shop/dev/key")
		if m.Version != "1" || m.Attributes.Mark.Project != "test-1" || m.Attributes.Labels["team"] != "a" {
			t.Errorf("it has %+v", m)
		}
		expect(t, w.Plan())
	}
	t.Run("the next run writes it", func(t *testing.T) {
		w := unmarked(t, labelled)
		value := w.Value("memory", "shop/dev/key")
		expect(t, w.Plan(), "adopt "+key+" interrupted")
		w.Apply()
		marked(t, w)
		if w.Value("memory", "shop/dev/key") != value {
			t.Error("it has another value")
		}
	})
	t.Run("after the next run died on the way to it", func(t *testing.T) {
		w := unmarked(t, labelled)
		w.Stores["memory"].Inject(memory.Fault{Op: "set_attributes", Times: 1, Effect: memory.LoseAnswer}, memory.Deny("set_attributes", ""))
		w.State.Fail = func(step string) error {
			if step == "save" {
				return context.Canceled
			}
			return nil
		}
		_, _ = w.TryApply()
		w.State.Fail = nil
		w.Stores["memory"].Heal()
		w.Apply()
		marked(t, w)
	})
	t.Run("the next run may not write it", func(t *testing.T) {
		w := unmarked(t, labelled)
		w.Stores["memory"].Inject(refuse("set_attributes"))
		for range 2 {
			expectEnd(t, mustTry(t, w), "adopt "+key+" failed")
		}
		w.Stores["memory"].Heal()
		w.Apply()
		marked(t, w)
	})
	t.Run("the next run dies before it, twice", func(t *testing.T) {
		w := unmarked(t, labelled)
		for range 2 {
			crashed(w, false)
			expect(t, w.Plan(), "adopt "+key+" interrupted")
		}
		w.Apply()
		marked(t, w)
	})
	t.Run("its block is gone: a person decides", func(t *testing.T) {
		w := unmarked(t, both)
		w.Configure(without)
		p := w.Plan()
		if c := change(t, p, key); c.Action != planner.Conflict || c.Reason != planner.ReasonInterrupted {
			t.Fatalf("plan %q", lines(p))
		}
		if _, lives := w.Stores["memory"].Value("shop/dev/key"); !lives {
			t.Fatal("it is gone")
		}
		mustTry(t, w, plannertest.Settle(key, planner.SettleAccept))
		expect(t, w.Plan(), "delete "+key+" removed")
		w.Apply()
		expect(t, w.Plan())
	})
	t.Run("its block is gone, and a reviewed one names it", func(t *testing.T) {
		w := unmarked(t, both)
		w.Configure(without + removed(true))
		if c := change(t, w.Plan(), key); c.Action != planner.Delete || !c.Confirmed {
			t.Fatalf("%+v", c)
		}
		w.Stores["memory"].Inject(refuseOnce("delete", "shop/dev/key", providers.Denied))
		w.State.Fail = func(step string) error {
			if step == "save" {
				return context.Canceled
			}
			return nil
		}
		_, _ = w.TryApply()
		w.State.Fail = nil
		crashed(w, false) // with the intent of a delete
		if c := change(t, w.Plan(), key); c.Action != planner.Delete {
			t.Fatalf("%+v", c)
		}
		w.Apply()
		expect(t, w.Plan())
	})
	t.Run("its block is gone, and it was protected", func(t *testing.T) {
		w := unmarked(t, protected)
		w.Configure(without + removed(true))
		if c := change(t, w.Plan(), key); c.Action != planner.Conflict {
			t.Fatalf("%+v", c)
		}
	})
	t.Run("without an intent a lost mark is a conflict", func(t *testing.T) {
		w := plannertest.New(t, memory.Counting()).Configure(gen)
		w.Apply()
		w.Stores["memory"].RemoveMark("shop/dev/key")
		expect(t, w.Plan(), "conflict "+key+" mark_lost")
	})
}

// TestAttributesAreWrittenOnce: a write of a value that is marked already is one
// call; settings that are outdated are written, and named.
func TestAttributesAreWrittenOnce(t *testing.T) {
	w := plannertest.New(t, memory.Counting()).Configure(labelled)
	w.Apply()
	w.Stores["memory"].ResetCalls()
	w.Apply(plannertest.Settle(key, planner.SettleRotate))
	if n := w.Stores["memory"].Calls("set_attributes"); n != 0 {
		t.Errorf("the attributes were written %d times", n)
	}
	outdated := memory.Counting()
	outdated.Setting = "keep 5"
	w.Knobs["memory"] = outdated
	p := w.Plan()
	expect(t, p, "update "+key+" metadata_changed")
	if d := p.Changes[0].Detail; !strings.Contains(d, "setting") {
		t.Errorf("the plan says %q", d)
	}
	w.Apply(plannertest.Settle(key, planner.SettleRotate)) // takes them along
	if n := w.Stores["memory"].Calls("set_attributes"); n != 1 {
		t.Errorf("the attributes were written %d times", n)
	}
	expect(t, w.Plan())
	outdated.Setting = "keep 6"
	w.Knobs["memory"] = outdated
	w.Apply()
	expect(t, w.Plan())
	if m, _ := w.Stores["memory"].Meta("shop/dev/key"); m.Version != "3" {
		t.Errorf("it has version %s", m.Version)
	}
}

// TestKey: a single value under a key of its own is one field on the store and
// one value everywhere else.
func TestKey(t *testing.T) {
	keyed := func(keyLine string) string {
		return with(plus(secretBlock("value = random_hex({ bytes = 16 })", keyLine), urlSecret), "other", "x")
	}
	for name, knobs := range map[string]memory.Options{"counting": memory.Counting(), "full": memory.Full()} {
		t.Run(name, func(t *testing.T) {
			w := plannertest.New(t, knobs).Configure(keyed(`key = "password"`))
			w.Apply()
			expect(t, w.Plan())
			field, ok := strings.CutPrefix(w.Value("memory", "shop/dev/key"), "password=")
			if !ok || w.Value("memory", "shop/dev/url") != "https://"+field+"@example.org" {
				t.Fatalf("the store has %q", w.Value("memory", "shop/dev/key"))
			}
			w.Stores["memory"].Edit("shop/dev/url", secret.String("x"), "mallory") // read, to make it again
			w.Apply()
			if w.Value("memory", "shop/dev/url") != "https://"+field+"@example.org" {
				t.Error("the template is made of something else")
			}
			edit(w)
			w.Apply(plannertest.Settle(key, planner.SettleRestore))
			if got := w.Value("memory", "shop/dev/key"); got != "password="+field {
				t.Errorf("restored as %q", got)
			}
			for _, to := range []string{"token", "", "password"} {
				line := ""
				if to != "" {
					line = "key = \"" + to + "\""
				}
				w.Configure(keyed(line))
				expect(t, w.Plan(), "update "+key+" metadata_changed reads")
				w.Apply()
				want := field
				if to != "" {
					want = to + "=" + field
				}
				if got := w.Value("memory", "shop/dev/key"); got != want {
					t.Errorf("with the key %q it is %q", to, got)
				}
				expect(t, w.Plan())
			}
			w.State.Lose()
			w.Apply()
			expect(t, w.Plan())
		})
	}
}

// TestKeyOnItsWay: a copy, another place and a fingerprint are of the value, not
// of how a store keeps it.
func TestKeyOnItsWay(t *testing.T) {
	inPath := memory.Full()
	inPath.KeyInPath = true
	w := plannertest.New(t, inPath)
	w.AddStore("b", memory.Counting())
	w.Environ["K"] = "v"
	hcl := copies(app(sec("key", `value = from_env("K")`, `key = "password"`)))
	w.Configure(hcl).Apply()
	expect(t, w.Plan())
	if a, b := w.Value("memory", "shop/dev/password"), w.Value("memory.b", "shop/dev/key"); a != "v" || b != "password=v" {
		t.Fatalf("the stores have %q and %q", a, b)
	}
	w.Stores["memory"].Remove("shop/dev/password", 0)
	w.Apply(plannertest.RestoreFrom(key, "memory.b"))
	if a := w.Value("memory", "shop/dev/password"); a != "v" {
		t.Errorf("restored as %q", a)
	}
	w.Configure(with(hcl, "store    = memory\n  replicas = [memory.b]", "store    = memory.b\n  replicas = [memory]"))
	for range 3 {
		w.Apply()
	}
	expect(t, w.Plan())
	if a, b := w.Value("memory", "shop/dev/password"), w.Value("memory.b", "shop/dev/key"); a != "v" || b != "password=v" {
		t.Errorf("the stores have %q and %q", a, b)
	}
	w.Configure(with(app(sec("key", `value = from_env("K")`, `key = "password"`, `path = "at/key"`)), "memory", "memory.b"))
	w.Apply()
	if b := w.Value("memory.b", "at/key"); b != "password=v" {
		t.Errorf("relocated as %q", b)
	}
	w.Apply(plannertest.Settle(key, planner.SettleRotate)) // with a fingerprint again
	l := w.Look()
	verified, err := (&planner.Verifier{Stores: l.Stores, Key: w.Key}).Verify(context.Background(), l.Snapshot, all)
	if err != nil || len(planner.DetectDrift(l.Desired, l.Snapshot, l.Live, l.Stores, l.Options, verified).Drift) > 0 || len(verified) != 1 {
		t.Errorf("verified %v, %v", verified, err)
	}
	r := l.Desired.At(address(t, key))
	read, err := l.Stores["memory.b"].Read(context.Background(), "at/key", "")
	if err != nil {
		t.Fatal(err)
	}
	if v, err := r.Open(l.Snapshot.Entries[r.Location], read); err != nil || plannertest.Text(v) != "v" {
		t.Errorf("opened as %v, %v", v, err)
	}
}

// TestBackInTime: a backup that was put back stops a plan, until a person takes
// what is live.
func TestBackInTime(t *testing.T) {
	w := plannertest.New(t, memory.Counting()).Configure(both)
	w.Apply()
	old := w.Stores["memory"].Clone()
	w.Apply(plannertest.Settle(key, planner.SettleRotate))
	w.Stores["memory"].Rewind(old)
	p := w.Plan()
	found := p.Diagnostics
	if len(found) != 1 || found[0].Severity != planner.SeverityError || !strings.Contains(found[0].Summary, "store memory") ||
		!strings.Contains(found[0].Detail, key) || !strings.Contains(found[0].Detail, "coffer accept") {
		t.Fatalf("diagnostics %+v", found)
	}
	rep := w.Drift()
	expectDrift(t, rep, "superseded "+key)
	if len(rep.Diagnostics) != 1 || rep.Diagnostics[0].Severity != planner.SeverityWarning {
		t.Errorf("drift says %+v", rep.Diagnostics)
	}
	if _, err := w.TryApply(); err == nil {
		t.Error("it was applied")
	}
	expect(t, w.Plan(plannertest.Settle(key, planner.SettleAccept)), "adopt "+key+" changed_outside")
	w.Apply(plannertest.Settle(key, planner.SettleAccept))
	expect(t, w.Plan())
}

// TestLeaseWarnings: an identity that ends before the apply is expected to.
func TestLeaseWarnings(t *testing.T) {
	now := plannertest.Start
	for name, tt := range map[string]struct {
		lease providers.Lease
		hcl   string
		slow  time.Duration
		want  bool
	}{
		"ends soon":                 {providers.Lease{Expires: now.Add(5 * time.Second), Identity: "token of approle ci"}, gen, 0, true},
		"ended":                     {providers.Lease{Expires: now.Add(-time.Second)}, gen, 0, true},
		"is renewed":                {providers.Lease{Expires: now.Add(5 * time.Second), Renewable: true}, gen, 0, false},
		"lasts":                     {providers.Lease{Expires: now.Add(time.Minute)}, gen, 0, false},
		"lasts, but calls are slow": {providers.Lease{Expires: now.Add(time.Minute)}, gen, 10 * time.Minute, true},
		"never ends":                {providers.Lease{}, gen, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			knobs := memory.Counting()
			knobs.Lease = tt.lease
			w := plannertest.New(t, knobs).Configure(tt.hcl)
			if tt.slow > 0 { // every call takes that long
				knobs.Concurrency = 1
				knobs.At = func(point string) error {
					if strings.HasPrefix(point, "after") {
						w.Now = w.Now.Add(tt.slow)
					}
					return nil
				}
				w.Knobs["memory"] = knobs
			}
			l := w.Look()
			w.Now = now
			diags := planner.LeaseWarnings(context.Background(), l.Plan, l.Stores, now)
			if (len(diags) > 0) != tt.want {
				t.Fatalf("%+v", diags)
			}
			if tt.want && (diags[0].Severity != planner.SeverityWarning || !strings.Contains(diags[0].Detail, tt.lease.Expires.Format("15:04:05"))) {
				t.Errorf("%+v", diags[0])
			}
			w.Apply()
			w.Stores["memory"].ResetCalls()
			l = w.Look()
			if diags := planner.LeaseWarnings(context.Background(), l.Plan, l.Stores, now); len(diags) > 0 || w.Stores["memory"].Calls("lease") > 0 {
				t.Errorf("with nothing to do: %v after %d calls", diags, w.Stores["memory"].Calls("lease"))
			}
		})
	}
}

// TestDriftOfObjects: who can read that should not, or the other way round, and
// what was rewritten.
func TestDriftOfObjects(t *testing.T) {
	ours := func(t *testing.T) *plannertest.World {
		w := granted(counting(t, ops("read"), role(), mount()))
		w.Apply()
		return w
	}
	byHand := func(ref providers.ObjectRef, text string) func(*plannertest.World) {
		return func(w *plannertest.World) { w.Stores["memory"].SetDocument(ref, text) }
	}
	for name, tt := range map[string]struct {
		do     func(w *plannertest.World)
		want   string
		detail string
	}{
		"nothing":         {func(*plannertest.World) {}, "", ""},
		"policy text":     {byHand(opsRef, "sudo"), "document " + opsAddress, "text"},
		"compiled policy": {byHand(policyRef, "all\n"), "document " + runtime, "text"},
		"role":            {byHand(roleRef, "name = root\n"), "document role.memory.web", "text"},
		"mount":           {byHand(mountRef, "kv"), "document mount.memory.kv", "text"},
		"binding":         {byHand(bindingRef, ""), "grant_removed " + binding, "shop-runtime-dev for web"},
		"policy gone":     {byHand(opsRef, ""), "missing " + opsAddress, ""},
		"policy's mark":   {func(w *plannertest.World) { w.Stores["memory"].SetDocument(opsRef, ""); theirs(w, opsRef, "", "read") }, "metadata " + opsAddress, "mark"},
		"undeclared access": {func(w *plannertest.World) {
			w.Stores["memory"].SetUndeclared(
				providers.Undeclared{Ref: providers.ObjectRef{Kind: memory.KindPolicy, Path: "wide"}, Reads: []string{"shop/dev/key"}, Text: `path "*" (read)`},
				providers.Undeclared{Ref: policyRef, Reads: []string{"shop/dev/key"}},
			)
		}, `grant_added provider.memory.policy["wide"]`, `shop/dev/key: path "*" (read)`},
		"access that could not be told": {func(w *plannertest.World) { w.Stores["memory"].Inject(refuse("audit_access")) }, "unknown provider.memory", "denied"},
	} {
		t.Run(name, func(t *testing.T) {
			w := ours(t)
			tt.do(w)
			l := w.Look()
			rep := planner.DetectDrift(l.Desired, l.Snapshot, l.Live, l.Stores, l.Options, nil)
			found, _ := planner.Undeclared(context.Background(), l.Desired, l.Snapshot, l.Stores)
			rep.Drift = append(rep.Drift, found...)
			if tt.want == "" {
				expectDrift(t, rep)
				return
			}
			expectDrift(t, rep, tt.want)
			if !strings.Contains(rep.Drift[0].Detail, tt.detail) {
				t.Errorf("it says %q", rep.Drift[0].Detail)
			}
		})
	}
}

// TestWrittenAndDeletedSince: what an interrupted run wrote, and somebody then
// deleted, is brought back.
func TestWrittenAndDeletedSince(t *testing.T) {
	w := plannertest.New(t, memory.Counting()).Configure(gen)
	w.Apply()
	l := w.Look(plannertest.Settle(key, planner.SettleRotate))
	w.State.Fail = func(step string) error {
		if step == "save" {
			return context.Canceled
		}
		return nil
	}
	w.Stores["memory"].Inject(loseAnswer("write", "shop/dev/key"))
	_, _ = applyPlan(w, l)
	w.State.Fail = nil
	w.Stores["memory"].Heal()
	value := w.Value("memory", "shop/dev/key")
	w.Stores["memory"].Remove("shop/dev/key", time.Hour)
	expect(t, w.Plan(), "restore "+key+" interrupted")
	w.Apply()
	expect(t, w.Plan())
	if w.Value("memory", "shop/dev/key") != value || entry(t, w, "shop/dev/key").Generation != 2 {
		t.Errorf("it has another value, or generation %d", entry(t, w, "shop/dev/key").Generation)
	}
}

// TestReplacedWhileInterrupted: a version of the same number that somebody else
// made is not taken for the one that an interrupted run started from.
func TestReplacedWhileInterrupted(t *testing.T) {
	w := plannertest.New(t, memory.Counting()).Configure(gen)
	w.Apply()
	crashed(w, false, plannertest.Settle(key, planner.SettleRotate))
	w.Stores["memory"].Replace("shop/dev/key", secret.String("by hand"), "mallory")
	expect(t, w.Plan(), "conflict "+key+" mark_lost")
}
