package lang

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"
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
		o := Options{ProviderTypes: []string{"sops", "network"}, Version: "0.2.0", Deadline: 5 * time.Second}
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
