package cli

import (
	"fmt"
	"strings"

	"github.com/cofferhq/coffer/providers"
)

// backendName is what -provider calls the store of a shared state.
const backendName = "backend"

// backendPermissions is what the state itself needs: reading for a plan, also
// writing for an apply; nil where it is a file. The provider that has the key
// of an encrypted state needs more too.
func (w *workspace) backendPermissions(phase providers.Phase) []providerPermissions {
	if w.kept.backend == nil {
		return nil
	}
	list := []providerPermissions{{Provider: backendName, Document: w.kept.backend.Permissions(phase == providers.PhaseApply)}}
	for _, e := range w.kept.encryption {
		if e.vault != nil {
			list = append(list, providerPermissions{Provider: e.block.Provider, Document: e.vault.permissions(phase)})
		}
	}
	return list
}

// permissions are rules for the policy of whoever opens the state.
func (v *vaultEncryption) permissions(phase providers.Phase) string {
	var out strings.Builder
	rule := func(op, why string) {
		fmt.Fprintf(&out, "# %s\npath %q {\n  capabilities = [\"update\"]\n}\n", why, v.Mount+"/"+op+"/"+v.Key)
	}
	rule("decrypt", "open the encrypted state")
	if phase == providers.PhaseApply {
		rule("encrypt", "encrypt the state")
	}
	return out.String()
}
