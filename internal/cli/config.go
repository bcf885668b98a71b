package cli

import (
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/cofferhq/coffer/lang"
	"github.com/cofferhq/coffer/providers"
)

// loadConfig reads the configuration and decodes its provider blocks. Warnings
// are printed by the commands about it, or kept for the JSON document; errors come back as one
// [*diagnosticsError].
func (inv *invocation) loadConfig() (*lang.Config, []decodedProvider, error) {
	vars, err := inv.variables()
	if err != nil {
		return nil, nil, err
	}
	reg := inv.registry()
	opts := lang.Options{
		Vars:          vars,
		Environ:       inv.variableEnviron(),
		Version:       version,
		Deadline:      evaluationDeadline(inv.dir()),
		ProviderTypes: reg.Types(),
	}
	for _, f := range inv.varFiles {
		opts.VarFiles = append(opts.VarFiles, inv.path(f))
	}
	cfg, diags := lang.Load(inv.dir(), opts)
	var decoded []decodedProvider
	if !diags.HasErrors() {
		var more hcl.Diagnostics
		decoded, more = decodeProviders(reg, cfg)
		diags = append(diags, more...)
	}
	var files map[string]*hcl.File
	if cfg != nil {
		files = cfg.Files
	}
	if diags.HasErrors() {
		return nil, nil, &diagnosticsError{diags, files}
	}
	inv.warnOfConfig(diags, files)
	return cfg, decoded, nil
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

// decodedProvider is a provider block in the form that its driver knows.
type decodedProvider struct {
	block   *lang.Provider
	factory providers.Factory
	config  any
}

// decodeProviders decodes every provider block into its driver's configuration.
func decodeProviders(reg *providers.Registry, cfg *lang.Config) ([]decodedProvider, hcl.Diagnostics) {
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
		diags = append(diags, block.Decode(config)...)
		all = append(all, decodedProvider{block, factory, config})
	}
	return all, diags
}
