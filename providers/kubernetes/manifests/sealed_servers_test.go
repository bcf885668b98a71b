//go:build servers

package manifests

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/state/statetest/servers"
)

// TestOpenedByTheController brings a file to a cluster, as Argo CD would: what we
// seal and what kubeseal sealed, in each scope, is opened there, before and after
// we change a field of either.
func TestOpenedByTheController(t *testing.T) {
	c := servers.Kube(t)
	s := servers.SealedSecrets(t, c)
	namespace := c.FreshNamespace("files")
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "seal.pem"), s.Cert, 0o600); err != nil {
		t.Fatal(err)
	}
	d := sealer(t, dir)
	var theirs strings.Builder
	paths, wanted := map[string]providers.Attributes{}, map[string]map[string]string{}
	for _, scope := range []string{"strict", "namespace-wide", "cluster-wide"} {
		a := marked
		a.Form = providers.Form{Type: "example.com/env", Scope: strings.TrimPrefix(scope, "strict")}
		path := fmt.Sprintf("deploy/all.yaml#sealedsecrets/%s/ours-%s", namespace, scope)
		paths[path] = a
		wanted["ours-"+scope] = map[string]string{"USER": "app", "PASSWORD": "one"}
		if _, err := d.Write(t.Context(), providers.WriteRequest{Path: path, Value: values("USER", "app", "PASSWORD", "one"), OpID: scope, Attributes: a}); err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {name: theirs-%s, namespace: %s}\nstringData: {USER: app, PASSWORD: one}\n", scope, namespace)
		fmt.Fprintf(&theirs, "---\n%s", s.Seal(t, []byte(text), "--scope="+scope, "--format=yaml"))
		a.Form.Type = ""
		paths[fmt.Sprintf("deploy/all.yaml#sealedsecrets/%s/theirs-%s", namespace, scope)] = a
		wanted["theirs-"+scope] = map[string]string{"USER": "app", "PASSWORD": "one"}
	}
	file := filepath.Join(dir, "deploy/all.yaml")
	text := readFile(t, dir, "deploy/all.yaml") + theirs.String()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	bring(t, c, dir)
	awaitAll(t, c, namespace, wanted)

	before := sealedTexts(t, readFile(t, dir, "deploy/all.yaml"))
	for path, a := range paths {
		live := inspect(t, d, path)
		if isTheirs := strings.Contains(path, "/theirs-"); (live.Envelope == "") != isTheirs || live.Attributes.Form.Scope != a.Form.Scope || live.Attributes.Form.Type != a.Form.Type {
			t.Errorf("%s: %+v", path, live)
		}
		m, err := d.SetAttributes(t.Context(), path, live.Version, a)
		if err != nil || m.Version != live.Version || m.Attributes.Mark != marked.Mark {
			t.Errorf("%s taken over: %+v, %v", path, m, err)
		}
	}
	if !maps.Equal(before, sealedTexts(t, readFile(t, dir, "deploy/all.yaml"))) {
		t.Error("taking over changed a ciphertext")
	}
	for path, a := range paths {
		if _, err := d.Patch(t.Context(), providers.WriteRequest{Path: path, Value: values("PASSWORD", "two"), OpID: path, IfVersion: inspect(t, d, path).Version, Attributes: a}); err != nil {
			t.Error(err)
		}
	}
	for name, sealed := range sealedTexts(t, readFile(t, dir, "deploy/all.yaml")) {
		if kept := strings.HasSuffix(name, " USER"); kept != (sealed == before[name]) {
			t.Errorf("%s: kept: %v", name, !kept)
		}
	}
	bring(t, c, dir)
	for name := range wanted {
		wanted[name] = map[string]string{"USER": "app", "PASSWORD": "two"}
	}
	awaitAll(t, c, namespace, wanted)
}

// bring applies all documents of the file.
func bring(t *testing.T, c *servers.Cluster, dir string) {
	t.Helper()
	f, err := parse("all.yaml", []byte(readFile(t, dir, "deploy/all.yaml")), 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, doc := range f.docs {
		if doc.content == nil { // kubeseal begins with a line of dashes too
			continue
		}
		at := "/apis/bitnami.com/v1alpha1/namespaces/" + doc.place.namespace + "/sealedsecrets"
		status, answer := c.Do(http.MethodPost, at+"?fieldValidation=Strict", c.AdminToken, doc.content)
		if status == http.StatusConflict {
			status, answer = c.Do(http.MethodPatch, at+"/"+doc.place.name, c.AdminToken, doc.content)
		}
		if status != http.StatusOK && status != http.StatusCreated {
			t.Fatalf("%s: %d %v", doc.place.item(), status, answer["message"])
		}
	}
}

func awaitAll(t *testing.T, c *servers.Cluster, namespace string, wanted map[string]map[string]string) {
	t.Helper()
	for name, want := range wanted {
		servers.Await(t, "the controller opens "+name, func() bool {
			_, answer := c.Do(http.MethodGet, "/api/v1/namespaces/"+namespace+"/secrets/"+name, c.AdminToken, nil)
			got := map[string]string{}
			data, _ := answer["data"].(map[string]any)
			for key, v := range data {
				plain, _ := base64.StdEncoding.DecodeString(v.(string))
				got[key] = string(plain)
			}
			return maps.Equal(got, want)
		})
	}
}

// sealedTexts returns the ciphertexts of a file by "NAME FIELD".
func sealedTexts(t *testing.T, text string) map[string]string {
	t.Helper()
	f, err := parse("all.yaml", []byte(text), 0)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, doc := range f.docs {
		if doc.content == nil {
			continue
		}
		spec, _ := doc.content["spec"].(map[string]any)
		for field, v := range spec["encryptedData"].(map[string]any) {
			out[doc.place.name+" "+field] = v.(string)
		}
	}
	return out
}
