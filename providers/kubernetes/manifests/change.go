package manifests

import (
	"slices"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/kubernetes"
)

// This file is what one operation does to the copy of a file.

// at claims a path for one operation, and returns what is there.
func (w *batch) at(path string, secrets bool) (place, *document, error) {
	p, err := locate(path)
	if err == nil && secrets {
		p, err = w.d.secretAt(path)
	}
	switch {
	case err != nil:
		return p, nil, err
	case p.file != w.name:
		return p, nil, invalid("%s lies in %s, and the batch is for %s", path, p.file, w.name)
	case w.seen[path]:
		return p, nil, invalid("two operations on %s in one batch", path)
	}
	w.seen[path] = true
	return p, w.base.find(p), nil
}

// fits compares what is there with what an operation was made for.
func fits(path, live string, exists bool, ifVersion string, project string) error {
	switch {
	case !exists && ifVersion == "":
		return nil
	case !exists:
		return providers.Errorf(providers.Conflict, "%s is gone: somebody removed it", path)
	case ifVersion == "" && project != "":
		return providers.Errorf(providers.Conflict, "%s exists already", path).WithHint("it carries the mark of the project %.80q", project)
	case ifVersion == "":
		return providers.Errorf(providers.Conflict, "%s exists already", path).WithHint("`coffer import` takes over what is there, or choose another file or name")
	case ifVersion != live:
		return providers.Errorf(providers.Conflict, "%s was changed by somebody else since it was last seen", path)
	}
	return nil
}

func (w *batch) write(req *providers.WriteRequest, whole bool) error {
	p, doc, err := w.at(req.Path, true)
	if err != nil {
		return err
	}
	var live providers.Meta
	if doc != nil {
		if live, err = doc.secretMeta(); err != nil {
			return err
		}
		if req.OpID != "" && live.OpID == req.OpID {
			return nil // the same operation again
		}
	}
	if err := fits(req.Path, live.Version, doc != nil, req.IfVersion, live.Attributes.Mark.Project); err != nil {
		return err
	}
	if doc != nil && live.Attributes.Form.Immutable && p.resource == plainSecrets { // one is sealed anew for another key
		return invalid("%s is immutable", req.Path).
			WithHint("no cluster that has it takes another value: give it another name, or take it out of the file and the cluster by hand and apply again")
	}
	if !whole && doc == nil {
		return providers.Errorf(providers.Conflict, "there is no %s to change", p.item())
	}
	if !whole && !req.Value.IsZero() && !req.Value.IsObject() {
		return invalid("a single value is no change of fields")
	}
	content := w.content(p, doc)
	if p.resource == sealedSecrets {
		err = w.seal(p, content, req, whole)
	} else {
		err = w.plain(doc, content, req, whole)
	}
	if err != nil {
		return err
	}
	return w.edit.put(p, content)
}

// content is a copy of a document, or the start of one.
func (w *batch) content(p place, doc *document) kubernetes.Document {
	switch {
	case doc != nil:
		return doc.content.Clone()
	case p.resource == sealedSecrets:
		return kubernetes.NewSealedSecret(p.namespace, p.name)
	}
	return kubernetes.NewSecret(p.namespace, p.name)
}

func (w *batch) seal(p place, content kubernetes.Document, req *providers.WriteRequest, whole bool) error {
	if w.keyErr != nil {
		return w.keyErr
	}
	change := kubernetes.Seal{Key: w.key, Drop: req.Drop, Whole: whole, OpID: req.OpID, Attributes: req.Attributes}
	if !req.Value.IsZero() {
		var err error
		if change.Set, err = kubernetes.SealValue(w.key, req.Value, req.Attributes.Form, p.namespace, p.name); err != nil {
			return err
		}
	}
	return content.Seal(change)
}

func (w *batch) plain(doc *document, content kubernetes.Document, req *providers.WriteRequest, whole bool) error {
	data := map[string][]byte{}
	if !whole {
		before, err := doc.values()
		if err != nil {
			return err
		}
		for key, plain := range before {
			if !slices.Contains(req.Drop, key) {
				data[key] = plain
			}
		}
	}
	if !req.Value.IsZero() {
		set, err := kubernetes.Data(req.Value)
		if err != nil {
			return err
		}
		for key, plain := range set {
			data[key] = plain
		}
	}
	if err := content.SetAttributes(req.Attributes); err != nil {
		return err
	}
	return setValues(content, data, req.OpID, w.d.random)
}

func (w *batch) delete(req *providers.DeleteRequest) error {
	p, doc, err := w.at(req.Path, true)
	if err != nil || doc == nil {
		return err
	}
	live, err := doc.secretMeta()
	if err != nil {
		return err
	}
	if live.Version != req.IfVersion {
		return providers.Errorf(providers.Conflict, "%s was changed by somebody else since it was last seen", req.Path)
	}
	w.edit.remove(p)
	return nil
}

// attributes changes what stands beside a value. A plain Secret that somebody
// wrote gets its salt with it, and so another version of the same value.
func (w *batch) attributes(p place, path, ifVersion string, a providers.Attributes) error {
	doc := w.base.find(p)
	if doc == nil {
		return providers.Errorf(providers.Conflict, "%s is gone: somebody removed it", path)
	}
	live, err := doc.secretMeta()
	if err != nil {
		return err
	}
	if err := fits(path, live.Version, true, ifVersion, ""); err != nil {
		return err
	}
	content := doc.content.Clone()
	if err := content.SetAttributes(a); err != nil {
		return err
	}
	if p.resource == plainSecrets && content.Noted(noteSalt) == "" {
		salt, err := newSalt(w.d.random)
		if err != nil {
			return err
		}
		content.Note(noteSalt, salt)
	}
	return w.edit.put(p, content)
}
