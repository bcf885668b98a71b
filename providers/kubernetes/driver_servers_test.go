//go:build servers

package kubernetes

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/secret"
)

var marked = providers.Attributes{Mark: providers.Mark{Project: "shop", Address: "a1"}, Labels: map[string]string{"team": "a"}}

// TestVersions shows what moves a version and what does not.
func TestVersions(t *testing.T) {
	c := newCluster(t)
	d := c.admin(c.fresh())
	b64 := func(text string) map[string]any { return map[string]any{"password": text} }
	ssa := func(path, manager, force string, fields map[string]any) {
		fields["apiVersion"], fields["kind"] = "v1", "Secret"
		c.Must(http.MethodPatch, at(path)+"?fieldManager="+manager+force, fields)
	}
	for _, test := range []struct {
		name  string
		do    func(path string)
		moves bool
		by    string
	}{
		{name: "a label", do: func(path string) { c.touch(path, map[string]any{"other": "x"}) }},
		{name: "a label of ours", do: func(path string) { c.touch(path, map[string]any{"team": "b"}) }},
		{name: "another's annotation by apply", do: func(path string) {
			ssa(path, "argo", "", map[string]any{"metadata": map[string]any{"annotations": map[string]any{"x": "y"}}})
		}},
		{name: "immutable", do: func(path string) { c.Must(http.MethodPatch, at(path), map[string]any{"immutable": true}) }},
		{name: "the same value", do: func(path string) { c.edit(path, b64("one")) }},
		{name: "another value", do: func(path string) { c.edit(path, b64("two")) }, moves: true, by: by},
		{name: "there and back", do: func(path string) { c.edit(path, b64("two")); c.edit(path, b64("one")) }, moves: true, by: by},
		{name: "another key", do: func(path string) { c.edit(path, map[string]any{"more": "x"}) }, moves: true, by: by},
		{name: "a key less", do: func(path string) { c.edit(path, map[string]any{"user": nil}) }, moves: true},
		{name: "all keys less", do: func(path string) { c.edit(path, map[string]any{"user": nil, "password": nil}) }, moves: true},
		{name: "forced apply", do: func(path string) {
			ssa(path, "flux", "&force=true", map[string]any{"data": map[string]any{"password": encoded("two")}})
		}, moves: true, by: "flux"},
		{name: "stringData by apply, which raises no conflict", do: func(path string) {
			ssa(path, "flux", "", map[string]any{"stringData": map[string]any{"password": "two"}})
		}, moves: true, by: "flux"},
		{name: "made again", do: func(path string) {
			c.Must(http.MethodDelete, at(path), nil)
			c.edit(path, map[string]any{"user": "app", "password": "one"})
		}, moves: true, by: by},
		{name: "managedFields taken away", do: func(path string) {
			c.Must(http.MethodPatch, at(path), map[string]any{"metadata": map[string]any{"managedFields": []any{map[string]any{}}}})
		}, moves: true},
		{name: "managedFields taken away, with a value", do: func(path string) {
			c.Must(http.MethodPatch, at(path), map[string]any{
				"metadata": map[string]any{"managedFields": []any{map[string]any{}}}, "data": map[string]any{"password": encoded("two")},
			})
		}, moves: true},
		{name: "our operation id on another's value", do: func(path string) {
			c.edit(path, b64("two"))
			c.Must(http.MethodPatch, at(path), map[string]any{"metadata": map[string]any{"annotations": map[string]any{keyOperation: "op"}}})
		}, moves: true, by: by},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			path := d.namespace + "/" + strings.ToLower(strings.NewReplacer(" ", "-", ",", "", "'", "").Replace(test.name))
			put(t, d, providers.WriteRequest{Path: path, Value: fields("user", "app", "password", "one"), OpID: "op", Attributes: marked})
			before := inspect(t, d, path)
			if before.OpID != "op" || before.ChangedBy != managerValues || time.Since(before.Created) > time.Hour || !slices.Equal(before.Fields, []string{"password", "user"}) {
				t.Errorf("written by us: %+v", before)
			}
			test.do(path)
			after := inspect(t, d, path)
			if moved := after.Version != before.Version; moved != test.moves {
				t.Errorf("moved: %v; %+v", moved, after)
			}
			if !test.moves && (after.OpID != "op" || !after.Created.Equal(before.Created)) {
				t.Errorf("untouched: %+v", after)
			}
			if test.moves && (after.OpID != "" || after.ChangedBy != test.by) {
				t.Errorf("operation %q, by %q; want %q", after.OpID, after.ChangedBy, test.by)
			}
			_, err := d.Write(t.Context(), providers.WriteRequest{Path: path, Value: fields("password", "canary"), OpID: "late", IfVersion: before.Version})
			switch {
			case test.moves:
				wantError(t, err, providers.Conflict, test.by)
			case test.name == "immutable":
				wantError(t, err, providers.Invalid, "the Secret is immutable", "kubectl -n "+d.namespace+" delete secret")
			case err != nil:
				t.Errorf("a touched Secret cannot be written: %v", err)
			}
		})
	}
}

// A manager that changes a value twice within a second is seen both times, and a
// look lasts until the version is what it will be.
func TestTwiceInASecond(t *testing.T) {
	c := newCluster(t)
	d := c.admin(c.fresh())
	path := d.namespace + "/a"
	seen := map[string]bool{}
	for i := range 20 {
		c.edit(path, map[string]any{"password": fmt.Sprint(i)})
		m, err := d.find(t.Context(), path)
		if err != nil || seen[m.version()] {
			t.Fatalf("version %s twice, %v", m.version(), err)
		}
		seen[m.version()] = true
	}
	settled := inspect(t, d, path)
	listed, err := d.List(t.Context())
	if again := inspect(t, d, path); err != nil || again.Version != settled.Version || listed[path].Version != settled.Version || seen[settled.Version] {
		t.Errorf("version %s, then %s and %s, %v", settled.Version, again.Version, listed[path].Version, err)
	}
}

// What was seen is replaced whoever set it, and is then ours alone.
func TestTakeOver(t *testing.T) {
	c := newCluster(t)
	d := c.admin(c.fresh())
	path := d.namespace + "/theirs"
	c.edit(path, map[string]any{"user": "app", "password": "one", "extra": "x"})
	theirs := inspect(t, d, path)
	if theirs.OpID != "" || theirs.ChangedBy != by || !slices.Equal(theirs.Fields, []string{"extra", "password", "user"}) {
		t.Errorf("%+v", theirs)
	}
	_, err := d.Write(t.Context(), providers.WriteRequest{Path: path, Value: secret.String("canary"), OpID: "1"})
	wantError(t, err, providers.Conflict, "there already", `"`+by+`" set extra, password, user at`, "coffer import")
	m, err := d.SetAttributes(t.Context(), path, theirs.Version, marked)
	if err != nil || m.Version != theirs.Version {
		t.Errorf("adopted: %+v, %v", m, err)
	}
	m, err = d.Patch(t.Context(), providers.WriteRequest{Path: path, Value: fields("password", "two"), OpID: "2", IfVersion: m.Version, Attributes: marked})
	if err != nil || m.OpID != "2" {
		t.Errorf("patched: %+v, %v", m, err)
	}
	if again := inspect(t, d, path); again.Version != m.Version || again.OpID != "2" {
		t.Errorf("%+v, then %+v", m, again)
	}
	m = put(t, d, providers.WriteRequest{Path: path, Value: secret.String("three"), OpID: "3", IfVersion: m.Version, Attributes: marked})
	if !slices.Equal(m.Fields, []string{""}) {
		t.Errorf("%+v", m)
	}
	o := c.Must(http.MethodGet, at(path), nil)
	if data := o["data"].(map[string]any); len(data) != 1 || data["value"] != encoded("three") {
		t.Errorf("%v", data)
	}
	// Why it is no server-side apply: unforced, it refuses to change what a POST
	// of the same manager made.
	other := d.namespace + "/posted"
	put(t, d, providers.WriteRequest{Path: other, Value: secret.String("one"), OpID: "1"})
	status, answer := c.Do(http.MethodPatch, at(other)+"?fieldManager="+managerValues, c.AdminToken,
		map[string]any{"apiVersion": "v1", "kind": "Secret", "data": map[string]any{"value": encoded("two")}})
	if status != http.StatusConflict {
		t.Errorf("%d %v", status, answer)
	}
}

// TestTouchedMeanwhile has somebody touch the Secret between our look and our
// change: a label does not matter, a value does, another Secret does.
func TestTouchedMeanwhile(t *testing.T) {
	c := newCluster(t)
	namespace := c.fresh()
	p := newProxy(t, c)
	config := c.config(t, p.URL, c.AdminToken, p.CA)
	config.Namespace = namespace
	d := open(t, config)
	for name, test := range map[string]struct {
		do   func(path string)
		code providers.Code // of the change; -1 is none
	}{
		"label": {func(path string) { c.touch(path, map[string]any{"other": "x"}) }, -1},
		"value": {func(path string) { c.edit(path, map[string]any{"value": "theirs"}) }, providers.Conflict},
		"gone":  {func(path string) { c.Must(http.MethodDelete, at(path), nil) }, providers.Conflict},
		"again": {func(path string) {
			c.Must(http.MethodDelete, at(path), nil)
			c.edit(path, map[string]any{"value": "theirs"})
		}, providers.Conflict},
	} {
		for _, what := range []string{"write", "patch", "attributes", "delete"} {
			path := namespace + "/" + name + "-" + what
			m := put(t, d, providers.WriteRequest{Path: path, Value: fields("value", "one", "b", "b"), OpID: "1", Attributes: marked})
			var once sync.Once
			p.on(func(_ http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodPatch || r.Method == http.MethodDelete {
					once.Do(func() { test.do(path) })
				}
				return false
			})
			var err error
			req := providers.WriteRequest{Path: path, Value: fields("value", "canary"), OpID: "2", IfVersion: m.Version, Attributes: marked}
			switch what {
			case "write":
				_, err = d.Write(t.Context(), req)
			case "patch":
				_, err = d.Patch(t.Context(), req)
			case "attributes":
				_, err = d.SetAttributes(t.Context(), path, m.Version, providers.Attributes{})
			case "delete":
				if err = d.Delete(t.Context(), path, m.Version); err == nil && name == "gone" {
					err = providers.Errorf(providers.Conflict, "gone is what was wanted")
				}
			}
			p.on(nil)
			if test.code == -1 && err != nil || test.code != -1 && (err == nil || providers.CodeOf(err) != test.code) {
				t.Errorf("%s %s: %v", name, what, err)
			}
			if found, _ := d.Inspect(t.Context(), []string{path}); name == "again" && found[path].ChangedBy != by {
				t.Errorf("%s %s: theirs is changed: %+v", name, what, found[path])
			}
		}
	}
	p.on(nil)
	for _, err := range racing(t, d, namespace+"/raced") {
		if err != nil {
			wantError(t, err, providers.Conflict)
		}
	}
}

// racing creates one Secret many times at once, and makes sure that one did it.
func racing(t *testing.T, d *Driver, path string) []error {
	t.Helper()
	errs := make([]error, 20)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			_, errs[i] = d.Write(t.Context(), providers.WriteRequest{Path: path, Value: secret.String("canary"), OpID: fmt.Sprint(i)})
		})
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		}
	}
	if won != 1 {
		t.Errorf("%d of %d made it", won, len(errs))
	}
	return errs
}

// TestNoValueOnTheWire looks at 300 Secrets as a plan does, and at what passed.
func TestNoValueOnTheWire(t *testing.T) {
	c := newCluster(t)
	p := newProxy(t, c)
	config := c.config(t, p.URL, c.AdminToken, p.CA)
	d := open(t, config)
	var paths []string
	for range 3 {
		namespace := c.fresh()
		for i := range 20 {
			paths = append(paths, fmt.Sprintf("%s/s-%d", namespace, i))
			put(t, d, providers.WriteRequest{Path: paths[len(paths)-1], Value: secret.String("value"), OpID: "1"})
		}
	}
	// kubectl apply keeps the manifest in an annotation, with the values: that is
	// not ours to change, and goes no further.
	c.Must(http.MethodPatch, at(paths[0]), map[string]any{"metadata": map[string]any{"annotations": map[string]any{
		"kubectl.kubernetes.io/last-applied-configuration": `{"data":{"value":"canary"}}`,
	}}})
	p.take()
	found, err := d.Inspect(t.Context(), paths)
	if err != nil || len(found) != len(paths) || strings.Contains(fmt.Sprintf("%+v", found), "canary") {
		t.Errorf("%d found, %v", len(found), err)
	}
	if n := p.reads(); n > 0 {
		t.Errorf("%d answers could hold values", n)
	}
	if seen := p.take(); len(seen) != 3 {
		t.Errorf("%d requests: %q", len(seen), seen)
	}
	m, _ := d.find(t.Context(), paths[0])
	if len(m.Annotations) != 2 {
		t.Errorf("kept of the annotations: %v", m.Annotations)
	}
}

// TestServerGone kills the API server in the middle.
func TestServerGone(t *testing.T) {
	c := newCluster(t)
	d := c.admin(c.fresh())
	path := d.namespace + "/a"
	m := put(t, d, providers.WriteRequest{Path: path, Value: secret.String("one"), OpID: "1"})
	c.Kill()
	_, err := d.Write(t.Context(), providers.WriteRequest{Path: path, Value: secret.String("canary"), OpID: "2", IfVersion: m.Version})
	var e *providers.Error
	if !errors.As(err, &e) || e.Code != providers.Unavailable || e.Hint == "" {
		t.Errorf("%v", err)
	}
	c.Restart()
	if again := inspect(t, d, path); again.Version != m.Version || again.OpID != "1" {
		t.Errorf("%+v, then %+v", m, again)
	}
}
