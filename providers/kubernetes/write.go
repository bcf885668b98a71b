package kubernetes

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/cofferhq/coffer/providers"
)

// touches is how often a change starts anew because somebody touched the Secret,
// and not its value, after it was looked at.
const touches = 5

// Media types of what is sent.
const (
	plainJSON  = "application/json"
	mergePatch = "application/strategic-merge-patch+json"
	// of custom resources, which have no strategy
	jsonMergePatch = "application/merge-patch+json"
)

// Write implements [providers.Driver].
func (d *Driver) Write(ctx context.Context, req providers.WriteRequest) (providers.Meta, error) {
	if err := d.check(req.Path); err != nil {
		return providers.Meta{}, err
	}
	if _, sealed := cutSealed(req.Path); sealed {
		return d.writeSealed(ctx, req, true)
	}
	data, err := Data(req.Value)
	if err != nil {
		return providers.Meta{}, err
	}
	if req.IfVersion == "" {
		return d.make(ctx, req, data)
	}
	// The directive takes every other key away, whoever set it: the version says
	// that the writer has seen it.
	content := map[string]any{"$patch": "replace"}
	for key, plain := range data {
		content[key] = plain
	}
	m, err := d.change(ctx, req.Path, req.IfVersion, req.OpID, func(m *metadata) (request, error) {
		return m.newVersion(req, content, sortedKeys(data))
	})
	return m, typed(err, req.Path, req.Attributes.Form)
}

// make creates a Secret, and takes no other's place.
func (d *Driver) make(ctx context.Context, req providers.WriteRequest, data map[string][]byte) (providers.Meta, error) {
	labels, annotations, err := written(req.Attributes)
	if err != nil {
		return providers.Meta{}, err
	}
	namespace, name := split(req.Path)
	labels[labelManagedBy] = managerValues
	annotations[keyOperation], annotations[keyKeys] = req.OpID, keysDigest(sortedKeys(data))
	body, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": secrets.kind, "type": cmp.Or(req.Attributes.Form.Type, opaque), "data": data,
		"metadata":  map[string]any{"name": name, "namespace": namespace, "labels": labels, "annotations": annotations},
		"immutable": beImmutable(req.Attributes.Form.Immutable),
	})
	if err != nil {
		return providers.Meta{}, providers.Errorf(providers.Invalid, "the value cannot be encoded")
	}
	m, err := d.client.look(ctx, request{
		verb: create, resource: secrets, namespace: namespace, manager: managerValues, media: plainJSON, body: body,
	})
	if !errors.Is(err, errExists) {
		if err != nil {
			return providers.Meta{}, err
		}
		return m.meta(), nil
	}
	// Whose it is, for the message; and the same operation again is done.
	live, lookErr := d.find(ctx, req.Path)
	switch {
	case lookErr != nil || live == nil:
		return providers.Meta{}, err
	case req.OpID != "" && live.written() && live.Annotations[keyOperation] == req.OpID:
		return live.meta(), nil
	}
	return providers.Meta{}, providers.Errorf(providers.Conflict, "%w%s", errExists, live.others()).WithHint("%s", hintTaken(live))
}

func hintTaken(m *metadata) string {
	if project := m.Labels[labelProject]; project != "" {
		return "it carries the mark of the project " + word(project)
	}
	return "`coffer import` takes over what is there, or choose another path"
}

// Patch implements [providers.Patcher].
func (d *Driver) Patch(ctx context.Context, req providers.WriteRequest) (providers.Meta, error) {
	if err := d.check(req.Path); err != nil {
		return providers.Meta{}, err
	}
	if _, sealed := cutSealed(req.Path); sealed {
		return d.writeSealed(ctx, req, false)
	}
	content, set := map[string]any{}, []string{}
	for _, name := range req.Drop {
		if err := checkKey(name); err != nil {
			return providers.Meta{}, err
		}
		content[name] = nil
	}
	if !req.Value.IsZero() {
		if !req.Value.IsObject() {
			return providers.Meta{}, providers.Errorf(providers.Invalid, "a single value is no change of fields")
		}
		data, err := Data(req.Value)
		if err != nil {
			return providers.Meta{}, err
		}
		for key, plain := range data {
			content[key] = plain
		}
		set = sortedKeys(data)
	}
	m, err := d.change(ctx, req.Path, req.IfVersion, req.OpID, func(m *metadata) (request, error) {
		keys := map[string]bool{}
		for _, key := range append(m.keys(), set...) {
			keys[key] = true
		}
		for _, key := range req.Drop {
			keys[key] = slices.Contains(set, key)
		}
		maps.DeleteFunc(keys, func(_ string, left bool) bool { return !left })
		return m.newVersion(req, content, sortedKeys(keys))
	})
	return m, typed(err, req.Path, req.Attributes.Form)
}

// newVersion is the request that puts content into data, after which it has the
// given keys.
func (m *metadata) newVersion(req providers.WriteRequest, content map[string]any, keys []string) (request, error) {
	beside, err := m.changeTo(req.Attributes)
	if err != nil {
		return request{}, err
	}
	digest := keysDigest(keys)
	beside.Annotations[keyOperation], beside.Annotations[keyKeys] = &req.OpID, &digest
	return m.patch(managerValues, beside, content)
}

// patch is the request that changes exactly the state that m tells of.
func (m *metadata) patch(manager string, beside change, content map[string]any) (request, error) {
	type patched struct {
		UID             string `json:"uid"`
		ResourceVersion string `json:"resourceVersion"`
		change
	}
	body, err := json.Marshal(struct {
		Metadata  patched        `json:"metadata"`
		Data      map[string]any `json:"data,omitempty"`
		Type      string         `json:"type,omitempty"`
		Immutable *bool          `json:"immutable,omitempty"`
	}{patched{m.UID, m.ResourceVersion, beside}, content, beside.typ, beImmutable(beside.immutable)})
	if err != nil {
		return request{}, providers.Errorf(providers.Invalid, "the value cannot be encoded")
	}
	return request{verb: patch, manager: manager, media: mergePatch, body: body}, nil
}

// beImmutable is nil where nothing is to be said: false would be somebody's word
// for good.
func beImmutable(yes bool) *bool {
	if !yes {
		return nil
	}
	return &yes
}

// SetAttributes implements [providers.Attributer]. Where resourceVersion is part
// of the version, the answer has the new one: the value that it is of is the same,
// which the request made sure of.
func (d *Driver) SetAttributes(ctx context.Context, path, ifVersion string, a providers.Attributes) (providers.Meta, error) {
	if err := d.check(path); err != nil {
		return providers.Meta{}, err
	}
	if _, sealed := cutSealed(path); sealed {
		return sealedChange{d: d, path: path, edit: func(o Document) error { return o.SetAttributes(a) }}.make(ctx, ifVersion)
	}
	m, err := d.change(ctx, path, ifVersion, "", func(m *metadata) (request, error) {
		beside, err := m.changeTo(a)
		if err != nil {
			return request{}, err
		}
		return m.patch(managerAttributes, beside, nil)
	})
	return m, typed(err, path, a.Form)
}

// change makes a request that was built for the state that lives, if that is the
// wanted version. Where somebody touched the Secret in between and its version
// is still that one, it is built again.
func (d *Driver) change(ctx context.Context, path, ifVersion, op string, build func(*metadata) (request, error)) (providers.Meta, error) {
	namespace, name := split(path)
	for range touches {
		live, err := d.find(ctx, path)
		switch {
		case err != nil:
			return providers.Meta{}, err
		case live == nil:
			return providers.Meta{}, providers.Errorf(providers.Conflict, "there is no such Secret, want version %.60s", ifVersion)
		case op != "" && live.written() && live.Annotations[keyOperation] == op:
			return live.meta(), nil // the same operation again
		case !live.is(ifVersion):
			return providers.Meta{}, live.conflict(ifVersion)
		case live.DeletionTimestamp != "":
			return providers.Meta{}, live.held(providers.Conflict)
		case op != "" && live.Annotations[keyImmutable] == "true":
			return providers.Meta{}, immutableForGood(namespace, name)
		}
		r, err := build(live)
		if err != nil {
			return providers.Meta{}, err
		}
		r.resource, r.namespace, r.name = secrets, namespace, name
		m, err := d.client.look(ctx, r)
		switch {
		case err == nil:
			return m.meta(), nil
		case providers.CodeOf(err) == providers.NotFound:
			return providers.Meta{}, providers.Errorf(providers.Conflict, "the Secret was deleted meanwhile")
		case !errors.Is(err, errTouched):
			return providers.Meta{}, err
		}
	}
	return providers.Meta{}, providers.Errorf(providers.Conflict, "%w, again and again", errTouched).
		WithHint("`kubectl get secret %s -n %s --show-managed-fields -o yaml` says who", name, namespace)
}

// Delete implements [providers.Driver].
func (d *Driver) Delete(ctx context.Context, path, ifVersion string) error {
	if err := d.check(path); err != nil {
		return err
	}
	if _, sealed := cutSealed(path); sealed {
		return d.deleteSealed(ctx, path, ifVersion)
	}
	namespace, name := split(path)
	for range touches {
		live, err := d.find(ctx, path)
		switch {
		case err != nil:
			return err
		case live == nil:
			return nil
		case !live.is(ifVersion):
			return live.conflict(ifVersion)
		}
		if err := d.remove(ctx, secrets, namespace, name, live); !errors.Is(err, errTouched) {
			return err
		}
	}
	return providers.Errorf(providers.Conflict, "%w, again and again", errTouched)
}

// remove deletes exactly the state that m tells of. What is gone is no error.
func (d *Driver) remove(ctx context.Context, res resource, namespace, name string, m *metadata) error {
	body, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "DeleteOptions",
		"preconditions": map[string]string{"uid": m.UID, "resourceVersion": m.ResourceVersion},
	})
	if err != nil {
		return providers.Errorf(providers.Invalid, "the request cannot be encoded")
	}
	var gone object // what is gone, or a word of success
	r := request{verb: remove, resource: res, namespace: namespace, name: name, media: plainJSON, body: body}
	_, err = d.client.do(ctx, r, &gone)
	switch {
	case err == nil && gone.Kind == "PartialObjectMetadata" && len(gone.Metadata.Finalizers) > 0:
		return gone.Metadata.held(providers.Ambiguous)
	case err == nil && gone.Kind != "Status" && gone.Kind != "PartialObjectMetadata":
		return d.client.strange(r, http.StatusOK)
	case err == nil || providers.CodeOf(err) == providers.NotFound:
		return nil
	}
	return err
}

// held is the error of a Secret that is being deleted and waits.
func (m *metadata) held(code providers.Code) *providers.Error {
	return providers.Errorf(code, "the Secret is being deleted, and its finalizers hold it: %.200s", strings.Join(m.Finalizers, ", ")).
		WithHint("let the controller that set them finish, or take them off")
}
