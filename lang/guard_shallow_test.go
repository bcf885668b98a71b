package lang

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cofferhq/coffer/internal/proptest"
)

// checkShallow: what the short look lets pass, the exact one does too.
func checkShallow(t interface{ Fatalf(string, ...any) }, src []byte) {
	if guardText("a.hcl", src) != nil || !shallow(src) {
		return
	}
	if diags := guardTokens("a.hcl", src, false); diags != nil {
		t.Fatalf("let pass, and then: %s: %q", diags[0].Summary, src)
	}
	if diags := guardTokens("a.hcl", src[:len(src)/2], true); diags != nil {
		t.Fatalf("let pass, and then at half of it: %s: %q", diags[0].Summary, src)
	}
}

// TestShallowNeverPassesWhatIsRefused puts the words of the language together
// at random, with repetition, which is what makes a bomb.
func TestShallowNeverPassesWhatIsRefused(t *testing.T) {
	words := strings.Split("a|for|if|a-b|1|1.5|1e9|999999999999999999|\"|\"|\"|${|${|%{|{|}|{|}|(|)|[|]|[|]|=|==|=>|!|!=|?|:|::|-|- |*|.*|[*]|+|/|//|#|/*|*/|<|<<A\n|A\n|>|&&|,|.|...|~|~}|\\|\\\"|$|%| |\n|\n|\r\n|é|'|;", "|")
	for _, first := range words { // a little over the limits
		for _, second := range append(words, "") {
			for _, times := range []int{maxLoops + 1, maxNesting + 1, maxOperators + 1} {
				checkShallow(t, []byte("a = "+strings.Repeat(first+second+"b ", times)))
			}
		}
	}
	passed := 0
	proptest.Check(t, func(t *rapid.T) {
		var src strings.Builder
		for range rapid.IntRange(1, 6).Draw(t, "runs") {
			unit := strings.Join(rapid.SliceOfN(rapid.SampledFrom(words), 1, 8).Draw(t, "unit"), "")
			src.WriteString(strings.Repeat(unit, rapid.SampledFrom([]int{1, 1, 1, 2, 3, 40, 101, 1100}).Draw(t, "times")))
		}
		text := []byte(src.String())
		checkShallow(t, text)
		if shallow(text) {
			passed++
		}
	})
	if passed == 0 {
		t.Error("nothing passed, so nothing was compared")
	}
}

// TestShallowKnowsOrdinaryFiles: it is worth nothing where it gives up at what
// people write.
func TestShallowKnowsOrdinaryFiles(t *testing.T) {
	ordinary := map[string]string{
		"an app":     "app \"shop\" {\n  # why\n  secret \"db\" {\n    value  = random_password({ length = 32, symbols = false })\n    labels = { team = \"payments\", \"a.b\" = each.app }\n  }\n}\n",
		"a template": "secret \"url\" {\n  value = \"postgres://${secret.user}:${urlencode(secret.db.password)}@${var.host}/x\\n\"\n}\n",
		"conditions": "protect = each.environment == \"production\" ? true : var.list[0] != \"a\" && !local.open\n",
		"a loop":     "locals {\n  names = [for x in var.names : upper(x)]\n}\n",
		"signs":      "a = -1 + 2 * (3 - 4) / 5 >= 6 || b < 7 // so\r\n",
		"no end":     "app \"a\" {",
		"deep":       strings.Repeat("a {\n", maxNesting) + strings.Repeat("}\n", maxNesting),
	}
	examples, _ := filepath.Glob("../examples/*/*.hcl")
	if len(examples) == 0 {
		t.Error("no examples")
	}
	for _, name := range examples {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		ordinary[name] = string(src)
	}
	for name, src := range ordinary {
		if !shallow([]byte(src)) {
			t.Errorf("%s is not known:\n%s", name, src)
		}
	}
	for name, src := range map[string]string{
		"too deep": strings.Repeat("a {\n", maxNesting+1), "too many signs": strings.Repeat("a = -1\n", maxNesting+1),
		"a heredoc": "a = <<A\nb\nA\n", "a directive": `a = "%{if b}c%{endif}"`, "a lone dollar": `a = "b$c"`, "an open comment": "/* a",
		"an exponent": "a = 1e9", "a namespace": "a::b()", "a bracket that closes nothing": "a = (]", "a line in a text": "a = \"b\nc\"",
	} {
		if shallow([]byte(src)) {
			t.Errorf("%s is let pass", name)
		}
	}
}
