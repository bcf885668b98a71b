package kubernetes

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/kubernetes/manifest"
)

// applyPatch is the media type of server-side apply. JSON is YAML.
const applyPatch = "application/apply-patch+yaml"

// WriteObject implements [providers.ObjectDriver]. It applies under the uid and
// resourceVersion that were looked at, and forced: what another manager has set
// is taken from it only in the very state that the version stands for.
//
// Apply makes what is not there. Where somebody makes the object between the look
// and the apply, our fields are added to theirs, and the error says so.
func (d *Driver) WriteObject(ctx context.Context, req providers.ObjectRequest) (providers.Object, error) {
	if req.Ref.Kind == kindRollout {
		return d.writeRollout(ctx, req)
	}
	k, lacks, err := d.kindOf(ctx, req.Ref.Kind)
	switch {
	case err != nil:
		return providers.Object{}, err
	case lacks != "":
		return providers.Object{}, providers.Errorf(providers.Invalid, "%s", lacks)
	case req.Document == "":
		return providers.Object{}, d.deleteObject(ctx, k, req)
	}
	for range touches {
		now, err := d.getObject(ctx, k, req.Ref.Path)
		if err != nil {
			return providers.Object{}, err
		}
		if err := k.fits(now, req.IfVersion); err != nil {
			return providers.Object{}, err
		}
		o, err := d.apply(ctx, k, now, req)
		if !errors.Is(err, errTouched) {
			return o, err
		}
	}
	return providers.Object{}, providers.Errorf(providers.Conflict, "%w, again and again", errTouched)
}

// fits reports whether what lives is what a request was made for.
func (k objectKind) fits(now *live, ifVersion string) error {
	switch {
	case now == nil && ifVersion == "":
		return nil
	case now == nil:
		return providers.Errorf(providers.Conflict, "there is no such %s any more", k.resource.kind)
	case ifVersion == "":
		return providers.Errorf(providers.Conflict, "a %s of this name is there already", k.resource.kind).
			WithHint("%s", hintTaken(&now.Metadata))
	case now.version(k.document(now)) != ifVersion:
		return providers.Errorf(providers.Conflict, "the %s was changed meanwhile%s", k.resource.kind, now.byOutsider())
	case now.Metadata.DeletionTimestamp != "":
		return now.Metadata.held(providers.Conflict)
	}
	return nil
}

// apply writes a document once.
func (d *Driver) apply(ctx context.Context, k objectKind, now *live, req providers.ObjectRequest) (providers.Object, error) {
	o, err := manifest.Decode(req.Document)
	if err != nil {
		return providers.Object{}, providers.Errorf(providers.Invalid, "%w", err)
	}
	namespace, name := k.place(req.Ref.Path)
	labels, annotations, err := written(req.Attributes)
	if err != nil {
		return providers.Object{}, err
	}
	meta := map[string]any{"name": name, "labels": labels, "annotations": annotations}
	if namespace != "" {
		meta["namespace"] = namespace
	}
	if now != nil {
		meta["uid"], meta["resourceVersion"] = now.Metadata.UID, now.Metadata.ResourceVersion
	}
	if req.OpID != "" && req.Attributes.Mark.Project != "" {
		annotations[keyOperation] = req.OpID
	}
	o["metadata"] = meta
	if k.resource.group == operatorGroup {
		o["apiVersion"] = operatorGroup + "/" + k.resource.root[2]
	}
	body, err := json.Marshal(o)
	if err != nil {
		return providers.Object{}, providers.Errorf(providers.Invalid, "the document cannot be encoded")
	}
	r := request{
		verb: patch, resource: k.resource, namespace: namespace, name: name, manager: managerObjects, media: applyPatch, body: body, shape: whole,
		query: url.Values{"force": {"true"}, "fieldValidation": {"Strict"}},
	}
	var raw json.RawMessage
	if _, err := d.client.do(ctx, r, &raw); err != nil {
		if providers.CodeOf(err) == providers.NotFound { // of the namespace, or of the kind
			err = noNamespace(r, "there is no namespace %q, or the cluster does not serve this kind there")
		}
		return providers.Object{}, err
	}
	l, ok := parseLive(raw)
	if !ok || l.Kind != k.resource.kind || l.Metadata.Name != name {
		return providers.Object{}, d.client.strange(r, http.StatusOK)
	}
	if l, err = d.withoutOthers(ctx, k, l, req); err != nil {
		return providers.Object{}, providers.Errorf(providers.Ambiguous, "it was written, and what somebody else has set beside it could not be taken out: %w", err)
	}
	return *d.described(k, l), nil
}

func (d *Driver) deleteObject(ctx context.Context, k objectKind, req providers.ObjectRequest) error {
	namespace, name := k.place(req.Ref.Path)
	for range touches {
		now, err := d.getObject(ctx, k, req.Ref.Path)
		if err != nil || now == nil {
			return err
		}
		if project := now.Metadata.Labels[labelProject]; project != "" && project != req.Attributes.Mark.Project {
			return providers.Errorf(providers.Conflict, "it carries the mark of the project %s", word(project))
		}
		if err := k.fits(now, req.IfVersion); err != nil {
			return err
		}
		body, err := json.Marshal(map[string]any{
			"apiVersion": "v1", "kind": "DeleteOptions",
			"preconditions": map[string]string{"uid": now.Metadata.UID, "resourceVersion": now.Metadata.ResourceVersion},
		})
		if err != nil {
			return providers.Errorf(providers.Invalid, "the request cannot be encoded")
		}
		var gone object
		r := request{verb: remove, resource: k.resource, namespace: namespace, name: name, media: plainJSON, body: body, shape: whole}
		_, err = d.client.do(ctx, r, &gone)
		if err == nil || providers.CodeOf(err) == providers.NotFound {
			return nil
		}
		if !errors.Is(err, errTouched) {
			return err
		}
	}
	return providers.Errorf(providers.Conflict, "%w, again and again", errTouched)
}
