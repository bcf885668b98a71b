package render

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
)

// maxBehind is how many of those that are behind are listed.
const maxBehind = 20

// ApplySummary is how an apply ended.
type ApplySummary struct {
	Done            map[planner.Action]int
	Failed, Skipped []Outcome
	Conflicts       []Outcome
	Interrupted     bool
	ValuesRead      int
	// Objects are those of Done that were done to objects, by kind.
	Objects map[string]map[planner.Action]int
	// Behind are secrets that are made of others which now have a newer value.
	Behind []addr.Address
	// Checks are those of the plan.
	Checks []planner.CheckState
	// Carried are the addresses of the changes that were done.
	Carried []addr.Address
	Project string
	At      time.Time // when it ended
}

// Outcome is what became of one change that was not done.
type Outcome struct {
	Address addr.Address   `json:"address"`
	Action  planner.Action `json:"action"`
	Err     string         `json:"error,omitempty"`   // what went wrong
	Next    string         `json:"next,omitempty"`    // what to do about it
	Effect  Effect         `json:"effect,omitempty"`  // what became of it, "" where no provider was asked
	Because string         `json:"because,omitempty"` // why it was skipped, or what stands against it
	// Common is Err without its place, as it can be said of many; "" is an error
	// that stands alone.
	Common string `json:"-"`
	// Path is where it is: of many errors that differ in it alone, one is shown.
	Path string `json:"-"`
	// Range is the block that asks for it.
	Range *planner.Range `json:"-"`
}

// Effect is what a failed call to a provider did.
type Effect string

// The effects.
const (
	EffectNone    Effect = "none"
	EffectUnknown Effect = "unknown"
)

// effectText says it for people.
func effectText(effect Effect) string {
	switch effect {
	case EffectNone:
		return "Nothing was changed here."
	case EffectUnknown:
		return "It may have happened all the same: the next coffer apply looks before it writes."
	}
	return ""
}

// ApplyText writes how an apply ended. The only errors are the sink's.
func ApplyText(w io.Writer, sum ApplySummary, s Style) error {
	p := newPage(w, s)
	outcomes(p, "x", Danger, "Failed", sum.Failed)
	outcomes(p, "!", Danger, "In conflict, left as it is", sum.Conflicts)
	outcomes(p, ".", Caution, "Skipped", sum.Skipped)
	if sum.Interrupted {
		p.gap()
		p.flow(0, 2, toned(Caution, "Interrupted:"),
			text(" what was running was finished and saved. Run coffer apply again; it goes on from here."))
	}
	behind(p, sum.Behind)
	if failing(sum.Checks) > 0 {
		checks(p, sum.Checks)
	}
	p.gap()
	p.line(0, toned(Strong, applyLastLine(sum)))
	return p.end()
}

// behind says what the next apply writes because of this one.
func behind(p *page, list []addr.Address) {
	if len(list) == 0 {
		return
	}
	p.gap()
	p.flow(0, 2, toned(Caution, plural(len(list), "is", "are")+" behind:"),
		text(" made from what was written since, and not made again. To write "+
			map[bool]string{true: "it", false: "them"}[len(list) == 1]+": `coffer apply`"))
	p.gap()
	list = slices.Clone(list)
	slices.SortFunc(list, naturally)
	shown := list[:min(len(list), maxBehind)]
	for _, a := range shown {
		p.flow(2, bodyIndent, toned(Caution, "~"), text(" "), solid(Plain, a.String()))
	}
	if rest := len(list) - len(shown); rest > 0 {
		p.flow(2, bodyIndent, faint(fmt.Sprintf("and %d more; coffer plan lists all", rest)))
	}
}

func outcomes(p *page, sign string, tone Tone, name string, list []Outcome) {
	if len(list) == 0 {
		return
	}
	title(p, tone, name, strconv.Itoa(len(list)), "")
	items := make([]item, len(list))
	for i, o := range list {
		next := o.Next
		if next != "" {
			next = "Next: " + next
		}
		said := lines(o.Err, next, effectText(o.Effect), o.Because)
		action := solid(Plain, string(o.Action))
		items[i] = item{
			sign: sign, tone: tone, address: o.Address, remarks: []span{action}, shared: []span{action},
			shape: shapeOf(string(o.Action), unaddressed(said, o.Address)), common: unaddressed(said, o.Address), why: true,
			body: func(p *page) {
				waysOn(p, o.Address, said)
				if at := blockText(o.Range); at != "" && o.Err != "" {
					p.flow(bodyIndent, bodyIndent+2, faint("asked for at "), solid(Faint, at))
				}
			},
		}
		if o.Action == planner.Conflict {
			items[i].remarks = nil
		}
		switch {
		case o.Common != "":
			items[i].common = lines(o.Common, next, effectText(o.Effect))
			items[i].shape = shapeOf(string(o.Action), placeless(items[i].common, o.Path))
		case o.Err != "" || o.Action == planner.Conflict:
			items[i].shape = "" // every one is told
		}
	}
	p.list(items)
}

// lines joins the texts that there are, each on a line of its own.
func lines(texts ...string) string {
	return strings.Join(slices.DeleteFunc(texts, func(s string) bool { return s == "" }), "\n")
}

func applyLastLine(sum ApplySummary) string {
	secrets := map[planner.Action]int{}
	maps.Copy(secrets, sum.Done)
	for _, counts := range sum.Objects {
		for action, n := range counts {
			secrets[action] -= n
		}
	}
	done := func(k kindOfChange) string { return k.done }
	parts := append(countParts(secrets, done), objectCounts(sum.Objects).parts("changed", done)...)
	line := "Applied: " + strings.Join(parts, ", ") + "."
	var not []string
	for _, part := range []struct {
		list []Outcome
		word string
	}{{sum.Failed, "failed"}, {sum.Conflicts, "in conflict"}, {sum.Skipped, "skipped"}} {
		if n := len(part.list); n > 0 {
			not = append(not, fmt.Sprintf("%d %s", n, part.word))
		}
	}
	if n := failing(sum.Checks); n > 0 {
		not = append(not, plural(n, "check fails", "checks fail"))
	}
	if len(not) > 0 {
		line += " " + strings.Join(not, ", ") + "."
	}
	return line + fmt.Sprintf(" Values read: %d.", sum.ValuesRead)
}
