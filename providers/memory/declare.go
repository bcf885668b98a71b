package memory

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/cofferhq/coffer/providers"
)

// Kinds of the objects that are declared, and that grants compile to with
// [Options].Bindings.
const (
	KindPolicy  = "policy"
	KindBinding = "binding"
	KindRole    = "role"
	KindMount   = "mount"
)

// bare reports whether objects of a kind have no room for an owner mark.
func (d *Driver) bare(kind string) bool { return kind == KindBinding || d.kept(kind) }

// kept reports whether objects of a kind are settings, and deleted only by name.
func (d *Driver) kept(kind string) bool {
	if d.o.Cluster {
		return kind == KindRollout
	}
	return kind == KindRole || kind == KindMount
}

// attached is the document of every binding.
const attached = "attached\n"

func bind(holder, policy string) providers.ObjectSpec {
	return providers.ObjectSpec{
		Ref: providers.ObjectRef{Kind: KindBinding, Path: holder + " " + policy}, Document: attached,
		Needs: []providers.ObjectRef{{Kind: KindPolicy, Path: policy}, {Kind: KindRole, Path: holder}},
		Reads: policy + " for " + holder,
	}
}

// bindings makes one policy of each that a grant names, and one binding for
// each of its readers.
func bindings(grants []providers.Grant) []providers.ObjectSpec {
	var specs []providers.ObjectSpec
	for _, g := range grants {
		name := strings.NewReplacer("app.", "", ".policy.", "-", `["`, "-", `"]`, "").Replace(g.Policy)
		specs = append(specs, providers.ObjectSpec{
			Ref: providers.ObjectRef{Kind: KindPolicy, Path: name}, Document: strings.Join(g.Paths, "\n") + "\n", Policy: g.Policy,
		}, bind(g.Reader.Args[0], name))
	}
	return specs
}

type declarer struct{ d *Driver }

func (declarer) Declares() []string {
	return []string{"mount.memory", "policy_document", "role.memory"}
}

// CompileDeclaration knows role "memory" with policies, at and anything else,
// mount "memory" with anything, and policy_document with document.
func (c declarer) CompileDeclaration(in providers.Declaration) ([]providers.ObjectSpec, error) {
	if in.Kind == "policy_document" {
		text, ok := in.Args["document"].(string)
		if !ok {
			return nil, &providers.ArgumentError{Argument: "document", Err: providers.Errorf(providers.Invalid, "document is the text of the policy")}
		}
		return []providers.ObjectSpec{{Ref: providers.ObjectRef{Kind: KindPolicy, Path: in.Name}, Document: text}}, nil
	}
	text, path := "name = "+in.Name+"\n", in.Name
	for _, name := range slices.Sorted(maps.Keys(in.Args)) {
		switch name {
		case "policies":
		case "at":
			path = fmt.Sprint(in.Args[name]) + "/" + in.Name
		default:
			text += fmt.Sprintf("%s = %v\n", name, in.Args[name])
		}
	}
	spec := providers.ObjectSpec{Ref: providers.ObjectRef{Kind: in.Kind, Path: path}, Document: text, Kept: true}
	spec.Holds = in.Kind == KindMount && in.Name == c.d.o.Mount
	if c.d.o.Staged && in.Kind == KindMount {
		spec.Begins = []string{Begun}
	}
	specs := []providers.ObjectSpec{spec}
	policies, _ := in.Args["policies"].([]any)
	for _, p := range policies {
		specs = append(specs, bind(in.Name, fmt.Sprint(p)))
	}
	return specs, nil
}

// DeclaredAt knows no other place than the name. A role's argument "at" puts it
// below another one.
func (c declarer) DeclaredAt(kind, typ, name string) providers.ObjectRef {
	switch {
	case kind == "policy_document" && typ == "":
		return providers.ObjectRef{Kind: KindPolicy, Path: name}
	case c.d.kept(kind) && typ == "memory":
		return providers.ObjectRef{Kind: kind, Path: name}
	}
	return providers.ObjectRef{}
}

// merged is the text of an object that is settings, with what a request says in
// place of what it said before.
func (d *Driver) merged(live *object, ref providers.ObjectRef, text string) string {
	if live == nil || !d.kept(ref.Kind) || live.text == Begun || text == "" || text == Begun {
		return text
	}
	o := providers.Object{Settings: true}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	lines = append(lines, o.Beyond(live.text, text)...)
	slices.Sort(lines[1:])
	return strings.Join(lines, "\n") + "\n"
}

type auditor struct{ d *Driver }

func (a auditor) UndeclaredAccess(ctx context.Context, _ []providers.Managed, declared []providers.ObjectRef) (providers.AccessAudit, error) {
	found := providers.AccessAudit{Unseen: a.d.o.Unseen}
	err := a.d.call(ctx, "audit_access", "", step{commit: func() {
		for _, u := range a.d.w.strange {
			if u.Scope != "" || !slices.Contains(declared, u.Ref) {
				found.Undeclared = append(found.Undeclared, u)
			}
		}
	}})
	return found, err
}

type purger struct{ d *Driver }

func (p purger) Purge(ctx context.Context, path, ifVersion string) error {
	d, whole := p.d, p.d.o.Prefix+path
	return d.call(ctx, "purge", path, step{
		check: func() (bool, error) {
			r := d.w.get(whole)
			switch {
			case r == nil:
				return true, nil
			case !r.deleted() || r.version() != ifVersion:
				return false, providers.Errorf(providers.Conflict, "it is not the deleted version %s", ifVersion)
			}
			return false, nil
		},
		commit: func() { d.w.commit(event{Kind: eventDelete, Path: whole}) },
	})
}

type prober struct{ d *Driver }

// Probe looks at each path by itself.
func (p prober) Probe(ctx context.Context, paths []string) (map[string]providers.Meta, error) {
	found := make(map[string]providers.Meta, len(paths))
	partial := &providers.PartialError{Paths: map[string]error{}}
	for _, path := range paths {
		one, err := p.d.Inspect(ctx, []string{path})
		var denied *providers.PartialError
		switch {
		case errors.As(err, &denied):
			maps.Copy(partial.Paths, denied.Paths)
		case err != nil:
			return nil, err
		}
		maps.Copy(found, one)
	}
	if len(partial.Paths) > 0 {
		return found, partial
	}
	return found, nil
}

type predictor struct{}

func (predictor) NextVersion(base string) string {
	n, _ := strconv.ParseUint(base, 10, 64) // "" is 0, a secret that is not there
	return strconv.FormatUint(n+1, 10)
}

type incarnator struct{ d *Driver }

func (i incarnator) Incarnation(ctx context.Context) (made string, err error) {
	err = i.d.call(ctx, "incarnation", "", step{commit: func() {
		if o := i.d.w.objects[providers.ObjectRef{Kind: KindMount, Path: i.d.o.Mount}]; o != nil {
			made = fmt.Sprintf("mount-%d", o.made)
		}
	}})
	return made, err
}

type objectScoper struct{}

// ObjectScope takes the share off an identity.
func (objectScoper) ObjectScope(identity string) string {
	world, _, _ := strings.Cut(identity, "/")
	return world
}

type leaser struct{ d *Driver }

func (l leaser) Lease(ctx context.Context) (providers.Lease, error) {
	return l.d.o.Lease, l.d.call(ctx, "lease", "", step{commit: func() {}})
}
