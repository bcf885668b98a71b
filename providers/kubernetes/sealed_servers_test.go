//go:build servers

package kubernetes

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/state/statetest/servers"
)

// sealer opens a driver that seals with the controller's certificate.
func (c *cluster) sealer(config *Config, s *servers.Sealer) *Driver {
	c.t.Helper()
	config.SealedSecrets = []SealedSecrets{{Certificate: filepath.Base(s.CertFile)}}
	env := environment()
	env.Dir = filepath.Dir(s.CertFile)
	d, err := Open(env, config)
	if err != nil {
		c.t.Fatal(err)
	}
	return d
}

func (c *cluster) adminConfig(namespace string) *Config {
	config := c.config(c.t, c.Address, c.AdminToken, c.CA)
	config.Namespace = namespace
	return config
}

func sealedAt(path string) string {
	namespace, name := split(path)
	return "/apis/bitnami.com/v1alpha1/namespaces/" + namespace + "/sealedsecrets/" + name
}

// opened returns the values of the Secret that the controller made.
func (c *cluster) opened(path string) map[string]string {
	_, answer := c.Do(http.MethodGet, at(path), c.AdminToken, nil)
	out := map[string]string{}
	data, _ := answer["data"].(map[string]any)
	for key, v := range data {
		plain, _ := base64.StdEncoding.DecodeString(v.(string))
		out[key] = string(plain)
	}
	return out
}

func (c *cluster) awaitOpened(path string, pairs ...string) {
	c.t.Helper()
	want := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		want[pairs[i]] = pairs[i+1]
	}
	servers.Await(c.t, "the controller makes "+path, func() bool { return maps.Equal(c.opened(path), want) })
}

func (c *cluster) ciphertexts(path string) map[string]any {
	c.t.Helper()
	return c.Must(http.MethodGet, sealedAt(path), nil)["spec"].(map[string]any)["encryptedData"].(map[string]any)
}

// TestSealedByUs: what is sealed here the controller opens, in each scope, and
// what is patched beside it too.
func TestSealedByUs(t *testing.T) {
	c := newCluster(t)
	s := shared.SealedSecrets(t)
	namespace := c.fresh()
	d := c.sealer(c.adminConfig(namespace), s)
	for _, scope := range []string{"", "namespace-wide", "cluster-wide"} {
		path := sealedPrefix + namespace + "/env" + scope
		a := marked
		a.Form = providers.Form{Type: "example.com/env", Annotations: map[string]string{"example.com/owner": "core"}, Scope: scope}
		m := put(t, d, providers.WriteRequest{Path: path, Value: fields("USER", "app", "PASSWORD", "one"), OpID: "1", Attributes: a})
		want, err := d.Sealing(t.Context(), path, a)
		if err != nil || m.Envelope != want.Envelope || m.OpID != "1" || !slices.Equal(m.Fields, []string{"PASSWORD", "USER"}) || m.Attributes.Form.Scope != scope {
			t.Errorf("%+v, %v; want %s", m, err, want.Envelope)
		}
		c.awaitOpened(path, "USER", "app", "PASSWORD", "one")
		made := c.Must(http.MethodGet, at(path), nil)
		meta := made["metadata"].(map[string]any)
		if made["type"] != "example.com/env" || meta["labels"].(map[string]any)["team"] != "a" || meta["annotations"].(map[string]any)["example.com/owner"] != "core" {
			t.Errorf("%v %v", made["type"], meta)
		}
		c.AwaitCondition(sealedAt(path), "Synced", "True")
		c.Must(http.MethodPatch, sealedAt(path), map[string]any{"metadata": map[string]any{"labels": map[string]any{"theirs": "x"}}})
		if now := inspect(t, d, path); now.Version != m.Version || now.OpID != "1" || now.Attributes.Mark != marked.Mark {
			t.Errorf("a status and a label made %+v of %+v", now, m)
		}
		if again := put(t, d, providers.WriteRequest{Path: path, Value: fields("X", "y"), OpID: "1", Attributes: a}); again.Version != m.Version {
			t.Error("the same operation made two versions")
		}
		before := c.ciphertexts(path)
		m, err = d.Patch(t.Context(), providers.WriteRequest{Path: path, Value: fields("PASSWORD", "two"), OpID: "2", IfVersion: m.Version, Attributes: a})
		if after := c.ciphertexts(path); err != nil || after["USER"] != before["USER"] || after["PASSWORD"] == before["PASSWORD"] {
			t.Errorf("%v: %v, then %v", err, before, after)
		}
		c.awaitOpened(path, "USER", "app", "PASSWORD", "two")
		a.Labels, a.Form.Annotations = map[string]string{"tier": "b"}, nil
		after, err := d.SetAttributes(t.Context(), path, m.Version, a)
		if err != nil || after.Version != m.Version || after.OpID != "2" || after.Attributes.Labels["tier"] != "b" || len(after.Attributes.Form.Annotations) > 0 {
			t.Errorf("%+v, %v", after, err)
		}
		// Another scope seals all of it anew.
		a.Form.Scope = map[string]string{"": "cluster-wide", "namespace-wide": "", "cluster-wide": "namespace-wide"}[scope]
		m, err = d.Write(t.Context(), providers.WriteRequest{Path: path, Value: fields("PASSWORD", "three"), OpID: "3", IfVersion: m.Version, Attributes: a})
		if err != nil || m.Attributes.Form.Scope != a.Form.Scope {
			t.Errorf("%+v, %v", m, err)
		}
		c.awaitOpened(path, "PASSWORD", "three")
		_, err = d.Read(t.Context(), path, "")
		wantError(t, err, providers.Unsupported, "nobody but the controller")
		wantError(t, d.Delete(t.Context(), path, "stale"), providers.Conflict)
		if err := d.Delete(t.Context(), path, m.Version); err != nil {
			t.Error(err)
		}
		if found, err := d.Inspect(t.Context(), []string{path}); err != nil || len(found) > 0 {
			t.Errorf("%v, %v", found, err)
		}
	}
}

// TestSealedByKubeseal: what somebody sealed is told, taken over as it stands, and
// stays readable beside what we seal.
func TestSealedByKubeseal(t *testing.T) {
	c := newCluster(t)
	s := shared.SealedSecrets(t)
	namespace := c.fresh()
	d := c.sealer(c.adminConfig(namespace), s)
	var paths []string
	for _, scope := range []string{"strict", "namespace-wide", "cluster-wide"} {
		path := sealedPrefix + namespace + "/" + scope
		paths = append(paths, path)
		text := fmt.Sprintf("apiVersion: v1\nkind: Secret\ntype: Opaque\nmetadata: {name: %s, namespace: %s}\nstringData: {USER: app, PASSWORD: one}\n", scope, namespace)
		var object map[string]any
		if err := json.Unmarshal(s.Seal(t, []byte(text), "--scope="+scope), &object); err != nil {
			t.Fatal(err)
		}
		c.Must(http.MethodPost, strings.TrimSuffix(sealedAt(path), "/"+scope), object)
		live := inspect(t, d, path)
		if f := live.Attributes.Form; live.Envelope != "" || live.OpID != "" || live.ChangedBy != by || !slices.Equal(live.Fields, []string{"PASSWORD", "USER"}) ||
			f.Type != "" || f.Scope != strings.TrimPrefix(scope, "strict") {
			t.Errorf("%+v", live)
		}
		_, err := d.Write(t.Context(), providers.WriteRequest{Path: path, Value: fields("USER", "canary"), OpID: "1", Attributes: marked})
		wantError(t, err, providers.Conflict, "there already", "coffer import")

		before := c.ciphertexts(path)
		a := marked
		a.Form.Scope = live.Attributes.Form.Scope
		taken, err := d.SetAttributes(t.Context(), path, live.Version, a)
		if err != nil || taken.Version != live.Version || !maps.Equal(c.ciphertexts(path), before) || taken.Envelope != "" {
			t.Errorf("taken over: %+v, %v", taken, err)
		}
		m, err := d.Patch(t.Context(), providers.WriteRequest{Path: path, Value: fields("PASSWORD", "two"), OpID: "2", IfVersion: taken.Version, Attributes: a})
		if err != nil || m.Envelope != "" || c.ciphertexts(path)["USER"] != before["USER"] {
			t.Errorf("%+v, %v", m, err)
		}
		c.awaitOpened(path, "USER", "app", "PASSWORD", "two")
	}
	listed, err := d.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		plain, _ := cutSealed(path)
		if listed[path].Version != inspect(t, d, path).Version || listed[plain].Version == "" {
			t.Errorf("%s is listed as %+v, its Secret as %+v", path, listed[path], listed[plain])
		}
	}
	many, err := d.Inspect(t.Context(), append([]string{sealedPrefix + namespace + "/none", namespace + "/strict"}, paths...))
	if err != nil || len(many) != 4 {
		t.Errorf("%v, %v", many, err)
	}
}

// TestSealedTouchedMeanwhile has somebody touch the SealedSecret between our look
// and our change.
func TestSealedTouchedMeanwhile(t *testing.T) {
	c := newCluster(t)
	s := shared.SealedSecrets(t)
	namespace := c.fresh()
	p := newProxy(t, c)
	config := c.config(t, p.URL, c.AdminToken, p.CA)
	config.Namespace = namespace
	d := c.sealer(config, s)
	for name, test := range map[string]struct {
		do   func(path string)
		code providers.Code // -1 is none
	}{
		"label": {func(path string) {
			c.Must(http.MethodPatch, sealedAt(path), map[string]any{"metadata": map[string]any{"labels": map[string]any{"x": "y"}}})
		}, -1},
		"value": {func(path string) {
			c.Must(http.MethodPatch, sealedAt(path), map[string]any{"spec": map[string]any{"encryptedData": map[string]any{"A": "AgAA"}}})
		}, providers.Conflict},
		"gone": {func(path string) { c.Must(http.MethodDelete, sealedAt(path), nil) }, providers.Conflict},
		"again": {func(path string) {
			o := c.Must(http.MethodGet, sealedAt(path), nil)
			meta := o["metadata"].(map[string]any)
			c.Must(http.MethodDelete, sealedAt(path), nil)
			for _, key := range []string{"uid", "resourceVersion", "creationTimestamp", "managedFields", "generation"} {
				delete(meta, key)
			}
			c.Must(http.MethodPost, strings.TrimSuffix(sealedAt(path), "/"+meta["name"].(string)), o)
		}, providers.Conflict},
	} {
		for _, what := range []string{"write", "patch", "attributes", "delete"} {
			path := sealedPrefix + namespace + "/" + name + "-" + what
			m := put(t, d, providers.WriteRequest{Path: path, Value: fields("A", "one", "B", "b"), OpID: "1", Attributes: marked})
			var once sync.Once
			p.on(func(_ http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodPatch || r.Method == http.MethodDelete {
					once.Do(func() { test.do(path) })
				}
				return false
			})
			var err error
			req := providers.WriteRequest{Path: path, Value: fields("A", "canary"), OpID: "2", IfVersion: m.Version, Attributes: marked}
			switch what {
			case "write":
				_, err = d.Write(t.Context(), req)
			case "patch":
				_, err = d.Patch(t.Context(), req)
			case "attributes":
				a := marked
				a.Labels = map[string]string{"team": "b"}
				_, err = d.SetAttributes(t.Context(), path, m.Version, a)
			case "delete":
				err = d.Delete(t.Context(), path, m.Version)
			}
			p.on(nil)
			switch {
			case test.code >= 0 && (name != "gone" || what != "delete"):
				wantError(t, err, test.code)
			case err != nil:
				t.Errorf("%s %s: %v", name, what, err)
			}
		}
	}
}

// TestCertificateThroughTheCluster asks the controller by way of the API server,
// which here a proxy stands in for: the real one sends to no address of its host.
func TestCertificateThroughTheCluster(t *testing.T) {
	c := newCluster(t)
	s := shared.SealedSecrets(t)
	namespace := c.fresh()
	p := newProxy(t, c)
	p.on(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/api/v1/namespaces/kube-system/services/http:sealed-secrets-controller:/proxy/v1/cert.pem" {
			return false
		}
		_, _ = w.Write(s.Cert)
		return true
	})
	config := c.config(t, p.URL, c.AdminToken, p.CA)
	config.Namespace = namespace
	d := open(t, config)
	path := sealedPrefix + namespace + "/env"
	put(t, d, providers.WriteRequest{Path: path, Value: fields("A", "b"), OpID: "1", Attributes: marked})
	c.awaitOpened(path, "A", "b")
}
