package lang

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const languagePage = "../docs/language.md"

// Every example of the language reference loads. One that declares no project
// or store gets them from here; blocks of an app are put in one that has what
// they refer to.
func TestExamplesOfTheReference(t *testing.T) {
	page, err := os.ReadFile(languagePage)
	if err != nil {
		t.Fatal(err)
	}
	examples := regexp.MustCompile("(?s)```hcl\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(examples) < 24 {
		t.Fatalf("only %d examples", len(examples))
	}
	for i, example := range examples {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			text := example[1]
			if head := regexp.MustCompile(`^(secret|env_file|policy|kubernetes_secret|sealed_secret|external_secret) `); head.MatchString(text) {
				text = inApp(text)
			}
			dir := t.TempDir()
			write(t, dir, "example.hcl", withBasics(text))
			write(t, dir, "policies/ops.hcl", "path \"secret/metadata/*\" {\n  capabilities = [\"list\"]\n}\n")
			write(t, dir, "config.tmpl", "url: ${dsn}\npassword: ${password}\nlevel: ${level}\n")
			cfg, diags := Load(dir, Options{ProviderTypes: []string{"sops", "vault", "kubernetes"}, BackendTypes: []string{"s3", "gcs", "azblob", "kubernetes", "postgres"}, Version: "0.1.0"})
			if diags.HasErrors() {
				t.Errorf("%s\n%s", withBasics(text), printDiags(diags, dir))
			}
			if cfg == nil || len(cfg.Providers) == 0 {
				t.Error("nothing was loaded")
			}
		})
	}
}

func inApp(blocks string) string {
	text := "app \"checkout\" {\n  environments = [\"dev\", \"production\"]\n" + blocks
	for name, block := range map[string]string{
		`secret "api_key"`: "  secret \"api_key\" {\n    value = random_uuid()\n  }\n",
		`secret "db"`:      "  secret \"db\" {\n    fields = {\n      password = random_uuid()\n      url = random_uuid()\n    }\n  }\n",
		`env_file "web"`:   "  env_file \"web\" {\n    data = {\n      A = \"x\"\n    }\n  }\n",
	} {
		if !strings.Contains(blocks, name) {
			text += block
		}
	}
	return text + "}\nlocals {\n  oncall = [\"age1x\", \"age1y\"]\n}\n"
}

func withBasics(text string) string {
	for head, block := range map[string]string{
		"coffer {":                 "coffer {\n  project = \"shop\"\n}\n",
		`provider "sops" {`:        "provider \"sops\" {\n}\nprovider \"sops\" {\n  alias = \"archive\"\n}\n",
		`provider "vault" {`:       "provider \"vault\" {\n}\n",
		`provider "kubernetes" {`:  "provider \"kubernetes\" {\n}\n",
		`environment "dev"`:        "environment \"dev\" {\n  store = sops\n}\n",
		`environment "production"`: "environment \"production\" {\n  store = sops\n}\n",
		`app "checkout"`:           "app \"checkout\" {\n  environments = [\"dev\", \"production\"]\n  secret \"db\" {\n    value = manual()\n  }\n}\n",
	} {
		if !strings.Contains(text, head) {
			text += block
		}
	}
	return text
}

// The reference names every block, argument and plain function there is.
func TestReferenceIsComplete(t *testing.T) {
	page, err := os.ReadFile(languagePage)
	if err != nil {
		t.Fatal(err)
	}
	words := slices.Concat(topLevelBlocks(), factNames(),
		secretSchema().arguments, secretSchema().blocks, envFileSchema().arguments, policySchema().arguments, appBlocks(), workloadNames(), []string{"template", "existing", "service_account", "kind"},
		kubernetesSchema("kubernetes_secret").arguments, kubernetesSchema("sealed_secret").arguments, kubernetesSchema("external_secret").arguments,
		PolicyRuleNames(), []string{"policy_pack", "production", "level", "age", "bits"})
	for _, r := range readerSignatures() {
		words = append(words, r.name)
	}
	for name := range functions(nil) {
		words = append(words, name)
	}
	for _, word := range words {
		if !regexp.MustCompile("`"+word+"[`( ]").Match(page) && !strings.Contains(string(page), "`"+word+"(") {
			t.Errorf("docs/language.md does not mention `%s`", word)
		}
	}
}
