package render_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/cofferhq/coffer/internal/render"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
)

var inProd = render.ReportOptions{Dir: "deploy/prod", Version: "0.1.0"}

type reportWriter func(io.Writer, *render.Report, render.ReportOptions) error

// reportWriters are the formats of a report, with the ending of their golden
// files.
func reportWriters() map[string]reportWriter {
	return map[string]reportWriter{"sarif": render.SARIF, "junit.xml": render.JUnit, "github.txt": render.GitHub, "gitlab.json": render.GitLab}
}

func written(t *testing.T, write reportWriter, rep *render.Report, o render.ReportOptions) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := write(&out, rep, o); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestReportGolden(t *testing.T) {
	for ending, write := range reportWriters() {
		for _, name := range []string{"plan", "drift", "validate", "plan-apps", "apply"} {
			if name == "plan-apps" && ending != "github.txt" || name == "apply" && ending != "junit.xml" {
				continue
			}
			t.Run(name+"."+ending, func(t *testing.T) {
				golden(t, "report-"+name+"."+ending, written(t, write, reports()[name], inProd))
			})
		}
	}
}

// checkers hold a document against the rules of whoever reads it.
func checkers(t *testing.T) map[string]func([]byte) error {
	t.Helper()
	// As OASIS published it: SARIF 2.1.0 with errata 01.
	file, err := os.Open("testdata/sarif-schema-2.1.0.json")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	doc, err := jsonschema.UnmarshalJSON(file)
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("sarif.json", doc); err != nil {
		t.Fatal(err)
	}
	sarif, err := c.Compile("sarif.json")
	if err != nil {
		t.Fatal(err)
	}
	return map[string]func([]byte) error{
		"sarif":       func(doc []byte) error { return checkSARIF(sarif, doc) },
		"junit.xml":   checkJUnit,
		"github.txt":  func(doc []byte) error { _, err := annotations(doc); return err },
		"gitlab.json": checkGitLab,
	}
}

func TestReportsAreValid(t *testing.T) {
	check := checkers(t)
	for ending, write := range reportWriters() {
		for name, rep := range reports() {
			for _, o := range []render.ReportOptions{{}, inProd} {
				if err := check[ending](written(t, write, rep, o)); err != nil {
					t.Errorf("%s.%s: %v", name, ending, err)
				}
			}
		}
	}
}

// TestHostileReports puts every hostile string wherever text can stand: no
// document becomes invalid, has a command, a link or an invisible character.
func TestHostileReports(t *testing.T) {
	check := checkers(t)
	for i, h := range hostileStrings() {
		closed, open := filler{text: h, closed: true}, filler{text: h}
		all := []*render.Report{
			render.ReportOfPlan(fillNew[planner.Plan](closed)), render.ReportOfRotation(fillNew[planner.RotationStatus](closed)),
			render.ReportOfDiagnostics("validate", noon, hostileDiagnostics(h)), render.ReportOfApply(*fillNew[render.ApplySummary](closed)),
		}
		if len(h) <= 4<<10 { // longer ones are slow, and nothing new
			all = append(all, render.ReportOfDrift(fillNew[planner.DriftReport](open)))
		}
		for _, rep := range all {
			o := render.ReportOptions{Dir: h, File: h, Version: h, Unchanged: []addr.Address{{App: h, Name: h, Kind: h}}}
			for ending, write := range reportWriters() {
				out := written(t, write, rep, o)
				if err := check[ending](out); err != nil {
					t.Errorf("string %d %.40q, %s.%s: %v", i, h, rep.Command, ending, err)
				}
				if ending == "github.txt" { // its check has looked at each command
					out = bytes.ReplaceAll(append([]byte("\n"), out...), []byte("\n::"), []byte("\n"))
				}
				if _, err := terminal(string(out), false); err != nil {
					t.Errorf("string %d %.40q, %s.%s: %v", i, h, rep.Command, ending, err)
				}
			}
		}
	}
}

type sarifDocument struct {
	Runs []struct {
		Tool struct {
			Driver struct{ Rules []struct{ ID string } }
		}
		Results []struct {
			RuleID    string
			RuleIndex int
			Message   map[string]string
			Locations []struct {
				PhysicalLocation struct{ ArtifactLocation struct{ URI string } }
			}
			PartialFingerprints map[string]string
		}
	}
}

var linkOrPlaceholder = regexp.MustCompile(`\]\(|(?:^|[^{])\{\d+\}`)

func checkSARIF(s *jsonschema.Schema, out []byte) error {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(out))
	if err == nil {
		err = s.Validate(doc)
	}
	var log sarifDocument
	if err == nil {
		err = json.Unmarshal(out, &log)
	}
	if err != nil {
		return err
	}
	run, prints := log.Runs[0], map[string]bool{}
	for _, r := range run.Results {
		u, err := url.Parse(r.Locations[0].PhysicalLocation.ArtifactLocation.URI)
		print := r.PartialFingerprints["primaryLocationLineHash"]
		switch {
		case err != nil:
			return err
		case u.IsAbs(), u.Host != "", strings.HasPrefix(u.Path, "/"), slices.Contains(strings.Split(u.Path, "/"), ".."):
			return fmt.Errorf("%s leads out of the repository", u)
		case run.Tool.Driver.Rules[r.RuleIndex].ID != r.RuleID:
			return fmt.Errorf("rule %d is not %q", r.RuleIndex, r.RuleID)
		case len(r.Message) != 1 || linkOrPlaceholder.MatchString(r.Message["text"]):
			return fmt.Errorf("more than text: %.200q", r.Message)
		case print == "" || prints[print]:
			return fmt.Errorf("fingerprint %q is none, or of another finding too", print)
		}
		prints[print] = true
	}
	return nil
}

type junitElement struct {
	XMLName  xml.Name
	Attrs    []xml.Attr     `xml:",any,attr"`
	Children []junitElement `xml:",any"`
}

// junitRules are the elements with the attributes that they may have, as far as
// the schemas of Jenkins and of GitLab agree; those before the bar must be there.
func junitRules() map[string]string {
	return map[string]string{
		"testsuites": "name tests failures errors time |",
		"testsuite":  "name tests failures errors time skipped | timestamp",
		"properties": "|", "property": "name value |",
		"testcase": "classname name time | file",
		"failure":  "message type |", "error": "message type |", "system-out": "|",
	}
}

func checkJUnit(out []byte) error {
	var root junitElement
	if err := xml.Unmarshal(out, &root); err != nil {
		return err
	}
	counts := map[string]int{}
	var walk func(e junitElement) error
	walk = func(e junitElement) error {
		counts[e.XMLName.Local]++
		rule, ok := junitRules()[e.XMLName.Local]
		must, may, _ := strings.Cut(rule, "|")
		attrs := map[string]string{}
		for _, a := range e.Attrs {
			attrs[a.Name.Local] = a.Value
			ok = ok && slices.Contains(strings.Fields(must+may), a.Name.Local)
		}
		for _, name := range strings.Fields(must) {
			_, has := attrs[name]
			ok = ok && has
		}
		if !ok || e.XMLName.Local == "testcase" && len(e.Children) > 1 {
			return fmt.Errorf("<%s> with %v is not of JUnit", e.XMLName.Local, e.Attrs)
		}
		for _, c := range e.Children {
			if err := walk(c); err != nil {
				return err
			}
		}
		for name, n := range map[string]int{"tests": counts["testcase"], "failures": counts["failure"], "errors": counts["error"]} {
			if text, ok := attrs[name]; ok && text != strconv.Itoa(n) {
				return fmt.Errorf("<%s> says %s=%s, not %d", e.XMLName.Local, name, text, n)
			}
		}
		return nil
	}
	return walk(root)
}

// annotations reads commands as the runner of GitHub Actions does.
func annotations(out []byte) ([]map[string]string, error) {
	var all []map[string]string
	counts := map[string]int{}
	for line := range strings.Lines(string(out)) {
		head, message, ok := strings.Cut(strings.TrimPrefix(strings.TrimSuffix(line, "\n"), "::"), "::")
		name, properties, _ := strings.Cut(head, " ")
		if !ok || !strings.HasPrefix(line, "::") || !slices.Contains([]string{"error", "warning", "notice"}, name) {
			return nil, fmt.Errorf("not an annotation: %.100q", line)
		}
		if counts[name]++; counts[name] > 10 {
			return nil, fmt.Errorf("more than 10 of %s", name)
		}
		a := map[string]string{"level": name, "message": unescapeGitHub(message)}
		for _, p := range strings.Split(properties, ",") {
			key, value, ok := strings.Cut(p, "=")
			if !ok || !slices.Contains([]string{"file", "line", "col", "title"}, key) || a[key] != "" {
				return nil, fmt.Errorf("property %q in %.100q", p, line)
			}
			a[key] = unescapeGitHub(value)
		}
		if a["message"] == "" && a["title"] != "" {
			return nil, fmt.Errorf("no message in %.100q", line)
		}
		all = append(all, a)
	}
	return all, nil
}

func unescapeGitHub(s string) string {
	return strings.NewReplacer("%0D", "\r", "%0A", "\n", "%3A", ":", "%2C", ",", "%25", "%").Replace(s)
}

func checkGitLab(out []byte) error {
	var list []struct {
		Description string `json:"description"`
		CheckName   string `json:"check_name"`
		Fingerprint string `json:"fingerprint"`
		Severity    string `json:"severity"`
		Location    struct {
			Path  string `json:"path"`
			Lines struct {
				Begin int `json:"begin"`
			} `json:"lines"`
		} `json:"location"`
	}
	d := json.NewDecoder(bytes.NewReader(out))
	d.DisallowUnknownFields()
	if err := d.Decode(&list); err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, e := range list {
		known := slices.Contains([]string{"info", "minor", "major", "critical", "blocker"}, e.Severity)
		path := e.Location.Path
		outside := path == "" || strings.HasPrefix(path, "/") || strings.HasPrefix(path, "../") || strings.HasPrefix(path, "./")
		if !known || outside || e.CheckName == "" || e.Location.Lines.Begin < 1 || e.Fingerprint == "" || seen[e.Fingerprint] {
			return fmt.Errorf("not an issue of GitLab: %+v", e)
		}
		seen[e.Fingerprint] = true
	}
	return nil
}

// TestCheckersSee proves that the checks above find what they look for.
func TestCheckersSee(t *testing.T) {
	check := checkers(t)
	good := map[string]string{}
	for ending, write := range reportWriters() {
		good[ending] = string(written(t, write, reports()["plan"], inProd))
	}
	for _, bad := range []struct{ ending, from, to string }{
		{"sarif", `"level": "error"`, `"level": "bad"`},
		{"sarif", `"startLine": 12`, `"startLine": 0`},
		{"sarif", `"uri": "deploy/`, `"uri": "/deploy/`},
		{"sarif", `"uri": "deploy/`, `"uri": "../deploy/`},
		{"sarif", `"message": {`, `"message": {"markdown": "x",`},
		{"sarif", `Conflict: `, `[Conflict](x) `},
		{"sarif", `Conflict: `, `{0} `},
		{"junit.xml", `tests="`, `tests="9`},
		{"junit.xml", `time="0"`, ``},
		{"junit.xml", `classname=`, `href=`},
		{"junit.xml", `</testcase>`, ``},
		{"github.txt", `::error`, `::add-mask`},
		{"github.txt", "\n", "\nx::error::\n"},
		{"github.txt", `title=`, `titel=`},
		{"gitlab.json", `"major"`, `"bad"`},
		{"gitlab.json", `"path": "deploy/prod`, `"path": "/deploy`},
		{"gitlab.json", `"fingerprint": "`, `"fingerprint": "", "x": "`},
	} {
		doc := strings.Replace(good[bad.ending], bad.from, bad.to, 1)
		if doc == good[bad.ending] || check[bad.ending]([]byte(doc)) == nil {
			t.Errorf("%s: %q in place of %q passes", bad.ending, bad.to, bad.from)
		}
	}
}

// keys returns the keys of the findings by what they are about.
func keys(t *testing.T, rep *render.Report) map[string]string {
	t.Helper()
	out, seen := map[string]string{}, map[string]bool{}
	for _, f := range rep.Findings {
		if seen[f.Key] || len(f.Key) < 32 {
			t.Errorf("the key %q of %s is none, or of another finding too", f.Key, f.Title)
		}
		seen[f.Key] = true
		out[f.Rule+" "+f.Address.String()+" "+f.Title+" "+f.Key] = f.Key
	}
	return out
}

// TestFindingsKeepTheirIdentity: lines move, versions and times change, files
// are split, and the order is another one.
func TestFindingsKeepTheirIdentity(t *testing.T) {
	move := func(r *planner.Range) *planner.Range {
		if r == nil {
			return nil
		}
		return &planner.Range{File: r.File, Line: r.Line + 40, Column: 9}
	}
	plan := reviewed()
	want := keys(t, render.ReportOfPlan(plan))
	slices.Reverse(plan.Changes)
	for i := range plan.Changes {
		c := &plan.Changes[i]
		c.Range, c.VersionFrom, c.Entry = move(c.Range), "81", "80"
		c.Detail += " once more"
		if c.Range != nil {
			c.Range.File = "split.hcl"
		}
	}
	for i := range plan.Diagnostics {
		plan.Diagnostics[i].Range, plan.Diagnostics[i].Detail = move(plan.Diagnostics[i].Range), "other words"
	}
	for i := range plan.Checks {
		plan.Checks[i].Range = move(plan.Checks[i].Range)
	}
	if diff := cmp.Diff(want, keys(t, render.ReportOfPlan(plan))); diff != "" {
		t.Errorf("the plan's findings have other keys (-before +after):\n%s", diff)
	}
	report := allDrift()
	want = keys(t, render.ReportOfDrift(report))
	slices.Reverse(report.Drift)
	for i := range report.Drift {
		d := &report.Drift[i]
		d.Range, d.VersionLive, d.ChangedAt, d.ChangedBy = move(d.Range), "99", noon, "bob"
	}
	report.Drift = append(report.Drift, planner.Drift{Address: addr.Secret("x", "dev", "y"), Kind: planner.DriftMissing})
	got := keys(t, render.ReportOfDrift(report))
	for what, key := range want {
		if got[what] != key {
			t.Errorf("%s has another key", what)
		}
	}
	if len(got) != len(want)+1 {
		t.Errorf("%d findings became %d", len(want), len(got))
	}
}

// TestOneMistakeTwice: what only its line tells apart is told apart all the same.
func TestOneMistakeTwice(t *testing.T) {
	diags, _ := diagnostics()
	diags = append(diags, diags...)
	if got := keys(t, render.ReportOfDiagnostics("validate", noon, diags)); len(got) != len(diags) {
		t.Errorf("%d findings of %d", len(got), len(diags))
	}
	var lists planner.DriftReport
	for _, reader := range []string{"age1alice", "age1bob"} {
		lists.Drift = append(lists.Drift, planner.Drift{
			Address: addr.ProviderObject("sops", "recipients", "a.yaml"), Kind: planner.DriftGrantAdded, VersionRecorded: "1", Detail: reader + " can read it now",
		})
	}
	rep := render.ReportOfDrift(&lists)
	if got := keys(t, rep); len(got) != 2 || strings.Contains(rep.Findings[1].Key, "-") {
		t.Errorf("keys %v depend on the order of the readers", got)
	}
}

// TestRules: each finding has a rule with texts, all in docs/formats.md.
func TestRules(t *testing.T) {
	page, err := os.ReadFile("../../docs/formats.md")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]render.Level{}
	for _, rep := range reports() {
		for _, f := range rep.Findings {
			found[f.Rule] = f.Level
		}
	}
	for id, level := range found {
		r := render.RuleOf(id, level)
		if r.ID != id || r.Name == "" || r.About == "" || r.Help == "" || strings.Contains(r.Help+r.About, "://") {
			t.Errorf("rule %s lacks a text, or has a link: %+v", id, r)
		}
		if !bytes.Contains(page, []byte("`"+id+"`")) {
			t.Errorf("docs/formats.md does not list the rule %s", id)
		}
	}
	for _, id := range []string{"drift-changed", "drift-missing", "drift-superseded", "drift-metadata", "drift-document", "drift-orphan", "drift-unknown"} {
		if _, ok := found[id]; !ok {
			t.Errorf("no sample has a finding of %s", id)
		}
	}
	for id, want := range map[string]render.Level{
		render.RuleUndeclaredGrant: render.LevelError, render.RuleGrantAdded: render.LevelError, render.RuleGrantRemoved: render.LevelWarning,
		render.RuleConflict: render.LevelError, render.RuleUnknown: render.LevelWarning, render.RuleRotationOverdue: render.LevelWarning,
		render.RuleDelete: render.LevelWarning, render.RuleDeleteField: render.LevelWarning, render.RuleNewValue: render.LevelWarning,
		render.RuleError: render.LevelError, render.RuleWarning: render.LevelWarning, render.RuleCheckFailed: render.LevelWarning, "production_protected": render.LevelError,
	} {
		if found[id] != want && !(id == render.RuleDelete && found[id] == render.LevelNotice) {
			t.Errorf("a finding of %s has level %q, want %q; found %v", id, found[id], want, slices.Sorted(maps.Keys(found)))
		}
	}
}

// TestAnnotationsAreFew: GitHub shows ten of each kind; the most important come
// first, and the last says how many there are beside.
func TestAnnotationsAreFew(t *testing.T) {
	p := twoThousand()
	for i := range 5 {
		p.Changes[i].Action, p.Changes[i].Detail = planner.Unknown, "could not be told"
	}
	all, err := annotations(written(t, render.GitHub, render.ReportOfPlan(p), render.ReportOptions{}))
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 16 || all[0]["level"] != "error" || all[10]["level"] != "warning" || all[15]["level"] != "notice" {
		t.Fatalf("%d annotations: %v", len(all), all)
	}
	if got := all[15]["title"] + ": " + all[15]["message"]; !strings.HasPrefix(got, "1985 more findings: 1985 errors left out") {
		t.Errorf("the last annotation says %q", got)
	}
}

// TestPlaces: what has no place, or one outside the repository, stands at a
// file of the project, and only there.
func TestPlaces(t *testing.T) {
	for _, c := range []struct {
		dir, file string
		want      string
	}{
		{"", "app.hcl", "app.hcl"},
		{"deploy/prod", "app.hcl", "deploy/prod/app.hcl"},
		{".", "a b/ü:1%.hcl", "a%20b/%C3%BC:1%25.hcl"},
		{"", "c:d.hcl", "./c:d.hcl"},
		{"deploy", "../app.hcl", "app.hcl"},
		{"deploy", "../../app.hcl", "deploy/coffer.hcl"},
		{"", "/etc/passwd", "coffer.hcl"},
		{"", "//host/x", "coffer.hcl"},
		{"", "", "coffer.hcl"},
		{"../other", "app.hcl", "coffer.hcl"},
		{"/abs", "app.hcl", "coffer.hcl"},
	} {
		p := newPlan(0, change(planner.Conflict, planner.ReasonMissing, "a", "dev", "b"))
		p.Changes[0].Range = &planner.Range{File: c.file, Line: 3}
		var log sarifDocument
		if err := json.Unmarshal(written(t, render.SARIF, render.ReportOfPlan(p), render.ReportOptions{Dir: c.dir}), &log); err != nil {
			t.Fatal(err)
		}
		if got := log.Runs[0].Results[0].Locations[0].PhysicalLocation.ArtifactLocation.URI; got != c.want {
			t.Errorf("%s in %s is %s, want %s", c.file, c.dir, got, c.want)
		}
	}
}

func BenchmarkReports(b *testing.B) {
	p := twoThousand()
	for ending, write := range reportWriters() {
		b.Run(ending, func(b *testing.B) {
			for b.Loop() {
				if err := write(io.Discard, render.ReportOfPlan(p), inProd); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
