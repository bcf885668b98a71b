package sops

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/cofferhq/coffer/providers"
)

// recipientsObject is who can open a file, as an object.
func recipientsObject(f *file) providers.Object {
	text := document(f.meta.recipients())
	return providers.Object{Version: digest(KindRecipients, text), Document: text}
}

// InspectObjects reads the clear metadata of files: no identity is needed.
func (d *Driver) InspectObjects(ctx context.Context, refs []providers.ObjectRef) (map[providers.ObjectRef]providers.Object, error) {
	found := map[providers.ObjectRef]providers.Object{}
	partial := &providers.PartialError{Paths: map[string]error{}}
	for _, ref := range refs {
		if err := cancelled(ctx); err != nil {
			return nil, err
		}
		err := checkRef(ref)
		var f *file
		if err == nil {
			f, err = d.load(ref.Path)
		}
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			partial.Paths[ref.Path] = err
		default:
			found[ref] = recipientsObject(f)
		}
	}
	if len(partial.Paths) > 0 {
		return found, partial
	}
	return found, nil
}

func checkRef(ref providers.ObjectRef) error {
	if ref.Kind != KindRecipients {
		return providers.Errorf(providers.Unsupported, "a sops provider has no objects of kind %q", ref.Kind)
	}
	return locateFile(ref.Path)
}

// WriteObject changes who can open a file; see [Driver.WriteBatch].
func (d *Driver) WriteObject(ctx context.Context, req providers.ObjectRequest) (providers.Object, error) {
	if err := checkRef(req.Ref); err != nil {
		return providers.Object{}, err
	}
	r := d.WriteBatch(ctx, providers.Batch{Container: req.Ref.Path, Ops: []providers.Operation{{Object: &req}}})[0]
	return r.Object, r.Err
}

// object settles who can open the file. A recipient more gets the same data
// key; one less makes a new data key, under which every value is encrypted
// anew, because the old one may be known to whoever left.
//
// An empty document means that Coffer no longer looks after the recipients: a
// file without secrets is removed, and one that others are left in keeps the
// recipients it has.
func (w *batch) object(req *providers.ObjectRequest) error {
	err := w.settle(req)
	if err != nil {
		w.noWrite = &providers.Error{Code: providers.CodeOf(err), Err: fmt.Errorf("who can open %s is not settled, so nothing is written into it: %w", w.name, err)}
	}
	return err
}

func (w *batch) settle(req *providers.ObjectRequest) error {
	if err := checkRef(req.Ref); err != nil {
		return err
	}
	if req.Ref.Path != w.name {
		return invalid("the recipients of %s in a batch for %s", req.Ref.Path, w.name)
	}
	if w.settled {
		return invalid("two operations on the recipients of %s in one batch", w.name)
	}
	w.settled = true
	switch {
	case w.base == nil && req.Document == "":
		return nil
	case w.base == nil && req.IfVersion != "":
		return providers.Errorf(providers.Conflict, "%s is gone: somebody removed it", w.name)
	case w.base != nil && req.IfVersion == "":
		return providers.Errorf(providers.Conflict, "%s exists already", w.name)
	case w.base != nil && req.IfVersion != recipientsObject(w.base).Version:
		return providers.Errorf(providers.Conflict, "somebody else changed who can open %s since it was last seen", w.name)
	case req.Document == "":
		w.release = true
		w.changed = len(w.base.entries) == 0 && len(w.base.leaves) == 0
		return nil
	}
	want, err := parseDocument(req.Document)
	if err != nil {
		return invalid("%s: %w", w.name, err)
	}
	if w.base == nil {
		_, r, err := w.d.creation(w.name)
		if err != nil && w.d.rules != nil {
			return err
		}
		err = w.create(want, r)
		w.changed = err == nil
		return err
	}
	return w.changeRecipients(want)
}

func (w *batch) changeRecipients(want []string) error {
	have := w.base.meta.recipients()
	var added, removed []string
	for _, r := range want {
		if !slices.Contains(have, r) {
			added = append(added, r)
		}
	}
	for _, r := range have {
		if !slices.Contains(want, r) {
			removed = append(removed, r)
		}
	}
	if len(added)+len(removed) == 0 {
		return nil
	}
	for _, r := range slices.Concat(added, removed) {
		if isForeign(r) {
			return providers.Errorf(providers.Unsupported, "%s: coffer can neither add nor remove %s", w.name, r).
				WithHint("change the keys in %s and run `sops updatekeys %s`", rulesFile, w.d.ruled(w.name))
		}
	}
	if err := w.unlock(); err != nil {
		return err
	}
	next, err := w.rewrap(want, added, removed)
	if err != nil {
		return invalid("%s: %w", w.name, err)
	}
	w.file = next
	w.changed = true
	return nil
}

func (w *batch) rewrap(want, added, removed []string) (*file, error) {
	if err := w.base.ageEditable(); err != nil {
		return nil, err
	}
	if len(removed) == 0 {
		return addRecipients(w.base, w.key, added)
	}
	key, err := newDataKey(w.d.random)
	if err != nil {
		return nil, err
	}
	next, err := changeKey(w.base, w.opened, key, want, w.d.random)
	if err == nil {
		w.key = key
	}
	return next, err
}

// create starts a file that does not exist.
func (w *batch) create(recipients []string, r rules) error {
	for _, recipient := range recipients {
		if isForeign(recipient) {
			return providers.Errorf(providers.Unsupported, "coffer cannot wrap a data key for %s", recipient).
				WithHint("create %s with `sops edit`; coffer then keeps its other keys", w.name)
		}
	}
	key, err := newDataKey(w.d.random)
	if err != nil {
		return err
	}
	stanzas, err := wrapAll(recipients, key)
	if err != nil {
		return invalid("%s: %w", w.name, err)
	}
	w.file, err = newFile(formatOf(w.name), r, stanzas)
	w.key = key
	return err
}

// creation returns who can open a new file that comes without an operation on
// its recipients, and the rules for what is encrypted in it. In a map by
// environment the first part of the file's path is the environment, as in
// every default path.
func (d *Driver) creation(name string) ([]string, rules, error) {
	if d.rules != nil {
		rule, err := ruleFor(d.rules, d.ruled(name))
		if err != nil {
			return nil, rules{}, invalid("%w", err)
		}
		return rule.recipients, rule.rules, nil
	}
	environment, _, _ := strings.Cut(name, "/")
	r := rules{unencryptedSuffix: defaultUnencryptedSuffix}
	recipients := d.recipients.in(environment)
	if len(recipients) == 0 {
		return nil, r, invalid("nobody could open %s", name).
			WithHint("give the provider `recipients`, or a policy an %s reader", readerAge)
	}
	return recipients, r, nil
}
