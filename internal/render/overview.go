package render

import (
	"cmp"
	"slices"
	"strings"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
)

// danger is one thing that a reader has to see first: how many of what, and to
// what it happens. Words are ours, names are not.
type danger struct {
	what, about string
	names       []string
}

// planDangers returns what deletes, replaces or reads a value, what is overdue,
// in conflict or could not be told, and what is wrong. The worst comes first.
func planDangers(plan *planner.Plan) []danger {
	var errors, conflicts, unknown, deletes, confirmed, drops, anew, moves, overdue []string
	for i := range plan.Changes {
		c := &plan.Changes[i]
		name := c.Address.String()
		switch c.Action {
		case planner.Conflict:
			conflicts = append(conflicts, name)
			continue
		case planner.Unknown:
			unknown = append(unknown, name)
			continue
		case planner.Delete:
			if c.Confirmed || c.Reason == planner.ReasonMoved {
				confirmed = append(confirmed, name)
			} else {
				deletes = append(deletes, name)
			}
		case planner.Relocate:
			if c.ReadsValue {
				moves = append(moves, name)
			}
		}
		if dropsField(c) {
			drops = append(drops, name)
		}
		if c.NewValue || c.Action == planner.Rotate {
			anew = append(anew, name)
		}
		if c.Reason == planner.ReasonRotationDue {
			overdue = append(overdue, name)
		}
	}
	for _, n := range plan.Notes {
		if n.Reason == planner.ReasonRotationDue {
			overdue = append(overdue, n.Address.String())
		}
	}
	errors = diagnosticNames(plan.Diagnostics, planner.SeverityError)
	return dangers(
		danger{counted(errors, "error", "errors"), "so this is not all that would happen", errors},
		danger{counted(conflicts, "conflict", "conflicts"), "nothing is written there until a person decides", conflicts},
		danger{counted(unknown, "could not be told", "could not be told"), "so nothing is written, made or deleted there", unknown},
		danger{counted(deletes, "delete", "deletes"), "", deletes},
		danger{counted(confirmed, "confirmed delete", "confirmed deletes"), "asked for by a block of the configuration", confirmed},
		danger{counted(drops, "secret loses a field", "secrets lose a field"), "", drops},
		danger{counted(anew, "new value", "new values"), "in place of one that was or is in use", anew},
		danger{counted(moves, "relocation reads a value", "relocations read a value"), "", moves},
		danger{counted(overdue, "rotation is due", "rotations are due"), "", overdue},
		failedChecks(plan.Checks),
		warnings(plan.Diagnostics),
	)
}

// driftDangers returns what drift found, the worst first.
func driftDangers(report *planner.DriftReport) []danger {
	names := map[planner.DriftKind][]string{}
	looks := driftLooks()
	for i := range report.Drift {
		kind := report.Drift[i].Kind
		if names[kind] == nil && !isDriftKind(kind) {
			looks = append(looks, unknownDrift(kind))
		}
		names[kind] = append(names[kind], report.Drift[i].Address.String())
	}
	errors := diagnosticNames(report.Diagnostics, planner.SeverityError)
	list := []danger{{counted(errors, "error", "errors"), "so this is not all that there is", errors}}
	for _, look := range looks {
		list = append(list, danger{what: counted(names[look.kind], driftWord(look, 1), driftWord(look, 2)), names: names[look.kind]})
	}
	return dangers(append(list, failedChecks(report.Checks), warnings(report.Diagnostics))...)
}

// driftWord is what n findings of one kind are, where the kind is known.
func driftWord(look kindOfDrift, n int) string {
	switch {
	case !isDriftKind(look.kind):
		return "of a kind that this version does not know"
	case n == 1 && look.one != "":
		return look.one
	case look.kind == planner.DriftMetadata, look.kind == planner.DriftDocument:
		return look.word + " changed"
	}
	return look.word
}

// unknownDrift is how a kind looks that is not in the list.
func unknownDrift(kind planner.DriftKind) kindOfDrift {
	return kindOfDrift{kind, "!", Danger, "Kind " + string(kind), string(kind), ""}
}

func failedChecks(list []planner.CheckState) danger {
	var names []string
	for _, c := range list {
		if !c.Holds {
			names = append(names, c.Name)
		}
	}
	return danger{what: counted(names, "check fails", "checks fail"), names: names}
}

func warnings(list []planner.Diagnostic) danger {
	names := diagnosticNames(list, planner.SeverityWarning)
	return danger{what: counted(names, "warning", "warnings"), names: names}
}

// diagnosticNames returns the summaries of one severity.
func diagnosticNames(list []planner.Diagnostic, severity planner.Severity) []string {
	var names []string
	for _, d := range list {
		if (d.Severity == planner.SeverityWarning) == (severity == planner.SeverityWarning) {
			names = append(names, d.Summary)
		}
	}
	return names
}

func counted(names []string, one, many string) string { return plural(len(names), one, many) }

// dangers leaves out what is not there, and orders names as people do.
func dangers(list ...danger) []danger {
	for _, d := range list {
		slices.SortStableFunc(d.names, natural)
	}
	return slices.DeleteFunc(list, func(d danger) bool { return len(d.names) == 0 })
}

// groupName names what an address belongs to: its app, or the provider of an
// object; "" for what stands beside both.
func groupName(a addr.Address) string {
	switch {
	case a.App != "":
		return addr.Address{App: a.App, AppKey: a.AppKey}.String()
	case a.Provider != "":
		return addr.Address{Provider: a.Provider}.String()
	}
	return ""
}

// rankOf orders actions as the sections of a plan are; what is not known comes
// first.
func rankOf(c *planner.Change) int {
	return slices.IndexFunc(actionLooks(), func(k kindOfChange) bool { return k.holds(c) })
}

// grouped splits a list by what its things belong to: the group with the worst
// thing first, then by name.
func grouped[T any](list []T, address func(*T) addr.Address, rank func(*T) int) [][]*T {
	type group struct {
		of    addr.Address
		worst int
		list  []*T
	}
	at := map[string]int{}
	var groups []group
	for i := range list {
		t := &list[i]
		name, r := groupName(address(t)), rank(t)
		j, ok := at[name]
		if !ok {
			j = len(groups)
			at[name] = j
			a := address(t)
			groups = append(groups, group{of: addr.Address{Provider: a.Provider, App: a.App, AppKey: a.AppKey}, worst: r})
		}
		groups[j].worst = min(groups[j].worst, r)
		groups[j].list = append(groups[j].list, t)
	}
	slices.SortStableFunc(groups, func(a, b group) int { return cmp.Or(cmp.Compare(a.worst, b.worst), naturally(a.of, b.of)) })
	out := make([][]*T, len(groups))
	for i, g := range groups {
		out[i] = g.list
	}
	return out
}

// notesByReason splits notes, each group in address order.
func notesByReason(list []planner.Note) (groups map[planner.Reason][]planner.Note, order []planner.Reason) {
	groups = map[planner.Reason][]planner.Note{}
	for _, n := range list {
		if groups[n.Reason] == nil {
			order = append(order, n.Reason)
		}
		groups[n.Reason] = append(groups[n.Reason], n)
	}
	slices.Sort(order)
	for _, group := range groups {
		slices.SortStableFunc(group, func(a, b planner.Note) int { return naturally(a.Address, b.Address) })
	}
	return groups, order
}

// addressText returns an address as text, "" for none.
func addressText(a addr.Address) string {
	if a.IsZero() {
		return ""
	}
	return a.String()
}

// notice is what holds for all of a plan, in our own words.
type notice struct{ head, text string }

func planNotices(plan *planner.Plan) []notice {
	var out []notice
	if !plan.At.IsZero() {
		out = append(out, notice{"As of " + when(plan.At) + ":", "what will be due then, if nothing else changes. This plan cannot be applied."})
	}
	switch {
	case !plan.Refreshed:
		out = append(out, notice{"Not refreshed:", "nobody looked at the stores, so this plan cannot be applied."})
	case plan.Partial:
		out = append(out, notice{"Partial plan:", "only what was selected, with what it depends on. Nothing else is changed or deleted."})
	}
	return out
}

// conflictParts splits what there is to say of a conflict: what happened, then
// each command that settles it with what that does.
func conflictParts(c *planner.Change, detail string) []string {
	target := quoted(c.Address)
	var out []string
	said := ""
	flush := func() {
		if said = strings.Trim(said, " ,;"); said != "" {
			out = append(out, said)
		}
		said = ""
	}
	parts := strings.Split(conflictDetail(c, detail), "`")
	for i, part := range parts {
		switch {
		case i%2 == 0 || i == len(parts)-1:
			said += part
		case isCommand(part, target):
			flush()
			said = "`" + part + "`"
		default:
			said += "`" + part + "`"
		}
	}
	flush()
	return out
}
