package generate

import (
	"fmt"
	"math"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cofferhq/coffer/internal/proptest"
	"github.com/cofferhq/coffer/lang"
)

func TestPasswordMeetsItsParameters(t *testing.T) {
	proptest.Check(t, func(t *rapid.T) {
		p := params{"length": rapid.IntRange(4, 128).Draw(t, "length")}
		classes := map[string]string{"lower": lang.LowerChars, "upper": lang.UpperChars, "digits": lang.DigitChars, "symbols": lang.DefaultSymbols}
		left := p["length"].(int)
		for name := range classes {
			if rapid.IntRange(0, 3).Draw(t, name) == 0 && len(classes) > 1 {
				p[name] = false
				delete(classes, name)
				continue
			}
			least := rapid.IntRange(0, left).Draw(t, "min_"+name)
			p["min_"+name], left = least, left-least
		}
		if _, ok := classes["symbols"]; ok && rapid.Bool().Draw(t, "own symbols") {
			classes["symbols"] = "#@$"
			p["symbol_set"] = "#@$"
		}
		exclude := rapid.SampledFrom([]string{"", "0O1lI", "aeiou", "$!"}).Draw(t, "exclude")
		p["exclude"] = exclude

		got := mustNew(t, seeded(rapid.Uint64().Draw(t, "seed")), "random_password", p)
		if len(got) != p["length"] {
			t.Fatalf("%d characters", len(got))
		}
		if strings.ContainsAny(got, exclude) {
			t.Fatalf("%q has one of %q", got, exclude)
		}
		all := ""
		for name, chars := range classes {
			all += chars
			n := 0
			for _, c := range got {
				if strings.ContainsRune(chars, c) {
					n++
				}
			}
			if n < p["min_"+name].(int) {
				t.Fatalf("%q has %d of %s, want %d", got, n, name, p["min_"+name])
			}
		}
		for _, c := range got {
			if !strings.ContainsRune(all, c) {
				t.Fatalf("%q has %q, which no class in use has", got, c)
			}
		}
	})
}

func TestPasswordDefaults(t *testing.T) {
	for seed := range uint64(500) {
		got := mustNew(t, seeded(seed), "random_password", nil)
		if len(got) != 32 {
			t.Fatalf("%d characters", len(got))
		}
		for _, chars := range []string{lang.LowerChars, lang.UpperChars, lang.DigitChars, lang.DefaultSymbols} {
			if !strings.ContainsAny(got, chars) {
				t.Fatalf("%q has none of %q", got, chars)
			}
		}
	}
}

// Every password that meets the parameters is as likely as every other, also
// where the minima rule most of them out. The set is counted out here.
func TestPasswordIsUniform(t *testing.T) {
	for _, c := range []params{
		{"length": 4, "upper": false, "symbols": false, "min_lower": 2, "min_digits": 1, "exclude": lang.LowerChars[2:] + lang.DigitChars[3:]},
		{"length": 5, "upper": false, "digits": false, "min_lower": 1, "min_symbols": 3, "symbol_set": "!#", "exclude": lang.LowerChars[2:]},
		{"length": 4, "min_lower": 1, "min_upper": 1, "min_digits": 1, "min_symbols": 0, "symbol_set": "!", "exclude": lang.LowerChars[2:] + lang.UpperChars[2:] + lang.DigitChars[1:]},
		{"length": 4, "lower": false, "upper": false, "symbols": false, "exclude": lang.DigitChars[3:]},
	} {
		sig, _ := find(lang.Generators(), "random_password")
		classes := lang.PasswordClasses(sig.Resolve(c))
		index := map[string]int{}
		for _, s := range everyString(classes, c["length"].(int)) {
			index[s] = len(index)
		}
		counts := make([]int, len(index))
		env := seeded(7)
		for range 40 * len(counts) {
			i, ok := index[mustNew(t, env, "random_password", c)]
			if !ok {
				t.Fatalf("%v: a password that does not meet the parameters", c)
			}
			counts[i]++
		}
		uniform(t, fmt.Sprint(c), counts)
		if counted := countPasswords(classes, c["length"].(int)); counted[len(classes)-1][c["length"].(int)].Int64() != int64(len(index)) {
			t.Errorf("%v: counted %v, there are %d", c, counted, len(index))
		}
	}
}

// everyString lists the strings of n characters that have each class's minimum.
func everyString(classes []lang.PasswordClass, n int) []string {
	chars := ""
	for _, c := range classes {
		chars += c.Chars
	}
	all := []string{""}
	for range n {
		var longer []string
		for _, s := range all {
			for _, c := range chars {
				longer = append(longer, s+string(c))
			}
		}
		all = longer
	}
	var fit []string
next:
	for _, s := range all {
		for _, c := range classes {
			has := 0
			for _, r := range s {
				if strings.ContainsRune(c.Chars, r) {
					has++
				}
			}
			if has < c.Min {
				continue next
			}
		}
		fit = append(fit, s)
	}
	return fit
}

// The entropy figure, computed another way than the code counts: of all
// strings, those that lack a class are taken off, by inclusion and exclusion.
func TestPasswordEntropy(t *testing.T) {
	sig, _ := find(lang.Generators(), "random_password")
	sizes := []int64{26, 26, 10, int64(len(lang.DefaultSymbols))}
	total := new(big.Int)
	for lacking := range 1 << len(sizes) {
		chars, sign := int64(0), int64(1)
		for i, size := range sizes {
			if lacking>>i&1 == 1 {
				sign = -sign
			} else {
				chars += size
			}
		}
		n := new(big.Int).Exp(big.NewInt(chars), big.NewInt(32), nil)
		total.Add(total, n.Mul(n, big.NewInt(sign)))
	}
	counted := countPasswords(lang.PasswordClasses(sig.Resolve(nil)), 32)[3][32]
	if counted.Cmp(total) != 0 {
		t.Errorf("the code counts %v passwords, there are %v", counted, total)
	}
	f, _ := new(big.Float).SetInt(total).Float64()
	if figure := fmt.Sprintf("%.1f bits", math.Log2(f)); !strings.HasPrefix(sig.Entropy, figure+";") {
		t.Errorf("it is %s, the signature says %q", figure, sig.Entropy)
	}
}

// The longest password with the most work to count still takes no time to
// speak of.
func TestPasswordAtTheBounds(t *testing.T) {
	got := mustNew(t, seeded(8), "random_password", params{"length": 512, "min_digits": 400, "min_symbols": 100, "min_lower": 12, "min_upper": 0})
	if len(got) != 512 {
		t.Errorf("%d characters", len(got))
	}
	if got := mustNew(t, seeded(8), "random_password", params{"length": 4, "lower": false, "upper": false, "symbols": false}); len(got) != 4 {
		t.Errorf("a PIN of %d digits", len(got))
	}
}
