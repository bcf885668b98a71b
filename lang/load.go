package lang

import (
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"

	"github.com/cofferhq/coffer/lang/addr"
)

// Options are what a configuration may depend on besides its files.
type Options struct {
	// Vars are variables set by -var; they win over VarFiles, which win over
	// Environ, which wins over a variable's default.
	Vars map[string]string
	// VarFiles are files of `name = literal` lines, the last one winning. They
	// are opened as given, so they may lie outside the configuration.
	VarFiles []string
	// Environ holds COFFER_VAR_x by x. Names that no variable block declares
	// are left alone: the environment may be meant for another project.
	Environ map[string]string
	// Version is Coffer's own, for required_version. An empty or unreadable
	// one satisfies every constraint.
	Version string
	// Deadline ends the evaluation with a diagnostic; 0 is none. See [Load].
	Deadline time.Duration
	// ProviderTypes are the provider types built into this program.
	ProviderTypes []string
	// BackendTypes are the remote backends built into this program.
	BackendTypes []string
}

// Load reads every *.hcl file in dir, not recursively, as one configuration.
// Files named in o.VarFiles are left out.
//
// Problems are diagnostics with a place in a file. With an error among them
// the Config holds what could still be understood, enough for snippets and
// further messages, never for a plan; it is nil only if nothing could be read.
//
// Evaluation of HCL cannot be cancelled. At o.Deadline, and when evaluation
// takes far more memory than its input explains, Load returns a nil Config and
// a diagnostic while a goroutine goes on working: the caller prints and exits.
func Load(dir string, o Options) (*Config, hcl.Diagnostics) {
	l := newLoader(dir, o)
	if !l.read() {
		return nil, l.diags.sorted()
	}
	diag := within(o.Deadline, memoryLimit(l.size), l.load)
	if diag != nil {
		return nil, hcl.Diagnostics{diag}
	}
	for name, file := range l.cfg.Files {
		l.cfg.Files[name] = &hcl.File{Bytes: file.Bytes} // the tree is far larger than the text
	}
	return l.cfg, l.diags.sorted()
}

// Format returns src in canonical form. What is not HCL comes back as it is,
// but for spaces.
func Format(src []byte) []byte { return hclwrite.Format(src) }

// loader is one run of [Load]. Each step reads blocks and fills cfg; none
// stops at the first problem.
type loader struct {
	dir   string
	opts  Options
	root  *os.Root
	size  int // bytes of source
	diags diagnostics
	cfg   *Config

	blocks    map[string]hclsyntax.Blocks // top-level blocks by type
	functions map[string]function.Function
	reader    cty.Type        // of age_recipient("age1…") and its like
	workload  cty.Type        // of deployment("NAMESPACE", "NAME") and its like
	words     map[string]word // every function name and what it is
	vars      []string        // declared names, sorted
	locals    []string
	poisoned  bool // a variable or local failed, so unknown values explain themselves
	pinned    bool // only what LoadPinned reads
	base      *hcl.EvalContext

	providers []string // declared references, sorted
	clusters  []string // those of providers that are clusters
	refused   []string // provider types that are declared and not built in
	envs      []string // declared names, sorted
	defaults  defaultsBlock
	rotations map[string]*hclsyntax.Block
	apps      map[string]*app
	objects   map[addr.Address]*Object
	untold    []untold

	linted map[hclsyntax.Expression]bool // lint's answers
	plain  map[hclsyntax.Expression]bool // isPlain's answers
	calls  map[string]*Source            // sources of whole values, by the text of a call without names
}

func newLoader(dir string, o Options) *loader {
	return &loader{
		dir:    dir,
		opts:   o,
		cfg:    &Config{Environments: map[string]*Environment{}, Files: map[string]*hcl.File{}},
		blocks: map[string]hclsyntax.Blocks{},
		apps:   map[string]*app{},

		objects: map[addr.Address]*Object{},
		linted:  map[hclsyntax.Expression]bool{},
		plain:   map[hclsyntax.Expression]bool{},
		calls:   map[string]*Source{},
	}
}

func (l *loader) load() {
	l.parse()
	if l.diags.hasErrors() {
		return // half a file makes every later message a guess
	}
	l.sortBlocks()
	if !l.checkVersion() {
		return // written for another coffer, which may read the rest otherwise
	}
	l.checkTopLevel()
	l.loadSettings()
	l.functions = functions(l.root)
	l.words = l.vocabulary()
	l.reader = readerCapsule()
	for _, r := range readerSignatures() {
		l.functions[r.name] = r.function(l.reader)
	}
	l.workload = workloadCapsule()
	for _, name := range workloadNames() {
		l.functions[name] = workloadFunction(name, l.workload)
	}
	l.loadVariables()
	l.loadLocals()

	l.loadProviders()
	l.loadStateKeeping()
	l.declareEnvironments()
	l.loadEnvironments()
	l.checkPolicyPack()
	l.loadDefaults()
	l.declareRotations()

	l.declareApps()
	l.loadApps()
	l.findCycles()
	l.loadObjects()

	l.loadImports()
	l.loadMoved()
	l.loadRemoved()
	l.loadChecks()
	if len(l.cfg.Checks) == 0 {
		// Conditions of checks may read files later; nothing else does.
		_ = l.root.Close()
	}
}

// sortBlocks files the top-level blocks under their type, in order of file and
// line.
func (l *loader) sortBlocks() {
	for _, name := range sortedKeys(l.cfg.Files) {
		for _, block := range l.cfg.Files[name].Body.(*hclsyntax.Body).Blocks {
			l.blocks[block.Type] = append(l.blocks[block.Type], block)
		}
	}
}

// checkTopLevel reports what cannot stand at the top of a file.
func (l *loader) checkTopLevel() {
	for _, name := range sortedKeys(l.cfg.Files) {
		body := l.cfg.Files[name].Body.(*hclsyntax.Body)
		for _, attr := range sortedAttributes(body) {
			l.diags.add(errorAt(attr.NameRange, "Argument outside a block",
				"%q stands at the top of the file, where only blocks can stand.%s", attr.Name, topLevelHint(attr.Name)))
		}
		for _, block := range body.Blocks {
			l.knownBlock(block, topLevelBlocks(), "")
		}
	}
}

func topLevelHint(name string) string {
	s := suggest(name, topLevelBlocks())
	if slices.Contains(topLevelBlocks(), name) {
		s = name
	}
	if s != "" {
		return fmt.Sprintf(" A block is written %s { … }, without an equals sign.", s)
	}
	return " Move it into the block it belongs to, or name a value with locals { … }."
}

func topLevelBlocks() []string {
	return []string{
		"coffer", "variable", "locals", "provider", "environment", "defaults", "rotation", "app",
		"policy_document", "role", "mount", "import", "moved", "removed", "check",
	}
}
