package planner_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/planner/plannertest"
	"github.com/cofferhq/coffer/state"
)

func everything(addr.Address) bool { return true }

func TestRotationStatus(t *testing.T) {
	w := full(t)
	edit(w)
	every := func(d string, more ...string) string {
		return "rotation {\n every = \"" + d + "\"\n " + strings.Join(more, "\n ") + "\n}"
	}
	shop := app(sec("old", "value = random_hex()", every("20d", `strategy = "regenerate"`, `window = "Sun 02:00-06:00 UTC"`)) +
		sec("older", "value = random_hex()", every("10d")) +
		sec("soon", "value = random_hex()", every("45d", `notify_before = "20d"`)) +
		sec("later", "value = random_hex()", every("365d")) +
		sec("none", "value = random_hex()") +
		sec("never", "value = random_hex()", "rotation = never") +
		sec("by_hand", "value = manual()", every("10d")) +
		sec("url", `value = "x${secret.none}"`) +
		"env_file \"web\" {\n data = { A = secret.none }\n }\n")
	w.Configure(shop).Apply()
	w.Now = w.Now.Add(30 * day)
	w.Configure(strings.Replace(shop, `secret "older"`, `secret "oldest"`, 1) + "moved {\n from = app.shop.secret.older\n to = app.shop.secret.oldest\n}\n")
	s := rotation(t, w)
	var got []string
	for _, r := range s.Secrets {
		text := r.Address.Name + " " + string(r.State)
		if r.AgeSeconds != nil {
			text += fmt.Sprintf(" %dd", *r.AgeSeconds/86400)
		}
		if !r.NextDue.IsZero() {
			text += " due"
		}
		got = append(got, strings.Join(append([]string{text}, strings.Fields(r.Rule.Every+" "+r.Rule.NotifyBefore+" "+r.Rule.Strategy+" "+r.Rule.Window)...), " "))
		if r.Range == nil || r.Overdue != (r.State == planner.RotationOverdue) || (r.AgeSeconds == nil) != r.LastRotated.IsZero() {
			t.Errorf("not whole: %+v", r)
		}
	}
	want := []string{
		"oldest overdue 30d due 10d", "old overdue 30d due 20d regenerate Sun 02:00-06:00 UTC", "soon due_soon 30d due 45d 20d",
		"later scheduled 30d due 365d", "by_hand not_made 10d", "none none 30d", "never never 30d", "url follows 30d",
	}
	if !slices.Equal(got, want) || s.Overdue != 2 || s.DueSoon != 1 {
		t.Errorf("%d overdue, %d due soon:\n%s\nwant\n%s", s.Overdue, s.DueSoon, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	one := planner.Rotation(w.Load(), snapshotOf(t, w), w.Now, func(a addr.Address) bool { return a.Name == "soon" })
	if len(one.Secrets) != 1 || one.Overdue != 0 || one.DueSoon != 1 {
		t.Errorf("picked: %+v", one)
	}
	// A clock that stands before the value was made makes no age below zero.
	early := planner.Rotation(w.Load(), snapshotOf(t, w), plannertest.Start.Add(-time.Hour), everything)
	for _, r := range early.Secrets {
		if r.AgeSeconds != nil && *r.AgeSeconds != 0 {
			t.Errorf("%s is %d seconds old before it was made", r.Address, *r.AgeSeconds)
		}
	}
}

// A plan of a day to come shows what is due then, as of then alone: what else
// the clock decides is decided now. It is never applied.
func TestPlanAtADayToCome(t *testing.T) {
	w := full(t).Configure(app(sec("key", "value = random_hex()", monthly("regenerate")) + sec("told", "value = random_hex()", monthly("")) +
		sec("waits", "value = random_hex()", "rotation {", `  every = "30d"`, `  strategy = "regenerate"`, `  window = "02:00-03:00 UTC"`, "}")))
	w.Apply()
	as := func(t time.Time) plannertest.Option { return func(o *planner.DiffOptions) { o.At = t } }
	expect(t, w.Plan(as(w.Now.Add(20*day))))
	then := w.Now.Add(31 * day)
	p := w.Plan(as(then))
	expect(t, p, "rotate "+key+" rotation_due new-value", "note "+at("told")+" rotation_due", "note "+at("waits")+" rotation_due")
	if !p.At.Equal(then) || !p.CreatedAt.Equal(w.Now) {
		t.Errorf("at %v, created at %v", p.At, p.CreatedAt)
	}
	night := time.Date(then.Year(), then.Month(), then.Day(), 2, 30, 0, 0, time.UTC).Add(day)
	expect(t, w.Plan(as(night)), "rotate "+key+" rotation_due new-value", "rotate "+at("waits")+" rotation_due new-value", "note "+at("told")+" rotation_due")
	look := w.Look(as(then))
	if _, err := applyPlan(w, look); err == nil || !strings.Contains(err.Error(), "plan again without -at") {
		t.Errorf("applied: %v", err)
	}
	expect(t, w.Plan())
}

// The rotation status and the plan say the same about what is due, whatever the
// time: the rule is one.
func TestRotationStatusAgreesWithThePlan(t *testing.T) {
	w := full(t).Configure(app(sec("a", "value = random_hex()", monthly("regenerate")) + sec("b", "value = random_hex()", monthly("manual")) +
		sec("c", "value = random_hex()", "rotation {", `  every = "10d"`, `  notify_before = "3d"`, "}") + sec("d", "value = random_hex()")))
	w.Apply()
	states := map[planner.RotationState]bool{}
	for hours := 0; hours < 40*24; hours += 5 {
		w.Now = plannertest.Start.Add(time.Duration(hours) * time.Hour)
		due := map[string]bool{}
		p := w.Plan()
		for _, c := range p.Changes {
			due[c.Address.String()] = c.Reason == planner.ReasonRotationDue
		}
		for _, n := range p.Notes {
			due[n.Address.String()] = n.Reason == planner.ReasonRotationDue
		}
		for _, r := range rotation(t, w).Secrets {
			states[r.State] = true
			if r.Overdue != due[r.Address.String()] || r.Overdue != (r.State == planner.RotationOverdue) {
				t.Fatalf("after %dh %s is %s, the plan says due: %v", hours, r.Address, r.State, due[r.Address.String()])
			}
		}
	}
	for _, s := range []planner.RotationState{planner.RotationOverdue, planner.RotationDueSoon, planner.RotationScheduled, planner.RotationNone} {
		if !states[s] {
			t.Errorf("no secret was ever %s", s)
		}
	}
}

func rotation(t *testing.T, w *plannertest.World) *planner.RotationStatus {
	t.Helper()
	return planner.Rotation(w.Load(), snapshotOf(t, w), w.Now, everything)
}

func snapshotOf(t *testing.T, w *plannertest.World) *state.Snapshot {
	t.Helper()
	s, err := w.State.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s
}
