package manifests

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/kubernetes"
	"github.com/cofferhq/coffer/providers/kubernetes/delivery"
	"github.com/cofferhq/coffer/providers/secret"
)

var marked = providers.Attributes{Mark: providers.Mark{Project: "shop", Address: "a1"}, Labels: map[string]string{"team": "core"}}

// certificate writes one of a new key below a folder.
func certificate(t *testing.T, dir string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(filepath.Join(dir, "seal.pem"), text, 0o644); err != nil {
		t.Fatal(err)
	}
}

func sealer(t *testing.T, dir string) *Driver {
	return open(t, dir, &kubernetes.Config{SealedSecrets: []kubernetes.SealedSecrets{{Certificate: "seal.pem"}}})
}

func values(pairs ...string) secret.Value {
	fields := map[string]secret.Value{}
	for i := 0; i < len(pairs); i += 2 {
		fields[pairs[i]] = secret.String(pairs[i+1])
	}
	return secret.Object(fields)
}

func readFile(t *testing.T, dir, name string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func inspect(t *testing.T, d *Driver, path string) providers.Meta {
	t.Helper()
	found, err := d.Inspect(t.Context(), []string{path})
	if err != nil {
		t.Fatal(err)
	}
	return found[path]
}

func wantCode(t *testing.T, err error, code providers.Code, parts ...string) {
	t.Helper()
	if err == nil || providers.CodeOf(err) != code {
		t.Errorf("%v, want %v", err, code)
		return
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%v\nlacks %q", err, part)
		}
	}
}

// TestSealed is the life of a SealedSecret in a file.
func TestSealed(t *testing.T) {
	dir := t.TempDir()
	certificate(t, dir)
	d := sealer(t, dir)
	const path = "deploy/env.yaml#sealedsecrets/shop/env"
	form := providers.Form{Type: "example.com/env", Annotations: map[string]string{"example.com/owner": "core"}, Scope: "namespace-wide"}
	attributes := marked
	attributes.Form = form
	want, err := d.Sealing(t.Context(), path, attributes)
	if err != nil || !strings.HasSuffix(want.Envelope, " namespace-wide") || want.Expires.IsZero() {
		t.Fatalf("%+v, %v", want, err)
	}
	if s, err := d.Sealing(t.Context(), "deploy/env.yaml#secrets/shop/env", attributes); err != nil || s.Envelope != "" {
		t.Errorf("a plain one is sealed: %+v, %v", s, err)
	}
	var promised map[string]string
	m, err := d.Write(t.Context(), providers.WriteRequest{
		Path: path, Value: values("USER", "canary-1", "PASSWORD", "canary-2"), OpID: "op-1", Attributes: attributes,
		Promise: func(_ context.Context, v map[string]string) error { promised = v; return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	text := readFile(t, dir, "deploy/env.yaml")
	if promised[path] != m.Version || strings.Contains(text, "canary") || !strings.Contains(text, "sealedsecrets.bitnami.com/namespace-wide: \"true\"") {
		t.Errorf("promised %v of %s\n%s", promised, m.Version, text)
	}
	live := inspect(t, d, path)
	f := live.Attributes.Form
	if live.Version != m.Version || live.OpID != "op-1" || live.Envelope != want.Envelope || !slices.Equal(live.Fields, []string{"PASSWORD", "USER"}) ||
		f.Type != form.Type || f.Scope != form.Scope || f.Annotations["example.com/owner"] != "core" || live.Attributes.Labels["team"] != "core" || live.Attributes.Mark != marked.Mark {
		t.Errorf("%+v", live)
	}
	_, err = d.Read(t.Context(), path, "")
	wantCode(t, err, providers.Unsupported, "nobody but the controller")

	before := ciphertexts(t, text)
	changed := attributes
	changed.Labels, changed.Form.Annotations = map[string]string{"tier": "1"}, nil
	m, err = d.SetAttributes(t.Context(), path, m.Version, changed)
	text = readFile(t, dir, "deploy/env.yaml")
	if err != nil || m.Version != live.Version || m.Envelope != want.Envelope || strings.Contains(text, "team") || strings.Contains(text, "owner") || strings.Count(text, "tier: \"1\"") != 2 {
		t.Errorf("%+v, %v\n%s", m, err, text)
	}
	m, err = d.Patch(t.Context(), providers.WriteRequest{Path: path, Value: values("PASSWORD", "canary-3"), OpID: "op-2", IfVersion: m.Version, Attributes: changed})
	after := ciphertexts(t, readFile(t, dir, "deploy/env.yaml"))
	if err != nil || m.OpID != "op-2" || after["USER"] != before["USER"] || after["PASSWORD"] == before["PASSWORD"] {
		t.Errorf("%+v, %v: %v", m, err, after)
	}
	other := changed
	other.Form.Scope = ""
	_, err = d.Patch(t.Context(), providers.WriteRequest{Path: path, Value: values("PASSWORD", "canary-4"), OpID: "op-3", IfVersion: m.Version, Attributes: other})
	wantCode(t, err, providers.Invalid, "USER is sealed for the scope namespace-wide")
	_, err = d.Write(t.Context(), providers.WriteRequest{Path: path, Value: values("A", "b"), OpID: "op-4", IfVersion: live.Version, Attributes: other})
	wantCode(t, err, providers.Conflict, "changed by somebody else")
	m, err = d.Write(t.Context(), providers.WriteRequest{Path: path, Value: values("A", "b"), OpID: "op-5", IfVersion: m.Version, Attributes: other})
	if err != nil || !strings.HasSuffix(m.Envelope, " strict") || m.Attributes.Form.Scope != "" || !slices.Equal(m.Fields, []string{"A"}) {
		t.Errorf("%+v, %v", m, err)
	}
	if again, err := d.Write(t.Context(), providers.WriteRequest{Path: path, Value: values("A", "b"), OpID: "op-5", IfVersion: "x", Attributes: other}); err != nil || again.Version != m.Version {
		t.Errorf("the same operation again: %+v, %v", again, err)
	}
	if err := d.Delete(t.Context(), path, m.Version); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "deploy/env.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an empty file is left: %v", err)
	}
}

func ciphertexts(t *testing.T, text string) map[string]string {
	t.Helper()
	f, err := parse("x.yaml", []byte(text), 0)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	spec, _ := f.docs[0].content["spec"].(map[string]any)
	for name, v := range spec["encryptedData"].(map[string]any) {
		out[name] = v.(string)
	}
	return out
}

// TestManyItems: of 200 items in files one value changes one item, a new
// certificate is another envelope of each, and what is not written stays byte for
// byte.
func TestManyItems(t *testing.T) {
	dir := t.TempDir()
	certificate(t, dir)
	d := sealer(t, dir)
	var paths []string
	for file := range 4 {
		b := providers.Batch{Container: fmt.Sprintf("deploy/%d.yaml", file)}
		for n := range 50 {
			path := fmt.Sprintf("%s#sealedsecrets/shop/item-%d", b.Container, n)
			paths = append(paths, path)
			b.Ops = append(b.Ops, providers.Operation{Write: &providers.WriteRequest{Path: path, Value: values("A", "a", "B", "b"), OpID: path, Attributes: marked}})
		}
		for _, r := range d.WriteBatch(t.Context(), b) {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
		}
	}
	all := func() (text string) {
		for file := range 4 {
			text += readFile(t, dir, fmt.Sprintf("deploy/%d.yaml", file))
		}
		return text
	}
	before := all()
	found, err := d.Inspect(t.Context(), paths)
	if err != nil || len(found) != 200 || all() != before {
		t.Fatalf("%d found, %v", len(found), err)
	}
	m, err := d.Patch(t.Context(), providers.WriteRequest{Path: paths[77], Value: values("A", "new"), OpID: "rotated", IfVersion: found[paths[77]].Version, Attributes: marked})
	if err != nil {
		t.Fatal(err)
	}
	var lines []int
	was, is := strings.Split(before, "\n"), strings.Split(all(), "\n")
	for n := range was {
		if len(was) == len(is) && was[n] != is[n] {
			lines = append(lines, n)
		}
	}
	// The ciphertext, and the two notes of which operation left what.
	if len(lines) != 3 || lines[2]-lines[0] > 20 {
		t.Errorf("lines %v changed", lines)
	}
	certificate(t, dir)
	renewed := sealer(t, dir)
	now, err := renewed.Inspect(t.Context(), paths)
	want, sealErr := renewed.Sealing(t.Context(), paths[0], marked)
	if err != nil || sealErr != nil {
		t.Fatal(err, sealErr)
	}
	found[paths[77]] = m
	for path, live := range now {
		if live.Envelope == want.Envelope || live.Version != found[path].Version {
			t.Errorf("%s: %+v", path, live)
		}
	}
}

// TestDeliveries writes what the operator is told into a file, and tells a hand
// edit.
func TestDeliveries(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir, &kubernetes.Config{ExternalSecrets: []kubernetes.ExternalSecrets{{APIVersion: "external-secrets.io/v1beta1"}}})
	of := providers.Delivery{
		Place: providers.Place{Kind: "external_secret", App: "shop", Environment: "production", Name: "env"}, Written: "deploy/es.yaml#",
		Items: []providers.DeliveryItem{{Name: "DSN", Parts: []providers.DeliveryPart{{Remote: &providers.Remote{Key: "shop/db", Property: "dsn"}}}}},
		Store: providers.DeliveryStore{
			Provider: func(providers.StoreAccess) (map[string]any, error) {
				return map[string]any{"vault": map[string]any{"server": "https://vault"}}, nil
			},
			Access: providers.StoreAccess{Method: "kubernetes"},
		},
	}
	access, err := d.DeliveryAccess(of)
	if err != nil || access.Namespace != "shop-production" {
		t.Fatalf("%+v, %v", access, err)
	}
	specs, err := d.CompileDelivery(of)
	if err != nil || len(specs) < 3 || specs[0].Ref.Path != "deploy/es.yaml#externalsecrets/shop-production/shop-env" || d.Delivers("external_secret", specs[0].Ref.Path) != "" {
		t.Fatalf("%+v, %v", specs, err)
	}
	b := providers.Batch{Container: "deploy/es.yaml"}
	var refs []providers.ObjectRef
	for _, spec := range specs {
		refs = append(refs, spec.Ref)
		b.Ops = append(b.Ops, providers.Operation{Object: &providers.ObjectRequest{Ref: spec.Ref, Document: spec.Document, OpID: "1", Attributes: marked}})
	}
	results := d.WriteBatch(t.Context(), b)
	found, err := d.InspectObjects(t.Context(), refs)
	if err != nil {
		t.Fatal(err)
	}
	for i, spec := range specs {
		if o := found[spec.Ref]; results[i].Err != nil || o.Document != spec.Document || o.Version != results[i].Object.Version || o.Attributes.Mark != marked.Mark {
			t.Errorf("%v: %v\n%s\nwant\n%s", spec.Ref, results[i].Err, o.Document, spec.Document)
		}
	}
	text := readFile(t, dir, "deploy/es.yaml")
	if err := os.WriteFile(filepath.Join(dir, "deploy/es.yaml"), []byte(strings.Replace(text, "shop/db", "shop/other", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	ref := specs[0].Ref
	_, err = d.WriteObject(t.Context(), providers.ObjectRequest{Ref: ref, Document: specs[0].Document, OpID: "2", IfVersion: found[ref].Version, Attributes: marked})
	wantCode(t, err, providers.Conflict, "changed by somebody else")
	another := marked
	another.Mark.Project = "web"
	for _, ref := range refs {
		now, _ := d.InspectObjects(t.Context(), []providers.ObjectRef{ref})
		_, err := d.WriteObject(t.Context(), providers.ObjectRequest{Ref: ref, IfVersion: now[ref].Version, Attributes: another})
		wantCode(t, err, providers.Conflict, "the mark of the project")
		if _, err := d.WriteObject(t.Context(), providers.ObjectRequest{Ref: ref, IfVersion: now[ref].Version, Attributes: marked}); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "deploy/es.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an empty file is left: %v", err)
	}
	_, err = d.WriteObject(t.Context(), providers.ObjectRequest{Ref: providers.ObjectRef{Kind: delivery.KindRole, Path: "a.yaml#roles/shop/x"}, Document: specs[0].Document, OpID: "3"})
	wantCode(t, err, providers.Invalid, "describes something else")
}

// TestImmutable: nobody can change the value of an immutable Secret.
func TestImmutable(t *testing.T) {
	d := open(t, t.TempDir(), &kubernetes.Config{})
	a := marked
	a.Form = providers.Form{Type: "kubernetes.io/basic-auth", Immutable: true}
	const path = "a.yaml#secrets/shop/env"
	m, err := d.Write(t.Context(), providers.WriteRequest{Path: path, Value: values("username", "u", "password", ""), OpID: "1", Attributes: a})
	if f := m.Attributes.Form; err != nil || !f.Immutable || f.Type != a.Form.Type || !slices.Equal(m.Fields, []string{"password", "username"}) {
		t.Fatalf("%+v, %v", m, err)
	}
	_, err = d.Patch(t.Context(), providers.WriteRequest{Path: path, Value: values("password", "canary"), OpID: "2", IfVersion: m.Version, Attributes: a})
	wantCode(t, err, providers.Invalid, "is immutable")
}
