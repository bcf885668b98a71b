package lang

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2"
	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "write what Load gives into testdata")

// A case is one archive in testdata: the files of a configuration, an optional
// file "options", and what must come out: "want", the configuration as dump
// prints it, and "diagnostics".
func TestLoad(t *testing.T) {
	for name, archive := range archives(t) {
		t.Run(name, func(t *testing.T) {
			dir, o, inputs := unpack(t, archive)
			cfg, diags := Load(dir, o)
			decoded, more := decodeNetwork(cfg, diags)
			diags = append(diags, more...)

			got := &txtar.Archive{Comment: archive.Comment, Files: inputs}
			if !diags.HasErrors() {
				got.Files = append(got.Files, txtar.File{Name: "want", Data: []byte(dump(cfg, true) + decoded)})
			}
			if len(diags) > 0 {
				got.Files = append(got.Files, txtar.File{Name: "diagnostics", Data: []byte(printDiags(diags, dir))})
			}
			if *update {
				if err := os.WriteFile(filepath.Join("testdata", name+".txtar"), txtar.Format(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(txtar.Format(archive)), string(txtar.Format(got))); diff != "" {
				t.Errorf("testdata/%s.txtar (-want +got); go test ./lang -run TestLoad -update writes it\n%s", name, diff)
			}
		})
	}
}

func TestEnoughCases(t *testing.T) {
	if n := len(archives(t)); n < 240 {
		t.Errorf("testdata has %d cases, want at least 240", n)
	}
}

// Where a block stands, in which file and in which order, changes nothing.
func TestLoadIgnoresOrder(t *testing.T) {
	for name, archive := range archives(t) {
		if slices.ContainsFunc(archive.Files, func(f txtar.File) bool { return f.Name == "diagnostics" }) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			dir, o, _ := unpack(t, archive)
			cfg, _ := Load(dir, o)
			want := dump(cfg, false)

			n := 0
			for _, file := range sortedKeys(cfg.Files) {
				if filepath.Dir(file) != "." || !strings.HasSuffix(file, ".hcl") {
					continue
				}
				src := cfg.Files[file].Bytes
				parsed, _ := parseSource(file, src)
				if err := os.Remove(filepath.Join(dir, file)); err != nil {
					t.Fatal(err)
				}
				for _, block := range topLevelSource(parsed) {
					n++
					// The hash of nothing in particular: an order that is not the original.
					write(t, dir, fmt.Sprintf("%02d-%d.hcl", (n*37)%41, n), string(src[block[0]:block[1]])+"\n")
				}
			}
			shuffled, diags := Load(dir, o)
			if diags.HasErrors() {
				t.Fatal(diags)
			}
			if diff := cmp.Diff(want, dump(shuffled, false)); diff != "" {
				t.Errorf("the order of blocks matters (-as written +shuffled)\n%s", diff)
			}
		})
	}
}

func archives(t testing.TB) map[string]*txtar.Archive {
	t.Helper()
	paths, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(paths) == 0 {
		t.Fatal("no cases in testdata", err)
	}
	out := map[string]*txtar.Archive{}
	for _, path := range paths {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		out[strings.TrimSuffix(filepath.Base(path), ".txtar")] = archive
	}
	return out
}

// unpack writes the files of a case and reads its options.
func unpack(t testing.TB, archive *txtar.Archive) (dir string, o Options, inputs []txtar.File) {
	t.Helper()
	dir = t.TempDir()
	o = Options{Version: "0.2.0", ProviderTypes: []string{"sops"}, BackendTypes: []string{"s3"}, Vars: map[string]string{}, Environ: map[string]string{}}
	for _, f := range archive.Files {
		if f.Name == "want" || f.Name == "diagnostics" {
			continue
		}
		inputs = append(inputs, f)
		if f.Name == "options" {
			readOptions(t, dir, string(f.Data), &o)
			continue
		}
		write(t, dir, f.Name, string(f.Data))
	}
	return dir, o, inputs
}

func readOptions(t testing.TB, dir, text string, o *Options) {
	t.Helper()
	for line := range strings.Lines(text) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		key, value, _ := strings.Cut(rest, "=")
		switch word {
		case "var":
			o.Vars[key] = value
		case "environ":
			o.Environ[key] = value
		case "var-file":
			o.VarFiles = append(o.VarFiles, filepath.Join(dir, rest))
		case "version":
			o.Version = rest
		case "types":
			o.ProviderTypes = strings.Fields(rest)
		case "link":
			if err := os.Symlink(value, filepath.Join(dir, key)); err != nil {
				t.Fatal(err)
			}
		default:
			t.Fatalf("unknown option %q", line)
		}
	}
}

func write(t testing.TB, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func printDiags(diags hcl.Diagnostics, dir string) string {
	var b strings.Builder
	for _, d := range diags {
		severity := "error"
		if d.Severity == hcl.DiagWarning {
			severity = "warning"
		}
		at := ""
		if d.Subject != nil {
			at = fmt.Sprintf(" %s:%d,%d-%d", d.Subject.Filename, d.Subject.Start.Line, d.Subject.Start.Column, d.Subject.End.Column)
		}
		detail := strings.ReplaceAll(strings.TrimSpace(d.Detail), "\n", "\n  ")
		detail = strings.ReplaceAll(detail, "\n  \n", "\n\n")
		text := fmt.Sprintf("%s%s: %s\n  %s\n", severity, at, d.Summary, detail)
		b.WriteString(strings.ReplaceAll(text, dir, "DIR"))
	}
	return b.String()
}

// topLevelSource returns the bounds of the top-level blocks of a file, labels
// and braces included.
func topLevelSource(f *hcl.File) [][2]int {
	var out [][2]int
	for _, r := range blockRanges(f) {
		out = append(out, [2]int{r.Start.Byte, r.End.Byte})
	}
	return out
}
