package lang

import (
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cofferhq/coffer/internal/proptest"
)

func TestSuggest(t *testing.T) {
	words := []string{"secret", "policy", "environment", "provider", "rotation", "defaults", "app", "check", "import", "value", "fields", "path"}
	for name, want := range map[string]string{
		"secrt": "secret", "secert": "secret", "secrets": "secret", "Secret": "secret", "polciy": "policy", "enviroment": "environment",
		"enviromnet": "environment", "providr": "provider", "rotatoin": "rotation", "default": "defaults", "ap": "app", "apps": "app", "vaule": "value",
		"": "", "secret": "", "xyzzy": "", "zz": "", "database": "", "kubernetes_secret": "", "e": "",
	} {
		if got := suggest(name, words); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	if got := suggest("a", nil); got != "" {
		t.Errorf("no candidates: %q", got)
	}
	if got := suggest(strings.Repeat("a", 1<<20), []string{strings.Repeat("a", 1<<20-1)}); got != "" {
		t.Errorf("a huge name: %d bytes", len(got))
	}
}

func TestSuggestIgnoresOrder(t *testing.T) {
	words := []string{"bat", "cat", "hat", "rat", "mat", "sat"}
	for range 50 {
		rand.Shuffle(len(words), func(i, j int) { words[i], words[j] = words[j], words[i] })
		if got := suggest("xat", words); got != "bat" {
			t.Fatalf("%v: %q, want the first in the alphabet", words, got)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{
		{"", "", 0},
		{"", "abc", 3},
		{"abc", "", 3},
		{"abc", "abc", 0},
		{"abc", "acb", 1},
		{"abc", "abd", 1},
		{"abc", "ab", 1},
		{"abc", "xabc", 1},
		{"kitten", "sitting", 3},
		{"ca", "abc", 3},
		{"é", "e", 1},
		{"пароль", "парль", 1},
	} {
		if got := distance(test.a, test.b); got != test.want {
			t.Errorf("%q to %q: %d, want %d", test.a, test.b, got, test.want)
		}
	}
	proptest.Check(t, func(t *rapid.T) {
		word := rapid.StringMatching(`[ab]{0,6}`)
		a, b := word.Draw(t, "a"), word.Draw(t, "b")
		d := distance(a, b)
		if d != distance(b, a) || (d == 0) != (a == b) || d > max(len(a), len(b)) {
			t.Fatalf("%q, %q: %d and %d", a, b, d, distance(b, a))
		}
	})
}
