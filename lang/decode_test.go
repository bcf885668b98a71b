package lang

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2"
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
	if diags := p.Decode(&got, nil); diags.HasErrors() {
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
		for _, d := range provider(t, c.arguments).Decode(&config, nil) {
			got = append(got, fmt.Sprintf("%s: %s: %s", place(*d.Subject), d.Summary, d.Detail))
		}
		if text := strings.Join(got, " | "); text != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.arguments, text, c.want)
		}
	}
}

// A hostile block gets as many diagnostics as a person may read.
func TestDecodeIsBounded(t *testing.T) {
	p := provider(t, strings.Repeat("x {\n}\n", 10_000)+manyArguments(10_000))
	if n := len(p.Decode(&driverConfig{}, nil)); n != maxFindings {
		t.Errorf("%d diagnostics, want %d", n, maxFindings)
	}
}

// What a credential is for is said by the block that it stands in.
func TestCredentialUse(t *testing.T) {
	p := provider(t, `
		token = from_env("A")
		auth "approle" {
			role_id = "x"
			deeper {
				secret_id = from_env("B")
			}
		}
		auth {
			jwt = true ? from_env("C") : null
		}`)
	inner := p.body.blocks
	for source, want := range map[*Source]string{
		p.body.arguments[0].source:                       "token",
		inner[0].body.blocks[0].body.arguments[0].source: `auth "approle"`,
		inner[1].body.arguments[0].source:                "auth",
		{Kind: FromEnv, Plain: "A"}:                      "", // another one of the same text
	} {
		if got := p.CredentialUse(source); got != want {
			t.Errorf("%s is for %q, want %q", source.Text(), got, want)
		}
	}
}

// network is what a driver behind a network decodes into; the cases of testdata
// with the provider type "network" go through it.
type network struct {
	Address string    `hcl:"address"`
	Labels  []string  `hcl:"labels,optional"`
	Token   key       `hcl:"token,optional"`
	Auth    []signIn  `hcl:"auth,block"`
	Options []options `hcl:"options,block"`
}

// key is a credential as the caller of Decode makes it.
type key struct {
	text  string
	plain bool
}

func asKey(s *Source) any { return key{s.Text(), s.Kind == Literal} }

type signIn struct {
	method string
	config any
}

type byRole struct {
	RoleID   key    `hcl:"role_id" credential:"plain"`
	SecretID key    `hcl:"secret_id,optional"`
	Phase    string `hcl:"phase,optional"`
}

type byFile struct {
	JWT key `hcl:"jwt"`
}

func (s *signIn) DecodeBlock(labels []string) (any, error) {
	if len(labels) != 1 {
		return nil, errors.New(`write auth "METHOD" { … }`)
	}
	s.method = labels[0]
	switch s.method {
	case "approle":
		s.config = &byRole{}
	case "jwt":
		s.config = &byFile{}
	case "none":
		s.config = &struct{}{}
	default:
		return nil, fmt.Errorf("there is no method %q; there are approle, jwt and none.", s.method)
	}
	return s.config, nil
}

type options struct {
	Retries int       `hcl:"retries,optional"`
	Inner   []options `hcl:"inner,block"`
}

func (o *options) DecodeBlock(labels []string) (any, error) {
	if len(labels) != 0 {
		return nil, errors.New("it has no label")
	}
	return o, nil
}

// decodeNetwork decodes the providers of type "network" where the configuration
// itself has no error.
func decodeNetwork(cfg *Config, diags hcl.Diagnostics) (string, hcl.Diagnostics) {
	if cfg == nil || diags.HasErrors() {
		return "", nil
	}
	var text strings.Builder
	var found hcl.Diagnostics
	for _, p := range cfg.Providers {
		if p.Type != "network" {
			continue
		}
		var n network
		found = append(found, p.Decode(&n, asKey)...)
		fmt.Fprintf(&text, "%s decodes to address %q, labels %q, token %+v, options %+v\n", p.Ref(), n.Address, n.Labels, n.Token, n.Options)
		for _, a := range n.Auth {
			fmt.Fprintf(&text, "  auth %s %+v\n", a.method, a.config)
		}
	}
	return text.String(), found
}
