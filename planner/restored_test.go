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

// TestDeletedByOthers: somebody wrote a version and then deleted it. To bring it
// back is to take it, so that is never done without a word.
func TestDeletedByOthers(t *testing.T) {
	const week = 7 * 24 * time.Hour
	settle := func(kind planner.SettleKind) []plannertest.Option {
		return []plannertest.Option{plannertest.Settle(key, kind)}
	}
	for name, tt := range map[string]struct {
		hcl  string
		opts []plannertest.Option
		want string
		// value is what is live after an apply: "theirs", "ours", "other" or "none".
		value string
	}{
		"generated: conflict":   {gen, nil, "conflict " + key + " changed_outside", "none"},
		"accepted":              {gen, settle(planner.SettleAccept), "restore " + key + " changed_outside", "theirs"},
		"rotated":               {gen, settle(planner.SettleRotate), "rotate " + key + " rotation_requested new-value", "other"},
		"restored":              {gen, settle(planner.SettleRestore), "restore " + key + " changed_outside reads", "ours"},
		"restores by itself":    {with(gen, "})", "})\n    on_outside_change = \"restore\"\n", "{ value", "{\n    value"), nil, "restore " + key + " changed_outside reads", "ours"},
		"accepts by itself":     {with(gen, "})", "})\n    on_outside_change = \"accept\"\n", "{ value", "{\n    value"), nil, "restore " + key + " changed_outside", "theirs"},
		"a person's: taken":     {with(gen, "random_hex({ bytes = 16 })", "manual()"), nil, "restore " + key + " changed_outside", "theirs"},
		"supplied: made again":  {with(gen, "random_hex({ bytes = 16 })", `from_env("K")`), nil, "update " + key + " changed_outside", "ours"},
		"supplied and accepted": {with(gen, "random_hex({ bytes = 16 })", `from_env("K")`), settle(planner.SettleAccept), "restore " + key + " changed_outside", "theirs"},
		"a template: made again": {
			with(gen, "random_hex({ bytes = 16 })", `"${secret.part}-x"`, "  secret \"key\"", "  secret \"part\" { value = random_hex() }\n  secret \"key\""),
			nil, "update " + key + " changed_outside reads", "ours",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := plannertest.New(t, memory.Counting()).Configure(tt.hcl)
			w.Environ["K"] = "supplied"
			if strings.Contains(tt.hcl, "manual()") {
				w.Apply(give(t, w, key, map[string]string{"": "given"}))
			} else {
				w.Apply()
			}
			store := w.Stores["memory"]
			ours := w.Value("memory", "shop/dev/key")
			store.Edit("shop/dev/key", secret.String("theirs"), "mallory")
			store.Remove("shop/dev/key", week)
			w.Now = w.Now.Add(time.Hour)
			p := w.Plan(tt.opts...)
			expect(t, p, tt.want)
			if c := p.Changes[0]; !strings.Contains(c.Detail, "deleted, and kept by the platform until ") {
				t.Errorf("the plan says %q", c.Detail)
			}
			mustTry(t, w, tt.opts...)
			v, lives := store.Value("shop/dev/key")
			got := "none"
			switch {
			case lives && plannertest.Text(v) == ours:
				got = "ours"
			case lives && plannertest.Text(v) == "theirs":
				got = "theirs"
			case lives:
				got = "other"
			}
			if got != tt.value {
				t.Errorf("what is live is %s, want %s", got, tt.value)
			}
			if e := entry(t, w, "shop/dev/key"); tt.value == "theirs" && (!e.RotatedAt.Equal(w.Now) || e.Generation != 2) {
				t.Errorf("its clock began at %s, generation %d", e.RotatedAt, e.Generation)
			}
			if tt.value != "none" {
				expectSettled(t, w, tt.value == "theirs" && strings.Contains(tt.hcl, "from_env"))
			}
		})
	}
	t.Run("an older one of ours is no stranger's", func(t *testing.T) {
		w := full(t).Configure(gen)
		w.Apply()
		before := w.State.Remember()
		w.Apply(plannertest.Settle(key, planner.SettleRotate))
		w.State.Recall(before)
		w.Stores["memory"].Remove("shop/dev/key", week)
		expect(t, w.Plan(), "restore "+key+" soft_deleted")
	})
	t.Run("it cannot be brought back", func(t *testing.T) {
		knobs := memory.Counting()
		knobs.Restore = false
		w := plannertest.New(t, knobs).Configure(gen)
		w.Apply()
		edit(w)
		w.Stores["memory"].Remove("shop/dev/key", week)
		expect(t, w.Plan(), "conflict "+key+" soft_deleted")
	})
}

// expectSettled: nothing is left to do, but to say that an accepted value was not
// compared with the supplied one.
func expectSettled(t *testing.T, w *plannertest.World, notCompared bool) {
	t.Helper()
	if notCompared {
		expect(t, w.Plan(), "note "+key+" not_compared")
		return
	}
	expect(t, w.Plan())
}

// TestABlockThatComesBack: what its store still keeps is brought back, and what
// is at hand is made anew, since nothing tells what it was made of.
func TestABlockThatComesBack(t *testing.T) {
	for name, tt := range map[string]struct{ block, want string }{
		"generated": {sec("old", "value = random_hex()"), "restore " + at("old") + " soft_deleted"},
		"supplied":  {sec("old", `value = from_env("S")`), "restore " + at("old") + " soft_deleted"},
		"template":  {sec("old", `value = "x-${secret.key}"`), "restore " + at("old") + " soft_deleted reads"},
		"fields":    {sec("old", "fields = {", "  a = random_hex()", `  b = "x-${secret.key}"`, "}"), "restore " + at("old") + " soft_deleted reads"},
	} {
		t.Run(name, func(t *testing.T) {
			w := full(t).Configure(app(sec("key", gen8) + tt.block))
			w.Environ["S"] = "first"
			w.Apply()
			old, _, _ := strings.Cut(w.Value("memory", "shop/dev/old"), "\n")
			w.Configure(app(sec("key", gen8))).Apply()
			w.Apply(plannertest.Settle(at("key"), planner.SettleRotate))
			w.Environ["S"] = "second"
			expect(t, w.Configure(app(sec("key", gen8)+tt.block)).Plan(), tt.want)
			w.Apply()
			expect(t, w.Plan())
			made := "x-" + w.Value("memory", "shop/dev/key")
			want := map[string]string{"generated": old, "supplied": "second", "template": made, "fields": old + "\nb=" + made}[name]
			if got := w.Value("memory", "shop/dev/old"); got != want {
				t.Errorf("it holds %s, want %s", got, want)
			}
		})
	}
}

// TestRemains: the current version is deleted and older ones can be read. What
// nobody wants any more is then not gone.
func TestRemains(t *testing.T) {
	left := func(t *testing.T, hcl string) *plannertest.World {
		t.Helper()
		w := plannertest.New(t, memory.Counting()).Configure(hcl)
		w.Apply()
		w.Apply(plannertest.Settle(key, planner.SettleRotate))
		w.Stores["memory"].RemoveCurrent("shop/dev/key", 24*time.Hour)
		if m, _ := w.Stores["memory"].Meta("shop/dev/key"); !m.Remains || !m.IsDeleted() {
			t.Fatalf("it is %+v", m)
		}
		return w
	}
	t.Run("deleted for real", func(t *testing.T) {
		w := left(t, both)
		w.Configure(without)
		expect(t, w.Plan(), "delete "+key+" removed")
		crashed(w, false)
		expect(t, w.Plan(), "delete "+key+" removed")
		w.Apply()
		if m, _ := w.Stores["memory"].Meta("shop/dev/key"); m.Remains || !m.IsDeleted() {
			t.Errorf("it is %+v", m)
		}
		expect(t, w.Plan())
	})
	t.Run("still wanted: restored", func(t *testing.T) {
		expect(t, left(t, gen).Plan(), "restore "+key+" soft_deleted")
	})
	t.Run("forgotten on request", func(t *testing.T) {
		w := left(t, both)
		w.Configure(without + removed(false))
		expect(t, w.Plan(), "forget "+key+" removed")
	})
	t.Run("protected", func(t *testing.T) {
		w := left(t, protected)
		w.Configure(without)
		expect(t, w.Plan(), "error "+key+" is protected")
	})
	t.Run("nothing remains: forgotten", func(t *testing.T) {
		w := left(t, both)
		w.Stores["memory"].Edit("shop/dev/key", secret.String("x"), "")
		w.Stores["memory"].Remove("shop/dev/key", time.Hour)
		w.Configure(without)
		expect(t, w.Plan(), "forget "+key+" removed")
	})
}

// TestOutsideWhileInterruptedAndDeleted: somebody wrote over what an interrupted
// run made, and deleted it. A person's word on it brings it back, or replaces it.
func TestOutsideWhileInterruptedAndDeleted(t *testing.T) {
	for name, kind := range map[string]planner.SettleKind{"accepted": planner.SettleAccept, "rotated": planner.SettleRotate} {
		t.Run(name, func(t *testing.T) {
			w := plannertest.New(t, memory.Counting()).Configure(gen)
			w.Apply()
			crashed(w, false, plannertest.Settle(key, planner.SettleRotate))
			store := w.Stores["memory"]
			store.Edit("shop/dev/key", secret.String("first"), "mallory")
			store.Edit("shop/dev/key", secret.String("theirs"), "mallory")
			store.Remove("shop/dev/key", time.Hour)
			expect(t, w.Plan(), "conflict "+key+" interrupted")
			final := memory.Counting()
			final.Restore = false
			w.Knobs["memory"] = final
			expect(t, w.Plan(plannertest.Settle(key, kind)), "conflict "+key+" soft_deleted")
			w.Knobs["memory"] = memory.Counting()
			w.Apply(plannertest.Settle(key, kind))
			expect(t, w.Plan())
			if got := w.Value("memory", "shop/dev/key"); (got == "theirs") != (kind == planner.SettleAccept) {
				t.Errorf("it holds %s", got)
			}
		})
	}
}
