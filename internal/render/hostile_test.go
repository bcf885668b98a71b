package render_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"

	"github.com/cofferhq/coffer/internal/render"
	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/providers/providertest/hostile"
	"github.com/cofferhq/coffer/state"
)

// forged is what the last line of an empty plan looks like.
const forged = "No changes. 45 secrets unchanged since their recorded version. Values read: 0."

// hostileStrings are the shared list and what this package has to fear besides:
// forged lines, and texts just beyond its limits.
func hostileStrings() []string {
	fences := func(r string) (out []string) {
		for n := 3; n <= 40; n += 37 {
			out = append(out, strings.Repeat(r, n))
		}
		return out
	}
	list := []string{
		"\x1b[2J\x1b[H" + forged, "\x1b[1;32mgreen", "\x1b[8mhidden\x1b[28m", "\x1b]0;title\x07", "\x1bc", "\x1b[31", "\x1b",
		"\x1b]8;;http://example.test\x1b\\link\x1b]8;;\x1b\\", "\x1b]52;c;aGk=\x07",
		"\u009b31mC1", "\u0085next line", "\u008d", "\x9b31m raw C1", "\a\b\b\b\v\f\x7f",
		"before\roverwritten", "\r\n" + forged, "\n" + forged, "\n\n\n", "\tand\ttabs",
		"\u202etxt.exe\u202c", "\u2066isolate\u2069", "\u200f\u200e\u061c", "\u202d",
		"zero\u200bwidth\u200c\u200d\ufeff\u2060", "soft\u00adhyphen", "\u180e\u034f\u115f\u1160\u3164\uffa0\u2800",
		"variation\ufe0f\U000e0100", "\U000e0041\U000e007f tag", "\ue000private\U000f0000", "\ufff9\ufffa\ufffb",
		"nul\x00byte", "line\u2028separator\u2029paragraph", "\xff\xfe\xc0\xaf\xed\xa0\x80", "cut \xe2\x82", "\U0010ffff",
		"Z\u0300\u0301\u0302\u0303\u0304\u0305\u0306\u0307", "\u0338struck", "\u20dd", "wide \u6f22\u5b57 \uff21",
		"::add-mask::x", "  ::error file=a::x", "::stop-commands::t", "::set-output name=a::b", "\u00a0::warning::x", "\ufeff::debug::x",
		"##vso[task.setvariable variable=a]b", "##[add-mask]x", "##[group]x", "x ##vso[task.complete]", "##teamcity[x]", "###[error]x",
		"%0A::error::x", "%s%d%!v(MISSING)%n", "${jndi:ldap://x}", "`rm -rf ~`", "'; rm -rf ~; '", `"]; x ["`, `\u001b[31m`, `\`,
		"<script>alert(1)</script>", "javascript:alert(1)", "[link](javascript:x)", "@everyone", "=cmd|' /C calc'!A0", "+1", "-1",
		"\x1b[0Ksection_start:1:x[collapsed=true]\r\x1b[0K", "travis_fold:start:x\r",
		"--- a\n+++ b\n-```\n+" + forged + "\n</pre><script>x</script>\n@everyone", "x\n--- \n+++ \n\n\n~~~\n# h\n" + strings.Repeat(" ", 78) + forged,
		strings.Repeat(" ", 200) + forged, "pad" + strings.Repeat(" ", 77) + forged,
		// Beyond every limit; TestLongLines has the megabyte.
		strings.Repeat("A", 68<<10), strings.Repeat("word ", 14<<10), strings.Repeat("\n"+forged, 60), strings.Repeat("\u202e", 2<<10), "",
	}
	list = append(append(list, fences("`")...), fences("~")...)
	for _, h := range hostile.Strings() {
		if len(h) < 4<<10 {
			list = append(list, h)
		}
	}
	return list
}

// filler sets every field that it can reach. With closed it keeps to the
// values of closed lists, else these are hostile as well.
type filler struct {
	text   string
	closed bool
}

func fillNew[T any](f filler) *T {
	v := new(T)
	f.fill(reflect.ValueOf(v).Elem(), 2, new(int))
	return v
}

func (f filler) fill(v reflect.Value, depth int, n *int) {
	switch v.Kind() {
	case reflect.String:
		*n++
		v.SetString(f.string(v.Type(), *n))
	case reflect.Bool:
		*n++
		v.SetBool(*n%2 == 0)
	case reflect.Int, reflect.Int64:
		v.SetInt(3)
		if f.closed {
			v.SetInt(1)
		}
	case reflect.Uint64:
		v.SetUint(3)
	case reflect.Pointer:
		if depth > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			f.fill(v.Elem(), depth-1, n)
		}
	case reflect.Slice:
		for range 2 {
			e := reflect.New(v.Type().Elem()).Elem()
			f.fill(e, depth-1, n)
			v.Set(reflect.Append(v, e))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for range 2 {
			key, e := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			f.fill(key, depth-1, n)
			f.fill(e, depth-1, n)
			if e.Kind() != reflect.Pointer || !e.IsNil() {
				v.SetMapIndex(key, e)
			}
		}
	case reflect.Struct:
		f.fillStruct(v, depth, n)
	}
}

func (f filler) fillStruct(v reflect.Value, depth int, n *int) {
	if v.Type() == reflect.TypeFor[time.Time]() {
		v.Set(reflect.ValueOf(noon))
		return
	}
	for i := range v.NumField() {
		f.fill(v.Field(i), depth, n)
		if value, ok := closedValue(v.Type(), v.Type().Field(i).Name); ok && f.closed {
			v.Field(i).SetString(value)
		}
	}
}

// string is hostile, and different every time, so that before and after differ.
func (f filler) string(t reflect.Type, n int) string {
	if f.closed && t != reflect.TypeFor[string]() {
		switch t {
		case reflect.TypeFor[planner.Action]():
			return string([]planner.Action{planner.Create, planner.Conflict, planner.Delete, planner.Unknown}[n%4])
		case reflect.TypeFor[planner.RotationState]():
			return string(planner.RotationOverdue)
		case reflect.TypeFor[planner.DriftKind]():
			return string(planner.DriftChanged)
		case reflect.TypeFor[planner.Severity]():
			return string(planner.SeverityError)
		}
		return string(planner.ReasonMissing)
	}
	return f.text + strconv.Itoa(n)
}

func hostileDiagnostics(h string) hcl.Diagnostics {
	return hcl.Diagnostics{
		{Severity: hcl.DiagError, Summary: h, Detail: h, Subject: &hcl.Range{
			Filename: h, Start: hcl.Pos{Line: 1, Column: 1 + len(h), Byte: len(h)}, End: hcl.Pos{Line: 1, Column: 1 + 2*len(h), Byte: 2 * len(h)},
		}},
		{Severity: hcl.DiagWarning, Summary: h},
	}
}

// outputs are all the ways from hostile text to a sink.
func outputs(h string, style render.Style) map[string]func(io.Writer) error {
	out := map[string]func(io.Writer) error{}
	for _, closed := range []bool{false, true} {
		if len(h) > 4<<10 && !closed {
			continue // slow, and nothing new
		}
		f := filler{text: h, closed: closed}
		name := fmt.Sprintf("closed=%v ", closed)
		plan, report, snap := fillNew[planner.Plan](f), fillNew[planner.DriftReport](f), fillNew[state.Snapshot](f)
		apply := *fillNew[render.ApplySummary](f)
		out[name+"plan"] = func(w io.Writer) error { return render.PlanText(w, plan, style) }
		out[name+"plan json"] = func(w io.Writer) error { return render.PlanJSON(w, plan) }
		out[name+"drift"] = func(w io.Writer) error { return render.DriftText(w, report, style) }
		out[name+"drift json"] = func(w io.Writer) error { return render.DriftJSON(w, report) }
		out[name+"apply"] = func(w io.Writer) error { return render.ApplyText(w, apply, style) }
		out[name+"apply json"] = func(w io.Writer) error { return render.ApplyJSON(w, apply) }
		rotation := fillNew[planner.RotationStatus](f)
		out[name+"rotation"] = func(w io.Writer) error { return render.RotationText(w, rotation, style) }
		out[name+"rotation json"] = func(w io.Writer) error { return render.RotationJSON(w, rotation) }
		out[name+"rotation prometheus"] = func(w io.Writer) error { return render.RotationPrometheus(w, rotation) }
		doctor := []render.Checkup{*fillNew[render.Checkup](f)}
		out[name+"doctor"] = func(w io.Writer) error { return render.DoctorText(w, doctor, style) }
		out[name+"doctor json"] = func(w io.Writer) error { return render.DoctorJSON(w, "plan", doctor, nil) }
		out[name+"state"] = func(w io.Writer) error { return render.StateText(w, snap, style) }
		out[name+"state json"] = func(w io.Writer) error { return render.StateJSON(w, snap) }
		list := []*state.Entry{fillNew[state.Entry](f), fillNew[state.Entry](f)}
		out[name+"entry"] = func(w io.Writer) error { return render.EntryText(w, list[0], style) }
		out[name+"list"] = func(w io.Writer) error { return render.StateListText(w, list, style) }
		out[name+"list json"] = func(w io.Writer) error { return render.EntriesJSON(w, list) }
		out[name+"many"] = func(w io.Writer) error { return render.PlanText(w, manyHostile(plan), style) }
	}
	ds := hostileDiagnostics(h)
	files := map[string]*hcl.File{h: {Bytes: []byte(h + h + h)}}
	out["hcl"] = func(w io.Writer) error { return render.DiagnosticsText(w, ds, files, style) }
	plain := strings.ReplaceAll(h, "\t", " ") // a patch keeps tabs, or it would not apply
	out["patch"] = func(w io.Writer) error { return render.Patch(w, h, plain+"\n"+plain, plain) }
	out["hcl json"] = func(w io.Writer) error { return render.DiagnosticsJSON(w, ds) }
	return out
}

// manyHostile repeats changes until they are joined.
func manyHostile(p *planner.Plan) *planner.Plan {
	many := *p
	many.Changes = nil
	for i := range 20 {
		c := p.Changes[0]
		c.Address.Name += strconv.Itoa(i)
		c.From, c.Before, c.After = nil, "", ""
		many.Changes = append(many.Changes, c)
	}
	return &many
}

// forPrograms reports whether an output has no lines that a person reads.
func forPrograms(name string) bool {
	return strings.HasSuffix(name, "json") || strings.HasSuffix(name, "prometheus")
}

func TestHostileText(t *testing.T) {
	for i, h := range hostileStrings() {
		// JSON has no limits to try, and no colour.
		skip := func(name string, color bool) bool {
			return forPrograms(name) && (color || len(h) > 4<<10)
		}
		plain := map[string]string{}
		for name, write := range outputs(h, render.Style{}) {
			if skip(name, false) {
				continue
			}
			var out bytes.Buffer
			if err := write(&out); err != nil {
				t.Fatalf("%d %s: %v", i, name, err)
			}
			screen, err := terminal(out.String(), false)
			if err == nil && !forPrograms(name) {
				err = lines(screen)
			}
			if err != nil {
				t.Errorf("string %d %.40q, %s: %v", i, h, name, err)
			}
			plain[name] = screen
		}
		for name, write := range outputs(h, render.Style{Color: true}) {
			if skip(name, true) {
				continue
			}
			var out bytes.Buffer
			if err := write(&out); err != nil {
				t.Fatalf("%d %s: %v", i, name, err)
			}
			screen, err := terminal(out.String(), true)
			if err != nil {
				t.Errorf("string %d %.40q, %s in colour: %v", i, h, name, err)
			}
			if screen != plain[name] {
				t.Errorf("string %d %.40q, %s: colour changes the text", i, h, name)
			}
		}
	}
}

// terminal shows out as a terminal would and returns its text. It is an error
// if anything could move the cursor, hide or reorder text, leave a colour on
// or start a CI command.
func terminal(out string, color bool) (string, error) {
	var screen strings.Builder
	on := false
	for rest := out; rest != ""; {
		r, n := utf8.DecodeRuneInString(rest)
		switch {
		case r == '\x1b' && color && styling.MatchString(rest):
			seq := styling.FindString(rest)
			if reset := seq == "\x1b[0m"; reset != on {
				return "", fmt.Errorf("colour switched twice at %.60q", rest)
			}
			on = !on
			rest = rest[len(seq):]
			continue
		case r == utf8.RuneError && n == 1:
			return "", fmt.Errorf("invalid UTF-8 at %.60q", rest)
		case r == '\n' && on:
			return "", fmt.Errorf("a colour goes over the end of a line at %.60q", rest)
		case r == '\n', r >= ' ' && r < 0x7f:
		case invisible.MatchString(string(r)):
			return "", fmt.Errorf("%U reaches the terminal at %.60q", r, rest)
		}
		screen.WriteRune(r)
		rest = rest[n:]
	}
	for line := range strings.Lines(screen.String()) {
		if command.MatchString(line) {
			return "", fmt.Errorf("a CI command in %.60q", line)
		}
	}
	return screen.String(), nil
}

// lines looks at text as a terminal of 80 columns breaks it. It is an error if
// a line passes for one of ours or goes on without end.
func lines(screen string) error {
	for line := range strings.Lines(screen) {
		if !strings.HasSuffix(line, "\n") {
			return fmt.Errorf("no newline after %.60q", line)
		}
		if len(line) > 66<<10 {
			return fmt.Errorf("a line of %d bytes", len(line))
		}
		for from := 0; from < len(line); from += 80 {
			if strings.HasPrefix(line[from:], forged) {
				return fmt.Errorf("a forged line in %.200q", line)
			}
		}
	}
	return nil
}

var (
	styling = regexp.MustCompile(`^\x1b\[(0|1|2|32|33|36|1;31)m`)
	command = regexp.MustCompile(`^\s*::|##[[:alpha:]]*\[`)
	// invisible is written down apart from the code it tests.
	invisible = regexp.MustCompile(`[\x{0}-\x{1f}\x{7f}-\x{a0}\x{ad}\x{34f}\x{61c}\x{115f}\x{1160}\x{180b}-\x{180f}` +
		`\x{2000}-\x{200f}\x{2028}-\x{202f}\x{205f}-\x{206f}\x{2800}\x{3000}\x{3164}\x{e000}-\x{f8ff}\x{fe00}-\x{fe0f}\x{feff}\x{ffa0}` +
		`\x{fff0}-\x{fffb}\x{e0000}-\x{10ffff}]`)
)

// TestTerminalSees proves that the check above finds what it looks for.
func TestTerminalSees(t *testing.T) {
	for _, bad := range []string{
		"\x1b[31mred\n", "a\rb\n", "a\u202eb\n", "a\u200bb\n", "\U000e0041\n", "\u0085\n", "  ::error::x\n", "a ##vso[x]\n",
		"\xff\n", "\x1b[32mgreen\n",
	} {
		if _, err := terminal(bad, false); err == nil {
			t.Errorf("%q passes", bad)
		}
		if _, err := terminal(bad, true); err == nil {
			t.Errorf("%q passes in colour", bad)
		}
	}
	for _, bad := range []string{"no newline", forged + "\n", strings.Repeat("x", 80) + forged + "\n", strings.Repeat("x", 67<<10) + "\n"} {
		if lines(bad) == nil {
			t.Errorf("%.100q passes", bad)
		}
	}
	if _, err := terminal("fine\n  \x1b[32mgreen\x1b[0m\n", true); err != nil {
		t.Error(err)
	}
}

// TestJSONIsExact: what is escaped in a document is still the same text.
func TestJSONIsExact(t *testing.T) {
	for _, h := range hostileStrings() {
		p := newPlan(1, change(planner.Create, planner.ReasonNew, "a", "dev", "b"))
		p.Changes[0].Location.Path = h
		var out bytes.Buffer
		if err := render.PlanJSON(&out, p); err != nil {
			t.Fatal(err)
		}
		var doc struct {
			Changes []struct{ Location planner.Location }
		}
		if err := json.Unmarshal(out.Bytes(), &doc); err != nil {
			t.Fatal(err)
		}
		// encoding/json replaces each byte that is not UTF-8.
		want := string([]rune(h))
		if got := doc.Changes[0].Location.Path; got != want {
			t.Errorf("%.60q became %.60q", want, got)
		}
	}
}
