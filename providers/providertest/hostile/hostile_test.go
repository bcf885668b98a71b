package hostile

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestStrings(t *testing.T) {
	all := Strings()
	if len(all) < 300 {
		t.Errorf("%d strings, want 300", len(all))
	}
	if again := Strings(); !slices.Equal(all, again) {
		t.Error("the list is not constant")
	}
	distinct := slices.Clone(all)
	slices.Sort(distinct)
	if n := len(slices.Compact(distinct)); n < 300 {
		t.Errorf("%d distinct strings, want 300", n)
	}
	t.Logf("%d strings", len(all))
}

// Every class of the list is there.
func TestClasses(t *testing.T) {
	joined := strings.Join(Strings(), "\x00\x00")
	for _, want := range []string{
		"\x1b[", "\x1b]8;", "\x1b]52;", "\u009b", "\r", "\u202e", "\u200b", "\U000e0041", strings.Repeat("`", 40), strings.Repeat("~", 40), "<script", "javascript:", "@octocat",
		"::add-mask::", "::stop-commands::", "::set-output", "##vso[", "%0A", "=1+1", "\u2028", "\xff",
	} {
		if !strings.Contains(joined, want) {
			t.Errorf("no string has %q", want)
		}
	}
	if !slices.ContainsFunc(Strings(), func(s string) bool { return len(s) >= 1<<20 && !strings.Contains(s, "\n") }) {
		t.Error("no line of 1 MiB")
	}
	if !slices.ContainsFunc(Strings(), func(s string) bool { return !utf8.ValidString(s) }) {
		t.Error("nothing is invalid UTF-8")
	}
}

func TestInPaths(t *testing.T) {
	paths := InPaths()
	if len(paths) < 250 || slices.ContainsFunc(paths, func(s string) bool { return len(s) > 100 }) {
		t.Errorf("%d strings, some perhaps too long", len(paths))
	}
}
