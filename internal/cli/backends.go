package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
	"github.com/cofferhq/coffer/providers/sops"
	"github.com/cofferhq/coffer/state"
	"github.com/cofferhq/coffer/state/azblob"
	"github.com/cofferhq/coffer/state/gcs"
	"github.com/cofferhq/coffer/state/kubernetes"
	"github.com/cofferhq/coffer/state/postgres"
	"github.com/cofferhq/coffer/state/remote"
	"github.com/cofferhq/coffer/state/s3"
	"github.com/cofferhq/coffer/state/seal"
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

type decodedEncryption struct {
	block *lang.Encryption
	age   *ageEncryption
	vault *vaultEncryption
}

type ageEncryption struct {
	Recipients []string             `hcl:"recipients,optional"`
	Identity   providers.Credential `hcl:"identity,optional"`
}

type vaultEncryption struct {
	Mount string `hcl:"mount,optional"`
	Key   string `hcl:"key"`
}

// name is how the driver calls the key.
func (v *vaultEncryption) name() string { return v.Mount + "/" + v.Key }

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

// sealer makes what encrypts the state.
func (inv *invocation) sealer(list []decodedEncryption, provider func(ref string) (*providers.Provider, error)) (*seal.Sealer, error) {
	s := &seal.Sealer{Random: inv.Random}
	for _, e := range list {
		var key seal.Key
		switch {
		case e.age != nil:
			k, err := seal.NewAge(e.age.Recipients, func() (string, error) { return inv.ageIdentities(e.age.Identity) })
			if err != nil {
				return nil, err
			}
			key = k
		case e.vault != nil:
			key = &transitKey{name: e.vault.name(), provider: func() (*providers.Provider, error) { return provider(e.block.Provider) }}
		default:
			s.Plain = true
			continue
		}
		if e.block.Fallback {
			s.Fallbacks = append(s.Fallbacks, key)
		} else {
			s.Key = key
		}
	}
	return s, nil
}

// ageIdentities returns the age identities that open a state: the configured
// one, or those that the sops tool would take.
func (inv *invocation) ageIdentities(configured providers.Credential) (string, error) {
	if !configured.IsZero() {
		v, err := configured.Value(context.Background())
		if err != nil {
			return "", err
		}
		text := ""
		err = v.Expose(func(b []byte) error { text = string(b); return nil })
		return text, err
	}
	if text := inv.Getenv("SOPS_AGE_KEY"); text != "" {
		return text, nil
	}
	file := inv.Getenv("SOPS_AGE_KEY_FILE")
	if file == "" {
		file = sops.DefaultKeyFile(inv.Getenv)
	}
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("no age identity: set SOPS_AGE_KEY or SOPS_AGE_KEY_FILE, or put one into %s", file)
	}
	if err != nil {
		return "", err
	}
	var lines []string
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(line, "AGE-SECRET-KEY-") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, ""), nil
}

// transitKey is a [seal.Key] that a provider's platform keeps.
type transitKey struct {
	name     string
	provider func() (*providers.Provider, error)
}

func (k *transitKey) Method() string { return "vault_transit" }

func (k *transitKey) ID() string { return k.name }

func (k *transitKey) Wrap(ctx context.Context, key []byte) (string, error) {
	p, err := k.provider()
	if err != nil {
		return "", err
	}
	return p.Encrypt(ctx, k.name, secret.New(key))
}

func (k *transitKey) Unwrap(ctx context.Context, wrapped string) ([]byte, error) {
	p, err := k.provider()
	if err != nil {
		return nil, err
	}
	v, err := p.Decrypt(ctx, k.name, wrapped)
	if err != nil {
		return nil, err
	}
	var key []byte
	err = v.Expose(func(b []byte) error {
		key = append(key, b...)
		return nil
	})
	return key, err
}
