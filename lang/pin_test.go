package lang

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
)

// pinBase is a trusted copy, by file.
func pinBase() map[string]string {
	return map[string]string{
		"coffer.hcl": `coffer {
  project = "p-1"
  backend "s3" {
    bucket   = "b-${var.stage}"
    key      = "k"
    endpoint = local.endpoint
    ca       = "trust.pem"
  }
  encryption "age" {
    recipients = ["age1alice"]
    identity   = from_env("AGE")
  }
  encryption "none" {
    fallback = true
  }
  audit {
    path = "audit.log"
  }
  policy_pack {
    production = ["production"]
    rule "min_entropy" {
      level = "fail"
      bits  = 128
    }
    rule "production_protected" {
      level = "fail"
    }
  }
}
`,
		"providers.hcl": `variable "host" {
  type    = string
  default = "vault.example"
}
variable "stage" {
  default = "prod"
}
variable "unrelated" {
  default = "x"
}
locals {
  endpoint  = "https://${local.suffix}"
  suffix    = "s3.example"
  unrelated = "y"
  text      = trimspace(file("host.txt"))
}
provider "network" {
  address = "https://${var.host}:8200"
  mount   = local.text
  list    = ["a", "b"]
  flags   = { on = true, n = 3 }
  auth "approle" {
    role_id   = "r"
    secret_id = from_env("SID_${upper(var.stage)}")
  }
}
provider "network" {
  alias      = "eu"
  kubeconfig = "kube/config"
  address    = var.stage == "prod" ? "https://eu.example" : "https://dev.example"
}
provider "sops" {
  path = "secrets"
}
`,
		"app.hcl": `environment "dev" {
  store = sops
}
app "shop" {
  environments = ["dev"]
  secret "key" {
    value = random_hex()
  }
}
check "c" {
  assert {
    condition     = length(overdue("dev")) == 0
    error_message = "late"
  }
}
`,
		"host.txt":    "secret\n",
		"trust.pem":   "CERTIFICATE",
		"kube/config": "clusters:\n- cluster:\n    certificate-authority: ca.crt\n    server: https://k.example\n",
		"kube/ca.crt": "CA",
		"prod.vars":   "stage = \"prod\"\n",
	}
}

func pinOptions() Options {
	return Options{Version: "0.2.0", ProviderTypes: []string{"sops", "network"}, BackendTypes: []string{"s3"}, Vars: map[string]string{}, Environ: map[string]string{}}
}

// pinFolders writes two configurations and loads them, the second as a whole.
func pinFolders(t testing.TB, base, proposed map[string]string, o func(dir string) Options) (a, b Loaded) {
	t.Helper()
	root := t.TempDir()
	a, b = Loaded{Dir: filepath.Join(root, "base")}, Loaded{Dir: filepath.Join(root, "here")}
	for dir, files := range map[string]map[string]string{a.Dir: base, b.Dir: proposed} {
		for name, text := range files {
			if target, ok := strings.CutPrefix(text, "-> "); ok {
				if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
					t.Fatal(err)
				}
				continue
			}
			write(t, dir, name, text)
		}
	}
	var diags hcl.Diagnostics
	if a.Config, diags = LoadPinned(a.Dir, o(a.Dir)); diags.HasErrors() {
		t.Fatalf("the trusted copy: %s", printDiags(diags, a.Dir))
	}
	if b.Config, diags = Load(b.Dir, o(b.Dir)); diags.HasErrors() {
		t.Fatalf("the proposed one: %s", printDiags(diags, b.Dir))
	}
	return a, b
}

func plainPinOptions(string) Options { return pinOptions() }

// pinSays are the differences, each as "FILE:LINE Block".
func pinSays(diags hcl.Diagnostics) []string {
	var out []string
	for _, d := range diags {
		at := "-"
		if d.Subject != nil {
			at = place(*d.Subject)
		}
		out = append(out, at+" "+d.Extra.(PinDifference).Block)
	}
	slices.Sort(out)
	return out
}

// Every way to another address, another credential, another state or other rules
// is seen, and said at its place.
func TestPinFindsEveryDifference(t *testing.T) {
	type edit struct{ file, from, to string }
	for name, tt := range map[string]struct {
		edits []edit
		want  []string
		says  string // in one of the details
	}{
		"an address": {
			[]edit{{"providers.hcl", `"https://${var.host}:8200"`, `"https://evil.example"`}},
			[]string{"providers.hcl:18 provider network"},
			"\n-  address = \"https://${var.host}:8200\" # = \"https://vault.example:8200\"\n+  address = \"https://evil.example\"\n",
		},
		"a default": {
			[]edit{{"providers.hcl", `"vault.example"`, `"evil.example"`}},
			[]string{"providers.hcl:18 provider network", "providers.hcl:3 var.host"},
			`# = "https://evil.example:8200"`,
		},
		"a local two steps away": {
			[]edit{{"providers.hcl", `"s3.example"`, `"evil.example"`}},
			[]string{"coffer.hcl:6 coffer block", "providers.hcl:13 local.suffix"},
			`+    endpoint = local.endpoint # = "https://evil.example"`,
		},
		"a local that means evil only later": {
			[]edit{{"providers.hcl", `"s3.example"`, `var.unrelated == "z" ? "evil.example" : "s3.example"`}},
			[]string{"providers.hcl:13 local.suffix"},
			"",
		},
		"an address that means evil only later": {
			[]edit{{"providers.hcl", `"https://${var.host}:8200"`, `fileexists("later") ? "https://evil" : "https://${var.host}:8200"`}},
			[]string{"providers.hcl:18 provider network"},
			"",
		},
		"a file in a function": {
			[]edit{{"host.txt", "secret", "evil"}},
			[]string{"providers.hcl:19 provider network"},
			`# = "evil"`,
		},
		"a heredoc": {
			[]edit{{"providers.hcl", `"https://eu.example"`, "trimspace(<<-X\n    https://evil.example\n  X\n  )"}},
			[]string{"providers.hcl:30 provider network.eu"},
			"evil.example",
		},
		"a function": {
			[]edit{{"providers.hcl", `"https://eu.example"`, `join("", ["https://ev", "il.example"])`}},
			[]string{"providers.hcl:30 provider network.eu"},
			`# = "https://evil.example"`,
		},
		"the branch that does not hold today": {
			[]edit{{"providers.hcl", `"https://dev.example"`, `"https://evil.example"`}},
			[]string{"providers.hcl:30 provider network.eu"},
			"",
		},
		"a letter that looks like another": {
			[]edit{{"providers.hcl", `"https://eu.example"`, `"https://еu.example"`}},
			[]string{"providers.hcl:30 provider network.eu"},
			"",
		},
		"an invisible letter": {
			[]edit{{"providers.hcl", `"https://eu.example"`, `"https://eu.example\u200b"`}},
			[]string{"providers.hcl:30 provider network.eu"},
			`\u200b`,
		},
		"another variable of a credential": {
			[]edit{{"providers.hcl", `"SID_${upper(var.stage)}"`, `"OTHER"`}},
			[]string{"providers.hcl:24 provider network"},
			`-    secret_id = from_env("SID_${upper(var.stage)}") # = from_env("SID_PROD")`,
		},
		"another kind of credential": {
			[]edit{{"providers.hcl", `from_env("SID_${upper(var.stage)}")`, `from_file("sid.txt")`}},
			[]string{"providers.hcl:24 provider network"},
			"",
		},
		"another sign-in": {
			[]edit{{"providers.hcl", `auth "approle"`, `auth "jwt"`}},
			[]string{"providers.hcl:22 provider network"},
			"",
		},
		"an argument more":       {[]edit{{"providers.hcl", `  list `, "  tls_skip_verify = true\n  list "}}, []string{"providers.hcl:20 provider network"}, "tls_skip_verify differs"},
		"an argument less":       {[]edit{{"providers.hcl", "  address = \"https://${var.host}:8200\"\n", ""}}, []string{"providers.hcl:17 provider network"}, "address differs"},
		"a value in a list":      {[]edit{{"providers.hcl", `["a", "b"]`, `["b", "a"]`}}, []string{"providers.hcl:20 provider network"}, ""},
		"a value in an object":   {[]edit{{"providers.hcl", `n = 3`, `n = 3.5`}}, []string{"providers.hcl:21 provider network"}, ""},
		"an alias":               {[]edit{{"providers.hcl", `"eu"`, `"us"`}}, []string{"- provider network.eu", "providers.hcl:27 provider network.us"}, "+++ here: nothing"},
		"a provider more":        {[]edit{{"app.hcl", "check ", "provider \"network\" {\n  alias = \"b\"\n}\ncheck "}}, []string{"app.hcl:10 provider network.b"}, "+provider \"network\" {"},
		"a provider less":        {[]edit{{"providers.hcl", "provider \"sops\" {\n  path = \"secrets\"\n}\n", "provider \"sops\" {\n  alias = \"x\"\n}\n"}, {"app.hcl", "= sops", "= sops.x"}}, []string{"- provider sops", "providers.hcl:32 provider sops.x"}, ""},
		"the folder of a store":  {[]edit{{"providers.hcl", `"secrets"`, `"elsewhere"`}}, []string{"providers.hcl:33 provider sops"}, ""},
		"a named file":           {[]edit{{"trust.pem", "CERT", "EVIL"}}, []string{"coffer.hcl:1 trust.pem"}, "another one than in the trusted copy"},
		"a file named by a file": {[]edit{{"kube/ca.crt", "CA", "EV"}}, []string{"providers.hcl:27 kube/ca.crt"}, ""},
		"a list of clusters":     {[]edit{{"kube/config", "k.example", "evil.example"}}, []string{"providers.hcl:27 kube/config"}, ""},
		"the project":            {[]edit{{"coffer.hcl", `"p-1"`, `"p-2"`}}, []string{"coffer.hcl:2 coffer block"}, "project differs"},
		"the audit log":          {[]edit{{"coffer.hcl", `"audit.log"`, `"other.log"`}}, []string{"coffer.hcl:17 coffer block"}, ""},
		"a recipient":            {[]edit{{"coffer.hcl", `["age1alice"]`, `["age1alice", "age1mallory"]`}}, []string{"coffer.hcl:10 coffer block"}, "age1mallory"},
		"a fallback that writes": {[]edit{{"coffer.hcl", "fallback = true", "fallback = false"}, {"coffer.hcl", "    identity ", "    fallback = true\n    identity "}}, []string{"coffer.hcl:11 coffer block"}, ""},
		"another backend":        {[]edit{{"coffer.hcl", `key      = "k"`, `key      = "other"`}}, []string{"coffer.hcl:5 coffer block"}, "backend s3 key differs"},
		"no rule":                {[]edit{{"coffer.hcl", "    rule \"production_protected\" {\n      level = \"fail\"\n    }\n", ""}}, []string{"coffer.hcl:19 policy_pack"}, ""},
		"a weaker rule":          {[]edit{{"coffer.hcl", `128`, `1`}}, []string{"coffer.hcl:23 policy_pack"}, "rule min_entropy bits differs"},
		"a milder rule":          {[]edit{{"coffer.hcl", `level = "fail"`, `level = "off"`}}, []string{"coffer.hcl:22 policy_pack"}, ""},
		"no production":          {[]edit{{"coffer.hcl", `["production"]`, `["prod"]`}}, []string{"coffer.hcl:20 policy_pack"}, ""},
		"no rules at all":        {[]edit{{"coffer.hcl", "  policy_pack {\n    production = [\"production\"]\n    rule \"min_entropy\" {\n      level = \"fail\"\n      bits  = 128\n    }\n    rule \"production_protected\" {\n      level = \"fail\"\n    }\n  }\n", ""}}, []string{"- policy_pack"}, ""},
		"all locals at once": {
			[]edit{{"providers.hcl", `"https://eu.example"`, `lookup(local, "suffix", "")`}},
			[]string{"providers.hcl:30 provider network.eu"},
			"",
		},
	} {
		t.Run(name, func(t *testing.T) {
			files := pinBase()
			for _, e := range tt.edits {
				if !strings.Contains(files[e.file], e.from) {
					t.Fatalf("%s has no %q", e.file, e.from)
				}
				files[e.file] = strings.Replace(files[e.file], e.from, e.to, 1)
			}
			a, b := pinFolders(t, pinBase(), files, plainPinOptions)
			diags := ComparePinned(a, b)
			if got := pinSays(diags); !slices.Equal(got, tt.want) {
				t.Errorf("got  %q\nwant %q\n%s", got, tt.want, printDiags(diags, b.Dir))
			}
			if !strings.Contains(printDiags(diags, b.Dir), tt.says) && !slices.ContainsFunc(diags, func(d *hcl.Diagnostic) bool { return strings.Contains(d.Detail, tt.says) }) {
				t.Errorf("nothing says %q:\n%s", tt.says, printDiags(diags, b.Dir))
			}
		})
	}
}

// What does not decide where anything goes is nobody's business here.
func TestPinLeavesTheRestAlone(t *testing.T) {
	for name, change := range map[string]func(files map[string]string){
		"nothing": func(map[string]string) {},
		"a secret, an environment and a check": func(f map[string]string) {
			f["app.hcl"] = strings.Replace(f["app.hcl"], "secret \"key\"", "secret \"other\"", 1) + "environment \"next\" {\n  store = network.eu\n}\n"
			f["app.hcl"] = strings.Replace(f["app.hcl"], `"late"`, `"other"`, 1)
		},
		"an unrelated local and variable": func(f map[string]string) {
			f["providers.hcl"] = strings.NewReplacer(`"x"`, `"xx"`, `"y"`, `"yy"`).Replace(f["providers.hcl"])
		},
		"a validation and a description": func(f map[string]string) {
			f["providers.hcl"] = strings.Replace(f["providers.hcl"], "  default = \"prod\"\n",
				"  description = \"d\"\n  default = \"prod\"\n  validation {\n    condition = true\n    error_message = \"no\"\n  }\n", 1)
		},
		"an app that is wrong in the trusted copy only": func(map[string]string) {},
		"another place": func(f map[string]string) {
			f["zz.hcl"], f["providers.hcl"] = f["providers.hcl"], "# moved\n"
			f["coffer.hcl"] = "\n\n# A comment.\n" + f["coffer.hcl"]
		},
		"another form": func(f map[string]string) {
			f["providers.hcl"] = strings.NewReplacer(
				`["a", "b"]`, "[\n    \"a\", # first\n    \"b\",\n  ]", `{ on = true, n = 3 }`, "{\n    \"n\" = 3.0\n    on : true\n  }",
				`  mount   = local.text`+"\n", "", `  list `, "  mount = (local.text) /* later */\n  list ", `provider "sops"`, `provider sops`,
				`"https://${local.suffix}"`, `"${"https://${local.suffix}"}"`, "\n", "\r\n",
			).Replace(f["providers.hcl"])
			f["coffer.hcl"] = strings.Replace(f["coffer.hcl"], `    rule "min_entropy" {
      level = "fail"
      bits  = 128
    }
    rule "production_protected" {
      level = "fail"
    }
`, `    rule production_protected { level = "fail" }
    rule "min_entropy" {
      bits = 128
      level = "fail"
    }
`, 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			base, files := pinBase(), pinBase()
			change(files)
			if strings.HasPrefix(name, "an app that is wrong") {
				base["app.hcl"] += "app \"shop\" {\n  nonsense = 1\n}\n"
			}
			a, b := pinFolders(t, base, files, plainPinOptions)
			if diags := ComparePinned(a, b); len(diags) > 0 {
				t.Errorf("a difference:\n%s", printDiags(diags, b.Dir))
			}
		})
	}
}

// The differences name what is written and never more than that: no credential
// and no long text.
func TestPinShowsDifferences(t *testing.T) {
	base, here := pinBase(), pinBase()
	long := strings.Repeat("word ", 4000)
	base["host.txt"], here["host.txt"] = long+"one", long+"two"
	a, b := pinFolders(t, base, here, plainPinOptions)
	diags := ComparePinned(a, b)
	if len(diags) != 1 {
		t.Fatal(printDiags(diags, b.Dir))
	}
	d := diags[0]
	if len(d.Detail) > 2000 || !strings.Contains(d.Detail, "one") || !strings.Contains(d.Detail, "two") || strings.Contains(d.Detail, "vault.example") {
		t.Errorf("the difference is\n%s", d.Detail)
	}
	x := d.Extra.(PinDifference)
	if x.Trusted != x.Proposed || !strings.Contains(x.Trusted, "secret_id = from_env(\"SID_${upper(var.stage)}\")\n") {
		t.Errorf("trusted\n%s\nproposed\n%s", x.Trusted, x.Proposed)
	}
}

func TestLoadPinnedRefuses(t *testing.T) {
	for name, change := range map[string]func(map[string]string){
		"nothing":               func(f map[string]string) { clear(f) },
		"a syntax error":        func(f map[string]string) { f["app.hcl"] = "app {" },
		"no coffer block":       func(f map[string]string) { delete(f, "coffer.hcl") },
		"two of a kind":         func(f map[string]string) { f["x.hcl"] = "provider \"sops\" {}\n" },
		"a provider not built":  func(f map[string]string) { f["x.hcl"] = "provider \"other\" {}\n" },
		"a local that is wrong": func(f map[string]string) { f["x.hcl"] = "locals {\n  z = nope()\n}\n" },
		"another version": func(f map[string]string) {
			f["coffer.hcl"] = "coffer {\n  project = \"p\"\n  required_version = \">= 9\"\n}\n"
		},
	} {
		files := pinBase()
		change(files)
		dir := t.TempDir()
		for file, text := range files {
			write(t, dir, file, text)
		}
		if _, diags := LoadPinned(dir, pinOptions()); !diags.HasErrors() {
			t.Errorf("%s: no error", name)
		}
	}
	if _, diags := LoadPinned(filepath.Join(t.TempDir(), "none"), pinOptions()); !diags.HasErrors() {
		t.Error("a folder that is not there: no error")
	}
}

// Every configuration of the other tests has no difference from itself, in other
// files and in another order, and the trusted half of it can be read alone.
func TestPinIgnoresOrder(t *testing.T) {
	for name, archive := range archives(t) {
		dir, o, _ := unpack(t, archive)
		cfg, diags := Load(dir, o)
		if diags.HasErrors() {
			continue
		}
		shuffled := t.TempDir()
		if err := os.CopyFS(shuffled, os.DirFS(dir)); err != nil {
			continue // a case with links
		}
		n := 0
		for _, file := range sortedKeys(cfg.Files) {
			if filepath.Dir(file) != "." || filepath.Ext(file) != ".hcl" {
				continue
			}
			parsed, _ := parseSource(file, cfg.Files[file].Bytes)
			if err := os.Remove(filepath.Join(shuffled, file)); err != nil {
				t.Fatal(err)
			}
			for _, r := range blockRanges(parsed) {
				n++
				write(t, shuffled, "f"+string(rune('a'+n*7%26))+string(rune('a'+n%26))+".hcl", "# moved\n"+string(Format(cfg.Files[file].Bytes[r.Start.Byte:r.End.Byte]))+"\n")
			}
		}
		again, diags := Load(shuffled, o)
		if diags.HasErrors() {
			continue // two files of one name
		}
		trusted, diags := LoadPinned(dir, o)
		if diags.HasErrors() {
			t.Errorf("%s: %s", name, printDiags(diags, dir))
			continue
		}
		if diags := ComparePinned(Loaded{dir, trusted}, Loaded{shuffled, again}); len(diags) > 0 {
			t.Errorf("%s: %s", name, printDiags(diags, dir))
		}
	}
}
