package render_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"

	"github.com/cofferhq/coffer/internal/render"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/state"
)

// placing says how a hostile string is put into the n-th text of a thing, which
// has a number beside it so that no two are alike.
type placing struct {
	name  string
	place func(h string, n int) string
}

// placings are the variants of every string: among words and at the ends of a text,
// of a line and of a row, twice, in pieces, and in what a person copies.
func placings() []placing {
	beside := func(h string, n int) string {
		if n%2 == 0 {
			return h + nth(n)
		}
		return nth(n) + h
	}
	return []placing{
		{"beside a number", beside},
		{"among words", func(h string, n int) string { return "text " + h + " text " + nth(n) }},
		{"on a line of its own", func(h string, n int) string { return nth(n) + "\n" + h + "\n" }},
		{"after blanks", func(h string, n int) string { return "  " + h + "  " + nth(n) }},
		{"twice", func(h string, n int) string { return h + nth(n) + h }},
		{"half in one text, half in the next", func(h string, n int) string {
			if n%2 == 0 {
				return nth(n) + h[:len(h)/2]
			}
			return h[len(h)/2:] + nth(n)
		}},
		{"at the end of a row", func(h string, n int) string { return beside(strings.Repeat("x", 66+n%16)+h, n) }},
		{"in a command to copy", func(h string, n int) string { return "run `coffer accept '" + h + "'`, " + nth(n) }},
	}
}

// nth is a number in letters: a word of its own beside punctuation.
func nth(n int) string {
	if n < 26 {
		return string(rune('a' + n))
	}
	return nth(n/26-1) + nth(n%26)
}

// hole is what fill puts where a hostile text goes.
const hole = "\u00a7"

// thing returns a T whose every text is hostile, but for those of closed lists.
func thing[T any](h string, p placing) T {
	v := fillNew[T](filler{text: hole, closed: true})
	n := 0
	plug(reflect.ValueOf(v).Elem(), func(string) string { n++; return p.place(h, n) })
	return *v
}

// plug puts texts into the holes of v.
func plug(v reflect.Value, text func(string) string) {
	switch v.Kind() {
	case reflect.String:
		if strings.HasPrefix(v.String(), hole) {
			v.SetString(text(v.String()))
		}
	case reflect.Pointer:
		if !v.IsNil() {
			plug(v.Elem(), text)
		}
	case reflect.Slice:
		for i := range v.Len() {
			plug(v.Index(i), text)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				plug(v.Field(i), text)
			}
		}
	case reflect.Map:
		whole := reflect.MakeMap(v.Type())
		for _, key := range v.MapKeys() {
			k, e := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			k.Set(key)
			e.Set(v.MapIndex(key))
			plug(k, text)
			plug(e, text)
			whole.SetMapIndex(k, e)
		}
		v.Set(whole)
	}
}

// shapes are the closed lists by which printers tell one thing from another.
type shapes struct {
	actions, reasons, drift, rotation []string
}

func newShapes(t *testing.T) shapes {
	t.Helper()
	s := shapes{
		constants(t, "planner", "Action"), constants(t, "planner", "Reason"), constants(t, "planner", "DriftKind"), constants(t, "planner", "RotationState"),
	}
	if len(s.actions) < 11 || len(s.reasons) < 24 || len(s.drift) < 9 || len(s.rotation) < 7 {
		t.Fatalf("the lists are short: %+v", s)
	}
	return s
}

// everything holds one batch of texts, each in all texts of one thing of each kind.
type everything struct {
	plan     *planner.Plan
	report   *planner.DriftReport
	rotation *planner.RotationStatus
	apply    render.ApplySummary
	doctor   []render.Checkup
	snapshot *state.Snapshot
	findings hcl.Diagnostics
	files    map[string]*hcl.File
}

func pick(list []string, i int) string { return list[i%len(list)] }

// newEverything gives the things of the batch other shapes each, and those of the
// next batch the next ones, so that every shape meets every class of string.
func newEverything(s shapes, batch int, texts []string, p placing) *everything {
	first := texts[0]
	plan, report, rotation := thing[planner.Plan](first, p), thing[planner.DriftReport](first, p), thing[planner.RotationStatus](first, p)
	snapshot, apply := thing[state.Snapshot](first, p), thing[render.ApplySummary](first, p)
	e := &everything{plan: &plan, report: &report, rotation: &rotation, apply: apply, snapshot: &snapshot, files: map[string]*hcl.File{}}
	plan.Changes, plan.Notes, plan.Checks, plan.Diagnostics = nil, nil, nil, nil
	report.Drift, report.Notes, report.Checks, report.Diagnostics = nil, nil, nil, nil
	rotation.Secrets, e.apply.Failed, e.apply.Skipped, e.apply.Conflicts = nil, nil, nil, nil
	for j, h := range texts {
		i := batch*len(texts) + j
		e.add(s, batch, i, h, p)
	}
	plan.Checks, report.Checks = append(plan.Checks, report.Checks...), plan.Checks
	return e
}

func (e *everything) add(s shapes, batch, i int, h string, p placing) {
	reason := func(skip int) planner.Reason { return planner.Reason(pick(s.reasons, i+batch+skip)) }
	c := thing[planner.Change](h, p)
	c.Action, c.Reason = planner.Action(pick(s.actions, i)), reason(0)
	shapeChange(&c, i, h, p)
	d := thing[planner.Drift](h, p)
	d.Kind = planner.DriftKind(pick(s.drift, i+batch))
	if d.Location.Kind = pick(objectKinds(), i); i%3 == 0 {
		d.VersionRecorded, d.Range = "", nil
	}
	d.Before, d.After = documents(h, i, p)
	note := thing[planner.Note](h, p)
	if note.Reason = reason(7); i%4 == 0 {
		note.Address = addr.Address{} // about everything
	}
	check := thing[planner.CheckState](h, p)
	check.Holds = i%3 == 0
	found := thing[planner.Diagnostic](h, p)
	if i%2 == 0 {
		found.Severity, found.Rule = planner.SeverityWarning, ""
	}
	if i%3 == 0 {
		found.Address = nil
	}
	clock := thing[planner.SecretRotation](h, p)
	clock.State = planner.RotationState(pick(s.rotation, i+batch))
	clock.Overdue = clock.State == planner.RotationOverdue
	failed := thing[render.Outcome](h, p)
	failed.Action = c.Action
	if i%3 == 0 {
		failed.Common = ""
	}
	checkup := thing[render.Checkup](h, p)
	checkup.Of = "vault" // a name, as an address
	for n := range checkup.Findings {
		checkup.Findings[n].Status = pick([]string{render.FindingOK, render.FindingWarning, render.FindingError}, i+n)
	}
	e.plan.Changes, e.plan.Notes, e.plan.Checks = append(e.plan.Changes, c), append(e.plan.Notes, note), append(e.plan.Checks, check)
	e.plan.Diagnostics, e.report.Diagnostics = append(e.plan.Diagnostics, found), append(e.report.Diagnostics, found)
	e.report.Drift, e.report.Notes = append(e.report.Drift, d), append(e.report.Notes, note)
	e.rotation.Secrets = append(e.rotation.Secrets, clock)
	e.apply.Failed, e.apply.Skipped, e.apply.Conflicts = append(e.apply.Failed, failed), append(e.apply.Skipped, failed), append(e.apply.Conflicts, failed)
	e.doctor = append(e.doctor, checkup)
	diags := hostileDiagnostics(p.place(h, i))
	e.findings = append(e.findings, diags...)
	name := diags[0].Subject.Filename
	e.files[name] = &hcl.File{Bytes: []byte(name + name + name)}
}

func objectKinds() []string {
	return []string{"secret", "recipients", "binding", "policy", "role", "mount", "entity", "kubernetes_secret", ""}
}

// shapeChange makes what printers tell apart of a change: what it is about, what
// it does to a value, and where it stands.
func shapeChange(c *planner.Change, i int, h string, p placing) {
	c.Location.Kind = pick(objectKinds(), i)
	switch c.Location.Kind {
	case "secret", "kubernetes_secret", "":
		c.Role = pick([]string{state.RolePrimary, state.RoleReplica}, i/2)
		c.Before, c.After = "", ""
	case "binding":
		c.Location.Path = p.place(h, i) + " " + p.place(h, i+1)
		fallthrough
	default:
		c.Role, c.Fields = state.RoleObject, nil
		c.Before, c.After = documents(h, i, p)
	}
	c.NewValue, c.Confirmed, c.ReadsValue = i%3 == 0, i%5 == 0, i%7 == 0
	if c.Reason == planner.ReasonRotationDue {
		c.Detail = "due since 2026-10-02 " + c.Detail
	}
	if i%4 == 0 {
		c.From = nil
	}
	if i%6 == 0 {
		c.Range = nil
	}
}

// documents are two versions of an object's text.
func documents(h string, i int, p placing) (before, after string) {
	lines := []string{p.place(h, i), "same", p.place(h, i+1) + "\n", h}
	switch i % 4 {
	case 0:
		return "", strings.Join(lines, "\n")
	case 1:
		return strings.Join(lines, "\n"), strings.Join(lines[1:], "\n")
	case 2:
		return strings.Join(lines[1:], "\n"), strings.Join(lines, "\n")
	}
	return strings.Join(lines, "\n"), ""
}
