package providers

import (
	"context"
	"slices"
	"strings"
	"time"
)

// Place is what a default path is made from.
type Place struct {
	Kind                   string // of the block: "secret", "env_file", "sealed_secret", …
	App, Environment, Name string
	// Key renames the key of a single value ("key" in its block); "" is the
	// platform's own name for it.
	Key string
	// In is the file that takes the place of a cluster, "" for none.
	In string
}

// Placer says where things live. Its methods are pure.
type Placer interface {
	// DefaultPath returns the path for a thing whose block has none.
	DefaultPath(p Place) (string, error)
	// Resolve returns the path of what the configuration writes, which comes
	// after the provider's prefix, or why it cannot be used.
	Resolve(kind, written string) (string, error)
	// Written is the inverse of Resolve: the path as the configuration writes
	// it.
	Written(path string) string
}

// ObjectRef names an object: something whose content is public.
type ObjectRef struct {
	Kind string
	Path string
}

// Object is the live state of an object.
type Object struct {
	Version    string
	Document   string // canonical text, fit for a line diff
	Attributes Attributes
	// ChangedBy set a part of it after us, at Changed, as the platform calls who did;
	// both are zero where it does not tell.
	ChangedBy string
	Changed   time.Time
	// NoMark: an object of this kind has no room for an owner mark. It is ours
	// when the state has it, or its document is the one that is wanted.
	NoMark bool
	// Kept: others may depend on it in ways that nobody sees (a role, a mount), so
	// that it is deleted only where a removed block names it.
	Kept bool
	// ByHand is how a person deletes what no apply does, because nothing tells
	// what else would go with it: "with `COMMAND`"; "" where a removed block may.
	ByHand string
	// Standard is the document of an object of Settings in which nobody wrote
	// any; "" where the platform's standards are not known.
	Standard string
	// Settings: Document has every setting that the platform keeps, one a line as
	// NAME = VALUE, standard ones too. One that is wanted has those that are
	// declared, and the rest is left as it is; see [Object.Like].
	Settings bool
	// Lacks is why an object that is not there cannot be made either; of such a
	// one nothing else is set.
	Lacks *Lack
}

// Lack is what has to be there before an object can be made.
type Lack struct {
	// Ref is an object that a configuration could declare to that end; zero where
	// it cannot.
	Ref  ObjectRef
	Text string // for people, with the next step
}

// Like returns the document as far as another one says anything of it: of
// settings those that the other names, in its order, and else all of it.
func (o *Object) Like(document string) string {
	if !o.Settings {
		return o.Document
	}
	var b strings.Builder
	lines := map[string]string{}
	for line := range strings.Lines(o.Document) {
		if name, _, setting := strings.Cut(line, settingSign); setting {
			lines[name] = line
		} else {
			b.WriteString(line)
		}
	}
	for line := range strings.Lines(document) {
		name, _, _ := strings.Cut(line, settingSign)
		b.WriteString(lines[name])
	}
	return b.String()
}

// Beyond returns the settings of a document that another one does not name,
// each as NAME = VALUE.
func (o *Object) Beyond(document, other string) []string {
	if !o.Settings {
		return nil
	}
	named := map[string]bool{}
	for line := range strings.Lines(other) {
		name, _, _ := strings.Cut(line, settingSign)
		named[name] = true
	}
	var out []string
	for line := range strings.Lines(document) {
		if name, _, setting := strings.Cut(line, settingSign); setting && !named[name] {
			out = append(out, strings.TrimSuffix(line, "\n"))
		}
	}
	return out
}

// Unusual returns the settings that a document does not name and that are not
// the platform's standard, each as NAME = VALUE.
func (o *Object) Unusual(document string) []string {
	if o.Standard == "" {
		return nil
	}
	return slices.DeleteFunc(o.Beyond(o.Document, document), func(line string) bool {
		return strings.Contains("\n"+o.Standard, "\n"+line+"\n")
	})
}

// settingSign stands between the name of a setting and its value.
const settingSign = " = "

// ObjectRequest asks to make an object look like Document, where that is
// settings, in what it names; an empty Document deletes it. IfVersion is as in [WriteRequest]. Attributes.Mark names the
// project also of a delete, so that a driver can refuse to take away another's;
// it is empty where only the mark is to go.
type ObjectRequest struct {
	Ref        ObjectRef
	Document   string
	OpID       string
	IfVersion  string
	Attributes Attributes
}

// ObjectDriver manages objects beside secrets.
type ObjectDriver interface {
	// InspectObjects answers like [Driver.Inspect]. One that is not there and
	// cannot be made is among the answers, with what it Lacks.
	InspectObjects(ctx context.Context, refs []ObjectRef) (map[ObjectRef]Object, error)
	WriteObject(ctx context.Context, req ObjectRequest) (Object, error)
}

// Reader is one reader of a policy, as written: age_recipient("age1…").
type Reader struct {
	Func string
	Args []string
}

// Grant gives one reader access to secrets.
type Grant struct {
	Policy      string // address of the policy, for messages
	Environment string
	Reader      Reader
	Paths       []string
}

// Managed is one secret that Coffer manages on the provider.
type Managed struct {
	Path        string
	Environment string
}

// ObjectSpec is an object as the configuration wants it.
type ObjectSpec struct {
	Ref      ObjectRef
	Document string
	// Paths are the secrets that must not be written before this object is,
	// because it decides who can read them.
	Paths []string
	// Policy is the address of the policy that this object stands for, which is
	// then its own; "" is an object of the provider.
	Policy string
	// Needs are objects that must exist before this one; those that nothing
	// declares are taken to be there.
	Needs []ObjectRef
	// Begins are the documents that a create of this object passes through
	// before it has Document, where it takes several calls.
	Begins []string
	// Holds: all secrets of the provider lie in this object (a mount).
	Holds bool
	// Kept is as in [Object].
	Kept bool
	// Reads says in a few words what a reader gets by it: "app.shop.policy.web
	// for approle checkout". It is for people.
	Reads string
}

// Declaration is an object that the configuration declares by itself: a role, a
// mount, a native policy document.
type Declaration struct {
	Kind string // the block: "role", "mount", "policy_document"
	Type string // its first label where it has two: "approle"
	Name string
	// Args are the arguments of the block, of string, bool, float64, []any and
	// map[string]any.
	Args map[string]any
}

// ArgumentError says which argument of a [Declaration] is wrong.
type ArgumentError struct {
	Argument string // "" where no single one is to blame
	Err      error
}

func (e *ArgumentError) Error() string { return e.Err.Error() }
func (e *ArgumentError) Unwrap() error { return e.Err }

// ObjectScoper says which providers share their objects: two mounts of one Vault
// have one set of policies. It is pure.
type ObjectScoper interface {
	// ObjectScope returns the part of an identity that decides where objects
	// are.
	ObjectScope(identity string) string
}

// Declarer turns declarations into the platform's objects. It is pure.
type Declarer interface {
	// Declares lists what can be declared, as KIND or KIND.TYPE, in order.
	Declares() []string
	// CompileDeclaration returns the declared object first, and then what it
	// brings along. An error is an [*ArgumentError].
	CompileDeclaration(d Declaration) ([]ObjectSpec, error)
	// DeclaredAt returns where a block of these labels has its object when no
	// argument says another place: that is all a removed block tells. The zero
	// reference is nowhere.
	DeclaredAt(kind, typ, name string) ObjectRef
}

// Undeclared is an object that nothing declares and that gives access to
// managed secrets.
type Undeclared struct {
	Ref ObjectRef
	// Scope is the [ObjectScoper]'s word for where Ref is, and In what tells its
	// path from one of the provider's own; "" where the provider itself has it.
	Scope, In string
	Reads     []string // managed paths, in order
	Text      string   // what gives it, for people: `path "secret/data/*" (read)`
}

// AccessAudit is what a look at who can read managed secrets found.
type AccessAudit struct {
	Undeclared []Undeclared
	// Unseen says what else could give access and was not looked at, because the
	// identity may not, each in a few words: "the policies of namespace team".
	Unseen []string
}

// AccessAuditor finds access that nobody declared. It changes nothing and reads
// no value.
type AccessAuditor interface {
	// UndeclaredAccess looks at every object that can grant access to one of
	// the managed secrets and is not in declared.
	UndeclaredAccess(ctx context.Context, managed []Managed, declared []ObjectRef) (AccessAudit, error)
}

// AccessError says which grant cannot be compiled; Grant indexes the slice
// given to CompileAccess, -1 where no single grant is to blame.
type AccessError struct {
	Grant int
	Err   error
}

func (e *AccessError) Error() string { return e.Err.Error() }
func (e *AccessError) Unwrap() error { return e.Err }

// AccessCompiler turns readers into the platform's own objects. It is pure.
type AccessCompiler interface {
	// Readers returns the names of the reader functions of this platform.
	Readers() []string
	// CompileAccess returns every object that the managed secrets and grants
	// need, in any order. An error is a [*AccessError].
	CompileAccess(managed []Managed, grants []Grant) ([]ObjectSpec, error)
}
