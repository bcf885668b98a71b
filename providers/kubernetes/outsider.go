package kubernetes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"time"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/kubernetes/manifest"
)

// This file is about what other managers set of an object of ours.

// withoutOthers takes out of an object that was just applied what its document does
// not have: apply, forced or not, leaves alone what others have set and it does not
// name, so that a plan would find it for good.
func (d *Driver) withoutOthers(ctx context.Context, k objectKind, l *live, req providers.ObjectRequest) (*live, error) {
	applied := l.version(k.document(l))
	for range touches {
		patched, err := k.difference(l, req.Document)
		if err != nil || len(patched) == 0 {
			return l, err
		}
		meta := map[string]any{"uid": l.Metadata.UID, "resourceVersion": l.Metadata.ResourceVersion}
		// Where a standard takes its place that has the same value, the API server
		// sees no change, and leaves it theirs.
		had, _ := l.fields["metadata"].(map[string]any)
		meta["managedFields"] = disowned(had["managedFields"], patched)
		patched["metadata"] = meta
		body, err := json.Marshal(patched)
		if err != nil {
			return l, providers.Errorf(providers.Invalid, "the change cannot be encoded")
		}
		after, err := d.patchObject(ctx, k, req.Ref.Path, body)
		if err == nil || !errors.Is(err, errTouched) {
			return after, err
		}
		// A controller that writes the status touches it too.
		now, err := d.getObject(ctx, k, req.Ref.Path)
		switch {
		case err != nil:
			return l, err
		case now == nil || now.version(k.document(now)) != applied:
			return l, providers.Errorf(providers.Conflict, "the %s was changed meanwhile", k.resource.kind)
		}
		l = now
	}
	return l, providers.Errorf(providers.Conflict, "%w, again and again", errTouched)
}

func (d *Driver) patchObject(ctx context.Context, k objectKind, path string, body []byte) (*live, error) {
	namespace, name := k.place(path)
	r := request{
		verb: patch, resource: k.resource, namespace: namespace, name: name, manager: managerObjects, media: jsonMergePatch, body: body, shape: whole,
	}
	var raw json.RawMessage
	if _, err := d.client.do(ctx, r, &raw); err != nil {
		return nil, err
	}
	l, ok := parseLive(raw)
	if !ok || l.Kind != k.resource.kind || l.Metadata.Name != name {
		return nil, d.client.strange(r, http.StatusOK)
	}
	return l, nil
}

// disowned returns managedFields in which nobody is said to have set what a merge
// patch takes away.
func disowned(managed any, patched map[string]any) any {
	list, _ := managed.([]any)
	var out []any
	for _, e := range list {
		entry, ok := e.(map[string]any)
		if !ok {
			continue
		}
		entry = maps.Clone(entry)
		if fields, ok := entry["fieldsV1"].(map[string]any); ok && entry["subresource"] == nil {
			fields = without(fields, patched)
			if len(fields) == 0 {
				continue
			}
			entry["fieldsV1"] = fields
		}
		out = append(out, entry)
	}
	return out
}

func without(fields, patched map[string]any) map[string]any {
	fields = maps.Clone(fields)
	for key, v := range patched {
		sub, set := fields["f:"+key].(map[string]any)
		inner, deeper := v.(map[string]any)
		switch {
		case v == nil:
			delete(fields, "f:"+key)
		case set && deeper:
			if sub = without(sub, inner); len(sub) == 0 { // that would be all of it
				delete(fields, "f:"+key)
			} else {
				fields["f:"+key] = sub
			}
		}
	}
	return fields
}

// difference is the merge patch that makes what is set of an object into a
// document; nil where it is that already.
func (k objectKind) difference(l *live, document string) (map[string]any, error) {
	had, err := manifest.Decode(k.document(l))
	if err != nil {
		return nil, providers.Errorf(providers.Invalid, "%w", err)
	}
	want, err := manifest.Decode(document)
	if err != nil {
		return nil, providers.Errorf(providers.Invalid, "%w", err)
	}
	for _, o := range []manifest.Object{had, want} {
		delete(o, "apiVersion")
		delete(o, "kind")
		delete(o, "metadata")
	}
	return mergeTo(had, want), nil
}

// outsider returns which manager besides us set a part of an object last, and
// when, if that was not before we did. What lies in its metadata does not count,
// and neither does the status: that is the controller's.
func (l *live) outsider() (who string, when time.Time) {
	var ours time.Time
	for i, entry := range l.Metadata.ManagedFields {
		if i >= len(l.managed) || entry.Subresource != "" || !l.managed[i].Fields.content() {
			continue
		}
		switch {
		case entry.Manager == managerObjects:
			ours = entry.Time
		case entry.Time.IsZero(): // it set what stood there already
			return entry.Manager, time.Time{}
		case !entry.Time.Before(when):
			who, when = entry.Manager, entry.Time
		}
	}
	if when.Before(ours) {
		return "", time.Time{}
	}
	return who, when.UTC()
}

// content reports whether a set of fields has more than what every object has
// beside its content.
func (t tree) content() bool {
	for key := range t {
		switch key {
		case "f:metadata", "f:status", "f:apiVersion", "f:kind", ".":
		default:
			return true
		}
	}
	return false
}

// byOutsider is what a message says of one.
func (l *live) byOutsider() string {
	who, when := l.outsider()
	if who == "" {
		return ""
	}
	text := fmt.Sprintf(": %.80q set a part of it", who)
	if !when.IsZero() {
		text += " at " + when.Format(time.RFC3339)
	}
	return text
}
