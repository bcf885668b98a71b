package render

import (
	"slices"
	"strings"

	"github.com/cofferhq/coffer/planner"
)

// lostReaders says what follows for people where c takes a recipient out of
// files: what was sent out cannot be called back (docs/providers/sops.md).
func lostReaders(p *page, c *planner.Change, files []string) {
	if c.Location.Kind != kindRecipients || c.Action != planner.Update || c.Before == "" {
		return
	}
	if !losesLine(c.Before, c.After) {
		return
	}
	file := "The file gets"
	if len(files) > 1 {
		file = "Each file gets"
	}
	p.flow(bodyIndent, bodyIndent, toned(Caution, "Whoever was removed can still read old commits."),
		text(" "+file+" a new data key and every value in it is encrypted anew, which protects what is written "+
			"from now on. Rotate what they must not know:"))
	if len(files) == 1 && len(c.Secrets) > 0 && len(c.Secrets) <= maxNotes {
		for _, a := range c.Secrets {
			p.line(bodyIndent+2, toned(Strong, "coffer rotate "), solid(Strong, quoted(a.Primary())))
		}
		return
	}
	list, what := []span{toned(Strong, "coffer graph")}, "lists what is in each file"
	if len(files) == 1 {
		list, what = []span{toned(Strong, "coffer graph -reads "), solid(Strong, quoted(c.Address))}, "lists what is in the file"
	}
	p.line(bodyIndent+2, list...)
	p.flow(bodyIndent+6, bodyIndent+6, text(what))
	p.line(bodyIndent+2, toned(Strong, "coffer rotate ADDRESS"))
	p.flow(bodyIndent+6, bodyIndent+6, text("makes a new value"))
}

// losesLine reports whether after lacks a line of before.
func losesLine(before, after string) bool {
	kept := strings.Split(after, "\n")
	for line := range strings.Lines(before) {
		if !slices.Contains(kept, strings.TrimSuffix(line, "\n")) {
			return true
		}
	}
	return false
}
