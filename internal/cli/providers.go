package cli

import (
	"context"
	"time"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/kubernetes"
	"github.com/cofferhq/coffer/providers/kubernetes/manifests"
	"github.com/cofferhq/coffer/providers/sops"
	"github.com/cofferhq/coffer/providers/vault"
	"github.com/cofferhq/coffer/state/remote"
)

// registry is the one list of drivers. A new provider is a line here.
func registry() *providers.Registry {
	return providers.NewRegistry(
		kubernetes.Factory(),
		manifests.Factory(),
		sops.Factory(),
		vault.Factory(),
	)
}

// Seams are where a test stops the program. No run of the program sets one:
// the zero value is all that main passes.
type Seams struct {
	// At is called at every durable step of the state (state.Points) and of the
	// audit log. An error from it fails that step.
	At func(point string) error
	// Wait replaces waiting for a store or a forge.
	Wait func(context.Context, time.Duration) error
	// Registry replaces the list of drivers.
	Registry *providers.Registry
	// Backends replaces the list of remote backends.
	Backends map[string]func() remote.Backend
}

func (inv *invocation) registry() *providers.Registry {
	if r := inv.Seams.Registry; r != nil {
		return r
	}
	return registry()
}
