package planner

import (
	"strings"

	"github.com/cofferhq/coffer/lang/addr"
)

// whoWhen says who changed a version and when, as far as the platform tells.
func whoWhen(o *Observation) string {
	text := "changed outside"
	if o.Meta.ChangedBy != "" {
		text += " by " + o.Meta.ChangedBy
	}
	if !o.Meta.Created.IsZero() {
		text += " at " + o.Meta.Created.UTC().Format("2006-01-02 15:04:05 MST")
	}
	return text
}

// place is where f lies, as a person writes it.
func (f *facts) place(x *differ) string { return x.stores[f.r.Store].written(f.r.Location) }

// shellWord prints what may be several words to a shell as one.
func shellWord(s string) string {
	if strings.ContainsAny(s, " '\"$`\\*?<>|&;()[]{}!~#") {
		return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	}
	return s
}

// quoteArg prints an address as one shell word.
func quoteArg(a addr.Address) string { return "'" + a.String() + "'" }
