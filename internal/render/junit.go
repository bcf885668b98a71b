package render

import (
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/cofferhq/coffer/lang/addr"
)

// junitCase is one address, or what is wrong with something that has none.
type junitCase struct {
	class, name, file string
	outcome           string // failure, error or "" for passed
	kind              string // the rule
	message           string
	body              []string // of the failure, or of what is only said
}

// JUnit writes a report as JUnit XML with one case an address. What is in
// conflict, drifted or wrong fails, what could not be told is an error, and
// what only warns passes with its text beside it. Unchanged addresses pass
// where the options name them; else the suite has their number as a property.
// The only errors are the sink's.
func JUnit(w io.Writer, rep *Report, o ReportOptions) error {
	cases := junitCases(rep, o)
	failures, errors := 0, 0
	for _, c := range cases {
		switch c.outcome {
		case "failure":
			failures++
		case "error":
			errors++
		}
	}
	var b strings.Builder
	name := Sanitize("coffer " + rep.Command)
	counts := fmt.Sprintf(`tests="%d" failures="%d" errors="%d" time="0"`, len(cases), failures, errors)
	b.WriteString(xml.Header)
	fmt.Fprintf(&b, "<testsuites name=\"%s\" %s>\n", xmlText(name), counts)
	fmt.Fprintf(&b, "  <testsuite name=\"%s\" %s skipped=\"0\"", xmlText(name), counts)
	if !rep.At.IsZero() {
		fmt.Fprintf(&b, ` timestamp="%s"`, rep.At.UTC().Format("2006-01-02T15:04:05"))
	}
	b.WriteString(">\n    <properties>\n")
	if rep.Project != "" {
		fmt.Fprintf(&b, "      <property name=\"project\" value=\"%s\"/>\n", xmlText(Sanitize(rep.Project)))
	}
	fmt.Fprintf(&b, "      <property name=\"unchanged\" value=\"%d\"/>\n    </properties>\n", rep.Unchanged)
	for _, c := range cases {
		c.write(&b)
	}
	b.WriteString("  </testsuite>\n</testsuites>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// junitCases returns the cases in address order, those without one first.
func junitCases(rep *Report, o ReportOptions) []*junitCase {
	byAddress := map[addr.Address]*junitCase{}
	var addresses []addr.Address
	var cases []*junitCase
	of := func(a addr.Address) *junitCase {
		c := byAddress[a]
		if c == nil {
			class, name := splitAddress(a)
			c = &junitCase{class: class, name: name}
			byAddress[a] = c
			addresses = append(addresses, a)
		}
		return c
	}
	for i := range rep.Findings {
		f := &rep.Findings[i]
		var c *junitCase
		if f.Address.IsZero() {
			c = &junitCase{class: "configuration", name: f.Title}
			cases = append(cases, c)
		} else {
			c = of(f.Address)
		}
		c.add(f, o)
	}
	for _, a := range rep.Planned {
		of(a)
	}
	for _, a := range o.Unchanged {
		of(a)
	}
	slices.SortFunc(addresses, naturally)
	for _, a := range addresses {
		cases = append(cases, byAddress[a])
	}
	return cases
}

// splitAddress returns what groups an address, and its name in the group.
func splitAddress(a addr.Address) (class, name string) {
	text := a.String()
	group := addr.Address{Provider: a.Provider, App: a.App, AppKey: a.AppKey}.String()
	if rest, ok := strings.CutPrefix(text, group+"."); ok && group != "" {
		return group, rest
	}
	return "coffer", text
}

// add adds a finding to its case. The first is the most important one, and
// gives it its message; an error beats a failure.
func (c *junitCase) add(f *ReportFinding, o ReportOptions) {
	if file, _, exact := o.place(f); exact && c.file == "" {
		c.file = file
	}
	if outcome := junitOutcome(f); outcome != "" && c.outcome != "error" && (c.outcome == "" || outcome == "error") {
		c.outcome, c.kind, c.message = outcome, f.Rule, f.headline()
	}
	c.body = append(c.body, f.text()...)
	if file, line, exact := o.place(f); exact {
		c.body = append(c.body, Sanitize(file)+":"+strconv.Itoa(line))
	}
}

func junitOutcome(f *ReportFinding) string {
	switch {
	case f.Rule == RuleUnknown || f.Rule == ruleDrift+"unknown":
		return "error"
	case f.Level == LevelError, f.Rule == RuleCheckFailed, f.Rule == RuleGrantRemoved, strings.HasPrefix(f.Rule, ruleDrift):
		return "failure"
	}
	return ""
}

func (c *junitCase) write(b *strings.Builder) {
	fmt.Fprintf(b, "    <testcase classname=\"%s\" name=\"%s\" time=\"0\"", xmlText(Sanitize(c.class)), xmlText(Sanitize(c.name)))
	if c.file != "" {
		fmt.Fprintf(b, ` file="%s"`, xmlText(Sanitize(c.file)))
	}
	if len(c.body) == 0 {
		b.WriteString("/>\n")
		return
	}
	body := xmlText(strings.Join(c.body, "\n"))
	if c.outcome == "" {
		fmt.Fprintf(b, ">\n      <system-out>%s</system-out>\n    </testcase>\n", body)
		return
	}
	fmt.Fprintf(b, ">\n      <%s message=\"%s\" type=\"%s\">%s</%s>\n    </testcase>\n",
		c.outcome, xmlText(Sanitize(c.message)), xmlText(Sanitize(c.kind)), body, c.outcome)
}

// xmlText escapes sanitised text for an attribute or for the text of an
// element. Nothing in it is a control character but the newlines between lines.
func xmlText(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&apos;").Replace(s)
}
