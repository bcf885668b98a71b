package lang

import (
	"strings"
	"unicode/utf8"
)

// suggest returns the candidate that name is most likely a misspelling of, or
// "" where none is near. Near means a Damerau-Levenshtein distance (insert,
// delete, replace, swap two neighbours; case does not count) of at most a third
// of the longer of the two, and at most 3. Of equally near candidates the first
// in alphabetical order wins, so the order of candidates does not matter.
func suggest(name string, candidates []string) string {
	const longest = 64 // no name of the language is longer; bounds the work
	if name == "" || len(name) > longest {
		return ""
	}
	best, bestDistance := "", 0
	for _, candidate := range candidates {
		if candidate == name || candidate == "" || len(candidate) > longest {
			continue
		}
		limit := min(3, max(1, max(utf8.RuneCountInString(name), utf8.RuneCountInString(candidate))/3))
		d := distance(strings.ToLower(name), strings.ToLower(candidate))
		if d > limit {
			continue
		}
		if best == "" || d < bestDistance || d == bestDistance && candidate < best {
			best, bestDistance = candidate, d
		}
	}
	return best
}

// distance is the Damerau-Levenshtein distance in its restricted form (optimal
// string alignment): no part is edited twice.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	before, above, row := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range above {
		above[j] = j
	}
	for i := range x {
		row[0] = i + 1
		for j := range y {
			cost := 1
			if x[i] == y[j] {
				cost = 0
			}
			row[j+1] = min(above[j+1]+1, row[j]+1, above[j]+cost)
			if i > 0 && j > 0 && x[i] == y[j-1] && x[i-1] == y[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, above, row = above, row, before
	}
	return above[len(y)]
}
