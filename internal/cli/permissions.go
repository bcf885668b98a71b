package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/urfave/cli/v2"

	"github.com/cofferhq/coffer/internal/render"
	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/state"
)

type permissionsOptions struct {
	phase    string
	provider string
}

func permissionsCommand(inv *invocation) *cli.Command {
	var opts permissionsOptions
	return &cli.Command{
		Name:  "permissions",
		Usage: "print the least permissions that a plan or an apply needs",
		Description: `For each provider in its native form, ready for its own tool: the least that
this configuration needs over the state that is there, each line with its
reason. An identity for plans can read no value and write nothing. No store is
asked, so it works before the first token exists.

What was removed or moved is in it until an apply has seen to it, so print it
anew for such a change. Exit code 3 means that the state could not be read: then
only what the configuration says is in it.`,
		UsageText: `coffer permissions -phase plan
coffer permissions -phase plan -provider vault | vault policy write ci-plan -
coffer permissions -phase apply -json`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "phase", Usage: "what the identity is for: `PHASE` is plan or apply", Destination: &opts.phase},
			&cli.StringFlag{Name: "provider", Usage: "only of provider `REF`, its document and nothing else", Destination: &opts.provider},
		},
		Action: func(c *cli.Context) error {
			if err := inv.noArguments(c); err != nil {
				return err
			}
			return runPermissions(c.Context, inv, opts)
		},
	}
}

// parsePhase reads the value of -phase.
func parsePhase(text string) (providers.Phase, error) {
	switch p := providers.Phase(text); p {
	case providers.PhasePlan, providers.PhaseApply:
		return p, nil
	}
	return "", usagef("-phase is plan or apply, not %q", text)
}

// permissionsDocument is what -json prints.
type permissionsDocument struct {
	FormatVersion int                   `json:"format_version"`
	Phase         providers.Phase       `json:"phase"`
	Providers     []providerPermissions `json:"providers"`
	Diagnostics   []planner.Diagnostic  `json:"diagnostics,omitempty"`
}

// providerPermissions is what one provider needs; without a document it is Note
// that says how access is given there.
type providerPermissions struct {
	Provider    string           `json:"provider"`
	Permissions []permissionLine `json:"permissions,omitempty"`
	Document    string           `json:"document,omitempty"`
	Note        string           `json:"note,omitempty"`
}

type permissionLine struct {
	Path         string   `json:"path"`
	Capabilities []string `json:"capabilities"`
	Why          string   `json:"why,omitempty"`
}

func runPermissions(ctx context.Context, inv *invocation, opts permissionsOptions) error {
	if opts.phase == "" {
		return usagef("coffer permissions needs -phase plan or -phase apply: an identity for plans needs less")
	}
	phase, err := parsePhase(opts.phase)
	if err != nil {
		return err
	}
	if opts.provider == backendName {
		return runBackendPermissions(ctx, inv, phase)
	}
	w, told, err := inv.openForPermissions(ctx, phase)
	if err != nil {
		return err
	}
	if opts.provider != "" && w.stores[opts.provider] == nil {
		return noProvider(opts.provider, w.stores)
	}
	doc := permissionsDocument{FormatVersion: 1, Phase: phase, Providers: []providerPermissions{}}
	if p, ok := w.backendPermissions(phase); ok && opts.provider == "" {
		doc.Providers = append(doc.Providers, p)
	}
	for _, ref := range w.stores.Refs() {
		if opts.provider == "" || opts.provider == ref {
			doc.Providers = append(doc.Providers, w.permissionsOf(ref, phase))
		}
	}
	switch {
	case inv.json:
		doc.Diagnostics = inv.planWarnings()
		err = inv.printJSON(doc)
	case opts.provider != "" && doc.Providers[0].Document == "":
		return errors.New(doc.Providers[0].Note)
	default:
		err = inv.showPermissions(doc)
	}
	if err == nil && !told {
		return outcome(ExitUnknown)
	}
	return err
}

// openForPermissions opens a workspace in which nobody was asked anything. A
// state that cannot be read is taken for an empty one, and told is false.
func (inv *invocation) openForPermissions(ctx context.Context, phase providers.Phase) (w *workspace, told bool, err error) {
	if w, err = inv.openStateless(ctx, phase); err != nil {
		return nil, false, err
	}
	list, err := w.openProviders(ctx)
	if err != nil {
		return nil, false, err
	}
	told = true
	if err := w.loadState(ctx, ""); err != nil {
		if ctx.Err() != nil {
			return nil, false, err
		}
		told = false
		project := w.cfg.Settings.Project
		w.snapshot = state.New(project, state.Lineage(project))
		inv.note("the state cannot be read, so what it has and the configuration does not is not in these permissions", err.Error())
	}
	w.stores = w.unconnected(list)
	unplaced := planner.Unplaced(w.snapshot, w.stores)
	for _, identity := range sorted(unplaced) {
		inv.note(fmt.Sprintf("the state has %s on %s, which it knows no provider block for: what that needs is not in these permissions", entries(unplaced[identity]), identity),
			"Run `coffer doctor`, which asks the providers who they are and what they need.")
	}
	return w, told, w.desire()
}

// note warns of what a result lacks: on stderr, and with -json in the document
// too.
func (inv *invocation) note(summary, detail string) {
	list := hcl.Diagnostics{{Severity: hcl.DiagWarning, Summary: summary, Detail: detail}}
	inv.warn(list, nil)
	if inv.json {
		inv.printDiagnostics(list, nil)
	}
}

func noProvider(ref string, stores planner.Stores) error {
	return fmt.Errorf("the configuration has no provider %q; it has %s", ref, strings.Join(stores.Refs(), ", "))
}

// permissionRequest is what a provider is asked to allow, the mark and the keys
// of a shared state included.
func (w *workspace) permissionRequest(s *state.Snapshot, ref string, phase providers.Phase) providers.PermissionRequest {
	req := planner.PermissionRequest(w.desired, s, w.stores, ref, phase)
	if w.shared() && w.watermarked() == ref {
		req.Watermark = w.watermarkKey()
	}
	req.Keys = w.keysOf(ref)
	return req
}

func (w *workspace) permissionsOf(ref string, phase providers.Phase) providerPermissions {
	out := providerPermissions{Provider: ref}
	list, document, ok := w.stores[ref].Permissions(w.permissionRequest(w.snapshot, ref, phase))
	if !ok {
		out.Note = ref + " has no permissions to write down: " + w.accessNote(ref)
		return out
	}
	out.Document = document
	for _, p := range list {
		out.Permissions = append(out.Permissions, permissionLine(p))
	}
	return out
}

// accessNote says what opens a store that has no identities of its own.
func (w *workspace) accessNote(ref string) string {
	for _, b := range w.blocks {
		if folder := storeFolder(b); folder != "" && b.block.Ref() == ref {
			return "it is the folder " + folder + ". A plan needs to read its files and no key; " +
				"an apply writes them, and reads values with the age key of a recipient (coffer graph lists the recipients)"
		}
	}
	return "whoever reaches it can use it"
}

func (inv *invocation) showPermissions(doc permissionsDocument) error {
	documents := 0
	for _, p := range doc.Providers {
		if p.Document == "" {
			inv.say("%s.", p.Note)
		} else {
			documents++
		}
	}
	out := render.NewWriter(inv.Out, render.Style{})
	first := true
	for _, p := range doc.Providers {
		if p.Document == "" {
			continue
		}
		if !first {
			fmt.Fprintln(out)
		}
		first = false
		if documents > 1 {
			fmt.Fprintf(out, "# provider %s, %s\n", p.Provider, doc.Phase)
		}
		_, _ = io.WriteString(out, strings.TrimSuffix(p.Document, "\n")+"\n") // the Writer keeps its error
	}
	return out.Err()
}
