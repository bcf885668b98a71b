package cli

import (
	"context"
	"errors"

	"github.com/cofferhq/coffer/providers"
)

// backendName is what -provider calls the store of a shared state.
const backendName = "backend"

// runBackendPermissions prints what the state needs, which is told from the
// configuration alone: whoever asks may not reach the state yet.
func runBackendPermissions(ctx context.Context, inv *invocation, phase providers.Phase) error {
	w, err := inv.openStateless(ctx, phase)
	if err != nil {
		return err
	}
	p, ok := w.backendPermissions(phase)
	if !ok {
		return errors.New("the state is a file: whoever may read it can plan, whoever may write its folder can apply")
	}
	doc := permissionsDocument{FormatVersion: 1, Phase: phase, Providers: []providerPermissions{p}}
	if inv.json {
		doc.Diagnostics = inv.planWarnings()
		return inv.printJSON(doc)
	}
	return inv.showPermissions(doc)
}

// backendPermissions is what the state itself needs: reading for a plan, also
// writing for an apply; false where it is a file. What a provider that has the
// key of an encrypted state needs is in that one's.
func (w *workspace) backendPermissions(phase providers.Phase) (providerPermissions, bool) {
	if w.kept.backend == nil {
		return providerPermissions{}, false
	}
	return providerPermissions{Provider: backendName, Document: w.kept.backend.Permissions(phase == providers.PhaseApply)}, true
}

// keysOf are the keys of a provider that encrypt the state, or did.
func (w *workspace) keysOf(ref string) []string {
	var keys []string
	for _, e := range w.kept.encryption {
		if e.vault != nil && e.block.Provider == ref {
			keys = append(keys, e.vault.name())
		}
	}
	return keys
}
