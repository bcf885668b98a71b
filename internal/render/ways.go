package render

import (
	"regexp"
	"strings"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
)

// conflictDetail returns what there is to say of a conflict. The planner knows which
// commands fit and writes them in backquotes; where it wrote none, and somebody
// else wrote the value, they are the three of every conflict.
func conflictDetail(c *planner.Change, detail string) string {
	target := quoted(c.Address)
	if c.Reason != planner.ReasonChangedOutside || hasCommand(detail, target) {
		return detail
	}
	detail = strings.TrimRight(detail, " .;,")
	if detail != "" {
		detail += ". "
	}
	return detail + "To settle it: `coffer accept " + target + "` keeps the live value, `coffer restore " + target +
		"` writes the recorded one again (where the store keeps it), `coffer rotate " + target + "` makes a new one"
}

// waysOn shows the detail of a conflict at a with each command that settles it
// on a line of its own, to be copied.
func waysOn(p *page, a addr.Address, detail string) {
	target := quoted(a)
	parts := strings.Split(detail, "`")
	// "Somebody wrote it; `command` does this" against "do this with `command`".
	indent := bodyIndent
	if first := strings.TrimRight(parts[0], " "); first == "" || strings.ContainsAny(first[len(first)-1:], ".;:") {
		indent = bodyIndent + 6
	}
	var prose strings.Builder // what stands before a command or between two
	at := bodyIndent
	flush := func() {
		p.paragraphs(at, Plain, strings.Trim(prose.String(), " ;,"))
		prose.Reset()
		at = indent
	}
	for i, part := range parts {
		switch {
		case i%2 == 1 && isCommand(part, target):
			flush()
			word, rest, _ := strings.Cut(part, target)
			p.line(bodyIndent+2, toned(Strong, word), solid(Strong, target), toned(Strong, rest))
		case i%2 == 1 && i < len(parts)-1:
			prose.WriteString("`" + part + "`")
		case i%2 == 1:
			prose.WriteString("`" + part)
		default:
			prose.WriteString(part)
		}
	}
	flush()
}

// hasCommand reports whether a detail names a way on.
func hasCommand(detail, target string) bool {
	for i, part := range strings.Split(detail, "`") {
		if i%2 == 1 && isCommand(part, target) {
			return true
		}
	}
	return false
}

// isCommand reports whether s is a command of ours for target and no more:
// what else is in a detail may come from a provider.
func isCommand(s, target string) bool {
	before, after, found := strings.Cut(s, target)
	return found && commandBefore.MatchString(before) && commandAfter.MatchString(after)
}

// What stands around the address in a command of ours.
var (
	commandBefore = regexp.MustCompile(`^coffer [a-z -]+ $`)
	commandAfter  = regexp.MustCompile(`^( [A-Za-z0-9_./-]+)*$`)
)
