package lang

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/cofferhq/coffer/lang/addr"
)

// FuzzLoad: whatever a file holds, Load ends, never panics, gives the same
// answer twice, and says where every problem in a file is.
func FuzzLoad(f *testing.F) {
	for _, archive := range archives(f) {
		f.Add(allText(archive))
	}
	f.Fuzz(func(t *testing.T, src string) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "coffer.hcl"), []byte(src), 0o644); err != nil {
			t.Fatal(err)
		}
		o := Options{ProviderTypes: []string{"sops", "network", "vault", "kubernetes"}, Version: "0.2.0", Deadline: 5 * time.Second}
		cfg, diags := Load(dir, o)
		again, more := Load(dir, o)
		if cfg == nil || again == nil {
			return // the deadline: how far it got is chance
		}
		if first, second := printDiags(diags, dir), printDiags(more, dir); first != second {
			t.Errorf("two runs, two answers:\n%s\n%s", first, second)
		}
		if diags.HasErrors() {
			return
		}
		if first, second := dump(cfg, true), dump(again, true); first != second {
			t.Errorf("two runs, two configurations:\n%s\n%s", first, second)
		}
		for _, o := range cfg.Objects {
			for _, a := range o.Arguments {
				if holdsNull(a.Value) {
					t.Errorf("%s: %s holds null", o.Address, a.Name)
				}
			}
		}
		checkDeliveries(t, cfg)
		if first, second := decodedTwice(cfg, again); first != second {
			t.Errorf("two runs decode to\n%s\n%s", first, second)
		}
		for _, s := range cfg.Secrets {
			for _, field := range s.Fields {
				checkSource(t, field.Source)
			}
		}
	})
}

// checkDeliveries: what gets through is what planner and drivers were promised.
func checkDeliveries(t *testing.T, cfg *Config) {
	types := map[string]string{}
	for _, p := range cfg.Providers {
		types[p.Ref()] = p.Type
	}
	to := func(a addr.Address, ref, path string) {
		file, place, isFile := strings.Cut(path, "#")
		if types[ref] != map[bool]string{true: manifestsType, false: clusterType}[isFile] {
			t.Errorf("%s goes to %q, a provider of type %q, at %q", a, ref, types[ref], path)
		}
		if isFile && (!filepath.IsLocal(file) || strings.Count(place, "/") > 1) {
			t.Errorf("%s goes to %q", a, path)
		}
	}
	for _, s := range cfg.Secrets {
		if inKubernetes(s.Address.Kind) {
			to(s.Address, s.Store, s.Path)
		}
	}
	for _, d := range cfg.Deliveries {
		to(d.Address, d.Provider, d.Path)
		for _, i := range d.Items {
			checkSource(t, i.Source)
			checkDelivered(t, i.Source, false)
		}
		for _, a := range d.Store.Arguments {
			if holdsNull(a.Value) {
				t.Errorf("%s: %s holds null", d.Address, a.Name)
			}
		}
	}
}

func checkDelivered(t *testing.T, s *Source, inCall bool) {
	switch s.Kind {
	case Reference:
	case Literal, Public:
		if inCall {
			t.Errorf("%s is text in a call", s.Text())
		}
	case Template, Computed:
		if inCall && s.Kind == Template || s.Kind == Computed && len(s.Args) != 1 {
			t.Errorf("%s is a template in a call, or a call of several", s.Text())
		}
		for _, arg := range s.Args {
			checkDelivered(t, arg, inCall || s.Kind == Computed)
		}
	default:
		t.Errorf("%s is nothing to deliver", s.Text())
	}
}

// decodedTwice decodes the providers of two configurations.
func decodedTwice(a, b *Config) (first, second string) {
	first, diags := decodeNetwork(a, nil)
	second, more := decodeNetwork(b, nil)
	return first + printDiags(diags, ""), second + printDiags(more, "")
}

func allText(archive *txtar.Archive) string {
	var b strings.Builder
	for _, file := range archive.Files {
		if strings.HasSuffix(file.Name, ".hcl") {
			b.Write(file.Data)
		}
	}
	return b.String()
}
