package render

import (
	"cmp"
	"strings"

	"github.com/cofferhq/coffer/lang/addr"
)

// naturally compares addresses as people list them: s2 before s10.
func naturally(a, b addr.Address) int {
	return cmp.Or(
		natural(a.Provider, b.Provider), natural(a.App, b.App), natural(a.AppKey, b.AppKey),
		natural(a.Kind, b.Kind), natural(a.Type, b.Type), natural(a.Name, b.Name), natural(a.Key, b.Key),
		natural(a.Environment, b.Environment), natural(a.Store, b.Store),
	)
}

// natural compares texts with the numbers in them compared as numbers. Texts
// that differ are never equal.
func natural(a, b string) int {
	x, y := a, b
	for x != "" && y != "" {
		n, m := digits(x), digits(y)
		if n == 0 || m == 0 {
			if x[0] != y[0] {
				return cmp.Compare(x[0], y[0])
			}
			x, y = x[1:], y[1:]
			continue
		}
		one, other := strings.TrimLeft(x[:n], "0"), strings.TrimLeft(y[:m], "0")
		if c := cmp.Or(cmp.Compare(len(one), len(other)), strings.Compare(one, other)); c != 0 {
			return c
		}
		x, y = x[n:], y[m:]
	}
	return cmp.Or(cmp.Compare(len(x), len(y)), strings.Compare(a, b))
}

// digits returns how many digits s begins with.
func digits(s string) int {
	n := 0
	for n < len(s) && '0' <= s[n] && s[n] <= '9' {
		n++
	}
	return n
}
