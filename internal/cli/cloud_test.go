package cli

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cofferhq/coffer/providers"
	"github.com/cofferhq/coffer/providers/memory"
	"github.com/cofferhq/coffer/providers/secret"
	"github.com/cofferhq/coffer/providers/sops"
)

// TestCloudScripts runs the scripts about what only a platform with identities,
// recovery and policies has, on one that is kept in a file.
func TestCloudScripts(t *testing.T) {
	runScripts(t, "testdata/cloud", func(env *testscript.Env) error {
		env.Setenv(cloudVariable, "1")
		return nil
	})
}

// cloudVariable makes the program of the scripts know the cloud.
const cloudVariable = "COFFER_TEST_CLOUD"

// cloudRegistry is the list of drivers with a memory platform in it.
func cloudRegistry() *providers.Registry {
	return providers.NewRegistry(sops.Factory(), providers.Factory{
		Type: "cloud", NewConfig: func() any { return &cloudConfig{} },
		Open: func(_ context.Context, env providers.Env, config any) (providers.Driver, error) {
			c := config.(*cloudConfig)
			w, err := memory.OpenWorld(filepath.Join(env.Dir, c.World), "cloud:"+c.World)
			if err != nil {
				return nil, err
			}
			o := memory.Counting()
			o.Blind = env.Phase == providers.PhasePlan
			if c.Seconds > 0 {
				o.Lease = providers.Lease{Expires: env.Now().Add(time.Duration(c.Seconds) * time.Second), Identity: "token of approle ci"}
			}
			return &cloud{Driver: memory.New(w, o), config: c, phase: env.Phase}, nil
		},
	})
}

type cloudConfig struct {
	World   string   `hcl:"world"`
	Prefix  string   `hcl:"prefix,optional"`
	Denied  []string `hcl:"denied,optional"` // paths at which the identity may do nothing
	Down    bool     `hcl:"down,optional"`
	Seconds int      `hcl:"seconds,optional"` // that the identity has left
}

// cloud is a memory platform with a prefix, permissions and an examiner. Its
// identity for plans can neither read a value nor write anything.
type cloud struct {
	*memory.Driver
	config *cloudConfig
	phase  providers.Phase
}

func (c *cloud) Powers() providers.Powers {
	p := c.Driver.Powers()
	p.Placer, p.Permitter, p.Examiner = c, c, c
	p.AccessCompiler = cloudAccess{p.AccessCompiler}
	p.Lister = cloudLister{p.Lister, c.config.Prefix}
	if len(c.config.Denied) > 0 {
		p.Lister = nil // a list is complete or an error
	}
	return p
}

func (c *cloud) Identity(ctx context.Context) (string, error) {
	if c.config.Down {
		return "", providers.Errorf(providers.Unavailable, "%s is sealed", c.config.World).WithHint("unseal it with the key that opens it")
	}
	return c.Driver.Identity(ctx)
}

func (c *cloud) Inspect(ctx context.Context, paths []string) (map[string]providers.Meta, error) {
	found, err := c.Driver.Inspect(ctx, paths)
	partial := &providers.PartialError{Paths: map[string]error{}}
	for _, path := range paths {
		if slices.Contains(c.config.Denied, path) && err == nil {
			delete(found, path)
			partial.Paths[path] = providers.Errorf(providers.Denied, "permission denied").WithHint("allow read at %s", path)
		}
	}
	if len(partial.Paths) > 0 {
		return found, partial
	}
	return found, err
}

func (c *cloud) Write(ctx context.Context, req providers.WriteRequest) (providers.Meta, error) {
	switch {
	case c.phase != providers.PhaseApply:
		return providers.Meta{}, providers.Errorf(providers.Denied, "the identity for plans writes nothing")
	case strings.HasSuffix(req.Path, "/forbidden"):
		return providers.Meta{}, providers.Errorf(providers.Denied, "permission denied").WithHint("allow create at %s", req.Path)
	}
	return c.Driver.Write(ctx, req)
}

func (c *cloud) DefaultPath(at providers.Place) (string, error) {
	return c.config.Prefix + strings.Join([]string{at.App, at.Environment, at.Name}, "/"), nil
}

func (c *cloud) Resolve(_, written string) (string, error) { return c.config.Prefix + written, nil }
func (c *cloud) Written(path string) string                { return strings.TrimPrefix(path, c.config.Prefix) }

func (c *cloud) Permissions(req providers.PermissionRequest) []providers.Permission {
	var list []providers.Permission
	for _, use := range req.Secrets {
		can := []string{"look"}
		if req.Phase == providers.PhaseApply && use.Write {
			can = append(can, "write")
		}
		list = append(list, providers.Permission{Path: use.Path, Capabilities: can, Why: "a secret"})
	}
	for _, l := range req.Leaving {
		can := []string{"look"}
		if len(l.Reads) > 0 {
			can = append(can, "read")
		}
		if l.End != providers.EndLooked {
			can = append(can, string(l.End))
		}
		list = append(list, providers.Permission{Path: l.Path, Capabilities: can, Why: "what leaves"})
	}
	slices.SortFunc(list, func(a, b providers.Permission) int { return strings.Compare(a.Path, b.Path) })
	return list
}

func (c *cloud) PermissionDocument(_ providers.PermissionRequest, list []providers.Permission) string {
	var b strings.Builder
	for _, p := range list {
		fmt.Fprintf(&b, "allow %s on %s\n", strings.Join(p.Capabilities, ","), p.Path)
	}
	return b.String()
}

func (c *cloud) Examine(_ context.Context, needed []providers.Permission) []providers.Finding {
	found := []providers.Finding{{Subject: "token", Status: providers.FindingOK, Text: "of " + string(c.phase)}}
	for _, p := range needed {
		f := providers.Finding{Subject: p.Path, Status: providers.FindingOK, Text: strings.Join(p.Capabilities, ", ")}
		if slices.Contains(c.config.Denied, p.Path) {
			f = providers.Finding{Subject: p.Path, Status: providers.FindingFail, Text: "not allowed", Next: "allow look on " + p.Path}
		}
		found = append(found, f)
	}
	return found
}

type cloudAccess struct{ providers.AccessCompiler }

func (cloudAccess) Readers() []string { return []string{"vault_approle", "vault_kubernetes"} }

type cloudLister struct {
	providers.Lister
	prefix string
}

func (l cloudLister) List(ctx context.Context) (map[string]providers.Meta, error) {
	all, err := l.Lister.List(ctx)
	for path := range all {
		if !strings.HasPrefix(path, l.prefix) {
			delete(all, path)
		}
	}
	return all, err
}

// byHand changes a cloud as somebody else: hand WORLD put|mark|rm|attach|document …
func byHand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: hand WORLD put PATH VALUE | mark PATH PROJECT | rm PATH | detach HOLDER POLICY | document POLICY TEXT")
	}
	w, err := memory.OpenWorld(ts.MkAbs(args[0]), "cloud:"+filepath.Base(args[0]))
	ts.Check(err)
	defer func() { ts.Check(w.Close()) }()
	switch path := args[2]; args[1] {
	case "put":
		w.Edit(path, secret.String(args[3]), "bob")
	case "fill": // hand WORLD fill PREFIX N
		var n int
		_, err := fmt.Sscan(args[3], &n)
		ts.Check(err)
		for i := range n {
			w.Edit(fmt.Sprintf("%s%d", path, i), secret.String("x"), "bob")
		}
	case "mark":
		w.SetMark(path, providers.Mark{Project: args[3]})
	case "rm":
		w.Remove(path, 30*24*time.Hour)
	case "detach":
		w.SetDocument(providers.ObjectRef{Kind: memory.KindBinding, Path: path + " " + args[3]}, "")
	case "document":
		w.SetDocument(providers.ObjectRef{Kind: memory.KindPolicy, Path: path}, args[3])
	default:
		ts.Fatalf("hand: %q is not known", args[1])
	}
}
