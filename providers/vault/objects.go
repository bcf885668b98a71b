package vault

import (
	"context"
	"strings"
	"sync"

	"github.com/cofferhq/coffer/providers"
)

var (
	_ providers.ObjectDriver   = (*Driver)(nil)
	_ providers.AccessCompiler = (*Driver)(nil)
	_ providers.Declarer       = (*Driver)(nil)
	_ providers.AccessAuditor  = (*Driver)(nil)
	_ providers.Permitter      = (*Driver)(nil)
	_ providers.Examiner       = (*Driver)(nil)
	_ providers.ObjectScoper   = (*Driver)(nil)
)

// inspection gathers the answers of [Driver.InspectObjects].
type inspection struct {
	d  *Driver
	mu sync.Mutex

	found  map[providers.ObjectRef]providers.Object
	failed map[string]error
}

// InspectObjects implements [providers.ObjectDriver]. Several bindings of one
// holder, and the role that the holder is, are one call.
func (d *Driver) InspectObjects(ctx context.Context, refs []providers.ObjectRef) (map[providers.ObjectRef]providers.Object, error) {
	in := &inspection{d: d, found: map[providers.ObjectRef]providers.Object{}, failed: map[string]error{}}
	holders := map[holder][]providers.ObjectRef{}
	var order []holder
	var tasks []func(context.Context)
	for _, ref := range refs {
		switch ref.Kind {
		case KindPolicy:
			tasks = append(tasks, func(ctx context.Context) {
				in.one(ref, func() (*providers.Object, error) { return d.inspectPolicy(ctx, ref.Path) })
			})
		case KindMount:
			tasks = append(tasks, func(ctx context.Context) {
				in.one(ref, func() (*providers.Object, error) { return d.inspectMount(ctx, ref.Path) })
			})
		case KindBinding, KindRole:
			h, err := holderOf(ref)
			if err != nil {
				in.answer(ref, nil, err)
				continue
			}
			if holders[h] == nil {
				order = append(order, h)
			}
			holders[h] = append(holders[h], ref)
		default:
			in.answer(ref, nil, unknownKind(ref.Kind))
		}
	}
	for _, h := range order {
		tasks = append(tasks, func(ctx context.Context) { in.holder(ctx, h, holders[h]) })
	}
	err := parallel(ctx, tasks, func(ctx context.Context, ask func(context.Context)) error {
		ask(ctx)
		return ctx.Err()
	})
	if err != nil {
		return nil, err
	}
	if len(in.failed) > 0 {
		return in.found, &providers.PartialError{Paths: in.failed}
	}
	return in.found, nil
}

// holderOf returns whom a binding or role is about.
func holderOf(ref providers.ObjectRef) (holder, error) {
	if ref.Kind == KindBinding {
		h, _, err := parseBinding(ref.Path)
		return h, err
	}
	h, err := parseHolder(ref.Path)
	if err == nil && !h.isRole() {
		err = providers.Errorf(providers.Invalid, "%q is no role", ref.Path)
	}
	return h, err
}

func unknownKind(kind string) error {
	return providers.Errorf(providers.Unsupported, "a vault provider has no objects of kind %q", kind)
}

// one asks for one object that has a call of its own.
func (in *inspection) one(ref providers.ObjectRef, ask func() (*providers.Object, error)) {
	o, err := ask()
	in.answer(ref, o, err)
}

// holder asks for one holder and answers for all that is known by it.
func (in *inspection) holder(ctx context.Context, h holder, refs []providers.ObjectRef) {
	live, noMethod, err := in.d.lookUp(ctx, h)
	for _, ref := range refs {
		switch {
		case err != nil:
			in.answer(ref, nil, err)
		case live == nil:
			in.answer(ref, lacking(h, ref, noMethod), nil)
		case ref.Kind == KindRole:
			o, err := live.role()
			in.answer(ref, o, err)
		default:
			_, policy, err := parseBinding(ref.Path)
			in.answer(ref, live.binding(policy), err)
		}
	}
}

// answer files what is known of an object; neither object nor error is one that
// does not exist.
func (in *inspection) answer(ref providers.ObjectRef, o *providers.Object, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	switch {
	case err != nil:
		in.failed[ref.Path] = err
	case o != nil:
		in.found[ref] = *o
	}
}

// WriteObject implements [providers.ObjectDriver]. Nothing of these has a
// precondition on every server, so each is read before it is written and, where
// others may write as well, after.
func (d *Driver) WriteObject(ctx context.Context, req providers.ObjectRequest) (providers.Object, error) {
	switch req.Ref.Kind {
	case KindPolicy:
		return d.writePolicy(ctx, req)
	case KindBinding:
		return d.writeBinding(ctx, req)
	case KindRole:
		return d.writeRole(ctx, req)
	case KindMount:
		return d.writeMount(ctx, req)
	}
	return providers.Object{}, unknownKind(req.Ref.Kind)
}

// ObjectScope implements [providers.ObjectScoper]: the mounts of one namespace
// of one cluster share its policies, roles, entities and groups.
func (d *Driver) ObjectScope(identity string) string {
	return strings.TrimSuffix(identity, "/"+d.config.Mount)
}

// lockHolder waits until no other change of what a holder has is under way in
// this run, whichever provider block makes it.
func (d *Driver) lockHolder(ctx context.Context, h holder) (release func(), err error) {
	if d.locks == nil {
		return func() {}, nil
	}
	scope, err := d.objectScope(ctx)
	if err != nil {
		return nil, err
	}
	release, err = d.locks.Lock(ctx, scope+" "+strings.ToLower(h.String()))
	if err != nil {
		return nil, providers.Errorf(providers.Cancelled, "%w", err)
	}
	return release, nil
}

// objectScope returns where the objects of this provider are.
func (d *Driver) objectScope(ctx context.Context) (string, error) {
	d.mu.Lock()
	scope := d.scope
	d.mu.Unlock()
	if scope != "" {
		return scope, nil
	}
	identity, err := d.Identity(ctx)
	if err != nil {
		return "", err
	}
	scope = d.ObjectScope(identity)
	d.mu.Lock()
	d.scope = scope
	d.mu.Unlock()
	return scope, nil
}

// precondition compares what is live with what the request was made for. gone
// is a deletion of what does not exist, which is done.
func precondition(req providers.ObjectRequest, live *providers.Object) (gone bool, err error) {
	what := req.Ref.Kind + " " + req.Ref.Path
	switch {
	case live == nil && req.Document == "":
		return true, nil
	case live == nil && req.IfVersion != "":
		return false, providers.Errorf(providers.Conflict, "the %s is gone: somebody removed it", what)
	case live != nil && req.IfVersion == "":
		return false, providers.Errorf(providers.Conflict, "the %s exists already", what)
	case live != nil && live.Version != req.IfVersion:
		return false, providers.Errorf(providers.Conflict, "somebody else changed the %s since it was last seen", what)
	}
	return false, nil
}

// unsure is the error of a write that was made and could not be looked at.
func unsure(req providers.ObjectRequest, err error) error {
	return doubt(err, "the %s %s was written, but could not be read again", req.Ref.Kind, req.Ref.Path)
}

// noContent is the error of an answer that lacks what it is about. To take it
// for an object without content would be to see a change that nobody made.
func noContent(path string) error {
	return providers.Errorf(providers.Unavailable, "the answer for %s does not hold what it should", path)
}

// hasSettings reports whether objects of a kind are arguments of the server's API,
// of which a block writes some.
func hasSettings(kind string) bool { return kind == KindRole || kind == KindMount }

// newSettings is an object of settings, with what they are where nobody wrote any.
func newSettings(kind, typ string, live settings, known []argument) *providers.Object {
	o := newObject(kind, live.document(typ))
	if standard, _, err := settle(known, nil, true); err == nil {
		o.Standard = standard.document(typ)
	}
	return o
}

func newObject(kind, document string) *providers.Object {
	return &providers.Object{
		Version: versionOf(kind, document), Document: document, NoMark: kind != KindPolicy, Kept: hasSettings(kind), Settings: hasSettings(kind),
	}
}
