package lang

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// shapes is a field that takes several shapes, as a driver would write it.
type shapes struct{ got any }

func (s *shapes) DecodeConfig(v any) error {
	if v == "bad" {
		return errors.New("it must not be bad.")
	}
	s.got = v
	return nil
}

type driverConfig struct {
	Path   string            `hcl:"path"`
	Mode   string            `hcl:"mode,optional"`
	Deep   bool              `hcl:"deep,optional"`
	Count  int               `hcl:"retries,optional"`
	List   []string          `hcl:"list,optional"`
	Map    map[string]string `hcl:"map,optional"`
	Any    shapes            `hcl:"any,optional"`
	Unused string
}

// provider loads one provider block with the given arguments.
func provider(t *testing.T, arguments string) *Provider {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "coffer.hcl", "coffer {\n  project = \"shop\"\n}\nprovider \"sops\" {\n"+arguments+"\n}\n")
	cfg, diags := Load(dir, Options{ProviderTypes: []string{"sops"}})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return cfg.Providers[0]
}

func TestDecode(t *testing.T) {
	p := provider(t, `
		alias   = "b"
		path    = "a/${upper("b")}"
		deep    = true
		retries = 1 + 2
		list    = ["x", "y"]
		map     = { a = "1" }
		any     = { dev = ["age1a"], n = 1.5, on = true }
		mode    = null`)
	var got driverConfig
	if diags := p.Decode(&got); diags.HasErrors() {
		t.Fatal(diags)
	}
	want := driverConfig{
		Path: "a/B", Deep: true, Count: 3, List: []string{"x", "y"}, Map: map[string]string{"a": "1"},
		Any: shapes{map[string]any{"dev": []any{"age1a"}, "n": 1.5, "on": true}},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(shapes{})); diff != "" {
		t.Error(diff)
	}
	if p.Ref() != "sops.b" {
		t.Errorf("reference %q, want sops.b", p.Ref())
	}
}

func TestDecodeErrors(t *testing.T) {
	for _, c := range []struct{ arguments, want string }{
		{`pth = "x"`, `coffer.hcl:5: Unknown argument: The provider sops has no argument "pth". Did you mean path? | coffer.hcl:4: Missing argument: The provider sops needs the argument "path".`},
		{`path = 5`, `coffer.hcl:5: Invalid argument: path: it must be text.`},
		{"path = \"x\"\ndeep = \"yes\"", `coffer.hcl:6: Invalid argument: deep: it must be true or false.`},
		{"path = \"x\"\nretries = 1.5", `coffer.hcl:6: Invalid argument: retries: it must be a whole number.`},
		{"path = \"x\"\nlist = [1]", `coffer.hcl:6: Invalid argument: list: it must be a list of texts: ["a", "b"].`},
		{"path = \"x\"\nlist = \"x\"", `coffer.hcl:6: Invalid argument: list: it must be a list of texts: ["a", "b"].`},
		{"path = \"x\"\nmap = [\"x\"]", `coffer.hcl:6: Invalid argument: map: it must be an object of texts: { name = "text" }.`},
		{"path = \"x\"\nany = \"bad\"", `coffer.hcl:6: Invalid argument: any: it must not be bad.`},
		{"path = null", `coffer.hcl:4: Missing argument: The provider sops needs the argument "path".`},
		{"path = \"x\"\ncount = 2", `coffer.hcl:6: Not in this language: count does not exist here: write a block for each, or list several environments in environments = [...].`},
	} {
		var config driverConfig
		var got []string
		for _, d := range provider(t, c.arguments).Decode(&config) {
			got = append(got, fmt.Sprintf("%s: %s: %s", place(*d.Subject), d.Summary, d.Detail))
		}
		if text := strings.Join(got, " | "); text != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.arguments, text, c.want)
		}
	}
}
