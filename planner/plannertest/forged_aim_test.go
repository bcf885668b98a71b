package plannertest

import (
	"fmt"
	"maps"
	"slices"

	"github.com/cofferhq/coffer/lang/addr"
)

// aimed are plans that a person with an aim would forge: each shape that a
// change of the honest plan has, put on each thing that the plan has no
// business with, with the versions and digests that are true for it.
func (f *forgery) aimed(tree any) []variant {
	changes := tree.(map[string]any)["changes"].([]any)
	var all []variant
	for _, target := range []struct{ address, path string }{
		{`app.shop.secret.kept["dev"]`, "shop/dev/kept"},
		{`app.shop.secret.guarded["dev"]`, "shop/dev/guarded"},
		{`app.shop.secret.supplied["dev"]`, "shop/dev/supplied"},
		{`app.shop.secret.movable["dev"]`, "shop/dev/movable"},
		{`app.gone.secret.theirs["dev"]`, "theirs"},
		{`app.gone.secret.nobodys["dev"]`, "nobodys"},
		{`app.gone.secret.kept["dev"]`, "shop/dev/kept"},
	} {
		for _, store := range []string{"memory", "memory.b"} {
			meta, _ := f.Stores[store].Meta(target.path)
			for _, digest := range f.digests(target.address, store) {
				for _, entry := range slices.Compact([]string{"", meta.Version}) {
					for i, c := range changes {
						forged := maps.Clone(c.(map[string]any))
						forged["address"] = target.address
						forged["location"] = map[string]any{"provider": store, "kind": "secret", "path": target.path}
						forged["version_from"], forged["entry"], forged["config_digest"], forged["role"] = meta.Version, entry, digest, "primary"
						delete(forged, "depends_on")
						name := fmt.Sprintf("%v of change %d on %s of %s as %s, entry %q, digest %.12s",
							forged["action"], i, target.path, store, target.address, entry, digest)
						all = append(all, variant{name, with(tree, []string{"changes"}, append(slices.Clone(changes), forged))})
					}
				}
			}
		}
	}
	return all
}

// digests are the configuration digests to try: none, and the true one.
func (f *forgery) digests(address, store string) []string {
	f.Helper()
	a, err := addr.Parse(address)
	if err != nil {
		f.Fatalf("%v", err)
	}
	if store != "memory" {
		a = a.At(store)
	}
	if r := f.Look().Desired.At(a); r != nil {
		return []string{"", r.Digest()}
	}
	return []string{""}
}

// fork returns a world of its own in the state of f.
func (f *forgery) fork(t TB) *forgery {
	w := *f.World
	w.TB = t
	w.State = &State{saved: f.State.saved}
	w.Stores = maps.Clone(f.Stores)
	for ref, store := range f.Stores {
		w.Stores[ref] = store.Clone()
	}
	return &forgery{World: &w, cfg: f.cfg, plan: f.plan, was: f.was}
}
