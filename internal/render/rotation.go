package render

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
)

// rotationLook is how one state of a rotation looks.
type rotationLook struct {
	word string
	tone Tone
}

func rotationLookOf(s planner.RotationState) rotationLook {
	look, ok := map[planner.RotationState]rotationLook{
		planner.RotationOverdue:   {"overdue", Danger},
		planner.RotationDueSoon:   {"due soon", Caution},
		planner.RotationScheduled: {"scheduled", Plain},
		planner.RotationNotMade:   {"not made", Faint},
		planner.RotationNone:      {"none", Faint},
		planner.RotationNever:     {"never", Faint},
		planner.RotationFollows:   {"follows", Faint},
	}[s]
	if !ok {
		return rotationLook{"unknown", Danger}
	}
	return look
}

// The widths of the columns before the address.
const (
	rotationStateWidth = len("scheduled") + 2
	rotationDateWidth  = len(time.DateOnly) + 2
	rotationAgeWidth   = len("99999d") + 1
	rotationTableWidth = rotationStateWidth + 2*rotationDateWidth + rotationAgeWidth
)

// RotationText writes a table of what a rotation status holds, a line for each
// secret: its address is never broken, and what does not fit into the line
// stands below it. The only errors are the sink's.
func RotationText(w io.Writer, status *planner.RotationStatus, s Style) error {
	p := newPage(w, s)
	if len(status.Secrets) > 0 {
		p.line(0, faint(rotationColumns("STATUS", "NEXT DUE", "ROTATED", "AGE")+"SECRET, RULE"))
	}
	for i := range status.Secrets {
		r := &status.Secrets[i]
		look := rotationLookOf(r.State)
		due, rotated, age := "-", "-", "-"
		if !r.NextDue.IsZero() {
			due = r.NextDue.UTC().Format(time.DateOnly)
		}
		if !r.LastRotated.IsZero() {
			rotated = r.LastRotated.UTC().Format(time.DateOnly)
		}
		if r.AgeSeconds != nil {
			age = ageText(*r.AgeSeconds)
		}
		row := []span{toned(look.tone, rotationColumns(look.word, due, rotated, age)), solid(Strong, r.Address.String())}
		rule := ruleText(r.Rule)
		if used := rotationTableWidth + columns(Sanitize(row[1].text)); used+columns(rule)+2 > p.width {
			p.line(0, row...)
			p.flow(rotationStateWidth, rotationStateWidth+2, text(rule))
			continue
		} else if rule != "" {
			row = append(row, text("  "+rule))
		}
		p.line(0, row...)
	}
	planDiagnostics(p, status.Diagnostics)
	p.gap()
	p.line(0, toned(Strong, rotationLastLine(status)))
	return p.end()
}

func rotationColumns(state, due, rotated, age string) string {
	return pad(state, rotationStateWidth) + pad(due, rotationDateWidth) + pad(rotated, rotationDateWidth) + pad(age, rotationAgeWidth)
}

// ruleText says a rule in the words of the configuration.
func ruleText(r planner.RotationRule) string {
	var parts []string
	for _, part := range []struct{ before, text string }{
		{"every ", r.Every}, {"notice ", r.NotifyBefore}, {"", r.Strategy}, {"", r.Window},
	} {
		if part.text != "" {
			parts = append(parts, part.before+part.text)
		}
	}
	return oneLine(strings.Join(parts, ", "))
}

// ageText is an age in its largest unit.
func ageText(seconds int64) string {
	switch {
	case seconds >= 86400:
		return fmt.Sprintf("%dd", seconds/86400)
	case seconds >= 3600:
		return fmt.Sprintf("%dh", seconds/3600)
	}
	return fmt.Sprintf("%dm", seconds/60)
}

// RotationJSON writes the document that docs/schema/rotation.schema.json
// describes.
func RotationJSON(w io.Writer, status *planner.RotationStatus) error {
	doc := *status
	doc.Secrets = notNull(doc.Secrets)
	doc.Diagnostics = notNull(doc.Diagnostics)
	return JSON(w, doc)
}

// RotationPrometheus writes a rotation status in the text format of Prometheus,
// version 0.0.4: one series of a metric for each secret that has it. The only
// errors are the sink's.
func RotationPrometheus(w io.Writer, status *planner.RotationStatus) error {
	var b strings.Builder
	for _, metric := range rotationMetrics() {
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s gauge\n", metric.name, metric.help, metric.name)
		for i := range status.Secrets {
			r := &status.Secrets[i]
			if value, ok := metric.value(r); ok {
				fmt.Fprintf(&b, "%s{project=\"%s\",address=\"%s\"} %d\n", metric.name, labelValue(status.Project), labelValue(r.Address.String()), value)
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// rotationMetric is one metric; value is false where a secret has none.
type rotationMetric struct {
	name, help string
	value      func(*planner.SecretRotation) (int64, bool)
}

// rotationMetrics lists the metrics. Their names are a contract.
func rotationMetrics() []rotationMetric {
	return []rotationMetric{
		{
			"coffer_secret_age_seconds", "Time since the value of a secret was made, set, accepted or imported.",
			func(r *planner.SecretRotation) (int64, bool) {
				if r.AgeSeconds == nil {
					return 0, false
				}
				return *r.AgeSeconds, true
			},
		},
		{
			"coffer_secret_next_rotation_timestamp_seconds", "When the next rotation of a secret is due, in seconds since 1970.",
			func(r *planner.SecretRotation) (int64, bool) { return r.NextDue.Unix(), !r.NextDue.IsZero() },
		},
		{
			"coffer_secret_rotation_overdue", "Whether the rotation of a secret is overdue: 1 if it is, 0 if not.",
			func(r *planner.SecretRotation) (int64, bool) {
				if r.Overdue {
					return 1, true
				}
				return 0, true
			},
		},
	}
}

// labelValue escapes what a label may not hold as it is. What cannot be shown is
// an escape already, so of those that the format knows only two are left.
func labelValue(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(Sanitize(s))
}

// ReportOfRotation returns the rotations that are overdue.
func ReportOfRotation(status *planner.RotationStatus) *Report {
	rep := &Report{Command: "rotation", Project: status.Project, At: status.CreatedAt}
	for i := range status.Secrets {
		r := &status.Secrets[i]
		if !r.Overdue {
			rep.Unchanged++
			continue
		}
		rep.Findings = append(rep.Findings, NewFinding(RuleRotationOverdue, LevelWarning, r.Address, r.Range, "Rotation overdue",
			fmt.Sprintf("due since %s, made %s, every %s", r.NextDue.UTC().Format(time.DateOnly), r.LastRotated.UTC().Format(time.DateOnly), r.Rule.Every)))
	}
	rep.add(nil, nil, status.Diagnostics)
	return rep
}

// RotationInTime returns the addresses that [ReportOfRotation] counts as
// unchanged.
func RotationInTime(status *planner.RotationStatus) []addr.Address {
	var out []addr.Address
	for i := range status.Secrets {
		if !status.Secrets[i].Overdue {
			out = append(out, status.Secrets[i].Address)
		}
	}
	return out
}
