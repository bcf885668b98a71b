package plannertest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cofferhq/coffer/planner"
	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/kubernetes"
	"github.com/cofferhq/coffer/providers/kubernetes/manifests"
	"github.com/cofferhq/coffer/providers/memory"
)

// fileWorld has a store and a folder of manifests beside it, with a sealing
// certificate that [fileWorld.renew] makes.
type fileWorld struct {
	*World
	dir string
}

func newFileWorld(t *testing.T) *fileWorld {
	w := &fileWorld{New(t, memory.Full()), ""}
	w.dir = w.World.dir
	w.renew()
	w.Others = map[string]func() providers.Driver{"manifests": func() providers.Driver {
		d, err := manifests.Open(providers.Env{Dir: w.dir, Getenv: func(string) string { return "" }, Now: func() time.Time { return w.Now }, Random: rand.Reader, Project: "test-1"},
			&kubernetes.Config{SealedSecrets: []kubernetes.SealedSecrets{{Certificate: "seal.pem"}}}, manifests.Options{})
		if err != nil {
			w.Fatalf("open: %v", err)
		}
		return d
	}}
	return w
}

// renew is the controller with a new key.
func (w *fileWorld) renew() {
	w.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		w.Fatalf("%v", err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: w.Now.AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		w.Fatalf("%v", err)
	}
	if err := os.WriteFile(filepath.Join(w.dir, "seal.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		w.Fatalf("%v", err)
	}
}

// configure writes a configuration whose files stand for a cluster.
func (w *fileWorld) configure(blocks string) {
	w.Configure("environment \"dev\" {}\napp \"shop\" {\n" + blocks + "}\n")
	w.hcl["settings.hcl"] = strings.Replace(w.hcl["settings.hcl"], `provider "manifests" {}`, `provider "kubernetes" {}`, 1)
	w.hcl["settings.hcl"] += "defaults {\n  store = memory\n}\n"
}

// files returns all manifests.
func (w *fileWorld) files() string {
	var b strings.Builder
	names, err := filepath.Glob(filepath.Join(w.dir, "deploy", "*.yaml"))
	if err != nil {
		w.Fatalf("%v", err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			w.Fatalf("%v", err)
		}
		b.Write(text)
	}
	return b.String()
}

func (w *fileWorld) wantNothing(what string) {
	w.Helper()
	if changes := w.Plan().Changes; len(changes) > 0 {
		w.Fatalf("%s: %d changes, the first %s %s: %s %s", what, len(changes), changes[0].Action, changes[0].Address, changes[0].Reason, changes[0].Detail)
	}
}

// TestSealedFiles keeps 200 sealed items in files. A run without a change leaves
// them byte for byte, one value changes one item, and a new key of the controller
// seals all of them anew in one run, which reads the store and no file.
func TestSealedFiles(t *testing.T) {
	w := newFileWorld(t)
	var blocks strings.Builder
	for n := range 40 {
		fmt.Fprintf(&blocks, "  secret \"s%d\" { value = random_hex() }\n  sealed_secret \"e%d\" {\n    output = \"deploy/%d.yaml\"\n    data = { ", n, n, n%4)
		for item := range 5 {
			fmt.Fprintf(&blocks, "K%d = secret.s%d, ", item, n)
		}
		blocks.WriteString("}\n  }\n")
	}
	w.configure(blocks.String())
	w.Apply()
	first := w.files()
	if n := strings.Count(first, "kind: SealedSecret"); n != 40 || strings.Count(first, ": AgA")+strings.Count(first, ": AQ") < 200 {
		t.Fatalf("%d SealedSecrets in\n%s", n, first[:1000])
	}
	w.wantNothing("at once")
	w.Apply()
	if w.files() != first {
		t.Fatal("a run without a change wrote a file")
	}

	w.Apply(Target("app.shop.secret.s7"), Settle(`app.shop.secret.s7["dev"]`, planner.SettleRotate))
	w.Apply()
	changed := map[string]bool{}
	was, is := strings.Split(first, "\n"), strings.Split(w.files(), "\n")
	name := ""
	for n := range was {
		if after, ok := strings.CutPrefix(was[n], "  name: "); ok {
			name = after
		}
		if len(was) == len(is) && was[n] != is[n] && strings.HasPrefix(strings.TrimSpace(was[n]), "K") {
			changed[is[n][:8]] = true
		}
	}
	if len(was) != len(is) || len(changed) != 5 || name == "" {
		t.Errorf("%d lines, then %d; %v changed", len(was), len(is), changed)
	}
	w.wantNothing("after a rotation")

	before := w.files()
	w.renew()
	result := w.Apply()
	if len(result.Outcomes) != 40 {
		t.Errorf("%d changes", len(result.Outcomes))
	}
	for _, o := range result.Outcomes {
		if o.Change.Action != planner.Update || o.Change.Reason != planner.ReasonReencrypted {
			t.Errorf("%s %s: %s", o.Change.Action, o.Change.Address, o.Change.Reason)
		}
	}
	old := map[string]bool{}
	for line := range strings.Lines(before) {
		if strings.HasPrefix(strings.TrimSpace(line), "K") {
			old[line] = true
		}
	}
	for line := range strings.Lines(w.files()) {
		if old[line] {
			t.Errorf("not sealed anew: %.20s", line)
		}
	}
	w.wantNothing("after the new key")
}

// TestPlainFiles is the same block as a plain Secret and as another file: where it
// moves, the old one goes.
func TestPlainFiles(t *testing.T) {
	w := newFileWorld(t)
	block := func(kind, file, more string) {
		w.configure("  secret \"db\" { value = random_hex() }\n  " + kind + " \"env\" {\n    output = \"deploy/" + file + "\"\n    data = { DB = secret.db, LEVEL = \"info\" }\n" + more + "  }\n")
	}
	block("kubernetes_secret", "a.yaml", "    allow_plaintext_file = true\n    type = \"example.com/env\"\n    annotations = { owner = \"core\" }\n")
	w.Apply()
	if text := w.files(); !strings.Contains(text, "kind: Secret\n") || !strings.Contains(text, "LEVEL: aW5mbw==") || !strings.Contains(text, "owner: core") || !strings.Contains(text, "namespace: shop-dev") {
		t.Errorf("%s", text)
	}
	w.wantNothing("at once")
	block("sealed_secret", "b.yaml", "    namespace = \"web\"\n")
	w.Apply()
	for range 2 { // the old one goes once the new one is in order
		if _, err := w.TryApply(); err != nil {
			t.Fatal(err)
		}
	}
	if text := w.files(); strings.Count(text, "kind: ") != 1 || !strings.Contains(text, "kind: SealedSecret") || !strings.Contains(text, "namespace: web") {
		t.Errorf("%s", text)
	}
	w.wantNothing("sealed")
}
