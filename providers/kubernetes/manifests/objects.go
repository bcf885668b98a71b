package manifests

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/kubernetes"
	"github.com/cofferhq/coffer/providers/kubernetes/delivery"
	"github.com/cofferhq/coffer/providers/kubernetes/manifest"
)

// refAt locates an object.
func refAt(ref providers.ObjectRef) (place, error) {
	p, err := locate(ref.Path)
	switch {
	case err != nil:
		return p, err
	case p.resource != ref.Kind+"s" || p.resource == plainSecrets || p.resource == sealedSecrets:
		return p, providers.Errorf(providers.Unsupported, "%.200q is no object of kind %.40q", ref.Path, ref.Kind)
	}
	return p, nil
}

// InspectObjects implements [providers.ObjectDriver].
func (d *Driver) InspectObjects(ctx context.Context, refs []providers.ObjectRef) (map[providers.ObjectRef]providers.Object, error) {
	found := map[providers.ObjectRef]providers.Object{}
	partial := &providers.PartialError{Paths: map[string]error{}}
	byFile := map[string]*file{}
	for _, ref := range refs {
		if err := cancelled(ctx); err != nil {
			return nil, err
		}
		p, err := refAt(ref)
		var f *file
		if err == nil {
			f, err = d.loadOnce(byFile, p.file)
		}
		if err != nil {
			partial.Paths[ref.Path] = err
			continue
		}
		if doc := f.find(p); doc != nil {
			found[ref] = doc.object()
		}
	}
	if len(partial.Paths) > 0 {
		return found, partial
	}
	return found, nil
}

// object is what the contract says of a document: its text without the mark and
// what controllers write.
func (d *document) object() providers.Object {
	o := manifest.Object{}
	for key, v := range d.content {
		if key != "status" {
			o[key] = v
		}
	}
	meta := map[string]any{"name": d.place.name}
	if d.place.namespace != "" {
		meta["namespace"] = d.place.namespace
	}
	o["metadata"] = meta
	text := manifest.Encode(o)
	sum := sha256.Sum256([]byte(text))
	return providers.Object{
		Version: hex.EncodeToString(sum[:12]), Document: text, Attributes: d.content.Attributes(),
		Kept: d.place.resource == delivery.KindServiceAccount+"s",
	}
}

// WriteObject writes one object; see [Driver.WriteBatch].
func (d *Driver) WriteObject(ctx context.Context, req providers.ObjectRequest) (providers.Object, error) {
	p, err := refAt(req.Ref)
	if err != nil {
		return providers.Object{}, err
	}
	r := d.WriteBatch(ctx, providers.Batch{Container: p.file, Ops: []providers.Operation{{Object: &req}}})[0]
	return r.Object, r.Err
}

// object makes one look like its request.
func (w *batch) object(req *providers.ObjectRequest) error {
	if _, err := refAt(req.Ref); err != nil {
		return err
	}
	p, doc, err := w.at(req.Ref.Path, false)
	if err != nil {
		return err
	}
	var live providers.Object
	if doc != nil {
		live = doc.object()
	}
	switch project := live.Attributes.Mark.Project; {
	case req.Document == "" && doc == nil:
		return nil
	case req.Document == "" && project != "" && project != req.Attributes.Mark.Project:
		return providers.Errorf(providers.Conflict, "%s carries the mark of the project %.80q", req.Ref.Path, project)
	}
	if err := fits(req.Ref.Path, live.Version, doc != nil, req.IfVersion, live.Attributes.Mark.Project); err != nil {
		return err
	}
	if req.Document == "" {
		w.edit.remove(p)
		return nil
	}
	o, err := manifest.Decode(req.Document)
	if err != nil {
		return invalid("%w", err)
	}
	content := kubernetes.Document(o)
	if at, ok := placeOf(content); !ok || at.resource != p.resource || at.name != p.name || at.namespace != p.namespace {
		return invalid("the document for %s describes something else", req.Ref.Path)
	}
	if doc != nil { // labels and annotations of others stay
		content["metadata"] = doc.content.Clone()["metadata"]
	}
	if err := content.SetAttributes(req.Attributes); err != nil {
		return err
	}
	op := ""
	if req.Attributes.Mark.Project != "" {
		op = req.OpID
	}
	content.SetOperation(op)
	return w.edit.put(p, content)
}

// CompileDelivery implements [providers.Deliverer].
func (d *Driver) CompileDelivery(of providers.Delivery) ([]providers.ObjectSpec, error) {
	at, err := d.deliveredAt(of)
	if err != nil {
		return nil, err
	}
	return delivery.Compile(of, at, d.delivery)
}

// DeliveryAccess implements [providers.Deliverer].
func (d *Driver) DeliveryAccess(of providers.Delivery) (providers.StoreAccess, error) {
	at, err := d.deliveredAt(of)
	if err != nil {
		return providers.StoreAccess{}, err
	}
	return delivery.Access(of, at), nil
}

// deliveredAt is where a delivery goes: the place that a Secret of its name has.
func (d *Driver) deliveredAt(of providers.Delivery) (delivery.At, error) {
	path, err := "", error(nil)
	place := of.Place
	place.Kind = kindSecret
	if file, ok := cutFile(of.Written); ok {
		place.In = file
		path, err = d.DefaultPath(place)
	} else {
		path, err = d.Resolve(kindSecret, of.Written)
	}
	if err != nil {
		return delivery.At{}, &providers.ArgumentError{Err: err}
	}
	p, err := locate(path)
	if err != nil {
		return delivery.At{}, &providers.ArgumentError{Err: err}
	}
	return delivery.At{File: p.file, Namespace: p.namespace, Name: p.name}, nil
}

// Delivers implements [providers.Deliverer]: a file is no cluster.
func (d *Driver) Delivers(_, _ string) string { return "" }
