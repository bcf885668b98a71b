package render_test

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cofferhq/coffer/internal/render"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
)

// rotations is one secret in each state, and some that are long.
func rotations() *planner.RotationStatus {
	secret := func(name string, state planner.RotationState, days int, due int, rule planner.RotationRule) planner.SecretRotation {
		r := planner.SecretRotation{
			Address: addr.Secret("checkout", "production", name), State: state, Overdue: state == planner.RotationOverdue, Rule: rule,
			Range: &planner.Range{File: "checkout.hcl", Line: 12, Column: 3},
		}
		if days >= 0 {
			age := int64(days)*86400 + 7200
			r.AgeSeconds, r.LastRotated = &age, noon.Add(-time.Duration(age)*time.Second)
		}
		if due != 0 {
			r.NextDue = noon.AddDate(0, 0, due)
		}
		return r
	}
	monthly := planner.RotationRule{Every: "30d", NotifyBefore: "7d"}
	status := &planner.RotationStatus{
		FormatVersion: 1, Project: "payments-7c1f", Lineage: "5f0c", Serial: 7, CreatedAt: noon, Overdue: 2, DueSoon: 1,
		Secrets: []planner.SecretRotation{
			secret("db", planner.RotationOverdue, 45, -15, planner.RotationRule{Every: "30d", Strategy: "regenerate", Window: "Sun 02:00-06:00 UTC"}),
			secret("api_key", planner.RotationOverdue, 31, -1, monthly),
			secret("stripe", planner.RotationDueSoon, 25, 4, monthly),
			secret("jwt", planner.RotationScheduled, 0, 29, planner.RotationRule{Every: "30d"}),
			secret("a_name_that_leaves_no_room_for_a_rule_on_its_line", planner.RotationScheduled, 1, 29, monthly),
			secret("bank", planner.RotationNotMade, -1, 0, monthly),
			secret("legacy", planner.RotationNone, 1900, 0, planner.RotationRule{}),
			secret("signing", planner.RotationNever, 400, 0, planner.RotationRule{}),
			secret("db_url", planner.RotationFollows, 45, 0, planner.RotationRule{}),
		},
	}
	return status
}

func TestRotationGolden(t *testing.T) {
	for name, write := range map[string]func(io.Writer) error{
		"rotation.txt":      func(w io.Writer) error { return render.RotationText(w, rotations(), render.Style{Width: 80}) },
		"rotation-wide.txt": func(w io.Writer) error { return render.RotationText(w, rotations(), render.Style{Width: 140}) },
		"rotation.json":     func(w io.Writer) error { return render.RotationJSON(w, rotations()) },
		"rotation.prom":     func(w io.Writer) error { return render.RotationPrometheus(w, rotations()) },
		"plan-at.txt": func(w io.Writer) error {
			p := threeChanges()
			p.At = noon.AddDate(0, 1, 0)
			return render.PlanText(w, p, render.Style{Width: 80})
		},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := write(&out); err != nil {
				t.Fatal(err)
			}
			golden(t, name, out.Bytes())
		})
	}
}

func TestRotationDocumentsAreValid(t *testing.T) {
	s := schema(t, "rotation")
	list := []*planner.RotationStatus{{FormatVersion: 1}, rotations()}
	for _, h := range hostileStrings() {
		if len(h) < 4<<10 {
			list = append(list, fillNew[planner.RotationStatus](filler{text: h, closed: true}))
		}
	}
	for _, status := range list {
		var out bytes.Buffer
		if err := render.RotationJSON(&out, status); err != nil {
			t.Fatal(err)
		}
		validate(t, s, out.Bytes())
	}
	if diff := cmp.Diff(constants(t, "planner", "RotationState"), schemaList(t, "rotation", "$defs", "state", "enum")); diff != "" {
		t.Errorf("RotationState (-constants +schema):\n%s", diff)
	}
}

var (
	sample  = regexp.MustCompile(`^([a-z_]+)\{project="((?:[^"\\\n]|\\[\\"n])*)",address="((?:[^"\\\n]|\\[\\"n])*)"\} -?[0-9]+$`)
	comment = regexp.MustCompile(`^# (HELP|TYPE) ([a-z_]+) .+$`)
)

// exposition reads the text format of Prometheus strictly: it returns the labels
// of each sample, unescaped. Every metric has its help and type before it, once.
func exposition(text string) (labels [][2]string, err error) {
	said := map[string]int{}
	unescape := strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\n`, "\n")
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if m := comment.FindStringSubmatch(line); m != nil {
			said[m[1]+m[2]]++
			continue
		}
		m := sample.FindStringSubmatch(line)
		if m == nil {
			return nil, fmt.Errorf("no sample: %.200q", line)
		}
		if said["HELP"+m[1]] != 1 || said["TYPE"+m[1]] != 1 {
			return nil, fmt.Errorf("%s has no help or type, or two", m[1])
		}
		labels = append(labels, [2]string{unescape.Replace(m[2]), unescape.Replace(m[3])})
	}
	return labels, nil
}

// Whatever a name is, the metrics are read as they were meant.
func TestPrometheusIsRead(t *testing.T) {
	for _, h := range hostileStrings() {
		for _, closed := range []bool{false, true} {
			status := fillNew[planner.RotationStatus](filler{text: h, closed: closed})
			var out bytes.Buffer
			if err := render.RotationPrometheus(&out, status); err != nil {
				t.Fatal(err)
			}
			labels, err := exposition(out.String())
			if err != nil || len(labels) != 3*len(status.Secrets) {
				t.Fatalf("%.40q: %d samples, %v", h, len(labels), err)
			}
			for i, got := range labels {
				want := [2]string{render.Sanitize(status.Project), render.Sanitize(status.Secrets[i%len(status.Secrets)].Address.String())}
				if got != want {
					t.Fatalf("labels are %.80q, want %.80q", got, want)
				}
			}
		}
	}
	for _, bad := range []string{"x{project=\"a\nb\",address=\"\"} 1\n", `coffer_x{project="",address=""} 1` + "\n", `x{project="a"b",address=""} 1` + "\n"} {
		if _, err := exposition(bad); err == nil {
			t.Errorf("%q passes", bad)
		}
	}
}

func TestReportOfRotation(t *testing.T) {
	rep := render.ReportOfRotation(rotations())
	if len(rep.Findings) != 2 || rep.Unchanged != 7 || len(render.RotationInTime(rotations())) != 7 {
		t.Errorf("%d findings, %d unchanged", len(rep.Findings), rep.Unchanged)
	}
	for _, f := range rep.Findings {
		if f.Rule != render.RuleRotationOverdue || f.Range == nil || !strings.HasPrefix(f.Message, "due since 2026-11-") {
			t.Errorf("%+v", f)
		}
	}
}

// A secret that is overdue has one identity, whoever reports it.
func TestOverdueIsOneFinding(t *testing.T) {
	status := rotations()
	note := planner.Note{Address: status.Secrets[0].Address, Reason: planner.ReasonRotationDue, Range: status.Secrets[0].Range}
	plan := render.ReportOfPlan(&planner.Plan{Refreshed: true, Notes: []planner.Note{note}})
	for _, f := range render.ReportOfRotation(status).Findings {
		if f.Address == note.Address && f.Key != plan.Findings[0].Key {
			t.Errorf("%s in a plan, %s in the status", plan.Findings[0].Key, f.Key)
		}
	}
}

func BenchmarkRotationText(b *testing.B) {
	status := rotations()
	for len(status.Secrets) < 2000 {
		status.Secrets = append(status.Secrets, status.Secrets...)
	}
	for b.Loop() {
		if err := render.RotationText(io.Discard, status, render.Style{}); err != nil {
			b.Fatal(err)
		}
	}
}
