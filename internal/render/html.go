package render

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"io"

	"github.com/cofferhq/coffer/planner"
)

// HTMLOptions are what a page says besides its content.
type HTMLOptions struct {
	// Digest is that of the saved plan, which apply can demand.
	Digest string
	// Rotation is when every secret is due, for the calendar of a plan; nil lists
	// what the plan itself says is due.
	Rotation *planner.RotationStatus
}

var (
	//go:embed html/page.html
	pageTemplate string
	//go:embed html/page.css
	pageStyle string
	//go:embed html/page.js
	pageScript string
)

// PlanHTML writes a plan as one page that needs nothing besides itself: counts,
// what is dangerous, every change with filters and a search, who reads what, what
// is due for rotation. The page may load nothing and runs no script but its own,
// by a policy that it carries. The errors are the sink's.
func PlanHTML(w io.Writer, plan *planner.Plan, o HTMLOptions) error {
	return writePage(w, planPage(plan, o))
}

// DriftHTML writes a drift report as PlanHTML writes a plan.
func DriftHTML(w io.Writer, report *planner.DriftReport, _ HTMLOptions) error {
	return writePage(w, driftPage(report))
}

func writePage(w io.Writer, p *htmlPage) error {
	p.Style, p.Script = template.CSS(pageStyle), template.JS(pageScript) // files of ours
	p.Policy = "default-src 'none'; style-src " + contentHash(pageStyle) + "; script-src " + contentHash(pageScript) +
		"; base-uri 'none'; form-action 'none'"
	t, err := template.New("page").Parse(pageTemplate)
	if err != nil {
		return err
	}
	return t.Execute(w, p)
}

// contentHash names a style or a script as a content security policy does.
func contentHash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// htmlPage is what the template shows. Every text in it that is not ours went
// through [Sanitize]; the template escapes it for HTML.
type htmlPage struct {
	Kind, Project, LastLine, Calm string
	Notices                       []string
	Title, Things, ByAction       string // "Changes", "changes", "action"

	Policy string
	Style  template.CSS
	Script template.JS

	Tiles     []htmlTile
	Unchanged int
	// NoUnchanged: nothing was compared.
	NoUnchanged bool
	Dangers     []htmlDanger
	Meta        []htmlFact
	Rows        []htmlRow
	Matrix      *htmlMatrix
	Due         []htmlDue
	DueCount    int
	DueLeft     string // what is said of those that are left out
	NoteCount   int
	Notes       []htmlNotes
	Findings    []htmlFinding

	Actions, Apps, Envs, Stores []string
}

// htmlTile is one count, which filters by its action.
type htmlTile struct {
	Class, Action, Label string
	N                    int
}

type htmlDanger struct {
	What, About string
	Names       []string
	More        int
}

// htmlFact is a name and what it is.
type htmlFact struct {
	Name, Value string
	Code        bool
}

// htmlText is a sentence in pieces, some of them code.
type htmlText []htmlPiece

type htmlPiece struct {
	Text string
	Code bool
}

// htmlRow is one change or finding.
type htmlRow struct {
	Class, Action, App, Env, Store string
	Address, Reason, Versions      string
	Flags                          []string
	Detail                         []htmlText
	Facts                          []htmlFact
	Fields                         []htmlField
	Diff                           []htmlLine
}

type htmlField struct {
	Name   string
	Drop   bool
	Source htmlText
}

type htmlLine struct{ Class, Text string }

type htmlMatrix struct {
	Readers []string
	Rows    []htmlReads
	Left    string
}

// htmlReads is what happens to the readers of one secret: "gains", "loses",
// "reads" or nothing.
type htmlReads struct {
	Secret string
	Cells  []string
}

type htmlDue struct {
	Class, Date, Days, Address, What string
	Why                              htmlText
}

type htmlNotes struct {
	Reason string
	Notes  []htmlNote
}

type htmlNote struct {
	Address string
	Text    htmlText
}

type htmlFinding struct {
	Class, Word string
	Text        htmlText
	Places      []string
	Detail      []htmlText
	Diff        []htmlLine
}
