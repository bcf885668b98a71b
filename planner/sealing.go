package planner

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/state"
)

// This file is about secrets that only their platform can read, see
// [providers.Sealer]: they are compared by generation, made anew where they
// move, and sealed anew where the key or the scope is another.

// Sealing is what a secret is to be sealed with, or why that cannot be told.
type Sealing struct {
	providers.Sealing
	Err error
}

// askSealing asks the stores for keys.
func (r *Refresher) askSealing(ctx context.Context, d *Desired, live *Live) {
	for _, res := range d.Resources {
		store := r.Stores[res.Store]
		if res.IsObject() || store == nil || store.Err != nil || !store.Seals() {
			continue
		}
		s, err := store.Sealing(ctx, res.Location.Path, providers.Attributes{Form: res.Form})
		if s.Envelope == "" && err == nil {
			continue
		}
		if live.Sealing == nil {
			live.Sealing = map[addr.Location]Sealing{}
		}
		live.Sealing[res.Location] = Sealing{s, err}
	}
}

// sealed reports whether nobody but the platform can read r.
func (x *differ) sealed(r *Resource) bool { return x.live.Sealing[r.Location].Envelope != "" }

// sealedAnew plans all fields of a secret whose key or scope is another now. Of
// one that somebody else sealed nobody knows the key, and it is kept.
func (x *differ) sealedAnew(f *facts) (outcome, bool) {
	want, live := x.live.Sealing[f.r.Location].Envelope, f.o.Meta
	if want == "" || !f.o.Exists || (live.Envelope == "" || live.Envelope == want) && live.Attributes.Form.Scope == f.r.Form.Scope {
		return outcome{}, false
	}
	fields, _ := x.staleFields(f)
	reason := ReasonReencrypted
	if len(fields) > 0 {
		reason = ReasonSourceChanged
	}
	maps.Copy(fields, x.allFields(f))
	out := x.update(f, reason, fields)
	if out.change != nil {
		out.change.Detail = "the key or the scope that it is sealed for is another"
	}
	if reason == ReasonReencrypted { // the values are the same ones, so nothing made of them is behind
		out.generation = f.generation()
	}
	return out, true
}

// unreadable reports whether an entry is of a secret that nobody but its platform
// can read.
func unreadable(store *Store, e *state.Entry) bool { return store.Seals() && e.Envelope != "" }

// soon is how long before the end of a sealing certificate a plan warns.
const soon = 30 * 24 * time.Hour

// sealingEnds warns, once for each store, of a certificate that ends soon: the
// controller makes a new one, and what is sealed to the old one alone is lost
// with it.
func (x *differ) sealingEnds() {
	warned := map[string]bool{}
	for _, r := range x.d.Resources {
		ends := x.live.Sealing[r.Location].Expires
		if ends.IsZero() || warned[r.Store] || !x.selected[r.n] || x.o.Now.Add(soon).Before(ends) {
			continue
		}
		warned[r.Store] = true
		x.plan.Diagnostics = append(x.plan.Diagnostics, Diagnostic{
			Severity: SeverityWarning, Range: r.Range,
			Summary: fmt.Sprintf("the certificate that %s seals with ends on %s", r.Store, ends.UTC().Format("2006-01-02")),
			Detail:  "Fetch the controller's newest one; the next apply then seals everything to it in one run.",
		})
	}
}
