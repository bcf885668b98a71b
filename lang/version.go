package lang

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// versionSatisfies reports whether version meets a constraint such as
// ">= 0.1.0, < 2" or "~> 0.3". Anything behind "-" or "+" is ignored, so that
// a build made before a release counts as that release. A version that is not
// one (a development build) meets every constraint that can be read.
func versionSatisfies(version, constraint string) (bool, error) {
	have, _, haveErr := parseVersion(strings.TrimPrefix(version, "v"))
	all := true
	for part := range strings.SplitSeq(constraint, ",") {
		part = strings.TrimSpace(part)
		op := part[:len(part)-len(strings.TrimLeft(part, "<>=!~"))]
		want, written, err := parseVersion(strings.TrimSpace(part[len(op):]))
		if err != nil {
			return false, fmt.Errorf("%q is not a version", part)
		}
		c := slices.Compare(have[:], want[:])
		var ok bool
		switch op {
		case "", "=":
			ok = c == 0
		case "!=":
			ok = c != 0
		case ">":
			ok = c > 0
		case ">=":
			ok = c >= 0
		case "<":
			ok = c < 0
		case "<=":
			ok = c <= 0
		case "~>": // the last number written may rise, those before it may not
			fixed := max(written-1, 1)
			ok = c >= 0 && slices.Equal(have[:fixed], want[:fixed])
		default:
			return false, fmt.Errorf("%q is not an operator: use =, !=, >, >=, <, <= or ~>", op)
		}
		all = all && ok
	}
	return all || haveErr != nil, nil
}

// parseVersion reads up to three numbers and says how many there were.
func parseVersion(s string) (version [3]int, written int, err error) {
	if i := strings.IndexAny(s, "-+"); i >= 0 {
		s = s[:i]
	}
	parts := strings.Split(s, ".")
	if len(parts) > 3 {
		return version, 0, fmt.Errorf("%q is not a version", s)
	}
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 10, 31)
		if err != nil {
			return version, 0, fmt.Errorf("%q is not a version", s)
		}
		version[i] = int(n)
	}
	return version, len(parts), nil
}
