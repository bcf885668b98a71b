package render_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/cofferhq/coffer/internal/render"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
)

func planHTML(p *planner.Plan) func(io.Writer) error {
	return func(w io.Writer) error { return render.PlanHTML(w, p, render.HTMLOptions{Digest: "sha256:5f0c"}) }
}

// pages are all the ways from hostile text to a page.
func pages(h string) map[string]func(io.Writer) error {
	out := map[string]func(io.Writer) error{}
	for _, closed := range []bool{false, true} {
		if len(h) > 4<<10 && !closed {
			continue // slow, and nothing new
		}
		f := filler{text: h, closed: closed}
		plan, report := fillNew[planner.Plan](f), fillNew[planner.DriftReport](f)
		object := plan.Changes[1]
		object.Location.Kind, object.Role, object.Secrets = "recipients", "object", []addr.Address{object.Address, addr.Secret(h, h, h)}
		grant := object
		grant.Location.Kind, grant.Location.Path = "binding", h+" "+h
		due := plan.Changes[0]
		due.Action, due.Reason, due.Detail = planner.Rotate, planner.ReasonRotationDue, "due since 2026-10-02 "+h
		plan.Changes = append(plan.Changes, object, grant, due)
		plan.Notes = append(plan.Notes, planner.Note{Address: addr.Secret(h, h, h), Reason: planner.ReasonRotationDue, Text: h})
		name := fmt.Sprintf("closed=%v ", closed)
		out[name+"plan"] = func(w io.Writer) error { return render.PlanHTML(w, plan, render.HTMLOptions{Digest: h}) }
		out[name+"drift"] = func(w io.Writer) error { return render.DriftHTML(w, report, render.HTMLOptions{Digest: h}) }
		status := fillNew[planner.RotationStatus](f)
		out[name+"rotation"] = func(w io.Writer) error { return render.RotationHTML(w, status, render.HTMLOptions{}) }
		out[name+"calendar"] = func(w io.Writer) error { return render.PlanHTML(w, plan, render.HTMLOptions{Rotation: status}) }
		found := &render.Findings{Command: "validate", Project: h, At: noon, Diagnostics: hostileDiagnostics(h)}
		out[name+"findings"] = func(w io.Writer) error { return render.DiagnosticsHTML(w, found) }
	}
	return out
}

// TestHostilePages: a page has our elements with our attributes and nothing
// else, whatever the text; its policy lets only its own style and script be.
func TestHostilePages(t *testing.T) {
	for i, h := range hostileStrings() {
		for name, write := range pages(h) {
			var out bytes.Buffer
			if err := write(&out); err != nil {
				t.Fatalf("%d %s: %v", i, name, err)
			}
			if _, err := terminal(strings.ReplaceAll(withoutOurs(out.String()), "\t", " "), false); err != nil {
				t.Errorf("string %d %.40q, %s: %v", i, h, name, err)
			}
			if err := plainHTML(out.Bytes()); err != nil {
				t.Errorf("string %d %.40q, %s: %v", i, h, name, err)
			}
		}
	}
}

// withoutOurs is a page without its style and script, which no text is in.
func withoutOurs(page string) string {
	before, rest, _ := strings.Cut(page, "<style>")
	_, rest, _ = strings.Cut(rest, "</style>")
	return before + rest[:strings.LastIndex(rest, "<script>")]
}

// pageElements are all that a page has, with their attributes.
var pageElements = map[string]string{
	"html": "lang", "head": "", "meta": "charset http-equiv content name", "title": "", "style": "", "body": "", "a": "class href",
	"header": "", "p": "class id hidden", "h1": "", "h2": "id tabindex", "main": "", "section": "class aria-label aria-labelledby", "ul": "class", "li": "class",
	"button": "type class data-filter aria-pressed id", "b": "", "span": "class", "div": "class tabindex role aria-labelledby", "code": "class",
	"dl": "class", "dt": "", "dd": "", "form": "class role aria-label", "label": "class hidden",
	"input": "type id autocomplete spellcheck placeholder", "select": "id", "option": "value", "output": "id aria-live",
	"details": "class data-action data-app data-env data-store", "summary": "", "table": "class", "thead": "", "tbody": "", "tr": "class",
	"th": "scope", "td": "class", "pre": "class tabindex role aria-label", "kbd": "", "footer": "", "script": "",
}

// plainHTML looks at a page as a browser does.
func plainHTML(src []byte) error {
	doc, err := html.Parse(bytes.NewReader(src))
	if err != nil {
		return err
	}
	text := map[string][]string{}
	policy := ""
	for n := range doc.Descendants() {
		switch n.Type {
		case html.TextNode, html.DoctypeNode:
			continue
		case html.ElementNode:
		default:
			return fmt.Errorf("a node of type %d: %.60q", n.Type, n.Data)
		}
		allowed, ok := pageElements[n.Data]
		if !ok || n.Namespace != "" {
			return fmt.Errorf("the element %s", n.Data)
		}
		for _, a := range n.Attr {
			switch {
			case a.Namespace != "" || !slices.Contains(strings.Fields(allowed), a.Key):
				return fmt.Errorf("the attribute %s of %s", a.Key, n.Data)
			case a.Key == "href" && a.Val != "#changes":
				return fmt.Errorf("a link to %.60q", a.Val)
			case a.Key == "class" && strings.Trim(a.Val, "abcdefghijklmnopqrstuvwxyz- ") != "":
				return fmt.Errorf("the class %.60q", a.Val)
			case a.Key == "content" && strings.HasPrefix(a.Val, "default-src"):
				policy = a.Val
			}
		}
		if n.FirstChild != nil && (n.Data == "script" || n.Data == "style") {
			text[n.Data] = append(text[n.Data], n.FirstChild.Data)
		}
	}
	if len(text["script"]) != 1 || len(text["style"]) != 1 {
		return errors.New("not one script and one style")
	}
	hash := func(s string) string {
		sum := sha256.Sum256([]byte(s))
		return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	want := "default-src 'none'; style-src " + hash(text["style"][0]) + "; script-src " + hash(text["script"][0]) + "; base-uri 'none'; form-action 'none'"
	if policy != want {
		return fmt.Errorf("the policy is %s, want %s", policy, want)
	}
	return nil
}

// TestPageCheckerSees proves that the check above finds what it looks for.
func TestPageCheckerSees(t *testing.T) {
	var out bytes.Buffer
	if err := planHTML(review())(&out); err != nil {
		t.Fatal(err)
	}
	if err := plainHTML(out.Bytes()); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{
		"<img>", "<i>x</i>", "<!-- x -->", `<p onclick="x">`, `<p style="x">`, `<a href="javascript:x">y</a>`, "<script>x</script>", "<style>x</style>",
		"<svg></svg>", "<iframe></iframe>", `<p class="a&quot;b">`, "<base>", `<link rel="icon">`,
	} {
		page := strings.Replace(out.String(), "<main>", "<main>"+bad, 1)
		if plainHTML([]byte(page)) == nil {
			t.Errorf("%s passes", bad)
		}
	}
}

// TestPageShowsAll: every change of a plan is a row with its reason and both
// versions, every reader and everything due is there.
func TestPageShowsAll(t *testing.T) {
	var out bytes.Buffer
	if err := planHTML(review())(&out); err != nil {
		t.Fatal(err)
	}
	doc, err := html.Parse(&out)
	if err != nil {
		t.Fatal(err)
	}
	rows := elements(doc, "details", "row")
	p := review()
	if len(rows) != len(p.Changes) {
		t.Errorf("%d rows for %d changes", len(rows), len(p.Changes))
	}
	for _, c := range p.Changes {
		if !slices.ContainsFunc(rows, func(r *html.Node) bool {
			said := words(r)
			return strings.Contains(said, c.Address.String()) && strings.Contains(said, c.VersionFrom) && strings.Contains(said, c.Entry)
		}) {
			t.Errorf("%s has no row", c.Address)
		}
	}
	for _, want := range []struct{ element, class, text string }{
		{"table", "matrix", `app.checkout.secret.stripe["production"]readslosesgainsreadsgainslosesgains`},
		{"table", "due", `2026-10-02 49 days agoapp.shop.secret.smtp["production"]waits`},
		{"table", "due", `2026-11-18 2 days agoapp.checkout.secret.jwt["production"]rotates now`},
		{"ul", "first", `4 conflicts, nothing is written there until a person decides`},
		{"ul", "findings", `Check fails: rotation_slo coffer.hcl:40`},
		{"details", "notes", `nobody has written it yet: coffer secret set 'app.shop.secret.db_admin["dev"]'`},
		{"details", "row", "coffer accept 'app.checkout.secret.db[\"production\"]' keeps the live value"},
	} {
		if !slices.ContainsFunc(elements(doc, want.element, want.class), func(n *html.Node) bool { return strings.Contains(words(n), want.text) }) {
			t.Errorf("no %s.%s says %q", want.element, want.class, want.text)
		}
	}
}

// elements returns the elements of a name that have a class.
func elements(doc *html.Node, name, class string) []*html.Node {
	var out []*html.Node
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode || n.Data != name {
			continue
		}
		if slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == "class" && slices.Contains(strings.Fields(a.Val), class) }) {
			out = append(out, n)
		}
	}
	return out
}

// words returns the text of an element without its line breaks.
func words(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(strings.ReplaceAll(d.Data, "\n", ""))
		}
	}
	return b.String()
}

// mixedPages are a plan and a report with something of each of many texts.
func mixedPages(texts []string) map[string]func(io.Writer) error {
	plan, report := fillNew[planner.Plan](filler{}), fillNew[planner.DriftReport](filler{})
	status, found := fillNew[planner.RotationStatus](filler{}), &render.Findings{Command: "validate"}
	for i, h := range texts {
		f := filler{text: h, closed: i%2 == 0}
		p, r := fillNew[planner.Plan](f), fillNew[planner.DriftReport](f)
		plan.Changes, plan.Notes = append(plan.Changes, p.Changes...), append(plan.Notes, p.Notes...)
		plan.Checks, plan.Diagnostics = append(plan.Checks, p.Checks...), append(plan.Diagnostics, p.Diagnostics...)
		report.Drift = append(report.Drift, r.Drift...)
		status.Secrets = append(status.Secrets, fillNew[planner.RotationStatus](f).Secrets...)
		found.Diagnostics = append(found.Diagnostics, hostileDiagnostics(h)...)
		plan.Project, report.Project, status.Project, found.Project = h, h, h, h
	}
	return map[string]func(io.Writer) error{
		"plan":     planHTML(plan),
		"drift":    func(w io.Writer) error { return render.DriftHTML(w, report, render.HTMLOptions{}) },
		"calendar": func(w io.Writer) error { return render.PlanHTML(w, plan, render.HTMLOptions{Rotation: status}) },
		"rotation": func(w io.Writer) error { return render.RotationHTML(w, status, render.HTMLOptions{}) },
		"findings": func(w io.Writer) error { return render.DiagnosticsHTML(w, found) },
	}
}

// TestOtherPagesShowAll: every secret of a status is a row, with its clock in the
// calendar where it has one; every diagnostic is there with its difference.
func TestOtherPagesShowAll(t *testing.T) {
	parse := func(write func(io.Writer) error) *html.Node {
		var out bytes.Buffer
		if err := write(&out); err != nil {
			t.Fatal(err)
		}
		doc, err := html.Parse(&out)
		if err != nil {
			t.Fatal(err)
		}
		return doc
	}
	has := func(doc *html.Node, element, class string, texts ...string) {
		t.Helper()
		for _, text := range texts {
			if !slices.ContainsFunc(elements(doc, element, class), func(n *html.Node) bool { return strings.Contains(words(n), text) }) {
				t.Errorf("no %s.%s says %q", element, class, text)
			}
		}
	}
	status := parse(func(w io.Writer) error { return render.RotationHTML(w, rotations(), render.HTMLOptions{}) })
	if rows := elements(status, "details", "row"); len(rows) != len(rotations().Secrets) {
		t.Errorf("%d rows for %d secrets", len(rows), len(rotations().Secrets))
	}
	for _, r := range rotations().Secrets {
		has(status, "details", "row", r.Address.String())
	}
	has(status, "table", "due", `2026-11-05 15 days agoapp.checkout.secret.db["production"]overdue`, `2026-12-19app.checkout.secret.jwt["production"]scheduledevery 30d`)
	if due := elements(status, "tr", "overdue"); len(due) != 2 {
		t.Errorf("%d are overdue in the calendar", len(due))
	}
	has(status, "button", "tile", "2 overdue", "1 never")

	plan := parse(func(w io.Writer) error {
		return render.PlanHTML(w, review(), render.HTMLOptions{Rotation: rotations()})
	})
	has(plan, "table", "due", `app.checkout.secret.jwt["production"]rotates now`, `2026-11-24app.checkout.secret.stripe["production"]due soon`)
	if n := strings.Count(words(plan), `app.checkout.secret.jwt["production"]scheduled`); n > 0 {
		t.Error("what the plan rotates is in the calendar twice")
	}
	big := parse(func(w io.Writer) error { return render.RotationHTML(w, twoThousandRotations(), render.HTMLOptions{}) })
	has(big, "p", "about", "later ones left out")

	found := parse(func(w io.Writer) error { return render.DiagnosticsHTML(w, findings()) })
	has(found, "ul", "findings", "Another provider vault than the trusted copy has", "No environment uses rotation.monthly")
	has(found, "pre", "diff", `-  address = "https://vault.example:8200"`)
	has(found, "span", "tile", "3 errors", "1 warning")
	if rows := append(elements(found, "button", "tile"), elements(found, "a", "skip")...); len(rows) > 0 {
		t.Error("the page has what leads nowhere")
	}
}
