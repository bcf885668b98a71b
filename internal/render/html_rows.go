package render

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/state"
)

func changeRow(c *planner.Change, look kindOfChange) htmlRow {
	r := newRow(c.Address, c.Location, look.title, look.tone)
	r.Reason = Sanitize(changeReason(c))
	live, recorded := versions(c.VersionFrom, c.Entry)
	r.Versions = Sanitize(versionPair(recorded, live))
	if c.NewValue && c.Action != planner.Rotate {
		r.Flags = append(r.Flags, "new value")
	}
	if c.ReadsValue {
		r.Flags = append(r.Flags, "reads value")
	}
	if c.Confirmed {
		r.Flags = append(r.Flags, "confirmed")
	}
	r.Detail = paragraphsOf(c.Detail)
	if c.Action == planner.Conflict {
		r.Detail = nil
		for _, part := range conflictParts(c, c.Detail) {
			r.Detail = append(r.Detail, paragraphsOf(part)...)
		}
	}
	r.fact("sealed with", c.Envelope, true)
	r.fact("recorded version", c.Entry, true)
	r.fact("live version", c.VersionFrom, true)
	switch {
	case c.GenerationLive > 0 && c.GenerationLive != c.Generation:
		r.fact("generation", fmt.Sprintf("%d live, %d wanted", c.GenerationLive, c.Generation), false)
	case c.Generation > 0:
		r.fact("generation", strconv.Itoa(c.Generation), false)
	}
	if c.From != nil {
		if c.From.Address != c.Address {
			r.fact("was", c.From.Address.String(), true)
		}
		if c.From.Location != c.Location {
			r.fact("moves from", strings.TrimSpace(c.From.Location.Provider+" "+c.From.Location.Path), true)
		}
	}
	r.place(c.Location, c.Range)
	if c.Role != state.RolePrimary {
		r.fact("role", c.Role, false)
	}
	for _, k := range c.DependsOn {
		r.fact("after", k.Address.String(), true)
	}
	r.grant(c)
	r.Fields = fieldsOf(c.Fields)
	if !isGrant(c) {
		r.Diff = diffOf(c.Location.Path, c.Before, c.After)
	}
	return r
}

// grant says in words what a grant is.
func (r *htmlRow) grant(c *planner.Change) {
	if !isGrant(c) || c.Before == c.After {
		return
	}
	holder, policy, _ := strings.Cut(c.Location.Path, " ")
	verb, to := "grants ", " to "
	if c.After == "" {
		verb, to = "takes ", " from "
	}
	r.Detail = append(r.Detail, htmlText{{verb, false}, {Sanitize(policy), true}, {to, false}, {Sanitize(holder), true}})
}

// versionPair is what a row says of versions.
func versionPair(recorded, live string) string {
	switch {
	case recorded == "" && live == "":
		return ""
	case recorded == "":
		return "version " + live
	case live == "":
		return recorded + " recorded"
	case recorded == live:
		return "version " + live
	}
	return recorded + " recorded, " + live + " live"
}

func fieldsOf(fields map[string]planner.FieldChange) []htmlField {
	var out []htmlField
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		f := htmlField{Name: Sanitize(fieldName(name)), Drop: fields[name].Op == opDrop}
		for _, s := range sourceSpans(fields[name]) {
			text := Sanitize(s.text)
			if s.tone == Faint {
				text = " → "
			}
			f.Source = append(f.Source, htmlPiece{text, s.code})
		}
		out = append(out, f)
	}
	return out
}

// diffOf returns a unified difference by lines, without the names of its two
// sides.
func diffOf(name, before, after string) []htmlLine {
	var b strings.Builder
	if before == after || Patch(&b, name, before, after) != nil { // a Builder takes all
		return nil
	}
	var out []htmlLine
	for i, line := range strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n") {
		if i < 2 {
			continue
		}
		if len(out) == maxDiffShown {
			return append(out, htmlLine{"at", "... the rest is in the JSON form"})
		}
		class := map[byte]string{'+': "add", '-': "del", '@': "at", '\\': "at"}[(line + " ")[0]]
		out = append(out, htmlLine{class, line})
	}
	return out
}

func driftRow(d *planner.Drift, look kindOfDrift) htmlRow {
	r := newRow(d.Address, d.Location, look.title, look.tone)
	recorded, live := versions(d.VersionRecorded, d.VersionLive)
	r.Versions = Sanitize(versionPair(recorded, live))
	r.Reason = when(d.ChangedAt)
	if d.ChangedBy != "" {
		r.Reason = Sanitize(strings.TrimSpace(when(d.ChangedAt) + " by " + d.ChangedBy))
	}
	r.Detail = paragraphsOf(d.Detail)
	r.fact("recorded version", d.VersionRecorded, true)
	r.fact("live version", d.VersionLive, true)
	if at := when(d.ChangedAt); at != "" {
		r.fact("changed at about", at, false)
	}
	r.fact("changed by", d.ChangedBy, true)
	r.place(d.Location, d.Range)
	r.Diff = diffOf(d.Location.Path, d.Before, d.After)
	return r
}
