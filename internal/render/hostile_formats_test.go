package render_test

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/cofferhq/coffer/internal/render"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/providers/providertest/hostile"
)

// product is one way of what is in e to a sink, with what must hold of it.
type product struct {
	name  string
	write func(io.Writer) error
	check func(out []byte) error
}

// shown is what must hold of a text for people: see onScreen.
func shown(columns int, color bool) func([]byte) error {
	return func(out []byte) error {
		rows, err := onScreen(string(out), columns, color)
		if err == nil {
			_, err = terminal(string(out), color) // which knows the commands of CI systems
		}
		if err == nil && columns == 80 && !color {
			err = lines(string(out))
		}
		if err == nil {
			err = notForged(string(out), rows)
		}
		return err
	}
}

func (e *everything) texts() []product {
	var all []product
	for _, s := range []render.Style{{}, {Color: true, Width: 132}} {
		add := func(name string, write func(io.Writer) error) {
			columns := 80
			if s.Width > 0 {
				columns, name = s.Width, name+" in colour"
			}
			all = append(all, product{name, write, shown(columns, s.Color)})
		}
		add("plan", func(w io.Writer) error { return render.PlanText(w, e.plan, s) })
		add("drift", func(w io.Writer) error { return render.DriftText(w, e.report, s) })
		add("apply", func(w io.Writer) error { return render.ApplyText(w, e.apply, s) })
		add("rotation", func(w io.Writer) error { return render.RotationText(w, e.rotation, s) })
		add("doctor", func(w io.Writer) error { return render.DoctorText(w, e.doctor, s) })
		add("diagnostics", func(w io.Writer) error { return render.DiagnosticsText(w, e.findings, e.files, s) })
		add("state", func(w io.Writer) error { return render.StateText(w, e.snapshot, s) })
	}
	return all
}

// documents for programs are held against their schemas, too.
func (e *everything) jsons(compiled map[string]*jsonschema.Schema) []product {
	of := func(name string, write func(io.Writer) error) product {
		return product{name + " json", write, func(out []byte) error {
			if _, err := terminal(string(out), false); err != nil {
				return err
			}
			doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(out))
			if err != nil {
				return err
			}
			return compiled[name].Validate(doc)
		}}
	}
	return []product{
		of("plan", func(w io.Writer) error { return render.PlanJSON(w, e.plan) }),
		of("drift", func(w io.Writer) error { return render.DriftJSON(w, e.report) }),
		of("apply", func(w io.Writer) error { return render.ApplyJSON(w, e.apply) }),
		of("rotation", func(w io.Writer) error { return render.RotationJSON(w, e.rotation) }),
		of("doctor", func(w io.Writer) error { return render.DoctorJSON(w, "plan", e.doctor, e.plan.Diagnostics) }),
		of("diagnostics", func(w io.Writer) error { return render.DiagnosticsJSON(w, e.findings) }),
		of("state", func(w io.Writer) error { return render.StateJSON(w, e.snapshot) }),
	}
}

// endOfWord and endOfNumber are punctuation that is no syntax of Markdown, of which
// the check of comments knows only what our own words end in.
var (
	endOfWord   = regexp.MustCompile(`(\pL)[.,;:!?]+(\s|$)`)
	endOfNumber = regexp.MustCompile(`([0-9])(?:[.,;:!?]{2,}|[!?])(\s|$)`)
)

func (e *everything) comments(first string) []product {
	o := render.MarkdownOptions{Marker: first, Digest: first, HowToSee: first}
	short := o
	short.Limit = 20_000
	check := func(out []byte) error {
		if _, err := terminal(strings.ReplaceAll(string(out), "\t", " "), false); err != nil {
			return err
		}
		return plainMarkdown(endOfNumber.ReplaceAll(endOfWord.ReplaceAll(out, []byte("$1.$2")), []byte("$1,$2")))
	}
	return []product{
		{"plan comment", planMarkdown(e.plan, o), check},
		{"short plan comment", planMarkdown(e.plan, short), check},
		{"drift comment", func(w io.Writer) error { return render.DriftMarkdown(w, e.report, o) }, check},
		{"rotation comment", func(w io.Writer) error { return render.RotationMarkdown(w, e.rotation, o) }, check},
		{"apply comment", func(w io.Writer) error { return render.ApplyMarkdown(w, e.apply, o) }, check},
		{"validate comment", func(w io.Writer) error {
			return render.DiagnosticsMarkdown(w, &render.Findings{Command: "validate", Project: first, At: noon, Diagnostics: e.findings}, o)
		}, check},
	}
}

func (e *everything) pages(first string) []product {
	o := render.HTMLOptions{Digest: first, Rotation: e.rotation}
	check := func(out []byte) error {
		if _, err := terminal(strings.ReplaceAll(withoutOurs(string(out)), "\t", " "), false); err != nil {
			return err
		}
		return plainHTML(out)
	}
	return []product{
		{"plan page", func(w io.Writer) error { return render.PlanHTML(w, e.plan, o) }, check},
		{"drift page", func(w io.Writer) error { return render.DriftHTML(w, e.report, o) }, check},
		{"rotation page", func(w io.Writer) error { return render.RotationHTML(w, e.rotation, o) }, check},
		{"validate page", func(w io.Writer) error {
			return render.DiagnosticsHTML(w, &render.Findings{Command: "validate", Project: first, At: noon, Diagnostics: e.findings})
		}, check},
	}
}

func (e *everything) reports(first string, check map[string]func([]byte) error) []product {
	var all []product
	o := render.ReportOptions{Dir: first, File: first, Version: first, Unchanged: []addr.Address{{App: first, Name: first, Kind: "secret"}}}
	for name, rep := range map[string]*render.Report{
		"plan": render.ReportOfPlan(e.plan), "drift": render.ReportOfDrift(e.report), "rotation": render.ReportOfRotation(e.rotation),
		"apply": render.ReportOfApply(e.apply), "validate": render.ReportOfDiagnostics("validate", noon, e.findings),
	} {
		for ending, write := range reportWriters() {
			all = append(all, product{name + "." + ending, func(w io.Writer) error { return write(w, rep, o) }, func(out []byte) error {
				if err := check[ending](out); err != nil {
					return err
				}
				if ending == "github.txt" { // its check has looked at each command
					out = bytes.ReplaceAll(append([]byte("\n"), out...), []byte("\n::"), []byte("\n"))
				}
				_, err := terminal(string(out), false)
				return err
			}})
		}
	}
	return all
}

// TestHostileEverywhere puts every hostile string, in every variant, into every
// text of things of every shape, and these through every format: a terminal shows
// the lines and does nothing else, documents are valid, comments and pages have no
// element, link or command of somebody else. In the gate each variant of a string
// goes through one format in everyNth, so that its variants together meet them all.
func TestHostileEverywhere(t *testing.T) {
	s, check, compiled := newShapes(t), checkers(t), map[string]*jsonschema.Schema{}
	for _, name := range []string{"plan", "drift", "apply", "rotation", "doctor", "diagnostics", "state"} {
		compiled[name] = schema(t, name)
	}
	for v, p := range placings() {
		batch := 0
		for texts := range slices.Chunk(shortStrings(), 11) {
			e := newEverything(s, batch, texts, p)
			for i, out := range slices.Concat(e.texts(), e.jsons(compiled), e.comments(texts[0]), e.pages(texts[0]), e.reports(texts[0], check)) {
				if (i+batch+v)%everyNth > 0 {
					continue
				}
				var b bytes.Buffer
				err := out.write(&b)
				if err == nil {
					err = out.check(b.Bytes())
				}
				if err != nil {
					t.Errorf("%s, strings %.300q, %s: %v", p.name, texts, out.name, err)
				}
			}
			batch++
		}
	}
}

func shortStrings() []string {
	return slices.DeleteFunc(hostileStrings(), func(h string) bool { return len(h) > 4<<10 })
}

// TestHostileCuts: wherever a text or a line is cut, what is left of a hostile
// string does no more than the whole.
func TestHostileCuts(t *testing.T) {
	const maxText, maxLine = 4 << 10, 64 << 10 // apart from the code
	for i, h := range shortStrings() {
		var out bytes.Buffer
		w := render.NewWriter(&out, render.Style{})
		for _, before := range []int{0, 1, 2, 3, len(h) / 2, len(h) - 1} {
			if before >= 0 && before < maxText {
				fmt.Fprintln(w, render.Sanitize(strings.Repeat("y", maxText-before)+h))
			}
		}
		if i%4 == 0 {
			fmt.Fprintln(w, strings.Repeat("y", maxLine-len(h)/2)+strings.ReplaceAll(h, "\n", "")+" end")
		}
		if _, err := onScreen(out.String(), 80, false); err != nil {
			t.Errorf("%.40q: %v", h, err)
		}
	}
}

// TestHostileMegabytes: the longest strings leave in every format something that
// can be looked at.
func TestHostileMegabytes(t *testing.T) {
	s, check, compiled := newShapes(t), checkers(t), map[string]*jsonschema.Schema{"plan": schema(t, "plan")}
	for i, h := range hostile.Long() {
		e := newEverything(s, i, []string{"a", "b"}, placing{"alone", func(string, int) string { return nth(i) }})
		c, d := &e.plan.Changes[0], &e.report.Drift[0]
		c.Detail, c.Location.Path, c.Before, c.After, d.Detail, d.ChangedBy = h, h, h, h+"\nmore", h, h
		e.plan.Notes[0].Text, e.plan.Checks[0].Message, e.plan.Diagnostics[0].Detail = h, h, h
		e.apply.Failed[0].Err = h // what a platform says is cut long before
		for _, out := range slices.Concat(e.texts()[:3], e.jsons(compiled)[:1], e.comments("a")[1:2], e.pages("a")[:1], e.reports("a", check)) {
			var b bytes.Buffer
			err := out.write(&b)
			if err == nil {
				err = out.check(b.Bytes())
			}
			if err == nil && b.Len() > 1<<20 && !strings.HasSuffix(out.name, "json") {
				err = fmt.Errorf("%d bytes", b.Len())
			}
			if err != nil {
				t.Errorf("%.20q, %s: %v", h, out.name, err)
			}
		}
	}
}
