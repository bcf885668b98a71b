package kubernetes

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

// This file keeps SealedSecrets of the cluster: the paths that begin with
// [sealedPrefix]. There is no plaintext in them, so that a plan asks for all of
// them; their version is what the ciphertexts are.

var _ providers.Sealer = (*Driver)(nil)

// sealedIn looks at the SealedSecrets at paths of one namespace.
func (d *Driver) sealedIn(ctx context.Context, namespace string, paths []string, a *answers) {
	if len(paths) > few {
		all, err := d.listObjects(ctx, sealedKind, namespace)
		if err == nil || providers.CodeOf(err) != providers.Denied {
			for _, path := range paths {
				plain, _ := cutSealed(path)
				a.putSealed(path, all[plain], err)
			}
			return
		}
	}
	each(paths, func(path string) {
		plain, _ := cutSealed(path)
		l, err := d.getObject(ctx, sealedKind, plain)
		a.putSealed(path, l, err)
	})
}

func (a *answers) putSealed(path string, l *live, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case err != nil:
		a.failed[path] = err
	case l != nil:
		a.sealed[path] = l.sealedMeta()
	}
}

func (l *live) sealedMeta() providers.Meta {
	m := Document(l.fields).SealedMeta()
	if m.OpID == "" {
		m.ChangedBy = l.changedBy()
	}
	return m
}

// changedBy is the manager that set ciphertexts last, as somebody else did: of two
// within one second it is not ours.
func (l *live) changedBy() string {
	who, when := "", l.Metadata.ManagedFields
	var last managed
	for i, entry := range when {
		if i >= len(l.managed) || entry.Subresource != "" || entry.Time.Before(last.Time) || who != "" && entry.Time.Equal(last.Time) && entry.Manager == managerValues {
			continue
		}
		if _, spec := l.managed[i].Fields["f:spec"]; spec {
			who, last = entry.Manager, entry
		}
	}
	return who
}

// listSealed adds the SealedSecrets of a namespace to a list. Where the cluster has
// none, or these credentials may not see them, there are none of ours: what is
// recorded is looked at by itself.
func (d *Driver) listSealed(ctx context.Context, namespace string, into map[string]providers.Meta) error {
	served, err := d.sealsHere(ctx)
	if err != nil || !served {
		return err
	}
	all, err := d.listObjects(ctx, sealedKind, namespace)
	if providers.CodeOf(err) == providers.Denied {
		return nil
	}
	for path, l := range all {
		into[sealedPrefix+path] = l.sealedMeta()
	}
	return err
}

// sealsHere reports whether the cluster knows SealedSecrets, as far as these
// credentials may see.
func (d *Driver) sealsHere(ctx context.Context) (bool, error) {
	var list struct {
		Groups []apiGroup `json:"groups"`
	}
	_, err := d.client.do(ctx, request{verb: get, resource: resource{"apis", "APIGroupList", "", nil}, shape: whole}, &list)
	if providers.CodeOf(err) == providers.Denied {
		return false, nil
	}
	return slices.ContainsFunc(list.Groups, func(g apiGroup) bool { return g.Name == sealedKind.resource.group }), err
}

// sealedChange is one change of a SealedSecret.
type sealedChange struct {
	d    *Driver
	path string
	edit func(Document) error
	op   string // "" where ciphertexts stay
}

// writeSealed implements Write and Patch for a SealedSecret.
func (d *Driver) writeSealed(ctx context.Context, req providers.WriteRequest, whole bool) (providers.Meta, error) {
	namespace, name := split(req.Path)
	seal := Seal{Drop: req.Drop, Whole: whole, OpID: req.OpID, Attributes: req.Attributes}
	var err error
	if seal.Key, err = d.keys.Key(ctx); err != nil {
		return providers.Meta{}, err
	}
	if !req.Value.IsZero() {
		if !whole && !req.Value.IsObject() {
			return providers.Meta{}, providers.Errorf(providers.Invalid, "a single value is no change of fields")
		}
		if seal.Set, err = SealValue(seal.Key, req.Value, req.Attributes.Form, namespace, name); err != nil {
			return providers.Meta{}, err
		}
	}
	if whole && req.IfVersion == "" {
		return d.makeSealed(ctx, req, seal)
	}
	c := sealedChange{d: d, path: req.Path, op: req.OpID, edit: func(o Document) error { return o.Seal(seal) }}
	return c.make(ctx, req.IfVersion)
}

// makeSealed creates a SealedSecret, and takes no other's place.
func (d *Driver) makeSealed(ctx context.Context, req providers.WriteRequest, seal Seal) (providers.Meta, error) {
	namespace, name := split(req.Path)
	o := NewSealedSecret(namespace, name)
	if err := o.Seal(seal); err != nil {
		return providers.Meta{}, err
	}
	l, err := d.sendSealed(ctx, request{verb: create, namespace: namespace, media: plainJSON, manager: managerValues}, o)
	if err == nil {
		return l.sealedMeta(), nil
	}
	if !errors.Is(err, errExists) {
		return providers.Meta{}, err
	}
	now, lookErr := d.getObject(ctx, sealedKind, namespace+"/"+name)
	if lookErr != nil || now == nil {
		return providers.Meta{}, err
	}
	if m := now.sealedMeta(); req.OpID != "" && m.OpID == req.OpID {
		return m, nil
	}
	return providers.Meta{}, providers.Errorf(providers.Conflict, "a SealedSecret of this name is there already").WithHint("%s", hintTaken(&now.Metadata))
}

// sendSealed sends a document, or a change of one.
func (d *Driver) sendSealed(ctx context.Context, r request, content map[string]any) (*live, error) {
	body, err := json.Marshal(content)
	if err != nil {
		return nil, providers.Errorf(providers.Invalid, "the request cannot be encoded")
	}
	r.resource, r.body, r.shape = sealedKind.resource, body, whole
	var raw json.RawMessage
	if _, err := d.client.do(ctx, r, &raw); err != nil {
		return nil, err
	}
	l, ok := parseLive(raw)
	if !ok || l.Kind != sealedKind.resource.kind {
		return nil, d.client.strange(r, http.StatusOK)
	}
	return l, nil
}

// make edits what lives, if that is the wanted version, by a JSON merge patch that
// names the uid and the resourceVersion that were looked at.
func (c sealedChange) make(ctx context.Context, ifVersion string) (providers.Meta, error) {
	namespace, name := split(c.path)
	for range touches {
		now, err := c.d.getObject(ctx, sealedKind, namespace+"/"+name)
		if err != nil {
			return providers.Meta{}, err
		}
		if now == nil {
			return providers.Meta{}, providers.Errorf(providers.Conflict, "there is no such SealedSecret, want version %.60s", ifVersion)
		}
		m := now.sealedMeta()
		switch {
		case c.op != "" && m.OpID == c.op:
			return m, nil // the same operation again
		case m.Version != ifVersion:
			return providers.Meta{}, now.sealedConflict(ifVersion)
		case now.Metadata.DeletionTimestamp != "":
			return providers.Meta{}, now.Metadata.held(providers.Conflict)
		}
		next := Document(now.fields).Clone()
		if err := c.edit(next); err != nil {
			return providers.Meta{}, err
		}
		patched := Document(mergeTo(now.fields, next))
		if len(patched) == 0 {
			return m, nil
		}
		patched.set(now.Metadata.UID, "metadata", "uid")
		patched.set(now.Metadata.ResourceVersion, "metadata", "resourceVersion")
		manager := managerAttributes
		if c.op != "" {
			manager = managerValues
		}
		l, err := c.d.sendSealed(ctx, request{verb: patch, namespace: namespace, name: name, media: jsonMergePatch, manager: manager}, patched)
		switch {
		case err == nil:
			return l.sealedMeta(), nil
		case providers.CodeOf(err) == providers.NotFound:
			return providers.Meta{}, providers.Errorf(providers.Conflict, "the SealedSecret was deleted meanwhile")
		case !errors.Is(err, errTouched):
			return providers.Meta{}, err
		}
	}
	return providers.Meta{}, providers.Errorf(providers.Conflict, "%w, again and again", errTouched).
		WithHint("`kubectl get sealedsecret %s -n %s --show-managed-fields -o yaml` says who", name, namespace)
}

func (l *live) sealedConflict(version string) *providers.Error {
	m, by := l.sealedMeta(), ""
	if m.ChangedBy != "" {
		by = ": " + m.ChangedBy + " changed it"
	}
	return providers.Errorf(providers.Conflict, "the live version is %s, not %.60s%s", m.Version, version, by)
}

// deleteSealed deletes a SealedSecret; the controller then deletes the Secret.
func (d *Driver) deleteSealed(ctx context.Context, path, ifVersion string) error {
	namespace, name := split(path)
	for range touches {
		now, err := d.getObject(ctx, sealedKind, namespace+"/"+name)
		switch {
		case err != nil:
			return err
		case now == nil:
			return nil
		case now.sealedMeta().Version != ifVersion:
			return now.sealedConflict(ifVersion)
		}
		err = d.remove(ctx, sealedKind.resource, namespace, name, &now.Metadata)
		if !errors.Is(err, errTouched) {
			return err
		}
	}
	return providers.Errorf(providers.Conflict, "%w, again and again", errTouched)
}

// unreadable is the answer to who wants the value of a SealedSecret.
func unreadable(path string) (secret.Value, error) {
	plain, _ := cutSealed(path)
	return secret.Value{}, providers.Errorf(providers.Unsupported, "nobody but the controller can read the SealedSecret %s", plain).
		WithHint("read the secrets that it is made of")
}
