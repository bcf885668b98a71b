//go:build servers

package kubernetes

import (
	"maps"
	"net/http"
	"testing"

	"github.com/cofferhq/coffer/providers"
)

// TestForms writes types, annotations and immutability, and tells them from
// metadata alone.
func TestForms(t *testing.T) {
	c := newCluster(t)
	namespace := c.fresh()
	p := newProxy(t, c)
	config := c.config(t, p.URL, c.AdminToken, p.CA)
	config.Namespace = namespace
	d := open(t, config)
	with := func(f providers.Form) providers.Attributes {
		a := marked
		a.Form = f
		return a
	}
	want := providers.Form{Type: "kubernetes.io/basic-auth", Annotations: map[string]string{"example.com/a": "1", "example.com/b": "2"}}
	path := namespace + "/auth"
	m := put(t, d, providers.WriteRequest{Path: path, Value: fields("username", "u", "password", "p"), OpID: "1", Attributes: with(want)})
	if o := c.Must(http.MethodGet, at(path), nil); o["type"] != want.Type || o["immutable"] != nil {
		t.Errorf("%v %v", o["type"], o["immutable"])
	}
	c.Must(http.MethodPatch, at(path), map[string]any{"metadata": map[string]any{"annotations": map[string]any{"theirs": "x", "example.com/a": "other"}}})
	f := inspect(t, d, path).Attributes.Form
	if f.Type != want.Type || f.Immutable || !maps.Equal(f.Annotations, map[string]string{"example.com/a": "other", "example.com/b": "2"}) {
		t.Errorf("%+v", f)
	}

	want.Annotations = map[string]string{"example.com/a": "3"}
	m, err := d.Patch(t.Context(), providers.WriteRequest{Path: path, Value: fields("password", "q"), OpID: "2", IfVersion: m.Version, Attributes: with(want)})
	annotations := c.Must(http.MethodGet, at(path), nil)["metadata"].(map[string]any)["annotations"].(map[string]any)
	if err != nil || annotations["example.com/a"] != "3" || annotations["example.com/b"] != nil || annotations["theirs"] != "x" {
		t.Errorf("%v %v", err, annotations)
	}
	other := want
	other.Type = "Opaque"
	_, err = d.SetAttributes(t.Context(), path, m.Version, with(other))
	wantError(t, err, providers.Invalid, "nobody can change the type", "give it another name")

	want.Immutable = true
	m, err = d.SetAttributes(t.Context(), path, m.Version, with(want))
	if err != nil || !m.Attributes.Form.Immutable || c.Must(http.MethodGet, at(path), nil)["immutable"] != true {
		t.Errorf("%+v, %v", m, err)
	}
	_, err = d.Write(t.Context(), providers.WriteRequest{Path: path, Value: fields("username", "canary"), OpID: "3", IfVersion: m.Version, Attributes: with(want)})
	wantError(t, err, providers.Invalid, "the Secret is immutable", "delete secret auth")
	want.Annotations = nil
	if m, err = d.SetAttributes(t.Context(), path, m.Version, with(want)); err != nil {
		t.Errorf("beside an immutable value: %v", err)
	}
	_, err = d.SetAttributes(t.Context(), path, m.Version, marked)
	wantError(t, err, providers.Invalid, "another type")

	// Somebody else's: no note of ours tells its type or that it is immutable.
	theirs := namespace + "/theirs"
	c.Must(http.MethodPost, "/api/v1/namespaces/"+namespace+"/secrets", map[string]any{
		"metadata": map[string]any{"name": "theirs"}, "type": "kubernetes.io/basic-auth", "data": map[string]any{"username": encoded("u")}, "immutable": true,
	})
	m = inspect(t, d, theirs)
	if !m.Attributes.Form.Immutable || m.Attributes.Form.Type != "" {
		t.Errorf("%+v", m.Attributes.Form)
	}
	_, err = d.SetAttributes(t.Context(), theirs, m.Version, with(providers.Form{Type: "kubernetes.io/ssh-auth", Immutable: true}))
	wantError(t, err, providers.Invalid, "nobody can change the type")
	m, err = d.SetAttributes(t.Context(), theirs, m.Version, with(providers.Form{Type: "kubernetes.io/basic-auth", Immutable: true}))
	if err != nil || m.Attributes.Form.Type != "kubernetes.io/basic-auth" {
		t.Errorf("%+v, %v", m, err)
	}
	if m, err = d.SetAttributes(t.Context(), theirs, m.Version, providers.Attributes{}); err != nil || m.Attributes.Mark.Project != "" || m.Attributes.Form.Type != "" {
		t.Errorf("let go of: %+v, %v", m, err)
	}
	born := namespace + "/born"
	m = put(t, d, providers.WriteRequest{Path: born, Value: fields("a", "b"), OpID: "1", Attributes: with(providers.Form{Immutable: true})})
	if now := inspect(t, d, born); now.Version != m.Version || now.OpID != "1" || !now.Attributes.Form.Immutable {
		t.Errorf("%+v", now)
	}
	if reads := p.reads(); reads != 0 {
		t.Errorf("%d answers held values", reads)
	}
}
