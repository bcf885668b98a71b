package lang

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// guardCost runs guard and, if that accepts, the parser, and fails the test
// where they take more than anybody would wait for or a laptop has.
func guardCost(t *testing.T, src []byte) hcl.Diagnostics {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	diags := guard("bomb.hcl", src)
	if diags == nil {
		_, _ = hclsyntax.ParseConfig(src, "bomb.hcl", hcl.InitialPos)
	}
	elapsed := time.Since(start)
	runtime.ReadMemStats(&after)
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 1<<30 {
		t.Errorf("allocated %d MiB in all", allocated>>20)
	}
	if elapsed > 10*time.Second {
		t.Errorf("took %v", elapsed)
	}
	return diags
}

// TestGuardBombs are the bombs of RELIABILITY.md, section 8, and those found
// since. Unguarded each ends the process: out of stack, memory or patience.
func TestGuardBombs(t *testing.T) {
	rep := strings.Repeat
	loop := func(depth int) string {
		return "a = " + rep("[for x in [0,1,2,3,4,5,6,7,8,9]: ", depth) + "x" + rep("]", depth)
	}
	directive := func(depth int) string {
		return "a = \"" + rep("%{for x in [0,1,2,3,4,5,6,7,8,9]}", depth) + "x" + rep("%{endfor}", depth) + "\""
	}
	tests := []struct{ name, src, want string }{
		{"templates", `a = ` + rep(`"${`, 50_000), "Nesting too deep"},
		{"templates, few", `a = ` + rep(`"${`, 20_000) + "1" + rep(`}"`, 20_000), "Nesting too deep"},
		{"templates in a heredoc", "a = <<EOT\n" + rep(`${"`, 50_000), "Nesting too deep"},
		{"heredocs", "a = " + rep("<<A\n${", 50_000), "Nesting too deep"},
		{"directives", `a = ` + rep(`"%{if `, 50_000), "Nesting too deep"},
		{"if directives", `a = "` + rep(`%{if true}`, 50_000) + rep(`%{endif}`, 50_000) + `"`, "Nesting too deep"},
		{"parentheses", "a = " + rep("(", 100_000), "Nesting too deep"},
		{"brackets", "a = " + rep("[", 100_000), "Nesting too deep"},
		{"brackets, few", "a = " + rep("[", 50_000) + rep("]", 50_000), "Nesting too deep"},
		{"not", "a = " + rep("!", 400_000) + "true", "Nesting too deep"},
		{"minus", "a = " + rep("-", 400_000) + "1", "Nesting too deep"},
		{"minus and not, spaced", "a = " + rep("- ! ", 100_000) + "1", "Nesting too deep"},
		{"blocks", rep("a {\n", 200_000), "Nesting too deep"},
		{"blocks of one line", rep("a{", 200_000), "Nesting too deep"},
		{"labelled blocks", rep("a \"b\" c {\n", 50_000), "Nesting too deep"},
		{"objects", "a = " + rep("{a=", 300_000), "Nesting too deep"},
		{"objects over lines", "a = " + rep("{\na = ", 100_000), "Nesting too deep"},
		{"else branches", "a = " + rep("true ? 1 : ", 90_000) + "1", "Nesting too deep"},
		{"then branches", "a = " + rep("true ? ", 80_000) + "1" + rep(" : 1", 80_000), "Nesting too deep"},
		{"conditions over lines", "a = (" + rep("true ? 1\n: ", 90_000) + "1)", "Nesting too deep"},
		{"calls", "a = " + rep("f(", 200_000), "Nesting too deep"},
		{"indexes", "a = " + rep("b[", 200_000), "Nesting too deep"},
		{"object keys", "a = " + rep("{(", 200_000), "Nesting too deep"},
		{"mixed", "a = " + rep(`[{a = "${(-`, 20_000), "Nesting too deep"},
		{"depth behind a comment", "/* " + rep("[", 200) + " */ a = " + rep("[", 100_000), "Nesting too deep"},
		{"depth late in the file", rep("b {}\n", 20_000) + "a = " + rep("(", 100_000), "Nesting too deep"},

		{"for, three", loop(3), "Too many nested loops"},
		{"for, six", loop(6), "Too many nested loops"},
		{"for, seven", loop(7), "Too many nested loops"},
		{"directives, seven", directive(7), "Too many nested loops"},
		{"object loops", "a = " + rep("{for k, v in b: k => ", 3), "Too many nested loops"},
		{"loops over lines", "a = " + rep("[ # why\n\n for x in b: ", 3), "Too many nested loops"},
		{"object loop over lines", "a = " + rep("{\n for k, v in b: k => ", 3), "Too many nested loops"},
		{"mixed loops", `a = [for x in b: "%{for y in x}${join("", {for k, v in y: k => v})}%{endfor}"]`, "Too many nested loops"},
		{"loops in the collection", `a = [for x in [for y in [for z in b: z]: y]: x]`, "Too many nested loops"},
		{"loops with trim marks", "a = <<A\n" + rep("%{~ for x in b ~}\n", 3) + rep("%{~ endfor ~}\n", 3) + "A\n", "Too many nested loops"},

		{"sum", "a = 1" + rep("+1", 400_000), "Expression too long"},
		{"and", "a = true" + rep("&&true", 100_000), "Expression too long"},
		{"attribute splats", "a = b" + rep(".*", 200_000), "Expression too long"},
		{"splats", "a = b" + rep("[*]", 200_000), "Nesting too deep"},
		{"splats and space", "a = (b" + rep("[*]", 900) + rep("\n", 380_000) + ")", "Nesting too deep"},
		{"index chain", "a = b" + rep("[c]", 200_000), "Expression too long"},
		{"namespaces", "a = b" + rep("::b", 200_000) + "()", "No such function"},
		{"comments that do not end", rep("/* ", 150_000), "Comment is not closed"},
		{"comment that does not end", "a = 1\n/* why\n", "Comment is not closed"},
		{"lines of a heredoc", "a = <<A\n" + rep("\n", 300_000) + "A\n", "Text too long"},
		{"dollars in a string", "a = \"" + rep("a b $", 100_000) + "\"", "Text too long"},
		{"many parts", "a = \"" + rep("$a${b}$a$a", 80_000) + "\"", "Text too long"},
		{"exponent", `a = "${1e999999999}"`, "Number out of range"},
		{"negative exponent", `a = "${1e-999999999}"`, "Number out of range"},
		{"exponent with sign", `a = 1E+999999999999999999999`, "Number out of range"},
		{"digits", "a = " + rep("9", 500_000), "Number too long"},
		{"tokens", rep("a=1\n", 250_000), "File too large"},
		{"size", rep("#", 1<<20+1), "File too large"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			diags := guardCost(t, []byte(test.src))
			if len(diags) != 1 || diags[0].Summary != test.want {
				t.Fatalf("got %v, want %q", diags, test.want)
			}
			d := diags[0]
			if d.Severity != hcl.DiagError || d.Subject == nil || d.Subject.Filename != "bomb.hcl" || d.Subject.Start.Line == 0 || d.Subject.Start.Column == 0 || d.Detail == "" {
				t.Errorf("incomplete diagnostic: %#v", d)
			}
		})
	}
}

// TestGuardAcceptsTheDeepest shows that the limits are the limits, and that the
// parser is well with everything at them.
func TestGuardAcceptsTheDeepest(t *testing.T) {
	rep := strings.Repeat
	tests := map[string]string{
		"brackets":              "a = " + rep("[", 100) + rep("]", 100),
		"parentheses":           "a = " + rep("(", 100) + "1" + rep(")", 100),
		"templates":             "a = " + rep(`"${`, 50) + "1" + rep(`}"`, 50),
		"blocks":                rep("a {\n", 100) + rep("}\n", 100),
		"objects":               "a = " + rep("{a=", 100) + "1" + rep("}", 100),
		"not":                   "a = " + rep("!", 100) + "true",
		"conditionals":          "a = " + rep("true ? 1 : ", 100) + "1",
		"operators":             "a = 1" + rep("+1", 1000),
		"loops":                 `a = [for x in b: [for y in x: y]]` + "\n" + `c = "%{for x in b}%{for y in x}y%{endfor}%{endfor}"`,
		"loops side by side":    `a = [[for x in b: x], [for x in b: x], [for x in b: x], {for x in b: x => x}]`,
		"directives one by one": `a = "` + rep("%{for x in b}x%{endfor}%{if c}d%{else}e%{endif}", 200) + `"`,
		"many conditionals":     rep("a = true ? 1 : 2\n", 500),
		"many in a list":        "a = [" + rep("b ? -1 : !c, ", 500) + "]",
		"many in an object":     "a = {\n" + rep("b = c ? -1 : !d # why\n", 500) + "}",
		"subtractions":          "a = b" + rep("-1", 500) + rep(" - -1", 400),
		"many signs":            "a = [" + rep("-1, ", 5000) + "]",
		"a body with for":       "a {\n for = 1\n b {\n for = 2\n c {\n for = 3\n}\n}\n}\n",
		"long comment":          "/*" + rep("-[(", 100_000) + "*/\n# " + rep("!", 1000) + "\na = 1",
		"a banner at the cut":   rep("#\n", 32700) + "/*" + rep("-", 400) + "*/\na = 1\n",
		"text at the cut":       rep("#\n", 32700) + "a = \"" + rep("[", 400) + "\"\n",
		"heredoc":               "a = <<EOT\n" + rep("a line of text that somebody wrote\n", 2000) + "EOT\n",
		"numbers":               "a = 1e300\nb = -1.5e-300\nc = " + rep("9", 100),
		"no newline":            "a = 1",
		"empty":                 "",
		"windows lines":         "a = 1\r\nb {\r\n}\r\n",
		"scripts and emoji":     "a = \"пароль 密码 कुंजी 👩\u200d💻\"\n",
		"escapes":               `a = "\u202e ${1} $${ %%{ \\ \" \n"`,
		"signs and space":       "a = (" + rep("-", 98) + "1" + rep("\n", 380_000) + ")",
		"splats":                "a = b" + rep("[*]", 99) + "\nc = [" + rep("b[*].c, ", 1000) + "]",
		"splats and space":      "a = (b" + rep("[*]", 98) + rep("\n", 380_000) + ")",
		"most words":            rep("a = \"bc\"\n", 40_000),
	}
	for name, src := range tests {
		t.Run(name, func(t *testing.T) {
			if diags := guardCost(t, []byte(src)); diags != nil {
				t.Fatalf("refused: %v %s", diags, diags[0].Detail)
			}
		})
	}
}

func TestGuardText(t *testing.T) {
	tests := []struct {
		name, src, want string
		line, column    int
	}{
		{"byte order mark", "\ufeffa = 1\n", "Byte order mark", 1, 1},
		{"byte order mark inside", "a = 1\nb = \"\ufeff\"\n", "Invisible character", 2, 6},
		{"UTF-16 little", "\xff\xfea\x00", "Not UTF-8", 1, 1},
		{"UTF-16 big", "\xfe\xff\x00a", "Not UTF-8", 1, 1},
		{"Latin-1", "a = 1\n# caf\xe9\n", "Not UTF-8", 2, 6},
		{"surrogate", "a = \"\xed\xa0\x80\"", "Not UTF-8", 1, 6},
		{"overlong", "a = \"\xc0\xaf\"", "Not UTF-8", 1, 6},
		{"cut short", "a = \"é\xc3", "Not UTF-8", 1, 7},
		{"NUL", "a = 1\x00\n", "NUL byte", 1, 6},
		{"escape", "a = \"\x1b[2J\"", "Control character", 1, 6},
		{"backspace", "# x\b\n", "Control character", 1, 4},
		{"delete", "# \x7f", "Control character", 1, 3},
		{"C1", "# \u009b", "Control character", 1, 3},
		{"bare carriage return", "# harmless\rprotect = false\n", "Control character", 1, 11},
		{"carriage return at the end", "a = 1\r", "Control character", 1, 6},
		{"override", "a = 1\n# \u202e x \u2066\n", "Bidirectional control character", 2, 3},
		{"isolate", "a = \"\u2067\"", "Bidirectional control character", 1, 6},
		{"marks", "a\u200f = 1", "Bidirectional control character", 1, 2},
		{"arabic mark", "\u061c", "Bidirectional control character", 1, 1},
		{"zero width space", "ad\u200bmin = 1", "Invisible character", 1, 3},
		{"word joiner", "a\u2060 = 1", "Invisible character", 1, 2},
		{"soft hyphen", "a\u00ad = 1", "Invisible character", 1, 2},
		{"line separator", "# x\u2028protect = false", "Invisible character", 1, 4},
		{"paragraph separator", "# \u2029", "Invisible character", 1, 3},
		{"tag", "# \U000e0041", "Invisible character", 1, 3},
		{"behind multibyte text", "# äöü€𐍈\u202e", "Bidirectional control character", 1, 8},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			diags := guard("a.hcl", []byte(test.src))
			if len(diags) != 1 || diags[0].Summary != test.want {
				t.Fatalf("got %v, want %q", diags, test.want)
			}
			if at := diags[0].Subject.Start; at.Line != test.line || at.Column != test.column {
				t.Errorf("at %d:%d, want %d:%d", at.Line, at.Column, test.line, test.column)
			}
			if strings.ContainsFunc(diags.Error()+diags[0].Detail, func(r rune) bool { s, _ := forbidden(r); return s != "" }) {
				t.Errorf("the diagnostic carries the character itself: %q", diags[0].Detail)
			}
		})
	}
}

func TestGuardPlace(t *testing.T) {
	diags := guard("dir/app.hcl", []byte("# é\nx {\n  a = "+strings.Repeat("(", 150)))
	if len(diags) != 1 {
		t.Fatal(diags)
	}
	// Two levels are open before the first of them: x and the line's own brackets.
	if got, want := diags[0].Subject.String(), "dir/app.hcl:3,106-107"; got != want {
		t.Errorf("at %s, want %s", got, want)
	}
}

// FuzzGuard: what the guard accepts, the parser reads without a crash and into
// a tree that evaluation can recurse over.
func FuzzGuard(f *testing.F) {
	for _, seed := range []string{
		`a = "${[for x in b: "%{if x}y%{else}z%{endif}"]}"`, "a = <<-A\n  ${b[*].c}\n  A\n", "a {\n b \"c\" {\n d = -1 + !e ? f(g...) : [h[0].i, {j = k}]\n}\n}\n",
		`a = ( } ] "${ ~} ) }"`, "a = {(b): c, \"d\" = e\nf = g}", "/* */ // \n#", "a = <<A\n%{ for x, y in z ~}\n%{ endfor }\nA\n", "\x00", "a = b.*.c.0", "a = 1e9::x",
	} {
		f.Add([]byte(seed), uint8(0))
		f.Add([]byte(seed), uint8(20))
		f.Add([]byte(seed), uint8(255))
	}
	testdata, _ := filepath.Glob("testdata/*.txtar")
	for _, name := range testdata {
		if content, err := os.ReadFile(name); err == nil {
			f.Add(content, uint8(0))
		}
	}
	debug.SetMaxStack(64 << 20)
	f.Fuzz(func(t *testing.T, unit []byte, doublings uint8) {
		// Repetition is what makes bombs, and what a fuzzer rarely finds.
		src, most := unit, 1<<12
		if doublings > 200 {
			most = 1 << 17 // past the prefix
		}
		for range doublings {
			if len(src) == 0 || len(src) > most {
				break
			}
			src = append(src[:len(src):len(src)], src...)
		}
		checkShallow(t, src)
		if diags := guard("fuzz.hcl", src); diags != nil {
			if len(diags) != 1 || diags[0].Detail == "" || diags[0].Subject.Start.Line < 1 {
				t.Fatalf("incomplete diagnostic: %#v", diags[0])
			}
			return
		}
		file, _ := hclsyntax.ParseConfig(src, "fuzz.hcl", hcl.InitialPos)
		deepest := &depthMeter{}
		_ = hclsyntax.Walk(file.Body.(*hclsyntax.Body), deepest)
		if limit := 4*maxNesting + 2*maxOperators; deepest.most > limit {
			t.Fatalf("the tree is %d deep, over %d", deepest.most, limit)
		}
	})
}

type depthMeter struct{ now, most int }

func (m *depthMeter) Enter(hclsyntax.Node) hcl.Diagnostics {
	m.now++
	m.most = max(m.most, m.now)
	return nil
}

func (m *depthMeter) Exit(hclsyntax.Node) hcl.Diagnostics {
	m.now--
	return nil
}

func ExampleFormatDuration() {
	d, _ := ParseDuration("1w12h")
	fmt.Println(FormatDuration(d))
	// Output: 7d12h
}
