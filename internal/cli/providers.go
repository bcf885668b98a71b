package cli

import (
	"context"
	"fmt"
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

// provider opens one provider, once.
func (w *workspace) provider(ctx context.Context, ref string) (*providers.Provider, error) {
	for _, p := range w.opened {
		if p.Ref() == ref {
			return p, nil
		}
	}
	for _, b := range w.blocks {
		if b.block.Ref() == ref {
			p, err := w.openProvider(ctx, b)
			if err == nil {
				w.opened = append(w.opened, p)
			}
			return p, err
		}
	}
	return nil, fmt.Errorf("there is no provider %q", ref)
}

func (w *workspace) openProviders(ctx context.Context) ([]*providers.Provider, error) {
	var list []*providers.Provider
	for _, b := range w.blocks {
		if w.filesOnly(b.block) {
			continue
		}
		p, err := w.provider(ctx, b.block.Ref())
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}

// openRecorded opens what openProviders left out and the state has things on.
func (w *workspace) openRecorded(ctx context.Context) ([]*providers.Provider, error) {
	var list []*providers.Provider
	for _, b := range w.blocks {
		ref := b.block.Ref()
		if w.snapshot == nil || w.snapshot.Providers[ref] == "" || !w.filesOnly(b.block) {
			continue
		}
		p, err := w.provider(ctx, ref)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}

// filesOnly reports whether everything of a cluster goes to files: whoever writes
// them needs no way into the cluster, and it is asked nothing.
func (w *workspace) filesOnly(cluster *lang.Provider) bool {
	ref, cfg := cluster.Ref(), w.cfg
	files := slices.ContainsFunc(cfg.Providers, func(p *lang.Provider) bool { return p.Type == manifests.Type && p.Alias == cluster.Alias })
	return cluster.Type == kubernetes.Type && files &&
		!slices.ContainsFunc(cfg.Secrets, func(s *lang.Secret) bool { return s.Store == ref || slices.Contains(s.Replicas, ref) }) &&
		!slices.ContainsFunc(cfg.Deliveries, func(d *lang.Delivery) bool { return d.Provider == ref }) &&
		!slices.ContainsFunc(cfg.Objects, func(o *lang.Object) bool { return o.Provider == ref }) &&
		!slices.ContainsFunc(cfg.Imports, func(i *lang.Import) bool { return i.Store == ref })
}

func (w *workspace) openProvider(ctx context.Context, b decodedProvider) (*providers.Provider, error) {
	env := providers.Env{
		Dir: w.inv.dir(), Getenv: w.inv.Getenv, Now: w.inv.Now, Random: w.inv.Random, Project: w.cfg.Settings.Project,
		Phase: w.phase, Person: w.inv.person(), Locks: w.inv.locks,
	}
	driver, err := b.factory.Open(ctx, env, b.config)
	if err != nil {
		return nil, fmt.Errorf("provider %s: %w", b.block.Ref(), err)
	}
	p := providers.New(b.block.Ref(), driver, providers.Options{
		Parallelism: w.inv.parallelism, MaxWait: w.patience, Now: w.inv.Now, Sleep: w.inv.waiting(), Log: w.log,
		Waiting: func(ref string, why error) { w.inv.say("Waiting for %s: %v", ref, why) },
	})
	w.inv.opened = append(w.inv.opened, p)
	return p, nil
}
