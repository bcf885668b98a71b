package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestEscapeRoff(t *testing.T) {
	for in, want := range map[string]string{
		`a-b 'c' "d"`:     `a\-b \(aqc\(aq \(dqd\(dq`,
		"`x` ^ ~ \\n":     `\(gax\(ga \(ha \(ti \en`,
		"42:… → é":        `42:\[u2026] \[u2192] \[u00E9]`,
		"\U0001F511":      `\[u1F511]`,
		"plain, [a] (b).": "plain, [a] (b).",
	} {
		if got := escapeRoff(in); got != want {
			t.Errorf("escapeRoff(%q) = %q, want %q", in, got, want)
		}
		if got := unescapeRoff(t, escapeRoff(in)); got != in {
			t.Errorf("a reader of escapeRoff(%q) sees %q", in, got)
		}
	}
	for in, want := range map[string]string{".sops.yaml is written": `\&.sops.yaml is written`, "'tis": `\(aqtis`, "": ""} {
		r := newRoff([]string{"coffer"}, "x")
		head := r.b.Len()
		r.text(in)
		if got := strings.TrimSuffix(r.b.String()[head:], "\n"); got != want {
			t.Errorf("the line %q becomes %q, want %q", in, got, want)
		}
	}
}

// roffEscape finds what escapeRoff and the pages' own markup write.
var roffEscape = regexp.MustCompile(`\\(e|-|&|\(aq|\(ga|\(ha|\(ti|\(dq|f[BIR]|\[u[0-9A-F]{4,6}\]|.?)`)

// unescapeRoff reads text as roff does, and knows no other escapes.
func unescapeRoff(t *testing.T, s string) string {
	t.Helper()
	known := map[string]string{
		"e": `\`, "-": "-", "&": "", "(aq": "'", "(ga": "`", "(ha": "^", "(ti": "~", "(dq": `"`, "fB": "", "fI": "", "fR": "",
	}
	return roffEscape.ReplaceAllStringFunc(s, func(e string) string {
		e = e[1:]
		if hex, ok := strings.CutPrefix(e, "[u"); ok {
			c, err := strconv.ParseInt(strings.TrimSuffix(hex, "]"), 16, 32)
			if err != nil {
				t.Errorf("the escape %q: %v", e, err)
			}
			return string(rune(c))
		}
		text, ok := known[e]
		if !ok {
			t.Errorf(`the escape \%s is none`, e)
		}
		return text
	})
}

// Every command has a page in which a reader of man(7) finds all that its help
// says, and which holds no request but the few that every reader knows.
func TestManPages(t *testing.T) {
	app := newApp(&invocation{})
	pages := map[string]string{}
	for _, p := range manPages(app) {
		pages[p.name] = p.roff
	}
	space := regexp.MustCompile(`\s+`)
	flat := func(s string) string { return space.ReplaceAllString(s, "") }
	for _, command := range allHelp() {
		words := strings.Fields(command)[1:]
		name := strings.Join(append([]string{"coffer"}, words...), "-") + ".1"
		page, ok := pages[name]
		if !ok {
			t.Errorf("there is no page %s", name)
			continue
		}
		delete(pages, name)
		var shown strings.Builder
		for line := range strings.Lines(page) {
			if strings.HasPrefix(line, "'") {
				t.Errorf("%s: %q is a request", name, line)
			}
			if strings.HasPrefix(line, ".") {
				request, _, _ := strings.Cut(strings.TrimSpace(line), " ")
				if !slices.Contains([]string{".TH", ".SH", ".PP", ".TP", ".RS", ".RE", ".nf", ".fi"}, request) {
					t.Errorf("%s: the request %q", name, line)
				}
				continue
			}
			shown.WriteString(unescapeRoff(t, line))
		}
		if strings.ContainsFunc(page, func(c rune) bool { return c >= 0x80 || c < ' ' && c != '\n' }) {
			t.Errorf("%s is not ASCII", name)
		}
		have := flat(shown.String())
		for line := range strings.Lines(helpOf(t, command)) {
			_, said, isList := strings.Cut(strings.TrimSpace(line), "  ")
			if !strings.HasPrefix(line, "  ") || !isList {
				continue
			}
			if said = flat(said); !strings.Contains(strings.ToLower(have), strings.ToLower(said)) {
				t.Errorf("%s does not say %q", name, line)
			}
		}
		for _, section := range []string{"NAME", "SYNOPSIS", "DESCRIPTION", "EXIT STATUS"} {
			if strings.Count(page, `.SH "`+section+"\"\n") != 1 {
				t.Errorf("%s: want the section %s once", name, section)
			}
		}
	}
	for name := range pages {
		t.Errorf("the page %s is of no command", name)
	}
}

func TestHelpMan(t *testing.T) {
	dir := t.TempDir()
	run := func(args ...string) (string, string, int) {
		var out, errs bytes.Buffer
		code := Main(context.Background(), append([]string{"coffer"}, args...),
			Streams{In: strings.NewReader(""), Out: &out, Err: &errs}, Environ{})
		return out.String(), errs.String(), code
	}
	out, errs, code := run("help", "-man", "share/man1", "-chdir", dir)
	if code != ExitDone || errs != "" {
		t.Fatalf("exit %d, %s", code, errs)
	}
	written := strings.Fields(out)
	if len(written) != len(allHelp()) {
		t.Errorf("%d pages for %d helps", len(written), len(allHelp()))
	}
	for _, path := range written {
		if text, err := os.ReadFile(path); err != nil || !strings.HasPrefix(string(text), ".TH ") {
			t.Errorf("%s begins with %.9q (%v)", path, text, err)
		}
	}
	if out, _, _ := run("help", "-json", "-man", dir); !strings.Contains(out, `"written": [`) {
		t.Errorf("-json prints %s", out)
	}
	if _, errs, code := run("help", "-man", dir, "plan"); code != ExitError || !strings.Contains(errs, "leave out plan") {
		t.Errorf("with a command: exit %d, %s", code, errs)
	}
	if _, errs, code := run("help", "-man", filepath.Join(written[0], "below")); code != ExitError || !strings.Contains(errs, "make the folder") {
		t.Errorf("below a file: exit %d, %s", code, errs)
	}
}
