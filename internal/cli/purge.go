package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/cofferhq/coffer/internal/render"
	"github.com/cofferhq/coffer/lang/addr"
	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/providers"
)

type purgeOptions struct {
	approval
	store, id string
}

func purgeCommand(inv *invocation) *cli.Command {
	var opts purgeOptions
	return &cli.Command{
		Name:      "purge",
		Usage:     "destroy for good what was deleted and its store still keeps",
		ArgsUsage: "STORE ID",
		Description: `All versions of one deleted secret that carries our mark. ID is where it is, as
the configuration writes it, after the provider's prefix. Nothing brings it
back, neither coffer apply nor coffer restore. What is live is refused; take its
block out and apply first.`,
		UsageText: `coffer purge vault checkout/production/stripe`,
		Flags:     opts.approval.flags()[:1],
		Action: func(c *cli.Context) error {
			if err := inv.arguments(c, 2, 2); err != nil {
				return err
			}
			opts.store, opts.id = c.Args().Get(0), c.Args().Get(1)
			return runPurge(c.Context, inv, opts)
		},
	}
}

func runPurge(ctx context.Context, inv *invocation, opts purgeOptions) (err error) {
	if err := inv.mayAsk(opts.approval); err != nil {
		return err
	}
	w, list, err := inv.openUnconnected(ctx, opening{operation: "purge"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	var diags []planner.Diagnostic
	w.stores, diags = planner.Connect(ctx, list, w.snapshot)
	if err := w.check(diags); err != nil {
		return err
	}
	store := w.stores[opts.store]
	switch {
	case store == nil:
		return noProvider(opts.store, w.stores)
	case store.Err != nil:
		return store.Err
	}
	path, err := store.Resolve(addr.KindSecret, opts.id)
	if err != nil {
		return err
	}
	return w.purge(ctx, store, path, opts)
}

// purge shows what there is, asks, and destroys just that.
func (w *workspace) purge(ctx context.Context, store *planner.Store, path string, opts purgeOptions) error {
	meta, err := w.purgeable(ctx, store, path, opts.id)
	if err != nil {
		return err
	}
	inv := w.inv
	out := render.NewWriter(inv.Err, render.Style{})
	fmt.Fprintf(out, "%s on %s: version %s and all before it, deleted %s.\n", opts.id, store.Ref(), meta.Version,
		meta.Deleted.UTC().Format(minutes))
	if e := w.snapshot.Entries[addr.Location{Provider: store.Identity, Kind: addr.KindSecret, Path: path}]; e != nil {
		fmt.Fprintf(out, "The state has it as %s: where a block still wants it, the next apply makes a new value.\n", e.Address)
	}
	if !opts.auto {
		if err := inv.approve(ctx, "Destroy it for good?"); err != nil {
			return err
		}
	}
	log, err := w.auditor()
	if err != nil {
		return err
	}
	inv.began = true
	if err := planner.Purge(ctx, store, path, w.cfg.Settings.Project, log); err != nil {
		return err
	}
	if inv.json {
		return inv.printJSON(struct {
			FormatVersion int       `json:"format_version"`
			Provider      string    `json:"provider"`
			ID            string    `json:"id"`
			Path          string    `json:"path"`
			Version       string    `json:"version"`
			DeletedAt     time.Time `json:"deleted_at,omitzero"`
		}{1, store.Ref(), opts.id, path, meta.Version, meta.Deleted.UTC()})
	}
	_, err = fmt.Fprintf(render.NewWriter(inv.Out, render.Style{}), "Destroyed %s on %s: version %s and all before it. Values read: 0.\n",
		opts.id, store.Ref(), meta.Version)
	return err
}

// purgeable returns what is at the path, or why it is not ours to destroy.
func (w *workspace) purgeable(ctx context.Context, store *planner.Store, path, id string) (providers.Meta, error) {
	var none providers.Meta
	if !store.CanPurge() {
		return none, fmt.Errorf("%s keeps nothing of what was deleted, so there is nothing to purge", store.Ref())
	}
	found, err := store.Inspect(ctx, []string{path})
	if partial, ok := errors.AsType[*providers.PartialError](err); ok && partial.Paths[path] != nil {
		err = partial.Paths[path]
	}
	if err != nil {
		return none, err
	}
	meta, ok := found[path]
	mark := meta.Attributes.Mark
	switch {
	case !ok:
		return none, fmt.Errorf("there is nothing at %q on %s: it was never there, or it is destroyed already", id, store.Ref())
	case mark.Project == "":
		return none, fmt.Errorf("%q on %s does not carry our mark, and only what Coffer deleted is purged; use the store's own tool", id, store.Ref())
	case mark.Project != w.cfg.Settings.Project:
		return none, fmt.Errorf("%q on %s belongs to project %q, not to %q", id, store.Ref(), mark.Project, w.cfg.Settings.Project)
	case !meta.IsDeleted():
		return none, fmt.Errorf("%q on %s is live, and purge destroys only what was deleted: take its block out and run coffer apply first", id, store.Ref())
	case mark.Protected:
		return none, fmt.Errorf("%q on %s is protected: apply `protect = false` first", id, store.Ref())
	}
	return meta, nil
}
