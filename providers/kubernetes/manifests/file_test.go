package manifests

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/internal/durable"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/kubernetes"
)

// foreign is a file that somebody keeps by hand.
const foreign = `# what the shop needs
---
apiVersion: v1
kind: ConfigMap   # theirs
metadata: {name: settings, namespace: shop}
data:
  text: |
    a: b
     --- not a separator
--- # and a Secret
apiVersion: v1
kind: Secret
metadata:
    name: theirs
    namespace: shop
stringData: {value: "by hand"}
`

// TestForeignDocuments: what is not ours stays byte for byte, and is not taken.
func TestForeignDocuments(t *testing.T) {
	dir := t.TempDir()
	certificate(t, dir)
	d := sealer(t, dir)
	file := filepath.Join(dir, "all.yaml")
	if err := os.WriteFile(file, []byte(foreign), 0o644); err != nil {
		t.Fatal(err)
	}
	m, err := d.Write(t.Context(), providers.WriteRequest{Path: "all.yaml#sealedsecrets/shop/env", Value: values("A", "b"), OpID: "1", Attributes: marked})
	if err != nil {
		t.Fatal(err)
	}
	if text := readFile(t, dir, "all.yaml"); !strings.HasPrefix(text, foreign+"---\n") {
		t.Errorf("%s", text)
	}
	_, err = d.Write(t.Context(), providers.WriteRequest{Path: "all.yaml#secrets/shop/theirs", Value: values("A", "b"), OpID: "2", Attributes: marked})
	wantCode(t, err, providers.Conflict, "exists already")
	if err := d.Delete(t.Context(), "all.yaml#sealedsecrets/shop/env", m.Version); err != nil || readFile(t, dir, "all.yaml") != foreign {
		t.Errorf("%v\n%s", err, readFile(t, dir, "all.yaml"))
	}

	const theirs = "all.yaml#secrets/shop/theirs"
	seen := inspect(t, d, theirs)
	if !strings.HasPrefix(seen.Version, "unsalted-") || seen.OpID != "" || seen.Attributes.Mark.Project != "" || !slices.Equal(seen.Fields, []string{""}) {
		t.Errorf("%+v", seen)
	}
	taken, err := d.SetAttributes(t.Context(), theirs, seen.Version, marked)
	if err != nil || strings.HasPrefix(taken.Version, "unsalted-") || taken.Attributes.Mark != marked.Mark || inspect(t, d, theirs).Version != taken.Version {
		t.Errorf("%+v, %v", taken, err)
	}
	v, err := d.Read(t.Context(), theirs, taken.Version)
	if err != nil {
		t.Fatal(err)
	}
	_ = v.Expose(func(b []byte) error {
		if string(b) != "by hand" {
			t.Error("the value was changed")
		}
		return nil
	})
	text := readFile(t, dir, "all.yaml")
	if cut := strings.Index(foreign, "--- # and"); !strings.HasPrefix(text, foreign[:cut]+"--- # and a Secret\n") {
		t.Errorf("%s", text)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("a file with plaintext is %v, %v", info.Mode(), err)
	}
	// A hand edit of the value is another version.
	if err := os.WriteFile(file, []byte(strings.Replace(text, "by hand", "by HAND", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if now := inspect(t, d, theirs); now.Version == taken.Version {
		t.Error("a hand edit is not seen")
	}
}

// TestRefusedFiles: nothing is written over what is no file of manifests, or lies
// elsewhere.
func TestRefusedFiles(t *testing.T) {
	dir := t.TempDir()
	certificate(t, dir)
	d := sealer(t, dir)
	outside := t.TempDir()
	for name, text := range map[string]string{
		"values.yaml": "image: shop\nreplicas: 3\n", "broken.yaml": "a: [b\n", "list.yaml": "apiVersion: v1\nkind: List\nitems: []\n",
		"helm.yaml": "apiVersion: v1\nkind: Secret\nmetadata:\n  name: {{ .Release.Name }}\n", "anchor.yaml": "apiVersion: v1\nkind: A\nmetadata: &a {name: b}\nc: *a\n",
		"twice.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: a, namespace: b}\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: a, namespace: b}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := d.Write(t.Context(), providers.WriteRequest{Path: name + "#sealedsecrets/shop/env", Value: values("A", "canary"), OpID: "1", Attributes: marked})
		wantCode(t, err, providers.Invalid, name)
		if readFile(t, dir, name) != text {
			t.Errorf("%s was written", name)
		}
		if _, err := d.Inspect(t.Context(), []string{name + "#sealedsecrets/shop/env"}); err == nil {
			t.Errorf("%s: what cannot be read is missing", name)
		}
	}
	for _, err := range []error{
		os.Symlink(outside, filepath.Join(dir, "link")), os.WriteFile(filepath.Join(outside, "x.yaml"), []byte(foreign), 0o644),
		os.Symlink(filepath.Join(outside, "x.yaml"), filepath.Join(dir, "x.yaml")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for file, words := range map[string]string{
		"link/x.yaml": "link is a symbolic link; output writes below the configuration and follows no link: put a folder there",
		"x.yaml":      "x.yaml is a symbolic link: coffer follows none", "list.yaml/x.yaml": "list.yaml is not a folder",
	} {
		_, err := d.Write(t.Context(), providers.WriteRequest{Path: file + "#sealedsecrets/shop/env", Value: values("A", "canary"), OpID: "1", Attributes: marked})
		wantCode(t, err, providers.Invalid, words)
	}
	if readFile(t, outside, "x.yaml") != foreign {
		t.Error("a link was followed")
	}
}

// TestInterrupted stops a write at each step: afterwards the file is the old one
// or the new one, and says by its operation id which.
func TestInterrupted(t *testing.T) {
	stop := errors.New("the power is gone")
	points := append(durable.Points(), "before-remove", "after-remove")
	for _, point := range points {
		dir := t.TempDir()
		certificate(t, dir)
		const path = "deploy/env.yaml#sealedsecrets/shop/env"
		first, err := sealer(t, dir).Write(t.Context(), providers.WriteRequest{Path: path, Value: values("A", "a"), OpID: "1", Attributes: marked})
		if err != nil {
			t.Fatal(err)
		}
		var promised map[string]string
		d := sealer(t, dir)
		d.disk.tree.At = func(at string) error {
			if at == point {
				return stop
			}
			return nil
		}
		_, err = d.Write(t.Context(), providers.WriteRequest{
			Path: path, Value: values("A", "b"), OpID: "2", IfVersion: first.Version, Attributes: marked,
			Promise: func(_ context.Context, v map[string]string) error { promised = v; return nil },
		})
		live := inspect(t, sealer(t, dir), path)
		if strings.HasSuffix(point, "remove") {
			continue // not a step of it
		}
		switch {
		case err == nil:
			t.Errorf("%s: no error", point)
		case live.Version == first.Version && live.OpID == "1":
		case live.Version == promised[path] && live.OpID == "2" && providers.CodeOf(err) == providers.Ambiguous:
		default:
			t.Errorf("%s: %+v after %v", point, live, err)
		}
	}
}

// FuzzFile: whatever a file holds, its documents together are its bytes, and a
// document more leaves the others as they are.
func FuzzFile(f *testing.F) {
	f.Add([]byte(foreign))
	f.Add([]byte("--- a: b\n...\n---\n"))
	f.Add([]byte("\ufeffapiVersion: v1\r\nkind: A\r\nmetadata: {name: a}\r\n---\r\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		file, err := parse("x.yaml", raw, 0)
		if err != nil {
			return
		}
		if got := file.edit().bytes(); len(got) > 0 && !bytes.Equal(got, raw) {
			t.Fatalf("%q became %q", raw, got)
		}
		e := file.edit()
		p := place{"x.yaml", plainSecrets, "fuzz", "added"}
		if file.find(p) != nil {
			return
		}
		if err := e.put(p, kubernetes.NewSecret(p.namespace, p.name)); err != nil {
			t.Fatal(err)
		}
		next, err := parse("x.yaml", e.bytes(), 0)
		if err != nil || next.find(p) == nil {
			t.Fatalf("%q with another document: %v\n%q", raw, err, e.bytes())
		}
		if len(next.docs) != len(file.docs)+1 {
			t.Fatalf("%d documents, then %d", len(file.docs), len(next.docs))
		}
	})
}
