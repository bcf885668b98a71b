package cli

import (
	"context"
	"slices"
	"time"

	"github.com/cofferhq/coffer/lang"
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

// onlyFiles reports whether a cluster is there for the sake of manifests alone,
// which its own block is for: nobody has to have a way into it then.
func onlyFiles(cfg *lang.Config, p *lang.Provider) bool {
	ref := p.Ref()
	isTwin := func(other *lang.Provider) bool { return other.Type == manifests.Type && other.Alias == p.Alias }
	if p.Type != kubernetes.Type || !slices.ContainsFunc(cfg.Providers, isTwin) {
		return false
	}
	uses := func(store string, replicas []string) bool { return store == ref || slices.Contains(replicas, ref) }
	for _, env := range cfg.Environments {
		if uses(env.Store, env.Replicas) {
			return false
		}
	}
	return !slices.ContainsFunc(cfg.Secrets, func(s *lang.Secret) bool { return uses(s.Store, s.Replicas) }) &&
		!slices.ContainsFunc(cfg.Deliveries, func(d *lang.Delivery) bool { return d.Provider == ref }) &&
		!slices.ContainsFunc(cfg.Objects, func(o *lang.Object) bool { return o.Provider == ref }) &&
		!slices.ContainsFunc(cfg.Imports, func(i *lang.Import) bool { return i.Store == ref })
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
