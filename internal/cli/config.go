package cli

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/kubernetes/manifests"
	"github.com/cofferhq/coffer/providers/secret"
)

// loadConfig reads the configuration and decodes its provider blocks. Warnings
// are printed by the commands about it, or kept for the JSON document; errors come back as one
// [*diagnosticsError].
func (inv *invocation) loadConfig() (*lang.Config, decodedBlocks, error) {
	var decoded decodedBlocks
	opts, err := inv.loadOptions()
	if err != nil {
		return nil, decoded, err
	}
	reg := inv.registry()
	cfg, diags := lang.Load(inv.dir(), opts)
	if !diags.HasErrors() {
		var more, ofState hcl.Diagnostics
		in := inputs{dir: inv.dir(), vars: inv.Environ.Vars}
		decoded.providers, more = decodeProviders(reg, cfg, in)
		decoded.state, ofState = inv.decodeState(cfg, in)
		diags = slices.Concat(diags, more, ofState)
	}
	var files map[string]*hcl.File
	if cfg != nil {
		files, inv.project = cfg.Files, cfg.Settings.Project
	}
	if !diags.HasErrors() {
		diags = append(diags, inv.comparePinned(cfg, opts)...)
	}
	if diags.HasErrors() {
		return nil, decoded, &diagnosticsError{diags, files}
	}
	inv.warnOfConfig(diags, files)
	return cfg, decoded, nil
}

// loadOptions returns what the configuration may depend on besides its files.
func (inv *invocation) loadOptions() (lang.Options, error) {
	vars, err := inv.variables()
	opts := lang.Options{
		Vars:          vars,
		Environ:       inv.variableEnviron(),
		Version:       version,
		Deadline:      evaluationDeadline(inv.dir()),
		ProviderTypes: inv.registry().Types(),
		BackendTypes:  inv.backendTypes(),
	}
	for _, f := range inv.varFiles {
		opts.VarFiles = append(opts.VarFiles, inv.path(f))
	}
	return opts, err
}

// variables returns what -var sets.
func (inv *invocation) variables() (map[string]string, error) {
	vars := map[string]string{}
	for _, v := range inv.vars {
		name, value, ok := strings.Cut(v, "=")
		if !ok || name == "" {
			return nil, usagef("-var wants NAME=VALUE, not %q", v)
		}
		vars[name] = value
	}
	return vars, nil
}

// variableEnviron returns COFFER_VAR_x by x, and nothing else of the
// environment: what lang is not given it cannot show.
func (inv *invocation) variableEnviron() map[string]string {
	found := map[string]string{}
	for name, value := range inv.Environ.Vars {
		if short, ok := strings.CutPrefix(name, "COFFER_VAR_"); ok {
			found[short] = value
		}
	}
	return found
}

// evaluationDeadline allows two seconds, and two more for each MiB of
// configuration: a small file that takes longer is a bomb.
func evaluationDeadline(dir string) time.Duration {
	const step = 2 * time.Second
	total := int64(0)
	entries, _ := os.ReadDir(dir) // lang reports what is wrong with it
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".hcl" {
			continue
		}
		if info, err := e.Info(); err == nil {
			total += info.Size()
		}
	}
	return step + step*time.Duration(total>>20)
}

// decodedBlocks are the blocks whose arguments only a driver or a backend knows.
type decodedBlocks struct {
	providers []decodedProvider
	state     keptState
}

// decodedProvider is a provider block in the form that its driver knows.
type decodedProvider struct {
	block   *lang.Provider
	factory providers.Factory
	config  any
}

// decodeProviders decodes every provider block into its driver's configuration.
// Credentials are read from in when a driver asks for them.
func decodeProviders(reg *providers.Registry, cfg *lang.Config, in inputs) ([]decodedProvider, hcl.Diagnostics) {
	var all []decodedProvider
	var diags hcl.Diagnostics
	for _, block := range cfg.Providers {
		factory, err := reg.Lookup(block.Type)
		if err != nil {
			diags = append(diags, &hcl.Diagnostic{
				Severity: hcl.DiagError, Summary: "Unknown provider", Detail: err.Error(), Subject: &block.Range,
			})
			continue
		}
		config := factory.NewConfig()
		problems := block.Decode(config, in.providerCredentials(block))
		if block.Type != manifests.Type { // it has the body of a kubernetes block, whose problems are told already
			diags = append(diags, problems...)
		}
		all = append(all, decodedProvider{block, factory, config})
	}
	return all, diags
}

// providerCredentials returns what makes a credential of a source in a provider
// block.
func (in inputs) providerCredentials(block *lang.Provider) func(*lang.Source) any {
	return in.credentialsFor(func(source *lang.Source) string {
		return "the provider " + block.Ref() + " needs it for " + block.CredentialUse(source)
	})
}

// credentials returns what makes a credential of a source; what says what it is
// needed for.
func (in inputs) credentials(what string) func(*lang.Source) any {
	return in.credentialsFor(func(*lang.Source) string { return what })
}

func (in inputs) credentialsFor(use func(*lang.Source) string) func(*lang.Source) any {
	return func(source *lang.Source) any {
		plain := source.Kind == lang.Literal
		return providers.NewCredential(source.Text(), plain, func(ctx context.Context) (secret.Value, error) {
			switch {
			case ctx.Err() != nil:
				return secret.Value{}, ctx.Err()
			case plain:
				return secret.String(source.Plain), nil
			}
			v, found, err := in.Supply(source)
			if err == nil && found && source.Kind == lang.FromFile {
				v, err = withoutLineEnd(v)
			}
			what := use(source)
			switch {
			case err != nil:
				return secret.Value{}, providers.Errorf(providers.Invalid, "%s: %w; %s", source.Text(), err, what)
			case !found:
				return secret.Value{}, providers.Errorf(providers.Invalid, "%s; %s", missingInput(source), what)
			}
			return v, nil
		})
	}
}

func missingInput(source *lang.Source) string {
	switch source.Kind {
	case lang.FromEnv:
		return source.Plain + " is not set"
	case lang.FromDotenv:
		return source.Plain + " does not exist, or has no variable " + source.Key
	default:
		return source.Plain + " does not exist"
	}
}

// withoutLineEnd takes away the line end that editors and echo put behind a
// token; no credential ends in one.
func withoutLineEnd(v secret.Value) (secret.Value, error) {
	err := v.Expose(func(b []byte) error {
		b = bytes.TrimRight(b, "\r\n")
		if len(b) == 0 {
			return errors.New("it holds nothing but a line end")
		}
		v = secret.New(b)
		return nil
	})
	return v, err
}
