package lang

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Files by another way: links, and paths that lead out of the folder.
func TestPinFollowsFiles(t *testing.T) {
	with := func(change func(base, here map[string]string)) (Loaded, Loaded) {
		base, here := pinBase(), pinBase()
		for _, f := range []map[string]string{base, here} {
			f["provider.txt"] = "a"
		}
		change(base, here)
		return pinFolders(t, base, here, plainPinOptions)
	}
	if a, b := with(func(_, _ map[string]string) {}); len(ComparePinned(a, b)) > 0 {
		t.Error("a difference of nothing")
	}
	for name, tt := range map[string]struct {
		change func(base, here map[string]string)
		want   string
	}{
		"a link to another file below": {func(_, here map[string]string) { here["kube/ca.crt"] = "-> ../provider.txt" }, "kube/ca.crt"},
		"a link that leads out": {func(base, here map[string]string) {
			here["../evil"], here["kube/ca.crt"] = "EVIL", "-> ../../evil"
		}, "kube/ca.crt"},
		"a file that is gone":   {func(_, here map[string]string) { delete(here, "kube/ca.crt") }, "kube/ca.crt"},
		"a file that is new":    {func(base, _ map[string]string) { delete(base, "kube/ca.crt") }, "kube/ca.crt"},
		"a folder in its place": {func(_, here map[string]string) { delete(here, "kube/ca.crt"); here["kube/ca.crt/x"] = "x" }, "kube/ca.crt"},
		"too large to be compared": {func(base, here map[string]string) {
			base["kube/ca.crt"] = strings.Repeat("x", maxPinnedFile+1)
			here["kube/ca.crt"] = base["kube/ca.crt"]
		}, "kube/ca.crt"},
		// Both lie next to one another, so what is above them is one file.
		"a file above both": {func(base, here map[string]string) {
			for _, f := range []map[string]string{base, here} {
				f["coffer.hcl"] = strings.Replace(f["coffer.hcl"], `"trust.pem"`, `"../certs/trust.pem"`, 1)
				f["../certs/trust.pem"] = "CERTIFICATE"
			}
		}, "../certs/trust.pem"},
		"in a connection": {func(base, here map[string]string) {
			for _, f := range []map[string]string{base, here} {
				f["coffer.hcl"] = strings.Replace(f["coffer.hcl"], `"k"`, `"postgres://db/app?sslmode=verify-full&sslrootcert=root.pem"`, 1)
			}
			base["root.pem"], here["root.pem"] = "A", "B"
		}, "root.pem"},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := with(tt.change)
			if diags := ComparePinned(a, b); len(diags) != 1 || diags[0].Extra.(PinDifference).Block != tt.want {
				t.Errorf("%d differences:\n%s", len(diags), printDiags(diags, b.Dir))
			}
		})
	}
	a, b := with(func(_, _ map[string]string) {})
	for text, want := range map[string]int{"kube/ca.crt": 0, "nope": 0, "": 0, filepath.Join(b.Dir, "host.txt"): 0} {
		if diags := CompareNamed(a.Dir, b.Dir, "X", text); len(diags) != want {
			t.Errorf("%q: %s", text, printDiags(diags, b.Dir))
		}
	}
	write(t, b.Dir, "made-by-the-job", "x")
	if diags := CompareNamed(a.Dir, b.Dir, "X", filepath.Join(b.Dir, "made-by-the-job")); len(diags) > 0 {
		t.Errorf("a file of the job: %s", printDiags(diags, b.Dir))
	}
	write(t, b.Dir, "host.txt", "other")
	for _, text := range []string{filepath.Join(b.Dir, "host.txt"), "/none:" + filepath.Join(b.Dir, "host.txt"), "host.txt:kube/config"} {
		if diags := CompareNamed(a.Dir, b.Dir, "X", text); len(diags) != 1 || !strings.HasPrefix(diags[0].Detail, "X names ") {
			t.Errorf("%q: %s", text, printDiags(diags, b.Dir))
		}
	}
}

// A file of variables counts as the one that the options of each side name; what
// is given to both is the same for both.
func TestPinVariables(t *testing.T) {
	here := pinBase()
	here["prod.vars"] = "stage = \"evil\"\n"
	byFile := func(dir string) Options {
		o := pinOptions()
		o.VarFiles = []string{filepath.Join(dir, "prod.vars")}
		return o
	}
	a, b := pinFolders(t, pinBase(), here, byFile)
	if got, want := pinSays(ComparePinned(a, b)), []string{"coffer.hcl:4 coffer block", "providers.hcl:24 provider network", "providers.hcl:30 provider network.eu"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	// A variable that only the pull request has is given, and known to it alone.
	here = pinBase()
	here["app.hcl"] += "variable \"fresh\" {}\n"
	given := func(string) Options {
		o := pinOptions()
		o.Vars["fresh"], o.Environ["host"] = "x", "given.example"
		return o
	}
	a, b = pinFolders(t, pinBase(), here, given)
	if diags := ComparePinned(a, b); len(diags) > 0 {
		t.Errorf("a difference:\n%s", printDiags(diags, b.Dir))
	}
}
