package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"

	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/state"
	"github.com/cofferhq/coffer/state/azblob"
	"github.com/cofferhq/coffer/state/gcs"
	"github.com/cofferhq/coffer/state/kubernetes"
	"github.com/cofferhq/coffer/state/postgres"
	"github.com/cofferhq/coffer/state/remote"
	"github.com/cofferhq/coffer/state/s3"
)

// backends is the one list of remote backends. A new one is a line here.
func backends() map[string]func() remote.Backend {
	return map[string]func() remote.Backend{
		"azblob":     func() remote.Backend { return &azblob.Config{} },
		"gcs":        func() remote.Backend { return &gcs.Config{} },
		"kubernetes": func() remote.Backend { return &kubernetes.Config{} },
		"postgres":   func() remote.Backend { return &postgres.Config{} },
		"s3":         func() remote.Backend { return &s3.Config{} },
	}
}

// stateBackend is where a state is kept, as the commands see it.
type stateBackend interface {
	state.Store
	state.Historian
	// BreakLock takes a lock away from its holder.
	BreakLock(ctx context.Context, id string, who state.LockInfo) (state.LockInfo, error)
	// Warnings are what was odd when the state was last read.
	Warnings() []string
	// Path names the place for people.
	Path() string
}

func (inv *invocation) backends() map[string]func() remote.Backend {
	if b := inv.Seams.Backends; b != nil {
		return b
	}
	return backends()
}

func (inv *invocation) backendTypes() []string {
	return slices.Sorted(maps.Keys(inv.backends()))
}

// keptState is what the configuration says of a remote state, decoded; the zero
// value is a file.
type keptState struct {
	backend    remote.Backend
	encryption []decodedEncryption
}

// decodeState decodes the blocks about the state.
func (inv *invocation) decodeState(cfg *lang.Config, in inputs) (keptState, hcl.Diagnostics) {
	var kept keptState
	var diags hcl.Diagnostics
	block := cfg.Settings.Backend
	if block == nil {
		return kept, nil
	}
	kept.backend = inv.backends()[block.Type]()
	diags = append(diags, block.Decode(kept.backend)...)
	for _, e := range cfg.Settings.Encryption {
		d := decodedEncryption{block: e}
		var into any
		switch e.Method {
		case "age":
			d.age = &ageEncryption{}
			into = d.age
		case "vault_transit":
			d.vault = &vaultEncryption{Mount: "transit"}
			into = d.vault
		default:
			into = &struct{}{}
		}
		diags = append(diags, e.Decode(into, in.credentials("the encryption of the state needs it"))...)
		if d.age != nil && len(d.age.Recipients) == 0 && !e.Fallback {
			diags = append(diags, &hcl.Diagnostic{
				Severity: hcl.DiagError, Summary: "Missing argument", Subject: &e.Range,
				Detail: `The encryption "age" needs recipients to write with: recipients = ["age1…"]`,
			})
		}
		kept.encryption = append(kept.encryption, d)
	}
	return kept, diags
}

// openState returns where the state of a configuration is kept: -state and
// COFFER_STATE name a file, else its backend block says. provider opens the
// provider that has a key.
func (inv *invocation) openState(ctx context.Context, cfg *lang.Config, kept keptState, provider func(ref string) (*providers.Provider, error)) (stateBackend, error) {
	if inv.state != "" || kept.backend == nil {
		inv.warnOfBypass(kept)
		return inv.stateFile(inv.statePath(cfg.Settings.StatePath), cfg.Settings.Project), nil
	}
	blobs, err := kept.backend.Open(ctx, remote.Env{Dir: inv.dir(), Getenv: inv.Getenv, Now: inv.Now, UserAgent: "coffer/" + version})
	if err != nil {
		return nil, fmt.Errorf("the backend %q: %w", cfg.Settings.Backend.Type, err)
	}
	if c, ok := blobs.(io.Closer); ok {
		inv.kept.all = append(inv.kept.all, c)
	}
	o := remote.Options{
		Project: cfg.Settings.Project, Moved: inv.moved, Now: inv.Now, Random: inv.Random, At: inv.Seams.At,
		Say: func(text string) { inv.say("%s", text) },
	}
	if len(kept.encryption) > 0 {
		if o.Seal, err = inv.sealer(kept.encryption, provider); err != nil {
			return nil, err
		}
	}
	return remote.New(blobs, o), nil
}

// backend returns the state of the configuration, to look at it. With -state it
// needs no configuration that can be read; without it, a guess would be
// dangerous.
func (inv *invocation) backend(ctx context.Context) (stateBackend, error) {
	return inv.backendFor(ctx, providers.PhasePlan)
}

func (inv *invocation) backendFor(ctx context.Context, phase providers.Phase) (stateBackend, error) {
	w, err := inv.openStateless(ctx, phase)
	switch {
	case err == nil:
		return w.knowing(), nil
	case inv.state != "":
		return knowingStore{inv.stateFile(inv.statePath(""), ""), inv, seenFile{}}, nil
	}
	return nil, err
}

// warnOfBypass says that the backend of the configuration is not the one that is
// used, since a variable is easily forgotten.
func (inv *invocation) warnOfBypass(kept keptState) {
	if kept.backend == nil {
		return
	}
	by := "-state"
	if inv.state == inv.Getenv(stateVariable) {
		by = stateVariable
	}
	inv.warn(hcl.Diagnostics{{
		Severity: hcl.DiagWarning, Summary: fmt.Sprintf("the backend of the configuration is not used: %s names the file %s", by, inv.statePath("")),
		Detail: "That is another state than the team's: neither encrypted, nor compared with the highest serial that was seen. Leave " + by + " out to use the backend.",
	}}, nil)
}
