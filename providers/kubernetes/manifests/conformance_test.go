package manifests

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/kubernetes"
	"github.com/cofferhq/coffer/providers/kubernetes/delivery"
	"github.com/cofferhq/coffer/providers/providertest"
	"github.com/cofferhq/coffer/providers/secret"
)

// TestConformance is the suite on plain Secrets: what is sealed nobody reads.
func TestConformance(t *testing.T) {
	providertest.Run(t, providertest.Harness{
		New:  newInstance,
		Path: func(n int) string { return fmt.Sprintf("deploy/shop.yaml#secrets/shop/secret-%d", n) },
		Many: 200,
		Cannot: map[int]string{
			30: "the file is what the block says; see TestPlaces",
		},
	})
}

func newInstance(t providertest.T) *providertest.Instance {
	dir := t.TempDir()
	reopen := func() providers.Driver { return open(t, dir, &kubernetes.Config{Context: dir}) }
	return &providertest.Instance{
		Driver: reopen(), Reopen: reopen, Where: dir,
		Edit: func(path string, v secret.Value) {
			p, err := locate(path)
			if err != nil {
				t.Fatalf("%v", err)
			}
			replaceValue(t, filepath.Join(dir, p.file), p, v)
		},
		Object: func() providers.ObjectRequest {
			return providers.ObjectRequest{
				Ref:      providers.ObjectRef{Kind: delivery.KindServiceAccount, Path: "deploy/shop.yaml#serviceaccounts/shop/reader"},
				Document: "apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: reader\n  namespace: shop\n", OpID: "object-1",
			}
		},
		Damage: func(path string) {
			if err := os.Truncate(filepath.Join(dir, "deploy", "shop.yaml"), 20); err != nil {
				t.Fatalf("%v", err)
			}
		},
	}
}

type tester interface {
	Helper()
	Fatalf(format string, args ...any)
}

func open(t tester, dir string, c *kubernetes.Config) *Driver {
	t.Helper()
	d, err := Open(providers.Env{Dir: dir, Getenv: func(string) string { return "" }, Now: time.Now, Random: rand.Reader, Project: "conformance"}, c, Options{})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return d
}

// replaceValue is a person with an editor.
func replaceValue(t tester, name string, p place, v secret.Value) {
	t.Helper()
	raw, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("%v", err)
	}
	f, err := parse(p.file, raw, 0)
	if err != nil {
		t.Fatalf("%v", err)
	}
	e := f.edit()
	p.file = f.name
	content := kubernetes.NewSecret(p.namespace, p.name)
	if d := f.find(p); d != nil {
		content = d.content.Clone()
	}
	_ = v.Expose(func(b []byte) error {
		content["data"] = map[string]any{"value": base64.StdEncoding.EncodeToString(b)}
		return nil
	})
	if err := e.put(p, content); err != nil {
		t.Fatalf("%v", err)
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatalf("%v", err)
	}
	if err := os.WriteFile(name, e.bytes(), 0o600); err != nil {
		t.Fatalf("%v", err)
	}
}

// TestPlaces is what a block with output may write.
func TestPlaces(t *testing.T) {
	free, fenced := open(t, t.TempDir(), &kubernetes.Config{}), open(t, t.TempDir(), &kubernetes.Config{Namespace: "web"})
	for _, test := range []struct {
		d                   *Driver
		kind, written, path string
	}{
		{free, "kubernetes_secret", "deploy/env.yaml#shop/env", "deploy/env.yaml#secrets/shop/env"},
		{free, "sealed_secret", "deploy/env.yaml#shop/env", "deploy/env.yaml#sealedsecrets/shop/env"},
		{free, "secret", "a.yml#sealedsecrets/shop/env", "a.yml#sealedsecrets/shop/env"},
		{fenced, "secret", "a.yml#env", "a.yml#secrets/web/env"},
		{free, "secret", "a.yml#env", ""},
		{fenced, "secret", "a.yml#shop/env", ""},
		{free, "secret", "../a.yaml#shop/env", ""},
		{free, "secret", "/a.yaml#shop/env", ""},
		{free, "secret", "a/../b.yaml#shop/env", ""},
		{free, "secret", ".git/b.yaml#shop/env", ""},
		{free, "secret", "a.txt#shop/env", ""},
		{free, "secret", "a.yaml", ""},
		{free, "secret", "a.yaml#", ""},
		{free, "secret", "a.yaml#shop/Env", ""},
		{free, "secret", "a.yaml#roles/shop/env", ""},
	} {
		path, err := test.d.Resolve(test.kind, test.written)
		if path != test.path && (err == nil || test.path != "") || (err == nil) != (test.path != "") {
			t.Errorf("%s %q is %q, %v; want %q", test.kind, test.written, path, err, test.path)
		}
		if err != nil && providers.CodeOf(err) != providers.Invalid {
			t.Errorf("%q: %v", test.written, err)
		}
		if err == nil {
			if again, err := test.d.Resolve(test.kind, test.d.Written(path)); err != nil || again != path {
				t.Errorf("%q is written %q, which is %q, %v", path, test.d.Written(path), again, err)
			}
		}
	}
	place := providers.Place{Kind: "sealed_secret", App: "shop", Environment: "production", Name: "db_url", In: "deploy/x.yaml"}
	if path, err := free.DefaultPath(place); err != nil || path != "deploy/x.yaml#sealedsecrets/shop-production/shop-db-url" {
		t.Errorf("%q, %v", path, err)
	}
	if path, err := fenced.DefaultPath(place); err != nil || path != "deploy/x.yaml#sealedsecrets/web/shop-production-db-url" {
		t.Errorf("%q, %v", path, err)
	}
	place.In = ""
	if _, err := free.DefaultPath(place); err == nil || !strings.Contains(err.Error(), "output") {
		t.Errorf("%v", err)
	}
	place.Kind, place.In = "env_file", "x.yaml"
	if _, err := free.DefaultPath(place); err == nil {
		t.Error("an env_file has a place")
	}
}

// TestIdentity: two blocks are two stores, and one block is the same one for
// everybody who has the configuration.
func TestIdentity(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range []kubernetes.Config{
		{}, {Context: "a"}, {Context: "b"}, {Kubeconfig: "a"}, {Namespace: "a"}, {Context: "a", Namespace: "a"}, {Impersonate: []kubernetes.Impersonation{{User: "a"}}},
	} {
		first, err := open(t, t.TempDir(), &c).Identity(t.Context())
		second, _ := open(t, t.TempDir(), &c).Identity(t.Context())
		if err != nil || first != second || seen[first] || !strings.HasPrefix(first, "manifests:conformance") {
			t.Errorf("%q, %q, %v", first, second, err)
		}
		seen[first] = true
	}
}
