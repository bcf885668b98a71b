package render_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/text"

	"github.com/cofferhq/coffer/internal/render"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
)

const githubLimit = 65536

func planMarkdown(p *planner.Plan, o render.MarkdownOptions) func(io.Writer) error {
	return func(w io.Writer) error { return render.PlanMarkdown(w, p, o) }
}

// TestGoldenComments shows each kind of comment and page: read testdata.
func TestGoldenComments(t *testing.T) {
	for name, write := range map[string]func(io.Writer) error{
		"plan-3.md":          planMarkdown(threeChanges(), render.MarkdownOptions{Marker: "prod", Digest: "sha256:5f0c", Limit: githubLimit}),
		"plan-300.md":        planMarkdown(manyChanges(), render.MarkdownOptions{}),
		"plan-apps.md":       planMarkdown(manyApps(), render.MarkdownOptions{}),
		"plan-review.md":     planMarkdown(review(), render.MarkdownOptions{}),
		"plan-nothing.md":    planMarkdown(nothing(), render.MarkdownOptions{}),
		"plan-notes.md":      planMarkdown(notesOnly(), render.MarkdownOptions{}),
		"plan-outage.md":     planMarkdown(outage(), render.MarkdownOptions{}),
		"plan-recipients.md": planMarkdown(recipients(), render.MarkdownOptions{}),
		"plan-cut.md":        planMarkdown(review(), render.MarkdownOptions{Limit: 9000, HowToSee: "The job keeps `plan.html`, which has everything"}),
		"drift.md":           func(w io.Writer) error { return render.DriftMarkdown(w, driftReport(), render.MarkdownOptions{}) },
		"drift-objects.md":   func(w io.Writer) error { return render.DriftMarkdown(w, objectDrift(), render.MarkdownOptions{}) },
		"drift-nothing.md":   func(w io.Writer) error { return render.DriftMarkdown(w, emptyDrift(), render.MarkdownOptions{}) },
		"rotation.md":        func(w io.Writer) error { return render.RotationMarkdown(w, rotations(), render.MarkdownOptions{}) },
		"rotation-calm.md": func(w io.Writer) error {
			return render.RotationMarkdown(w, calmRotations(), render.MarkdownOptions{Undated: true})
		},
		"rotation.html":       func(w io.Writer) error { return render.RotationHTML(w, rotations(), render.HTMLOptions{}) },
		"validate.md":         func(w io.Writer) error { return render.DiagnosticsMarkdown(w, findings(), render.MarkdownOptions{}) },
		"validate-valid.md":   func(w io.Writer) error { return render.DiagnosticsMarkdown(w, noFindings(), render.MarkdownOptions{}) },
		"validate.html":       func(w io.Writer) error { return render.DiagnosticsHTML(w, findings()) },
		"validate-valid.html": func(w io.Writer) error { return render.DiagnosticsHTML(w, noFindings()) },
		"validate-pin.txt": func(w io.Writer) error {
			return render.DiagnosticsText(w, findings().Diagnostics[3:], nil, render.Style{Width: 80})
		},
		"apply.md": func(w io.Writer) error {
			return render.ApplyMarkdown(w, applySummary(), render.MarkdownOptions{Digest: "sha256:5f0c"})
		},
		"plan-review.html": planHTML(review()),
		"plan-calendar.html": func(w io.Writer) error {
			return render.PlanHTML(w, threeChanges(), render.HTMLOptions{Rotation: rotations()})
		},
		"drift-objects.html": func(w io.Writer) error { return render.DriftHTML(w, objectDrift(), render.HTMLOptions{}) },
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := write(&out); err != nil {
				t.Fatal(err)
			}
			golden(t, name, ownParts.ReplaceAll(out.Bytes(), []byte("$1…$2")))
		})
	}
}

// findings are those of diagnostics, and a difference from a trusted copy.
func findings() *render.Findings {
	ds, _ := diagnostics()
	ds = append(ds, &hcl.Diagnostic{
		Severity: hcl.DiagError, Summary: "Another provider vault than the trusted copy has",
		Subject: &hcl.Range{Filename: "coffer.hcl", Start: hcl.Pos{Line: 8, Column: 3, Byte: -1}, End: hcl.Pos{Line: 8, Column: 3, Byte: -1}},
		Detail: "provider vault is not the one at coffer.hcl:7 of the trusted copy: address differs. It decides where credentials and values go, so nothing is planned against it.\n\n" +
			"--- trusted copy, coffer.hcl:7\n+++ here, coffer.hcl:7\n provider \"vault\" {\n-  address = \"https://vault.example:8200\"\n" +
			"+  address = \"https://a-host-with-a-name-that-is-longer-than-what-fits-into-the-line-of-a-terminal.example:8200\"\n   mount = \"secret\"\n }",
	})
	return &render.Findings{Command: "validate", Project: "payments-7c1f", At: noon, Secrets: 12, Environments: 3, Diagnostics: ds}
}

func noFindings() *render.Findings {
	return &render.Findings{Command: "validate", Project: "payments-7c1f", At: noon, Secrets: 12, Environments: 1}
}

// calmRotations are those of rotations that need nothing.
func calmRotations() *planner.RotationStatus {
	status := rotations()
	status.Secrets, status.Overdue, status.DueSoon = status.Secrets[3:], 0, 0
	return status
}

// ownParts are the style and the script of a page, which are the same in every
// one and have files of their own, and the hashes of both.
var ownParts = regexp.MustCompile(`(?s)(<style>|<script>|sha256-).*?(</style>|</script>|&#39;)`)

// comments are all the ways from hostile text to a comment.
func comments(h string) map[string]func(io.Writer) error {
	out := map[string]func(io.Writer) error{}
	o := render.MarkdownOptions{Marker: h, Digest: h, HowToSee: h, Limit: githubLimit}
	for _, closed := range []bool{false, true} {
		if len(h) > 4<<10 && !closed {
			continue // slow, and nothing new
		}
		f := filler{text: h, closed: closed}
		plan, report := fillNew[planner.Plan](f), fillNew[planner.DriftReport](f)
		name := fmt.Sprintf("closed=%v ", closed)
		out[name+"plan"] = planMarkdown(plan, o)
		out[name+"drift"] = func(w io.Writer) error { return render.DriftMarkdown(w, report, o) }
		out[name+"many"] = planMarkdown(manyHostile(plan), o)
		rotation, apply := fillNew[planner.RotationStatus](f), *fillNew[render.ApplySummary](f)
		out[name+"rotation"] = func(w io.Writer) error { return render.RotationMarkdown(w, rotation, o) }
		out[name+"apply"] = func(w io.Writer) error { return render.ApplyMarkdown(w, apply, o) }
		out[name+"whole"] = planMarkdown(plan, render.MarkdownOptions{})
		grants, moved := *plan, *plan
		grants.Changes = []planner.Change{plan.Changes[0]}
		grants.Changes[0].Location = planner.Location{Provider: h, Kind: "binding", Path: h + " " + h}
		moved.Changes = []planner.Change{plan.Changes[0]}
		moved.Changes[0].Action, moved.Changes[0].Reason, moved.Changes[0].Location.Kind = planner.Update, planner.ReasonSourceChanged, "recipients"
		out[name+"grant"] = planMarkdown(&grants, o)
		found := &render.Findings{Command: "validate", Project: h, At: noon, Diagnostics: hostileDiagnostics(h)}
		out[name+"findings"] = func(w io.Writer) error { return render.DiagnosticsMarkdown(w, found, o) }
		out[name+"update"] = planMarkdown(&moved, o)
	}
	return out
}

// TestHostileComments: a parser of CommonMark, with what GitHub adds, finds in a
// comment our own headings, lists, code and folded sections, and nothing else.
func TestHostileComments(t *testing.T) {
	for i, h := range hostileStrings() {
		for name, write := range comments(h) {
			var out bytes.Buffer
			if err := write(&out); err != nil {
				t.Fatalf("%d %s: %v", i, name, err)
			}
			if _, err := terminal(strings.ReplaceAll(out.String(), "\t", " "), false); err != nil {
				t.Errorf("string %d %.40q, %s: %v", i, h, name, err)
			}
			if err := plainMarkdown(out.Bytes()); err != nil {
				t.Errorf("string %d %.40q, %s: %v", i, h, name, err)
			}
			if !strings.Contains(name, "whole") && out.Len() > githubLimit {
				t.Errorf("string %d %.40q, %s: %d bytes", i, h, name, out.Len())
			}
		}
	}
}

var (
	oursInHTML = regexp.MustCompile(`^(<!-- coffer:[A-Za-z0-9_.%~-]*:[A-Za-z0-9_.%~-]* -->|<details>|</details>|<summary>([^<>@]|<code>[^<>]*</code>)*</summary>)$`)
	// proseWord is written down apart from the code that it tests.
	proseWord = regexp.MustCompile(`^(\(?[\p{L}][\p{L}'-]*[)]?[.,;:!?]*|\(?[0-9]{1,6}\)?[.,;:]?|[0-9]{4}-[0-9]{2}-[0-9]{2},?|[0-9]{2}:[0-9]{2}|→|[.,;:)(]+)$`)
	commit    = regexp.MustCompile(`^[0-9a-f]{7,}$`)
)

// plainMarkdown looks at a comment as a forge does.
func plainMarkdown(src []byte) error {
	doc := goldmark.New(goldmark.WithExtensions(extension.GFM)).Parser().Parse(text.NewReader(src))
	depth, headings := 0, 0
	err := ast.Walk(doc, func(n ast.Node, in bool) (ast.WalkStatus, error) {
		if !in {
			return ast.WalkContinue, nil
		}
		switch n := n.(type) {
		case *ast.Document, *ast.Paragraph, *ast.TextBlock, *ast.List, *ast.ListItem, *ast.Emphasis:
			if l, ok := n.(*ast.List); ok && l.Marker != '-' {
				return ast.WalkStop, errors.New("a list of somebody else")
			}
		case *ast.CodeSpan:
			return ast.WalkSkipChildren, nil
		case *ast.FencedCodeBlock:
			if info := string(n.Language(src)); info != "diff" || src[n.Info.Segment.Start-1] != '`' {
				return ast.WalkStop, fmt.Errorf("a block of code that says %q", info)
			}
		case *ast.Heading:
			headings++
		case *ast.HTMLBlock:
			var err error
			if depth, err = ourHTML(n, src, depth); err != nil {
				return ast.WalkStop, err
			}
		case *ast.Text:
			for word := range strings.FieldsSeq(string(n.Segment.Value(src))) {
				if !proseWord.MatchString(word) || commit.MatchString(word) {
					return ast.WalkStop, fmt.Errorf("the word %.60q is not code", word)
				}
			}
		default:
			return ast.WalkStop, fmt.Errorf("a %s", n.Kind())
		}
		return ast.WalkContinue, nil
	})
	if err == nil && (headings != 1 || depth != 0) {
		err = fmt.Errorf("%d headings, %d sections left open", headings, depth)
	}
	if err == nil && !utf8.Valid(src) {
		err = errors.New("invalid UTF-8")
	}
	return err
}

func ourHTML(n *ast.HTMLBlock, src []byte, depth int) (int, error) {
	lines := string(n.Lines().Value(src))
	if n.HasClosure() {
		lines += string(n.ClosureLine.Value(src))
	}
	for line := range strings.Lines(lines) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case !oursInHTML.MatchString(line):
			return depth, fmt.Errorf("HTML that is not ours: %.80q", line)
		case line == "<details>":
			depth++
		case line == "</details>":
			depth--
		}
		if depth < 0 || depth > 1 {
			return depth, fmt.Errorf("sections inside one another at %.80q", line)
		}
	}
	return depth, nil
}

// TestCommentCheckerSees proves that the check above finds what it looks for.
func TestCommentCheckerSees(t *testing.T) {
	const head = "<!-- coffer:a:plan -->\n### Coffer plan: none\n\n"
	if err := plainMarkdown([]byte(head + "- fine `@code`\n\n<details>\n<summary><code>@a</code>: 1</summary>\n\ntext\n\n</details>\n")); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{
		"[a](b)", "<b>x</b>", "text <b>x</b>", "https://example.test", "www.example.test", "a@example.test", "@everyone", "fixes #1", "!2",
		"![a](b)", "```\nopen", "~~~diff\nx\n~~~", "    indented", "## other", "1. one", "* star", "> quote", "| a |\n|---|\n| b |", "~~x~~", "- [ ] x",
		"***", "deadbeefcafe", "a\\@b", "&#64;all", "<details>", "</details>", "<details>\n<summary>@a</summary>\n\n</details>", "x_y_",
		"<details>\n<summary><b>a</b></summary>\n\n</details>", "<!-- other -->", ":tada:",
	} {
		if plainMarkdown([]byte(head+bad+"\n")) == nil {
			t.Errorf("%q passes", bad)
		}
	}
}

// TestCommentLimit: whatever the limit, a comment is within it, every section is
// whole, and what is not there is counted.
func TestCommentLimit(t *testing.T) {
	var whole bytes.Buffer
	if err := planMarkdown(review(), render.MarkdownOptions{})(&whole); err != nil {
		t.Fatal(err)
	}
	marker := render.Marker(review().Project, "plan")
	for limit := 600; limit < whole.Len()+200; limit += 97 {
		var out bytes.Buffer
		if err := planMarkdown(review(), render.MarkdownOptions{Limit: limit, HowToSee: "`coffer show plan.out`"})(&out); err != nil {
			t.Fatal(err)
		}
		cut := strings.Contains(out.String(), "**Not shown here:** ")
		switch {
		case out.Len() > limit:
			t.Errorf("limit %d: %d bytes", limit, out.Len())
		case cut == (limit >= whole.Len()):
			t.Errorf("limit %d of %d: cut is %v", limit, whole.Len(), cut)
		case cut && !strings.HasSuffix(out.String(), fmt.Sprintf("to stay within %d bytes. `coffer show plan.out`.\n", limit)):
			t.Errorf("limit %d: the last line says not what was cut:\n%s", limit, out.String())
		case !strings.HasPrefix(out.String(), marker+"\n### Coffer plan: "):
			t.Errorf("limit %d: the marker or the title is gone", limit)
		case !cut && !bytes.Equal(out.Bytes(), whole.Bytes()):
			t.Errorf("limit %d changes what fits", limit)
		}
		if err := plainMarkdown(out.Bytes()); err != nil {
			t.Errorf("limit %d: %v", limit, err)
		}
	}
}

// TestLargeComment: of 2,000 changes the first screen and the worst fit into a
// comment of either forge, and it says what is not there.
func TestLargeComment(t *testing.T) {
	for _, limit := range []int{githubLimit, 1_000_000} {
		var out bytes.Buffer
		if err := planMarkdown(bigPlan(), render.MarkdownOptions{Limit: limit})(&out); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"**20 deletes**", "**20 new values**, in place", "<code>app.team-00</code>"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("limit %d: %s is not there", limit, want)
			}
		}
		if err := plainMarkdown(out.Bytes()); err != nil || out.Len() > limit {
			t.Errorf("limit %d: %d bytes, %v", limit, out.Len(), err)
		}
		first, _, _ := strings.Cut(out.String(), "<details>")
		if lines := strings.Count(first, "\n"); lines > 20 {
			t.Errorf("the first screen has %d lines", lines)
		}
	}
}

// TestNothingIsLost: whatever a change does, a comment without a limit and a page
// have its address.
func TestNothingIsLost(t *testing.T) {
	p := newPlan(0)
	for i, action := range []planner.Action{
		planner.Create, planner.Update, planner.Rotate, planner.Adopt, planner.Rename, planner.Relocate, planner.Restore,
		planner.Delete, planner.Forget, planner.Conflict, planner.Unknown, "later", "",
	} {
		for flags := range 8 {
			c := change(action, planner.ReasonNew, fmt.Sprintf("a%d", i), "dev", fmt.Sprintf("s%d_%d", i, flags))
			c.NewValue, c.ReadsValue = flags&1 > 0, flags&2 > 0
			if flags&4 > 0 {
				c.Fields = map[string]planner.FieldChange{"x": {Op: "drop"}}
			}
			p.Changes = append(p.Changes, c)
		}
	}
	for i := range 30 { // apps with little in them, which are joined
		p.Changes = append(p.Changes, change(planner.Create, planner.ReasonNew, fmt.Sprintf("b%d", i), "dev", fmt.Sprintf("t%d", i)))
		p.Changes[len(p.Changes)-1].Detail = "alone"
	}
	for name, write := range map[string]func(io.Writer) error{"markdown": planMarkdown(p, render.MarkdownOptions{}), "html": planHTML(p)} {
		var out bytes.Buffer
		if err := write(&out); err != nil {
			t.Fatal(err)
		}
		said := strings.ReplaceAll(out.String(), "&#34;", `"`)
		for _, c := range p.Changes {
			if !strings.Contains(said, c.Address.String()) {
				t.Errorf("%s: %s (%s) is not there", name, c.Address, c.Action)
			}
		}
	}
}

// bigPlan is a plan of 40 apps with 50 changes each, no two alike.
func bigPlan() *planner.Plan {
	var changes []planner.Change
	for i := range 2000 {
		action, reason := planner.Create, planner.ReasonNew
		switch i % 100 {
		case 7:
			action, reason = planner.Delete, planner.ReasonRemoved
		case 8:
			action, reason = planner.Rotate, planner.ReasonRotationDue
		}
		c := change(action, reason, fmt.Sprintf("team-%02d", i/50), []string{"dev", "production"}[i%2], fmt.Sprintf("key_%d", i))
		c.Detail = fmt.Sprintf("change %d", i)
		c.Fields = map[string]planner.FieldChange{"user": set(fmt.Sprintf("public(%d)", i)), "password": set("random_password({ length = 32 })")}
		changes = append(changes, c)
	}
	return newPlan(100, changes...)
}

// twoThousandRotations are the clocks of 2,000 secrets in 40 apps.
func twoThousandRotations() *planner.RotationStatus {
	status := rotations()
	few := status.Secrets
	status.Secrets, status.Overdue, status.DueSoon = nil, 0, 0
	for i := range 2000 {
		r := few[i%len(few)]
		r.Address = addr.Secret(fmt.Sprintf("team-%02d", i/50), []string{"dev", "production"}[i%2], fmt.Sprintf("key_%d", i))
		status.Secrets = append(status.Secrets, r)
		status.Overdue += map[planner.RotationState]int{planner.RotationOverdue: 1}[r.State]
		status.DueSoon += map[planner.RotationState]int{planner.RotationDueSoon: 1}[r.State]
	}
	return status
}

// large are the documents of 2,000 things, of every kind and in every format.
func large() map[string]func(io.Writer) error {
	conflicts, apps, plan, status := bigPlan(), bigPlan(), bigPlan(), twoThousandRotations()
	for i := range conflicts.Changes {
		conflicts.Changes[i].Action, conflicts.Changes[i].Reason = planner.Conflict, planner.ReasonChangedOutside
	}
	for i := range apps.Changes {
		apps.Changes[i].Address.App, apps.Changes[i].Action = fmt.Sprintf("app-%d", i), planner.Delete
	}
	drift, apply, found := driftReport(), render.ApplySummary{}, &render.Findings{Command: "validate"}
	drift.Drift = nil
	for i := range plan.Changes {
		c := &plan.Changes[i]
		drift.Drift = append(drift.Drift, planner.Drift{Address: c.Address, Location: c.Location, Kind: planner.DriftChanged, Detail: c.Detail, VersionRecorded: "3", VersionLive: "4", Range: c.Range})
		apply.Failed = append(apply.Failed, render.Outcome{Address: c.Address, Action: c.Action, Err: c.Detail, Next: "look"})
		found.Diagnostics = append(found.Diagnostics, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: fmt.Sprintf("problem %d", i), Detail: c.Detail})
	}
	limit := render.MarkdownOptions{Limit: githubLimit}
	out := map[string]func(io.Writer) error{
		"plan-apps markdown": planMarkdown(apps, limit), "plan-conflicts markdown": planMarkdown(conflicts, limit), "plan-conflicts html": planHTML(conflicts),
		"plan text": func(w io.Writer) error { return render.PlanText(w, plan, render.Style{}) }, "plan json": func(w io.Writer) error { return render.PlanJSON(w, plan) },
		"plan markdown": planMarkdown(plan, limit), "plan html": planHTML(plan),
		"plan-calendar html": func(w io.Writer) error { return render.PlanHTML(w, plan, render.HTMLOptions{Rotation: status}) },
		"drift text":         func(w io.Writer) error { return render.DriftText(w, drift, render.Style{}) }, "drift json": func(w io.Writer) error { return render.DriftJSON(w, drift) },
		"drift markdown": func(w io.Writer) error { return render.DriftMarkdown(w, drift, limit) }, "drift html": func(w io.Writer) error { return render.DriftHTML(w, drift, render.HTMLOptions{}) },
		"rotation text":       func(w io.Writer) error { return render.RotationText(w, status, render.Style{}) },
		"rotation json":       func(w io.Writer) error { return render.RotationJSON(w, status) },
		"rotation markdown":   func(w io.Writer) error { return render.RotationMarkdown(w, status, limit) },
		"rotation html":       func(w io.Writer) error { return render.RotationHTML(w, status, render.HTMLOptions{}) },
		"rotation prometheus": func(w io.Writer) error { return render.RotationPrometheus(w, status) },
		"validate text":       func(w io.Writer) error { return render.DiagnosticsText(w, found.Diagnostics, nil, render.Style{}) },
		"validate json":       func(w io.Writer) error { return render.DiagnosticsJSON(w, found.Diagnostics) },
		"validate markdown":   func(w io.Writer) error { return render.DiagnosticsMarkdown(w, found, limit) },
		"validate html":       func(w io.Writer) error { return render.DiagnosticsHTML(w, found) },
		"apply text":          func(w io.Writer) error { return render.ApplyText(w, apply, render.Style{}) },
		"apply json":          func(w io.Writer) error { return render.ApplyJSON(w, apply) },
		"apply markdown":      func(w io.Writer) error { return render.ApplyMarkdown(w, apply, limit) },
	}
	for name, rep := range map[string]*render.Report{
		"plan": render.ReportOfPlan(conflicts), "drift": render.ReportOfDrift(drift), "rotation": render.ReportOfRotation(status),
		"validate": render.ReportOfDiagnostics("validate", noon, found.Diagnostics), "apply": render.ReportOfApply(apply),
	} {
		for format, write := range reportWriters() {
			format, _, _ = strings.Cut(format, ".")
			out[name+" "+format] = func(w io.Writer) error { return write(w, rep, inProd) }
		}
	}
	return out
}

// TestLargeDocuments: whatever 2,000 things are, a comment is within the limit of
// GitHub, is Markdown of ours, and says what is not there.
func TestLargeDocuments(t *testing.T) {
	for name, write := range large() {
		var out bytes.Buffer
		if err := write(&out); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !strings.HasSuffix(name, " markdown") {
			continue
		}
		if err := plainMarkdown(out.Bytes()); err != nil || out.Len() > githubLimit || !strings.Contains(out.String(), "**Not shown here:** ") {
			t.Errorf("%s: %d bytes, %v", name, out.Len(), err)
		}
	}
}

func BenchmarkTwoThousand(b *testing.B) {
	for name, write := range large() {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := write(io.Discard); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestMarkers: a marker is one hidden line, and two pairs of names never share one.
func TestMarkers(t *testing.T) {
	seen := map[string]string{}
	for _, h := range append(hostileStrings(), "a", "a:b", "a-", "-a", "a--b", "a%2db", strings.Repeat("a", 101), strings.Repeat("a", 102)) {
		for _, pair := range [][2]string{{h, "plan"}, {"plan", h}} {
			m := render.Marker(pair[0], pair[1])
			if !oursInHTML.MatchString(m) || strings.Contains(m[4:len(m)-3], "--") || len(m) > 300 {
				t.Errorf("%.40q gives the marker %q", h, m)
			}
			if other, ok := seen[m]; ok && other != pair[0]+"\x00"+pair[1] {
				t.Errorf("%.40q and %.40q share %s", other, pair, m)
			}
			seen[m] = pair[0] + "\x00" + pair[1]
		}
	}
	if got, want := render.Marker("payments-7c1f", "plan"), "<!-- coffer:payments-7c1f:plan -->"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
