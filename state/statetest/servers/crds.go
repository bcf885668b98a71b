package servers

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
)

// CRDs are the definitions of a controller's own resources, as its makers
// publish them; the value is the environment variable with the path of their
// YAML file, or of the folder that holds them.
type CRDs string

const (
	// SealedSecretsCRD is SealedSecret, bitnami.com/v1alpha1.
	SealedSecretsCRD CRDs = "COFFER_TEST_SEALEDSECRETS_CRD"
	// ExternalSecretsCRDs are SecretStore, ClusterSecretStore, ExternalSecret,
	// ClusterExternalSecret (external-secrets.io/v1; v1beta1 is there and not
	// served), PushSecret, ClusterPushSecret and the generators (v1alpha1).
	ExternalSecretsCRDs CRDs = "COFFER_TEST_ESO_CRDS"
)

const definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

// InstallCRDs writes the definitions to the cluster and returns when each
// resource is served and discovery names it. What is there already stays as it
// is. No controller comes with them: the API server checks objects against the
// schemas, and nothing acts on them.
func InstallCRDs(l Life, c *Cluster, which CRDs) {
	l.Helper()
	path := variable(l, string(which))
	files := []string{path}
	info, err := os.Stat(path)
	must(l, "definitions", err)
	if info.IsDir() {
		files, err = filepath.Glob(filepath.Join(path, "*.yaml"))
		must(l, "definitions", err)
	}
	if len(files) == 0 {
		l.Fatalf("definitions: %s holds no YAML file", path)
	}
	var names []string
	for _, file := range files {
		names = append(names, c.define(l, file))
	}
	for _, name := range names {
		Await(l, name+" is served", func() bool { return c.serves(l, name) })
	}
}

// define posts the definition in a file and returns its name.
func (c *Cluster) define(l Life, file string) string {
	l.Helper()
	text, err := os.ReadFile(file)
	must(l, "definition", err)
	req, err := http.NewRequest(http.MethodPost, c.Address+definitions, bytes.NewReader(text))
	must(l, "definition", err)
	req.Header.Set("Authorization", "Bearer "+c.AdminToken)
	req.Header.Set("Content-Type", "application/yaml")
	resp, err := c.http.Do(req)
	must(l, "definition", err)
	defer resp.Body.Close()
	var answer struct {
		Metadata, Details struct{ Name string }
		Message           string
	}
	text, err = io.ReadAll(resp.Body)
	must(l, "definition", err)
	must(l, "definition", json.Unmarshal(text, &answer))
	switch resp.StatusCode {
	case http.StatusCreated:
		return answer.Metadata.Name
	case http.StatusConflict: // it is there
		return answer.Details.Name
	}
	l.Fatalf("kube-apiserver: definition %s: status %d: %s", filepath.Base(file), resp.StatusCode, answer.Message)
	return ""
}

// serves reports whether every served version of a definition can be listed and
// is in discovery.
func (c *Cluster) serves(l Life, name string) bool {
	l.Helper()
	var definition struct {
		Spec struct {
			Group    string
			Names    struct{ Plural string }
			Versions []struct {
				Name   string
				Served bool
			}
		}
	}
	c.read(l, definitions+"/"+name, &definition)
	spec := definition.Spec
	for _, version := range spec.Versions {
		if !version.Served {
			continue
		}
		var discovery struct{ Resources []struct{ Name string } }
		base := "/apis/" + spec.Group + "/" + version.Name
		found := c.read(l, base, &discovery) == http.StatusOK &&
			slices.Contains(discovery.Resources, struct{ Name string }{spec.Names.Plural})
		if !found || c.read(l, base+"/"+spec.Names.Plural+"?limit=1", nil) != http.StatusOK {
			return false
		}
	}
	return true
}

// read makes one GET as the administrator and decodes what came back into to,
// unless that is nil.
func (c *Cluster) read(l Life, path string, to any) (status int) {
	l.Helper()
	req, err := http.NewRequest(http.MethodGet, c.Address+path, nil)
	must(l, "kube-apiserver", err)
	req.Header.Set("Authorization", "Bearer "+c.AdminToken)
	resp, err := c.http.Do(req)
	must(l, "kube-apiserver: GET "+path, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && to != nil && resp.StatusCode == http.StatusOK {
		err = json.Unmarshal(text, to)
	}
	must(l, "kube-apiserver: GET "+path, err)
	return resp.StatusCode
}
