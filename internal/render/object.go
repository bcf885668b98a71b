package render

import (
	"fmt"
	"strings"

	"github.com/cofferhq/coffer/planner"
)

// kindBinding is the kind of the objects that give one holder one policy; their
// path is "HOLDER POLICY" and their text says nothing more.
const kindBinding = "binding"

// maxNewLines is how many lines of a document that did not exist before are
// shown when there are more than half as many again.
const maxNewLines = 60

// isGrant reports whether c is about one grant, whose address says all of it.
func isGrant(c *planner.Change) bool {
	return c.Location.Kind == kindBinding && strings.Contains(c.Location.Path, " ")
}

// objectText shows what a change does to an object: a grant in one line, any
// other as a difference of its text.
func objectText(p *page, c *planner.Change) {
	if isGrant(c) {
		holder, policy, _ := strings.Cut(c.Location.Path, " ")
		if method, role, ok := strings.Cut(holder, ":"); ok && strings.HasPrefix(role, method+"/") {
			holder = role // approle:approle/x, where the mount has its usual name
		}
		if c.Before == c.After {
			return
		}
		if c.After == "" {
			p.flow(bodyIndent, bodyIndent+2, toned(Danger, "takes the policy "), solid(Danger, policy), toned(Danger, " from "), solid(Danger, holder))
			return
		}
		p.flow(bodyIndent, bodyIndent+2, toned(Good, "grants "), solid(Good, holder), toned(Good, " the policy "), solid(Good, policy))
		return
	}
	after, rest := c.After, 0
	if all := splitLines(after); c.Before == "" && len(all) > maxNewLines+maxNewLines/2 {
		after, rest = joinLines(all[:maxNewLines]), len(all)-maxNewLines
	}
	document(p, c.Before, after)
	if rest > 0 {
		p.flow(bodyIndent+2, bodyIndent+2, faint(fmt.Sprintf("... %s more; with -json all are there", plural(rest, "line", "lines"))))
	}
}
