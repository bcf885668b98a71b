package examplestest

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/cofferhq/coffer/lang"
)

var (
	hclBlock  = regexp.MustCompile("(?ms)^ *```hcl\n(.*?)^ *```")
	insideApp = regexp.MustCompile(`(?m)\A(?:#.*\n|\s)*(secret|env_file|policy|kubernetes_secret|sealed_secret|external_secret) `)
	// testedBesideTheirSource have tests of their own, in lang and planner/generate.
	testedBesideTheirSource = []string{"docs/language.md", "docs/generators.md"}
)

// Every configuration that a page shows loads. One that is a part of a
// configuration gets the rest from here.
func TestConfigurationsOfThePages(t *testing.T) {
	found := 0
	for _, page := range pages(t) {
		text, err := os.ReadFile(filepath.Join("../..", page))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range hclBlock.FindAllSubmatchIndex(text, -1) {
			found++
			line := 1 + strings.Count(string(text[:m[0]]), "\n")
			dir := t.TempDir()
			whole := completed(string(text[m[2]:m[3]]))
			for name, text := range map[string]string{"page.hcl": whole, "policies/ops.hcl": "path \"x\" {\n  capabilities = [\"read\"]\n}\n"} {
				if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if _, diags := lang.Load(dir, lang.Options{ProviderTypes: []string{"sops", "vault", "kubernetes"}, BackendTypes: []string{"s3", "gcs", "azblob", "kubernetes", "postgres"}, Version: "0.1.0"}); diags.HasErrors() {
				t.Errorf("%s line %d: %v\n%s", page, line, diags, whole)
			}
		}
	}
	if found < 2 {
		t.Errorf("found only %d configurations", found)
	}
}

// pages returns the Markdown files of the module, below its root, but for
// those that are tested beside their source.
func pages(t *testing.T) []string {
	t.Helper()
	var all []string
	root := os.DirFS("../..")
	err := fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "build" || d.Name() == "testdata"):
			return fs.SkipDir
		case strings.HasSuffix(path, ".md") && !slices.Contains(testedBesideTheirSource, path):
			all = append(all, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 5 {
		t.Fatalf("found only the pages %v", all)
	}
	return all
}

// completed makes a whole configuration of a part.
func completed(part string) string {
	if strings.HasPrefix(part, "rollout ") { // an argument of a block
		part = "kubernetes_secret \"env\" {\n  provider = kubernetes\n  data     = { PASSWORD = secret.db }\n" + part + "}\n"
	}
	if insideApp.MatchString(part) {
		if strings.Contains(part, "secret.db") && !strings.Contains(part, `secret "db"`) {
			part += "secret \"db\" {\n  value = manual()\n}\n"
		}
		part = "app \"checkout\" {\n  environments = [\"dev\", \"production\"]\n" + part + "}\n"
	}
	if strings.Contains(part, "coffer {") && !strings.Contains(part, "project") {
		part = strings.Replace(part, "coffer {", "coffer {\n  project = \"shop-1\"", 1)
	}
	for _, block := range []struct{ head, text string }{
		{"coffer {", "coffer {\n  project = \"shop-1\"\n}\n"},
		{`provider "sops" {`, "provider \"sops\" {}\n"},
		{`provider "vault" {`, "provider \"vault\" {}\n"},
		{`provider "kubernetes" {`, "provider \"kubernetes\" {}\n"},
		{`environment "dev"`, "environment \"dev\" {\n  store = sops\n}\n"},
		{`environment "production"`, "environment \"production\" {\n  store = sops\n}\n"},
		{`app "`, "app \"checkout\" {\n  environments = [\"dev\", \"production\"]\n  secret \"db\" {\n    value = manual()\n  }\n}\n"},
	} {
		if !strings.Contains(part, block.head) {
			part += block.text
		}
	}
	return part
}
