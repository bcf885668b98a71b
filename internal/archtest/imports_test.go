package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/cofferhq/coffer"

// mayImport says which packages of this module a package may import. Patterns
// are those of path.Match, and "x/..." is x and all below. Every import points
// down: main -> internal/cli -> internal/render -> planner -> state, providers
// -> lang/addr, and planner -> lang -> lang/addr. The first pattern that fits
// a package decides; a package that none fits is an error, so that a new one
// gets its place here.
var mayImport = []importRule{
	{".", []string{"internal/cli"}},

	// leaves: no floor of their own, know nothing of this module
	{"lang/addr", nil},
	{"providers/secret", nil},
	{"planner/dag", nil},
	{"internal/durable", nil},
	{"internal/archtest", nil},
	{"internal/durable/crashfs", []string{"internal/durable"}},
	{"providers/providertest/*", nil},
	{"internal/dotenv", []string{"providers/secret"}},
	{"internal/audit", []string{"internal/durable", "lang/addr"}},

	{"lang", []string{"lang/addr"}},
	{"state", []string{"lang/addr", "internal/durable"}},
	{"state/remote", []string{"state"}},
	{"state/seal", []string{"state/remote"}},
	{"state/statetest", []string{"state", "state/remote", "lang/addr", "internal/durable"}},
	// a backend keeps blobs: it knows the contract and its own SDK, no lease, no
	// journal; PostgreSQL takes a state apart by its entries
	{"state/*", []string{"state", "state/remote", "lang/addr", "internal/kube"}},
	{"state/statetest/servers", nil},
	{"providers", []string{"lang/addr", "providers/secret"}},
	{"providers/vault", []string{"providers", "providers/secret", "lang/addr", "providers/vault/acl", "providers/vault/signin"}},
	{"providers/vault/acl", nil},
	{"providers/vault/signin", []string{"providers", "providers/secret"}},
	{"providers/vault/vaulttest", nil},
	{"providers/kubernetes", []string{
		"providers", "providers/secret", "lang/addr", "internal/kube", "providers/kubernetes/delivery", "providers/kubernetes/manifest", "providers/kubernetes/sealing",
	}},
	{"providers/kubernetes/manifest", nil},
	{"providers/kubernetes/sealing", []string{"providers", "providers/secret"}},
	{"providers/kubernetes/delivery", []string{"providers", "providers/kubernetes/manifest"}},
	{"providers/kubernetes/manifests", []string{
		"providers", "providers/secret", "internal/durable", "providers/kubernetes", "providers/kubernetes/delivery", "providers/kubernetes/manifest", "providers/kubernetes/sealing",
	}},
	// a driver knows the contract and its own SDK: no other driver, no planner
	{"providers/*", []string{"providers", "providers/secret", "lang/addr", "internal/durable"}},

	{"planner/generate", []string{"providers/secret", "lang"}},
	{"planner/fingerprint", []string{"providers/secret", "lang/addr"}},
	{"planner", []string{
		"planner/dag", "planner/generate", "planner/fingerprint", "state", "providers", "providers/secret",
		"lang", "lang/addr", "internal/audit", "internal/dotenv",
	}},
	// suites over a real driver: test code, nothing else imports it
	{"planner/plannertest", []string{"planner/...", "state/...", "providers/...", "lang/...", "internal/..."}},

	{"internal/render", []string{"planner", "state", "lang/addr"}},
	{"internal/cli", []string{
		"internal/render", "internal/audit", "internal/dotenv", "internal/durable", "internal/forge",
		"planner", "planner/fingerprint", "planner/generate", "state", "state/*", "providers", "providers/secret", "providers/sops", "providers/vault", "providers/kubernetes", "providers/kubernetes/manifests",
		"lang", "lang/addr",
	}},
	// speaks of runs and texts, not of plans: cli puts both together
	{"internal/forge", nil},
	{"internal/forge/forgetest", nil},
	{"internal/*", nil},
	{"examples/...", nil},
}

type importRule struct {
	pkg  string
	uses []string
}

// ruleFor returns the rule that decides for a package.
func ruleFor(name string) (importRule, bool) {
	i := slices.IndexFunc(mayImport, func(r importRule) bool { return matches(r.pkg, name) })
	if i < 0 {
		return importRule{}, false
	}
	return mayImport[i], true
}

// onlyTests are imported by test files and by each other, never by the product.
var onlyTests = []string{
	"planner/plannertest", "providers/providertest/...", "providers/memory", "state/statetest", "state/statetest/servers",
	"internal/durable/crashfs", "internal/proptest", "providers/vault/vaulttest", "internal/forge/forgetest",
}

// onlyIn says where a library, or a package of ours, may be imported.
var onlyIn = []struct {
	library string // a prefix of the import path
	in      []string
}{
	{"github.com/urfave/cli", []string{"internal/cli"}},
	{"github.com/sergi/go-diff", []string{"internal/render"}},
	{"github.com/hashicorp/hcl", []string{"lang", "planner", "internal/render", "internal/cli"}},
	{"github.com/zclconf/go-cty", []string{"lang"}},
	{"github.com/jackc/pgx", []string{"state/postgres"}},
	{"github.com/Azure/azure-sdk-for-go", []string{"state/azblob"}},
	{"github.com/aws/aws-sdk-go-v2/service/s3", []string{"state/s3"}},
	{"golang.org/x/oauth2", []string{"state/gcs"}},
	{"k8s.io", []string{"internal/kube", "state/kubernetes"}},
	// the holder of plaintext: only where values are made, read or written
	{module + "/providers/secret", []string{
		"providers", "providers/*", "providers/vault/signin", "providers/kubernetes/sealing", "providers/kubernetes/manifests", "planner", "planner/*", "internal/dotenv", "internal/cli",
	}},
}

// neverLinked are packages that cost size, start time or safety.
var neverLinked = []string{
	"k8s.io/client-go/kubernetes/scheme",
	"k8s.io/client-go/discovery",
	"github.com/aws/aws-sdk-go",
	"github.com/hashicorp/vault/vault",
	"github.com/santhosh-tekuri/jsonschema",
	"github.com/yuin/goldmark",
	"testing",
}

// listed is what the tests need of go list -json.
type listed struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

// name returns the package's path below the module, "." for main.
func (p listed) name() string { return local(p.ImportPath) }

// local returns an import path below the module, "." for its root and "" for
// a package of another module.
func local(importPath string) string {
	if importPath == module {
		return "."
	}
	rest, ok := strings.CutPrefix(importPath, module+"/")
	if !ok {
		return ""
	}
	return rest
}

func matches(pattern, name string) bool {
	if below, ok := strings.CutSuffix(pattern, "/..."); ok {
		return name == below || strings.HasPrefix(name, below+"/")
	}
	ok, _ := path.Match(pattern, name)
	return ok
}

func matchesAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, name) })
}

func goList(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list"}, args...)...)
	cmd.Dir = "../.."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %s: %v\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return out
}

func packages(t *testing.T) []listed {
	t.Helper()
	out := goList(t, "-tags", "servers,soak", "-json=ImportPath,Imports,TestImports,XTestImports", "./...")
	var all []listed
	dec := json.NewDecoder(bytes.NewReader(out))
	for {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 5 {
		t.Fatalf("go list found only %d packages", len(all))
	}
	return all
}

func TestImportsPointDown(t *testing.T) {
	for _, p := range packages(t) {
		rule, ok := ruleFor(p.name())
		if !ok {
			t.Errorf("%s has no place in the table of this test", p.name())
			continue
		}
		test := matchesAny(onlyTests, p.name())
		for _, imp := range p.Imports {
			to := local(imp)
			if to == "" || test && matchesAny(onlyTests, to) {
				continue
			}
			if !matchesAny(rule.uses, to) {
				t.Errorf("%s imports %s; it may import %v", p.name(), to, rule.uses)
			}
			if matchesAny(onlyTests, to) && !test {
				t.Errorf("%s imports %s, which is for tests", p.name(), to)
			}
		}
	}
}

// suites are packages whose tests run the whole, so they may import all of it.
var suites = []string{".", "planner/plannertest", "internal/cli", "internal/canarytest", "internal/crashtest", "internal/examplestest"}

// Test files obey the same table, but may also use the test packages.
func TestTestImportsPointDown(t *testing.T) {
	for _, p := range packages(t) {
		rule, ok := ruleFor(p.name())
		if !ok || matchesAny(suites, p.name()) {
			continue
		}
		for _, imp := range append(slices.Clone(p.TestImports), p.XTestImports...) {
			to := local(imp)
			if to == "" || to == p.name() || matchesAny(onlyTests, to) || matchesAny(rule.uses, to) {
				continue
			}
			t.Errorf("a test of %s imports %s; it may import %v and test packages", p.name(), to, rule.uses)
		}
	}
}

func TestLibrariesStayInTheirPlace(t *testing.T) {
	for _, p := range packages(t) {
		for _, imp := range p.Imports {
			for _, rule := range onlyIn {
				if strings.HasPrefix(imp, rule.library) && !matchesAny(rule.in, p.name()) {
					t.Errorf("%s imports %s; only %v may", p.name(), imp, rule.in)
				}
			}
		}
	}
}

func TestNeverLinked(t *testing.T) {
	deps := strings.Fields(string(goList(t, "-tags", "urfave_cli_no_docs", "-deps", ".")))
	if len(deps) < 50 {
		t.Fatalf("go list -deps found only %d packages", len(deps))
	}
	for _, dep := range deps {
		for _, never := range neverLinked {
			if dep == never || strings.HasPrefix(dep, never+"/") {
				t.Errorf("the binary links %s", dep)
			}
		}
	}
	if !slices.Contains(deps, module+"/internal/cli") {
		t.Error("the binary does not link internal/cli: this test looks at the wrong package")
	}
}
