package memory

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cofferhq/coffer/providers"
)

type objects struct{ d *Driver }

func (o objects) InspectObjects(ctx context.Context, refs []providers.ObjectRef) (map[providers.ObjectRef]providers.Object, error) {
	d := o.d
	found := map[providers.ObjectRef]providers.Object{}
	partial := &providers.PartialError{Paths: map[string]error{}}
	err := d.call(ctx, "inspect_objects", "", step{whole: true, commit: func() {
		for _, ref := range refs {
			if err := d.w.pathFault("inspect_objects", ref.Path); err != nil {
				partial.Paths[ref.Path] = err
			} else if d.w.objects[ref] != nil {
				found[ref] = d.object(ref)
			} else if lack, lacks := d.w.lacks[ref]; lacks {
				found[ref] = providers.Object{Lacks: &lack}
			} else if ref.Kind == KindRollout && d.w.workloads[ref.Path] == nil {
				found[ref] = providers.Object{Lacks: &providers.Lack{Text: "there is no such workload"}}
			}
		}
	}})
	if err != nil {
		return nil, err
	}
	if len(partial.Paths) > 0 {
		return found, partial
	}
	return found, nil
}

func (o objects) WriteObject(ctx context.Context, req providers.ObjectRequest) (providers.Object, error) {
	d := o.d
	var object providers.Object
	err := d.call(ctx, "write_object", req.Ref.Path, step{
		check: func() (bool, error) { return false, d.checkObject(req) },
		commit: func() {
			first := req
			first.Document = d.merged(d.w.objects[req.Ref], req.Ref, req.Document)
			if d.staged(req) {
				first.Document = Begun
			}
			d.commitObject(first, nil)
			object = d.object(req.Ref)
		},
	})
	if err == nil && object.Document == Begun && req.Document != Begun {
		object, err = d.configure(ctx, req, object)
	}
	if err != nil {
		return providers.Object{}, err
	}
	return object, nil
}

// Begun is the document of a mount that was made and not configured, see
// [Options].Staged.
const Begun = "begun\n"

// staged reports whether a request makes a mount in two calls.
func (d *Driver) staged(req providers.ObjectRequest) bool {
	return d.o.Staged && req.Ref.Kind == KindMount && req.Document != "" && d.w.objects[req.Ref] == nil
}

// configure is the second of the two calls. The mount is there by then, so no
// error of it says that nothing happened.
func (d *Driver) configure(ctx context.Context, req providers.ObjectRequest, made providers.Object) (providers.Object, error) {
	req.IfVersion = made.Version
	err := d.call(ctx, "configure_object", req.Ref.Path, step{
		check: func() (bool, error) { return false, d.checkObject(req) },
		commit: func() {
			d.commitObject(req, nil)
			made = d.object(req.Ref)
		},
	})
	return made, cutOff(err, "it was made and not configured")
}

// cutOff turns an error that says that nothing happened into one that does not,
// after a call before it had an effect.
func cutOff(err error, text string) error {
	var e *providers.Error
	if errors.As(err, &e) && e.Code.Definite() {
		return providers.Errorf(providers.Ambiguous, "%s: %s", text, e.Code)
	}
	return err
}

func (d *Driver) object(ref providers.ObjectRef) providers.Object {
	o := d.w.objects[ref]
	if o == nil {
		return providers.Object{}
	}
	is := providers.Object{Version: o.version(), Document: o.text, Attributes: o.attrs, NoMark: d.bare(ref.Kind), Kept: d.kept(ref.Kind), Settings: d.kept(ref.Kind)}
	if ref.Kind == KindMount {
		is.ByHand = d.o.ByHand
	}
	if is.Settings {
		is.Standard = d.o.Standard
	}
	return is
}

func (o *object) version() string { return fmt.Sprintf("o%d", o.number) }

func (d *Driver) checkObject(req providers.ObjectRequest) error {
	o := d.w.objects[req.Ref]
	switch {
	case req.Ref.Kind == KindRollout && d.w.workloads[req.Ref.Path] == nil:
		return providers.Errorf(providers.Conflict, "there is no such workload any more")
	case o == nil && (req.IfVersion == "" || req.Document == ""):
		return nil
	case o == nil:
		return providers.Errorf(providers.Conflict, "version %s is gone", req.IfVersion)
	case o.version() != req.IfVersion:
		return providers.Errorf(providers.Conflict, "the live version is %s, not %q", o.version(), req.IfVersion)
	case req.Document == "" && req.Ref.Kind == KindBinding && d.o.Attributes:
		return d.checkUnbind(req)
	}
	return nil
}

// checkUnbind lets nobody take away a policy of another project.
func (d *Driver) checkUnbind(req providers.ObjectRequest) error {
	_, policy, _ := strings.Cut(req.Ref.Path, " ")
	o := d.w.objects[providers.ObjectRef{Kind: KindPolicy, Path: policy}]
	if o != nil && o.attrs.Mark.Project != req.Attributes.Mark.Project {
		return providers.Errorf(providers.Invalid, "the policy %s is of project %q", policy, o.attrs.Mark.Project)
	}
	return nil
}

// commitObject writes an object and returns the secrets that moved with it and
// were known before.
func (d *Driver) commitObject(req providers.ObjectRequest, known map[string]string) map[string]providers.Meta {
	e := event{Kind: eventObject, Ref: req.Ref, Text: req.Document}
	if d.o.Attributes && !d.bare(req.Ref.Kind) {
		e.Attributes = req.Attributes
	}
	d.w.commit(e)
	moved := map[string]providers.Meta{}
	if !d.o.Envelopes || d.o.Container == nil {
		return moved
	}
	for _, path := range d.inContainer(req.Ref.Path) {
		d.lag(d.o.Prefix + path)
		before := d.w.live(d.o.Prefix + path).version()
		d.w.commit(event{Kind: eventEnvelope, Path: d.o.Prefix + path})
		if known[path] == before {
			moved[path] = *d.told(d.o.Prefix+path, d.w.meta(d.o.Prefix+path))
		}
	}
	return moved
}

type access struct{ d *Driver }

// ReaderFunc is the reader function of the memory platform.
const ReaderFunc = "memory_reader"

// ObjectKind is the kind of the objects that its readers compile to.
const ObjectKind = "access"

func (access) Readers() []string { return []string{ReaderFunc} }

// CompileAccess makes one object per container, or per secret, that lists its
// readers.
func (a access) CompileAccess(managed []providers.Managed, grants []providers.Grant) ([]providers.ObjectSpec, error) {
	if a.d.o.Bindings {
		return bindings(grants), nil
	}
	place := func(path string) string {
		if a.d.o.Container != nil {
			return a.d.o.Container("secret", path)
		}
		return path
	}
	readers := map[string]map[string]bool{}
	for i, g := range grants {
		if len(g.Reader.Args) != 1 || g.Reader.Args[0] == "" {
			return nil, &providers.AccessError{Grant: i, Err: providers.Errorf(providers.Invalid, "%s takes one name", ReaderFunc)}
		}
		for _, path := range g.Paths {
			if readers[place(path)] == nil {
				readers[place(path)] = map[string]bool{}
			}
			readers[place(path)][g.Reader.Args[0]] = true
		}
	}
	paths := map[string][]string{}
	for _, m := range managed {
		paths[place(m.Path)] = append(paths[place(m.Path)], m.Path)
	}
	var specs []providers.ObjectSpec
	for _, at := range slices.Sorted(maps.Keys(readers)) {
		text := strings.Join(slices.Sorted(maps.Keys(readers[at])), "\n") + "\n"
		slices.Sort(paths[at])
		specs = append(specs, providers.ObjectSpec{
			Ref: providers.ObjectRef{Kind: ObjectKind, Path: at}, Document: text, Paths: paths[at],
		})
	}
	return specs, nil
}
