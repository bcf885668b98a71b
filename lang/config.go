package lang

import (
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/cofferhq/coffer/lang/addr"
)

// Config is a whole configuration, evaluated: what depends on each.environment
// has been worked out for every environment, so nothing in it needs HCL again
// except the bodies of provider blocks and the conditions of checks.
type Config struct {
	Settings Settings
	// Providers are in order of reference. One of type "manifests" is written by
	// nobody: it stands for the files of blocks with output, and has the body of the
	// cluster of the same alias.
	Providers    []*Provider
	Environments map[string]*Environment // by name
	Secrets      []*Secret               // secrets and what is made of them, but for external_secrets; one per address, in address order
	Policies     []*Policy               // one per app and environment, in address order
	Deliveries   []*Delivery             // external_secrets, one per app and environment, in address order
	Objects      []*Object               // roles, mounts and policy documents, in address order
	Imports      []*Import
	Moved        []*Moved
	Removed      []*Removed
	Checks       []*Check
	// Files are the files by name, for source snippets: their text, no tree.
	Files map[string]*hcl.File
}

// Settings is the coffer block.
type Settings struct {
	Project         string
	RequiredVersion string
	StatePath       string        // of backend "local", relative to the configuration
	Backend         *Backend      // nil for backend "local"
	Encryption      []*Encryption // as written; one of them is no fallback
	Audit           *Audit        // nil without an audit block
	PolicyPack      *PolicyPack   // nil without a policy_pack block
	Range           hcl.Range
}

// Audit is the audit block.
type Audit struct {
	Path string
}

// Provider is one provider block. Its arguments are decoded by whoever knows
// the driver, with [Provider.Decode].
type Provider struct {
	Type  string
	Alias string
	Range hcl.Range

	body providerBody
}

// Ref returns how the configuration refers to the provider: "sops", "aws.eu".
func (p *Provider) Ref() string {
	if p.Alias == "" {
		return p.Type
	}
	return p.Type + "." + p.Alias
}

// Environment is one environment block.
type Environment struct {
	Name     string
	Store    string   // provider reference of the primary; "" falls back to defaults
	Replicas []string // provider references
	Protect  bool
	Range    hcl.Range
}

// Secret is one secret of one app in one environment, or one block that makes a
// copy of such for programs: an env_file, kubernetes_secret or sealed_secret.
type Secret struct {
	Address  addr.Address // Kind is addr.KindSecret, KindEnvFile, KindKubernetesSecret or KindSealedSecret
	Store    string       // provider reference of the primary
	Replicas []string
	// Path is where it lives, after the provider's prefix; "" is the
	// provider's default.
	Path        string
	Key         string // renames the key of a single value; "" is the platform's own
	Format      string // "", "json" or "raw"
	Labels      map[string]string
	Description string
	Owner       string // "" or "bootstrap"
	Generation  int    // forces a rewrite of supplied values; 0 when not written
	Protect     bool
	// OnOutsideChange is "stop", "accept" or "restore".
	OnOutsideChange string
	// Single is true for a secret with value, false for one with fields.
	Single   bool
	Fields   []Field // in name order; a single value is one field named ""
	Rotation Rotation
	// Form is what a Secret of Kubernetes has besides.
	Form Form
	// Rollouts are the workloads that are restarted when the value changes.
	Rollouts []Workload

	Range     hcl.Range // of the block's header
	PathRange hcl.Range // of the path argument; the header where there is none
}

// Field is one field of a secret.
type Field struct {
	Name   string
	Source *Source
}

// Form is what a Secret of Kubernetes has beside its value, labels and
// description; the zero value is an ordinary one.
type Form struct {
	Type        string // "" is Opaque
	Immutable   bool
	Annotations map[string]string
	Scope       string // of a sealed_secret: "strict", "namespace-wide", "cluster-wide"; "" elsewhere
}

// Workload is what runs the programs that use a secret: deployment("NS", "NAME").
type Workload struct {
	Kind      string // "deployment", "statefulset", "daemonset"
	Namespace string
	Name      string
	Range     hcl.Range
}

// Delivery is one external_secret of one app in one environment: it tells the
// External Secrets operator how to fetch what lies on the environment's store.
type Delivery struct {
	Address  addr.Address
	Provider string // reference of the cluster, or of the manifests that it is written to
	// Path is where it goes, as the provider's Resolve takes it; "" is its default.
	Path string
	// Items are the keys of the Secret that the operator makes, in name order.
	// Each source is a reference, or a template over references and plain text.
	Items       []Field
	Form        Form
	Labels      map[string]string
	Description string
	Protect     bool
	// Refresh is how often the operator looks; 0 is its standard.
	Refresh time.Duration
	// DeletionPolicy and CreationPolicy are the operator's own words; "" is
	// its standard.
	DeletionPolicy, CreationPolicy string
	Store                          DeliveryStore
	Rollouts                       []Workload
	Range                          hcl.Range
}

// AddsOnly reports whether the operator makes no Secret of its own: it adds to that
// of another maker, or nothing at all.
func (d *Delivery) AddsOnly() bool { return d.CreationPolicy == "Merge" || d.CreationPolicy == "None" }

// DeliveryStore is the store block of an external_secret: how the operator signs
// in to the store that the secrets are on.
type DeliveryStore struct {
	// Kind is "SecretStore" or "ClusterSecretStore", Name the object's; "" is one
	// of its own, made for the block.
	Kind, Name string
	// Existing: the store object is somebody else's, and only referred to.
	Existing bool
	// Auth is the label of its auth block, "kubernetes" where there is none.
	Auth string
	// Arguments are those of the auth block, which the driver of the store knows.
	Arguments []Argument
	// ServiceAccount is whom it signs in as; "" is one made for the block.
	ServiceAccount string
	Range          hcl.Range
}

// Rotation says when a secret is due and what happens then.
type Rotation struct {
	Never        bool
	Every        time.Duration // 0: never due
	NotifyBefore time.Duration
	Overlap      time.Duration
	// Strategy is "", "regenerate", "manual", …. It is empty where only
	// defaults wrote one: those make a secret due and change nothing.
	Strategy string
	Window   string
	Range    hcl.Range
}

// SourceKind is the closed list of where a value can come from.
type SourceKind int

const (
	// Generated: the generator Func with Params.
	Generated SourceKind = iota + 1
	// FromEnv: the environment variable Plain.
	FromEnv
	// FromFile: the bytes of the file Plain, below the configuration directory.
	FromFile
	// FromDotenv: the variable Key of the dotenv file Plain.
	FromDotenv
	// FromSops: the key Key (dotted) of the SOPS file Plain.
	FromSops
	// Manual: a person or another system writes it.
	Manual
	// RotationUser: the user that the rotation made active.
	RotationUser
	// Public: the text Plain, which is not secret and may be shown.
	Public
	// Literal: the text Plain as a part of a template or an argument of a
	// derived function. Never the whole of a field outside an env_file.
	Literal
	// Template: the concatenation of Args.
	Template
	// Computed: the derived function Func over Args, with Keys where it is an
	// object. The plain arguments that [Signature] names come first in Args, each
	// a Literal; the options are Params.
	Computed
	// Reference: the value at Ref.
	Reference
)

// Source is a tree that says where a value comes from. It never holds one.
type Source struct {
	Kind   SourceKind
	Func   string         // Generated, Computed
	Params map[string]any // Generated, Computed: string, bool, int or []string by name, as written; sources may share it
	Args   []*Source      // Template, Computed
	Keys   []string       // Computed jsonencode of an object: the key of each argument
	Plain  string         // see the kinds; never secret
	Key    string         // FromDotenv, FromSops
	Ref    Ref            // Reference
	Range  hcl.Range

	self bool // Reference: to a field of the same secret
	// canonical is the text of a Template that template() made, of whose own text
	// only the hash stands in it.
	canonical string
}

// Ref is a reference to a secret's value.
type Ref struct {
	// Address is the secret's; for self it is the address of the secret itself.
	Address addr.Address
	Field   string // "" for a single value
}

// Policy is one policy of one app in one environment.
type Policy struct {
	Address addr.Address
	Secrets []addr.Address // what it covers, in order
	Readers []Reader
	Range   hcl.Range
}

// Reader is one reader of a policy: age_recipient("age1…").
type Reader struct {
	Func  string
	Args  []string
	Range hcl.Range
}

// Object is one block beside apps that declares an object of a provider: a role,
// a mount or a policy_document. Its arguments are checked by whoever knows the
// driver.
type Object struct {
	Address   addr.Address // Kind is the block's type
	Provider  string       // provider reference
	Arguments []Argument   // in the order they are written, without provider
	Range     hcl.Range
}

// Argument is one argument, evaluated.
type Argument struct {
	Name  string
	Value any       // string, bool, float64, []any, map[string]any; no null in it
	Range hcl.Range // of the value
}

// Import is one import block.
type Import struct {
	To    addr.Address
	ID    string
	Store string // "" is the primary
	Range hcl.Range
}

// Moved is one moved block.
type Moved struct {
	From, To addr.Address
	Range    hcl.Range
}

// Removed is one removed block.
type Removed struct {
	From    addr.Address
	Destroy bool
	Range   hcl.Range
}

// Check is one check block. [Check.Evaluate] says whether it holds.
type Check struct {
	Name    string
	Asserts []Assert
	Range   hcl.Range

	deadline time.Duration
}

// Assert is one assertion of a check.
type Assert struct {
	Range hcl.Range

	condition hcl.Expression
	message   hcl.Expression
	eval      *hcl.EvalContext
}

// CheckFacts is what a check may ask about: lists of addresses by environment.
type CheckFacts struct {
	Overdue     func(environment string) []string
	Due         func(environment string) []string
	Conflicts   func(environment string) []string
	Unprotected func(environment string) []string
}
