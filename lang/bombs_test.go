package lang

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"
)

const bombHead = "coffer {\n  project = \"shop\"\n}\nprovider \"sops\" {\n}\nenvironment \"dev\" {\n  store = sops\n}\n"

// Every bomb of RELIABILITY section 8, and those that grow by evaluation, ends
// with a diagnostic and soon (P1d). Most sizes fill the 1 MiB of one file.
func TestBombs(t *testing.T) {
	const mib = 1 << 20
	nest := func(open, middle, closed string, size int) string {
		n := size / (len(open) + len(closed))
		return strings.Repeat(open, n) + middle + strings.Repeat(closed, n)
	}
	local := func(expr string) string { return bombHead + "locals {\n  x = " + expr + "\n}\n" }
	forNest := func(n int) string {
		expr := "1"
		for range n {
			expr = "[for x in [0,1,2,3,4,5,6,7,8,9] : " + expr + "]"
		}
		return expr
	}
	doubling := func() string {
		var b strings.Builder
		b.WriteString("locals {\n  a0 = \"0123456789\"\n")
		for i := range 60 {
			fmt.Fprintf(&b, "  a%d = \"${local.a%d}${local.a%d}\"\n", i+1, i, i)
		}
		return bombHead + b.String() + "}\n"
	}
	large := "join(\"\", [for x in range(1000) : \"" + strings.Repeat("0123456789", 90) + "\"])"
	for name, text := range map[string]string{
		"templates":             local(nest(`"${`, "1", `}"`, mib-1000)),
		"parentheses":           local(nest("(", "1", ")", mib-1000)),
		"lists":                 local(nest("[", "", "]", mib-1000)),
		"lists, open":           local(strings.Repeat("[", mib-1000)),
		"objects":               local(nest("{a=", "1", "}", mib-1000)),
		"not":                   local(strings.Repeat("!", mib-1000) + "true"),
		"minus":                 local(strings.Repeat("-", mib-1000) + "1"),
		"sum":                   local(strings.Repeat("1+", (mib-1000)/2) + "1"),
		"conditionals":          local(strings.Repeat("true?1:", (mib-1000)/7) + "1"),
		"blocks":                bombHead + nest("a {\n", "", "}\n", mib-1000),
		"for, 7 deep":           local(forNest(7)),
		"template for, 7 deep":  local(`"` + strings.Repeat("%{for x in [0,1,2,3,4,5,6,7,8,9]}", 7) + "x" + strings.Repeat("%{endfor}", 7) + `"`),
		"one byte too many":     bombHead + strings.Repeat("#\n", mib/2),
		"doubling locals":       doubling(),
		"product of ranges":     local("[for a in range(1000) : [for b in range(1000) : [a, b]]]"),
		"too many elements":     local("[for x in range(400) : [for y in range(400) : x]]"),
		"setproduct":            local("setproduct(range(1000), range(1000), range(1000))"),
		"format width":          local(`format("%999999999d", 1)`),
		"replace":               bombHead + "locals {\n  a = " + large + "\n  b = replace(local.a, \"0\", local.a)\n}\n",
		"text used many times":  bombHead + "locals {\n  a = " + large + "\n  b = \"" + strings.Repeat("${local.a}", 60_000) + "\"\n}\n",
		"text in a loop":        bombHead + "locals {\n  a = " + large + "\n  b = \"%{for x in range(60000)}${local.a}%{endfor}\"\n}\n",
		"loops over loops":      bombHead + "locals {\n  a = range(1000)\n  b = [for x in local.a : [for y in local.a : length([for z in [x] : \"\"])]]\n}\n",
		"loops that give less":  bombHead + "locals {\n  a = range(90000)\n  b = length([for x in local.a : length(flatten([local.a, local.a]))])\n}\n",
		"chain of locals":       bombHead + "locals {\n" + chainOfLocals(2_000) + "}\n",
		"circle of locals":      bombHead + "locals {\n" + strings.Replace(chainOfLocals(20_000), "a20000 = 1", "a20000 = local.a0", 1) + "}\n",
		"name of one megabyte":  bombHead + "environment \"" + strings.Repeat("a", mib-1000) + "\" {\n}\n",
		"many unknown blocks":   bombHead + strings.Repeat("a {\n}\n", 100_000),
		"many unknown names":    local("[" + strings.Repeat("a,", 100_000) + "]"),
		"many bad arguments":    bombHead + "app \"w\" {\n" + manyArguments(60_000) + "}\n",
		"many bad roles":        bombHead + "role \"a\" \"b\" {\n" + strings.ReplaceAll(manyArguments(60_000), "1", "var.x") + "}\n",
		"one mount many times":  bombHead + strings.Repeat("mount \"a\" \"b\" {\n  provider = sops\n}\n", 25_000),
		"credentials in lists":  bombHead + "provider \"sops\" {\n  alias = \"b\"\n" + strings.ReplaceAll(manyArguments(40_000), " 1", " [from_env()]") + "}\n",
		"alternatives of regex": local(`regex("(((a{100}){100}){100})", "a")`),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "bomb.hcl", text)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			program, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(ctx, program)
			cmd.Env = append(os.Environ(), bombVariable+"="+dir)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%.2000s", err, out)
			}
			summary, memory, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
			t.Logf("%s, %s", summary, memory)
			if harmless := name == "chain of locals"; harmless != (summary == "no error") {
				t.Errorf("got %q", summary)
			}
			var mib int
			if _, err := fmt.Sscanf(memory, "%d MiB", &mib); err != nil || mib > 256 {
				t.Errorf("too much memory: %q", memory)
			}
		})
	}
}

const bombVariable = "COFFER_TEST_BOMB"

// TestMain makes a bomb's own process of this program: what goes on working
// behind a deadline ends with it.
func TestMain(m *testing.M) {
	dir := os.Getenv(bombVariable)
	if dir == "" {
		os.Exit(m.Run())
	}
	summary := "no error"
	if _, diags := Load(dir, Options{ProviderTypes: []string{"sops"}, Deadline: 2 * time.Second}); diags.HasErrors() {
		summary = diags[0].Summary
	}
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	fmt.Printf("%s\n%d MiB\n", summary, memory.Sys>>20)
}

func chainOfLocals(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "  a%d = local.a%d\n", i, i+1)
	}
	return b.String() + fmt.Sprintf("  a%d = 1\n", n)
}

func manyArguments(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "  x%d = 1\n", i)
	}
	return b.String()
}
