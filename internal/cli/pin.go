package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/urfave/cli/v2"

	"github.com/cofferhq/coffer/lang"
)

// pinned is -pin: a trusted copy of the configuration, such as that of the base
// branch. What decides there where credentials and values go, and by which rules,
// decides here too; another configuration is an error before anything is asked.
type pinned struct{ trusted string }

func (p *pinned) flags() []cli.Flag {
	return []cli.Flag{&cli.StringFlag{
		Name: "pin", Usage: "refuse settings, providers and rules that are not those of the trusted copy in `DIR`", Destination: &p.trusted,
		Action: func(_ *cli.Context, dir string) error {
			if dir == "" { // a variable that is not set would take the protection away
				return usagef("-pin names no folder; it is that of a trusted copy of the configuration")
			}
			return nil
		},
	}}
}

// pinHint says how a trusted copy is made.
const pinHint = "-pin names the folder of this configuration as it is on the base branch; `git worktree add ../base origin/main` makes one, and then it is -pin ../base."

// comparePinned returns what differs from the trusted copy. cfg was loaded with o
// and has no errors.
func (inv *invocation) comparePinned(cfg *lang.Config, o lang.Options) hcl.Diagnostics {
	if inv.trusted == "" {
		return nil
	}
	dir := inv.path(inv.trusted)
	trusted, diags := inv.loadTrusted(dir, o)
	if diags.HasErrors() {
		return diags
	}
	out := lang.ComparePinned(lang.Loaded{Dir: dir, Config: trusted}, lang.Loaded{Dir: inv.dir(), Config: cfg})
	if slices.ContainsFunc(slices.Concat(cfg.Providers, trusted.Providers), func(p *lang.Provider) bool { return p.Type == "sops" }) {
		out = append(out, inv.compareReaders(dir)...)
	}
	for _, name := range fileVariables() {
		if text := inv.Getenv(name); text != "" {
			out = append(out, lang.CompareNamed(dir, inv.dir(), name, text)...)
		}
	}
	return out
}

// fileVariables are the variables of the environment that name files which say
// where a provider or a backend sends credentials, or whom it believes.
func fileVariables() []string {
	return []string{
		"VAULT_CACERT", "VAULT_CLIENT_CERT", "VAULT_CLIENT_KEY", "KUBECONFIG",
		"AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CA_BUNDLE", "AZURE_CLIENT_CERTIFICATE_PATH", "GOOGLE_APPLICATION_CREDENTIALS",
		"PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY", "PGSERVICEFILE", "PGPASSFILE", "SSL_CERT_FILE",
	}
}

// loadTrusted loads what is pinned of the trusted copy, with the variables that
// are given to this run. Files of variables that a change of the configuration
// could change too are those of the trusted copy.
func (inv *invocation) loadTrusted(dir string, o lang.Options) (*lang.Config, hcl.Diagnostics) {
	refuse := func(format string, args ...any) (*lang.Config, hcl.Diagnostics) {
		return nil, hcl.Diagnostics{{Severity: hcl.DiagError, Summary: "No trusted copy to compare with", Detail: fmt.Sprintf(format, args...) + " " + pinHint}}
	}
	info, err := os.Stat(dir)
	if err != nil || !info.IsDir() {
		return refuse("%s is no folder.", inv.trusted)
	}
	if here, err := os.Stat(inv.dir()); err == nil && os.SameFile(info, here) {
		return refuse("%s is the configuration itself.", inv.trusted)
	}
	o.VarFiles = nil
	for _, f := range inv.varFiles {
		path, ours := lang.TrustedPath(dir, inv.dir(), f)
		if ours && !isApart(path, inv.path(f)) {
			return refuse("-var-file %s is not in it, and whoever changes the configuration could change that file too; where it is no part of the repository, keep it outside the checkout and give its absolute path.", f)
		}
		o.VarFiles = append(o.VarFiles, path)
	}
	o.Deadline = evaluationDeadline(dir)
	cfg, diags := lang.LoadPinned(dir, o)
	if !diags.HasErrors() {
		in := inputs{dir: dir, vars: inv.Environ.Vars}
		_, more := decodeProviders(inv.registry(), cfg, in)
		_, ofState := inv.decodeState(cfg, in)
		diags = slices.Concat(diags, more, ofState)
	}
	for _, d := range diags {
		if d.Severity == hcl.DiagError {
			return refuse("The configuration in %s cannot be read: %s", inv.trusted, inWords(d))
		}
	}
	return cfg, nil
}

// inWords is a diagnostic about a file of the trusted copy.
func inWords(d *hcl.Diagnostic) string {
	at := ""
	if d.Subject != nil {
		at = fmt.Sprintf("%s:%d: ", filepath.Base(d.Subject.Filename), d.Subject.Start.Line)
	}
	return at + d.Summary + ". " + d.Detail
}

// isApart reports whether a file is there, and another one than that of the
// configuration.
func isApart(trusted, proposed string) bool {
	info, err := os.Stat(trusted)
	if err != nil {
		return false
	}
	other, err := os.Stat(proposed)
	return err != nil || !os.SameFile(info, other)
}

// compareReaders compares the rules that say who can open the files of a SOPS
// store.
func (inv *invocation) compareReaders(dir string) hcl.Diagnostics {
	trusted, err := rulesLines(filepath.Join(dir, rulesFile))
	proposed, proposedErr := rulesLines(inv.path(rulesFile))
	if err = errors.Join(err, proposedErr); err != nil {
		return hcl.Diagnostics{{
			Severity: hcl.DiagError, Summary: rulesFile + " cannot be compared with that of the trusted copy",
			Detail: strings.TrimSpace(err.Error()) + ". " + pinHint,
		}}
	}
	if d := lang.ComparePinnedLines(rulesFile, trusted, proposed); d != nil {
		return hcl.Diagnostics{d}
	}
	return nil
}
