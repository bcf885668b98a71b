package lang

import (
	"path/filepath"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// DefaultStatePath is where the local backend keeps the state, next to the
// configuration, unless the configuration says otherwise.
const DefaultStatePath = "coffer.state.json"

// checkVersion reports false if another version of Coffer is required.
func (l *loader) checkVersion() bool {
	for _, block := range l.blocks["coffer"] {
		if attr := block.Body.Attributes["required_version"]; attr != nil && !l.versionFits(attr) {
			return false
		}
	}
	return true
}

// loadSettings reads the coffer block.
func (l *loader) loadSettings() {
	blocks := l.blocks["coffer"]
	if len(blocks) == 0 {
		l.diags.add(unplaced("No coffer block", "The configuration needs one block that names the project:\n\ncoffer {\n  project = \"NAME\"\n}\n\ncoffer init writes one."))
		return
	}
	block := blocks[0]
	for _, other := range blocks[1:] {
		l.twice("The coffer block", block.DefRange(), other.DefRange())
	}
	l.labels(block)
	b := l.content(block.Body, schema{
		what:      "coffer block",
		arguments: []string{"project", "required_version"},
		blocks:    []string{"backend", "encryption", "audit", "policy_pack"},
		repeat:    []string{"encryption"},
	})
	s := &l.cfg.Settings
	s.Range = block.DefRange()
	s.StatePath = DefaultStatePath
	if attr := b.arguments["project"]; attr == nil {
		l.diags.add(missing(block, "project", `project = "NAME", the identity that marks everything this configuration owns`))
	} else if s.Project = l.literalText(attr); s.Project != "" {
		l.checkName(s.Project, attr.Expr.Range())
	}
	if backend := b.block("backend"); backend != nil {
		l.loadBackend(backend)
	}
	if audit := b.block("audit"); audit != nil {
		l.loadAudit(audit)
	}
	if pack := b.block("policy_pack"); pack != nil {
		l.loadPolicyPack(pack)
	}
}

func (l *loader) loadAudit(block *hclsyntax.Block) {
	l.labels(block)
	b := l.content(block.Body, schema{what: "audit block", arguments: []string{"path"}})
	attr := b.arguments["path"]
	if attr == nil {
		l.diags.add(missing(block, "path", `path = "audit.log"`))
		return
	}
	path := l.literalText(attr)
	l.cfg.Settings.Audit = &Audit{Path: path}
	if path != "" && filepath.Clean(path) == filepath.Clean(l.cfg.Settings.StatePath) {
		l.diags.add(errorAt(attr.Expr.Range(), "Two files at one path", "The audit log cannot be the state file. Give it a path of its own."))
	}
}

// literalText is a text that depends on nothing, "" after reporting a problem.
func (l *loader) literalText(attr *hclsyntax.Attribute) string {
	v, diags := attr.Expr.Value(nil)
	if diags.HasErrors() || !isText(v) {
		l.diags.add(errorAt(attr.Expr.Range(), "Not a plain text", "%s is a text in quotes, without variables and functions: it is read before everything else.", attr.Name))
		return ""
	}
	if v.AsString() == "" || checkValue(v) != "" {
		l.diags.add(errorAt(attr.Expr.Range(), "Empty text", "%s needs a value.", attr.Name))
		return ""
	}
	return v.AsString()
}

// missing reports a required argument that is not written.
func missing(block *hclsyntax.Block, name, form string) *hcl.Diagnostic {
	return errorAt(block.DefRange(), "Missing argument", "This %s block needs %s. Write %s.", block.Type, name, form)
}

// versionFits reads required_version, and reports what does not fit.
func (l *loader) versionFits(attr *hclsyntax.Attribute) bool {
	text := l.literalText(attr)
	if text == "" {
		return true
	}
	l.cfg.Settings.RequiredVersion = text
	fits, err := versionSatisfies(l.opts.Version, text)
	if err != nil {
		l.diags.add(errorAt(attr.Expr.Range(), "Invalid version constraint", "%s. Write for example \">= 0.1.0\" or \"~> 0.1, != 0.1.3\".", err))
		return true
	}
	if !fits {
		l.diags.add(errorAt(attr.Expr.Range(), "Another version of coffer is required",
			"This configuration needs coffer %s, and this is %s. Install a version that fits, or change required_version after reading the changelog.", text, l.opts.Version))
	}
	return fits
}
