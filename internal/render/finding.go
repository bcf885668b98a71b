package render

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
)

// Level is how much a finding matters, in the words of GitHub's annotations.
type Level string

// The levels, most important first.
const (
	LevelError   Level = "error"
	LevelWarning Level = "warning"
	LevelNotice  Level = "notice"
)

// ReportFinding is one thing that a reviewer has to look at, at its place in the
// configuration. Its texts are as hostile as what they were made of: the
// printers escape them.
type ReportFinding struct {
	Rule    string // the ID of a [Rule]
	Level   Level
	Address addr.Address // zero for what is about no address
	Title   string       // a few words, without the address
	Message string       // sentences for people; may have several lines
	Range   *planner.Range
	// Key is the identity of the finding: it stays the same when lines move,
	// versions change or another finding comes or goes.
	Key string
}

// NewFinding returns a finding about a at r with the key of its rule, address
// and what else tells it from others of that rule, such as its store and path.
// Lines and versions do not belong there.
func NewFinding(rule string, level Level, a addr.Address, r *planner.Range, title, message string, apart ...string) ReportFinding {
	sum := sha256.New()
	for _, part := range append([]string{rule, a.String()}, apart...) {
		fmt.Fprintf(sum, "%d:%s", len(part), part)
	}
	return ReportFinding{
		Rule: rule, Level: level, Address: a, Title: title, Message: message, Range: r,
		Key: hex.EncodeToString(sum.Sum(nil)[:16]),
	}
}

// headline is the title with the address, unless the title names it itself.
func (f *ReportFinding) headline() string {
	a := f.Address.String()
	if a == "" || strings.Contains(f.Title, a) {
		return f.Title
	}
	return f.Title + ": " + a
}

// text is all of the finding in lines that can be shown.
func (f *ReportFinding) text() []string {
	return append([]string{Sanitize(f.headline())}, sanitizeLines(f.Message)...)
}

// paragraphs joins the lines of the finding; the headline becomes a sentence.
func (f *ReportFinding) paragraphs(by string) string {
	lines := f.text()
	if len(lines) > 1 && !strings.ContainsAny(lines[0][max(len(lines[0])-1, 0):], ".!?") {
		lines[0] += "."
	}
	return strings.Join(lines, by)
}

// maxMessageLines is how many lines of a message are shown.
const maxMessageLines = 40

// sanitizeLines returns the lines of s that have text, each as by [Sanitize].
func sanitizeLines(s string) []string {
	var out []string
	for line := range strings.Lines(s) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if len(out) == maxMessageLines {
			return append(out, "... (more lines)")
		}
		out = append(out, Sanitize(line))
	}
	return out
}

// Report is what one command found, in the form that the formats of CI systems
// are made from.
type Report struct {
	Command  string // plan, drift or validate
	Project  string
	At       time.Time
	Findings []ReportFinding // most important first; no two have one key
	// Planned are the addresses of changes that need nobody's decision, and
	// Unchanged counts what has neither a change nor a finding.
	Planned   []addr.Address
	Unchanged int
}

// ReportOptions is what the printers of a [Report] cannot know.
type ReportOptions struct {
	// Dir is where the configuration lies, as seen from the root of the
	// repository: the names of files in findings are below it.
	Dir string
	// File stands for a finding that has no place of its own; "" is coffer.hcl.
	File string
	// Version is that of the program.
	Version string
	// Unchanged are the addresses that Report.Unchanged counts, where they are
	// known.
	Unchanged []addr.Address
}

// place returns where f is: a file relative to the root of the repository, with
// slashes, and a line. What leads out of the repository, or has no place,
// stands at the file for that, with exact false.
func (o ReportOptions) place(f *ReportFinding) (file string, line int, exact bool) {
	if f.Range != nil {
		if file, ok := o.relative(f.Range.File); ok {
			return file, max(f.Range.Line, 1), true
		}
	}
	file, ok := o.relative(cmp.Or(o.File, "coffer.hcl"))
	if !ok {
		file = "coffer.hcl"
	}
	return file, 1, false
}

func (o ReportOptions) relative(file string) (string, bool) {
	file = filepath.ToSlash(file)
	if file == "" || path.IsAbs(file) {
		return "", false
	}
	file = path.Join(filepath.ToSlash(o.Dir), file)
	if path.IsAbs(file) || file == "." || file == ".." || strings.HasPrefix(file, "../") {
		return "", false
	}
	return file, true
}

// ReportOfPlan returns what a reviewer of a plan has to look at.
func ReportOfPlan(p *planner.Plan) *Report {
	rep := &Report{Command: "plan", Project: p.Project, At: p.CreatedAt, Unchanged: p.Unchanged}
	if !p.Refreshed {
		rep.Unchanged = 0
		rep.Findings = append(rep.Findings, NewFinding(RuleUnknown, LevelWarning, addr.Address{}, nil,
			"Not refreshed", "nobody looked at the stores, so this plan cannot be applied"))
	}
	for i := range p.Changes {
		c := &p.Changes[i]
		if f, ok := changeFinding(c); ok {
			rep.Findings = append(rep.Findings, f)
		}
		if c.Action != planner.Conflict && c.Action != planner.Unknown {
			rep.Planned = append(rep.Planned, c.Address)
		}
	}
	rep.add(p.Notes, p.Checks, p.Diagnostics)
	return rep
}

// ReportOfDrift returns what somebody changed outside.
func ReportOfDrift(r *planner.DriftReport) *Report {
	rep := &Report{Command: "drift", Project: r.Project, At: r.CreatedAt, Unchanged: r.Unchanged}
	for i := range r.Drift {
		rep.Findings = append(rep.Findings, driftFinding(&r.Drift[i]))
	}
	rep.add(r.Notes, r.Checks, r.Diagnostics)
	return rep
}

// ReportOfDiagnostics returns what is wrong with a configuration; command is
// what looked at it.
func ReportOfDiagnostics(command string, at time.Time, ds hcl.Diagnostics) *Report {
	rep := &Report{Command: command, At: at}
	var list []planner.Diagnostic
	for _, d := range ds {
		list = append(list, PlanDiagnostic(d))
	}
	rep.add(nil, nil, list)
	return rep
}

// add adds what plans and drift reports have alike, and puts all in order.
func (rep *Report) add(notes []planner.Note, checks []planner.CheckState, ds []planner.Diagnostic) {
	for _, n := range notes {
		if n.Reason == planner.ReasonRotationDue {
			rep.Findings = append(rep.Findings, NewFinding(RuleRotationOverdue, LevelWarning, n.Address, n.Range, "Rotation overdue", n.Text))
		}
	}
	for _, c := range checks {
		if !c.Holds {
			rep.Findings = append(rep.Findings, NewFinding(RuleCheckFailed, LevelWarning, addr.Address{}, c.Range, "Check "+c.Name+" fails", c.Message, c.Name))
		}
	}
	for _, d := range ds {
		rep.Findings = append(rep.Findings, diagnosticFinding(d))
	}
	rep.tellApart()
	rank := map[string]int{}
	for i, r := range rules() {
		rank[r.ID] = i + 1
	}
	slices.SortStableFunc(rep.Findings, func(a, b ReportFinding) int {
		return cmp.Or(
			cmp.Compare(levelRank(a.Level), levelRank(b.Level)), cmp.Compare(rank[a.Rule], rank[b.Rule]),
			naturally(a.Address, b.Address),
		)
	})
}

// tellApart numbers findings that are the same but for their line, such as one
// mistake made twice: in their order, which moving lines does not change.
func (rep *Report) tellApart() {
	seen := map[string]int{}
	for i := range rep.Findings {
		key := rep.Findings[i].Key
		if seen[key]++; seen[key] > 1 {
			rep.Findings[i].Key += "-" + strconv.Itoa(seen[key])
		}
	}
}

func levelRank(l Level) int { return slices.Index([]Level{LevelError, LevelWarning, LevelNotice}, l) }

func (t Tone) level() Level {
	switch t {
	case Danger:
		return LevelError
	case Caution:
		return LevelWarning
	}
	return LevelNotice
}

// changeFinding returns what a reviewer has to know of a change; ok is false
// for one that writes over nothing.
func changeFinding(c *planner.Change) (f ReportFinding, ok bool) {
	look := lookOf(c.Action)
	rule, level, title := "", look.tone.level(), look.title
	switch anew := c.NewValue && (c.Action == planner.Create || c.Action == planner.Update); {
	case c.Action == planner.Conflict:
		rule = RuleConflict
	case c.Action == planner.Unknown:
		rule, title = RuleUnknown, "Could not be told"
	case c.Action == planner.Delete && c.Reason == planner.ReasonMoved, c.Action == planner.Delete && c.Confirmed:
		rule, level = RuleDelete, LevelNotice
	case c.Action == planner.Delete:
		rule, level = RuleDelete, LevelWarning
	case dropsField(c):
		rule, level, title = RuleDeleteField, LevelWarning, "Deletes fields"
	case anew:
		rule, level, title = RuleNewValue, LevelWarning, "New value"
	default:
		return f, false
	}
	message := c.Detail
	if message == "" {
		message = changeReason(c)
	}
	if dropsField(c) {
		message = "deletes " + strings.Join(dropped(c), ", ") + "\n" + message
	}
	return NewFinding(rule, level, c.Address, c.Range, title, message, c.Location.Provider, c.Location.Kind, c.Location.Path), true
}

func dropped(c *planner.Change) []string {
	var names []string
	for name, f := range c.Fields {
		if f.Op == opDrop {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func driftFinding(d *planner.Drift) ReportFinding {
	rule, level, title := ruleDrift+strings.ReplaceAll(string(d.Kind), "_", "-"), LevelError, "Kind "+string(d.Kind)
	for _, look := range driftLooks() {
		if look.kind == d.Kind {
			level, title = look.tone.level(), look.title
		}
	}
	switch {
	case d.Kind == planner.DriftGrantAdded && d.VersionRecorded == "": // not ours, so nobody declared it
		rule, title = RuleUndeclaredGrant, "Undeclared grant"
	case d.Kind == planner.DriftGrantAdded, d.Kind == planner.DriftGrantRemoved:
		rule = strings.ReplaceAll(string(d.Kind), "_", "-")
	}
	lines := []string{d.Detail}
	var said []string
	for _, s := range driftRemarks(d) {
		said = append(said, s.text)
	}
	if at := when(d.ChangedAt); at != "" && !strings.HasPrefix(d.Detail, reasonText(planner.ReasonChangedOutside)) {
		said = append(said, "changed at about "+at)
		if d.ChangedBy != "" {
			said[len(said)-1] += " by " + d.ChangedBy
		}
	}
	lines = append(lines, strings.Join(said, ", "))
	apart := []string{d.Location.Provider, d.Location.Kind, d.Location.Path}
	if rule == RuleGrantAdded || rule == RuleGrantRemoved { // one address, several readers
		apart = append(apart, d.Detail)
	}
	return NewFinding(rule, level, d.Address, d.Range, title, strings.Join(lines, "\n"), apart...)
}

func diagnosticFinding(d planner.Diagnostic) ReportFinding {
	rule, level := RuleError, LevelError
	if d.Severity == planner.SeverityWarning {
		rule, level = RuleWarning, LevelWarning
	}
	var a addr.Address
	if d.Address != nil {
		a = *d.Address
	}
	var apart []string
	if d.Range != nil && a.IsZero() {
		apart = append(apart, d.Range.File)
	}
	if d.Rule != "" { // its summary may count days
		return NewFinding(d.Rule, level, a, d.Range, d.Summary, d.Detail, apart...)
	}
	return NewFinding(rule, level, a, d.Range, d.Summary, d.Detail, append(apart, d.Summary)...)
}
